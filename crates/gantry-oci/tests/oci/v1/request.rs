//! Paths, methods and queries.

use gantry_oci::v1::{Endpoint, ImagePart, Request, RequestError, SearchQuery, V1Name, is_v1};
use http::Method;

const ID: &str = "088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c";

fn parse(method: &str, path: &str) -> Result<Request, RequestError> {
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    Request::parse(&method.parse().unwrap(), path, query)
}

fn name(text: &str) -> V1Name {
    text.parse().unwrap()
}

#[test]
fn v_2_every_row_is_read_with_and_without_a_slash_at_the_end() {
    let (id, tag) = (ID.parse().unwrap(), || "t1".parse().unwrap());
    let r = || name("a/b");
    let rows = [
        ("GET", "/v1/_ping".to_owned(), Request::Ping),
        ("GET", "/v1/users".to_owned(), Request::Login),
        ("POST", "/v1/users".to_owned(), Request::SignUp),
        ("PUT", "/v1/users/Some%20One".to_owned(), Request::ChangeUser { name: "Some One".to_owned() }),
        ("GET", format!("/v1/images/{ID}/json"), Request::GetImage { id, part: ImagePart::Json }),
        ("GET", format!("/v1/images/{ID}/layer"), Request::GetImage { id, part: ImagePart::Layer }),
        ("GET", format!("/v1/images/{ID}/ancestry"), Request::GetImage { id, part: ImagePart::Ancestry }),
        ("GET", format!("/v1/images/{ID}/files"), Request::GetImage { id, part: ImagePart::Files }),
        ("GET", format!("/v1/images/{ID}/diff"), Request::GetImage { id, part: ImagePart::Diff }),
        ("PUT", format!("/v1/images/{ID}/json"), Request::PutImage { id, part: ImagePart::Json }),
        ("PUT", format!("/v1/images/{ID}/layer"), Request::PutImage { id, part: ImagePart::Layer }),
        ("PUT", format!("/v1/images/{ID}/checksum"), Request::PutImage { id, part: ImagePart::Checksum }),
        ("GET", "/v1/repositories/a/b/tags".to_owned(), Request::ListTags(r())),
        ("GET", "/v1/repositories/a/b/tags/t1".to_owned(), Request::GetTag(r(), tag())),
        ("PUT", "/v1/repositories/a/b/tags/t1".to_owned(), Request::PutTag(r(), tag())),
        ("DELETE", "/v1/repositories/a/b/tags/t1".to_owned(), Request::DeleteTag(r(), tag())),
        ("DELETE", "/v1/repositories/a/b/tags".to_owned(), Request::DeleteRepository(r())),
        ("DELETE", "/v1/repositories/a/b".to_owned(), Request::DeleteRepository(r())),
        ("PUT", "/v1/repositories/a/b".to_owned(), Request::PutRepository(r())),
        ("GET", "/v1/repositories/a/b/images".to_owned(), Request::GetImages(r())),
        ("PUT", "/v1/repositories/a/b/images".to_owned(), Request::PutImages(r())),
        ("DELETE", "/v1/repositories/a/b/images".to_owned(), Request::DeleteImages(r())),
        ("PUT", "/v1/repositories/a/b/auth".to_owned(), Request::Authorize(r())),
        ("GET", format!("/v1/repositories/a/b/layer/{ID}/access"), Request::LayerAccess(r(), id)),
        ("GET", "/v1/repositories/a/b/json".to_owned(), Request::TagInfo(r(), "latest".parse().unwrap())),
        ("GET", "/v1/repositories/a/b/tags/t1/json".to_owned(), Request::TagInfo(r(), tag())),
        ("GET", "/v1/repositories/a/b/properties".to_owned(), Request::GetProperties(r())),
        ("PUT", "/v1/repositories/a/b/properties".to_owned(), Request::PutProperties(r())),
    ];
    for (method, path, request) in rows {
        assert_eq!(parse(method, &path).as_ref(), Ok(&request), "{method} {path}");
        assert_eq!(parse(method, &format!("{path}/")).as_ref(), Ok(&request), "{method} {path}/");
        assert!(is_v1(&path), "{path}");
        if method == "GET" {
            assert_eq!(parse("HEAD", &path).as_ref(), Ok(&request), "HEAD {path}");
        }
        let named = path.contains("/a/b").then(r);
        assert_eq!(request.repository(), named.as_ref(), "{path}");
    }
    assert_eq!(parse("GET", "/_ping"), Ok(Request::Ping));
    assert!(is_v1("/_ping") && is_v1("/v1") && is_v1("/v1/") && !is_v1("/v11") && !is_v1("/v2/v1/"));
}

