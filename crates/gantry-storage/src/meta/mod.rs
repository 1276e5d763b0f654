//! Everything that has a relation, behind one trait of domain methods.
//!
//! It is not a general database interface: each method is one question or one change of a registry, and each change is
//! one transaction, so that an engine is free in how it gets there. SQL text appears below this module and nowhere else.
//! An engine proves itself by the behaviour suite (`suite`), which runs on any `Arc<dyn MetaStore>`.
//!
//! Order is byte order of the UTF-8 text everywhere, and pages are keyset pages: "at most `limit`, strictly after this".

pub mod access;
pub mod images;
pub mod jobs;
mod referrers;
pub mod search;
pub mod sqlite;
pub mod storages;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod sweep;
pub mod verify;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Algorithm, Digest, Reference, RepoName, Tag, UploadId};

use self::access::{AccessRows, LockedTag, TagLocks};
use self::images::ImageRows;
use self::jobs::JobRows;
pub use self::referrers::{Annotations, REFERRERS_PAGE_BYTES, Referrer, ReferrersPage};
use self::search::SearchRows;
use self::storages::{StorageId, StorageRows};
pub use self::sweep::{Candidate, CandidateKind, Cursor, DeletedSubject, FreedBlob, Sweep, Swept};
use self::verify::VerifyRows;
use crate::clock::{StoreClock, Timestamp};
use crate::error::Result;

