//! Digests: what content is known by (image-spec, "Digests"; G-3).
//!
//! Two algorithms are kept. Others that follow the grammar are told apart from nonsense, because they are
//! answered differently: content under them is merely not here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::digest::common::hazmat::SerializableState;
use sha2::{Digest as _, Sha256, Sha512};

use crate::Tag;

/// A hash function that content can be known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, which everybody speaks.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Its registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    /// How many hexadecimal digits its digests have.
    pub fn hex_len(self) -> usize {
        match self {
            Algorithm::Sha256 => 64,
            Algorithm::Sha512 => 128,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Algorithm::Sha256),
            "sha512" => Ok(Algorithm::Sha512),
            _ if is_algorithm(text) => Err(DigestError::Unsupported),
            _ => Err(DigestError::Malformed),
        }
    }
}

/// Why text is not a digest that is kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// It does not follow the grammar.
    #[error("expected `sha256:` and 64, or `sha512:` and 128, lower-case hexadecimal digits")]
    Malformed,
    /// It follows the grammar, with another algorithm.
    #[error("only sha256 and sha512 are supported")]
    Unsupported,
}

/// The digest of some content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(Value);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Value {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// Longest text that is looked at, in bytes.
const TEXT_MAX: usize = 32 + 1 + 256;

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < hex.len() {
        hex[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    hex
};

/// What each digit stands for; the others have bits above the four of a digit.
const DIGIT: [u8; 256] = {
    let mut digit = [0xff; 256];
    let mut byte = 0;
    while byte < HEX.len() {
        digit[HEX[byte][1] as usize] = byte as u8 & 15;
        byte += 1;
    }
    digit
};

impl Digest {
    /// The longest text of a digest, in bytes.
    pub const WRITTEN_MAX: usize = 7 + 128;

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Value::Sha256(_) => Algorithm::Sha256,
            Value::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The part behind the colon.
    pub fn hex(&self) -> String {
        let name = self.algorithm().as_str();
        self.write_into(&mut [0; Self::WRITTEN_MAX])[name.len() + 1..].to_owned()
    }

    /// Writes it as text into room on the stack: many answers carry a digest, and some two.
    pub fn write_into<'a>(&self, room: &'a mut [u8; Self::WRITTEN_MAX]) -> &'a str {
        let name = self.algorithm().as_str().as_bytes();
        let (before, hex) = room.split_at_mut(name.len() + 1);
        before[..name.len()].copy_from_slice(name);
        before[name.len()] = b':';
        for (pair, byte) in hex.as_chunks_mut().0.iter_mut().zip(self.bytes()) {
            *pair = HEX[usize::from(*byte)];
        }
        let length = before.len() + self.algorithm().hex_len();
        // All of it is ASCII.
        std::str::from_utf8(&room[..length]).unwrap_or_default()
    }

    /// The digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self(Value::Sha256(Sha256::digest(content).into())),
            Algorithm::Sha512 => Self(Value::Sha512(Sha512::digest(content).into())),
        }
    }

    /// The SHA-256 digest of `content`.
    pub fn sha256(content: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, content)
    }

    /// The tag under which clients keep referrers where the referrers API is missing (G-7).
    pub fn fallback_tag(&self) -> Tag {
        let mut hex = self.hex();
        hex.truncate(64);
        Tag::from_parts(self.algorithm().as_str(), &hex)
    }

    /// A digest from the bytes of its hash; `None`: the algorithm's have another length.
    pub fn from_bytes(algorithm: Algorithm, hash: &[u8]) -> Option<Digest> {
        Some(Digest(match algorithm {
            Algorithm::Sha256 => Value::Sha256(hash.try_into().ok()?),
            Algorithm::Sha512 => Value::Sha512(hash.try_into().ok()?),
        }))
    }

    /// The hash itself.
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Value::Sha256(bytes) => bytes,
            Value::Sha512(bytes) => bytes,
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write_into(&mut [0; Self::WRITTEN_MAX]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if text.len() > TEXT_MAX {
            return Err(DigestError::Malformed);
        }
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let value = match algorithm.parse() {
            Ok(Algorithm::Sha256) => read_hex(encoded).map(Value::Sha256),
            Ok(Algorithm::Sha512) => read_hex(encoded).map(Value::Sha512),
            Err(DigestError::Unsupported) if is_encoded(encoded) => return Err(DigestError::Unsupported),
            Err(_) => None,
        };
        value.map(Self).ok_or(DigestError::Malformed)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// The bytes that lower-case digits stand for, when they are exactly as many.
pub(crate) fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    if pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    let mut bad = 0;
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (DIGIT[usize::from(*high)], DIGIT[usize::from(*low)]);
        bad |= high | low;
        *byte = (high << 4) | (low & 15);
    }
    (bad < 16).then_some(bytes)
}

/// `component (sep component)*`
fn is_algorithm(text: &str) -> bool {
    let component =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    text.split(['+', '.', '_', '-']).all(component)
}

fn is_encoded(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"=_-".contains(&b))
}

/// A hash of content that is still coming.
#[derive(Clone, Debug)]
pub enum Hasher {
    /// SHA-256 under way.
    Sha256(Sha256),
    /// SHA-512 under way.
    Sha512(Sha512),
}

/// The form of a saved state; another crate may save differently one day.
const STATE_VERSION: u8 = 1;

/// So many bytes, of which the first is the least, count the blocks of any content: 2^48 blocks are 16 PiB.
const BLOCKS_MAX_BYTES: usize = 6;

impl Hasher {
    /// A hash of nothing yet.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::new()),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::new()),
        }
    }

    /// The algorithm.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Hasher::Sha256(_) => Algorithm::Sha256,
            Hasher::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// Adds content.
    pub fn update(&mut self, content: &[u8]) {
        match self {
            Hasher::Sha256(hash) => hash.update(content),
            Hasher::Sha512(hash) => hash.update(content),
        }
    }

    /// The digest of all content so far; more may follow.
    pub fn finish(&self) -> Digest {
        match self {
            Hasher::Sha256(hash) => Digest(Value::Sha256(hash.clone().finalize().into())),
            Hasher::Sha512(hash) => Digest(Value::Sha512(hash.clone().finalize().into())),
        }
    }

    /// The state, to go on from later. It is as secret as the content.
    pub fn save(&self) -> Vec<u8> {
        let mut state = vec![STATE_VERSION];
        match self {
            Hasher::Sha256(hash) => state.extend_from_slice(&hash.serialize()),
            Hasher::Sha512(hash) => state.extend_from_slice(&hash.serialize()),
        }
        state
    }

    /// Goes on from a saved state; `None` when it is not one of this algorithm and version.
    pub fn restore(algorithm: Algorithm, state: &[u8]) -> Option<Self> {
        let state = state.strip_prefix(&[STATE_VERSION])?;
        // Intermediate values come first, and then how many blocks there were. That number is taken as it is, and one that
        // was damaged on the disk would overflow at the end.
        let (values, counter) = match algorithm {
            Algorithm::Sha256 => (32, 8),
            Algorithm::Sha512 => (64, 16),
        };
        let blocks = state.get(values..values + counter)?;
        if blocks.iter().skip(BLOCKS_MAX_BYTES).any(|byte| *byte != 0) {
            return None;
        }
        Some(match algorithm {
            Algorithm::Sha256 => Hasher::Sha256(Sha256::deserialize(state.try_into().ok()?).ok()?),
            Algorithm::Sha512 => Hasher::Sha512(Sha512::deserialize(state.try_into().ok()?).ok()?),
        })
    }
}
