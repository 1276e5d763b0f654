//! A tag on an image: the manifest of the chain below it, made once and kept.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use gantry_oci::v1::{ChainLink, ImageId, history_of, make};
use gantry_oci::{Digest, Manifest, ManifestRules, RepoName, Tag};
use gantry_storage::{Compression, ImageLayer, StoredImage, StoredManifest, TagLocks};

use super::super::manifests::ManifestToStore;
use super::super::{ByteSource, Registry, RegistryError, Result};
use super::layer::repacked;
use super::view::is_index;
use super::{ImageError, ImageSources};

/// How often a manifest is made while what it names goes away.
const TRIES: usize = 3;
/// Who stores what is made.
const OWNER: &str = "~v1";

/// What a manifest says of one image.
struct Part {
    layer: Digest,
    size: u64,
    gzip: bool,
    diff_id: Digest,
    history: Option<String>,
}

impl Registry {
    /// PUT tags/T: points the tag at the manifest of the chain, which is made if there is none. An image that is not in `repo` is taken
    /// from `sources`. Gives the digest of the manifest.
    ///
    /// # Errors
    /// The image is not to be had, or not complete; the tag is held; the store failed.
    pub async fn tag_image(
        &self,
        repo: &RepoName,
        tag: Tag,
        id: &ImageId,
        sources: ImageSources<'_>,
        locks: TagLocks,
    ) -> Result<Digest> {
        self.tag_image_by("", repo, tag, id, sources, locks).await
    }

    /// The same, with what the client says it is that does so.
    ///
    /// # Errors
    /// See [`Self::tag_image`].
    pub async fn tag_image_by(
        &self,
        agent: &str,
        repo: &RepoName,
        tag: Tag,
        id: &ImageId,
        sources: ImageSources<'_>,
        locks: TagLocks,
    ) -> Result<Digest> {
        let image = self.bring(repo, id, sources).await?.ok_or(ImageError::Unknown)?;
        for _ in 0..TRIES {
            let manifest = match self.manifest_for(repo, &tag, &image.id).await? {
                Some(manifest) => manifest,
                None => self.make_manifest(repo, &image).await?,
            };
            let digest = manifest.digest;
            let manifest = ManifestToStore {
                digest,
                bytes: manifest.bytes.clone(),
                content_type: Some(&manifest.media_type),
                tags: vec![tag.clone()],
                locks: locks.clone(),
                image: Some(image.id),
                agent,
            };
            match self.store_manifest(repo, manifest).await {
                Ok(_) => return Ok(digest),
                Err(RegistryError::ManifestReferencesUnknown(missing)) => {
                    tracing::info!(%id, ?missing, "layers of the image {id} are not there any more");
                }
                Err(error) => return Err(error),
            }
        }
        Err(ImageError::Unknown.into())
    }

    /// A manifest of this chain: the one that the tag names now, where that is one.
    async fn manifest_for(
        &self,
        repo: &RepoName,
        tag: &Tag,
        id: &ImageId,
    ) -> Result<Option<Arc<StoredManifest>>> {
        if let Some(tag) = self.meta.image_tag(repo, tag).await?.filter(|tag| tag.image == Some(*id))
            && let Some(manifest) = self.by_digest(repo, &tag.manifest).await?
        {
            return Ok(Some(manifest));
        }
        self.known_manifest(repo, id).await
    }

