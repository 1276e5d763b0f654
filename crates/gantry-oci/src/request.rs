//! Requests as values: one table that both takes paths apart and puts them together (G-10).
//!
//! Repository names contain slashes and may contain components such as `blobs` or `tags`, so a path is matched from its
//! right-hand end. What a path means is decided here and nowhere else: policy, dispatch, metrics and log all read the value.

mod query;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use http::Method;
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{Algorithm, Digest, DigestError, Reference, ReferenceError, RepoName, Tag};
use query::{Query, QueryWriter};

/// Tags that one push by digest may set.
pub const TAGS_MAX: usize = 100;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// end-1
    Version,
    ///
    Catalog,
    /// end-8
    Tags,
    /// end-3, end-7, end-9
    Manifest,
    /// end-12
    Referrers,
    /// end-4, end-11
    Uploads,
    /// end-5, end-6, end-13, end-14
    Upload,
    /// end-2, end-10
    Blob,
    /// E-14.6
    Extensions,
    /// E-14.6, of one repository
    RepositoryExtensions,
}

/// One segment of a path.
#[derive(Clone, Copy)]
enum Part {
    /// Exactly this.
    Is(&'static str),
    /// One segment that is looked at later.
    Item,
    /// The repository name: all the segments that are left, at least one.
    Name,
}

struct Row {
    endpoint: Endpoint,
    label: &'static str,
    allow: &'static str,
    /// What follows `/v2/`.
    path: &'static [Part],
}

/// Rows that end in fixed segments come before those that end in an item.
const TABLE: &[Row] = {
    use Part::{Is, Item, Name};
    const fn row(endpoint: Endpoint, label: &'static str, allow: &'static str, path: &'static [Part]) -> Row {
        Row { endpoint, label, allow, path }
    }
    &[
        row(Endpoint::Version, "version", "GET, HEAD", &[Is("")]),
        row(Endpoint::Catalog, "catalog", "GET, HEAD", &[Is("_catalog")]),
        row(Endpoint::Extensions, "extensions", "GET, HEAD", &[Is("_oci"), Is("ext"), Is("discover")]),
        row(
            Endpoint::RepositoryExtensions,
            "repository_extensions",
            "GET, HEAD",
            &[Name, Is("_oci"), Is("ext"), Is("discover")],
        ),
        row(Endpoint::Tags, "tags", "GET, HEAD", &[Name, Is("tags"), Is("list")]),
        row(Endpoint::Uploads, "uploads", "POST", &[Name, Is("blobs"), Is("uploads"), Is("")]),
        row(
            Endpoint::Upload,
            "upload",
            "GET, HEAD, PATCH, PUT, DELETE",
            &[Name, Is("blobs"), Is("uploads"), Item],
        ),
        row(Endpoint::Blob, "blob", "GET, HEAD, DELETE", &[Name, Is("blobs"), Item]),
        row(Endpoint::Manifest, "manifest", "GET, HEAD, PUT, DELETE", &[Name, Is("manifests"), Item]),
        row(Endpoint::Referrers, "referrers", "GET, HEAD", &[Name, Is("referrers"), Item]),
    ]
};

impl Endpoint {
    /// All of them.
    pub const ALL: &[Endpoint] = &[
        Endpoint::Version,
        Endpoint::Catalog,
        Endpoint::Tags,
        Endpoint::Manifest,
        Endpoint::Referrers,
        Endpoint::Uploads,
        Endpoint::Upload,
        Endpoint::Blob,
        Endpoint::Extensions,
        Endpoint::RepositoryExtensions,
    ];

    fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.endpoint == self)
    }

    /// A short name, for metrics.
    pub fn label(self) -> &'static str {
        self.row().map_or("other", |row| row.label)
    }
}

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
    /// Those that come after this one, which need not exist.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are what the variant's endpoint says")]
pub enum Request {
    /// Is this a registry? (end-1)
    Version,
    /// Names of repositories.
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

/// Text of the client's in a message: enough to recognise it.
fn shown(text: &str) -> String {
    const MOST: usize = 128;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

struct Match<'a> {
    row: &'static Row,
    name: Option<&'a str>,
    item: &'a str,
}

/// Finds the row of what follows `/v2/`.
fn find(path: &str) -> Option<Match<'_>> {
    TABLE.iter().find_map(|row| {
        let mut rest = Some(path);
        let mut found = Match { row, name: None, item: "" };
        for part in row.path.iter().rev() {
            let left = rest?;
            let (before, segment) = match left.rsplit_once('/') {
                Some((before, segment)) => (Some(before), segment),
                None => (None, left),
            };
            match part {
                Part::Is(word) if *word == segment => rest = before,
                Part::Is(_) => return None,
                Part::Item => (rest, found.item) = (before, segment),
                Part::Name => (rest, found.name) = (None, Some(left)),
            }
        }
        rest.is_none().then_some(found)
    })
}

