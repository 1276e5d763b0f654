//! Bytes under the name of their digest, behind one trait.
//!
//! It knows nothing of repositories, links or sessions beyond a session's name: those are rows. Bytes first gather under
//! an upload's name ([`BlobStore::stage`]) and become a blob in one step ([`BlobStore::publish`]), so that a blob is
//! either whole or absent. A store proves itself by the behaviour suite (`suite`).

pub mod key;
pub mod local;
pub mod storages;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
pub mod verify;

use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use gantry_oci::{Algorithm, Digest, Hasher, UploadId};

use self::verify::{Identity, VerifyBytes};
use crate::clock::Timestamp;
use crate::error::Result;

/// Pieces of a blob in order. Ends early only with an error item.
pub type BlobStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A place for bytes.
#[async_trait]
pub trait BlobStore: VerifyBytes + Send + Sync + 'static {
    /// Begins (offset 0) or goes on with an upload's bytes; what lies behind `offset` is cut off. `hasher` is the state
    /// after `offset` bytes. An earlier handle of the same upload is of no use from then on.
    ///
    /// # Errors
    /// [`crate::StorageError::Corrupt`] when fewer than `offset` bytes are there.
    async fn stage(&self, upload: &UploadId, offset: u64, hasher: Hasher) -> Result<Box<dyn StagedBlob>>;

    /// Reads the first `size` staged bytes again. `None` when fewer are there. For the time after a crash, when the saved
    /// hash state may be ahead of the disk.
    async fn hash_staged(&self, upload: &UploadId, size: u64, algorithm: Algorithm)
    -> Result<Option<Hasher>>;

    /// Turns an upload's bytes into the blob `digest`. Durable when it returns: the bytes, then the directory entries.
    /// The answer is the location for the blob's row; `None`: derived from the digest. Publishing a digest that is there
    /// already replaces its bytes, which heals a damaged file.
    ///
    /// # Errors
    /// [`crate::StorageError::Corrupt`] when not exactly `size` bytes are staged.
    async fn publish(&self, upload: &UploadId, digest: &Digest, size: u64) -> Result<Option<String>>;

    /// Whether a blob of this size lies under `digest`, published by somebody who may not have come to the end of it: if so, it is
    /// durable when this returns, as after [`BlobStore::publish`], and the answer is its location. `None`: there is none.
    async fn confirm(&self, digest: &Digest, size: u64) -> Result<Option<Option<String>>>;

    /// Frees an upload's bytes at once. Fine when there are none.
    async fn discard(&self, upload: &UploadId) -> Result<()>;

    /// Opens a blob. `None`: there are no such bytes, or they have another length. A failing disk is an error, never `None`.
    async fn open(
        &self,
        digest: &Digest,
        location: Option<&str>,
        size: u64,
    ) -> Result<Option<Arc<dyn BlobHandle>>>;

    /// Removes a blob's bytes, whose row must be gone for good. Open handles go on reading. False: there were none. After a power
    /// cut they may be there again, unless [`BlobStore::settle_removed`] was called.
    async fn remove(&self, digest: &Digest, location: Option<&str>) -> Result<bool>;

    /// Makes removals durable.
    async fn settle_removed(&self, digests: Vec<Digest>) -> Result<()>;

    /// Everything that is staged, for clearing up what a crash left. What is not named like an upload is skipped.
    async fn staged(&self) -> Result<Vec<StagedInfo>>;

    /// Room on the medium, where that can be told.
    async fn space(&self) -> Result<Option<Space>>;

    /// Why writes are refused since the disk failed to keep one; `None` while all is well. Never goes back to `None`.
    fn read_only(&self) -> Option<String>;
}

/// An upload's bytes while they arrive. Dropping it leaves them where they are.
#[async_trait]
pub trait StagedBlob: Send {
    /// Hands over pieces to be written and hashed; may return before that is done, so that receiving goes on meanwhile.
    /// An error of an earlier call may come back here. After an error the bytes of the failed batch, and what was handed over
    /// after it, are cut off again: [`StagedBlob::offset`] says from where to go on.
    async fn append(&mut self, pieces: Vec<Bytes>) -> Result<()>;

    /// Waits until everything handed over is written and hashed (not: durable; that is [`BlobStore::publish`]).
    async fn flush(&mut self) -> Result<()>;

    /// Bytes written and hashed so far. Exact after [`StagedBlob::flush`], also after one that failed.
    fn offset(&self) -> u64;

    /// The hash of these bytes.
    fn hasher(&self) -> &Hasher;
}

/// An open blob. It stays readable when the blob is replaced or deleted meanwhile.
pub trait BlobHandle: Send + Sync {
    /// In bytes.
    fn size(&self) -> u64;

    /// Which bytes these are, among all that are ever stored under the same digest.
    fn identity(&self) -> Identity;

    /// The file whose bytes are the blob's, one by one, if `range` is in the kernel's memory as far as that can be told cheaply: for
    /// somebody who can have the kernel send it and must not wait for the disk.
    fn cached_file(&self, range: Range<u64>) -> Option<Arc<File>> {
        let _ = range;
        None
    }

    /// The bytes of `range` (cut to the blob's size): exactly those, or an error item; never fewer with a clean end.
    fn read(&self, range: Range<u64>) -> BlobStream;
}

/// One upload's staged bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedInfo {
    /// The session's name.
    pub upload: UploadId,
    /// When bytes last arrived.
    pub modified: Timestamp,
    /// In bytes.
    pub size: u64,
}

/// Room on the medium, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// All there is.
    pub total: u64,
    /// What may still be written.
    pub free: u64,
}
