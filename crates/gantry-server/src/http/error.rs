//! The one place where failures become answers: status, code, what the client may know, what the log says.
//!
//! Layers below have small errors of their own. Here each gets its row: the code of the specification (OCI Distribution,
//! "Error Codes"), the status, a sentence for the client, and, when it is our fault, a line in the log.

use std::borrow::Cow;

use gantry_oci::access::Scope;
use gantry_oci::{Challenge, Endpoint, ErrorCode, ErrorDocument, ErrorEntry, RequestError};
use gantry_storage::StorageError;
use http::{HeaderName, HeaderValue, StatusCode, header};

use crate::auth::AuthError;
use crate::auth::secret::redacted;
use crate::config::Deletable;
use crate::policy::Denied;
use crate::registry::{BodyError, RegistryError};

use super::reply::{self, Response, value};
use super::{Door, RequestId};

/// Any failure of a request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The range lies outside of the blob.
    #[error("the requested range is not within the {size} bytes of the blob")]
    RangeNotSatisfiable { size: u64 },
    /// More ranges than are served in one answer.
    #[error("too many ranges in one request")]
    TooManyRanges,
    /// `Content-Range` of an upload is not a range.
    #[error("the Content-Range is not of the form <first>-<last>")]
    ContentRangeInvalid,
    /// A content coding that is not undone.
    #[error("a request body must come without Content-Encoding")]
    ContentEncoded,
    /// Both `Content-Length` and `Transfer-Encoding`.
    #[error("a request has either a Content-Length or a Transfer-Encoding, not both")]
    TwoEnds,
    /// Not one `Host` in HTTP/1.1.
    #[error("a request needs exactly one Host header")]
    Host,
    /// A transfer coding beside `chunked`.
    #[error("the only transfer coding that is understood is `chunked`")]
    TransferCoding,
    /// A method that an address outside of the registry API does not have.
    #[error("the method is not allowed here; allowed: {allow}")]
    MethodNotAllowed { allow: &'static str },
    /// Not something that the token server can answer.
    #[error("{0}")]
    BadTokenRequest(String),
    /// No such address outside of the registry API.
    #[error("there is nothing at this address")]
    NotFound,
}

/// What the client is told.
struct Answer {
    status: StatusCode,
    errors: Vec<ErrorEntry>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            status,
            errors: vec![ErrorEntry { code, message: message.into(), detail: None }],
            headers: Vec::new(),
        }
    }

    fn detail(mut self, key: &str, value: &str) -> Self {
        self.errors.iter_mut().for_each(|entry| entry.detail = Some(serde_json::json!({ key: value })));
        self
    }

    fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Turns a failure into an answer. `location` is the path of the upload session that the request was about.
/// `door` is where the client came in, for challenges.
pub(crate) fn render(
    error: &ApiError,
    request_id: &RequestId,
    location: Option<&str>,
    door: &Door,
) -> Response {
    let answer = answer(error, location, door);
    if answer.status.is_server_error() {
        // Once, here, where it is handled.
        tracing::error!(request = request_id.as_str(), status = answer.status.as_u16(), %error, "request {request_id} failed: {error}");
    }
    let document = ErrorDocument { errors: answer.errors.into_iter().map(discreet).collect() };
    let mut response = reply::json(answer.status, "application/json", document.to_json());
    response.headers_mut().extend(answer.headers);
    response
}

/// N-23: answers repeat what is wrong with a request, and go where proxies and build logs keep them.
fn discreet(mut entry: ErrorEntry) -> ErrorEntry {
    if let Cow::Owned(message) = redacted(&entry.message) {
        entry.message = message;
    }
    let detail = entry.detail.iter_mut().filter_map(|detail| detail.as_object_mut());
    for value in detail.flat_map(|members| members.values_mut()) {
        let shown = value.as_str().map(redacted);
        if let Some(Cow::Owned(text)) = shown {
            *value = text.into();
        }
    }
    entry
}

