//! Layers that v2 has no type for, compressed anew with gzip.
//!
//! The same tar gives the same bytes, whoever pushed it: no time, no name, one level.

use std::io::{self, Read, Write};

use bytes::Bytes;
use flate2::GzBuilder;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;

use super::super::super::{BodyError, ByteSource};
use super::unpack::unpack;

/// Of zlib.
const LEVEL: u32 = 6;
/// Pieces of [`PIECE`] bytes that may wait.
const WAITING: usize = 4;
const PIECE: usize = 64 << 10;

/// What comes out, the end included: a body that only breaks off has none.
type Packed = Option<Bytes>;

/// The work of compressing, to be done on a thread, and the body that comes of it.
pub(in super::super) fn repacked<R: Read>() -> (impl FnOnce(R) -> io::Result<()> + Send + 'static, ByteSource)
{
    let (to, from) = mpsc::channel::<Packed>(WAITING);
    let work = move |layer: R| {
        let (_, mut plain) = unpack(layer)?;
        let pieces = Pieces { to, gathered: Vec::with_capacity(PIECE) };
        let mut packer = GzBuilder::new().write(pieces, flate2::Compression::new(LEVEL));
        io::copy(&mut plain, &mut packer)?;
        let mut pieces = packer.finish()?;
        pieces.flush()?;
        pieces.send(None)
    };
    let body = futures_util::stream::unfold(Some(from), |from| async {
        let mut from = from?;
        match from.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(from))),
            Some(None) => None,
            None => Some((Err(BodyError::Broken("a layer could not be unpacked".to_owned())), None)),
        }
    });
    (work, body.boxed())
}

struct Pieces {
    to: mpsc::Sender<Packed>,
    gathered: Vec<u8>,
}

impl Pieces {
    fn send(&self, piece: Packed) -> io::Result<()> {
        self.to.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.gathered, Vec::with_capacity(PIECE));
        self.send(Some(piece.into()))
    }
}
