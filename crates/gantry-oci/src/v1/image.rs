//! The JSON of an image, of which only the top-level keys are looked at; values stay as they were written.

use super::ImageId;

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
    /// Reads the JSON of the image `id`.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn parse(_json: &[u8], _id: &ImageId) -> Result<Self, ImageJsonError> {
        todo!()
    }
}

/// Reads the answer to a request for the ancestry of `id`, of another registry: self first, base last, no id twice, at most `max`.
#[must_use]
pub fn parse_ancestry(_json: &[u8], _id: &ImageId, _max: usize) -> Option<Vec<ImageId>> {
    todo!()
}
