//! Images of the v1 API, on the same manifests and blobs as the V2 API.
//!
//! A push goes image by image: JSON, layer, checksum; a tag on the top image makes a manifest of the chain, once. A pull of what V2
//! clients pushed finds images that are derived of the manifest. Who may do any of this, and in which repository an id is to be looked
//! for, is decided before.

mod files;
mod layer;
mod link;
mod push;
mod tag;
mod view;

use std::sync::Arc;

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};
use gantry_storage::{Deleted, TagLocks};
use tokio::sync::Semaphore;

use super::locks::Locks;
use super::{Registry, RegistryError, Result};

/// Where an image may be taken from that is not in the repository yet.
#[derive(Clone, Copy)]
pub struct ImageSources<'a> {
    /// The caller's own staging place, which is looked at first.
    pub staging: Option<&'a RepoName>,
    /// Who says which other repositories the caller may pull from.
    pub reader: &'a dyn MayPull,
}

/// Somebody who may pull from some repositories.
pub trait MayPull: Send + Sync {
    /// Whether from this one.
    fn may_pull(&self, repo: &RepoName) -> bool;
}

/// Why something about an image cannot be done. The texts are those that v1 clients see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// 404
    #[error("Image not found")]
    Unknown,
    /// 400
    #[error("Image is being uploaded, retry later")]
    InProgress,
    /// 409
    #[error("Image already exists")]
    Exists,
    /// 400
    #[error(transparent)]
    Json(#[from] gantry_oci::v1::ImageJsonError),
    /// 400
    #[error("Image depends on a non existing parent")]
    NoParent,
    /// 400
    #[error("Image has more than {0} ancestors")]
    TooDeep(usize),
    /// 413
    #[error("The JSON of the image and its ancestors is larger than {0} bytes")]
    TooLong(usize),
    /// 400: neither payload checksum nor TarSum.
    #[error("Missing Image's checksum")]
    NoChecksum,
    /// 400; the image stays in progress.
    #[error("Checksum mismatch")]
    ChecksumMismatch,
    /// 409
    #[error("Cannot set this image checksum")]
    ChecksumSet,
    /// 400
    #[error("Image has no layer yet")]
    NoLayer,
    /// 409: somebody else began the image anew.
    #[error("Image was changed by another push, retry")]
    Stale,
    /// 404
    #[error("Tag not found")]
    TagUnknown,
    /// 404
    #[error("Repository not found")]
    RepositoryUnknown,
    /// 400
    #[error("Layer format not supported")]
    LayerFormat,
}

/// How many layers are read again at once, for pushes and for those who only look: the one must not wait for the other.
const AT_ONCE: usize = 2;

/// How many repositories of those that the caller may read are asked for an image.
pub(crate) const CANDIDATES: usize = 256;
/// How many are looked through for these: whoever pushes an id into very many of his own hides it from nobody.
const HOMES: usize = 4096;
/// Bytes of JSON of an image and all below it. Docker writes a few KiB for each.
const CHAIN_JSON_MAX: usize = 8 << 20;

/// What goes on with images in this process.
pub(super) struct Images {
    /// To read a layer again for a push.
    pushing: Arc<Semaphore>,
    /// The same for a list of files.
    looking: Arc<Semaphore>,
    /// To make such a list.
    listing: Semaphore,
    /// KiB of lists that are here until they are sent, however slowly they are read.
    lists: Arc<Semaphore>,
    /// One look through a repository's manifests at a time, by the digest of its name.
    deriving: Locks<Digest>,
}

impl Default for Images {
    fn default() -> Self {
        let permits = || Arc::new(Semaphore::new(AT_ONCE));
        Self {
            pushing: permits(),
            looking: permits(),
            listing: Semaphore::new(AT_ONCE),
            lists: Arc::new(Semaphore::new(files::LISTS_KIB)),
            deriving: Locks::default(),
        }
    }
}

impl Registry {
    /// Repositories that have an image of this id in any state, staging places too, by name, a bounded number. Images of manifests at
    /// which nobody looked yet are not known.
    ///
    /// # Errors
    /// The store failed.
    pub async fn repositories_with_image(&self, id: &ImageId) -> Result<Vec<RepoName>> {
        Ok(self.meta.repositories_with_image(id, HOMES).await?)
    }

    /// Removes a repository: tags, manifests, images. What was there of blobs goes with the next sweeps.
    ///
    /// # Errors
    /// There is none, a tag of it is held, or the store failed.
    pub async fn delete_repository(&self, repo: &RepoName, locks: &TagLocks) -> Result<()> {
        match self.meta.delete_repository(repo, locks).await? {
            Deleted::Done => Ok(()),
            Deleted::Unknown => Err(ImageError::RepositoryUnknown.into()),
            Deleted::Locked(locked) => Err(RegistryError::TagLocked(locked)),
        }
    }
}