#[test]
fn v_2_the_end_of_a_path_says_what_it_is() {
    let tags = |r: &str, tag: &str| Ok(Request::GetTag(name(r), tag.parse().unwrap()));
    for (path, expected) in [
        ("foo/tags/tags", tags("foo", "tags")),
        ("foo/tags/images", tags("foo", "images")),
        ("a/b/c/d/tags/e", tags("a/b/c/d", "e")),
        ("tags/foo/images", Ok(Request::GetImages(name("tags/foo")))),
        ("a/tags/b/images", Ok(Request::GetImages(name("a/tags/b")))),
        ("foo/tags/json", tags("foo", "json")),
        ("library%2Ffoo/tags", Ok(Request::ListTags(name("library/foo")))),
        ("f%6fo/tags/%6C", tags("foo", "l")),
    ] {
        assert_eq!(parse("GET", &format!("/v1/repositories/{path}")), expected, "{path}");
    }
    for word in ["tags", "images", "auth", "json", "properties"] {
        let path = format!("/v1/repositories/{word}/");
        assert_eq!(parse("PUT", &path), Ok(Request::PutRepository(name(word))), "{path}");
    }
}

#[test]
fn v_2_what_is_not_in_the_table_is_not_found() {
    for path in [
        "/v1",
        "/v1/",
        "/v1/x",
        "/v1/images",
        "/v1/images/",
        "/v1/repositories/",
        "/v1/repositories",
        "/v1/_ping/x",
        "/v1/users//",
        "/v1/users/a/b",
        "/v1/search/x",
        "/v2/",
        "/",
        "",
        "/v1/private_images/x/json",
        "//v1/_ping",
    ] {
        assert_eq!(parse("GET", path), Err(RequestError::NotFound), "{path}");
    }
    assert_eq!(parse("GET", &format!("/v1/images/{ID}/tags")), Err(RequestError::NotFound));
    assert_eq!(parse("GET", &format!("/v1/images/{ID}")), Err(RequestError::NotFound));
}

#[test]
fn v_2_image_ids_are_64_lower_case_digits() {
    for id in ["0123456789abcdef", &ID.to_uppercase(), "x", "", &ID[1..], &format!("{ID}0")] {
        let path = format!("/v1/images/{id}/json");
        assert_eq!(parse("GET", &path), Err(RequestError::ImageId), "{id}");
        let path = format!("/v1/repositories/a/layer/{id}/access");
        assert_eq!(parse("GET", &path), Err(RequestError::ImageId), "{id}");
    }
    assert_eq!(RequestError::ImageId.to_string(), "Invalid image ID");
}

#[test]
fn v_2_names_and_tags_are_checked_after_one_decoding() {
    for path in ["Foo", "foo/Bar", "a//b", "a b", "a%252fb", "f%C3%A9", "a..b", "%00", "-a", "a/"] {
        let path = format!("/v1/repositories/{path}/tags");
        assert!(matches!(parse("GET", &path), Err(RequestError::Name(_))), "{path}");
    }
    for path in ["a/%2e%2e/b/tags", "a/../b/tags", "%2e/tags", "..", "%2E%2E", "%ff/tags", "a/tags/.."] {
        assert_eq!(parse("PUT", &format!("/v1/repositories/{path}")), Err(RequestError::Path), "{path}");
    }
    assert_eq!(parse("GET", "/v1/images/%2e%2e/json"), Err(RequestError::Path));
    for tag in ["-a", ".a", "a:b", "%C3%A9", "", &"a".repeat(129)] {
        let path = format!("/v1/repositories/a/tags/{tag}/json");
        assert_eq!(parse("GET", &path), Err(RequestError::Tag), "{tag}");
    }
    let said = "Invalid tag name (must match ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$)";
    assert_eq!(RequestError::Tag.to_string(), said);
    let shown = parse("PUT", &format!("/v1/repositories/{}", "A".repeat(5000))).unwrap_err().to_string();
    assert!(shown.len() < 200, "{shown}");
}

