//! Image ids.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::digest::read_hex;
use crate::{Algorithm, Digest};

/// The id of a v1 image: 64 lower-case hexadecimal digits, which the client chooses.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId([u8; 32]);

/// Text that is not an image id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid image ID")]
pub struct ImageIdError;

impl ImageId {
    /// The id with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As if it were the sha256 digest of something, where a digest is wanted as a name.
    #[must_use]
    pub fn as_digest(&self) -> Option<Digest> {
        Digest::from_bytes(Algorithm::Sha256, &self.0)
    }
}

impl FromStr for ImageId {
    type Err = ImageIdError;

    fn from_str(text: &str) -> Result<Self, ImageIdError> {
        read_hex(text).map(Self).ok_or(ImageIdError)
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ImageId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_64_lower_case_digits() {
        let text = "088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c";
        let id: ImageId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(ImageId::from_bytes(*id.bytes()), id);
        for wrong in ["", "088b", &text.to_uppercase(), &format!("{text}0"), &text.replace('0', "g")] {
            assert_eq!(wrong.parse::<ImageId>(), Err(ImageIdError), "{wrong}");
        }
    }
}
