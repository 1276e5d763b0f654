//! Images of the v1 API: rows per repository, beside its manifests.
//!
//! An image is one layer, its JSON and the chain below it. *Native* images were pushed by v1 clients, in three steps; *derived* ones
//! are what a manifest looks like in v1, made when somebody first asks, and gone with the manifest. A *view* says that a manifest
//! and the chain below an image are the same thing. Images name their layer as manifests name blobs: what they name is not swept.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName, Tag};

use super::StorageId;
use crate::clock::Timestamp;
use crate::error::Result;

/// The longest chain of images, itself included: more than any client unpacks.
pub const ANCESTRY_MAX: usize = 127;

/// The part of [`crate::MetaStore`] that knows images.
#[async_trait]
pub trait ImageRows {
    /// The image of this id in this repository: the derived one, where there are both. Answered from memory, exactly.
    async fn image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Arc<StoredImage>>>;

    /// Repositories with an image of this id in any state, by name (staging places come last), at most `limit`. Of an id that thousands
    /// of repositories have not all are considered.
    async fn repositories_with_image(&self, id: &ImageId, limit: usize) -> Result<Vec<RepoName>>;

    /// Begins a native image, or begins it anew, as long as nothing complete has its id: its JSON, no layer yet. The repository is made
    /// when it does not exist. Holds its parent, which must be complete in the same repository, native or derived.
    async fn begin_image(&self, image: NewImage) -> Result<BeginImage>;

    /// Gives the image its layer, which must be linked in the repository and is named by the image from then on. May be repeated until
    /// the image is complete: the layer before is let go. Renews the image's date, as each step does.
    async fn put_image_layer(
        &self,
        repo: &RepoName,
        id: &ImageId,
        generation: u64,
        layer: ImageLayer,
    ) -> Result<ImageStep>;

    /// The image is whole, and stays as it is. `layer` is the one that was found to be right: a layer may be sent again meanwhile.
    async fn complete_image(
        &self,
        repo: &RepoName,
        id: &ImageId,
        generation: u64,
        layer: &Digest,
    ) -> Result<ImageStep>;

    /// Links an image and the chain below it from one repository into another, as far as it is not there: the images, complete and native
    /// whatever they were, and their layers, whose bytes belong in `storage`. What is there and not complete makes room. One
    /// transaction, all or nothing.
    async fn link_image(
        &self,
        from: &RepoName,
        to: &RepoName,
        id: &ImageId,
        storage: StorageId,
    ) -> Result<LinkImage>;

    /// Renews the date of an image that nothing holds, before a client is told that it is there; what is below it is held by it. False: it
    /// is gone.
    async fn renew_image(&self, repo: &RepoName, id: &ImageId) -> Result<bool>;

    /// What is known of the manifest in v1; `None`: nobody looked yet, or there is no such manifest.
    async fn view(&self, repo: &RepoName, manifest: &Digest) -> Result<Option<View>>;

    /// The manifest of the repository of which this image is the top; the oldest, where several are.
    async fn manifest_of_image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Digest>>;

    /// Notes what a manifest is in v1, with the images that are derived of it, base first: none (or more than [`ANCESTRY_MAX`]) when it is
    /// no image there. An image that other manifests brought is there once. Does nothing when the manifest is gone, or has a view by now.
    async fn put_view(&self, repo: &RepoName, manifest: &Digest, images: Vec<DerivedImage>) -> Result<()>;

    /// Manifests of the repository without a view that were tagged after the last [`Self::views_done`], by rising number, strictly after
    /// `after`, at most `limit`.
    async fn without_view(&self, repo: &RepoName, after: u64, limit: usize) -> Result<Vec<(u64, Digest)>>;

    /// Every tagged manifest of the repository up to this number has been looked at, whether there was a view to be stored or not. One
    /// transaction for all of their tags: to be called with the end of each page.
    async fn views_done(&self, repo: &RepoName, number: u64) -> Result<()>;

