//! Reading xz, within bounds of memory.
//!
//! The container is read here and its contents by `lzma_rust2`: its own reader of the container allocates whatever dictionary a
//! header asks for, up to 4 GiB, and takes filters that `xz` never writes for a tar. Here a dictionary has at most that of `xz -9`, and
//! LZMA2 is the only filter.

use std::io::{self, Read};

use lzma_rust2::Lzma2Reader;
use sha2::{Digest as _, Sha256};

/// The dictionary of `xz -9`.
const DICTIONARY_MAX: u64 = 64 << 20;
/// What streams begin with.
const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// Plain bytes of xz streams, one after the other.
pub(super) struct XzReader<R> {
    state: State<R>,
}

enum State<R> {
    /// Before a stream; the first must come.
    Between(Counted<R>, bool),
    /// Before a block or the index.
    Stream(Counted<R>, Check, u64),
    /// In a block.
    Block {
        reader: Box<Lzma2Reader<Counted<R>>>,
        check: Check,
        sum: Sum,
        began: u64,
        blocks: u64,
    },
    Done,
}

/// How blocks are checked, as streams say.
#[derive(Clone, Copy)]
struct Check(u8);

impl Check {
    fn size(self) -> usize {
        match self.0 {
            0 => 0,
            1..=3 => 4,
            4..=6 => 8,
            7..=9 => 16,
            10..=12 => 32,
            _ => 64,
        }
    }
}

impl<R: Read> XzReader<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { state: State::Between(Counted { inner, count: 0 }, true) }
    }
}

impl<R: Read> Read for XzReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            // After a failure there is nothing more.
            self.state = match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Ok(0),
                State::Between(mut from, first) => match stream_header(&mut from, first)? {
                    Some(check) => State::Stream(from, check, 0),
                    None => State::Done,
                },
                State::Stream(mut from, check, blocks) => match byte(&mut from)? {
                    0 => {
                        end_of_stream(&mut from, blocks)?;
                        State::Between(from, false)
                    }
                    size => {
                        let dictionary = block_header(&mut from, size)?;
                        let began = from.count;
                        let reader = Box::new(Lzma2Reader::new(from, dictionary, None));
                        State::Block { reader, check, sum: Sum::of(check), began, blocks: blocks + 1 }
                    }
                },
                State::Block { mut reader, check, mut sum, began, blocks } => {
                    let read = reader.read(buffer)?;
                    if read > 0 {
                        sum.update(&buffer[..read]);
                        self.state = State::Block { reader, check, sum, began, blocks };
                        return Ok(read);
                    }
                    let mut from = reader.into_inner();
                    let padding = (4 - (from.count - began) % 4) % 4;
                    for _ in 0..padding {
                        if byte(&mut from)? != 0 {
                            return Err(broken("the padding of a block"));
                        }
                    }
                    let mut stored = vec![0; check.size()];
                    from.read_exact(&mut stored)?;
                    if !sum.is(&stored) {
                        return Err(broken("the check of a block"));
                    }
                    State::Stream(from, check, blocks)
                }
            };
        }
    }
}

/// `None`: the end, after at least one stream and zeros in fours.
fn stream_header<R: Read>(from: &mut Counted<R>, first: bool) -> io::Result<Option<Check>> {
    let mut header = [0; 12];
    loop {
        let mut four = Vec::with_capacity(4);
        from.by_ref().take(4).read_to_end(&mut four)?;
        match four[..] {
            [] if !first => return Ok(None),
            [0, 0, 0, 0] if !first => {}
            [..] if four.len() == 4 => {
                header[..4].copy_from_slice(&four);
                break;
            }
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    from.read_exact(&mut header[4..])?;
    if header[..6] != MAGIC || header[6] != 0 || header[7] > 15 || crc32(&header[6..8]) != header[8..] {
        return Err(broken("the header of a stream"));
    }
    Ok(Some(Check(header[7])))
}

/// The size of the dictionary.
fn block_header<R: Read>(from: &mut Counted<R>, size: u8) -> io::Result<u32> {
    let mut header = vec![0; (usize::from(size) + 1) * 4];
    header[0] = size;
    from.read_exact(&mut header[1..])?;
    let (fields, sum) = header.split_at(header.len() - 4);
    let wrong = || broken("the header of a block");
    if crc32(fields) != *sum {
        return Err(wrong());
    }
    let flags = fields[1];
    // One filter, no unknown flag.
    if flags & 0b0011_1111 != 0 {
        return Err(wrong());
    }
    let mut rest = &fields[2..];
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            number(&mut rest)?;
        }
    }
    let [0x21, 1, bits, ..] = *rest else { return Err(wrong()) };
    let dictionary = match bits {
        0..=39 => (2 | u64::from(bits & 1)) << (bits / 2 + 11),
        _ => u64::MAX,
    };
    match u32::try_from(dictionary) {
        Ok(size) if dictionary <= DICTIONARY_MAX => Ok(size),
        _ => Err(io::Error::other("it needs too much memory")),
    }
}

