//! Checksums that a client gives for an image.

use crate::Digest;

/// `X-Docker-Checksum` and `X-Docker-Checksum-Payload` (also under its older name `X-Docker-Payload-Checksum`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checksums {
    /// `sha256:HEX` of either header: sha256(json "\n" layer).
    pub payload: Option<Digest>,
    /// `tarsum+sha256:HEX`
    pub tarsum: Option<TarSum>,
    /// A header came, whatever was in it.
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

impl Checksums {
    /// Reads the values of the two headers. What is malformed counts as given and as no checksum.
    #[must_use]
    pub fn parse(_checksum: Option<&str>, _payload: Option<&str>) -> Self {
        todo!()
    }
}
