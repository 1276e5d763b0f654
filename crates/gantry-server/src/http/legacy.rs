//! The one place where failures of the v1 API become answers: `{"error": "text"}`. Some texts are compared by clients.

use std::borrow::Cow;

use gantry_oci::v1::{ImageJsonError, RequestError};
use gantry_oci::{RepoName, Tag};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::error::storage_words;
use super::reply::{self, Response, value};
use super::{Door, RequestId};
use crate::auth::AuthError;
use crate::auth::secret::redacted;
use crate::policy::Denied;
use crate::registry::{BodyError, ImageError, RegistryError};

/// Any failure of a v1 request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Credentials that are nobody's, or cannot be checked.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Nobody asks for what only somebody may, or the token is none, or not for this: 401 with a challenge.
    #[error("Requires authorization")]
    Unauthorized,
    /// Somebody who may not: 403.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Somebody who may not even know whether there is such a repository: 404.
    #[error("Repository not found")]
    Hidden(RepoName),
    /// The registry could not.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// 404, in the words of a deletion.
    #[error("Tag not found: {0}")]
    NoTag(Tag),
    /// A status and a text: what is said in one place only.
    #[error("{1}")]
    Said(StatusCode, &'static str),
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Failure::Registry(error.into())
    }
}

/// The status, what the client is told, and headers that belong to it.
struct Answer {
    status: StatusCode,
    text: Cow<'static, str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn new(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Self {
        Self { status, text: text.into(), headers: Vec::new() }
    }

    fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn later(self, seconds: u64) -> Self {
        self.with(header::RETRY_AFTER, seconds.into())
    }
}

/// The answer for a failure. `door` is where the client came in, for challenges.
pub(crate) fn render(failure: &Failure, id: &RequestId, door: &Door) -> Response {
    let answer = answer(failure, door);
    if answer.status.is_server_error() {
        // Once, here, where it is handled.
        tracing::error!(request = id.as_str(), status = answer.status.as_u16(), error = %failure, "request {id} failed: {failure}");
    }
    // N-23: answers go where proxies and build logs keep them.
    let document = serde_json::json!({ "error": redacted(&answer.text) });
    let mut response = reply::json(answer.status, "application/json", document.to_string().into_bytes());
    response.headers_mut().extend(answer.headers);
    response
}

fn answer(failure: &Failure, door: &Door) -> Answer {
    match failure {
        Failure::Request(error) => request(error),
        Failure::Auth(error) => auth(error, door),
        Failure::Unauthorized => challenge(door),
        Failure::Denied(denied) => denied_answer(denied, door),
        Failure::Hidden(_) | Failure::NoTag(_) => Answer::new(StatusCode::NOT_FOUND, failure.to_string()),
        Failure::Registry(error) => registry(error),
        Failure::Said(status, text) => Answer::new(*status, *text),
    }
}

/// What old clients know is `Basic`; the token is what the answer to it brings.
fn challenge(door: &Door) -> Answer {
    // The host has no quotes in it: `Door` repeats letters of hosts only.
    let challenge = value(format!("Basic realm=\"{}\",Token", door.service));
    Answer::new(StatusCode::UNAUTHORIZED, "Requires authorization").with(header::WWW_AUTHENTICATE, challenge)
}

fn request(error: &RequestError) -> Answer {
    let text = error.to_string();
    match error {
        RequestError::NotFound | RequestError::ImageId => Answer::new(StatusCode::NOT_FOUND, text),
        RequestError::Method { allow } => {
            let answer = Answer::new(StatusCode::METHOD_NOT_ALLOWED, text);
            answer.with(header::ALLOW, HeaderValue::from_static(allow))
        }
        RequestError::Name(_) | RequestError::Tag | RequestError::Path => {
            Answer::new(StatusCode::BAD_REQUEST, text)
        }
    }
}

fn auth(error: &AuthError, door: &Door) -> Answer {
    let text = error.to_string();
    match error {
        AuthError::Refused | AuthError::BadToken(_) | AuthError::NoToken => challenge(door),
        AuthError::Address => Answer::new(StatusCode::FORBIDDEN, text),
        // Said only to whoever knows the password.
        AuthError::Disabled => Answer::new(StatusCode::FORBIDDEN, "Account is not active"),
        AuthError::Busy => Answer::new(StatusCode::TOO_MANY_REQUESTS, text).later(1),
        AuthError::Wait(seconds) | AuthError::SignUps(seconds) => {
            Answer::new(StatusCode::TOO_MANY_REQUESTS, text).later(*seconds)
        }
        AuthError::TooFast(standing) => {
            Answer::new(StatusCode::TOO_MANY_REQUESTS, text).later(standing.wait())
        }
        AuthError::Unavailable(_) => Answer::new(StatusCode::SERVICE_UNAVAILABLE, text).later(5),
    }
}

