//! From a blob's file to its reader.
//!
//! A piece that is in the page cache is copied right on the async thread (`preadv2` with `RWF_NOWAIT`, which never waits
//! for the disk); any other is read on a blocking thread, which also asks the kernel to fetch what comes next.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_core::Stream;
use gantry_oci::Digest;
use rustix::fs::{Advice, Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

use super::Inner;
use super::buffers::{Buffers, LARGE, SMALL};
use crate::blobs::key::Key;
use crate::blobs::verify::Identity;
use crate::blobs::{BlobHandle, BlobStream};
use crate::error::{Result, StorageError};

const DURING: &str = "reading a blob";

/// Small pieces before a reader is given large ones: 4 MiB, more than sockets take for a client that reads nothing.
const SMALL_PIECES: u32 = (4 * 1024 * 1024 / SMALL) as u32;

/// A reader that takes longer for a piece gets small ones again, so that many slow readers hold little memory.
const SLOW: Duration = Duration::from_millis(200);

/// What the kernel is asked to fetch ahead after a piece that was not in the page cache.
const AHEAD: NonZeroU64 = NonZeroU64::new(1 << 20).unwrap();

/// Opens a blob without waiting, if the kernel has all directories of its path at hand. `None`: unknown, ask [`open`].
pub(super) fn open_cached(inner: &Inner, digest: Digest) -> Option<Option<File>> {
    let opened = rustix::fs::openat2(
        &inner.root_directory,
        Key::Blob(digest).to_string(),
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::CACHED,
    );
    // Anything but success is left to the plain way: it finds the same error, or an old kernel is not asked again.
    opened.ok().map(|file| Some(File::from(file)))
}

/// Opens a blob; `None`: it is not there. Blocks.
pub(super) fn open(inner: &Inner, digest: Digest) -> Result<Option<File>> {
    match File::open(inner.path(Key::Blob(digest))) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::from_io("opening a blob", error)),
    }
}

/// [`BlobHandle`] on a local file.
pub(super) struct LocalBlob {
    file: Arc<File>,
    size: u64,
    identity: Identity,
    buffers: Arc<Buffers>,
}

impl LocalBlob {
    pub(super) fn new(file: File, size: u64, identity: Identity, buffers: Arc<Buffers>) -> LocalBlob {
        LocalBlob { file: Arc::new(file), size, identity, buffers }
    }
}

impl BlobHandle for LocalBlob {
    fn size(&self) -> u64 {
        self.size
    }

    fn identity(&self) -> Identity {
        self.identity
    }

    fn cached_file(&self, range: Range<u64>) -> Option<Arc<File>> {
        // The two ends tell enough: the kernel fetches what lies between in one go, and forgets it likewise.
        let in_memory = |position: u64| {
            let mut byte = [0];
            let mut room = [IoSliceMut::new(&mut byte)];
            rustix::io::preadv2(&*self.file, &mut room, position, ReadWriteFlags::NOWAIT) == Ok(1)
        };
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start && *last < self.size)?;
        (in_memory(range.start) && in_memory(last)).then(|| Arc::clone(&self.file))
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        let end = range.end.min(self.size);
        Box::pin(Pieces {
            file: Arc::clone(&self.file),
            buffers: Arc::clone(&self.buffers),
            position: range.start.min(end),
            end,
            pieces: 0,
            last: None,
            may_not_wait: true,
            blocking: None,
        })
    }
}

struct Pieces {
    file: Arc<File>,
    buffers: Arc<Buffers>,
    position: u64,
    end: u64,
    /// Since the reader was last slow.
    pieces: u32,
    last: Option<Instant>,
    /// False once the file system turned out not to know `RWF_NOWAIT`.
    may_not_wait: bool,
    blocking: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Stream for Pieces {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let this = &mut *self;
        if this.position >= this.end {
            return Poll::Ready(None);
        }
        let outcome = match &mut this.blocking {
            Some(reading) => {
                let outcome = ready!(Pin::new(reading).poll(context));
                this.blocking = None;
                outcome.unwrap_or_else(|_| Err(io::Error::other("the program is shutting down")))
            }
            None => {
                let size = this.piece_size();
                match this.read_now(size) {
                    Some(outcome) => outcome,
                    None => {
                        let reading = this.blocking.insert(this.read_later(size));
                        let outcome = ready!(Pin::new(reading).poll(context));
                        this.blocking = None;
                        outcome.unwrap_or_else(|_| Err(io::Error::other("the program is shutting down")))
                    }
                }
            }
        };
        Poll::Ready(Some(this.deliver(outcome)))
    }
}

impl Pieces {
    /// The size of the next piece, by how fast the reader took the ones before.
    fn piece_size(&mut self) -> usize {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.duration_since(last) > SLOW) {
            self.pieces = 0;
        }
        self.last = Some(now);
        let size = if self.pieces < SMALL_PIECES { SMALL } else { LARGE };
        self.pieces = self.pieces.saturating_add(1);
        usize::try_from(self.end - self.position).unwrap_or(size).min(size)
    }

    /// Reads what the page cache has. `None`: it does not have the next byte.
    fn read_now(&mut self, size: usize) -> Option<io::Result<Bytes>> {
        if !self.may_not_wait {
            return None;
        }
        let mut buffer = self.buffers.take(size);
        loop {
            let mut room = [IoSliceMut::new(buffer.room(size))];
            return match rustix::io::preadv2(&*self.file, &mut room, self.position, ReadWriteFlags::NOWAIT) {
                Ok(count) => Some(Ok(buffer.into_bytes(count))),
                Err(Errno::AGAIN) => None,
                Err(Errno::INTR) => continue,
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                    self.may_not_wait = false;
                    None
                }
                Err(error) => Some(Err(error.into())),
            };
        }
    }

    fn read_later(&self, size: usize) -> JoinHandle<io::Result<Bytes>> {
        let (file, buffers, position) = (Arc::clone(&self.file), Arc::clone(&self.buffers), self.position);
        tokio::task::spawn_blocking(move || {
            let mut buffer = buffers.take(size);
            // Asked for first, so that the disk gets one large request.
            let _ = rustix::fs::fadvise(&file, position, Some(AHEAD), Advice::WillNeed);
            loop {
                match rustix::io::pread(&file, buffer.room(size), position) {
                    Ok(count) => return Ok(buffer.into_bytes(count)),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        })
    }

    /// Accounts for a piece. After an error the stream ends.
    fn deliver(&mut self, outcome: io::Result<Bytes>) -> Result<Bytes> {
        match outcome {
            Ok(piece) if piece.is_empty() => {
                let what =
                    format!("a blob's file ends at byte {} and should have {}", self.position, self.end);
                self.position = self.end;
                Err(StorageError::Corrupt { what })
            }
            Ok(piece) => {
                self.position += piece.len() as u64;
                Ok(piece)
            }
            Err(error) => {
                self.position = self.end;
                Err(StorageError::from_io(DURING, error))
            }
        }
    }
}
