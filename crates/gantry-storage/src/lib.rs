//! Where Gantry keeps things.
//!
//! Two seams and what joins them. [`MetaStore`] holds everything that has a relation (repositories, manifests, tags,
//! links between repositories and blobs, upload sessions) and is the only truth: no question is ever answered by
//! listing files. [`BlobStore`] holds bytes under the name of their digest. [`Store`] opens both, and makes sure that
//! one process owns them and that they belong together.
//!
//! What this crate is not: it knows no HTTP, no access rights and no rules about manifests. It is handed values that
//! are already valid (`gantry_oci` types) and answers with values or a small [`StorageError`].
//!
//! What an answer promises: when a write returns, it survives `kill -9` and a power cut, in the order bytes, directory
//! entry, row. The one exception says so in its name, [`MetaStore::save_upload_soon`]: it survives `kill -9` only.

pub mod blobs;
pub mod clock;
pub mod error;
pub mod failpoint;
mod health;
pub mod lease;
pub mod meta;
pub mod store;

pub use blobs::storages::{Storage, Storages};
pub use blobs::verify::{Hashed, Identity, Pace, VerifyBytes};
pub use blobs::{BlobHandle, BlobStore, BlobStream, Space, StagedBlob, StagedInfo};
pub use clock::{StoreClock, Timestamp};
pub use error::{Result, StorageError};
pub use lease::{Reason, Terms, Verdict};
pub use meta::access::{AccessRows, LockedTag, TagLocks};
pub use meta::images::{
    ANCESTRY_MAX, BeginImage, Compression, DerivedImage, ImageLayer, ImageRows, ImageState, ImageStep,
    ImageTag, LayerContent, LinkImage, NewImage, StoredImage, TagSet, View,
};
pub use meta::jobs::{Job, JobRows, JobState};
pub use meta::search::{
    DESCRIPTION_MAX, Description, Found, FoundRepository, Outdated, OutdatedRows, Said, Search, SearchRows,
    SearchView,
};
pub use meta::storages::{Link, LinkCursor, LinksPage, Relink, Relinked, StorageId, StorageRows, Usage};
pub use meta::verify::{Damaged, VerifyRows};
pub use meta::{
    BlobContent, Candidate, CandidateKind, Cursor, Deleted, DeletedSubject, FreedBlob, MetaStats, MetaStore,
    NewBlob, NewManifest, PutManifest, Referrer, ReferrersPage, StoredBlob, StoredManifest, Sweep, Swept,
    UploadRow,
};
pub use store::{OpenError, Store, StoreConfig};
