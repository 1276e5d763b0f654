//! Requests of the v1 API as values: one for both ends, as those of V2 are.
//!
//! A path is decoded once, as a whole, and matched from its right-hand end, since names of repositories have slashes. What a
//! repository `foo/tags` or `foo/images` of V2 would be called cannot be said in v1.

mod format;
mod parse;

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
    /// Results in a page, 1 to [`Self::N_MAX`].
    pub n: usize,
    /// Which page, 1 to [`Self::PAGE_MAX`].
    pub page: usize,
}

impl SearchQuery {
    /// Results in a page, when nobody says.
    pub const N: usize = 25;
    /// At most so many.
    pub const N_MAX: usize = 100;
    /// A page that no search has; times `N_MAX` it is still a number.
    pub const PAGE_MAX: usize = 1_000_000;
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
    /// The first thing that is wrong, looked for in this order: the path, the method, the image id or the name, the tag.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        parse::parse(method, path, query)
    }

    /// Its row.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        match self {
            Request::Ping => Endpoint::Ping,
            Request::Search(_) => Endpoint::Search,
            Request::Login | Request::SignUp | Request::ChangeUser { .. } => Endpoint::Users,
            Request::GetImage { part, .. } | Request::PutImage { part, .. } => match part {
                ImagePart::Json => Endpoint::Json,
                ImagePart::Layer => Endpoint::Layer,
                ImagePart::Checksum => Endpoint::Checksum,
                ImagePart::Ancestry => Endpoint::Ancestry,
                ImagePart::Files | ImagePart::Diff => Endpoint::Extras,
            },
            Request::ListTags(_)
            | Request::GetTag(..)
            | Request::PutTag(..)
            | Request::DeleteTag(..)
            | Request::TagInfo(..)
            | Request::GetProperties(_)
            | Request::PutProperties(_) => Endpoint::Tags,
            Request::DeleteRepository(_)
            | Request::PutRepository(_)
            | Request::GetImages(_)
            | Request::PutImages(_)
            | Request::DeleteImages(_)
            | Request::Authorize(_)
            | Request::LayerAccess(..) => Endpoint::Index,
        }
    }

    /// The repository that it names.
    #[must_use]
    pub fn repository(&self) -> Option<&V1Name> {
        match self {
            Request::Ping
            | Request::Search(_)
            | Request::Login
            | Request::SignUp
            | Request::ChangeUser { .. }
            | Request::GetImage { .. }
            | Request::PutImage { .. } => None,
            Request::ListTags(name)
            | Request::GetTag(name, _)
            | Request::PutTag(name, _)
            | Request::DeleteTag(name, _)
            | Request::DeleteRepository(name)
            | Request::PutRepository(name)
            | Request::GetImages(name)
            | Request::PutImages(name)
            | Request::DeleteImages(name)
            | Request::Authorize(name)
            | Request::LayerAccess(name, _)
            | Request::TagInfo(name, _)
            | Request::GetProperties(name)
            | Request::PutProperties(name) => Some(name),
        }
    }
}

impl ImagePart {
    /// All of them.
    pub const ALL: [ImagePart; 6] = [
        ImagePart::Json,
        ImagePart::Layer,
        ImagePart::Checksum,
        ImagePart::Ancestry,
        ImagePart::Files,
        ImagePart::Diff,
    ];

    /// As it stands in paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ImagePart::Json => "json",
            ImagePart::Layer => "layer",
            ImagePart::Checksum => "checksum",
            ImagePart::Ancestry => "ancestry",
            ImagePart::Files => "files",
            ImagePart::Diff => "diff",
        }
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
        match self {
            Endpoint::Ping => "v1_ping",
            Endpoint::Search => "v1_search",
            Endpoint::Users => "v1_users",
            Endpoint::Json => "v1_json",
            Endpoint::Layer => "v1_layer",
            Endpoint::Checksum => "v1_checksum",
            Endpoint::Ancestry => "v1_ancestry",
            Endpoint::Extras => "v1_extras",
            Endpoint::Tags => "v1_tags",
            Endpoint::Index => "v1_index",
        }
    }
}

/// Whether a path belongs to the v1 API: `/v1/...`, `/v1`, `/_ping`.
#[must_use]
pub fn is_v1(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/") || path == "/_ping"
}
