//! Which image of an index v1 clients get: v1 has no indexes.

use super::Platform;
use crate::Digest;
use crate::manifest::{is_too_deep, lenient};
use crate::media_type::{DOCKER_MANIFEST, OCI_MANIFEST};

lenient! {
    /// An index, of which only the platforms are read.
    struct Index {
        manifests: "manifests" => Vec<Entry>,
    }
}

lenient! {
    /// A manifest of it.
    struct Entry {
        media_type: "mediaType" => String,
        digest: "digest" => Digest,
        platform: "platform" => EntryPlatform,
    }
}

lenient! {
    /// What it is for.
    struct EntryPlatform {
        os: "os" => String,
        architecture: "architecture" => String,
    }
}

/// The first image for the platform.
pub(super) fn find(index: &[u8], platform: &Platform) -> Option<Digest> {
    let text = std::str::from_utf8(index).ok().filter(|_| !is_too_deep(index))?;
    let index: Index = serde_json::from_str(text).ok()?;
    let fits = |entry: &Entry| {
        let found = entry.platform.as_ref();
        matches!(entry.media_type.as_deref(), Some(OCI_MANIFEST | DOCKER_MANIFEST))
            && found.and_then(|found| found.os.as_deref()) == Some(&platform.os)
            && found.and_then(|found| found.architecture.as_deref()) == Some(&platform.architecture)
    };
    index.manifests?.into_iter().find(fits)?.digest
}
