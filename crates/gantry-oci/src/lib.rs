//! The registry's vocabulary: digests, names, references, manifests, requests and headers.
//!
//! Everything that a registry or its client reads from the wire is parsed here into types that cannot hold a bad value, and
//! formatted back by the same code. There is no I/O and no async runtime: who moves the bytes is somebody else's business.
//!
//! IDs such as E-2.5 or T61 are those of `docs/protocol.md`.

pub mod accept;
pub mod access;
pub mod challenge;
pub mod descriptor;
pub mod digest;
pub mod error;
pub mod manifest;
pub mod media_type;
pub mod name;
pub mod range;
pub mod reference;
pub mod request;
mod text;
pub mod v1;

pub use accept::Accept;
pub use challenge::Challenge;
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, Hasher};
pub use error::{ErrorCode, ErrorDocument, ErrorEntry, UnknownErrorCode};
pub use manifest::{Manifest, ManifestError, ManifestKind, ManifestRules};
pub use name::{NAME_MAX, NameError, RepoName, TAG_MAX, Tag, TagError};
pub use range::{
    BlobContentRange, ByteRange, ContentRange, ContentRangeError, MAX_RANGES, RangeOutcome, UploadRange,
    parse_range,
};
pub use reference::{Host, HostError, ImageReference, ImageReferenceError, Reference, ReferenceError};
pub use request::{
    Endpoint, Mount, MountSource, Page, Request, RequestError, TAGS_MAX, UploadId, UploadIdError, classify,
    is_api,
};
