//! The three steps of a push: JSON, layer, checksum.
//!
//! Nothing is kept in memory between them. Each finds the image as the last one left it, and the row's generation tells whether
//! somebody else has begun it anew meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::v1::{Checksums, ImageId, ImageJson, TarSum};
use gantry_oci::{Digest, RepoName};
use gantry_storage::{
    ANCESTRY_MAX, BeginImage, Compression, ImageLayer, ImageState, ImageStep, LayerContent, NewImage,
    StoredImage,
};

use super::super::{ByteSource, Registry, RegistryError, Result, in_own_task};
use super::layer::{Observed, content_of, is_tarsum};
use super::{CHAIN_JSON_MAX, ImageError, ImageSources};

impl Registry {
    /// PUT json: begins an image, or begins it anew. A parent that is not in `repo` is linked from `sources`.
    ///
    /// # Errors
    /// The JSON is not that of an image with this id, its parent is nowhere to be had, or the chain would be too long; the image is there,
    /// complete; the store failed.
    pub async fn begin_image(
        &self,
        repo: &RepoName,
        id: &ImageId,
        json: Bytes,
        sources: ImageSources<'_>,
    ) -> Result<()> {
        let read = ImageJson::parse(&json, id).map_err(ImageError::from)?;
        if let Some(image) = self.find_image(repo, id).await?
            && image.state == ImageState::Complete
        {
            // Then the layer may come once more.
            let healing = image.json == json && self.is_lost(repo, &image).await?;
            return if healing { Ok(()) } else { Err(ImageError::Exists.into()) };
        }
        if let Some(parent) = &read.parent {
            self.bring(repo, parent, sources).await?.ok_or(ImageError::NoParent)?;
            // A chain is read, compared and linked as a whole.
            let below = self.chain_of(repo, parent).await?.ok_or(ImageError::NoParent)?;
            if below.iter().map(|image| image.json.len()).sum::<usize>() + json.len() > CHAIN_JSON_MAX {
                return Err(ImageError::TooLong(CHAIN_JSON_MAX).into());
            }
        }
        let new = NewImage { repo: repo.clone(), id: *id, parent: read.parent, json };
        match self.meta.begin_image(new).await? {
            BeginImage::Begun(_) => Ok(()),
            BeginImage::Exists => Err(ImageError::Exists.into()),
            BeginImage::NoParent => Err(ImageError::NoParent.into()),
            BeginImage::TooDeep => Err(ImageError::TooDeep(ANCESTRY_MAX).into()),
        }
    }

    /// PUT layer: whatever the client calls one. In a task of its own: who hangs up leaves nothing half done.
    ///
    /// # Errors
    /// There is no such image in progress, or somebody has begun it anew meanwhile; the body did not arrive, is not as long as was
    /// announced, or too long; the store failed. The image is as it was then.
    pub async fn put_image_layer(
        self: &Arc<Self>,
        repo: &RepoName,
        owner: &str,
        id: &ImageId,
        length: Option<u64>,
        body: ByteSource,
    ) -> Result<()> {
        let image = self.meta.image(repo, id).await?.ok_or(ImageError::Unknown)?;
        let is_complete = image.state == ImageState::Complete;
        if is_complete && !self.is_lost(repo, &image).await? {
            return Err(ImageError::Exists.into());
        }
        let (registry, repo, owner) = (Arc::clone(self), repo.clone(), owner.to_owned());
        in_own_task(async move { registry.take_layer(&repo, &owner, &image, length, body).await }).await
    }

