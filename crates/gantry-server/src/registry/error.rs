//! What can go wrong in the registry, in the registry's own words.

use gantry_oci::{Digest, ManifestError, Reference, RepoName, UploadId};
use gantry_storage::{LockedTag, StorageError};

use super::ImageError;

/// A result of the registry.
pub type Result<T, E = RegistryError> = std::result::Result<T, E>;

/// A failure of the registry. Each says which thing it is about.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The repository is not there.
    #[error("repository {0} is not known to this registry")]
    NameUnknown(RepoName),
    /// The manifest is not in this repository.
    #[error("manifest {reference} is not known in repository {repo}")]
    ManifestUnknown {
        /// Where it was looked for.
        repo: RepoName,
        /// What was looked for.
        reference: Reference,
    },
    /// The blob is not in this repository.
    #[error("blob {digest} is not known in repository {repo}")]
    BlobUnknown {
        /// Where it was looked for.
        repo: RepoName,
        /// What was looked for.
        digest: Digest,
    },
    /// The upload session is not there: never begun, finished, cancelled, expired, or another's.
    #[error("upload session {0} is not known in this repository")]
    UploadUnknown(UploadId),
    /// The bytes do not begin where the session stands, or another request is writing to it.
    #[error("the session has {offset} bytes; the next piece must start there")]
    UploadOutOfOrder {
        /// The session.
        upload: UploadId,
        /// Bytes that the session holds.
        offset: u64,
    },
    /// The body is shorter or longer than was announced.
    #[error("{announced} bytes were announced, {received} came")]
    SizeInvalid {
        /// What the request said.
        announced: u64,
        /// What the body held.
        received: u64,
    },
    /// The bytes are not those that the digest names.
    #[error("the content has the digest {actual}, not {expected}")]
    DigestMismatch {
        /// What the request said.
        expected: Digest,
        /// What the bytes are.
        actual: Digest,
    },
    /// The manifest breaks a rule.
    #[error(transparent)]
    ManifestInvalid(#[from] ManifestError),
    /// The manifest names things that are not in this repository.
    #[error("the manifest names {} blobs or manifests that are not in this repository", .0.len())]
    ManifestReferencesUnknown(Vec<Digest>),
    /// A rule of the namespace holds the tag (N-19).
    #[error("tag {} may not be moved or removed: the rule `{}` holds it", .0.tag, .0.pattern)]
    TagLocked(LockedTag),
    /// Something about an image of the v1 API.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The content is larger than allowed.
    #[error("the content is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The body did not arrive whole.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The rows know of bytes that the blob store does not have.
    #[error("the bytes of blob {0} are missing from the blob store")]
    BytesMissing(Digest),
    /// A task of the server ended unexpectedly.
    #[error("internal failure: {0}")]
    Internal(&'static str),
}

/// Why a body did not arrive whole.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing came for too long.
    #[error("no data arrived for {0} seconds")]
    Timeout(u64),
    /// The connection ended, or the framing is broken.
    #[error("the body ended early: {0}")]
    Broken(String),
}
