//! Images of the v1 API, on the same manifests and blobs as the V2 API.
//!
//! A push goes image by image: JSON, layer, checksum; a tag on the top image makes a manifest of the chain, once. A pull of what V2
//! clients pushed finds images that are derived of the manifest. Who may do any of this, and in which repository an id is to be looked
//! for, is decided before.

use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::v1::{Checksums, ImageId};
use gantry_oci::{Digest, RepoName, Tag};
use gantry_storage::{StoredImage, TagLocks};

use super::{Asked, ByteSource, Registry, Result};

/// Where an image may be taken from that is not in the repository yet.
#[derive(Clone, Copy)]
pub struct ImageSources<'a> {
    /// The caller's own staging place, which is looked at first.
    pub staging: Option<&'a RepoName>,
    /// Other repositories that the caller may pull from.
    pub may_pull: &'a (dyn Fn(&RepoName) -> bool + Send + Sync),
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

#[expect(unused_variables, clippy::todo, clippy::unused_async, missing_docs, reason = "under construction")]
impl Registry {
    /// The image in this repository, in any state: derived now if it can be.
    pub async fn image(&self, repo: &RepoName, id: &ImageId) -> Result<Arc<StoredImage>> {
        todo!()
    }
    /// The image, complete: else [`ImageError::InProgress`].
    pub async fn whole_image(&self, repo: &RepoName, id: &ImageId, asked: Asked) -> Result<Arc<StoredImage>> {
        todo!()
    }
    /// Repositories that have an image of this id, staging places too, by name, a bounded number.
    pub async fn repositories_with_image(&self, id: &ImageId) -> Result<Vec<RepoName>> {
        todo!()
    }
    /// PUT json. A parent that is not in `repo` is linked from `sources`.
    pub async fn begin_image(
        &self,
        repo: &RepoName,
        id: &ImageId,
        json: Bytes,
        sources: ImageSources<'_>,
    ) -> Result<()> {
        todo!()
    }
    /// PUT layer. In a task of its own: who hangs up leaves nothing half done.
    pub async fn put_image_layer(
        &self,
        repo: &RepoName,
        owner: &str,
        id: &ImageId,
        length: Option<u64>,
        body: ByteSource,
    ) -> Result<()> {
        todo!()
    }
    /// PUT checksum.
    pub async fn complete_image(&self, repo: &RepoName, id: &ImageId, checksums: &Checksums) -> Result<()> {
        todo!()
    }
    /// GET tags: every tag that has an image, by name.
    pub async fn image_tags(&self, repo: &RepoName) -> Result<Vec<(String, ImageId)>> {
        todo!()
    }
    /// GET tags/T.
    pub async fn image_of_tag(&self, repo: &RepoName, tag: &Tag) -> Result<ImageId> {
        todo!()
    }
    /// PUT tags/T. Takes the image from `sources` when it is not in `repo`. Gives the digest of the manifest.
    pub async fn tag_image(
        &self,
        repo: &RepoName,
        tag: Tag,
        id: &ImageId,
        sources: ImageSources<'_>,
        locks: TagLocks,
    ) -> Result<Digest> {
        todo!()
    }
    /// DELETE of a repository: tags, manifests, images.
    pub async fn delete_repository(&self, repo: &RepoName, locks: &TagLocks) -> Result<()> {
        todo!()
    }
    /// GET files: the JSON array.
    pub async fn image_files(&self, repo: &RepoName, id: &ImageId) -> Result<Bytes> {
        todo!()
    }
    /// GET diff: the JSON object.
    pub async fn image_diff(&self, repo: &RepoName, id: &ImageId) -> Result<Bytes> {
        todo!()
    }
}