/// What follows `/v2/`; `None` elsewhere. `POST .../blobs/uploads` counts as written with its slash.
fn below_v2(path: &str) -> Option<&str> {
    if path == "/v2" { Some("") } else { path.strip_prefix("/v2/") }
}

/// Which row a path belongs to, whether or not its parts are well formed.
pub fn classify(path: &str) -> Option<Endpoint> {
    find(below_v2(path)?).map(|found| found.row.endpoint)
}

fn decode(text: &str) -> Result<Cow<'_, str>, RequestError> {
    percent_decode_str(text).decode_utf8().map_err(|_| RequestError::BadEncoding)
}

fn parse_name(text: &str) -> Result<RepoName, RequestError> {
    let mut decoded = Cow::Borrowed(text);
    if text.contains('%') {
        let segments: Vec<_> = text.split('/').map(decode).collect::<Result<_, _>>()?;
        if segments.iter().any(|segment| segment.contains('/')) {
            return Err(RequestError::InvalidName(shown(text)));
        }
        decoded = Cow::Owned(segments.join("/"));
    }
    decoded.parse().map_err(|_| RequestError::InvalidName(shown(&decoded)))
}

struct Digests {
    endpoint: Endpoint,
    write: bool,
}

impl Digests {
    fn error(&self, error: DigestError, text: &str) -> RequestError {
        match error {
            DigestError::Malformed => RequestError::InvalidDigest(shown(text)),
            DigestError::Unsupported => RequestError::UnsupportedDigest {
                digest: shown(text),
                endpoint: self.endpoint,
                write: self.write,
            },
        }
    }

    fn parse(&self, text: &str) -> Result<Digest, RequestError> {
        text.parse().map_err(|error| self.error(error, text))
    }
}

