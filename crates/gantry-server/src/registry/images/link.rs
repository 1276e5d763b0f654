//! Bringing an image into a repository from where the caller may take it.

use std::sync::Arc;

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};
use gantry_storage::{ImageState, LinkImage, StoredImage};

use super::super::{Registry, RegistryError, Result};
use super::layer::body_of;
use super::{CANDIDATES, ImageSources};

/// How often linking is tried while bytes come after.
const TRIES: usize = 4;
/// Who stores what is copied.
const OWNER: &str = "~v1";

impl Registry {
    /// The complete image in this repository, after it was linked there with the chain below it if it was not: from the caller's staging
    /// place, or from a repository that it may pull from. `None`: it is nowhere, or not complete, or several repositories have it and not
    /// the same.
    pub(super) async fn bring(
        &self,
        repo: &RepoName,
        id: &ImageId,
        sources: ImageSources<'_>,
    ) -> Result<Option<Arc<StoredImage>>> {
        if let Some(image) = self.find_image(repo, id).await? {
            return Ok(Some(image).filter(|image| image.state == ImageState::Complete));
        }
        let staging = sources.staging.filter(|staging| *staging != repo);
        if let Some(staging) = staging
            && self.link_from(staging, repo, id).await?
        {
            return self.find_image(repo, id).await;
        }
        let mut known: Option<Vec<Content>> = None;
        let mut from = Vec::new();
        let may = |other: &RepoName| !other.is_staging() && other != repo && sources.reader.may_pull(other);
        let homes = self.repositories_with_image(id).await?;
        for other in homes.into_iter().filter(may).take(CANDIDATES) {
            let Some(content) = self.content_of_chain(&other, id).await? else { continue };
            if known.get_or_insert_with(|| content.clone()) != &content {
                tracing::info!(image = %id, "repositories have different images under the id {id}; none is taken");
                return Ok(None);
            }
            from.push(other);
        }
        for other in from {
            if self.link_from(&other, repo, id).await? {
                return self.find_image(repo, id).await;
            }
        }
        Ok(None)
    }

    /// What an id stands for in a repository, with all below it; `None`: it is not complete there.
    async fn content_of_chain(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Vec<Content>>> {
        let Some(chain) = self.chain_of(repo, id).await? else { return Ok(None) };
        let content = |image: Arc<StoredImage>| {
            let layer = image.layer.as_ref()?.digest;
            Some(Content { json: Digest::sha256(&image.json), layer })
        };
        Ok(chain.into_iter().map(content).collect())
    }

    /// An image and those below it, the image first; `None`: one is missing or not complete.
    pub(super) async fn chain_of(
        &self,
        repo: &RepoName,
        id: &ImageId,
    ) -> Result<Option<Vec<Arc<StoredImage>>>> {
        let Some(top) = self.meta.image(repo, id).await? else { return Ok(None) };
        let mut chain = Vec::with_capacity(top.ancestry.len());
        for id in &top.ancestry {
            match self.meta.image(repo, id).await? {
                Some(image) if image.state == ImageState::Complete => chain.push(image),
                _ => return Ok(None),
            }
        }
        Ok(Some(chain))
    }

    /// Links an image and the chain below it; bytes that lie in another storage are copied. False: that cannot be.
    async fn link_from(&self, from: &RepoName, to: &RepoName, id: &ImageId) -> Result<bool> {
        for _ in 0..TRIES {
            let storage = self.places.of(to)?.id;
            match self.meta.link_image(from, to, id, storage).await? {
                LinkImage::Linked => return Ok(true),
                LinkImage::Unknown => return Ok(false),
                LinkImage::Differs(other) => {
                    tracing::info!(image = %id, "image {id} is not linked into {}: {other} is another one there", to.as_str());
                    return Ok(false);
                }
                LinkImage::Elsewhere(layers) => {
                    for layer in layers {
                        if !self.copy_blob(from, to, &layer).await? {
                            return Ok(false);
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Stores a blob of one repository anew, where those of the other belong.
    async fn copy_blob(&self, from: &RepoName, to: &RepoName, digest: &Digest) -> Result<bool> {
        let Some(blob) = self.meta.blob(from, digest).await? else { return Ok(false) };
        let bytes = self.open_blob(from, &blob).await?.read(0..blob.size);
        match self.uploads.store(to, OWNER, *digest, Some(blob.size), body_of(bytes)).await {
            Ok(_) => Ok(true),
            // It is no client whose body broke off.
            Err(RegistryError::Body(error)) => {
                tracing::warn!(%digest, %error, "a layer could not be copied");
                Err(RegistryError::BytesMissing(*digest))
            }
            Err(error) => Err(error),
        }
    }
}

/// Which image it really is, whatever its id.
#[derive(Clone, PartialEq, Eq)]
struct Content {
    json: Digest,
    layer: Digest,
}
