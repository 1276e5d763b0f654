//! Blobs: end-2, end-10, with ranges of one part and of many.

use std::collections::VecDeque;

use gantry_oci::{BlobContentRange, ByteRange, Digest, RangeOutcome, RepoName, parse_range};
use http::{HeaderValue, StatusCode, header};

use super::Context;
use super::manifests::accepted_delete;
use crate::http::body::Part;
use crate::http::reply::{self, Response, empty, value};
use crate::http::{ApiError, Body, conditional};
use crate::registry::BlobBytes;

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// GET and HEAD. HEAD never opens the bytes (the record knows size and digest) and has no ranges (RFC 9110, 14.2).
pub(super) async fn get(cx: &Context<'_>, name: &RepoName, digest: &Digest) -> Result<Response, ApiError> {
    let blob = cx.app.registry.blob(name, digest, cx.asked()).await?;
    let size = blob.size;
    let mut response = if conditional::not_modified(cx.headers, digest) {
        empty(StatusCode::NOT_MODIFIED)
    } else if cx.head {
        whole(Body::empty(), size)
    } else {
        let range = match cx.header(header::RANGE) {
            Some(range) if conditional::range_allowed(cx.headers, digest) => parse_range(range, size),
            _ => RangeOutcome::Full,
        };
        match range {
            RangeOutcome::Full => {
                whole(Body::blob(&cx.app.registry.open_whole_blob(name, &blob).await?, 0..size), size)
            }
            RangeOutcome::One(range) => one(&cx.app.registry.open_blob(name, &blob).await?, range, size),
            RangeOutcome::Many(ranges) => many(cx.app.registry.open_blob(name, &blob).await?, &ranges, size),
            RangeOutcome::Unsatisfiable => return Err(ApiError::RangeNotSatisfiable { size }),
            // clients ask for fewer ranges after a 400, and give up after a 416.
            RangeOutcome::TooMany => return Err(ApiError::TooManyRanges),
        }
    };
    let headers = response.headers_mut();
    conditional::name_content(headers, digest);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Content under a digest never changes; `private` because a shared cache does not know who may read it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000"));
    Ok(response)
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

/// DELETE.
pub(super) async fn delete(cx: &Context<'_>, name: &RepoName, digest: &Digest) -> Result<Response, ApiError> {
    cx.app.registry.delete_blob(name, digest, &cx.caller.locks(name)).await?;
    Ok(accepted_delete(Some(digest)))
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