impl Request {
    /// Takes a request apart. `ns` and parameters that mean nothing here are ignored.
    ///
    /// # Errors
    /// What is wrong, in the order: path, method, name, the rest.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        let mut below = Cow::Borrowed(below_v2(path).ok_or(RequestError::NotFound)?);
        if *method == Method::POST && below.ends_with("/blobs/uploads") {
            below = Cow::Owned(format!("{below}/"));
        }
        let found = find(&below).ok_or(RequestError::NotFound)?;
        let reading = *method == Method::GET || *method == Method::HEAD;
        if !found.row.allow.split(", ").any(|allowed| allowed == method.as_str()) {
            // G-10: `/blobs/uploads` is where a digest would stand, whatever it looks like.
            return Err(RequestError::MethodNotAllowed { allow: found.row.allow });
        }
        let name = found.name.map(parse_name).transpose()?;
        let item = decode(found.item)?;
        let query = Query::new(query.unwrap_or_default());
        let digests = Digests { endpoint: found.row.endpoint, write: !reading && *method != Method::DELETE };
        // Rows with a name have just been given one.
        let with_name = || name.clone().ok_or(RequestError::NotFound);
        Ok(match found.row.endpoint {
            Endpoint::Version => Request::Version,
            Endpoint::Catalog => Request::Catalog { page: query.page()? },
            Endpoint::Extensions | Endpoint::RepositoryExtensions => Request::Extensions { name },
            Endpoint::Tags => Request::ListTags { name: with_name()?, page: query.page()? },
            Endpoint::Referrers => Request::Referrers {
                name: with_name()?,
                digest: digests.parse(&item)?,
                artifact_types: query.artifact_types(),
                after: query.cursor()?,
                // E-12.10: what is not a number of entries is ignored here.
                n: query.page().ok().and_then(|page| page.n),
            },
            Endpoint::Manifest => {
                let name = with_name()?;
                let reference: Reference = item.parse().map_err(|error| match error {
                    ReferenceError::Digest(error) => digests.error(error, &item),
                    ReferenceError::Tag(_) => RequestError::InvalidTag(shown(&item)),
                })?;
                match method.as_str() {
                    "PUT" => Request::PutManifest { tags: query.tags(&reference)?, name, reference },
                    "DELETE" => Request::DeleteManifest { name, reference },
                    _ => Request::GetManifest { name, reference },
                }
            }
            Endpoint::Blob => {
                let (name, digest) = (with_name()?, digests.parse(&item)?);
                if reading { Request::GetBlob { name, digest } } else { Request::DeleteBlob { name, digest } }
            }
            Endpoint::Uploads => {
                let digest = |key: &str| query.get(key).map(|text| digests.parse(&text)).transpose();
                let mount = digest("mount")?.map(|digest| Mount { digest, from: query.mount_source() });
                // A mount comes first, and what else is said does not matter then (E-9.4, T35).
                let (digest, algorithm) = match mount {
                    Some(_) => (None, None),
                    None => (digest("digest")?, query.algorithm()?),
                };
                Request::StartUpload { name: with_name()?, digest, algorithm, mount }
            }
            Endpoint::Upload => {
                let name = with_name()?;
                let id = item.parse().map_err(|_| RequestError::UnknownUpload(shown(&item)))?;
                match method.as_str() {
                    "PATCH" => Request::PatchUpload { name, id },
                    "DELETE" => Request::DeleteUpload { name, id },
                    "PUT" => {
                        let digest = query.get("digest").ok_or(RequestError::MissingDigest)?;
                        Request::PutUpload { name, id, digest: digests.parse(&digest)? }
                    }
                    _ => Request::GetUpload { name, id },
                }
            }
        })
    }

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

    /// The method that makes this request.
    pub fn method(&self) -> Method {
        match self {
            Request::PutManifest { .. } | Request::PutUpload { .. } => Method::PUT,
            Request::DeleteManifest { .. } | Request::DeleteBlob { .. } | Request::DeleteUpload { .. } => {
                Method::DELETE
            }
            Request::StartUpload { .. } => Method::POST,
            Request::PatchUpload { .. } => Method::PATCH,
            _ => Method::GET,
        }
    }

    /// The path and query that make this request: what [`Self::parse`] reads.
    pub fn path_and_query(&self) -> String {
        let mut path = String::with_capacity(160);
        path.push_str("/v2");
        for part in self.endpoint().row().map_or(&[][..], |row| row.path) {
            path.push('/');
            match part {
                Part::Is(word) => path.push_str(word),
                Part::Name => path.push_str(self.repository().map_or("", RepoName::as_str)),
                Part::Item => self.write_item(&mut path),
            }
        }
        self.write_query(QueryWriter::new(&mut path));
        path
    }

    fn write_item(&self, path: &mut String) {
        use fmt::Write as _;
        // Writing into a string does not fail.
        let _ = match self {
            Request::GetManifest { reference, .. }
            | Request::PutManifest { reference, .. }
            | Request::DeleteManifest { reference, .. } => write!(path, "{reference}"),
            Request::Referrers { digest, .. }
            | Request::GetBlob { digest, .. }
            | Request::DeleteBlob { digest, .. } => {
                write!(path, "{digest}")
            }
            Request::GetUpload { id, .. }
            | Request::PatchUpload { id, .. }
            | Request::PutUpload { id, .. }
            | Request::DeleteUpload { id, .. } => write!(path, "{id}"),
            _ => Ok(()),
        };
    }

    fn write_query(&self, mut query: QueryWriter<'_>) {
        match self {
            Request::Catalog { page } | Request::ListTags { page, .. } => query.page(page),
            Request::PutManifest { tags, .. } => tags.iter().for_each(|tag| query.pair("tag", tag.as_str())),
            Request::Referrers { artifact_types, after, n, .. } => {
                artifact_types.iter().for_each(|artifact_type| query.pair("artifactType", artifact_type));
                query.maybe("after", *after);
                query.maybe("n", *n);
            }
            Request::StartUpload { digest, algorithm, mount, .. } => {
                query.maybe("digest", *digest);
                query.maybe("digest-algorithm", *algorithm);
                if let Some(mount) = mount {
                    query.maybe("mount", Some(mount.digest));
                    match &mount.from {
                        Some(MountSource::Repository(name)) => query.pair("from", name.as_str()),
                        Some(MountSource::Invalid) => query.pair("from", "-"),
                        None => {}
                    }
                }
            }
            Request::PutUpload { digest, .. } => query.maybe("digest", Some(*digest)),
            _ => {}
        }
    }
}
