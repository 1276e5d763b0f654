//! Descriptors: what a manifest says of the content that it points to (image-spec, "Content Descriptors").

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};

use crate::Digest;
use crate::manifest::lenient;
use crate::text::{SHOWN, excerpt};

/// A pointer to content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content, in bytes.
    pub size: u64,
    /// Where else the content can be had.
    pub urls: Vec<String>,
    /// The type of the artifact, when the content is one.
    pub artifact_type: Option<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

lenient! {
    /// A descriptor as it is written.
    struct RawDescriptor {
        media_type: "mediaType" => String,
        digest: "digest" => String,
        size: "size" => u64,
        urls: "urls" => Vec<String>,
        artifact_type: "artifactType" => String,
        annotations: "annotations" => BTreeMap<String, String>,
    }
}

/// The largest size, in bytes: image-spec has it as a signed number of 64 bits, and so do the clients.
const SIZE_MAX: u64 = i64::MAX.unsigned_abs();

/// Read as image-spec requires it to be: with `mediaType`, `digest` and `size`, whatever else there may be.
/// Media types are opaque.
impl<'de> Deserialize<'de> for Descriptor {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = RawDescriptor::deserialize(from)?;
        let digest = raw.digest.ok_or_else(|| de::Error::custom("a descriptor has no digest"))?;
        let digest = digest.parse().map_err(|error| {
            let digest = excerpt(&digest, SHOWN);
            de::Error::custom(format_args!("the digest `{digest}` of a descriptor: {error}"))
        })?;
        let size = raw.size.ok_or_else(|| de::Error::custom("a descriptor has no size"))?;
        if size > SIZE_MAX {
            return Err(de::Error::custom("the size of a descriptor is too large"));
        }
        Ok(Self {
            media_type: raw.media_type.ok_or_else(|| de::Error::custom("a descriptor has no mediaType"))?,
            digest,
            size,
            urls: raw.urls.unwrap_or_default(),
            artifact_type: raw.artifact_type,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }
}
