//! Requests of the v1 API as values.

use http::Method;

use super::{ImageId, V1Name};
use crate::Tag;

/// A request below `/v1/`, or `/_ping`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `GET /v1/_ping`
    Ping,
    /// `GET /v1/search`
    Search(SearchQuery),
    /// `GET /v1/users/`: are these credentials good?
    Login,
    /// `POST /v1/users/`
    SignUp,
    /// `PUT /v1/users/NAME/`
    ChangeUser {
        /// Whom.
        name: String,
    },
    /// `GET /v1/images/ID/PART`
    GetImage {
        /// Which image.
        id: ImageId,
        /// What of it.
        part: ImagePart,
    },
    /// `PUT /v1/images/ID/json`, `/layer` or `/checksum`
    PutImage {
        /// Which image.
        id: ImageId,
        /// What of it.
        part: ImagePart,
    },
    /// `GET P/tags`
    ListTags(V1Name),
    /// `GET P/tags/T`
    GetTag(V1Name, Tag),
    /// `PUT P/tags/T`
    PutTag(V1Name, Tag),
    /// `DELETE P/tags/T`
    DeleteTag(V1Name, Tag),
    /// `DELETE P/` and `DELETE P/tags`
    DeleteRepository(V1Name),
    /// `PUT P/`
    PutRepository(V1Name),
    /// `GET P/images`
    GetImages(V1Name),
    /// `PUT P/images`
    PutImages(V1Name),
    /// `DELETE P/images`
    DeleteImages(V1Name),
    /// `PUT P/auth`
    Authorize(V1Name),
    /// `GET P/layer/ID/access`
    LayerAccess(V1Name, ImageId),
    /// `GET P/json` (that of `latest`) and `GET P/tags/T/json`
    TagInfo(V1Name, Tag),
    /// `GET P/properties`
    GetProperties(V1Name),
    /// `PUT P/properties`
    PutProperties(V1Name),
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImagePart {
    /// Its JSON.
    Json,
    /// Its layer.
    Layer,
    /// The checksum that ends its push.
    Checksum,
    /// Itself and what is below it.
    Ancestry,
    /// The files of its layer.
    Files,
    /// What its layer changes.
    Diff,
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchQuery {
    /// The term; empty: everything.
    pub term: String,
    /// Results in a page, 1 to 100.
    pub n: usize,
    /// Which page, from 1.
    pub page: usize,
}

/// Why a path is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no such address.
    #[error("Not found")]
    NotFound,
    /// `Invalid image ID`: 404.
    #[error("Invalid image ID")]
    ImageId,
    /// The address knows other methods.
    #[error("Method not allowed")]
    Method {
        /// For `Allow`.
        allow: &'static str,
    },
    /// No name of a repository.
    #[error("Invalid repository name ({0})")]
    Name(String),
    /// No tag.
    #[error("Invalid tag name (must match ^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}$)")]
    Tag,
    /// Not decodable, or a path that climbs.
    #[error("Invalid path")]
    Path,
}

/// A row of the table of requests, for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/_ping`
    Ping,
    /// `/v1/search`
    Search,
    /// `/v1/users`
    Users,
    /// `json`
    Json,
    /// `layer`
    Layer,
    /// `checksum`
    Checksum,
    /// `ancestry`
    Ancestry,
    /// `files`, `diff`
    Extras,
    /// `tags`, `json` and `properties` of a repository
    Tags,
    /// `/v1/repositories/R/`, `images`, `auth`, `layer/ID/access`
    Index,
}

impl Request {
    /// Reads a request. HEAD is GET.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(_method: &Method, _path: &str, _query: Option<&str>) -> Result<Self, RequestError> {
        todo!()
    }

    /// Its row.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        todo!()
    }

    /// The repository that it names.
    #[must_use]
    pub fn repository(&self) -> Option<&V1Name> {
        todo!()
    }
}

impl Endpoint {
    /// All rows, in order.
    pub const ALL: [Endpoint; 10] = [
        Endpoint::Ping,
        Endpoint::Search,
        Endpoint::Users,
        Endpoint::Json,
        Endpoint::Layer,
        Endpoint::Checksum,
        Endpoint::Ancestry,
        Endpoint::Extras,
        Endpoint::Tags,
        Endpoint::Index,
    ];

    /// As metrics and logs have it: `v1_json` ...
    #[must_use]
    pub fn label(self) -> &'static str {
        todo!()
    }
}

/// Whether a path belongs to the v1 API: `/v1/...`, `/v1`, `/_ping`.
#[must_use]
pub fn is_v1(_path: &str) -> bool {
    todo!()
}