fn answer(error: &ApiError, location: Option<&str>, door: &Door) -> Answer {
    use ErrorCode as Code;
    let message = error.to_string();
    match error {
        ApiError::Request(error) => request(error, message),
        ApiError::Registry(error) => registry(error, message, location),
        ApiError::Auth(error) => auth(error, message, door),
        ApiError::Denied(Denied::Unauthenticated { scopes }) => challenge(message, door, scopes, None),
        ApiError::Denied(Denied::InsufficientScope { scopes, .. }) => {
            challenge(message, door, scopes, Some("insufficient_scope"))
        }
        ApiError::Denied(Denied::Forbidden(_) | Denied::Closed) => {
            Answer::new(StatusCode::FORBIDDEN, Code::Denied, message)
        }
        ApiError::Denied(Denied::DeleteDisabled(kind)) => {
            let allow = if *kind == Deletable::Blob { "GET, HEAD" } else { "GET, HEAD, PUT" };
            Answer::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
                .header(header::ALLOW, HeaderValue::from_static(allow))
        }
        ApiError::RangeNotSatisfiable { size } => {
            Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, message)
                .header(header::CONTENT_RANGE, value(format!("bytes */{size}")))
        }
        ApiError::TooManyRanges => Answer::new(StatusCode::BAD_REQUEST, Code::Unsupported, message),
        ApiError::ContentRangeInvalid => {
            Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, message)
        }
        ApiError::ContentEncoded => {
            Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::Unsupported, message)
        }
        ApiError::MethodNotAllowed { allow } => {
            Answer::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
                .header(header::ALLOW, HeaderValue::from_static(allow))
        }
        ApiError::BadTokenRequest(_) => Answer::new(StatusCode::BAD_REQUEST, Code::Unsupported, message),
        ApiError::TwoEnds | ApiError::Host => closing(StatusCode::BAD_REQUEST, message),
        ApiError::TransferCoding => closing(StatusCode::NOT_IMPLEMENTED, message),
        ApiError::NotFound => Answer::new(StatusCode::NOT_FOUND, Code::Unsupported, message),
    }
}

fn auth(error: &AuthError, message: String, door: &Door) -> Answer {
    use ErrorCode as Code;
    let later = |status, code, seconds: u64| {
        Answer::new(status, code, message.clone()).header(header::RETRY_AFTER, value(seconds.to_string()))
    };
    match error {
        // V2 does not tell that an account is there.
        AuthError::Refused | AuthError::Disabled => challenge(message, door, &door.scopes, None),
        AuthError::BadToken(_) | AuthError::NoToken => {
            challenge(message, door, &door.scopes, Some("invalid_token"))
        }
        AuthError::Address => Answer::new(StatusCode::FORBIDDEN, Code::Denied, message),
        AuthError::Busy => later(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, 1),
        AuthError::Wait(seconds) | AuthError::SignUps(seconds) => {
            later(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, *seconds)
        }
        AuthError::TooFast(standing) => {
            later(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, standing.wait())
        }
        AuthError::Unavailable(_) => later(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, 5),
    }
}

/// 401 with exactly one challenge. `error` only where a token came.
fn challenge(message: String, door: &Door, scopes: &[Scope], error: Option<&str>) -> Answer {
    let scopes: Vec<String> = scopes.iter().map(Scope::to_string).collect();
    let challenge = Challenge::Bearer {
        realm: door.realm.clone(),
        service: door.service.clone(),
        scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
        error: error.map(str::to_owned),
    };
    Answer::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
        .header(header::WWW_AUTHENTICATE, value(challenge.to_string()))
}

/// For requests whose end is not certain: nothing behind them is read.
fn closing(status: StatusCode, message: String) -> Answer {
    Answer::new(status, ErrorCode::Unsupported, message)
        .header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn request(error: &RequestError, message: String) -> Answer {
    use ErrorCode as Code;
    let bad = |code| Answer::new(StatusCode::BAD_REQUEST, code, message.clone());
    match error {
        RequestError::NotFound => Answer::new(StatusCode::NOT_FOUND, Code::Unsupported, message),
        RequestError::MethodNotAllowed { allow } => {
            Answer::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, message)
                .header(header::ALLOW, HeaderValue::from_static(allow))
        }
        RequestError::InvalidName(_) | RequestError::BadEncoding => bad(Code::NameInvalid),
        RequestError::InvalidTag(_) | RequestError::TagWithTagParameter => bad(Code::ManifestInvalid),
        RequestError::InvalidDigest(_)
        | RequestError::MissingDigest
        | RequestError::UnsupportedAlgorithm(_) => bad(Code::DigestInvalid),
        // E-2.10: content of an algorithm that is not kept is content that is not here.
        RequestError::UnsupportedDigest { write: true, .. } => bad(Code::DigestInvalid),
        RequestError::UnsupportedDigest { endpoint: Endpoint::Referrers, .. } => bad(Code::DigestInvalid),
        RequestError::UnsupportedDigest { endpoint: Endpoint::Manifest, .. } => {
            Answer::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, message)
        }
        RequestError::UnsupportedDigest { .. } => {
            Answer::new(StatusCode::NOT_FOUND, Code::BlobUnknown, message)
        }
        RequestError::UnknownUpload(_) => {
            Answer::new(StatusCode::NOT_FOUND, Code::BlobUploadUnknown, message)
        }
        RequestError::InvalidPage(_) => bad(Code::Unsupported),
        RequestError::TooManyTags(_) => Answer::new(StatusCode::URI_TOO_LONG, Code::Unsupported, message),
    }
}

