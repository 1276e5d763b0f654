//! Blobs and manifests as clients make them. Nothing is made twice, except what is meant to be the same.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use super::types;

/// A digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    Sha256,
    Sha512,
}

impl Alg {
    pub(crate) const ALL: [Alg; 2] = [Alg::Sha256, Alg::Sha512];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Alg::Sha256 => "sha256",
            Alg::Sha512 => "sha512",
        }
    }

    /// The digest of bytes, as it is written.
    pub(crate) fn of(self, bytes: &[u8]) -> String {
        let hash = match self {
            Alg::Sha256 => hex::encode(Sha256::digest(bytes)),
            Alg::Sha512 => hex::encode(Sha512::digest(bytes)),
        };
        format!("{}:{hash}", self.name())
    }

    /// A digest that nothing has.
    pub(crate) fn unknown(self) -> String {
        self.of(&bytes(32))
    }
}

static SEED: AtomicU64 = AtomicU64::new(1);

/// A number that is not given twice.
pub(crate) fn number() -> u64 {
    SEED.fetch_add(1, Ordering::Relaxed)
}

/// So many bytes that look random, other ones each time.
pub(crate) fn bytes(length: usize) -> Bytes {
    let mut state = number().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// Bytes and their digest.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub(crate) digest: String,
    pub(crate) bytes: Bytes,
}

impl Blob {
    pub(crate) fn of(alg: Alg, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { digest: alg.of(&bytes), bytes }
    }

    /// A new one of this many bytes.
    pub(crate) fn new(length: usize) -> Self {
        Self::of(Alg::Sha256, bytes(length))
    }

    /// `{}`, the configuration of artifacts.
    pub(crate) fn empty_json(alg: Alg) -> Self {
        Self::of(alg, &b"{}"[..])
    }

    /// The same bytes under another digest.
    pub(crate) fn by(&self, alg: Alg) -> Self {
        Self::of(alg, self.bytes.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn descriptor(&self, media_type: &str) -> Value {
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.len() })
    }
}

/// The exact bytes of a manifest, its media type and its digest.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) bytes: Bytes,
    pub(crate) digest: String,
}

impl Manifest {
    pub(crate) fn of(alg: Alg, media_type: &str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { media_type: media_type.to_owned(), digest: alg.of(&bytes), bytes }
    }

    /// From a document; its type is what it says itself.
    pub(crate) fn json(alg: Alg, document: &Value) -> Self {
        let media_type = document["mediaType"].as_str().unwrap_or_default();
        Self::of(alg, media_type, serde_json::to_vec_pretty(document).expect("JSON"))
    }

    /// The same bytes under another digest.
    pub(crate) fn by(&self, alg: Alg) -> Self {
        Self::of(alg, &self.media_type, self.bytes.clone())
    }

    pub(crate) fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// A manifest with the blobs that it needs, or the manifests in it with theirs.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) blobs: Vec<Blob>,
    pub(crate) children: Vec<Image>,
}

impl Image {
    pub(crate) fn digest(&self) -> &str {
        &self.manifest.digest
    }

    pub(crate) fn descriptor(&self) -> Value {
        self.manifest.descriptor()
    }
}

/// An image manifest with a new configuration and two new layers, unless it is told otherwise.
pub(crate) fn image() -> ImageBuilder {
    let document = json!({ "schemaVersion": 2, "mediaType": types::OCI_MANIFEST });
    let Value::Object(document) = document else { unreachable!("an object") };
    ImageBuilder { alg: Alg::Sha256, config: None, layers: None, document }
}

/// See [`image`].
#[derive(Clone)]
pub(crate) struct ImageBuilder {
    alg: Alg,
    config: Option<(String, Blob)>,
    layers: Option<Vec<(String, Blob)>>,
    document: Map<String, Value>,
}

impl ImageBuilder {
    /// Everything in it has digests of this algorithm.
    pub(crate) fn alg(mut self, alg: Alg) -> Self {
        self.alg = alg;
        self
    }

    pub(crate) fn config(mut self, media_type: &str, blob: &Blob) -> Self {
        self.config = Some((media_type.to_owned(), blob.clone()));
        self
    }

    /// The layers, in this order.
    pub(crate) fn layers(mut self, media_type: &str, blobs: &[Blob]) -> Self {
        self.layers = Some(blobs.iter().map(|blob| (media_type.to_owned(), blob.clone())).collect());
        self
    }

    /// A field of the document, beside or in place of those it has.
    pub(crate) fn field(mut self, name: &str, value: Value) -> Self {
        self.document.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn subject(self, subject: &Value) -> Self {
        self.field("subject", subject.clone())
    }

    pub(crate) fn annotation(mut self, name: &str, value: &str) -> Self {
        self.document.entry("annotations").or_insert_with(|| json!({}))[name] = value.into();
        self
    }

    /// An artifact: its type, an empty configuration, and a blob of that type.
    pub(crate) fn artifact(self, artifact_type: &str) -> Self {
        let alg = self.alg;
        self.field("artifactType", artifact_type.into())
            .config(types::EMPTY, &Blob::empty_json(alg))
            .layers(artifact_type, &[Blob::of(alg, bytes(200))])
    }

    pub(crate) fn build(mut self) -> Image {
        let alg = self.alg;
        let (config_type, config) = self.config.unwrap_or_else(|| {
            let config = json!({ "architecture": "amd64", "os": "linux", "created by": number() });
            (types::OCI_CONFIG.to_owned(), Blob::of(alg, config.to_string()))
        });
        let layers = self.layers.unwrap_or_else(|| {
            let layer = |length| (types::OCI_LAYER.to_owned(), Blob::of(alg, bytes(length)));
            vec![layer(1000), layer(2000)]
        });
        let descriptors: Vec<_> = layers.iter().map(|(kind, blob)| blob.descriptor(kind)).collect();
        self.document.entry("config").or_insert_with(|| config.descriptor(&config_type));
        self.document.entry("layers").or_insert_with(|| descriptors.into());
        let manifest = Manifest::json(alg, &Value::Object(self.document));
        let blobs = std::iter::once(config).chain(layers.into_iter().map(|(_, blob)| blob)).collect();
        Image { manifest, blobs, children: Vec::new() }
    }
}

/// An index of these, with the fields given last.
pub(crate) fn index(alg: Alg, children: &[Image], fields: &Value) -> Image {
    let descriptors: Vec<_> = children.iter().map(Image::descriptor).collect();
    let mut document = json!({ "schemaVersion": 2, "mediaType": types::OCI_INDEX, "manifests": descriptors });
    for (name, value) in fields.as_object().into_iter().flatten() {
        document[name] = value.clone();
    }
    let manifest = Manifest::json(alg, &document);
    Image { manifest, blobs: Vec::new(), children: children.to_vec() }
}