/// The rows of a registry. Every write is durable when it returns, unless its name says otherwise.
#[async_trait]
pub trait MetaStore:
    AccessRows + VerifyRows + StorageRows + JobRows + ImageRows + SearchRows + Send + Sync + 'static
{
    /// Names of repositories in byte order, strictly after `after`, at most `limit`.
    async fn catalog(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>>;

    /// Whether anything was ever stored under this name.
    async fn repository_exists(&self, repo: &RepoName) -> Result<bool>;

    /// Tags in byte order, strictly after `after`, at most `limit`. `None`: the repository is unknown.
    async fn tags(&self, repo: &RepoName, after: Option<&str>, limit: usize) -> Result<Option<Vec<String>>>;

    /// The manifest behind a tag or a digest in this repository.
    async fn manifest(&self, repo: &RepoName, reference: &Reference) -> Result<Option<Arc<StoredManifest>>>;

    /// Stores a manifest, its edges and its tags, if every blob and child that it needs is in this repository; the check
    /// is part of the transaction. Nothing is written when something is missing, or when one of the tags is to be moved that may not be.
    async fn put_manifest(&self, manifest: NewManifest) -> Result<PutManifest>;

    /// Removes a tag, unless it is held.
    async fn delete_tag(&self, repo: &RepoName, tag: &Tag, locks: &TagLocks) -> Result<Deleted>;

    /// Removes a manifest and every tag that points to it, unless one of these is held, or one of an index that lists it.
    async fn delete_manifest(&self, repo: &RepoName, digest: &Digest, locks: &TagLocks) -> Result<Deleted>;

    /// Removes every tag and manifest of a repository, and its images, in one transaction, unless a tag is held: then nothing. What was
    /// there of blobs goes with the next sweeps; the name stays known.
    async fn delete_repository(&self, repo: &RepoName, locks: &TagLocks) -> Result<Deleted>;

    /// Manifests in this repository whose `subject` is this digest (which need not exist), by rising cursor, strictly
    /// after `after`, at most `limit`, and as [`ReferrersPage::cut`] cuts. `artifact_types` is a union; none at all means every type.
    /// The same question may get the same page until a manifest changes it, with what was rendered of it.
    async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_types: &[String],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Arc<ReferrersPage>>;

    /// A blob as seen from this repository: only through the repository's own link.
    async fn blob(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Arc<StoredBlob>>>;

    /// A blob in any repository whose bytes are in this storage or in its row. For the path that stores an upload; never the answer
    /// to a client.
    async fn any_blob(&self, storage: StorageId, digest: &Digest) -> Result<Option<Arc<StoredBlob>>>;

    /// Repositories that hold a link to this blob, at most `limit`, in no promised order.
    async fn repositories_with_blob(&self, digest: &Digest, limit: usize) -> Result<Vec<RepoName>>;

    /// Stores a blob's row (kept as it is when there already), links it into the repository (made when new) and ends the
    /// upload session, in one transaction. The bytes must be durable before.
    async fn put_blob(&self, blob: NewBlob) -> Result<()>;

    /// Links a blob into `to`, whose bytes belong in `storage`, if `from` holds the link in the moment of the transaction. False: it
    /// does not, or the bytes are in another storage only.
    async fn mount_blob(
        &self,
        digest: &Digest,
        from: &RepoName,
        to: &RepoName,
        storage: StorageId,
    ) -> Result<bool>;

    /// Removes the repository's link; the bytes stay for others. False: there was none.
    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    /// The same, unless a tag is held of something that needs the blob.
    async fn delete_blob(&self, repo: &RepoName, digest: &Digest, locks: &TagLocks) -> Result<Deleted>;

    /// Notes where an upload session stands, without waiting for a disk: when it returns the row survives `kill -9`, and readers of
    /// this process see it. The newest row of each session is written together with other commits, at the latest after two
    /// seconds. A power cut before that costs the client a part of its upload, never the truth: the session then stands
    /// where it stood before.
    ///
    /// # Errors
    /// The row will be written when that is possible, and would not survive `kill -9` until then.
    fn save_upload_soon(&self, upload: UploadRow) -> Result<()>;

    /// An upload session, including one that is not written yet.
    async fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>>;

    /// Ends an upload session. False: there was none. The staged bytes are the blob store's matter.
    async fn delete_upload(&self, id: &UploadId) -> Result<bool>;

    /// Sessions that nobody touched since `touched_before`, the oldest first, at most `limit`.
    async fn expired_uploads(&self, touched_before: Timestamp, limit: usize) -> Result<Vec<UploadRow>>;

    /// What the bytes of each session that are in the blob store come to. A crash may have left them under this name, without a
    /// row: then the session goes on with them.
    async fn upload_digests(&self) -> Result<HashSet<Digest>>;

    /// The store's own time, by which promises and upload sessions expire.
    fn clock(&self) -> StoreClock;

    /// What it says now.
    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// Renews the date of a blob's link, if it has one, before a client is told that the blob is there. False: there is no
    /// such link any more.
    async fn renew_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    /// The same for a manifest that neither a tag nor an index names.
    async fn renew_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool>;

    /// What may go, the oldest date first: at most `limit`, strictly after `after`, dated `cutoff` or earlier.
    async fn candidates(
        &self,
        kind: CandidateKind,
        cutoff: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Candidate>>;

    /// Decides about candidates and removes what may go, in one transaction: [`crate::lease`] decides, on facts that are
    /// read inside of it. With `dry_run` nothing is changed. What goes with an image, because nothing else stands on it, follows that in
    /// the answer.
    async fn sweep(&self, sweep: Sweep) -> Result<Vec<Swept>>;

    /// Manifests that were deleted while others referred to them, the longest ago first.
    async fn deleted_subjects(
        &self,
        cutoff: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<DeletedSubject>>;

    /// Referrers of a deleted subject as candidates, strictly after the number `after`, at most `limit`.
    async fn orphaned_referrers(
        &self,
        subject: &DeletedSubject,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Candidate>>;

    /// The referrers of this subject have been dealt with. Changes nothing if it was deleted once more meanwhile.
    async fn forget_subject(&self, subject: &DeletedSubject) -> Result<()>;

    /// Bytes in the blob store whose row is gone, strictly after the number `after`, at most `limit`.
    async fn freed_blobs(&self, after: u64, limit: usize) -> Result<Vec<FreedBlob>>;

    /// Remembers bytes that were published and will get no row, so that the next sweep removes them.
    async fn free_bytes(
        &self,
        storage: StorageId,
        digest: &Digest,
        size: u64,
        location: Option<&str>,
    ) -> Result<()>;

    /// These bytes are gone, or belong to a row again.
    async fn forget_freed(&self, freed: Vec<FreedBlob>) -> Result<()>;

    /// Waits until everything that was given before to a method whose name says "soon" is durable.
    async fn flush(&self) -> Result<()>;

    /// Why writes are refused since a commit failed; `None` while all is well. Never goes back to `None`.
    fn read_only(&self) -> Option<String>;

    /// Counters since start and sizes now. Cheap.
    fn stats(&self) -> MetaStats;
}

/// A manifest as it was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// Of `bytes`.
    pub digest: Digest,
    /// What it is served as.
    pub media_type: String,
    /// The exact bytes that were pushed.
    pub bytes: Bytes,
    /// The date since which neither a tag nor an index names it (see [`crate::lease`]); referrers have none.
    pub idle_since: Option<Timestamp>,
}

/// A manifest to store, already parsed and checked against its digest.
#[derive(Clone, Debug)]
pub struct NewManifest {
    /// Where it goes; made when it does not exist.
    pub repo: RepoName,
    /// Of `bytes`.
    pub digest: Digest,
    /// What it will be served as.
    pub media_type: String,
    /// The exact bytes.
    pub bytes: Bytes,
    /// Tags to point at it, moved if they exist.
    pub tags: Vec<Tag>,
    /// The complete image of the repository that it was made of, and under whose id its tags are known in v1.
    pub image: Option<ImageId>,
    /// What the v1 client says it is that sets the tags; nothing, where there is none.
    pub agent: String,
    /// Tags that may not be moved. One that points to this manifest already does not move.
    pub locks: TagLocks,
    /// The manifest that this one refers to; need not exist.
    pub subject: Option<Digest>,
    /// As the referrers list shows and filters it.
    pub artifact_type: Option<String>,
    /// As the referrers list shows them.
    pub annotations: BTreeMap<String, String>,
    /// Blobs, each once; they must be linked in the repository unless `allow_missing`.
    pub blobs: Vec<Digest>,
    /// Child manifests, each once; they must be in the repository unless `allow_missing`.
    pub manifests: Vec<Digest>,
    /// Accept a manifest although what it names is not (yet) all there.
    pub allow_missing: bool,
}

/// What became of [`MetaStore::put_manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutManifest {
    /// Durable.
    Stored,
    /// Nothing was written: [`NewManifest::image`] is not a complete image of the repository.
    NoImage,
    /// Nothing was written: these blobs and manifests are not in the repository.
    Missing(Vec<Digest>),
    /// Nothing was written: this tag points to another manifest, and is held there.
    Locked(LockedTag),
}

/// What became of [`MetaStore::delete_tag`] or [`MetaStore::delete_manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// Gone, durably.
    Done,
    /// There was none.
    Unknown,
    /// Nothing was removed: this tag is held.
    Locked(LockedTag),
}

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// Of the content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where the bytes are.
    pub content: BlobContent,
    /// The date since which no manifest of the repository names it (see [`crate::lease`]); always `None` in the answer of
    /// [`MetaStore::any_blob`].
    pub unreferenced_since: Option<Timestamp>,
    /// When the bytes were last read whole and found right, their arrival included; 0: never. A record from memory may not know
    /// of the last check yet: [`VerifyRows::reread_blob`] does.
    pub verified_at: Timestamp,
}

/// Where a blob's bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobContent {
    /// In the row itself: small blobs.
    Inline(Bytes),
    /// In a blob store.
    Stored {
        /// Which one.
        storage: StorageId,
        /// As [`crate::BlobStore::publish`] named it; `None`: derived from the digest.
        location: Option<String>,
    },
}