fn registry(error: &RegistryError, message: String, location: Option<&str>) -> Answer {
    use ErrorCode as Code;
    let missing = |code| Answer::new(StatusCode::NOT_FOUND, code, message.clone());
    let bad = |code| Answer::new(StatusCode::BAD_REQUEST, code, message.clone());
    match error {
        RegistryError::NameUnknown(repo) => missing(Code::NameUnknown).detail("name", repo.as_str()),
        RegistryError::ManifestUnknown { reference, .. } => {
            missing(Code::ManifestUnknown).detail("reference", &reference.to_string())
        }
        RegistryError::BlobUnknown { digest, .. } => {
            missing(Code::BlobUnknown).detail("digest", &digest.to_string())
        }
        RegistryError::UploadUnknown(_) => missing(Code::BlobUploadUnknown),
        // E-7.5: with all that a client needs to go on from where the session stands.
        RegistryError::UploadOutOfOrder { upload, offset } => {
            let answer =
                Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid, message.clone())
                    .header(header::RANGE, value(gantry_oci::UploadRange(*offset).to_string()))
                    .header(reply::UPLOAD_UUID, value(upload.to_string()));
            match location {
                Some(location) => answer.header(header::LOCATION, value(location)),
                None => answer,
            }
        }
        RegistryError::SizeInvalid { .. } => bad(Code::SizeInvalid),
        RegistryError::DigestMismatch { .. } => bad(Code::DigestInvalid),
        RegistryError::ManifestInvalid(_) => bad(Code::ManifestInvalid),
        RegistryError::ManifestReferencesUnknown(missing) => Answer {
            status: StatusCode::BAD_REQUEST,
            headers: Vec::new(),
            errors: missing
                .iter()
                .take(MISSING_SHOWN)
                .map(|digest| ErrorEntry {
                    code: Code::ManifestBlobUnknown,
                    message: format!("{digest} is not in this repository"),
                    detail: Some(serde_json::json!({ "digest": digest.to_string() })),
                })
                .collect(),
        },
        // Whoever asks may write here: it is no matter of credentials, so there is no challenge (A-4, N-19).
        RegistryError::TagLocked(locked) => {
            Answer::new(StatusCode::FORBIDDEN, Code::Denied, message).detail("tag", locked.tag.as_str())
        }
        RegistryError::TooLarge { .. } => {
            Answer::new(StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid, message)
        }
        RegistryError::Body(BodyError::Timeout(_)) => {
            Answer::new(StatusCode::REQUEST_TIMEOUT, Code::SizeInvalid, message)
                .header(header::CONNECTION, HeaderValue::from_static("close"))
        }
        RegistryError::Body(BodyError::Broken(_)) => bad(Code::SizeInvalid),
        RegistryError::Storage(error) => storage(error),
        // V2 requests do not come to it; `legacy` has the answers of v1.
        RegistryError::Image(_) => Answer::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, message),
        RegistryError::BytesMissing(_) | RegistryError::Internal(_) => Answer::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "internal error; the request id leads to the log",
        ),
    }
}

/// Missing digests that are listed in one answer; a hostile manifest can name tens of thousands.
const MISSING_SHOWN: usize = 1_000;

/// See [`storage_words`].
fn storage(error: &StorageError) -> Answer {
    let (status, words, retry) = storage_words(error);
    let code = match status {
        StatusCode::INTERNAL_SERVER_ERROR => ErrorCode::Unknown,
        _ => ErrorCode::Unavailable,
    };
    let answer = Answer::new(status, code, words);
    match retry {
        Some(seconds) => answer.header(header::RETRY_AFTER, HeaderValue::from_static(seconds)),
        None => answer,
    }
}

/// The client learns what kind of trouble it is, and after how many seconds to come again; file names and messages of the system
/// stay in the log.
pub(super) fn storage_words(error: &StorageError) -> (StatusCode, &'static str, Option<&'static str>) {
    match error {
        StorageError::Full { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, "no space left in the registry's storage", None)
        }
        StorageError::ReadOnly { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "the registry is read-only after a storage failure", Some("60"))
        }
        StorageError::Unavailable { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "the registry's storage does not answer", Some("5"))
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "internal error; the request id leads to the log", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N-19, A-4
    #[test]
    fn a_held_tag_is_denied_with_its_rule_and_without_a_challenge() {
        let (tag, pattern) = ("v1.0".parse().unwrap(), "v*".parse().unwrap());
        let locked = RegistryError::TagLocked(gantry_storage::LockedTag { tag, pattern });
        let answer = answer(&ApiError::Registry(locked), None, &Door::default());
        assert_eq!((answer.status, answer.headers.len()), (StatusCode::FORBIDDEN, 0));
        assert_eq!(answer.errors[0].code, ErrorCode::Denied);
        let message = &answer.errors[0].message;
        assert!(message.contains("`v*`") && message.contains("v1.0"), "{message}");
    }
}
