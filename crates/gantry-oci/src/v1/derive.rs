//! What a manifest looks like in v1: a pure function of manifest and config.

use super::ImageId;
use crate::{Descriptor, Digest};

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
    /// Its layer; for images without layers the 32 bytes of [`super::derive::EMPTY_LAYER`], which may not be there.
    pub layer: Digest,
    /// Of the layer, in bytes.
    pub size: u64,
}

/// The gzipped empty tar that images without layers get.
pub const EMPTY_LAYER: [u8; 32] = [0; 32];

/// The config that [`derive`] needs, when the manifest is an image that may have a view; `None`: it is none.
#[must_use]
pub fn config_of(_manifest: &[u8], _media_type: &str) -> Option<Descriptor> {
    todo!()
}

/// Derives.
#[must_use]
pub fn derive(_manifest: &[u8], _media_type: &str, _config: &[u8]) -> Derived {
    todo!()
}

/// The manifest of an index that v1 clients get.
#[must_use]
pub fn platform_manifest(_index: &[u8], _platform: &Platform) -> Option<Digest> {
    todo!()
}
