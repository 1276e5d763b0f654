//! The registry itself: repositories, manifests, blobs, referrers and upload sessions.
//!
//! Speaks in names, references and byte streams, and knows nothing of HTTP: whoever calls (the V2 API today) has
//! already parsed the request and been allowed to make it. Relations are asked of the metadata store, bytes of the
//! blob store; what both have to do with each other is decided here.

mod blobs;
mod error;
mod images;
mod lists;
mod locks;
mod manifests;
mod moving;
mod placement;
mod search;
mod sweep;
mod uploads;
pub mod verify;

use std::sync::Arc;
use std::time::Duration;

use gantry_oci::RepoName;
use gantry_oci::v1::Platform;
use gantry_storage::failpoint::{self, Point};
use gantry_storage::{MetaStore, Storage, StorageError, Storages, Store, Terms};

use images::Images;
use locks::DigestLocks;
use placement::Places;

pub use blobs::{Asked, Blob, BlobBytes};
pub use error::{BodyError, RegistryError, Result};
pub(crate) use images::CANDIDATES;
pub use images::{ImageError, ImageSources, MayPull};
pub use lists::Listing;
pub use manifests::ManifestPut;
pub use moving::{Move, Moving};
pub use placement::{Placement, Prefixes};
pub use search::plain;
pub use sweep::{Fate, SweepItem, SweepReport, Swept};
pub use uploads::{Piece, Progress, Started, Uploads};
pub use verify::{Schedule, Verifier};

/// A request body, or any other bytes that come bit by bit.
pub type ByteSource =
    std::pin::Pin<Box<dyn futures_core::Stream<Item = Result<bytes::Bytes, BodyError>> + Send>>;

/// What the registry accepts.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest manifest, in bytes.
    pub manifest: u64,
    /// The largest blob, in bytes.
    pub upload: Option<u64>,
    /// Blobs up to this size, in bytes, live in the database.
    pub inline_blob: usize,
    /// Entries in a page of tags, repositories and referrers.
    pub tags_page: usize,
    /// See `tags_page`.
    pub catalog_page: usize,
    /// See `tags_page`.
    pub referrers_page: usize,
    /// Manifest media types accepted beside the usual four.
    pub manifest_types: Vec<String>,
    /// Whether an index may list manifests that are not there.
    pub sparse_index: bool,
    /// Whether an image may name blobs that are not there.
    pub sparse_image: bool,
    /// How long an upload session without activity lives.
    pub upload_expiry: Duration,
    /// How long a client that was told that something is there may rely on it.
    pub promises: Terms,
    /// How long manifests stay that neither a tag nor an index names; `None`: for good.
    pub untagged: Option<Terms>,
    /// Which image of an index v1 clients get.
    pub v1_platform: Platform,
    /// When what is stored is checked again.
    pub verify: Schedule,
}

/// All repositories of one store.
pub struct Registry {
    meta: Arc<dyn MetaStore>,
    places: Places,
    limits: Limits,
    uploads: Uploads,
    images: Images,
    locks: Arc<DigestLocks>,
    /// One sweep at a time.
    sweeping: tokio::sync::Mutex<()>,
    verifier: Verifier,
    searching: search::Searching,
}

impl Registry {
    /// A registry on an open store.
    pub fn new(store: &Store, limits: Limits, placement: Arc<dyn Placement>) -> Self {
        let locks = Arc::new(DigestLocks::default());
        let (meta, storages) = (Arc::clone(&store.meta), store.storages.clone());
        let places = Places { storages: storages.clone(), placement };
        let uploads = Uploads::new(Arc::clone(&meta), places.clone(), Arc::clone(&locks), &limits);
        let verifier = Verifier::new(Arc::clone(&meta), storages, Arc::clone(&locks), limits.verify);
        let sweeping = tokio::sync::Mutex::default();
        Self {
            meta,
            places,
            limits,
            uploads,
            images: Images::default(),
            locks,
            sweeping,
            verifier,
            searching: search::Searching::default(),
        }
    }

    /// The upload sessions.
    pub fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// The checks of what is stored.
    pub fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What is accepted.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The metadata store, for readings and health.
    pub fn meta(&self) -> &Arc<dyn MetaStore> {
        &self.meta
    }

    /// The storages, for readings and health.
    pub fn storages(&self) -> &Storages {
        &self.places.storages
    }

    /// Where what is pushed to this repository goes.
    ///
    /// # Errors
    /// Its storage is not open.
    pub fn storage_of(&self, repo: &RepoName) -> Result<&Storage> {
        self.places.of(repo)
    }

    /// Why something is not found: the thing, or the whole repository.
    async fn missing(&self, repo: &RepoName, thing: RegistryError) -> RegistryError {
        match self.meta.repository_exists(repo).await {
            Ok(true) => thing,
            Ok(false) => RegistryError::NameUnknown(repo.clone()),
            Err(error) => error.into(),
        }
    }
}

/// Runs work that must not stop half-way when whoever asked for it goes away.
async fn in_own_task<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    tokio::spawn(work).await.unwrap_or(Err(RegistryError::Internal("a task ended early")))
}

/// Passes a failpoint.
fn pass(point: Point) -> Result<()> {
    failpoint::hit(point).map_err(|error| StorageError::from_io("going on at a failpoint", error).into())
}
