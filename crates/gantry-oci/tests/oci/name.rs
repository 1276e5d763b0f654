//! Names, tags and references (G-1, G-2, G-4).

use gantry_oci::{ImageReference, ImageReferenceError, NAME_MAX, Reference, ReferenceError, RepoName, Tag};

fn is_name(text: &str) -> bool {
    text.parse::<RepoName>().is_ok_and(|name| name.as_str() == text)
}

fn is_tag(text: &str) -> bool {
    text.parse::<Tag>().is_ok_and(|tag| tag.as_str() == text)
}

#[test]
fn t62_name_edge_cases() {
    for good in [
        "a",
        "0",
        "a/b",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a-----b",
        "a/b.c/d_e/f__g/h-i",
        "conformance/repo1",
        "tags/list",
        "blobs/uploads",
        "manifests",
    ] {
        assert!(is_name(good), "{good:?}");
    }
    for bad in [
        "", "/", "a/", "/a", "a//b", "a___b", "a..b", "a-.b", "a.-b", "a_-b", "a-_b", "a._b", ".a", "_a",
        "-a", "a.", "a_", "a__", "a-", "A", "aB", "a/B", "a b", "a+b", "a:b", "a@b", "a%b", "a\\b", "a/../b",
        "a/./b", ".", "..", "é", "a\n", "\0", "_catalog", "_oci",
    ] {
        assert!(!is_name(bad), "{bad:?}");
    }
}

#[test]
fn g1_at_most_255_bytes_however_many_components() {
    assert!(is_name(&"a".repeat(NAME_MAX)));
    assert!(!is_name(&"a".repeat(NAME_MAX + 1)));
    assert!(is_name(&vec!["a"; NAME_MAX / 2 + 1].join("/")));
    assert!(!is_name(&vec!["a"; NAME_MAX / 2 + 2].join("/")));
}

#[test]
fn t63_tag_edge_cases() {
    let digest_like = format!("sha256-{}", "0".repeat(64));
    for good in
        ["a", "_x", "_", "0", "v1.2.3", "A-b_c.D", "a..b", "a-", "latest", &digest_like, &"t".repeat(128)]
    {
        assert!(is_tag(good), "{good:?}");
    }
    for bad in ["", ".x", "-x", "a b", "a/b", "a:b", "a+b", "a@b", "ä", "a\n", "a\0", "%41", &"t".repeat(129)]
    {
        assert!(!is_tag(bad), "{bad:?}");
    }
}

#[test]
fn e3_5_a_reference_with_a_colon_is_a_digest() {
    let digest = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(digest.parse(), Ok(Reference::Digest(_))));
    assert!(matches!("v1".parse(), Ok(Reference::Tag(_))));
    // T28: never a tag, however it looks.
    for bad in
        ["sha256:baddigeststring", "a:b", ":", "v1:", &digest.to_uppercase(), &digest.replace('0', "A")]
    {
        assert!(matches!(bad.parse::<Reference>(), Err(ReferenceError::Digest(_))), "{bad:?}");
    }
    assert!(matches!(".x".parse::<Reference>(), Err(ReferenceError::Tag(_))));
}

#[test]
fn names_order_by_bytes_of_the_whole_name() {
    // T32, X-1.3: not by path component.
    let parse = |name: &str| name.parse::<RepoName>().unwrap();
    let mut names: Vec<_> = ["math0", "math/x", "math", "math-voila", "math.a"].map(parse).into();
    names.sort();
    let sorted: Vec<_> = names.iter().map(RepoName::as_str).collect();
    assert_eq!(sorted, ["math", "math-voila", "math.a", "math/x", "math0"]);
}

/// Host, name, tag and digest, if there are any.
type Parts<'a> = (Option<&'a str>, &'a str, Option<&'a str>, bool);

#[test]
fn g4_images_as_people_name_them() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let cases: &[(&str, Parts<'_>)] = &[
        ("hello", (None, "hello", None, false)),
        ("hello:v1", (None, "hello", Some("v1"), false)),
        ("team/app:v1", (None, "team/app", Some("v1"), false)),
        ("localhost/app", (Some("localhost"), "app", None, false)),
        ("localhost:5000/team/app:v1", (Some("localhost:5000"), "team/app", Some("v1"), false)),
        // Without a slash, what is behind the colon is a tag.
        ("localhost:5000", (None, "localhost", Some("5000"), false)),
        ("registry.example.org/app", (Some("registry.example.org"), "app", None, false)),
        ("127.0.0.1:5000/app", (Some("127.0.0.1:5000"), "app", None, false)),
        ("[::1]:5000/app", (Some("[::1]:5000"), "app", None, false)),
        ("[::1]/app", (Some("[::1]"), "app", None, false)),
        ("HOST/app", (Some("HOST"), "app", None, false)),
    ];
    for (text, (host, name, tag, _)) in cases {
        for pinned in [false, true] {
            let text = if pinned { format!("{text}@{digest}") } else { (*text).to_owned() };
            let image: ImageReference = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(image.host.as_ref().map(|host| host.as_str()), *host, "{text}");
            assert_eq!(image.name.as_str(), *name, "{text}");
            assert_eq!(image.tag.as_ref().map(Tag::as_str), *tag, "{text}");
            assert_eq!(
                image.digest.map(|digest| digest.to_string()),
                pinned.then(|| digest.clone()),
                "{text}"
            );
            assert_eq!(image.to_string(), text);
        }
    }
}

#[test]
fn g4_what_names_no_image() {
    use ImageReferenceError::{Digest, Host, Name, Tag};
    let error = |text: &str| text.parse::<ImageReference>().expect_err(text);
    for bad in [
        "a:b/c",
        "a:99999/c",
        "a:/c",
        "-a.b/c",
        "a..b/c",
        "[::1/c",
        "[::1]x/c",
        "::1/c",
        "a_b.c/d",
        ":5000/c",
    ] {
        assert!(matches!(error(bad), Host(_)), "{bad}: {:?}", error(bad));
    }
    for bad in ["", "/", "/a", "Hello", "a//b", "localhost/", "localhost/A", "a b"] {
        assert!(matches!(error(bad), Name(_)), "{bad}: {:?}", error(bad));
    }
    assert!(matches!(error("a:"), Tag(_)));
    assert!(matches!(error("a:.b"), Tag(_)));
    assert!(matches!(error("a:b:c"), Tag(_)));
    assert!(matches!(error("a@"), Digest(_)));
    assert!(matches!(error("a@latest"), Digest(_)));
}
