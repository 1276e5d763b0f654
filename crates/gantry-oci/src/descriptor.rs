//! Descriptors: what a manifest says of the content that it points to (image-spec, "Content Descriptors").

use std::collections::BTreeMap;

use crate::Digest;
use crate::manifest::lenient;

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
    /// A descriptor as it is written; which fields it needs is decided when it is used.
    pub(crate) struct RawDescriptor {
        media_type: "mediaType" => String,
        digest: "digest" => String,
        size: "size" => u64,
        urls: "urls" => Vec<String>,
        artifact_type: "artifactType" => String,
        annotations: "annotations" => BTreeMap<String, String>,
    }
}

impl RawDescriptor {
    /// Checks a descriptor; `Err` says what is wrong with it.
    pub(crate) fn check(self) -> Result<Descriptor, String> {
        let digest = self.digest.ok_or("a descriptor has no digest")?;
        Ok(Descriptor {
            digest: digest.parse().map_err(|error| format!("invalid digest in a descriptor: {error}"))?,
            media_type: self.media_type.ok_or("a descriptor has no mediaType")?,
            size: self.size.ok_or("a descriptor has no size")?,
            urls: self.urls.unwrap_or_default(),
            artifact_type: self.artifact_type,
            annotations: self.annotations.unwrap_or_default(),
        })
    }
}
