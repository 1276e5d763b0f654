//! Manifests: what they are and what they point to (image-spec, "Image Manifest" and "Image Index").
//!
//! Only what a registry needs is read, and nothing is ever written back: the bytes that were pushed are what is stored,
//! hashed and served (T24). Unknown fields are skipped without being built up in memory, of duplicate keys the last one
//! wins, and a descriptor is checked where it stands, so a hostile body cannot become much more than its own size. A key
//! that differs from a known one in case alone is refused: readers in Go would take it for the known one, and see other
//! layers than we do.

use std::collections::{BTreeMap, HashSet};

use crate::Digest;
use crate::descriptor::Descriptor;
use crate::media_type::{self, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST};
use crate::text::{SHOWN, excerpt};

/// How deeply objects and arrays may lie in each other, also in fields that mean nothing here. Manifests need five or so;
/// readers with a stack to overflow should not be handed more than this by a registry.
pub const DEPTH_MAX: usize = 64;

/// Declares a struct that is read from a JSON object: every field optional, `null` as absent, unknown fields skipped, the
/// last of duplicates counts.
macro_rules! lenient {
    ($(#[$doc:meta])* struct $name:ident { $($field:ident: $key:literal => $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Default)]
        struct $name { $($field: Option<$type>,)* }

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
                                other => {
                                    $($crate::manifest::refuse_other_case(other, $key)?;)*
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
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

/// Fails for a key that is another way to write a known one.
pub(crate) fn refuse_other_case<E: serde::de::Error>(key: &str, known: &str) -> Result<(), E> {
    if is_read_as(key, known) {
        let key = excerpt(key, SHOWN);
        return Err(E::custom(format_args!("the key `{key}` would be read as `{known}` by some")));
    }
    Ok(())
}

/// Whether Go's JSON reader takes a key for a known one: it folds case.
pub(crate) fn is_read_as(key: &str, known: &str) -> bool {
    let fold = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => letter.to_ascii_lowercase(),
    };
    // Bytes first: the two letters above are the only ones that make a difference, and longer.
    let may_be = key.len() >= known.len() && key.len() <= 3 * known.len();
    may_be && key.chars().map(fold).eq(known.chars().map(fold))
}

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
    /// Not UTF-8.
    #[error("the manifest is not valid: it is not UTF-8")]
    Encoding,
    /// More than [`DEPTH_MAX`] objects and arrays in each other.
    #[error("the manifest is not valid: it is nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
    /// Not JSON, a field of the wrong type, or a descriptor that is not one; says where.
    #[error("the manifest is not valid: {0}")]
    Json(String),
    /// `schemaVersion` is not 2.
    #[error("the manifest's schemaVersion is not 2")]
    SchemaVersion,
    /// `Content-Type` is not a media type.
    #[error("the Content-Type `{0}` is not a media type")]
    ContentType(String),
    /// The request and the body say different things.
    #[error("the Content-Type is `{header}`, but the manifest's mediaType is `{body}`")]
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
    Shape(&'static str),
}

lenient! {
    /// A manifest as it is written.
    struct RawManifest {
        schema_version: "schemaVersion" => u64,
        media_type: "mediaType" => String,
        artifact_type: "artifactType" => String,
        config: "config" => Descriptor,
        layers: "layers" => Vec<Descriptor>,
        manifests: "manifests" => Vec<Descriptor>,
        subject: "subject" => Descriptor,
        annotations: "annotations" => BTreeMap<String, String>,
    }
}

impl Manifest {
    /// Reads a manifest (E-10.3, E-10.4, E-10.6, E-10.12, X-5.4, X-5.6, T24, T60). `content_type` is the header of the
    /// request; its parameters are ignored.
    ///
    /// # Errors
    /// The first rule that the manifest breaks: encoding and syntax, then `schemaVersion`, the media type, the fields.
    pub fn parse(
        content_type: Option<&str>,
        bytes: &[u8],
        rules: &ManifestRules<'_>,
    ) -> Result<Self, ManifestError> {
        let header = content_type.map(str::trim).filter(|header| !header.is_empty());
        let header = header
            .map(|header| {
                media_type::essence(header).ok_or_else(|| ManifestError::ContentType(shown(header)))
            })
            .transpose()?;
        refuse_dead(header)?;
        let raw = read(bytes)?;
        let body = raw.media_type.as_deref().filter(|media_type| !media_type.is_empty());
        refuse_dead(body)?;
        if raw.schema_version != Some(2) {
            return Err(ManifestError::SchemaVersion);
        }
        let media_type = match (header, body) {
            (Some(header), Some(body)) if header != body => {
                return Err(ManifestError::MediaTypeMismatch { header: shown(header), body: shown(body) });
            }
            (header, body) => header.or(body),
        };
        if let Some(media_type) = media_type.filter(|media_type| !rules.accept(media_type)) {
            return Err(ManifestError::UnknownMediaType(shown(media_type)));
        }
        let kind = raw.kind().map_err(ManifestError::Shape)?;
        let media_type = match (media_type, kind) {
            (Some(OCI_MANIFEST | DOCKER_MANIFEST), ManifestKind::Index) => {
                return Err(ManifestError::Shape("an image manifest has a config and layers, not manifests"));
            }
            (Some(OCI_INDEX | DOCKER_MANIFEST_LIST), ManifestKind::Image) => {
                return Err(ManifestError::Shape("an index has manifests, not a config and layers"));
            }
            (Some(media_type), _) => media_type,
            // Nobody says, so the fields do (E-10.4).
            (None, ManifestKind::Image) => OCI_MANIFEST,
            (None, ManifestKind::Index) => OCI_INDEX,
        };
        let media_type = media_type.to_owned();
        let of_config = || raw.config.as_ref().map(|config| config.media_type.clone());
        let artifact_type = raw.artifact_type.filter(|own| !own.is_empty()).or_else(of_config);
        Ok(Self {
            kind,
            media_type,
            artifact_type: artifact_type.filter(|found| !found.is_empty()),
            subject: raw.subject,
            config: raw.config,
            layers: raw.layers.unwrap_or_default(),
            manifests: raw.manifests.unwrap_or_default(),
            annotations: raw.annotations.unwrap_or_default(),
        })
    }

    /// Blobs that must be in the repository: configuration and layers, each once and in order, without layers that are
    /// fetched from elsewhere (E-10.6, T26, T27).
    pub fn required_blobs(&self) -> Vec<Digest> {
        let pushed = |layer: &&Descriptor| {
            layer.urls.is_empty() && !media_type::is_non_distributable(&layer.media_type)
        };
        once(self.config.iter().chain(self.layers.iter().filter(pushed)))
    }

    /// Manifests of an index, each once and in order.
    pub fn children(&self) -> Vec<Digest> {
        once(self.manifests.iter())
    }
}

impl ManifestRules<'_> {
    fn accept(&self, media_type: &str) -> bool {
        [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST].contains(&media_type)
            || self.extra_media_types.iter().any(|extra| extra == media_type)
    }
}

impl RawManifest {
    fn kind(&self) -> Result<ManifestKind, &'static str> {
        let image = self.config.is_some() || self.layers.is_some();
        match (image, self.manifests.is_some()) {
            (true, true) => Err("a manifest has either a config and layers, or manifests, not both"),
            (false, false) => {
                Err("a manifest has either a config and layers, or manifests; this has neither")
            }
            (true, false) if self.config.is_none() => {
                Err("an image manifest has a config; this has only layers")
            }
            (true, false) => Ok(ManifestKind::Image),
            (false, true) => Ok(ManifestKind::Index),
        }
    }
}

fn refuse_dead(media_type: Option<&str>) -> Result<(), ManifestError> {
    match media_type {
        Some(dead) if media_type::DEAD.contains(&dead) => Err(ManifestError::DeadMediaType(dead.to_owned())),
        _ => Ok(()),
    }
}

fn read(bytes: &[u8]) -> Result<RawManifest, ManifestError> {
    // Skipped fields would not be looked at closely enough by the JSON reader, neither for this ...
    let text = std::str::from_utf8(bytes).map_err(|_| ManifestError::Encoding)?;
    // ... nor for that.
    if is_too_deep(bytes) {
        return Err(ManifestError::TooDeep);
    }
    // The sentence may repeat a string of the client's.
    serde_json::from_str(text).map_err(|error| ManifestError::Json(excerpt(&error.to_string(), 2 * SHOWN)))
}

/// Counts brackets outside of strings; whether they match is for the JSON reader to find out.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' if depth == DEPTH_MAX => return true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

fn skip_string(bytes: &mut std::slice::Iter<'_, u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

fn once<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Vec<Digest> {
    let mut seen = HashSet::new();
    descriptors.map(|descriptor| descriptor.digest).filter(|digest| seen.insert(*digest)).collect()
}

fn shown(text: &str) -> String {
    excerpt(text, SHOWN)
}
