//! The JSON of an image, of which only the top-level keys are looked at; values stay as they were written.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::ImageId;
use super::object::{Object, string};

/// Image JSON, read.
#[derive(Clone, Debug)]
pub struct ImageJson {
    /// `id`
    pub id: ImageId,
    /// `parent`; an empty one is none.
    pub parent: Option<ImageId>,
}

/// What is wrong with image JSON. The texts are those that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageJsonError {
    /// Not UTF-8 JSON, no object, or empty.
    #[error("Invalid JSON")]
    Invalid,
    /// No `id`.
    #[error("Missing key `id' in JSON")]
    NoId,
    /// `id` is not that of the path.
    #[error("JSON data contains invalid id")]
    OtherId,
    /// `parent` is no image id.
    #[error("Image depends on a non existing parent")]
    Parent,
}

impl ImageJson {
    /// Reads the JSON of the image `id`. Of duplicate keys the last counts, as it does for clients.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn parse(json: &[u8], id: &ImageId) -> Result<Self, ImageJsonError> {
        let object = Object::read(json).filter(|object| !object.is_empty()).ok_or(ImageJsonError::Invalid)?;
        if !object.has("id") {
            return Err(ImageJsonError::NoId);
        }
        let own = object.get("id").and_then(string).and_then(|own| own.parse::<ImageId>().ok());
        if own != Some(*id) {
            return Err(ImageJsonError::OtherId);
        }
        let parent = match object.get("parent").map(string) {
            None => None,
            Some(Some(text)) if text.is_empty() => None,
            Some(text) => {
                let parent = text.and_then(|text| text.parse().ok()).filter(|parent| parent != id);
                Some(parent.ok_or(ImageJsonError::Parent)?)
            }
        };
        Ok(Self { id: *id, parent })
    }
}

/// Reads the answer to a request for the ancestry of `id`, of another registry: self first, base last, no id twice, at most `max`.
#[must_use]
pub fn parse_ancestry(json: &[u8], id: &ImageId, max: usize) -> Option<Vec<ImageId>> {
    let mut from = serde_json::Deserializer::from_slice(json);
    let chain = from.deserialize_seq(Chain { max }).ok()?;
    from.end().ok()?;
    (chain.first() == Some(id)).then_some(chain)
}

/// Reads ids, and stops at the first that is none or is one too many.
struct Chain {
    max: usize,
}

impl<'de> Visitor<'de> for Chain {
    type Value = Vec<ImageId>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of image ids")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ids: A) -> Result<Vec<ImageId>, A::Error> {
        let (mut chain, mut seen) = (Vec::new(), HashSet::new());
        while let Some(id) = ids.next_element::<String>()? {
            let id: ImageId = id.parse().map_err(de::Error::custom)?;
            if chain.len() == self.max || !seen.insert(id) {
                return Err(de::Error::custom("too long, or an id twice"));
            }
            chain.push(id);
        }
        Ok(chain)
    }
}
