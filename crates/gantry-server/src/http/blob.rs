//! The bytes of a blob as an answer, of either API: all of them, a range, or many.

use std::collections::VecDeque;

use gantry_oci::{BlobContentRange, ByteRange, RangeOutcome, RepoName, parse_range};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::body::Part;
use super::reply::{self, Response, empty, value};
use super::{Body, conditional};
use crate::registry::{Blob, BlobBytes, Registry, RegistryError};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// Why bytes are not served. Each API has its own words for it.
#[derive(Debug)]
pub(crate) enum Unserved {
    /// The registry could not.
    Registry(RegistryError),
    /// The range lies outside of the blob.
    Outside {
        /// Of the blob, in bytes.
        size: u64,
    },
    /// More ranges than are served in one answer.
    TooManyRanges,
}

impl From<RegistryError> for Unserved {
    fn from(error: RegistryError) -> Self {
        Unserved::Registry(error)
    }
}

/// GET and HEAD. HEAD never opens the bytes (the record knows size and digest) and has no ranges (RFC 9110, 14.2).
pub(crate) async fn serve(
    registry: &Registry,
    name: &RepoName,
    blob: &Blob,
    headers: &HeaderMap,
    head: bool,
) -> Result<Response, Unserved> {
    let (size, digest) = (blob.size, &blob.digest);
    let mut response = if conditional::not_modified(headers, digest) {
        empty(StatusCode::NOT_MODIFIED)
    } else if head {
        whole(Body::empty(), size)
    } else {
        let range = match headers.get(header::RANGE).and_then(|range| range.to_str().ok()) {
            Some(range) if conditional::range_allowed(headers, digest) => parse_range(range, size),
            _ => RangeOutcome::Full,
        };
        let bytes = match &range {
            RangeOutcome::Full => registry.open_whole_blob(name, blob).await?,
            RangeOutcome::One(_) | RangeOutcome::Many(_) => registry.open_blob(name, blob).await?,
            RangeOutcome::Unsatisfiable => return Err(Unserved::Outside { size }),
            RangeOutcome::TooMany => return Err(Unserved::TooManyRanges),
        };
        ranged(bytes, range, size)?
    };
    let headers = response.headers_mut();
    conditional::name_content(headers, digest);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

/// Bytes that are on their way here, so that nothing names them yet; `None`: HEAD.
pub(crate) fn coming(
    bytes: Option<&BlobBytes>,
    size: u64,
    headers: &HeaderMap,
) -> Result<Response, Unserved> {
    let mut response = match (bytes, headers.get(header::RANGE).and_then(|range| range.to_str().ok())) {
        (None, _) => whole(Body::empty(), size),
        // What the condition is about cannot be compared.
        (Some(bytes), Some(range)) if !headers.contains_key(header::IF_RANGE) => {
            ranged(bytes.clone(), parse_range(range, size), size)?
        }
        (Some(bytes), _) => whole(Body::blob(bytes, 0..size), size),
    };
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(response)
}

fn ranged(bytes: BlobBytes, range: RangeOutcome, size: u64) -> Result<Response, Unserved> {
    match range {
        RangeOutcome::Full => Ok(whole(Body::blob(&bytes, 0..size), size)),
        RangeOutcome::One(range) => Ok(one(&bytes, range, size)),
        RangeOutcome::Many(ranges) => Ok(many(bytes, &ranges, size)),
        RangeOutcome::Unsatisfiable => Err(Unserved::Outside { size }),
        RangeOutcome::TooMany => Err(Unserved::TooManyRanges),
    }
}

fn whole(body: Body, size: u64) -> Response {
    let mut response = reply::reply(StatusCode::OK, body);
    response.headers_mut().insert(header::CONTENT_LENGTH, size.into());
    response.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
    response
}

fn one(bytes: &BlobBytes, range: ByteRange, size: u64) -> Response {
    let body = Body::blob(bytes, range.start..range.end + 1);
    let mut response = reply::reply(StatusCode::PARTIAL_CONTENT, body);
    response.headers_mut().insert(header::CONTENT_TYPE, OCTETS);
    response.headers_mut().insert(header::CONTENT_RANGE, value(BlobContentRange { range, size }.to_string()));
    response
}

/// One part for each range that was asked for, in that order.
fn many(bytes: BlobBytes, ranges: &[ByteRange], size: u64) -> Response {
    let boundary = uuid::Uuid::new_v4().simple().to_string();
    let mut parts = VecDeque::with_capacity(ranges.len() * 2 + 1);
    let mut before = "";
    for range in ranges {
        let content_range = BlobContentRange { range: *range, size };
        let head = format!(
            "{before}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {content_range}\r\n\r\n"
        );
        parts.push_back(Part::Text(head.into()));
        parts.push_back(Part::Range(range.start..range.end + 1));
        before = "\r\n";
    }
    parts.push_back(Part::Text(format!("\r\n--{boundary}--\r\n").into()));
    let mut response = reply::reply(StatusCode::PARTIAL_CONTENT, Body::parts(bytes, parts));
    let media_type = format!("multipart/byteranges; boundary={boundary}");
    response.headers_mut().insert(header::CONTENT_TYPE, value(media_type));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_multipart_answer_is_announced_exactly() {
        let bytes = BlobBytes::Inline(bytes::Bytes::from_static(b"0123456789"));
        let ranges = [ByteRange { start: 0, end: 1 }, ByteRange { start: 4, end: 4 }];
        let response = many(bytes, &ranges, 10);
        let announced: u64 = response.headers()[header::CONTENT_LENGTH].to_str().unwrap().parse().unwrap();
        assert_eq!(announced, response.body().len());
    }
}
