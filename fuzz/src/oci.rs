//! The vocabulary: names, digests, requests, manifests and headers.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use gantry_oci::{
    Accept, BlobContentRange, Challenge, ContentRange, Descriptor, Digest, ErrorDocument, Host,
    ImageReference, MAX_RANGES, Manifest, ManifestRules, NAME_MAX, RangeOutcome, Reference, RepoName,
    Request, TAG_MAX, Tag, UploadId, UploadRange, classify, media_type as types, parse_range,
};

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// What is parsed formats to what is parsed as the same.
fn round<T: FromStr + Display + PartialEq + Debug>(text: &str) -> Option<T> {
    let parsed: T = text.parse().ok()?;
    let written = parsed.to_string();
    let again = written.parse().ok();
    assert_eq!(again.as_ref(), Some(&parsed), "{text:?} was written as {written:?}");
    Some(parsed)
}

/// Nothing in it leads anywhere in a file system, a URL or a header.
fn harmless(text: &str) {
    assert!(!text.contains("..") || !text.contains('/'), "{text:?}");
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
}

pub(crate) fn name(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(name) = round::<RepoName>(text) {
        assert_eq!(name.as_str(), text);
        assert!(
            text.len() <= NAME_MAX && !text.starts_with('/') && !text.ends_with('/') && !text.contains("//")
        );
        assert!(!text.split('/').any(|part| part == "." || part == ".."));
        harmless(text);
    }
    if let Some(tag) = round::<Tag>(text) {
        assert_eq!(tag.as_str(), text);
        assert!(text.len() <= TAG_MAX && !text.contains('/') && !text.starts_with('.'));
        harmless(text);
    }
}

pub(crate) fn digest(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(digest) = round::<Digest>(text) {
        assert_eq!(digest.to_string(), text, "one way to write a digest");
        assert_eq!(digest.hex().len(), digest.algorithm().hex_len());
        harmless(text);
    }
    if let Some(id) = round::<UploadId>(text) {
        assert_eq!(id.to_string(), text, "one way to write a session");
        harmless(text);
    }
}

pub(crate) fn reference(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    round::<Reference>(text);
    round::<ImageReference>(text);
    round::<Host>(text);
}

/// `METHOD PATH?QUERY`
pub(crate) fn request(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let Ok(method) = http::Method::from_bytes(method.as_bytes()) else { return };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    parse(&method, path, query);
}

fn parse(method: &http::Method, path: &str, query: Option<&str>) {
    let Ok(request) = Request::parse(method, path, query) else { return };
    assert_eq!(classify(path), Some(request.endpoint()), "{path:?}");
    let written = request.path_and_query();
    assert!(written.starts_with("/v2") && written.bytes().all(|byte| byte.is_ascii_graphic()), "{written:?}");
    let (path, query) = match written.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*written, None),
    };
    let again = Request::parse(&request.method(), path, query);
    assert_eq!(again.as_ref(), Ok(&request), "{written:?}");
}

/// A query behind the paths that read one.
pub(crate) fn query(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    parse(&http::Method::GET, "/v2/_catalog", Some(text));
    parse(&http::Method::GET, "/v2/a/tags/list", Some(text));
    parse(&http::Method::GET, &format!("/v2/a/referrers/{digest}"), Some(text));
    parse(&http::Method::POST, "/v2/a/blobs/uploads/", Some(text));
    parse(&http::Method::PUT, "/v2/a/blobs/uploads/7b1f1e2c-66a5-4a4e-9d39-0c1e4b5a6d7e", Some(text));
    parse(&http::Method::PUT, &format!("/v2/a/manifests/{digest}"), Some(text));
}

/// A `Content-Type` up to the first line feed, then the manifest.
pub(crate) fn manifest(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (header, body) = bytes.split_at(end);
    let body = body.strip_prefix(b"\n").unwrap_or(body);
    let Some(header) = text(header) else { return };
    let extra = ["application/vnd.example.manifest+json".to_owned()];
    let rules = ManifestRules { extra_media_types: &extra };
    let Ok(manifest) = Manifest::parse(Some(header).filter(|header| !header.is_empty()), body, &rules) else {
        return;
    };
    let again = Manifest::parse(Some(&manifest.media_type), body, &rules);
    assert_eq!(again.as_ref(), Ok(&manifest), "the type that was found is the type that it has");
    let named = manifest.layers.len() + manifest.manifests.len() + 1;
    assert!(manifest.required_blobs().len() <= named && manifest.children().len() <= named);
    assert!(manifest.manifests.is_empty() || (manifest.layers.is_empty() && manifest.config.is_none()));
}

pub(crate) fn descriptor(bytes: &[u8]) {
    let Ok(descriptor) = serde_json::from_slice::<Descriptor>(bytes) else { return };
    let again = serde_json::json!({
        "mediaType": descriptor.media_type, "digest": descriptor.digest.to_string(), "size": descriptor.size,
        "urls": descriptor.urls, "artifactType": descriptor.artifact_type, "annotations": descriptor.annotations,
    });
    assert_eq!(serde_json::from_value::<Descriptor>(again).ok(), Some(descriptor));
}

/// A size in eight bytes, then the header.
pub(crate) fn range(bytes: &[u8]) {
    let Some((size, header)) = bytes.split_first_chunk::<8>() else { return };
    let (size, Some(header)) = (u64::from_be_bytes(*size), text(header)) else { return };
    let ranges = match parse_range(header, size) {
        RangeOutcome::One(range) => vec![range],
        RangeOutcome::Many(ranges) => {
            assert!(ranges.len() > 1 && ranges.len() <= MAX_RANGES);
            ranges
        }
        RangeOutcome::Full | RangeOutcome::Unsatisfiable | RangeOutcome::TooMany => return,
    };
    let mut sum = 0_u64;
    for range in ranges {
        assert!(range.start <= range.end && range.end < size, "{header:?} of {size}: {range:?}");
        sum = sum.checked_add(range.len()).expect("no more than there is");
    }
    assert!(sum <= size, "{header:?} of {size} sends {sum}");
}

pub(crate) fn content_range(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(range) = round::<ContentRange>(text) {
        assert!(range.len() > 0);
    }
    round::<BlobContentRange>(text);
    round::<UploadRange>(text);
}

pub(crate) fn challenge(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for challenge in Challenge::parse(text) {
        let once = Challenge::parse(&challenge.to_string());
        assert_eq!(once.len(), 1, "{challenge:?}");
        let twice = Challenge::parse(&once[0].to_string());
        assert_eq!(once, twice, "{challenge:?}");
    }
}

pub(crate) fn accept(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let accept = Accept::from_lines(text.lines());
    let written = accept.to_string();
    assert_eq!(Accept::from_lines([written.as_str()]), accept, "{written:?}");
    accept.accepts("application/vnd.oci.image.index.v1+json");
    accept.accepts(text);
}

pub(crate) fn media_type(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Some(essence) = types::essence(text) {
        assert_eq!(types::essence(essence), Some(essence));
        assert!(text.contains(essence));
    }
    types::is_non_distributable(text);
}

pub(crate) fn error_document(bytes: &[u8]) {
    // Details are anything, also numbers of which the last digit is lost on the way.
    let plain = |document: ErrorDocument| -> Vec<_> {
        document.errors.into_iter().map(|entry| (entry.code, entry.message, entry.detail.is_some())).collect()
    };
    if let Some(document) = ErrorDocument::parse(bytes) {
        let again = ErrorDocument::parse(&document.to_json());
        assert_eq!(again.map(plain), Some(plain(document)));
    }
}