#[test]
fn v_2_other_methods_are_told_which_there_are() {
    let image = |part: &str| format!("/v1/images/{ID}/{part}");
    let of = |rest: &str| format!("/v1/repositories/a/{rest}");
    for (path, allow) in [
        ("/_ping".to_owned(), "GET, HEAD"),
        ("/v1/_ping".to_owned(), "GET, HEAD"),
        ("/v1/search".to_owned(), "GET, HEAD"),
        ("/v1/users/".to_owned(), "GET, HEAD, POST"),
        ("/v1/users/a/".to_owned(), "PUT"),
        (image("json"), "GET, HEAD, PUT"),
        (image("layer"), "GET, HEAD, PUT"),
        (image("checksum"), "PUT"),
        (image("ancestry"), "GET, HEAD"),
        (image("files"), "GET, HEAD"),
        (of(""), "PUT, DELETE"),
        (of("tags"), "GET, HEAD, DELETE"),
        (of("tags/t"), "GET, HEAD, PUT, DELETE"),
        (of("tags/t/json"), "GET, HEAD"),
        (of("json"), "GET, HEAD"),
        (of("images"), "GET, HEAD, PUT, DELETE"),
        (of("auth"), "PUT"),
        (of("properties"), "GET, HEAD, PUT"),
        (of("layer/x/access"), "GET, HEAD"),
    ] {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "get", "ODD"] {
            let known = allow.split(", ").any(|known| known == method);
            let refused = parse(method, &path) == Err(RequestError::Method { allow });
            assert_ne!(known, refused, "{method} {path}");
        }
    }
}

#[test]
fn v_10_numbers_of_a_search_are_made_good() {
    let search = |query: &str| match parse("GET", &format!("/v1/search?{query}")) {
        Ok(Request::Search(query)) => query,
        other => panic!("{other:?}"),
    };
    let is = |term: &str, n, page| SearchQuery { term: term.to_owned(), n, page };
    assert_eq!(parse("GET", "/v1/search"), Ok(Request::Search(is("", 25, 1))));
    for (query, expected) in [
        ("q=foo%2Fbar+baz&n=10&page=3", is("foo/bar baz", 10, 3)),
        ("n=0&page=0", is("", 1, 1)),
        ("n=-7&page=-1", is("", 1, 1)),
        ("n=101&page=99999999999999999999999", is("", 100, SearchQuery::PAGE_MAX)),
        ("n=abc&page=1.5", is("", 25, 1)),
        ("n=-&page=", is("", 25, 1)),
        ("q=%ff", is("\u{fffd}", 25, 1)),
    ] {
        assert_eq!(search(query), expected, "{query}");
    }
}

#[test]
fn every_row_has_a_label_of_its_own() {
    let labels: std::collections::BTreeSet<_> = Endpoint::ALL.map(Endpoint::label).into();
    assert_eq!(labels.len(), Endpoint::ALL.len());
    assert!(labels.iter().all(|label| label.starts_with("v1_")));
    let endpoint = |path: &str| Request::parse(&Method::GET, path, None).unwrap().endpoint();
    assert_eq!(endpoint("/_ping"), Endpoint::Ping);
    assert_eq!(endpoint(&format!("/v1/images/{ID}/diff")), Endpoint::Extras);
    assert_eq!(endpoint("/v1/repositories/a/images"), Endpoint::Index);
    assert_eq!(endpoint("/v1/repositories/a/json"), Endpoint::Tags);
}
