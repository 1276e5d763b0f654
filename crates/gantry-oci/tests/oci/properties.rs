//! What holds for every input: no panic, the grammar as specified, and formatting that parsing undoes.

use std::sync::LazyLock;

use gantry_oci::{
    Accept, Algorithm, BlobContentRange, ByteRange, Challenge, ContentRange, Descriptor, Digest, ErrorCode,
    ErrorDocument, ErrorEntry, Hasher, Host, ImageReference, Manifest, ManifestRules, RangeOutcome,
    Reference, RepoName, Request, Tag, UploadId, UploadRange, classify, media_type, parse_range,
};
use http::Method;
use proptest::collection::vec;
use proptest::prelude::*;
use regex::Regex;

use crate::strategies::{
    NAME, TAG, content_ranges, digests, images, names, nearly, references, requests, tags,
};

const METHODS: [&str; 8] = ["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "ODD"];

/// Pieces of paths and queries.
const REQUEST: &[&str] = &[
    "/v2/",
    "/v2",
    "/",
    "//",
    "a",
    "A",
    "a/b",
    "_catalog",
    "_oci/ext/discover",
    "/blobs/",
    "/uploads/",
    "uploads",
    "/manifests/",
    "/tags/list",
    "/referrers/",
    "sha256:",
    "%",
    "%2F",
    "%ff",
    "%3A",
    "..",
    "+",
    "&",
    "=",
    "?",
    "n=",
    "last=",
    "digest=",
    "mount=",
    "from=",
    "tag=",
    "artifactType=",
    "digest-algorithm=sha512",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "3f2b8a4e-5d0c-4c39-9d1b-0a6f5b1c7e21",
];
const NAMES: &[&str] =
    &["a", "0", "z9", ".", "_", "__", "-", "--", "/", "A", ":", "@", "[", "]", "é", " ", "\n"];
const RANGE: &[&str] = &[
    "bytes=",
    "bytes ",
    "bytes",
    "=",
    "-",
    "0-0",
    "1-",
    "-1",
    ",",
    " ",
    "/",
    "*",
    "0-5/10",
    "18446744073709551615",
    "99999999999999999999",
];
const CHALLENGE: &[&str] = &[
    "Bearer ",
    "Basic",
    "realm=",
    "\"",
    "\\",
    ",",
    " ",
    "=",
    "==",
    "service=\"x\"",
    "scope=",
    "https://h/t",
    "\t",
    "é",
];
const DIGEST: &[&str] = &["sha256", "sha512", "md5", ":", "+", "a", "F", "0", "=", "_", "-", ".", "é", " "];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "null",
    "true",
    "2",
    "-1",
    "1.5",
    "1e9",
    "\"schemaVersion\":2",
    "\"config\":",
    "\"layers\":[",
    "\"manifests\":[",
    "\"subject\":",
    "\"annotations\":{",
    "\"mediaType\":",
    "\"errors\":[",
    "\"code\":",
    "\"a\":",
    "\"application/vnd.oci.image.manifest.v1+json\"",
    "\"size\":0",
    " ",
    "{\"mediaType\":\"a/b\",\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\",\"size\":1}",
];

/// The whole text, as the specification has it.
fn specified(pattern: &str) -> Regex {
    Regex::new(&format!("^(?:{pattern})$")).unwrap()
}

static IS_NAME: LazyLock<Regex> = LazyLock::new(|| specified(NAME));
static IS_TAG: LazyLock<Regex> = LazyLock::new(|| specified(TAG));
/// G-3: what is kept, what the grammar allows, and what it allows no longer because the algorithm says more.
static IS_KEPT: LazyLock<Regex> = LazyLock::new(|| specified("sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}"));
static IS_DIGEST: LazyLock<Regex> =
    LazyLock::new(|| specified(r"[a-z0-9]+([+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"));
static IS_REGISTERED: LazyLock<Regex> = LazyLock::new(|| specified("(sha256|sha512):.*"));
/// E-7.2, with what is tolerated.
static IS_CONTENT_RANGE: LazyLock<Regex> =
    LazyLock::new(|| specified(r"[0-9]+-[0-9]+|bytes [0-9]+-[0-9]+(/([0-9]+|\*))?"));
static IS_SMALL_RANGE: LazyLock<Regex> = LazyLock::new(|| specified("[0-9]{1,18}-[0-9]{1,18}"));

fn check_request(method: &str, path: &str, query: Option<&str>) -> Result<(), TestCaseError> {
    let parsed = Request::parse(&method.parse::<Method>().unwrap(), path, query);
    let class = classify(path);
    if let Ok(request) = parsed {
        prop_assert_eq!(class, Some(request.endpoint()));
        // What was understood says the same when it is written our way.
        check_identity(&request)?;
    }
    Ok(())
}

