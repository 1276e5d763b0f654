//! Manifests: what they are and what they point to (image-spec, "Image Manifest" and "Image Index").
//!
//! Only what a registry needs is read, and nothing is ever written back: the bytes that were pushed are what is stored,
//! hashed and served. Unknown fields are skipped without being built up in memory, and of duplicate keys the last one wins.

use std::collections::{BTreeMap, HashSet};

use crate::Digest;
use crate::descriptor::{Descriptor, RawDescriptor};
use crate::media_type::{self, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};

/// Declares a struct that is read from a JSON object: every field optional, `null` as absent, unknown fields skipped, the
/// last of duplicates counts.
macro_rules! lenient {
    ($(#[$doc:meta])* pub(crate) struct $name:ident { $($field:ident: $key:literal => $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        pub(crate) struct $name { $(pub(crate) $field: Option<$type>,)* }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Fields;
                impl<'de> serde::de::Visitor<'de> for Fields {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        let mut found = $name::default();
                        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                            match &*key {
                                $($key => found.$field = map.next_value()?,)*
                                _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                            }
                        }
                        Ok(found)
                    }
                }
                from.deserialize_map(Fields)
            }
        }
    };
}
pub(crate) use lenient;

/// What a manifest is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestKind {
    /// A configuration and layers.
    Image,
    /// Other manifests.
    Index,
}

/// What a registry needs to know of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is made of.
    pub kind: ManifestKind,
    /// Its media type, without parameters.
    pub media_type: String,
    /// Its artifact type as the referrers API shows it: its own, else the configuration's media type of an image.
    pub artifact_type: Option<String>,
    /// What it is attached to.
    pub subject: Option<Descriptor>,
    /// The configuration of an image.
    pub config: Option<Descriptor>,
    /// The layers of an image.
    pub layers: Vec<Descriptor>,
    /// The manifests of an index.
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is accepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ManifestRules<'a> {
    /// Media types beside the four of Docker and OCI.
    pub extra_media_types: &'a [String],
}

/// Why bytes are not a manifest that is accepted. The sentence is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not UTF-8, not JSON, nested too deeply, or a field of the wrong type.
    #[error("the manifest is not valid: {0}")]
    Json(String),
    /// `schemaVersion` is not 2.
    #[error("the manifest's schemaVersion is not 2")]
    SchemaVersion,
    /// `Content-Type` is not a media type.
    #[error("the Content-Type `{0}` is not a media type")]
    ContentType(String),
    /// Neither the request nor the body says what it is.
    #[error("the manifest's media type is missing")]
    NoMediaType,
    /// The request and the body say different things.
    #[error("the Content-Type is `{header}`, but the manifest says `{body}`")]
    MediaTypeMismatch {
        /// What the request says.
        header: String,
        /// What the body says.
        body: String,
    },
    /// A type that is no longer in use.
    #[error("manifests of type `{0}` are no longer supported")]
    DeadMediaType(String),
    /// A type that is not accepted.
    #[error("manifests of type `{0}` are not accepted here")]
    UnknownMediaType(String),
    /// The fields do not fit each other or the type.
    #[error("{0}")]
    Shape(String),
}

lenient! {
    /// A manifest as it is written.
    pub(crate) struct RawManifest {
        schema_version: "schemaVersion" => u64,
        media_type: "mediaType" => String,
        artifact_type: "artifactType" => String,
        config: "config" => RawDescriptor,
        layers: "layers" => Vec<RawDescriptor>,
        manifests: "manifests" => Vec<RawDescriptor>,
        subject: "subject" => RawDescriptor,
        annotations: "annotations" => BTreeMap<String, String>,
    }
}

