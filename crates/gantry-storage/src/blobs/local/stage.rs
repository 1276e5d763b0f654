//! An upload's file while it grows.
//!
//! Pieces gather to a batch; a batch is written and hashed in one hop to a blocking thread while the next one is received. No
//! thread is held while a client sends nothing, and at most two batches are in memory for each upload.
//!
//! The kernel is told to start writing every [`WRITE_BEHIND`] bytes, so that the fsync at the end finds little left to do.
//! The call for that would be `sync_file_range`, which no safe wrapper offers; `posix_fadvise(DONTNEED)` on pages that are still
//! dirty does the same thing in Linux: it starts writing them and keeps them. (fdatasync instead would wait for the disk.)

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Read};
use std::num::NonZeroU64;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_oci::{Algorithm, Hasher, UploadId};
use rustix::fs::Advice;
use tokio::task::JoinHandle;

use super::slots::{Slot, Turn};
use super::{Inner, shut_down};
use crate::blobs::StagedBlob;
use crate::blobs::key::Key;
use crate::error::{Result, StorageError};
use crate::failpoint::{self, Point};

const DURING: &str = "writing an upload";

/// Bytes for which a hop is worth its while.
const BATCH: usize = 256 * 1024;

/// Bytes that may gather while the batch before is written.
const BEHIND: usize = 1024 * 1024;

/// Bytes after which the kernel is told to begin writing.
const WRITE_BEHIND: u64 = 8 * 1024 * 1024;

/// Slices in one system call at most (`IOV_MAX`).
const SLICES: usize = 1024;

/// What has been written, with its hash. Travels to the blocking thread and back.
#[derive(Clone)]
struct Progress {
    offset: u64,
    /// Up to here the kernel has been told to write.
    advised: u64,
    hasher: Hasher,
}

/// What a blocking thread needs to write.
struct Target {
    file: File,
    slot: Arc<Slot>,
    turn: Turn,
}

/// [`StagedBlob`] in a local file.
pub(super) struct LocalStaged {
    target: Arc<Target>,
    progress: Progress,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    in_flight: Option<JoinHandle<(Progress, Result<()>)>>,
}

impl LocalStaged {
    /// Opens or makes the file and cuts off what lies behind `offset`. Blocks.
    pub(super) fn open(inner: &Inner, upload: UploadId, offset: u64, hasher: Hasher) -> Result<LocalStaged> {
        const OPENING: &str = "opening an upload's file";
        let slot = inner.slots.get(upload);
        let mut owner = slot.lock();
        let path = inner.path(Key::Upload(upload));
        // Not truncated on opening: until the check below the bytes may still mean something.
        let file = match OpenOptions::new().write(true).create(offset == 0).truncate(false).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(too_short(upload, 0, offset));
            }
            other => other.map_err(|error| StorageError::from_io(OPENING, error))?,
        };
        let length = file.metadata().map_err(|error| StorageError::from_io(OPENING, error))?.len();
        if length < offset {
            return Err(too_short(upload, length, offset));
        }
        if length > offset {
            file.set_len(offset).map_err(|error| StorageError::from_io(OPENING, error))?;
        }
        failpoint::hit(Point::StageOpened).map_err(|error| StorageError::from_io(OPENING, error))?;
        let turn = owner.take_over();
        drop(owner);
        Ok(LocalStaged {
            target: Arc::new(Target { file, slot, turn }),
            progress: Progress { offset, advised: offset, hasher },
            gathered: Vec::new(),
            gathered_bytes: 0,
            in_flight: None,
        })
    }

    /// Waits for the batch in flight and takes over what it did.
    async fn settle(&mut self) -> Result<()> {
        let Some(batch) = &mut self.in_flight else { return Ok(()) };
        let outcome = batch.await;
        self.in_flight = None;
        let outcome = match outcome {
            Ok((progress, outcome)) => {
                self.progress = progress;
                outcome
            }
            Err(_) => Err(shut_down(DURING)),
        };
        if outcome.is_err() {
            // What came after the failed batch has no place to go.
            self.gathered.clear();
            self.gathered_bytes = 0;
        }
        outcome
    }

    /// Sends what has gathered on its way. Nothing must be in flight.
    fn launch(&mut self) {
        let pieces = std::mem::take(&mut self.gathered);
        self.gathered_bytes = 0;
        let (target, mut progress) = (Arc::clone(&self.target), self.progress.clone());
        self.in_flight = Some(tokio::task::spawn_blocking(move || {
            let outcome = write_batch(&target, &mut progress, &pieces);
            (progress, outcome)
        }));
    }
}

