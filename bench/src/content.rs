//! What is stored and sent: made from a seed, the same for every server, and unique where a push must be of something new.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// The type of image manifests.
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The type of image indexes, of which an answer of the referrers API is one.
pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The size of a small blob, in bytes.
pub(crate) const SMALL: u64 = 4 * 1024;
/// The size of a large blob, in bytes.
pub(crate) const LARGE: u64 = 256 * 1024 * 1024;
/// The sizes of the image that is pushed and pulled whole, its configuration first: 1.3 MiB in six requests.
pub(crate) const IMAGE: [u64; 5] = [2 * 1024, 4 * 1024, 32 * 1024, 256 * 1024, 1024 * 1024];

/// Bytes at the end of a blob that make it unique.
const TAIL: usize = 64;
const PATTERN: usize = 256 * 1024;

/// `sha256:...` of bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Blobs of one size that differ in their last 64 bytes, so that the digest of a new one costs one block of hashing
/// and not 256 MiB of it in the middle of a measurement.
#[derive(Clone)]
pub(crate) struct Template {
    size: u64,
    pattern: Arc<[u8]>,
    hashed: Sha256,
}

/// One blob of a template.
pub(crate) struct Blob<'a> {
    pub(crate) digest: String,
    pub(crate) size: u64,
    pattern: &'a [u8],
    tail: [u8; TAIL],
}

impl Template {
    /// Blobs of `size` bytes, at least 64.
    pub(crate) fn new(size: u64) -> Self {
        let mut state = size ^ 0x9e37_79b9_7f4a_7c15;
        // Not compressible, as layers are not.
        let pattern: Arc<[u8]> = (0..PATTERN)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        let mut hashed = Sha256::new();
        for piece in pieces(&pattern, size) {
            hashed.update(piece);
        }
        Self { size, pattern, hashed }
    }

    /// The blob with this name.
    pub(crate) fn named(&self, name: &str) -> Blob<'_> {
        let mut tail = [b'.'; TAIL];
        let length = name.len().min(TAIL);
        tail[..length].copy_from_slice(&name.as_bytes()[..length]);
        let mut hash = self.hashed.clone();
        hash.update(tail);
        let digest = format!("sha256:{}", hex::encode(hash.finalize()));
        Blob { digest, size: self.size, pattern: &self.pattern, tail }
    }

    /// A blob that was never before: in this run by a counter, in others by the process's id and the size of memory it
    /// got; every run begins with empty stores anyway.
    pub(crate) fn unique(&self) -> Blob<'_> {
        self.named(&format!("{}", unique()))
    }
}

/// A number that was never before in this run.
pub(crate) fn unique() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Blob<'_> {
    /// The bytes, in pieces as they are sent.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        pieces(self.pattern, self.size).chain([&self.tail[..]])
    }
}

fn pieces(pattern: &[u8], size: u64) -> impl Iterator<Item = &[u8]> {
    let mut left = size.saturating_sub(TAIL as u64);
    std::iter::from_fn(move || {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(pattern.len());
        left -= now as u64;
        (now > 0).then(|| &pattern[..now])
    })
}

/// An image manifest: the first blob is the configuration, the others are layers.
pub(crate) fn manifest(blobs: &[(String, u64)], subject: Option<(&str, u64)>, note: &str) -> Vec<u8> {
    let descriptor = |kind: &str, digest: &str, size: u64| {
        format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#)
    };
    let config = blobs.first().map(|(digest, size)| descriptor(CONFIG, digest, *size)).unwrap_or_default();
    let layers: Vec<_> =
        blobs.iter().skip(1).map(|(digest, size)| descriptor(LAYER, digest, *size)).collect();
    let subject = subject
        .map(|(digest, size)| {
            format!(
                r#","artifactType":"application/vnd.bench.sbom","subject":{}"#,
                descriptor(MANIFEST, digest, size)
            )
        })
        .unwrap_or_default();
    let layers = layers.join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layers}]{subject},"annotations":{{"bench.note":"{note}"}}}}"#
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_its_size_and_digest() {
        for size in [64, 100, SMALL, 1024 * 1024 + 7] {
            let template = Template::new(size);
            let blob = template.named("x");
            let bytes: Vec<u8> = blob.pieces().flatten().copied().collect();
            assert_eq!((bytes.len() as u64, digest(&bytes)), (size, blob.digest.clone()));
            assert_ne!(template.unique().digest, template.unique().digest);
        }
    }

    #[test]
    fn a_manifest_is_json() {
        let blobs = [("sha256:a".to_owned(), 1), ("sha256:b".to_owned(), 2)];
        let parsed: serde_json::Value =
            serde_json::from_slice(&manifest(&blobs, Some(("sha256:c", 3)), "n")).unwrap();
        assert_eq!(parsed["layers"][0]["size"], 2);
        assert_eq!(parsed["subject"]["digest"], "sha256:c");
    }
}
