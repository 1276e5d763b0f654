//! Building answers. Every answer says how long it is, also when it has no body to show (HEAD) or an empty one.

use gantry_oci::Digest;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::Body;

/// An answer.
pub(crate) type Response = http::Response<Body>;

/// `Docker-Content-Digest`
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// `Docker-Upload-UUID`
pub(crate) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// `Docker-Distribution-API-Version`
pub(crate) const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
/// `OCI-Subject`
pub(crate) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// `OCI-Tag`
pub(crate) const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");
/// `OCI-Filters-Applied`
pub(crate) const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
/// `X-Request-Id`
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Room for the headers of nearly every answer; a map that grows as they come costs more than all of them.
const HEADERS: usize = 12;

/// An answer with a body of known length.
pub(crate) fn reply(status: StatusCode, body: Body) -> Response {
    let length = HeaderValue::from(body.len());
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = HeaderMap::with_capacity(HEADERS);
    response.headers_mut().insert(header::CONTENT_LENGTH, length);
    response
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = reply(status, Body::empty());
    if status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    response
}

/// An answer in JSON, or a type that is JSON underneath.
pub(crate) fn json(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Response {
    let mut response = reply(status, Body::whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A header value from text that is known to be visible ASCII (names, digests, paths).
pub(crate) fn value(text: impl AsRef<str>) -> HeaderValue {
    HeaderValue::from_str(text.as_ref()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A digest as a header value.
pub(crate) fn digest_value(digest: &Digest) -> HeaderValue {
    value(digest.write_into(&mut [0; Digest::WRITTEN_MAX]))
}
