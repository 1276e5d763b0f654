//! Conditional requests (RFC 9110, section 13) on content that is known by its digest.

use gantry_oci::Digest;
use http::{HeaderMap, HeaderValue, header};

use super::reply;

/// Says which content an answer is about: `Docker-Content-Digest`, and as its entity tag the digest in quotes.
pub(crate) fn name_content(headers: &mut HeaderMap, digest: &Digest) {
    let mut room = [0; Digest::WRITTEN_MAX];
    let digest = digest.write_into(&mut room);
    let mut quoted = [b'"'; Digest::WRITTEN_MAX + 2];
    quoted[1..=digest.len()].copy_from_slice(digest.as_bytes());
    headers.insert(reply::CONTENT_DIGEST, reply::value(digest));
    // A digest is letters, digits and a colon.
    if let Ok(etag) = HeaderValue::from_bytes(&quoted[..digest.len() + 2]) {
        headers.insert(header::ETAG, etag);
    }
}

/// Whether `If-None-Match` says that the client has this content already: quoted, weak, in a list, `*`, or as the bare
/// digest that some clients send.
pub(crate) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let mut values = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
    if values.peek().is_none() {
        return false;
    }
    let wanted = digest.to_string();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || unquoted(tag.trim()) == wanted)
}

/// Whether `If-Range` allows a part of this content: absent, or its strong entity tag.
pub(crate) fn range_allowed(headers: &HeaderMap, digest: &Digest) -> bool {
    match headers.get(header::IF_RANGE) {
        None => true,
        Some(value) => value
            .to_str()
            .is_ok_and(|tag| !tag.starts_with("W/") && unquoted(tag.trim()) == digest.to_string()),
    }
}

/// Whether `If-Modified-Since` says that the client has content that never changes: whatever moment it names. Not beside
/// `If-None-Match`, which says it better.
pub(crate) fn unchanged_since(headers: &HeaderMap) -> bool {
    let since = headers.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    since.is_some_and(|since| httpdate::parse_http_date(since).is_ok())
        && !headers.contains_key(header::IF_NONE_MATCH)
}

fn unquoted(tag: &str) -> &str {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E-3.7, T49
    #[test]
    fn if_none_match_in_all_its_forms() {
        let digest = Digest::sha256(b"");
        let headers = |value: &str| HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]);
        for value in [
            format!("\"{digest}\""),
            format!("W/\"{digest}\""),
            format!("\"x\", \"{digest}\""),
            digest.to_string(),
            "*".into(),
        ] {
            assert!(not_modified(&headers(&value), &digest), "{value}");
        }
        for value in ["\"x\"", "", "\"", "W/"] {
            assert!(!not_modified(&headers(value), &digest), "{value}");
        }
        assert!(!not_modified(&HeaderMap::new(), &digest));
    }
}