    async fn known_manifest(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Arc<StoredManifest>>> {
        match self.meta.manifest_of_image(repo, id).await? {
            Some(digest) => self.by_digest(repo, &digest).await,
            None => Ok(None),
        }
    }

    async fn make_manifest(&self, repo: &RepoName, image: &StoredImage) -> Result<Arc<StoredManifest>> {
        let mut chain = self.chain_of(repo, &image.id).await?.ok_or(ImageError::Unknown)?;
        chain.reverse();
        let mut parts = self.parts_of_base(repo, &chain).await?;
        for image in &chain[parts.len()..] {
            let layer = image.layer.as_ref().ok_or(ImageError::NoLayer)?;
            parts.push(self.part_of_layer(repo, layer).await?);
        }
        let links: Vec<_> = chain.iter().zip(&parts).map(|(image, part)| link(image, part)).collect();
        let made = make(&links).ok_or(ImageError::Unknown)?;
        self.store_bytes(repo, made.config.into()).await?;
        let bytes = Bytes::from(made.manifest);
        Ok(Arc::new(StoredManifest {
            digest: Digest::sha256(&bytes),
            media_type: made.media_type.to_owned(),
            bytes,
            idle_since: None,
        }))
    }

    /// What is known of the lower images of a chain, base first, because there is a manifest of them already. So derived images keep
    /// the history that their JSON does not have, and layers that were packed anew are found again.
    async fn parts_of_base(&self, repo: &RepoName, chain: &[Arc<StoredImage>]) -> Result<Vec<Part>> {
        for (index, image) in chain.iter().enumerate().rev().skip(1) {
            if let Some(manifest) = self.known_manifest(repo, &image.id).await?
                && let Some(parts) = self.parts_of_manifest(repo, &manifest, index + 1).await?
            {
                return Ok(parts);
            }
        }
        Ok(Vec::new())
    }

    async fn parts_of_manifest(
        &self,
        repo: &RepoName,
        manifest: &StoredManifest,
        images: usize,
    ) -> Result<Option<Vec<Part>>> {
        if is_index(manifest) {
            return Ok(None);
        }
        let rules = ManifestRules { extra_media_types: &self.limits.manifest_types };
        let read = Manifest::parse(Some(&manifest.media_type), &manifest.bytes, &rules);
        let Ok(Manifest { config: Some(config), layers, .. }) = read else { return Ok(None) };
        let Some(config) = self.config_bytes(repo, &config.digest).await? else { return Ok(None) };
        let diff_ids = diff_ids_of(&config).unwrap_or_default();
        if layers.len() != images || diff_ids.len() != images {
            return Ok(None);
        }
        let history = history_of(&config, images);
        let history = history.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
        let part = |((layer, diff_id), history): ((gantry_oci::Descriptor, Digest), _)| Part {
            layer: layer.digest,
            size: layer.size,
            gzip: layer.media_type.ends_with("gzip"),
            diff_id,
            history,
        };
        Ok(Some(layers.into_iter().zip(diff_ids).zip(history).map(part).collect()))
    }

    async fn part_of_layer(&self, repo: &RepoName, layer: &ImageLayer) -> Result<Part> {
        let (compression, diff_id) = match &layer.content {
            Some(content) => (content.compression, content.diff_id),
            None => self.content_of_layer(repo, &layer.digest).await?,
        };
        let part = |gzip| Part { layer: layer.digest, size: layer.size, gzip, diff_id, history: None };
        match compression {
            Compression::Gzip => Ok(part(true)),
            Compression::None | Compression::Zstd => Ok(part(false)),
            Compression::Opaque => Ok(part(self.is_gzip(repo, layer).await?)),
            Compression::Bzip2 | Compression::Xz => {
                let (digest, size) = self.repack(repo, &layer.digest).await?;
                Ok(Part { layer: digest, size, gzip: true, diff_id, history: None })
            }
        }
    }

    /// Whether a layer that cannot be unpacked says that it is gzip.
    async fn is_gzip(&self, repo: &RepoName, layer: &ImageLayer) -> Result<bool> {
        let blob = self.meta.blob(repo, &layer.digest).await?.ok_or(ImageError::Unknown)?;
        let mut pieces = self.open_blob(repo, &blob).await?.read(0..blob.size.min(3));
        let mut first = Vec::new();
        while let Some(piece) = pieces.next().await {
            first.extend_from_slice(&piece?);
        }
        Ok(first == [0x1f, 0x8b, 8])
    }

    /// Stores a layer anew, compressed as v2 knows it. The same layer gives the same bytes.
    async fn repack(&self, repo: &RepoName, layer: &Digest) -> Result<(Digest, u64)> {
        let (work, body) = repacked();
        let reading = self.read_layer(repo, layer, &self.images.pushing, work);
        let storing = self.uploads.store_unnamed(repo, OWNER, None, body);
        let (read, stored) = tokio::join!(reading, storing);
        match read? {
            Ok(()) => stored,
            // It was read before, when it came.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => stored,
            Err(error) => {
                tracing::warn!(%layer, %error, "a layer that could be unpacked once cannot be any more");
                Err(RegistryError::BytesMissing(*layer))
            }
        }
    }

    async fn store_bytes(&self, repo: &RepoName, bytes: Bytes) -> Result<()> {
        let length = bytes.len() as u64;
        self.uploads.store_unnamed(repo, OWNER, Some(length), body_with(bytes)).await?;
        Ok(())
    }
}

fn link<'a>(image: &'a StoredImage, part: &'a Part) -> ChainLink<'a> {
    ChainLink {
        json: &image.json,
        layer: part.layer,
        size: part.size,
        gzip: part.gzip,
        diff_id: part.diff_id,
        history: part.history.as_deref(),
    }
}

fn diff_ids_of(config: &[u8]) -> Option<Vec<Digest>> {
    #[derive(serde::Deserialize)]
    struct Config {
        rootfs: RootFs,
    }
    #[derive(serde::Deserialize)]
    struct RootFs {
        diff_ids: Vec<Digest>,
    }
    Some(serde_json::from_slice::<Config>(config).ok()?.rootfs.diff_ids)
}

/// A body of bytes that are here.
pub(super) fn body_with(bytes: Bytes) -> ByteSource {
    Box::pin(futures_util::stream::iter([Ok(bytes)]))
}