#[async_trait]
impl StagedBlob for LocalStaged {
    async fn append(&mut self, pieces: Vec<Bytes>) -> Result<()> {
        for piece in pieces {
            if !piece.is_empty() {
                self.gathered_bytes += piece.len();
                self.gathered.push(piece);
            }
        }
        let busy = self.in_flight.as_ref().is_some_and(|batch| !batch.is_finished());
        if self.gathered_bytes < if busy { BEHIND } else { BATCH } {
            return Ok(());
        }
        self.settle().await?;
        self.launch();
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.settle().await?;
        if self.gathered_bytes > 0 {
            self.launch();
            self.settle().await?;
        }
        Ok(())
    }

    fn offset(&self) -> u64 {
        self.progress.offset
    }

    fn hasher(&self) -> &Hasher {
        &self.progress.hasher
    }
}

/// Writes and hashes one batch. After an error the file ends where it ended before, and so does the hash.
fn write_batch(target: &Target, progress: &mut Progress, pieces: &[Bytes]) -> Result<()> {
    let owner = target.slot.lock();
    if !owner.is(target.turn) {
        let message = String::from("another request went on with this upload");
        return Err(StorageError::Unavailable { during: DURING, message });
    }
    let written = failpoint::hit(Point::StageWriting)
        .and_then(|()| write_all(&target.file, progress.offset, pieces))
        .and_then(|written| failpoint::hit(Point::StageWritten).map(|()| written));
    let written = match written {
        Ok(written) => written,
        Err(error) => {
            if let Err(second) = target.file.set_len(progress.offset) {
                tracing::warn!(error = %second, "an upload's file could not be cut back after a failed write");
            }
            return Err(StorageError::from_io(DURING, error));
        }
    };
    for piece in pieces {
        progress.hasher.update(piece);
    }
    progress.offset += written;
    let new = progress.offset - progress.advised;
    if let Some(length) = NonZeroU64::new(new).filter(|length| length.get() >= WRITE_BEHIND) {
        // Advice only: where it is not taken the fsync at the end is slower.
        let _ = rustix::fs::fadvise(&target.file, progress.advised, Some(length), Advice::DontNeed);
        progress.advised = progress.offset;
    }
    Ok(())
}

fn write_all(file: &File, offset: u64, pieces: &[Bytes]) -> io::Result<u64> {
    let mut written = 0_u64;
    for chunk in pieces.chunks(SLICES) {
        let mut slices: Vec<IoSlice<'_>> = chunk.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let count = match rustix::io::pwritev(file, rest, offset + written) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => count,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            written += count as u64;
            IoSlice::advance_slices(&mut rest, count);
        }
    }
    Ok(written)
}

fn too_short(upload: UploadId, length: u64, offset: u64) -> StorageError {
    StorageError::Corrupt {
        what: format!("upload {upload} has {length} bytes on disk and should have {offset}"),
    }
}

/// Hashes the first `size` bytes again. Blocks.
pub(super) fn hash(
    inner: &Inner,
    upload: UploadId,
    size: u64,
    algorithm: Algorithm,
) -> Result<Option<Hasher>> {
    const HASHING: &str = "hashing an upload's file";
    let mut hasher = Hasher::new(algorithm);
    let slot = inner.slots.get(upload);
    // A batch in flight may be about to be cut off.
    let _owner = slot.lock();
    let file = match File::open(inner.path(Key::Upload(upload))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((size == 0).then_some(hasher)),
        other => other.map_err(|error| StorageError::from_io(HASHING, error))?,
    };
    let mut file = file.take(size);
    let mut buffer = vec![0_u8; 256 * 1024];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((file.limit() == 0).then_some(hasher)),
            Ok(count) => hasher.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StorageError::from_io(HASHING, error)),
        }
    }
}
