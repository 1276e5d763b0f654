//! Checksums that a client gives for an image: read here, made where the bytes are.

use std::fmt;
use std::str::FromStr;

use super::ImageId;
use crate::{Algorithm, Digest};

/// `X-Docker-Checksum` and `X-Docker-Checksum-Payload` (also under its older name `X-Docker-Payload-Checksum`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// `sha256:HEX` of either header: sha256(json "\n" layer).
    pub payload: Option<Digest>,
    /// `tarsum+sha256:HEX`
    pub tarsum: Option<TarSum>,
    /// A header came with something in it, whatever it was.
    pub given: bool,
}

/// A checksum of the files in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarSum {
    /// How it is made.
    pub version: TarSumVersion,
    /// Its value.
    pub sum: [u8; 32],
}

/// A way to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TarSumVersion {
    /// `tarsum`
    V0,
    /// `tarsum.v1`
    V1,
    /// `tarsum.dev`
    Dev,
}

/// Text that is no TarSum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `tarsum+sha256:` and 64 lower-case hexadecimal digits")]
pub struct TarSumError;

impl Checksums {
    /// Reads the values of the two headers. What is malformed counts as given and as no checksum.
    #[must_use]
    pub fn parse(checksum: Option<&str>, payload: Option<&str>) -> Self {
        let sum = |text: &str| text.parse().ok().filter(|sum: &Digest| sum.algorithm() == Algorithm::Sha256);
        let checksum = checksum.map(str::trim_ascii).unwrap_or_default();
        // The header that is for it counts, also when what it has is none.
        let payload = payload.map(str::trim_ascii).filter(|text| !text.is_empty()).unwrap_or(checksum);
        // An empty `payload` has taken the other's place.
        let given = !payload.is_empty();
        Self { payload: sum(payload), tarsum: checksum.parse().ok(), given }
    }
}

impl TarSumVersion {
    /// All of them.
    pub const ALL: [TarSumVersion; 3] = [TarSumVersion::V0, TarSumVersion::V1, TarSumVersion::Dev];

    /// As it stands in a checksum.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TarSumVersion::V0 => "tarsum",
            TarSumVersion::V1 => "tarsum.v1",
            TarSumVersion::Dev => "tarsum.dev",
        }
    }
}

impl FromStr for TarSum {
    type Err = TarSumError;

    fn from_str(text: &str) -> Result<Self, TarSumError> {
        let (version, sum) = text.split_once("+sha256:").ok_or(TarSumError)?;
        let version = TarSumVersion::ALL.into_iter().find(|known| known.as_str() == version);
        // The same 64 digits as an image id has.
        let sum: ImageId = sum.parse().map_err(|_| TarSumError)?;
        Ok(Self { version: version.ok_or(TarSumError)?, sum: *sum.bytes() })
    }
}

impl fmt::Display for TarSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+sha256:{}", self.version.as_str(), ImageId::from_bytes(self.sum))
    }
}