fn check_identity(request: &Request) -> Result<(), TestCaseError> {
    let target = request.path_and_query();
    // A hyper server would take it.
    let uri: http::Uri = target.parse().unwrap();
    prop_assert!(uri.host().is_none());
    let again = Request::parse(&request.method(), uri.path(), uri.query());
    prop_assert_eq!(again.as_ref(), Ok(request), "{}", target);
    Ok(())
}

/// Every parser, on the same text.
fn check_everything(text: &str) {
    let _ = text.parse::<Digest>();
    let _ = text.parse::<Algorithm>();
    let _ = text.parse::<RepoName>();
    let _ = text.parse::<Tag>();
    let _ = text.parse::<Reference>();
    let _ = text.parse::<ImageReference>();
    let _ = text.parse::<Host>();
    let _ = text.parse::<UploadId>();
    let _ = text.parse::<ContentRange>().map(|range| range.len());
    let _ = text.parse::<BlobContentRange>().map(|range| range.range.len());
    let _ = text.parse::<UploadRange>();
    let _ = text.parse::<ErrorCode>();
    let _ = media_type::essence(text);
    let _ = media_type::is_non_distributable(text);
    let _ = Accept::from_lines([text]).accepts(text);
    for challenge in Challenge::parse(text) {
        // What is written can be read.
        let parsed = Challenge::parse(&challenge.to_string());
        assert_eq!(parsed.len(), 1);
    }
    let _ = Hasher::restore(Algorithm::Sha256, text.as_bytes());
    check_json(text.as_bytes());
}

fn check_json(bytes: &[u8]) {
    let _ = serde_json::from_slice::<Descriptor>(bytes);
    let _ = ErrorDocument::parse(bytes);
    for content_type in [None, Some(media_type::OCI_MANIFEST), Some(media_type::OCI_INDEX)] {
        if let Ok(manifest) = Manifest::parse(content_type, bytes, &ManifestRules::default()) {
            assert!(manifest.required_blobs().len() <= manifest.layers.len() + 1);
            assert!(manifest.children().len() <= manifest.manifests.len());
        }
    }
}

