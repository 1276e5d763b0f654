//! A blob that is pulled whole and was not checked for long is hashed while it streams.
//!
//! The last piece goes out only when the hash is right, so that wrong bytes are never a complete answer. A blob that was checked
//! lately streams as if this were not here. Ranges are not hashed: they do not see all bytes.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use gantry_oci::{Digest, Hasher, RepoName};
use gantry_storage::{BlobHandle, BlobStream, Identity, StorageError, StoredBlob};

use super::{Inner, Place, Result, Verifier};

impl Verifier {
    /// The handle, or one that checks what it reads, when that is due.
    ///
    /// # Errors
    /// The store failed.
    pub(in crate::registry) async fn watch(
        &self,
        repo: &RepoName,
        blob: &StoredBlob,
        handle: Arc<dyn BlobHandle>,
    ) -> Result<Arc<dyn BlobHandle>> {
        if blob.size == 0 || !self.0.is_due(blob.verified_at) {
            return Ok(handle);
        }
        // The record may be older than the last check.
        let now = self.0.meta.reread_blob(repo, &blob.digest).await?;
        if now.is_some_and(|now| !self.0.is_due(now.verified_at)) {
            return Ok(handle);
        }
        let place = (blob.content.storage(), blob.digest);
        Ok(Arc::new(Watched { handle, place, checks: Arc::clone(&self.0) }))
    }
}

struct Watched {
    handle: Arc<dyn BlobHandle>,
    place: Place,
    checks: Arc<Inner>,
}

impl BlobHandle for Watched {
    fn size(&self) -> u64 {
        self.handle.size()
    }

    fn identity(&self) -> Identity {
        self.handle.identity()
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        let pieces = self.handle.read(range.clone());
        if range.start > 0 || range.end < self.size() {
            return pieces;
        }
        Box::pin(Hashing {
            pieces,
            left: self.size(),
            hasher: Hasher::new(self.place.1.algorithm()),
            place: self.place,
            handle: Arc::clone(&self.handle),
            checks: Arc::clone(&self.checks),
        })
    }
}

struct Hashing {
    pieces: BlobStream,
    left: u64,
    hasher: Hasher,
    place: Place,
    /// Open until something is done about its bytes, so that no other file takes their identity.
    handle: Arc<dyn BlobHandle>,
    checks: Arc<Inner>,
}

impl Stream for Hashing {
    type Item = gantry_storage::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.pieces.as_mut().poll_next(context));
        let Some(Ok(piece)) = &item else { return Poll::Ready(item) };
        self.hasher.update(piece);
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left > 0 {
            return Poll::Ready(item);
        }
        self.checks.bytes.fetch_add(self.handle.size(), Ordering::Relaxed);
        let actual = self.hasher.finish();
        let (_, digest) = self.place;
        if actual == digest {
            self.checks.note(self.place);
            return Poll::Ready(item);
        }
        let what = format!("the bytes of blob {digest} are those of {actual}");
        self.condemn(actual);
        Poll::Ready(Some(Err(StorageError::Corrupt { what })))
    }
}

impl Hashing {
    /// In a task of its own: the answer is being cut, and what reads it goes away.
    fn condemn(&self, actual: Digest) {
        let (checks, handle, place) = (Arc::clone(&self.checks), Arc::clone(&self.handle), self.place);
        tokio::spawn(async move {
            let (storage, digest) = place;
            Verifier(checks).wrong(storage, digest, actual, handle.identity()).await;
            drop(handle);
        });
    }
}