/// The index, behind its first byte, and the footer.
fn end_of_stream<R: Read>(from: &mut Counted<R>, blocks: u64) -> io::Result<()> {
    let began = from.count - 1;
    if number(from)? != blocks {
        return Err(broken("the index"));
    }
    for _ in 0..blocks {
        number(from)?;
        number(from)?;
    }
    while !(from.count - began).is_multiple_of(4) {
        byte(from)?;
    }
    // The sum of the index, and the footer: what they would tell has been seen.
    let mut footer = [0; 16];
    from.read_exact(&mut footer)?;
    if footer[14..] != *b"YZ" || crc32(&footer[8..14]) != footer[4..8] {
        return Err(broken("the footer"));
    }
    Ok(())
}

/// A number of seven bits a byte.
fn number(from: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for place in 0..9 {
        let byte = byte(from)?;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(broken("a number"))
}

fn byte(from: &mut impl Read) -> io::Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte)?;
    Ok(byte[0])
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} is broken"))
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The sum of a block. Of kinds that nobody writes nothing is known, and anything is right.
enum Sum {
    Crc32(flate2::Crc),
    Crc64(u64),
    Sha256(Box<Sha256>),
    Other,
}

impl Sum {
    fn of(check: Check) -> Self {
        match check.0 {
            1 => Self::Crc32(flate2::Crc::new()),
            4 => Self::Crc64(!0),
            10 => Self::Sha256(Box::default()),
            _ => Self::Other,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(crc) => crc.update(bytes),
            Self::Crc64(crc) => {
                for byte in bytes {
                    *crc = CRC64[usize::from(*byte ^ crc.to_le_bytes()[0])] ^ (*crc >> 8);
                }
            }
            Self::Sha256(hash) => hash.update(bytes),
            Self::Other => {}
        }
    }

    fn is(self, stored: &[u8]) -> bool {
        match self {
            Self::Crc32(crc) => crc.sum().to_le_bytes() == *stored,
            Self::Crc64(crc) => (!crc).to_le_bytes() == *stored,
            Self::Sha256(hash) => hash.finalize()[..] == *stored,
            Self::Other => true,
        }
    }
}

/// CRC-64 of ECMA-182, reflected.
const CRC64: [u64; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xc96c_5795_d787_0f42 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// Counts what is read.
struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use lzma_rust2::{CheckType, XzOptions, XzWriter};

    use super::*;

    fn pack(bytes: &[u8], check: CheckType, preset: u32) -> Vec<u8> {
        let mut options = XzOptions::with_preset(preset);
        options.set_check_sum_type(check);
        let mut to = XzWriter::new(Vec::new(), options).unwrap();
        to.write_all(bytes).unwrap();
        to.finish().unwrap()
    }

    fn plain(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        XzReader::new(packed).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn what_was_packed_comes_back() {
        let text: Vec<u8> = (0..30_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for check in [CheckType::None, CheckType::Crc32, CheckType::Crc64, CheckType::Sha256] {
            for bytes in [&b""[..], b"a", &text] {
                let packed = pack(bytes, check, 3);
                assert!(plain(&packed).unwrap() == bytes);
                let twice = [&packed[..], &[0; 8], &packed].concat();
                assert!(plain(&twice).unwrap() == [bytes, bytes].concat());
            }
        }
    }

    #[test]
    fn what_is_broken_is_a_failure() {
        let packed = pack(b"some bytes that are packed", CheckType::Crc64, 3);
        for at in 0..packed.len() {
            plain(&packed[..at]).unwrap_err();
            let mut other = packed.clone();
            other[at] ^= 1;
            // Sizes in the index are not looked at.
            if plain(&other).is_ok() {
                assert!(at > packed.len() - 28, "byte {at} of {} says nothing", packed.len());
            }
        }
        plain(&[&packed[..], b"garbage"].concat()).unwrap_err();
    }

    #[test]
    fn a_dictionary_is_bounded() {
        let mut packed = pack(b"some bytes", CheckType::Crc32, 9);
        assert_eq!(plain(&packed).unwrap(), b"some bytes");
        let end = 12 + (usize::from(packed[12]) + 1) * 4 - 4;
        let at = 12 + packed[12..end].windows(2).position(|two| two == [0x21, 1]).unwrap() + 2;
        packed[at] = 40;
        let sum = crc32(&packed[12..end]);
        packed[end..end + 4].copy_from_slice(&sum);
        assert_eq!(plain(&packed).unwrap_err().to_string(), "it needs too much memory");
    }
}
