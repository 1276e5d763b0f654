//! Repository names and tags (G-1, G-2).

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// The longest repository name, in bytes; clients have the same limit.
pub const NAME_MAX: usize = 255;
/// What names begin with that [`RepoName::staging`] makes.
const STAGING: &str = "~v1/";
/// The longest tag, in bytes.
pub const TAG_MAX: usize = 128;

/// The name of a repository: lower-case components with single separators inside, joined by slashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoName(Arc<str>);

/// Text that is not a repository name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected lower-case letters and digits, separated by one of `.`, `_`, `__` or dashes, in components joined by `/`, at most 255 bytes"
)]
pub struct NameError;

impl RepoName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where images wait that a caller pushes without saying into which repository (v1 can leave that open until a tag is set). The
    /// name is none that can be asked for: no request, scope or pattern reads as it, and it comes after all others.
    #[must_use]
    pub fn staging(subject: &str) -> Self {
        let digest = crate::Digest::sha256(subject.as_bytes());
        Self(format!("{STAGING}{}", digest.hex()).into())
    }

    /// Whether it is a place made by [`Self::staging`].
    #[must_use]
    pub fn is_staging(&self) -> bool {
        self.0.starts_with(STAGING)
    }

    /// Reads a name that was stored: also that of a staging place.
    ///
    /// # Errors
    /// It is no name.
    pub fn stored(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix(STAGING) {
            Some(rest) if rest.len() == 64 => Ok(Self(text.into())),
            _ => text.parse(),
        }
    }

    /// Reads a name as paths and scopes have it: `repositories/<storage>/<repository>...` is another way to write
    /// `<storage>/<repository>...`.
    ///
    /// # Errors
    /// It is no name.
    pub fn from_path(text: &str) -> Result<Self, NameError> {
        match text.strip_prefix("repositories/") {
            Some(rest) if rest.contains('/') => Self::from_path(rest),
            _ => text.parse(),
        }
    }
}

impl FromStr for RepoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() <= NAME_MAX && text.as_bytes().split(|byte| *byte == b'/').all(is_component) {
            Ok(Self(text.into()))
        } else {
            Err(NameError)
        }
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(mut rest: &[u8]) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    loop {
        let word = rest.iter().take_while(|byte| alphanumeric(byte)).count();
        if word == 0 {
            return false;
        }
        rest = rest.get(word..).unwrap_or_default();
        let separator = match rest {
            [] => return true,
            [b'.', ..] => 1,
            [b'_', b'_', ..] => 2,
            [b'_', ..] => 1,
            [b'-', ..] => rest.iter().take_while(|byte| **byte == b'-').count(),
            _ => return false,
        };
        rest = rest.get(separator..).unwrap_or_default();
    }
}

/// A tag: up to 128 letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// Text that is not a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 128 letters, digits, `_`, `.` or `-`, beginning with a letter, digit or `_`")]
pub struct TagError;

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `algorithm-hex`, for digests, of which both parts follow the grammar of tags.
    pub(crate) fn from_parts(algorithm: &str, hex: &str) -> Self {
        Self(format!("{algorithm}-{hex}").into())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let good = text.len() <= TAG_MAX
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
        if good { Ok(Self(text.into())) } else { Err(TagError) }
    }
}

macro_rules! is_text {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
    )*};
}
is_text!(RepoName, Tag);
