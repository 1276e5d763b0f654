//! What manifests are in v1: looked at when somebody first asks, and kept.
//!
//! A manifest whose config is missing or damaged, and an index whose image for v1 is not here yet, have no view: they are looked at
//! again next time. Where rows cannot be written, what was derived is used and forgotten.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use gantry_oci::media_type::{DOCKER_MANIFEST_LIST, OCI_INDEX};
use gantry_oci::v1::{CONFIG_MAX, Derived, EMPTY_LAYER, ImageId, config_of, derive, platform_manifest};
use gantry_oci::{Digest, Reference, RepoName, Tag};
use gantry_storage::{
    DerivedImage, ImageLayer, ImageState, ImageTag, StorageError, StoredImage, StoredManifest, TagSet, View,
};

use super::super::{Asked, Registry, RegistryError, Result};
use super::ImageError;
use super::tag::body_with;

/// Manifests that are looked at in one go.
const BATCH: usize = 64;
/// Of these at once: they share commits.
const AT_ONCE: usize = 8;
/// Goes for one request. What is left is gone on with by the next.
const BATCHES: usize = 1000;
/// The same where what was derived cannot be kept.
const BATCHES_READ_ONLY: usize = 4;
/// Tags read at once.
const TAGS: usize = 1000;
/// Who stores what images without layers need.
const OWNER: &str = "~v1";

/// What a look at a manifest came to.
struct Look {
    /// The image that it is.
    top: Option<ImageId>,
    /// The chain, base first, when it could not be kept.
    unkept: Vec<DerivedImage>,
}

impl Registry {
    /// The image of this id in this repository, in any state: derived now if it can be.
    ///
    /// # Errors
    /// There is none, or the store failed.
    pub async fn image(&self, repo: &RepoName, id: &ImageId) -> Result<Arc<StoredImage>> {
        Ok(self.find_image(repo, id).await?.ok_or(ImageError::Unknown)?)
    }

    /// The same, or `None`.
    pub(super) async fn find_image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Arc<StoredImage>>> {
        if let Some(image) = self.meta.image(repo, id).await? {
            return Ok(Some(image));
        }
        if let Some(image) = self.derive_all(repo, id).await? {
            return Ok(Some(Arc::new(image)));
        }
        Ok(self.meta.image(repo, id).await?)
    }

    /// The image, complete, which a client is about to be told of: see `promised_blob`.
    ///
    /// # Errors
    /// There is none, or its layer is lost; it is in progress; the store failed.
    pub async fn whole_image(&self, repo: &RepoName, id: &ImageId, asked: Asked) -> Result<Arc<StoredImage>> {
        let image = self.image(repo, id).await?;
        if image.state != ImageState::Complete {
            return Err(ImageError::InProgress.into());
        }
        if self.is_lost(repo, &image).await? {
            return Err(ImageError::Unknown.into());
        }
        if !self.limits.promises.must_renew(image.idle_since, self.meta.now()) {
            return Ok(image);
        }
        let renewed = asked.renewed(self.meta.renew_image(repo, id).await, image)?;
        Ok(renewed.ok_or(ImageError::Unknown)?)
    }