    /// Tags in byte order, strictly after `after`, at most `limit`, each with its manifest and, when it was set by v1 and not moved
    /// since, the id that was given then. `None`: the repository is unknown.
    async fn image_tags(
        &self,
        repo: &RepoName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<ImageTag>>>;

    /// One of them.
    async fn image_tag(&self, repo: &RepoName, tag: &Tag) -> Result<Option<ImageTag>>;

    /// When a tag was set, and by what.
    async fn tag_set(&self, repo: &RepoName, tag: &Tag) -> Result<Option<TagSet>>;
}

/// How far an image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImageState {
    /// It has its JSON.
    Described,
    /// It has its layer too, and waits for the checksum.
    WithLayer,
    /// It is whole.
    Complete,
}

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Its id.
    pub id: ImageId,
    /// How far it has come; derived images are complete.
    pub state: ImageState,
    /// Made of a manifest.
    pub derived: bool,
    /// Rises each time that the image is begun anew.
    pub generation: u64,
    /// The exact bytes that were pushed, or made.
    pub json: Bytes,
    /// Itself first, base last.
    pub ancestry: Vec<ImageId>,
    /// Its layer, from [`ImageState::WithLayer`] on.
    pub layer: Option<ImageLayer>,
    /// The date since which neither a view nor another image names it; see [`crate::lease`].
    pub idle_since: Option<Timestamp>,
}

impl StoredImage {
    /// The image below it.
    #[must_use]
    pub fn parent(&self) -> Option<&ImageId> {
        self.ancestry.get(1)
    }
}

/// A layer, as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// Of the bytes as they were sent, which are a blob of the repository.
    pub digest: Digest,
    /// Of these bytes.
    pub size: u64,
    /// What manifests call it; unknown for layers of derived images.
    pub content: Option<LayerContent>,
}

/// What is inside of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerContent {
    /// How the tar is compressed.
    pub compression: Compression,
    /// Of the plain tar; of the bytes themselves where they are none.
    pub diff_id: Digest,
    /// `sha256(json "\n" layer)`
    pub payload: Digest,
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip
    Gzip,
    /// bzip2
    Bzip2,
    /// xz
    Xz,
    /// zstd
    Zstd,
    /// It claims to be compressed, and cannot be read.
    Opaque,
}

/// A native image at its beginning.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// Where.
    pub repo: RepoName,
    /// Its id.
    pub id: ImageId,
    /// The image below it.
    pub parent: Option<ImageId>,
    /// The exact bytes.
    pub json: Bytes,
}

/// What became of [`ImageRows::begin_image`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginImage {
    /// Durable; this is its generation.
    Begun(u64),
    /// It is there, complete.
    Exists,
    /// Its parent is not there, or not complete.
    NoParent,
    /// The chain would be longer than [`ANCESTRY_MAX`].
    TooDeep,
}

/// What became of a step of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStep {
    /// Durable.
    Done,
    /// There is no such image.
    Unknown,
    /// It is complete already.
    Exists,
    /// Somebody has begun it anew meanwhile, or sent another layer.
    Stale,
    /// It has no layer.
    NoLayer,
    /// The layer is not a blob of the repository (any more).
    NoBlob,
}

/// What became of [`ImageRows::link_image`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkImage {
    /// All of it is there now.
    Linked,
    /// The source has no such complete image, or something of the chain below it is missing.
    Unknown,
    /// A complete image with another JSON or layer has this id there.
    Differs(ImageId),
    /// The bytes of these layers are in another storage only: they must be copied first.
    Elsewhere(Vec<Digest>),
}

/// What a manifest is in v1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The chain below this image; the first one, where it was pushed under several ids.
    Image(ImageId),
    /// No image.
    Nothing,
}

/// An image that is derived of a manifest.
#[derive(Clone, Debug)]
pub struct DerivedImage {
    /// Its id.
    pub id: ImageId,
    /// Its JSON.
    pub json: Bytes,
    /// Its layer.
    pub layer: Digest,
    /// Of the layer, in bytes.
    pub size: u64,
}

/// The last that was done to a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagSet {
    /// When it was set, to the same manifest too.
    pub at: Timestamp,
    /// What the v1 client said it was that set it, as long as nobody moved it; empty: nothing.
    pub agent: String,
}

/// A tag with what v1 needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTag {
    /// Its name.
    pub tag: String,
    /// What it points to.
    pub manifest: Digest,
    /// The id that a v1 client set it to, as long as nobody moved it; else what the manifest's view says.
    pub image: Option<ImageId>,
    /// Whether `image` is `None` because the manifest is known to be no image.
    pub is_nothing: bool,
}