impl BlobContent {
    /// Which storage they are in; the row is [`StorageId::ROWS`].
    #[must_use]
    pub fn storage(&self) -> StorageId {
        match self {
            BlobContent::Inline(_) => StorageId::ROWS,
            BlobContent::Stored { storage, .. } => *storage,
        }
    }
}

/// A blob to store and link.
#[derive(Clone, Debug)]
pub struct NewBlob {
    /// Where it is linked; made when it does not exist.
    pub repo: RepoName,
    /// Of the content.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// Where the bytes are, durable already.
    pub content: BlobContent,
    /// The session that ends with it.
    pub upload: Option<UploadId>,
    /// Whether a link to the same digest in another storage goes over to this one. Else a whole one stays, and these bytes go: the
    /// repository's storage has changed since the upload began.
    pub displaces: bool,
    /// Links of the repository with this date or a later one are renewed: [`crate::Terms::renew_with_upload`].
    pub renew_from: Option<Timestamp>,
}

/// Where an upload session stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// Its name.
    pub id: UploadId,
    /// The only repository under which it may be used.
    pub repo: RepoName,
    /// The only identity that may use it.
    pub owner: String,
    /// Where its bytes go, from its beginning to its end.
    pub storage: StorageId,
    /// What it is hashed with.
    pub algorithm: Algorithm,
    /// Bytes received so far.
    pub offset: u64,
    /// The saved hash of these bytes.
    pub hash_state: Vec<u8>,
    /// The bytes themselves while they are few; then nothing is staged in the blob store.
    pub buffered: Option<Bytes>,
    /// When it began.
    pub started: Timestamp,
    /// When it was last used.
    pub touched: Timestamp,
}

/// Upper bounds of the buckets of [`MetaStats::group_sizes`]; the last bucket has none.
pub const GROUP_SIZE_BUCKETS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// Counters since start, sizes now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaStats {
    /// Transactions committed.
    pub commits: u64,
    /// Operations that these transactions carried.
    pub operations: u64,
    /// Transactions by the number of operations they carried: up to 1, 2, 4, 8, 16, 32, 64, 128 ([`GROUP_SIZE_BUCKETS`]),
    /// more. Not cumulative.
    pub group_sizes: [u64; 9],
    /// Manifests answered from memory.
    pub manifest_hits: u64,
    /// Manifests read from the database.
    pub manifest_misses: u64,
    /// Blob links answered from memory.
    pub blob_hits: u64,
    /// Blob links read from the database.
    pub blob_misses: u64,
    /// Pages of referrers answered from memory.
    pub referrers_hits: u64,
    /// Pages of referrers read from the database.
    pub referrers_misses: u64,
    /// Images answered from memory.
    pub image_hits: u64,
    /// Images read from the database.
    pub image_misses: u64,
    /// Bytes that the cache holds by its own reckoning.
    pub cache_bytes: u64,
    /// Bytes of the database and its log on disk.
    pub database_bytes: u64,
    /// Upload sessions open at the last commit.
    pub uploads_open: u64,
    /// Rows whose bytes were found wrong when they were read for somebody.
    pub damage_met: u64,
}
