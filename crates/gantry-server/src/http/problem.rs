//! The one place where failures of the admin API become answers: `application/problem+json` (RFC 9457).
//!
//! The registry's API has its own document ([`super::error`]), which its clients know; this one is for people and their programs. A
//! problem says what to do about it, never what was sent: what a client puts in the wrong place may be a secret.

use gantry_storage::StorageError;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use super::reply::{self, Response, value};
use super::{RequestId, error};
use crate::auth::AuthError;
use crate::registry::BodyError;

/// Any failure of a request of the admin API.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// Nobody asks for what only somebody may.
    #[error("log in first")]
    Unauthenticated,
    /// Credentials that are nobody's, or cannot be checked.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Somebody who may not.
    #[error("{0}")]
    Forbidden(String),
    /// A change by a cookie that may come from another site.
    #[error("{0}")]
    CrossSite(&'static str),
    /// There is no such thing, or none that this caller may know of.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// There is one, but not for this caller: said in the same words.
    #[error("there is no such {0}")]
    Hidden(&'static str),
    /// The address is right, the method is not.
    #[error("this address does not know the method; it knows {0}")]
    Method(String),
    /// What was sent cannot be understood or does not make sense.
    #[error("{0}")]
    Invalid(String),
    /// A body that is not JSON.
    #[error("the body must be JSON, with Content-Type: application/json")]
    MediaType,
    /// A body that is too large.
    #[error("the body is too large: expected at most {0} bytes")]
    TooLarge(usize),
    /// A body that did not come.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// It contradicts what is there.
    #[error("{detail}")]
    Conflict {
        /// Of the problem's type.
        name: &'static str,
        /// What it contradicts.
        detail: String,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// We failed.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// The document.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document {
    /// `about:blank`, or a name of this kind of problem that stays the same.
    #[schema(rename = "type")]
    #[serde(rename = "type")]
    kind: String,
    /// The kind of problem in words.
    title: String,
    /// The status of the answer.
    status: u16,
    /// What is wrong, and what to do about it.
    detail: String,
    /// By which the server's log and its audit log know the request.
    request_id: String,
}

/// How a problem is told.
struct Told {
    status: StatusCode,
    name: Option<&'static str>,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Told {
    fn new(status: StatusCode, name: Option<&'static str>, detail: String) -> Self {
        Self { status, name, detail, headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, text: &str) -> Self {
        self.headers.push((name, value(text)));
        self
    }
}

/// Turns a failure into an answer.
pub(crate) fn render(problem: &Problem, request_id: &RequestId, headers: &HeaderMap) -> Response {
    let told = tell(problem, is_browser(headers));
    if told.status.is_server_error() {
        // Once, here, where it is handled.
        tracing::error!(request = request_id.as_str(), status = told.status.as_u16(), error = %problem, "request {request_id} failed: {problem}");
    }
    let document = Document {
        kind: told.name.map_or("about:blank".to_owned(), |name| format!("urn:gantry:problem:{name}")),
        title: told.status.canonical_reason().unwrap_or("Error").to_owned(),
        status: told.status.as_u16(),
        detail: told.detail,
        request_id: request_id.to_string(),
    };
    // A struct of texts and numbers can be written.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = reply::json(told.status, "application/problem+json", body);
    response.headers_mut().extend(told.headers);
    response
}

/// Browsers say how they came by an address; a challenge would make them ask for a password in a window of their own.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.contains_key("sec-fetch-mode")
}

fn tell(problem: &Problem, browser: bool) -> Told {
    let detail = problem.to_string();
    let told = |status, name| Told::new(status, name, detail.clone());
    match problem {
        Problem::Unauthenticated => challenge(told(StatusCode::UNAUTHORIZED, None), browser),
        Problem::Auth(error) => match error {
            AuthError::Address => told(StatusCode::FORBIDDEN, Some("address")),
            AuthError::Busy => later(told(StatusCode::TOO_MANY_REQUESTS, None), 1),
            AuthError::Wait(seconds) | AuthError::SignUps(seconds) => {
                later(told(StatusCode::TOO_MANY_REQUESTS, None), *seconds)
            }
            AuthError::TooFast(standing) => {
                later(told(StatusCode::TOO_MANY_REQUESTS, Some("rate")), standing.wait())
            }
            AuthError::Unavailable(_) => later(told(StatusCode::SERVICE_UNAVAILABLE, None), 5),
            _ => challenge(told(StatusCode::UNAUTHORIZED, Some("credentials")), browser),
        },
        Problem::Forbidden(_) => told(StatusCode::FORBIDDEN, Some("forbidden")),
        Problem::CrossSite(_) => told(StatusCode::FORBIDDEN, Some("cross-site")),
        Problem::NotFound(_) | Problem::Hidden(_) => told(StatusCode::NOT_FOUND, None),
        Problem::Method(allow) => told(StatusCode::METHOD_NOT_ALLOWED, None).with(header::ALLOW, allow),
        Problem::Invalid(_) => told(StatusCode::BAD_REQUEST, Some("invalid")),
        Problem::MediaType => told(StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
        Problem::TooLarge(_) => told(StatusCode::PAYLOAD_TOO_LARGE, None),
        Problem::Body(BodyError::Timeout(_)) => {
            told(StatusCode::REQUEST_TIMEOUT, None).with(header::CONNECTION, "close")
        }
        Problem::Body(BodyError::Broken(_)) => told(StatusCode::BAD_REQUEST, None),
        Problem::Conflict { name, .. } => told(StatusCode::CONFLICT, Some(name)),
        Problem::Storage(failure) => {
            let (status, words, retry) = error::storage_words(failure);
            let told = Told::new(status, None, words.to_owned());
            match retry {
                Some(seconds) => told.with(header::RETRY_AFTER, seconds),
                None => told,
            }
        }
        Problem::Internal(_) => {
            let words = "internal error; the request id leads to the log".to_owned();
            Told::new(StatusCode::INTERNAL_SERVER_ERROR, None, words)
        }
    }
}

fn challenge(told: Told, browser: bool) -> Told {
    if browser { told } else { told.with(header::WWW_AUTHENTICATE, "Basic realm=\"Gantry\"") }
}

fn later(told: Told, seconds: u64) -> Told {
    told.with(header::RETRY_AFTER, &seconds.to_string())
}