    async fn take_layer(
        &self,
        repo: &RepoName,
        owner: &str,
        image: &StoredImage,
        length: Option<u64>,
        body: ByteSource,
    ) -> Result<()> {
        let (observed, body) = Observed::new(&image.json, body);
        let (digest, size) = self.uploads.store_unnamed(repo, owner, length, body).await?;
        if image.state == ImageState::Complete {
            // The bytes that were lost, and only these.
            let is_found = image.layer.as_ref().is_some_and(|layer| layer.digest == digest);
            return if is_found { Ok(()) } else { Err(ImageError::Exists.into()) };
        }
        let seen = observed.finish().await?;
        let (compression, diff_id) = match (seen.compression, seen.diff_id) {
            // Rare enough to be read once more rather than to hold a thread for as long as the client takes.
            (Compression::Bzip2 | Compression::Xz, None) => self.content_of_layer(repo, &digest).await?,
            (compression, diff_id) => (compression, diff_id.unwrap_or(digest)),
        };
        if compression == Compression::Opaque {
            tracing::info!(image = %image.id, repository = %repo.as_str(), "the layer of image {} cannot be unpacked", image.id);
        }
        let content = LayerContent { compression, diff_id, payload: seen.payload };
        let layer = ImageLayer { digest, size, content: Some(content) };
        let step = self.meta.put_image_layer(repo, &image.id, image.generation, layer).await?;
        done(step, ImageError::Exists)
    }

    /// Whether the bytes of a complete image's layer are not there, or wrong. It cannot be pulled then, and is whole again when the
    /// same bytes are pushed.
    pub(super) async fn is_lost(&self, repo: &RepoName, image: &StoredImage) -> Result<bool> {
        match &image.layer {
            Some(layer) => Ok(self.meta.blob(repo, &layer.digest).await?.is_none()),
            None => Ok(true),
        }
    }

    /// What is in a layer that is stored: read again.
    pub(super) async fn content_of_layer(
        &self,
        repo: &RepoName,
        layer: &Digest,
    ) -> Result<(Compression, Digest)> {
        let content = self.read_layer(repo, layer, &self.images.pushing, content_of).await?;
        Ok(match content {
            Ok((compression, diff_id)) => (compression, diff_id.unwrap_or(*layer)),
            Err(error) => {
                tracing::debug!(%layer, %error, "a layer cannot be unpacked");
                (Compression::Opaque, *layer)
            }
        })
    }

    /// PUT checksum: the image is whole, if the layer that came is the one that was sent. That of the payload decides; only a client that
    /// has none is believed by its TarSum.
    ///
    /// # Errors
    /// There is no such image, it has no layer, or is complete already; the checksum is missing, or not that of the layer: it stays in
    /// progress then. Somebody has begun it anew meanwhile; the store failed.
    pub async fn complete_image(&self, repo: &RepoName, id: &ImageId, checksums: &Checksums) -> Result<()> {
        let image = self.meta.image(repo, id).await?.ok_or(ImageError::Unknown)?;
        if image.state == ImageState::Complete {
            return Err(ImageError::ChecksumSet.into());
        }
        let layer = image.layer.as_ref().ok_or(ImageError::NoLayer)?;
        let payload = layer.content.as_ref().map(|content| content.payload);
        let fits = match (&checksums.payload, checksums.tarsum) {
            (Some(sum), _) => Some(*sum) == payload,
            (None, Some(tarsum)) => self.has_tarsum(repo, &image, &layer.digest, tarsum).await?,
            // What is no checksum is nobody's.
            (None, None) if checksums.given => false,
            (None, None) => return Err(ImageError::NoChecksum.into()),
        };
        if !fits {
            return Err(ImageError::ChecksumMismatch.into());
        }
        let step = self.meta.complete_image(repo, id, image.generation, &layer.digest).await?;
        done(step, ImageError::ChecksumSet)
    }

    async fn has_tarsum(
        &self,
        repo: &RepoName,
        image: &StoredImage,
        layer: &Digest,
        tarsum: TarSum,
    ) -> Result<bool> {
        let json = image.json.clone();
        let fits = self
            .read_layer(repo, layer, &self.images.pushing, move |reader| is_tarsum(reader, &json, &tarsum))
            .await?;
        Ok(fits.unwrap_or_else(|error| {
            tracing::debug!(%layer, %error, "a layer has no TarSum");
            false
        }))
    }
}

fn done(step: ImageStep, exists: ImageError) -> Result<(), RegistryError> {
    Err(match step {
        ImageStep::Done => return Ok(()),
        ImageStep::Unknown => ImageError::Unknown,
        ImageStep::Exists => exists,
        ImageStep::Stale => ImageError::Stale,
        ImageStep::NoLayer | ImageStep::NoBlob => ImageError::NoLayer,
    }
    .into())
}
