//! Telling compressions apart, and undoing them within bounds.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use gantry_oci::Digest;
use gantry_storage::Compression;
use sha2::{Digest as _, Sha256};

use super::xz::XzReader;

/// So many bytes tell a compression.
pub(super) const MAGIC: usize = 6;

/// A plain tar may have so many bytes.
const PLAIN_MAX: u64 = 64 << 30;
/// And so many for each compressed one, more than gzip can make of anything.
const RATIO_MAX: u64 = 1100;
/// But a short one may have these in any case.
const PLAIN_MIN: u64 = 1 << 20;

/// What bytes that begin like this are compressed with.
pub(super) fn sniff(first: &[u8]) -> Compression {
    match first {
        [0x1f, 0x8b, 8, ..] => Compression::Gzip,
        [b'B', b'Z', b'h', ..] => Compression::Bzip2,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::None,
    }
}

/// Whether so many bytes may come of so many compressed ones.
pub(super) fn is_bomb(plain: u64, packed: u64) -> bool {
    plain > PLAIN_MAX || plain > PLAIN_MIN + packed.saturating_mul(RATIO_MAX)
}

/// Reads a tar however it is compressed. What cannot be undone here (zstd) comes as it is.
///
/// # Errors
/// The bytes could not be read.
pub(in super::super) fn unpack<'a>(
    mut from: impl Read + 'a,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut first = Vec::with_capacity(MAGIC);
    from.by_ref().take(MAGIC as u64).read_to_end(&mut first)?;
    let compression = sniff(&first);
    let packed = Rc::new(Cell::new(0));
    let from = Counted { inner: io::Cursor::new(first).chain(from), count: Rc::clone(&packed) };
    let plain: Box<dyn Read + 'a> = match compression {
        Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
        Compression::Bzip2 => Box::new(MultiBzDecoder::new(from)),
        Compression::Xz => Box::new(XzReader::new(from)),
        Compression::None | Compression::Zstd | Compression::Opaque => {
            return Ok((compression, Box::new(from)));
        }
    };
    Ok((compression, Box::new(Bounded { inner: plain, packed, plain: 0 })))
}

/// The compression of a layer, and the digest of its plain tar: those of the bytes as they are when they cannot be unpacked, and then
/// `None`.
///
/// # Errors
/// The bytes could not be read, or are broken: nobody can unpack them.
pub(in super::super) fn content_of(from: impl Read) -> io::Result<(Compression, Option<Digest>)> {
    let (compression, mut plain) = unpack(from)?;
    if matches!(compression, Compression::None | Compression::Zstd | Compression::Opaque) {
        return Ok((compression, None));
    }
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = plain.read(&mut buffer)?;
        if read == 0 {
            let digest = Digest::from_bytes(gantry_oci::Algorithm::Sha256, &hash.finalize());
            return Ok((compression, digest));
        }
        hash.update(&buffer[..read]);
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Fails where more comes out than can be meant.
struct Bounded<R> {
    inner: R,
    packed: Rc<Cell<u64>>,
    plain: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.plain += read as u64;
        if is_bomb(self.plain, self.packed.get()) {
            return Err(io::Error::other("it would unpack to too much"));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn each_compression_is_undone_also_of_several_members() {
        let twice = |packed: Vec<u8>| [packed.clone(), packed].concat();
        let all = Digest::sha256(b"a tara tar");
        assert_eq!(content_of(&twice(gzip(b"a tar"))[..]).unwrap(), (Compression::Gzip, Some(all)));
        assert_eq!(content_of(&twice(bzip2(b"a tar"))[..]).unwrap(), (Compression::Bzip2, Some(all)));
        assert_eq!(content_of(&b"a tar"[..]).unwrap(), (Compression::None, None));
        assert_eq!(content_of(&b""[..]).unwrap(), (Compression::None, None));
    }

    #[test]
    fn garbage_behind_and_missing_ends_are_failures() {
        for packed in [gzip(b"a tar"), bzip2(b"a tar")] {
            content_of(&packed[..packed.len() - 1]).unwrap_err();
            content_of(&[&packed[..], b"garbage"].concat()[..]).unwrap_err();
        }
    }

    #[test]
    fn bombs_are_failures() {
        let zeros = vec![0; 3 << 20];
        content_of(&gzip(&zeros)[..]).unwrap();
        content_of(&bzip2(&zeros)[..]).unwrap_err();
    }
}