    /// Every tag that has an image, by name.
    ///
    /// # Errors
    /// There is no such repository, or the store failed.
    pub async fn image_tags(&self, repo: &RepoName) -> Result<Vec<(String, ImageId)>> {
        let mut all = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.meta.image_tags(repo, after.as_deref(), TAGS).await?;
            let page = page.ok_or(ImageError::RepositoryUnknown)?;
            let Some(last) = page.last() else { return Ok(all) };
            after = Some(last.tag.clone());
            let looks = page.iter().map(|tag| self.image_behind(repo, tag).boxed()).collect();
            let found = at_once(looks).await?.into_iter().zip(page);
            all.extend(found.filter_map(|(image, tag)| Some((tag.tag, image?))));
        }
    }

    /// The image that a tag names.
    ///
    /// # Errors
    /// There is no such tag, or it names no image; the store failed.
    pub async fn image_of_tag(&self, repo: &RepoName, tag: &Tag) -> Result<ImageId> {
        let tag = self.meta.image_tag(repo, tag).await?.ok_or(ImageError::TagUnknown)?;
        Ok(self.image_behind(repo, &tag).await?.ok_or(ImageError::TagUnknown)?)
    }

    /// When a tag was set, and by what.
    ///
    /// # Errors
    /// There is no such tag, or the store failed.
    pub async fn tag_set(&self, repo: &RepoName, tag: &Tag) -> Result<TagSet> {
        Ok(self.meta.tag_set(repo, tag).await?.ok_or(ImageError::TagUnknown)?)
    }

    async fn image_behind(&self, repo: &RepoName, tag: &ImageTag) -> Result<Option<ImageId>> {
        match tag.image {
            None if !tag.is_nothing => Ok(self.look(repo, &tag.manifest).await?.and_then(|look| look.top)),
            image => Ok(image),
        }
    }

    /// Looks at every tagged manifest of the repository that nobody has looked at. The image, when it could not be kept.
    async fn derive_all(&self, repo: &RepoName, id: &ImageId) -> Result<Option<StoredImage>> {
        // Most often there is nothing to be done, and nobody to wait for.
        if self.meta.without_view(repo, 0, 1).await?.is_empty() {
            return Ok(None);
        }
        let _alone = self.images.deriving.alone(&Digest::sha256(repo.as_str().as_bytes())).await;
        let (mut after, mut batches) = (0, BATCHES);
        while batches > 0 {
            batches -= 1;
            let batch = self.meta.without_view(repo, after, BATCH).await?;
            let Some((last, _)) = batch.last() else { break };
            after = *last;
            let looks = batch.iter().map(|(_, manifest)| self.look(repo, manifest).boxed()).collect();
            let looks = at_once(looks).await?;
            let mut unkept =
                looks.into_iter().flatten().map(|look| look.unkept).filter(|all| !all.is_empty()).peekable();
            if unkept.peek().is_some() {
                batches = batches.min(BATCHES_READ_ONLY);
            }
            if let Some(image) = unkept.find_map(|chain| from_memory(&chain, id)) {
                return Ok(Some(image));
            }
            // What has no view now gets one when its tag is asked for.
            kept(self.meta.views_done(repo, after).await)?;
        }
        Ok(None)
    }

    /// What a manifest is; `None`: that cannot be told yet.
    async fn look(&self, repo: &RepoName, manifest: &Digest) -> Result<Option<Look>> {
        let known = |view| match view {
            View::Image(top) => Look { top: Some(top), unkept: Vec::new() },
            View::Nothing => Look { top: None, unkept: Vec::new() },
        };
        if let Some(view) = self.meta.view(repo, manifest).await? {
            return Ok(Some(known(view)));
        }
        let Some(images) = self.derived_images(repo, manifest).await? else { return Ok(None) };
        let mut storing = Ok(());
        if images.iter().any(|image| image.layer == Digest::sha256(&EMPTY_LAYER)) {
            storing = self.store_empty_layer(repo).await;
        }
        let put = match storing {
            Ok(()) => self.meta.put_view(repo, manifest, images.clone()).await,
            Err(RegistryError::Storage(error)) => Err(error),
            Err(other) => return Err(other),
        };
        if !kept(put)? {
            return Ok(Some(Look { top: images.last().map(|image| image.id), unkept: images }));
        }
        Ok(self.meta.view(repo, manifest).await?.map(known))
    }

    /// The chain that a manifest is, base first; empty: none.
    async fn derived_images(&self, repo: &RepoName, manifest: &Digest) -> Result<Option<Vec<DerivedImage>>> {
        let Some(mut manifest) = self.by_digest(repo, manifest).await? else { return Ok(None) };
        if is_index(&manifest) {
            let child = platform_manifest(&manifest.bytes, &self.limits.v1_platform);
            let Some(child) = child else { return Ok(Some(Vec::new())) };
            let Some(child) = self.by_digest(repo, &child).await? else { return Ok(None) };
            manifest = child;
        }
        let config = config_of(&manifest.bytes, &manifest.media_type);
        let Some(config) = config else { return Ok(Some(Vec::new())) };
        let Some(config) = self.config_bytes(repo, &config.digest).await? else { return Ok(None) };
        Ok(Some(match derive(&manifest.bytes, &manifest.media_type, &config) {
            Derived::Nothing => Vec::new(),
            Derived::Images(images) => images
                .into_iter()
                .map(|image| DerivedImage {
                    id: image.id,
                    json: image.json.into(),
                    layer: image.layer,
                    size: image.size,
                })
                .collect(),
        }))
    }

    pub(super) async fn by_digest(
        &self,
        repo: &RepoName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>> {
        Ok(self.meta.manifest(repo, &Reference::Digest(*digest)).await?)
    }

    /// A config; `None`: it is not here, not whole, or too large.
    pub(super) async fn config_bytes(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Bytes>> {
        let Some(blob) = self.meta.blob(repo, digest).await? else { return Ok(None) };
        if blob.size > CONFIG_MAX as u64 {
            return Ok(None);
        }
        let mut pieces = match self.open_blob(repo, &blob).await {
            Ok(bytes) => bytes.read(0..blob.size),
            Err(RegistryError::BytesMissing(_) | RegistryError::BlobUnknown { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok((Digest::of(digest.algorithm(), &bytes) == *digest).then(|| bytes.into()))
    }

    async fn store_empty_layer(&self, repo: &RepoName) -> Result<()> {
        if self.meta.blob(repo, &Digest::sha256(&EMPTY_LAYER)).await?.is_some() {
            return Ok(());
        }
        let body = body_with(Bytes::from_static(&EMPTY_LAYER));
        self.uploads.store_unnamed(repo, OWNER, Some(EMPTY_LAYER.len() as u64), body).await?;
        Ok(())
    }
}

/// A few at a time, in their order.
async fn at_once<T>(looks: Vec<BoxFuture<'_, Result<T>>>) -> Result<Vec<T>> {
    futures_util::stream::iter(looks).buffered(AT_ONCE).try_collect().await
}

pub(super) fn is_index(manifest: &StoredManifest) -> bool {
    matches!(manifest.media_type.as_str(), OCI_INDEX | DOCKER_MANIFEST_LIST)
}

/// Whether something could be written. Where nothing can, that is no reason not to read.
fn kept(written: Result<(), StorageError>) -> Result<bool> {
    match written {
        Ok(()) => Ok(true),
        Err(StorageError::ReadOnly { .. } | StorageError::Full { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn from_memory(chain: &[DerivedImage], id: &ImageId) -> Option<StoredImage> {
    let at = chain.iter().position(|image| image.id == *id)?;
    Some(StoredImage {
        id: *id,
        state: ImageState::Complete,
        derived: true,
        generation: 0,
        json: chain[at].json.clone(),
        ancestry: chain[..=at].iter().rev().map(|image| image.id).collect(),
        layer: Some(ImageLayer { digest: chain[at].layer, size: chain[at].size, content: None }),
        idle_since: None,
    })
}