/// Whatever is asked for, only bytes that are there are promised, and not more of them than there are.
fn check_range(header: &str, size: u64) -> Result<(), TestCaseError> {
    let inside = |range: &ByteRange| range.start <= range.end && range.end < size;
    match parse_range(header, size) {
        RangeOutcome::One(range) => prop_assert!(inside(&range)),
        RangeOutcome::Many(ranges) => {
            prop_assert!(ranges.len() > 1 && ranges.iter().all(inside));
            prop_assert_eq!(ranges.len(), header.split(',').filter(|part| part.contains('-')).count());
            prop_assert!(
                ranges.iter().map(|range| u128::from(range.len())).sum::<u128>() <= u128::from(size)
            );
        }
        RangeOutcome::Full | RangeOutcome::Unsatisfiable | RangeOutcome::TooMany => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_that_is_written_is_read_as_the_same(request in requests()) {
        check_identity(&request)?;
    }

    #[test]
    fn no_request_panics(
        method in proptest::sample::select(&METHODS[..]),
        path in prop_oneof![nearly(REQUEST), any::<String>()],
        query in proptest::option::of(prop_oneof![nearly(REQUEST), any::<String>()]),
    ) {
        check_request(method, &path, query.as_deref())?;
        check_request(method, &format!("/v2/{path}"), query.as_deref())?;
    }

    #[test]
    fn no_text_panics(text in prop_oneof![
        any::<String>(),
        nearly(NAMES),
        nearly(DIGEST),
        nearly(RANGE),
        nearly(CHALLENGE),
        nearly(JSON),
        nearly(REQUEST),
    ]) {
        check_everything(&text);
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        check_json(&bytes);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let _ = Hasher::restore(algorithm, &bytes);
        }
    }

    #[test]
    fn no_saved_state_panics(bytes in vec(any::<u8>(), 105..=105), long in vec(any::<u8>(), 209..=209), more in vec(any::<u8>(), 0..300)) {
        for (algorithm, mut state) in [(Algorithm::Sha256, bytes), (Algorithm::Sha512, long)] {
            state[0] = 1;
            if let Some(mut hasher) = Hasher::restore(algorithm, &state) {
                hasher.update(&more);
                let _ = hasher.finish();
            }
        }
    }

    #[test]
    fn a_broken_manifest_never_panics(place in 0_usize..400, byte in any::<u8>(), cut in 0_usize..400) {
        let text = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"a/b","digest":"{}","size":1}},"layers":[],"annotations":{{"a":"\u00e9"}}}}"#,
            Digest::sha256(b"")
        );
        let mut bytes = text.into_bytes();
        let length = bytes.len();
        bytes[place % length] = byte;
        check_json(&bytes);
        bytes.truncate(cut % length);
        check_json(&bytes);
    }

    #[test]
    fn names_are_what_the_regex_says(text in prop_oneof![nearly(NAMES), NAME, any::<String>(), "[a-z0-9._/-]{0,20}"]) {
        let expected = text.len() <= 255 && IS_NAME.is_match(&text);
        prop_assert_eq!(text.parse::<RepoName>().is_ok(), expected);
    }

    #[test]
    fn tags_are_what_the_regex_says(text in prop_oneof![nearly(NAMES), TAG, any::<String>(), "[a-zA-Z0-9._-]{120,135}"]) {
        prop_assert_eq!(text.parse::<Tag>().is_ok(), IS_TAG.is_match(&text));
    }

    #[test]
    fn digests_are_what_the_regex_says(text in prop_oneof![
        nearly(DIGEST),
        any::<String>(),
        "(sha256|sha512):[a-f0-9]{63,65}",
        "sha512:[a-fA-F0-9]{127,129}",
        "[a-z0-9+._-]{1,6}:[a-zA-Z0-9=_-]{0,8}",
    ]) {
        let expected = if IS_KEPT.is_match(&text) {
            Ok(())
        } else if text.len() <= 289 && IS_DIGEST.is_match(&text) && !IS_REGISTERED.is_match(&text) {
            Err(gantry_oci::DigestError::Unsupported)
        } else {
            Err(gantry_oci::DigestError::Malformed)
        };
        prop_assert_eq!(text.parse::<Digest>().map(drop), expected);
    }

    #[test]
    fn content_ranges_are_what_the_regex_says(text in prop_oneof![nearly(RANGE), any::<String>(), "[0-9]{0,21}-[0-9]{0,21}"]) {
        let parsed = text.parse::<ContentRange>();
        prop_assert!(parsed.is_err() || IS_CONTENT_RANGE.is_match(&text));
        if IS_SMALL_RANGE.is_match(&text) {
            prop_assert_ne!(parsed, Err(gantry_oci::ContentRangeError::Malformed));
        }
    }

    #[test]
    fn ranges_stay_inside(header in prop_oneof![nearly(RANGE), any::<String>(), "bytes=([0-9]{0,3}-[0-9]{0,3},?){1,6}"], size in prop_oneof![0_u64..1000, any::<u64>()]) {
        check_range(&header, size)?;
        check_range(&format!("bytes={header}"), size)?;
    }

    #[test]
    fn what_is_written_is_read_as_the_same(
        name in names(),
        tag in tags(),
        digest in digests(),
        reference in references(),
        image in images(),
        range in content_ranges(),
        held in any::<u64>(),
    ) {
        prop_assert_eq!(name.to_string().parse(), Ok(name));
        prop_assert_eq!(tag.to_string().parse(), Ok(tag));
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        prop_assert_eq!(digest.fallback_tag().to_string().parse(), Ok(digest.fallback_tag()));
        prop_assert_eq!(reference.to_string().parse(), Ok(reference));
        prop_assert_eq!(image.to_string().parse(), Ok(image));
        prop_assert_eq!(range.to_string().parse(), Ok(range));
        let size = range.end.saturating_add(1);
        if range.end < size {
            let range = BlobContentRange { range: ByteRange { start: range.start, end: range.end }, size };
            prop_assert_eq!(range.to_string().parse(), Ok(range));
        }
        if held != 1 {
            prop_assert_eq!(UploadRange(held).to_string().parse(), Ok(UploadRange(held)));
        }
    }

    #[test]
    fn challenges_are_read_as_they_are_written(
        realm in "\\PC*", service in "\\PC*", scope in proptest::option::of("\\PC*"), error in proptest::option::of("[a-z_]+"),
    ) {
        let challenge = Challenge::Bearer { realm: realm.clone(), service, scope, error };
        prop_assert_eq!(Challenge::parse(&challenge.to_string()), [challenge]);
        let challenge = Challenge::Basic { realm };
        prop_assert_eq!(Challenge::parse(&challenge.to_string()), [challenge]);
    }

    #[test]
    fn error_documents_are_read_as_they_are_written(
        codes in vec((proptest::sample::select(ErrorCode::ALL), any::<String>(), proptest::option::of(any::<i32>())), 0..5),
    ) {
        let errors = codes.into_iter().map(|(code, message, detail)| {
            ErrorEntry { code, message, detail: detail.map(|detail| serde_json::json!({ "n": detail })) }
        });
        let document = ErrorDocument { errors: errors.collect() };
        prop_assert_eq!(ErrorDocument::parse(&document.to_json()), Some(document));
    }

    #[test]
    fn a_split_hash_is_the_whole_one(pieces in vec(vec(any::<u8>(), 0..300), 0..6)) {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut hasher = Hasher::new(algorithm);
            for piece in &pieces {
                hasher.update(piece);
                hasher = Hasher::restore(algorithm, &hasher.save()).unwrap();
            }
            prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &pieces.concat()));
        }
    }
}
