//! A local directory.
//!
//! An upload gathers in a file of its own (`stage`) and becomes a blob by a rename (`publish`). Blobs never change once they
//! have their name, so readers need no lock (`read`).
//!
//! No byte goes through `tokio::fs`: writing and hashing share one hop to a blocking thread, and reading tries the page cache
//! from the async thread first.

mod buffers;
mod publish;
mod read;
mod remove;
mod slots;
mod stage;
mod verify;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use gantry_oci::{Algorithm, Digest, Hasher, UploadId};

use self::buffers::Buffers;
use self::publish::DurableDirectories;
use self::read::LocalBlob;
use self::slots::Slots;
use self::stage::LocalStaged;
use super::key::Key;
use super::{BlobHandle, BlobStore, Space, StagedBlob, StagedInfo};
use crate::clock::Timestamp;
use crate::error::{Result, StorageError};
use crate::health::Health;

/// [`BlobStore`] in a local directory. A clone is another handle to the same store.
#[derive(Clone)]
pub struct LocalBlobs(Arc<Inner>);

struct Inner {
    root: PathBuf,
    /// The root opened, for lookups relative to it.
    root_directory: File,
    health: Health,
    slots: Slots,
    buffers: Arc<Buffers>,
    durable: DurableDirectories,
    /// For tests: the next fsync fails.
    break_next_sync: AtomicBool,
}

impl LocalBlobs {
    /// Opens the directory and makes the parts of the tree that are always there, durably.
    ///
    /// # Errors
    /// The system's, when the directory cannot be made or opened.
    pub fn open(root: &Path) -> io::Result<LocalBlobs> {
        LocalBlobs::open_with(root, Health::default())
    }

    /// The same for one half of a store.
    pub(crate) fn open_with(root: &Path, health: Health) -> io::Result<LocalBlobs> {
        for key in
            [Key::Uploads, Key::Blobs, Key::Algorithm(Algorithm::Sha256), Key::Algorithm(Algorithm::Sha512)]
        {
            publish::make_durable_directory(root, &root.join(key.to_string()))?;
        }
        let inner = Inner {
            root: root.to_owned(),
            root_directory: File::open(root)?,
            health,
            slots: Slots::default(),
            buffers: Arc::new(Buffers::default()),
            durable: DurableDirectories::default(),
            break_next_sync: AtomicBool::new(false),
        };
        publish::make_shards(&inner, Algorithm::Sha256);
        Ok(LocalBlobs(Arc::new(inner)))
    }

    /// For tests: the next fsync fails as if the disk had failed.
    #[cfg(any(test, feature = "suite"))]
    pub fn break_next_sync(&self) {
        self.0.break_next_sync.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Runs file work on a blocking thread.
    async fn blocking<T, F>(&self, during: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Inner) -> Result<T> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        hop(during, move || work(&inner)).await
    }
}

/// In a directory a blob's place follows from its digest.
fn refuse_location(digest: &Digest, location: Option<&str>) -> Result<()> {
    let Some(location) = location else { return Ok(()) };
    let what = format!("the row of blob {digest} names the place `{location}`, which a directory never does");
    Err(StorageError::Corrupt { what })
}

/// Runs file work on a blocking thread of the runtime.
async fn hop<T, F>(during: &'static str, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(shut_down(during)))
}

fn shut_down(during: &'static str) -> StorageError {
    StorageError::Unavailable { during, message: String::from("the program is shutting down") }
}

impl Inner {
    fn path(&self, key: Key) -> PathBuf {
        self.root.join(key.to_string())
    }

    fn check_writable(&self) -> Result<()> {
        self.health.read_only().map_or(Ok(()), |reason| Err(StorageError::ReadOnly { reason }))
    }
}

#[async_trait]
impl BlobStore for LocalBlobs {
    async fn stage(&self, upload: &UploadId, offset: u64, hasher: Hasher) -> Result<Box<dyn StagedBlob>> {
        let upload = *upload;
        let staged = self
            .blocking("opening an upload's file", move |inner| {
                inner.check_writable()?;
                LocalStaged::open(inner, upload, offset, hasher)
            })
            .await?;
        Ok(Box::new(staged))
    }

