//! Blobs: readable in a repository only through its link.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};
use gantry_storage::{BlobContent, BlobHandle, BlobStream, Deleted, StorageError, StoredBlob, TagLocks};

use super::{Registry, RegistryError, Result};

/// A blob's record in a repository.
pub type Blob = Arc<StoredBlob>;

/// A blob that is open for reading.
#[derive(Clone)]
pub enum BlobBytes {
    /// All of it is in memory.
    Inline(Bytes),
    /// It is read bit by bit.
    Stored(Arc<dyn BlobHandle>),
}

impl BlobBytes {
    /// Exactly the bytes of `range`, which must lie within the blob.
    pub fn read(&self, range: Range<u64>) -> BlobStream {
        match self {
            BlobBytes::Inline(bytes) => {
                let start = usize::try_from(range.start).unwrap_or(usize::MAX).min(bytes.len());
                let end = usize::try_from(range.end).unwrap_or(usize::MAX).clamp(start, bytes.len());
                Box::pin(futures_util::stream::iter([Ok(bytes.slice(start..end))]))
            }
            BlobBytes::Stored(handle) => handle.read(range),
        }
    }
}

/// What somebody who asks for a blob or a manifest will do with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Read it. That goes on where nothing can be written.
    ToRead,
    /// Rely on its being there, and not push it. Where the promise cannot be written down there is none.
    WhetherItIsThere,
}

impl Asked {
    /// What to tell after a promise had to be renewed.
    pub(super) fn renewed<T>(self, renewed: Result<bool, StorageError>, thing: T) -> Result<Option<T>> {
        match (renewed, self) {
            (Ok(there), _) => Ok(there.then_some(thing)),
            (Err(StorageError::ReadOnly { .. } | StorageError::Full { .. }), Asked::ToRead) => {
                Ok(Some(thing))
            }
            (Err(error), _) => Err(error.into()),
        }
    }
}

impl Registry {
    /// A blob's record (end-2).
    ///
    /// # Errors
    /// Neither repository nor blob, or the store failed.
    pub async fn blob(&self, repo: &RepoName, digest: &Digest, asked: Asked) -> Result<Blob> {
        match self.promised_blob(repo, digest, asked).await? {
            Some(blob) => Ok(blob),
            None => Err(self.missing(repo, blob_unknown(repo, digest)).await),
        }
    }

    /// A blob that a client is about to be told of, and will rely on: the sweep leaves it alone for the grace period.
    async fn promised_blob(&self, repo: &RepoName, digest: &Digest, asked: Asked) -> Result<Option<Blob>> {
        let Some(blob) = self.meta.blob(repo, digest).await? else { return Ok(None) };
        if !self.limits.promises.must_renew(blob.unreferenced_since, self.meta.now()) {
            return Ok(Some(blob));
        }
        asked.renewed(self.meta.renew_blob(repo, digest).await, blob)
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// The store failed, or lost the bytes.
    pub async fn open_blob(&self, repo: &RepoName, blob: &Blob) -> Result<BlobBytes> {
        Ok(self.open_where_it_is(repo, blob).await?.1)
    }

    /// Opens a blob for reading all of it: bytes that were not checked for long are checked on the way, and break off when they
    /// are wrong.
    ///
    /// # Errors
    /// The store failed, or lost the bytes.
    pub async fn open_whole_blob(&self, repo: &RepoName, blob: &Blob) -> Result<BlobBytes> {
        Ok(match self.open_where_it_is(repo, blob).await? {
            (blob, BlobBytes::Stored(handle)) => {
                BlobBytes::Stored(self.verifier.watch(repo, &blob, handle).await?)
            }
            (_, inline) => inline,
        })
    }

    /// The record may be older than a move of the blob to another storage: then that is the one to be read, and what is given back.
    async fn open_where_it_is(&self, repo: &RepoName, blob: &Blob) -> Result<(Blob, BlobBytes)> {
        let mut blob = Arc::clone(blob);
        for _ in 0..MOVES {
            let (storage, location) = match &blob.content {
                BlobContent::Inline(bytes) => {
                    let bytes = BlobBytes::Inline(bytes.clone());
                    return Ok((blob, bytes));
                }
                BlobContent::Stored { storage, location } => (*storage, location.as_deref()),
            };
            let opened = self.storages().blobs(storage)?.open(&blob.digest, location, blob.size).await?;
            if let Some(handle) = opened {
                return Ok((blob, BlobBytes::Stored(handle)));
            }
            // Deleted and swept since its record was read, or moved?
            match self.meta.blob(repo, &blob.digest).await? {
                Some(now) if now.content.storage() == storage => {
                    self.verifier.lost(storage, &blob.digest, blob.size).await;
                    return Err(RegistryError::BytesMissing(blob.digest));
                }
                Some(now) => blob = now,
                None => return Err(blob_unknown(repo, &blob.digest)),
            }
        }
        Err(RegistryError::Internal("a blob goes from storage to storage faster than it can be opened"))
    }

    /// Takes a blob out of a repository (end-10). Other repositories keep it.
    ///
    /// # Errors
    /// Neither repository nor blob, a tag that is held needs it, or the store failed.
    pub async fn delete_blob(&self, repo: &RepoName, digest: &Digest, locks: &TagLocks) -> Result<()> {
        match self.meta.delete_blob(repo, digest, locks).await? {
            Deleted::Done => Ok(()),
            Deleted::Locked(locked) => Err(RegistryError::TagLocked(locked)),
            Deleted::Unknown => Err(self.missing(repo, blob_unknown(repo, digest)).await),
        }
    }

    /// Links a blob that another repository holds (end-11): `from` when it is named, else any that the caller
    /// `may_pull`. Already being there counts as mounted. What lies in another storage is not mounted: the bytes would not be where
    /// this repository's belong.
    ///
    /// Says whether the blob is in the repository now; `false` means that it has to be uploaded.
    ///
    /// # Errors
    /// The store failed.
    pub async fn mount_blob(
        &self,
        repo: &RepoName,
        digest: &Digest,
        from: Option<&RepoName>,
        may_pull: impl Fn(&RepoName) -> bool,
    ) -> Result<bool> {
        if self.promised_blob(repo, digest, Asked::WhetherItIsThere).await?.is_some() {
            return Ok(true);
        }
        let storage = self.places.of(repo)?.id;
        let candidates = match from {
            Some(from) => vec![from.clone()],
            None => self.meta.repositories_with_blob(digest, MOUNT_CANDIDATES).await?,
        };
        for from in candidates.iter().filter(|from| may_pull(from)) {
            if self.meta.mount_blob(digest, from, repo, storage).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// How often a blob may move while it is opened.
const MOVES: usize = 8;

/// How many repositories are looked at for a mount that names none.
const MOUNT_CANDIDATES: usize = 100;

fn blob_unknown(repo: &RepoName, digest: &Digest) -> RegistryError {
    RegistryError::BlobUnknown { repo: repo.clone(), digest: *digest }
}
