//! From a request to the method, the path and the query that make it.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Request, SearchQuery};
use crate::request::query::QueryWriter;

/// What is encoded in the name of a user: all but RFC 3986's unreserved letters. Other parts of paths need none.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl Request {
    /// The method that makes this request.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Request::Ping
            | Request::Search(_)
            | Request::Login
            | Request::GetImage { .. }
            | Request::ListTags(_)
            | Request::GetTag(..)
            | Request::GetImages(_)
            | Request::LayerAccess(..)
            | Request::TagInfo(..)
            | Request::GetProperties(_) => Method::GET,
            Request::SignUp => Method::POST,
            Request::ChangeUser { .. }
            | Request::PutImage { .. }
            | Request::PutTag(..)
            | Request::PutRepository(_)
            | Request::PutImages(_)
            | Request::Authorize(_)
            | Request::PutProperties(_) => Method::PUT,
            Request::DeleteTag(..) | Request::DeleteRepository(_) | Request::DeleteImages(_) => {
                Method::DELETE
            }
        }
    }

    /// The path and query that make this request: an absolute path, which [`Request::parse`] reads as the same request. Where old
    /// clients write a slash at the end, there is one.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match self {
            Request::Ping => "/v1/_ping".to_owned(),
            Request::Search(SearchQuery { term, n, page }) => {
                let mut path = "/v1/search".to_owned();
                let mut query = QueryWriter::new(&mut path);
                query.pair("q", term);
                query.pair("n", &n.to_string());
                query.pair("page", &page.to_string());
                path
            }
            Request::Login | Request::SignUp => "/v1/users/".to_owned(),
            Request::ChangeUser { name } => format!("/v1/users/{}/", utf8_percent_encode(name, ENCODED)),
            Request::GetImage { id, part } | Request::PutImage { id, part } => {
                format!("/v1/images/{id}/{}", part.as_str())
            }
            Request::ListTags(name) => format!("/v1/repositories/{name}/tags"),
            Request::GetTag(name, tag) | Request::PutTag(name, tag) | Request::DeleteTag(name, tag) => {
                format!("/v1/repositories/{name}/tags/{tag}")
            }
            Request::DeleteRepository(name) | Request::PutRepository(name) => {
                format!("/v1/repositories/{name}/")
            }
            Request::GetImages(name) | Request::PutImages(name) | Request::DeleteImages(name) => {
                format!("/v1/repositories/{name}/images")
            }
            Request::Authorize(name) => format!("/v1/repositories/{name}/auth"),
            Request::LayerAccess(name, id) => format!("/v1/repositories/{name}/layer/{id}/access"),
            Request::TagInfo(name, tag) => format!("/v1/repositories/{name}/tags/{tag}/json"),
            Request::GetProperties(name) | Request::PutProperties(name) => {
                format!("/v1/repositories/{name}/properties")
            }
        }
    }
}
