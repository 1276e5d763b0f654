//! What a check of everything stored asks of the rows, and tells them.
//!
//! Rows know when bytes were last found right and since when they are known to be wrong. What is damaged is not there for
//! clients (so that they upload it again), but its rows, links and tags stay; storing the same bytes again makes it whole for
//! everybody who links it. Nothing here decides what is damaged: who reads the bytes does.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};

use crate::clock::Timestamp;
use crate::error::Result;
use crate::meta::StoredBlob;
use crate::meta::storages::StorageId;

/// The part of [`crate::MetaStore`] that serves checks.
#[async_trait]
pub trait VerifyRows {
    /// Blobs in the order of `walk`, at most `limit`. Bytes that live in the row are hashed on the way.
    async fn blobs_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<BlobRow>>>;

    /// Manifests in the order of `walk`, hashed on the way, at most `limit`.
    async fn manifests_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<ManifestRow>>>;

    /// The same as [`crate::MetaStore::blob`], read anew.
    async fn reread_blob(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Arc<StoredBlob>>>;

    /// A blob's row as it stands, damaged or not.
    async fn blob_state(&self, storage: StorageId, digest: &Digest) -> Result<Option<BlobState>>;

    /// Hides a blob whose bytes in a blob store are wrong. The caller makes sure that nobody stores them anew at the same
    /// time. False: the row has gone, or is known to be damaged.
    async fn hide_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool>;

    /// Hides a blob whose bytes in its row are wrong; they are hashed once more in the transaction. False: they are right.
    async fn hide_inline_blob(&self, digest: &Digest) -> Result<bool>;

    /// Hides a manifest whose bytes are wrong; they are hashed once more in the transaction. False: they are right.
    async fn hide_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    /// Shows a damaged blob again, whose bytes turned out to be right. False: the row has gone, or is not damaged.
    async fn show_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool>;

    /// Shows a damaged manifest again, if its bytes are right.
    async fn show_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    /// Notes that these were read just now and found right. One commit for all of them.
    async fn note_verified(&self, blobs: Vec<(StorageId, Digest)>, manifests: Vec<i64>) -> Result<()>;

    /// How many blobs and manifests are damaged, counted up to [`COUNTED`].
    async fn damaged(&self) -> Result<Damaged>;

    /// Which of these digests have bytes in this storage as far as the rows know.
    async fn stored_blobs(&self, storage: StorageId, digests: Vec<Digest>) -> Result<Vec<bool>>;

    /// Repositories that link a blob of this storage, damaged or not, at most `limit`.
    async fn blob_holders(&self, storage: StorageId, digest: &Digest, limit: usize) -> Result<Vec<RepoName>>;

    /// Edges of the manifests numbered `first` to `last` that lead to nothing in their repository, at most `limit`.
    async fn dangling_edges(&self, first: i64, last: i64, limit: usize) -> Result<Vec<DanglingEdge>>;

    /// What the engine says about itself and about rows that name rows that are not there, at most `limit` lines; none: all is
    /// well. Reads everything.
    async fn check_structure(&self, limit: usize) -> Result<Vec<String>>;
}

/// In which order rows come, and behind which place they go on.
#[derive(Clone, Copy, Debug)]
pub enum Walk {
    /// Every row by rising number, damaged ones too.
    All {
        /// The number of the last row seen.
        after: i64,
    },
    /// Rows that are not known to be damaged, by their last check, the longest ago first.
    Due {
        /// Only those checked before.
        before: Timestamp,
        /// The check and number of the last row seen.
        after: (Timestamp, i64),
    },
}

impl Walk {
    /// Every row from the beginning.
    pub const EVERYTHING: Walk = Walk::All { after: 0 };

    /// What was not checked since `before`, from the beginning.
    #[must_use]
    pub const fn due(before: Timestamp) -> Walk {
        Walk::Due { before, after: (Timestamp(i64::MIN), 0) }
    }

    /// The same walk behind a row.
    #[must_use]
    pub const fn behind(self, verified_at: Timestamp, id: i64) -> Walk {
        match self {
            Walk::All { .. } => Walk::All { after: id },
            Walk::Due { before, .. } => Walk::Due { before, after: (verified_at, id) },
        }
    }
}

/// A row on a walk.
#[derive(Clone, Debug)]
pub struct Row<T> {
    /// Its number.
    pub id: i64,
    /// When it was last checked, in the store's own time; 0: never.
    pub verified_at: Timestamp,
    /// What it holds, or why it cannot be read.
    pub content: std::result::Result<T, String>,
}

/// A blob on a walk.
#[derive(Clone, Debug)]
pub struct BlobRow {
    /// Where its bytes are.
    pub storage: StorageId,
    /// Its name.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Since when it is known to be damaged.
    pub damaged_at: Option<Timestamp>,
    /// Its bytes.
    pub bytes: RowBytes,
}

/// Where a row's bytes are.
#[derive(Clone, Debug)]
pub enum RowBytes {
    /// In the row, which was hashed.
    Inline {
        /// Whether they are those of the digest.
        whole: bool,
    },
    /// In the blob store.
    Stored {
        /// As the row names it.
        location: Option<String>,
    },
}

/// A manifest on a walk.
#[derive(Clone, Debug)]
pub struct ManifestRow {
    /// Where it is.
    pub repo: RepoName,
    /// Its name.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Since when it is known to be damaged.
    pub damaged_at: Option<Timestamp>,
    /// Whether its bytes are those of the digest.
    pub whole: bool,
}

/// What a blob's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobState {
    /// In bytes.
    pub size: u64,
    /// In the blob store; `None`: derived from the digest.
    pub location: Option<String>,
    /// Since when it is known to be damaged.
    pub damaged_at: Option<Timestamp>,
}

/// Damaged things beyond this number are not counted one by one.
pub const COUNTED: u64 = 100_000;

/// How much is damaged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damaged {
    /// Blobs.
    pub blobs: u64,
    /// Manifests.
    pub manifests: u64,
}

/// A manifest names something that its repository does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DanglingEdge {
    /// Where.
    pub repo: RepoName,
    /// Who names it.
    pub manifest: Digest,
    /// What is named.
    pub target: Digest,
    /// Whether it is named as a manifest, and else as a blob.
    pub is_manifest: bool,
}