impl Manifest {
    /// Reads a manifest (E-10.3, E-10.4, E-10.6, E-10.12, X-5.6, T24, T60).
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(
        content_type: Option<&str>,
        bytes: &[u8],
        rules: &ManifestRules<'_>,
    ) -> Result<Self, ManifestError> {
        let text =
            std::str::from_utf8(bytes).map_err(|_| ManifestError::Json("it is not UTF-8".to_owned()))?;
        let header = match content_type.filter(|value| !value.trim().is_empty()) {
            Some(value) => Some(
                media_type::essence(value)
                    .ok_or_else(|| ManifestError::ContentType(value.chars().take(128).collect()))?,
            ),
            None => None,
        };
        if let Some(dead) = header.filter(|header| media_type::DEAD.contains(header)) {
            return Err(ManifestError::DeadMediaType(dead.to_owned()));
        }
        let raw: RawManifest =
            serde_json::from_str(text).map_err(|error| ManifestError::Json(error.to_string()))?;
        let media_type = decide_type(header, &raw, rules)?;
        if raw.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let shape = |message: &str| ManifestError::Shape(message.to_owned());
        let kind = match (raw.config.is_some() || raw.layers.is_some(), raw.manifests.is_some()) {
            (true, true) => {
                return Err(shape("a manifest has either config and layers or manifests, not both"));
            }
            (false, false) => return Err(shape("a manifest needs config and layers, or manifests")),
            (true, false) => ManifestKind::Image,
            (false, true) => ManifestKind::Index,
        };
        match (media_type.as_str(), kind) {
            (OCI_MANIFEST | DOCKER_MANIFEST, ManifestKind::Index) => {
                return Err(shape("an image manifest needs a config"));
            }
            (OCI_INDEX | DOCKER_MANIFEST_LIST, ManifestKind::Image) => {
                return Err(shape("an index needs manifests"));
            }
            (_, ManifestKind::Image) if raw.config.is_none() => {
                return Err(shape("an image manifest needs a config"));
            }
            _ => {}
        }
        let one = |descriptor: RawDescriptor| descriptor.check().map_err(ManifestError::Shape);
        let all = |descriptors: Option<Vec<RawDescriptor>>| -> Result<Vec<_>, _> {
            descriptors.unwrap_or_default().into_iter().map(one).collect()
        };
        let config = raw.config.map(one).transpose()?;
        let artifact_type = raw
            .artifact_type
            .filter(|artifact_type| !artifact_type.is_empty())
            .or_else(|| config.as_ref().map(|config| config.media_type.clone()));
        Ok(Self {
            kind,
            media_type,
            artifact_type,
            subject: raw.subject.map(one).transpose()?,
            config,
            layers: all(raw.layers)?,
            manifests: all(raw.manifests)?,
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    /// Blobs that must be there: configuration and layers, each once, without layers that are fetched from elsewhere
    /// (E-10.6, T26, T27).
    pub fn required_blobs(&self) -> Vec<Digest> {
        let distributable = |layer: &&Descriptor| {
            layer.urls.is_empty() && !media_type::is_non_distributable(&layer.media_type)
        };
        once(self.config.iter().chain(self.layers.iter().filter(distributable)))
    }

    /// Manifests of an index, each once.
    pub fn children(&self) -> Vec<Digest> {
        once(self.manifests.iter())
    }
}

fn once<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    descriptors.map(|descriptor| descriptor.digest).filter(|digest| seen.insert(*digest)).collect()
}

/// The type by header and body, which must not contradict each other; without either, by shape.
fn decide_type(
    header: Option<&str>,
    raw: &RawManifest,
    rules: &ManifestRules<'_>,
) -> Result<String, ManifestError> {
    let body = raw.media_type.as_deref().filter(|media_type| !media_type.is_empty());
    let decided = match (header, body) {
        (Some(header), Some(body)) if header != body => {
            return Err(ManifestError::MediaTypeMismatch {
                header: header.to_owned(),
                body: body.to_owned(),
            });
        }
        (Some(decided), _) | (None, Some(decided)) => decided,
        (None, None) if raw.manifests.is_some() && raw.config.is_none() => OCI_INDEX,
        (None, None) if raw.config.is_some() && raw.manifests.is_none() => OCI_MANIFEST,
        (None, None) => return Err(ManifestError::NoMediaType),
    };
    if media_type::DEAD.contains(&decided) {
        return Err(ManifestError::DeadMediaType(decided.to_owned()));
    }
    let known = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST].contains(&decided)
        || rules.extra_media_types.iter().any(|extra| extra == decided);
    if known { Ok(decided.to_owned()) } else { Err(ManifestError::UnknownMediaType(decided.to_owned())) }
}
