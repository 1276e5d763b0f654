//! Requests as values: one table that both takes paths apart and puts them together (G-10).
//!
//! Repository names contain slashes and may contain components such as `blobs` or `tags`, so a path is matched from its
//! right-hand end. What a path means is decided here and nowhere else: policy, dispatch, metrics and log all read the value.

mod format;
mod parse;
pub(crate) mod query;
mod table;

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::text::{SHOWN, excerpt};
use crate::{Algorithm, Digest, DigestError, Reference, RepoName, Tag};

pub use table::{Endpoint, classify, is_api};

/// Tags that one push by digest may set.
pub const TAGS_MAX: usize = 100;

/// The name of an upload session: a UUID in its usual lower-case form (G-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UploadId(Uuid);

impl UploadId {
    /// From a UUID that was just drawn.
    pub fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// Text that is not the name of an upload session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a UUID in lower case with its dashes")]
pub struct UploadIdError;

impl FromStr for UploadId {
    type Err = UploadIdError;

    fn from_str(text: &str) -> Result<Self, UploadIdError> {
        let strict = text.len() == 36
            && text
                .bytes()
                .all(|byte| byte == b'-' || byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if strict { Uuid::try_parse(text).map(Self).map_err(|_| UploadIdError) } else { Err(UploadIdError) }
    }
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// At most so many entries.
    pub n: Option<usize>,
    /// Those that come after this one, which need not exist. Never empty: that would be the beginning.
    pub last: Option<String>,
}

/// A blob that is to be linked from another repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The blob.
    pub digest: Digest,
    /// Where it is; absent: wherever the caller may pull it from.
    pub from: Option<MountSource>,
}

/// Where a blob is to be mounted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A repository.
    Repository(RepoName),
    /// Something that cannot be one; a mount from it does not succeed, and is no error (E-9.2).
    Invalid,
}

/// What a client asks for. HEAD is GET here; who answers knows the method.
///
/// [`Request::parse`] reads back what [`Request::path_and_query`] writes:
///
/// ```
/// use gantry_oci::Request;
///
/// let path = "/v2/a/blobs/b/manifests/v1";
/// let request = Request::parse(&http::Method::HEAD, path, Some("ns=example.org"))?;
/// assert_eq!(request.repository().map(|name| name.as_str()), Some("a/blobs/b"));
/// assert_eq!(request.path_and_query(), path);
/// # Ok::<_, gantry_oci::RequestError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the variant's endpoint says")]
pub enum Request {
    /// Is this a registry? (end-1)
    Version,
    /// Names of repositories (X-1).
    Catalog { page: Page },
    /// Tags of a repository (end-8).
    ListTags { name: RepoName, page: Page },
    /// A manifest (end-3).
    GetManifest { name: RepoName, reference: Reference },
    /// Store a manifest, and set tags (end-7).
    PutManifest { name: RepoName, reference: Reference, tags: Vec<Tag> },
    /// Remove a tag or a manifest (end-9).
    DeleteManifest { name: RepoName, reference: Reference },
    /// Manifests with this subject (end-12). `after` is the cursor of our own pages.
    Referrers {
        name: RepoName,
        digest: Digest,
        artifact_types: Vec<String>,
        after: Option<u64>,
        n: Option<usize>,
    },
    /// A blob (end-2).
    GetBlob { name: RepoName, digest: Digest },
    /// Take a blob out of a repository (end-10).
    DeleteBlob { name: RepoName, digest: Digest },
    /// Begin an upload, store a blob at once, or mount one (end-4, end-11).
    StartUpload { name: RepoName, digest: Option<Digest>, algorithm: Option<Algorithm>, mount: Option<Mount> },
    /// Where an upload stands (end-13).
    GetUpload { name: RepoName, id: UploadId },
    /// A piece of an upload (end-5).
    PatchUpload { name: RepoName, id: UploadId },
    /// The end of an upload (end-6).
    PutUpload { name: RepoName, id: UploadId, digest: Digest },
    /// Cancel an upload (end-14).
    DeleteUpload { name: RepoName, id: UploadId },
    /// Which extensions there are (E-14.6).
    Extensions { name: Option<RepoName> },
}

/// Why something is not a request. The sentence is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum RequestError {
    #[error("there is no such endpoint")]
    NotFound,
    #[error("the method is not allowed here; allowed: {allow}")]
    MethodNotAllowed { allow: &'static str },
    #[error("invalid repository name `{0}`: {err}", err = crate::NameError)]
    InvalidName(String),
    #[error("invalid tag `{0}`: {err}", err = crate::TagError)]
    InvalidTag(String),
    #[error("invalid digest `{0}`: {err}", err = DigestError::Malformed)]
    InvalidDigest(String),
    #[error("unsupported digest `{digest}`: {err}", err = DigestError::Unsupported)]
    UnsupportedDigest { digest: String, endpoint: Endpoint, write: bool },
    #[error("the `digest` parameter is missing")]
    MissingDigest,
    #[error("unsupported digest algorithm `{0}`: expected sha256 or sha512")]
    UnsupportedAlgorithm(String),
    #[error("upload session `{0}` is not known")]
    UnknownUpload(String),
    #[error("invalid page: `{0}` is not a number of entries")]
    InvalidPage(String),
    #[error("at most {0} tags can be set at once")]
    TooManyTags(usize),
    #[error("`tag` parameters go with a digest, not with a tag in the path")]
    TagWithTagParameter,
    #[error("the path is not percent-encoded UTF-8")]
    BadEncoding,
}

/// Text of the client's in a message.
fn shown(text: &str) -> String {
    excerpt(text, SHOWN)
}

impl Request {
    /// The row of the table.
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Request::Version => Endpoint::Version,
            Request::Catalog { .. } => Endpoint::Catalog,
            Request::ListTags { .. } => Endpoint::Tags,
            Request::GetManifest { .. } | Request::PutManifest { .. } | Request::DeleteManifest { .. } => {
                Endpoint::Manifest
            }
            Request::Referrers { .. } => Endpoint::Referrers,
            Request::GetBlob { .. } | Request::DeleteBlob { .. } => Endpoint::Blob,
            Request::StartUpload { .. } => Endpoint::Uploads,
            Request::GetUpload { .. }
            | Request::PatchUpload { .. }
            | Request::PutUpload { .. }
            | Request::DeleteUpload { .. } => Endpoint::Upload,
            Request::Extensions { name: None } => Endpoint::Extensions,
            Request::Extensions { name: Some(_) } => Endpoint::RepositoryExtensions,
        }
    }

    /// The repository that it is about.
    pub fn repository(&self) -> Option<&RepoName> {
        match self {
            Request::Version | Request::Catalog { .. } => None,
            Request::Extensions { name } => name.as_ref(),
            Request::ListTags { name, .. }
            | Request::GetManifest { name, .. }
            | Request::PutManifest { name, .. }
            | Request::DeleteManifest { name, .. }
            | Request::Referrers { name, .. }
            | Request::GetBlob { name, .. }
            | Request::DeleteBlob { name, .. }
            | Request::StartUpload { name, .. }
            | Request::GetUpload { name, .. }
            | Request::PatchUpload { name, .. }
            | Request::PutUpload { name, .. }
            | Request::DeleteUpload { name, .. } => Some(name),
        }
    }
}
