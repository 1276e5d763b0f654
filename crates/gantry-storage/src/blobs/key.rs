//! Every stored path, in one enum.
//!
//! ```text
//! <blob root>
//! ├── gantry.store                                    Key::Marker: whose bytes these are
//! ├── uploads
//! │   └── <upload id>                                 Key::Upload: bytes that are still arriving
//! ├── quarantine
//! │   └── sha256                                      Key::QuarantineOf
//! │       └── abcdef...                               Key::Quarantine: bytes that were found wrong; a second copy is abcdef....2
//! └── docker/registry/v2/blobs
//!     ├── sha256
//!     │   └── ab                                      Key::Shard: the first two digits
//!     │       └── abcdef...                           Key::BlobDirectory
//!     │           └── data                            Key::Blob: never changes, only appears and disappears
//!     └── sha512
//!         └── ...
//! ```
//!
//! The blob part is the layout of the Distribution registry, so that its volumes are taken over in place.

use std::fmt;

use gantry_oci::{Algorithm, Digest, UploadId};

/// A path below the blob root; `Display` gives it relative, with `/` between components. Made of parsed values only, so
/// it cannot leave the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// Names the store that owns the directory.
    Marker,
    /// Where uploads gather.
    Uploads,
    /// One upload's bytes.
    Upload(UploadId),
    /// Where bytes of an algorithm's blobs are put that were found wrong.
    QuarantineOf(Algorithm),
    /// Bytes that were found wrong, by how many there were before them.
    Quarantine(Digest, u32),
    /// Where a Distribution registry keeps its links, on a volume that was its own.
    ForeignRecords,
    /// Where all blobs are.
    Blobs,
    /// All blobs of an algorithm.
    Algorithm(Algorithm),
    /// All blobs whose digest begins with the same two digits.
    Shard(Digest),
    /// One blob's directory.
    BlobDirectory(Digest),
    /// One blob's bytes.
    Blob(Digest),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const BLOBS: &str = "docker/registry/v2/blobs";
        match self {
            Key::Marker => f.write_str("gantry.store"),
            Key::Uploads => f.write_str("uploads"),
            Key::Upload(id) => write!(f, "uploads/{id}"),
            Key::QuarantineOf(algorithm) => write!(f, "quarantine/{}", algorithm.as_str()),
            Key::Quarantine(digest, copy) => {
                write!(f, "{}/{}", Key::QuarantineOf(digest.algorithm()), digest.hex())?;
                if *copy == 0 { Ok(()) } else { write!(f, ".{}", copy.saturating_add(1)) }
            }
            Key::ForeignRecords => f.write_str("docker/registry/v2/repositories"),
            Key::Blobs => f.write_str(BLOBS),
            Key::Algorithm(algorithm) => write!(f, "{BLOBS}/{}", algorithm.as_str()),
            Key::Shard(digest) => {
                let hex = digest.hex();
                write!(f, "{BLOBS}/{}/{}", digest.algorithm().as_str(), shard(&hex))
            }
            Key::BlobDirectory(digest) => {
                let hex = digest.hex();
                write!(f, "{BLOBS}/{}/{}/{hex}", digest.algorithm().as_str(), shard(&hex))
            }
            Key::Blob(digest) => write!(f, "{}/data", Key::BlobDirectory(*digest)),
        }
    }
}

fn shard(hex: &str) -> &str {
    hex.get(..2).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_the_one_that_distribution_uses() {
        let digest = Digest::sha256(b"");
        let hex = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Key::Blob(digest).to_string(), format!("docker/registry/v2/blobs/sha256/e3/{hex}/data"));
        assert_eq!(Key::Shard(digest).to_string(), "docker/registry/v2/blobs/sha256/e3");
        assert_eq!(Key::Algorithm(Algorithm::Sha512).to_string(), "docker/registry/v2/blobs/sha512");
        let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let upload: UploadId = id.parse().expect("a fixed id");
        assert_eq!(Key::Upload(upload).to_string(), format!("uploads/{id}"));
    }
}