    async fn hash_staged(
        &self,
        upload: &UploadId,
        size: u64,
        algorithm: Algorithm,
    ) -> Result<Option<Hasher>> {
        let upload = *upload;
        self.blocking("hashing an upload's file", move |inner| stage::hash(inner, upload, size, algorithm))
            .await
    }

    async fn publish(&self, upload: &UploadId, digest: &Digest, size: u64) -> Result<Option<String>> {
        let (upload, digest) = (*upload, *digest);
        self.blocking("publishing a blob", move |inner| {
            inner.check_writable()?;
            publish::publish(inner, upload, digest, size)
        })
        .await?;
        Ok(None)
    }

    async fn confirm(&self, digest: &Digest, size: u64) -> Result<Option<Option<String>>> {
        let digest = *digest;
        let there = self
            .blocking("confirming a blob", move |inner| {
                inner.check_writable()?;
                publish::confirm(inner, digest, size)
            })
            .await?;
        Ok(there.then_some(None))
    }

    async fn discard(&self, upload: &UploadId) -> Result<()> {
        let upload = *upload;
        self.blocking("discarding an upload", move |inner| {
            let slot = inner.slots.get(upload);
            let mut owner = slot.lock();
            owner.retire();
            match std::fs::remove_file(inner.path(Key::Upload(upload))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(StorageError::from_io("discarding an upload", error))
                }
                _ => Ok(()),
            }
        })
        .await
    }

    async fn open(
        &self,
        digest: &Digest,
        location: Option<&str>,
        size: u64,
    ) -> Result<Option<Arc<dyn BlobHandle>>> {
        refuse_location(digest, location)?;
        let digest = *digest;
        let opened = match read::open_cached(&self.0, digest) {
            Some(file) => file,
            None => self.blocking("opening a blob", move |inner| read::open(inner, digest)).await?,
        };
        let Some(file) = opened else { return Ok(None) };
        let metadata = file.metadata().map_err(|error| StorageError::from_io("opening a blob", error))?;
        let length = metadata.len();
        if length != size {
            tracing::error!(%digest, length, expected = size, "blob {digest} has the wrong length on disk");
            return Ok(None);
        }
        Ok(Some(Arc::new(LocalBlob::new(
            file,
            size,
            verify::identity(&metadata),
            Arc::clone(&self.0.buffers),
        ))))
    }

    async fn remove(&self, digest: &Digest, location: Option<&str>) -> Result<bool> {
        refuse_location(digest, location)?;
        let digest = *digest;
        self.blocking("removing a blob", move |inner| remove::remove(inner, digest)).await
    }

    async fn settle_removed(&self, digests: Vec<Digest>) -> Result<()> {
        self.blocking("removing a blob", move |inner| remove::settle(inner, &digests)).await
    }

    async fn staged(&self) -> Result<Vec<StagedInfo>> {
        const DURING: &str = "listing uploads";
        self.blocking(DURING, |inner| {
            let mut found = Vec::new();
            let fail = |error| StorageError::from_io(DURING, error);
            for entry in std::fs::read_dir(inner.path(Key::Uploads)).map_err(fail)? {
                let entry = entry.map_err(fail)?;
                let Some(upload) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                let metadata = match entry.metadata() {
                    Ok(metadata) if metadata.is_file() => metadata,
                    Ok(_) => continue,
                    // Published or discarded meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(fail(error)),
                };
                let modified = Timestamp::from(metadata.modified().map_err(fail)?);
                found.push(StagedInfo { upload, modified, size: metadata.len() });
            }
            Ok(found)
        })
        .await
    }

    async fn space(&self) -> Result<Option<Space>> {
        self.blocking("asking for free space", |inner| {
            let stat = rustix::fs::fstatvfs(&inner.root_directory)
                .map_err(|error| StorageError::from_io("asking for free space", error.into()))?;
            Ok(Some(Space {
                total: stat.f_blocks.saturating_mul(stat.f_frsize),
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
            }))
        })
        .await
    }

    fn read_only(&self) -> Option<String> {
        self.0.health.read_only()
    }
}
