//! Storages in the rows: which of them has a blob's bytes, and how links go over from one to another.
//!
//! A blob has a row for each storage that has its bytes; a repository has one link for each digest, to one of these rows. So
//! whoever reads asks nothing about storages: the link says where the bytes are. Which storage a repository's pushes go to is
//! no row: the caller says so.

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};

use crate::error::Result;

/// A storage's number. Names may be chosen anew; numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorageId(pub(crate) i64);

impl StorageId {
    /// No storage: the bytes are in their row, and belong to every storage alike.
    pub const ROWS: StorageId = StorageId(0);
    /// The one that is always there.
    pub const DEFAULT: StorageId = StorageId(1);

    /// Whether it is none: the bytes are in their row.
    #[must_use]
    pub fn is_in_rows(self) -> bool {
        self == StorageId::ROWS
    }
}

/// The part of [`crate::MetaStore`] that moves links between storages.
#[async_trait]
pub trait StorageRows {
    /// Links of the repositories at and below `prefix` (whole components; the empty text is all of them), by repository and then by
    /// row, strictly after `after`. About `limit` of them; a page may be empty although others follow.
    async fn links_below(&self, prefix: &str, after: Option<LinkCursor>, limit: usize) -> Result<LinksPage>;

    /// Links that still are as they were read go over to the row of the same digest in another storage, which is made when it is not
    /// there, in one transaction. Rows that lose their last link go, and their files with the next sweep, as if a client had deleted
    /// them. The bytes must be durable before, and have been noted with [`crate::MetaStore::free_bytes`] before that: nobody may want them any more.
    async fn relink(&self, links: Vec<Relink>) -> Result<Relinked>;

    /// Whether this storage has the blob, undamaged.
    async fn has_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool>;

    /// What each storage has, and what the rows have. Counts all blobs: for people who ask, not for requests.
    async fn usage(&self) -> Result<Vec<Usage>>;
}

/// What a storage has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Which.
    pub storage: StorageId,
    /// Blobs, each once.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A repository's link to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where.
    pub repo: RepoName,
    /// To what.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where the bytes are.
    pub storage: StorageId,
    /// In that storage; `None`: derived from the digest.
    pub location: Option<String>,
    /// Whether the bytes are known to be wrong.
    pub damaged: bool,
}

/// A place in the walk over links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkCursor {
    /// The repository's name.
    pub repo: String,
    /// The row's number.
    pub blob: i64,
}

/// Links, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinksPage {
    /// In order.
    pub links: Vec<Link>,
    /// `None`: that was all.
    pub next: Option<LinkCursor>,
}

/// A link that goes over.
#[derive(Clone, Debug)]
pub struct Relink {
    /// As it was read.
    pub link: Link,
    /// The storage that has the bytes now too.
    pub to: StorageId,
    /// Where they are there; `None`: derived from the digest.
    pub location: Option<String>,
    /// Whether the bytes were written there for this, and not found there.
    pub copied: bool,
}

/// What became of links that were to go over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relinked {
    /// They have.
    pub moved: u64,
    /// They were not as they had been any more: deleted, or pushed anew.
    pub changed: u64,
}