fn denied_answer(denied: &Denied, door: &Door) -> Answer {
    match denied {
        Denied::Unauthenticated { .. } | Denied::InsufficientScope { .. } => challenge(door),
        Denied::Forbidden(_) | Denied::Closed | Denied::DeleteDisabled(_) => {
            Answer::new(StatusCode::FORBIDDEN, denied.to_string())
        }
    }
}

fn registry(error: &RegistryError) -> Answer {
    let said = |status| Answer::new(status, error.to_string());
    match error {
        RegistryError::Image(error) => image(error),
        RegistryError::NameUnknown(_) => Answer::new(StatusCode::NOT_FOUND, "Repository not found"),
        RegistryError::ManifestUnknown { .. } => Answer::new(StatusCode::NOT_FOUND, "Tag not found"),
        // A layer that was lost is pushed again by whoever has the image.
        RegistryError::BlobUnknown { .. } => Answer::new(StatusCode::NOT_FOUND, "Image not found"),
        RegistryError::UploadUnknown(_) | RegistryError::UploadOutOfOrder { .. } => {
            Answer::new(StatusCode::CONFLICT, ImageError::Stale.to_string())
        }
        RegistryError::SizeInvalid { .. }
        | RegistryError::DigestMismatch { .. }
        | RegistryError::ManifestInvalid(_)
        | RegistryError::ManifestReferencesUnknown(_)
        | RegistryError::Body(BodyError::Broken(_)) => said(StatusCode::BAD_REQUEST),
        RegistryError::TagLocked(_) => said(StatusCode::CONFLICT),
        RegistryError::TooLarge { .. } => said(StatusCode::PAYLOAD_TOO_LARGE),
        RegistryError::Body(BodyError::Timeout(_)) => {
            said(StatusCode::REQUEST_TIMEOUT).with(header::CONNECTION, HeaderValue::from_static("close"))
        }
        RegistryError::Storage(error) => {
            let (status, words, retry) = storage_words(error);
            let answer = Answer::new(status, words);
            match retry {
                Some(seconds) => answer.with(header::RETRY_AFTER, HeaderValue::from_static(seconds)),
                None => answer,
            }
        }
        RegistryError::BytesMissing(_) | RegistryError::Internal(_) => {
            Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error; the request id leads to the log")
        }
    }
}

fn image(error: &ImageError) -> Answer {
    let status = match error {
        ImageError::Unknown | ImageError::TagUnknown | ImageError::RepositoryUnknown => StatusCode::NOT_FOUND,
        ImageError::Exists | ImageError::ChecksumSet | ImageError::Stale => StatusCode::CONFLICT,
        ImageError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
        ImageError::InProgress
        | ImageError::Json(
            ImageJsonError::Invalid | ImageJsonError::NoId | ImageJsonError::OtherId | ImageJsonError::Parent,
        )
        | ImageError::NoParent
        | ImageError::TooDeep(_)
        | ImageError::NoChecksum
        | ImageError::ChecksumMismatch
        | ImageError::NoLayer
        | ImageError::LayerFormat => StatusCode::BAD_REQUEST,
    };
    Answer::new(status, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(failure: impl Into<Failure>) -> (u16, String) {
        let answer = answer(&failure.into(), &Door::default());
        (answer.status.as_u16(), answer.text.into_owned())
    }

    /// V-2: the one text that every Docker compares.
    #[test]
    fn an_image_that_is_there_is_told_in_the_words_that_clients_compare() {
        assert_eq!(told(ImageError::Exists), (409, "Image already exists".to_owned()));
    }

    /// V-20: a held tag is a conflict, and no matter of credentials.
    #[test]
    fn a_held_tag_is_a_conflict() {
        let (tag, pattern) = ("v1.0".parse().unwrap(), "v*".parse().unwrap());
        let locked = RegistryError::TagLocked(gantry_storage::LockedTag { tag, pattern });
        let (status, text) = told(locked);
        assert_eq!(status, 409);
        assert!(text.contains("`v*`"), "{text}");
    }
}
