//! From an upload's file to a blob.
//!
//! The order is the promise: the bytes reach the disk, then the file gets its name, then the directories that lead to the name
//! reach the disk. After a power cut in between there is either an upload's leftover or a whole blob without a row; never a
//! name with wrong bytes.
//!
//! The blob's directory and the one above it are synced every time, even if somebody else made them: that somebody may not
//! have come to syncing them yet. For the levels above, which hold at most 256 entries, it is remembered who is safe.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use gantry_oci::{Algorithm, Digest, UploadId};

use super::Inner;
use crate::blobs::key::Key;
use crate::error::{Result, StorageError};
use crate::failpoint::{self, Point};

const DURING: &str = "publishing a blob";

/// Directories that this process has seen on the disk, entry in the parent included.
#[derive(Default)]
pub(super) struct DurableDirectories(Mutex<HashSet<PathBuf>>);

/// Blocks.
pub(super) fn publish(inner: &Inner, upload: UploadId, digest: Digest, size: u64) -> Result<()> {
    let io_error = |error| StorageError::from_io(DURING, error);
    let slot = inner.slots.get(upload);
    let mut owner = slot.lock();
    let staged = inner.path(Key::Upload(upload));
    let file = match OpenOptions::new().write(true).open(&staged) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(StorageError::Corrupt { what: format!("upload {upload} has no bytes on disk") });
        }
        other => other.map_err(io_error)?,
    };
    let length = file.metadata().map_err(io_error)?.len();
    if length != size {
        let what = format!("upload {upload} has {length} bytes on disk and should have {size}");
        return Err(StorageError::Corrupt { what });
    }
    owner.retire();
    failpoint::hit(Point::PublishStarted).map_err(io_error)?;
    if let Err(error) = sync(inner, &file, "an upload's file", Point::SyncFile, File::sync_data) {
        // What the disk holds now is anybody's guess; the client must not go on from here.
        let _ = std::fs::remove_file(&staged);
        return Err(error);
    }
    failpoint::hit(Point::PublishSynced).map_err(io_error)?;

    let directory = inner.path(Key::BlobDirectory(digest));
    let shard = inner.path(Key::Shard(digest));
    make_shard(inner, digest, &shard)?;
    make_directory(&directory).map_err(io_error)?;
    failpoint::hit(Point::PublishDirectories).map_err(io_error)?;
    std::fs::rename(&staged, inner.path(Key::Blob(digest))).map_err(io_error)?;
    failpoint::hit(Point::PublishRenamed).map_err(io_error)?;
    sync_directory(inner, &directory)?;
    failpoint::hit(Point::PublishDirectorySynced).map_err(io_error)?;
    sync_directory(inner, &shard)?;
    failpoint::hit(Point::PublishDurable).map_err(io_error)
}

/// Whether the blob is there with this size; then it and its name are durable. Blocks.
pub(super) fn confirm(inner: &Inner, digest: Digest, size: u64) -> Result<bool> {
    let io_error = |error| StorageError::from_io(DURING, error);
    let file = match File::open(inner.path(Key::Blob(digest))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(io_error)?,
    };
    if file.metadata().map_err(io_error)?.len() != size {
        return Ok(false);
    }
    sync(inner, &file, "a blob's file", Point::SyncFile, File::sync_data)?;
    for key in [Key::BlobDirectory(digest), Key::Shard(digest), Key::Algorithm(digest.algorithm())] {
        sync_directory(inner, &inner.path(key))?;
    }
    Ok(true)
}

fn make_shard(inner: &Inner, digest: Digest, shard: &Path) -> Result<()> {
    let durable = &inner.durable.0;
    if durable.lock().unwrap_or_else(PoisonError::into_inner).contains(shard) {
        return Ok(());
    }
    make_directory(shard).map_err(|error| StorageError::from_io(DURING, error))?;
    sync_directory(inner, &inner.path(Key::Algorithm(digest.algorithm())))?;
    durable.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.to_owned());
    Ok(())
}

fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn sync_directory(inner: &Inner, path: &Path) -> Result<()> {
    let directory = File::open(path).map_err(|error| StorageError::from_io(DURING, error))?;
    sync(inner, &directory, "a directory", Point::SyncDirectory, File::sync_all)
}

/// Makes a file or directory durable. A failure is final: the kernel may have dropped what it could not write, and would report
/// success the next time.
fn sync(
    inner: &Inner,
    file: &File,
    what: &str,
    point: Point,
    how: fn(&File) -> io::Result<()>,
) -> Result<()> {
    let outcome = if inner.break_next_sync.swap(false, Ordering::Relaxed) {
        Err(rustix::io::Errno::IO.into())
    } else {
        failpoint::hit(point).and_then(|()| how(file))
    };
    let Err(error) = outcome else { return Ok(()) };
    // Some file systems find out only now that there is no room. Nothing was acknowledged, and room can be made.
    if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        return Err(StorageError::Full { during: DURING });
    }
    let reason = format!("the disk failed to keep {what} ({error})");
    tracing::error!(%error, "the blob store is read-only from now on: the disk failed to keep {what}");
    inner.health.set_read_only(reason.clone());
    Err(StorageError::ReadOnly { reason })
}

/// Makes all directories of the first level and syncs them once, so that no push has to. Where that fails (on a full disk) pushes
/// find out themselves. For the start.
pub(super) fn make_shards(inner: &Inner, algorithm: Algorithm) {
    let above = inner.path(Key::Algorithm(algorithm));
    let shards: Vec<_> = (0..=u8::MAX).map(|shard| above.join(format!("{shard:02x}"))).collect();
    let made = shards.iter().try_for_each(|shard| make_directory(shard));
    match made.and_then(|()| File::open(&above)?.sync_all()) {
        Ok(()) => inner.durable.0.lock().unwrap_or_else(PoisonError::into_inner).extend(shards),
        Err(error) => tracing::debug!(%error, "not all directories of blobs could be made at the start"),
    }
}

/// Makes `path`, which lies below `root`, and every directory between, each durably. For the start.
pub(super) fn make_durable_directory(root: &Path, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent()
        && path != root
    {
        make_durable_directory(root, parent)?;
        make_directory(path)?;
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}
