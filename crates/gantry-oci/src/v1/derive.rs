//! What a manifest looks like in v1: a pure function of manifest and config.
//!
//! Ids are those of go-containerregistry's legacy archives: hashes over the layer and the id below, and for the top over the config
//! as well. Nothing is asked of the layers, which may not even be here, so this is as cheap as it is stable.

use serde_json::value::RawValue;

use super::created::is_time;
use super::object::Object;
use super::{ImageId, index};
use crate::manifest::is_read_as;
use crate::media_type::{
    DOCKER_CONFIG, DOCKER_LAYER_GZIP, DOCKER_LAYER_TAR, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER_GZIP,
    OCI_LAYER_TAR, OCI_MANIFEST,
};
use crate::{Algorithm, Descriptor, Digest, Hasher, Manifest, ManifestRules};

/// Which image of an index v1 clients get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// `amd64`
    pub architecture: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Derived {
    /// Base first; at least one.
    Images(Vec<DerivedImage>),
    /// No image for v1 clients: an artifact, a layer that is no plain or gzipped tar, a foreign layer, too large, too deep.
    Nothing,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedImage {
    /// Its id.
    pub id: ImageId,
    /// Its JSON.
    pub json: Vec<u8>,
    /// Its layer; for images without layers the 32 bytes of [`EMPTY_LAYER`], which may not be there.
    pub layer: Digest,
    /// Of the layer, in bytes.
    pub size: u64,
}

/// The gzipped empty tar that images without layers get.
pub const EMPTY_LAYER: [u8; 32] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x09, 0x6e, 0x88, 0x00, 0xff, 0x62, 0x18, 0x05, 0xa3, 0x60, 0x14, 0x8c,
    0x58, 0x00, 0x08, 0x00, 0x00, 0xff, 0xff, 0x2e, 0xaf, 0xb5, 0xef, 0x00, 0x04, 0x00, 0x00,
];

/// Images in a chain: what Docker's storage drivers can stack.
pub const CHAIN_MAX: usize = 127;

/// The largest config that is derived from, in bytes: clients hold it in memory.
pub const CONFIG_MAX: usize = 4 << 20;

/// The top's `created` has the only time there is; for all others clients get this.
const CREATED: &str = "1970-01-01T00:00:00Z";

/// The config that [`derive`] needs, when the manifest is an image that may have a view; `None`: it is none.
#[must_use]
pub fn config_of(manifest: &[u8], media_type: &str) -> Option<Descriptor> {
    image(manifest, media_type)?.config
}

/// Derives. Which config the bytes are is not checked.
#[must_use]
pub fn derive(manifest: &[u8], media_type: &str, config: &[u8]) -> Derived {
    image(manifest, media_type)
        .and_then(|manifest| chain(&manifest, config))
        .map_or(Derived::Nothing, Derived::Images)
}

/// The manifest of an index that v1 clients get.
#[must_use]
pub fn platform_manifest(index: &[u8], platform: &Platform) -> Option<Digest> {
    index::find(index, platform)
}

/// The manifest of an image that v1 clients can unpack.
fn image(manifest: &[u8], media_type: &str) -> Option<Manifest> {
    let manifest = Manifest::parse(Some(media_type), manifest, &ManifestRules::default()).ok()?;
    let config = manifest.config.as_ref()?;
    let is_image = matches!(manifest.media_type.as_str(), OCI_MANIFEST | DOCKER_MANIFEST)
        && matches!(config.media_type.as_str(), OCI_CONFIG | DOCKER_CONFIG)
        && usize::try_from(config.size).is_ok_and(|size| size <= CONFIG_MAX)
        && manifest.layers.len() <= CHAIN_MAX
        && manifest.layers.iter().all(is_tar);
    is_image.then_some(manifest)
}

fn is_tar(layer: &Descriptor) -> bool {
    let tar = [DOCKER_LAYER_GZIP, DOCKER_LAYER_TAR, OCI_LAYER_GZIP, OCI_LAYER_TAR];
    // A layer that is to be had from elsewhere need not be here.
    layer.urls.is_empty() && tar.contains(&layer.media_type.as_str())
}

fn chain(manifest: &Manifest, config: &[u8]) -> Option<Vec<DerivedImage>> {
    if config.len() > CONFIG_MAX {
        return None;
    }
    let conf = Object::read(config)?;
    let mut layers: Vec<_> = manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect();
    if layers.is_empty() {
        layers.push((Digest::sha256(&EMPTY_LAYER), EMPTY_LAYER.len() as u64));
    }
    let top = layers.len() - 1;
    let mut images: Vec<DerivedImage> = Vec::with_capacity(layers.len());
    for (index, (layer, size)) in layers.into_iter().enumerate() {
        let parent = images.last().map(|image| image.id);
        let id = id(&layer, parent.as_ref(), (index == top).then_some(config))?;
        let json =
            if index == top { top_json(&conf, &id, parent.as_ref())? } else { json(&id, parent.as_ref()) };
        images.push(DerivedImage { id, json, layer, size });
    }
    Some(images)
}

/// `sha256(layer " " parent)`, and of the top `sha256(layer " " parent " " config)`.
fn id(layer: &Digest, parent: Option<&ImageId>, config: Option<&[u8]>) -> Option<ImageId> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(layer.hex().as_bytes());
    hasher.update(b" ");
    hasher.update(parent.map(ImageId::to_string).unwrap_or_default().as_bytes());
    if let Some(config) = config {
        hasher.update(b" ");
        hasher.update(config);
    }
    hasher.finish().bytes().try_into().ok().map(ImageId::from_bytes)
}

fn json(id: &ImageId, parent: Option<&ImageId>) -> Vec<u8> {
    let parent = parent.map(|parent| format!(",\"parent\":\"{parent}\"")).unwrap_or_default();
    format!("{{\"created\":\"{CREATED}\",\"id\":\"{id}\"{parent}}}").into_bytes()
}

fn top_json(conf: &Object<'_>, id: &ImageId, parent: Option<&ImageId>) -> Option<Vec<u8>> {
    let quoted = |id: &ImageId| RawValue::from_string(format!("\"{id}\"")).ok();
    let (id, parent) = (quoted(id)?, parent.and_then(quoted));
    let mut conf = conf.clone();
    // What clients in Go would take for one of our keys goes, however it is written.
    let ours = ["id", "parent", "rootfs", "history"];
    conf.retain(|key, value| {
        !ours.iter().any(|known| is_read_as(key, known)) && (!is_read_as(key, "created") || is_time(value))
    });
    conf.set("id", &id);
    if let Some(parent) = &parent {
        conf.set("parent", parent);
    }
    Some(conf.write())
}
