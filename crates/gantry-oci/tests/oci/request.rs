//! Requests: the table, and what is made of paths and queries that clients write.

use gantry_oci::{
    Algorithm, Digest, Endpoint, Mount, MountSource, Page, Reference, RepoName, Request, RequestError,
    TAGS_MAX, Tag, UploadId, classify, is_api,
};
use http::Method;

const ID: &str = "3f2b8a4e-5d0c-4c39-9d1b-0a6f5b1c7e21";

fn sha256() -> Digest {
    Digest::sha256(b"x")
}

fn sha512() -> Digest {
    Digest::of(Algorithm::Sha512, b"x")
}

fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn id() -> UploadId {
    ID.parse().unwrap()
}

/// Takes apart `METHOD path[?query]`.
fn parse(line: &str) -> Result<Request, RequestError> {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Request::parse(&method.parse::<Method>().unwrap(), path, query)
}

fn good(line: &str) -> Request {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn bad(line: &str) -> RequestError {
    parse(line).expect_err(line)
}

fn by_tag(repo: &str, reference: &str) -> Request {
    Request::GetManifest { name: name(repo), reference: Reference::Tag(tag(reference)) }
}

fn list(repo: &str, n: Option<usize>, last: Option<&str>) -> Request {
    Request::ListTags { name: name(repo), page: Page { n, last: last.map(str::to_owned) } }
}

fn start(repo: &str, digest: Option<Digest>, algorithm: Option<Algorithm>, mount: Option<Mount>) -> Request {
    Request::StartUpload { name: name(repo), digest, algorithm, mount }
}

#[test]
fn g10_every_row_of_the_table() {
    let (a, digest) = (name("a"), sha256());
    let by_digest = Reference::Digest(digest);
    for (line, request, endpoint, label) in [
        ("GET /v2/".to_owned(), Request::Version, Endpoint::Version, "version"),
        ("GET /v2/_catalog".into(), Request::Catalog { page: Page::default() }, Endpoint::Catalog, "catalog"),
        ("GET /v2/a/tags/list".into(), list("a", None, None), Endpoint::Tags, "tags"),
        ("GET /v2/a/manifests/v1".into(), by_tag("a", "v1"), Endpoint::Manifest, "manifest"),
        (
            format!("GET /v2/a/manifests/{digest}"),
            Request::GetManifest { name: a.clone(), reference: by_digest.clone() },
            Endpoint::Manifest,
            "manifest",
        ),
        (
            format!("PUT /v2/a/manifests/{digest}"),
            Request::PutManifest { name: a.clone(), reference: by_digest.clone(), tags: vec![] },
            Endpoint::Manifest,
            "manifest",
        ),
        (
            format!("DELETE /v2/a/manifests/{digest}"),
            Request::DeleteManifest { name: a.clone(), reference: by_digest },
            Endpoint::Manifest,
            "manifest",
        ),
        (
            format!("GET /v2/a/referrers/{digest}"),
            Request::Referrers { name: a.clone(), digest, artifact_types: vec![], after: None, n: None },
            Endpoint::Referrers,
            "referrers",
        ),
        (
            format!("GET /v2/a/blobs/{digest}"),
            Request::GetBlob { name: a.clone(), digest },
            Endpoint::Blob,
            "blob",
        ),
        (
            format!("DELETE /v2/a/blobs/{digest}"),
            Request::DeleteBlob { name: a.clone(), digest },
            Endpoint::Blob,
            "blob",
        ),
        ("POST /v2/a/blobs/uploads/".into(), start("a", None, None, None), Endpoint::Uploads, "uploads"),
        (
            format!("GET /v2/a/blobs/uploads/{ID}"),
            Request::GetUpload { name: a.clone(), id: id() },
            Endpoint::Upload,
            "upload",
        ),
        (
            format!("PATCH /v2/a/blobs/uploads/{ID}"),
            Request::PatchUpload { name: a.clone(), id: id() },
            Endpoint::Upload,
            "upload",
        ),
        (
            format!("PUT /v2/a/blobs/uploads/{ID}?digest={digest}"),
            Request::PutUpload { name: a.clone(), id: id(), digest },
            Endpoint::Upload,
            "upload",
        ),
        (
            format!("DELETE /v2/a/blobs/uploads/{ID}"),
            Request::DeleteUpload { name: a.clone(), id: id() },
            Endpoint::Upload,
            "upload",
        ),
        (
            "GET /v2/_oci/ext/discover".into(),
            Request::Extensions { name: None },
            Endpoint::Extensions,
            "extensions",
        ),
        (
            "GET /v2/a/_oci/ext/discover".into(),
            Request::Extensions { name: Some(a) },
            Endpoint::RepositoryExtensions,
            "repository_extensions",
        ),
    ] {
        assert_eq!(good(&line), request, "{line}");
        let (method, target) = line.split_once(' ').unwrap();
        assert_eq!((request.method().as_str(), request.path_and_query().as_str()), (method, target));
        assert_eq!(request.endpoint(), endpoint);
        assert_eq!(endpoint.label(), label);
        assert_eq!(classify(target.split('?').next().unwrap()), Some(endpoint));
        let has_name = !matches!(endpoint, Endpoint::Version | Endpoint::Catalog | Endpoint::Extensions);
        assert_eq!(request.repository().map(RepoName::as_str), has_name.then_some("a"));
        if method == "GET" {
            assert_eq!(good(&line.replace("GET", "HEAD")), request, "HEAD {target}");
        }
    }
}

#[test]
fn t61_names_with_the_words_of_paths() {
    let digest = sha256();
    for (path, repo, endpoint) in [
        ("a/blobs/b/manifests/v1", "a/blobs/b", Endpoint::Manifest),
        ("tags/list/tags/list", "tags/list", Endpoint::Tags),
        ("x/blobs/uploads/manifests/v1", "x/blobs/uploads", Endpoint::Manifest),
        ("manifests/manifests/manifests", "manifests", Endpoint::Manifest),
        ("blobs/uploads/tags/list", "blobs/uploads", Endpoint::Tags),
        ("a/tags/list/manifests/list", "a/tags/list", Endpoint::Manifest),
        ("referrers/manifests/list", "referrers", Endpoint::Manifest),
        ("v2/manifests/v2", "v2", Endpoint::Manifest),
        ("a/manifests/_oci/ext/discover", "a/manifests", Endpoint::RepositoryExtensions),
        (&format!("uploads/blobs/{digest}"), "uploads", Endpoint::Blob),
        (&format!("a/blobs/uploads/blobs/{digest}"), "a/blobs/uploads", Endpoint::Blob),
        (&format!("blobs/uploads/blobs/uploads/{ID}"), "blobs/uploads", Endpoint::Upload),
        (&format!("manifests/v1/referrers/{digest}"), "manifests/v1", Endpoint::Referrers),
    ] {
        let request = good(&format!("GET /v2/{path}"));
        assert_eq!(request.endpoint(), endpoint, "{path}");
        assert_eq!(request.repository(), Some(&name(repo)), "{path}");
    }
    let uploads = good("POST /v2/blobs/uploads/blobs/uploads/");
    assert_eq!(uploads, start("blobs/uploads", None, None, None));
}

#[test]
fn g10_paths_that_are_none() {
    for path in [
        "",
        "/",
        "/v1/",
        "/v2x",
        "/v3/",
        "v2/",
        "/V2/",
        "//v2/",
        "/v2//",
        "/v2/a",
        "/v2/a/",
        "/v2/tags/list",
        "/v2/manifests/v1",
        "/v2/a/tags",
        "/v2/a/tags/",
        "/v2/a/tags/list/",
        "/v2/_catalog/",
        "/v2/a/_catalog",
        "/v2/_oci/ext",
        "/v2/_oci/x",
        "/v2/a/manifests/x/y",
        "/v2/blobs/uploads/",
        "/v2/a/blobs/uploads/x/y",
        "/v2/a/manifests/../b",
        "/v2/..",
        "/v2/a%2Ftags%2Flist",
        "/v2%2F",
        "*",
        "/v2/é",
    ] {
        assert_eq!(bad(&format!("GET {path}")), RequestError::NotFound, "{path:?}");
        assert_eq!(classify(path), None, "{path:?}");
    }
    assert_eq!(bad("POST /v2/blobs/uploads"), RequestError::NotFound);
}

#[test]
fn e1_4_and_x2_5_the_last_slash() {
    assert_eq!(good("GET /v2"), Request::Version);
    assert_eq!(good("HEAD /v2"), Request::Version);
    assert_eq!(classify("/v2"), Some(Endpoint::Version));
    assert_eq!(good("POST /v2/a/b/blobs/uploads"), start("a/b", None, None, None));
    assert_eq!(classify("/v2/a/b/blobs/uploads"), Some(Endpoint::Uploads));
    // G-10: otherwise that is where a digest stands.
    assert_eq!(bad("GET /v2/a/blobs/uploads"), RequestError::InvalidDigest("uploads".to_owned()));
    assert_eq!(bad("PUT /v2/a/blobs/uploads"), RequestError::MethodNotAllowed { allow: "GET, HEAD, DELETE" });
}

#[test]
fn g10_wrong_methods() {
    let not_allowed = |allow| RequestError::MethodNotAllowed { allow };
    for (line, allow) in [
        ("POST /v2/", "GET, HEAD"),
        ("OPTIONS /v2/", "GET, HEAD"),
        //
        ("DELETE /v2/_catalog", "GET, HEAD"),
        ("PUT /v2/a/tags/list", "GET, HEAD"),
        ("PATCH /v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        ("POST /v2/a/referrers/x", "GET, HEAD"),
        ("GET /v2/a/blobs/uploads/", "POST"),
        ("POST /v2/a/blobs/uploads/x", "GET, HEAD, PATCH, PUT, DELETE"),
        ("PUT /v2/a/blobs/x", "GET, HEAD, DELETE"),
        ("get /v2/", "GET, HEAD"),
        ("FOO /v2/_oci/ext/discover", "GET, HEAD"),
        // Before the name is looked at.
        ("POST /v2/A/tags/list", "GET, HEAD"),
    ] {
        assert_eq!(bad(line), not_allowed(allow), "{line}");
    }
}

#[test]
fn e14_7_names_are_checked_first() {
    for repo in [
        "", "A", "a//b", "a/../b", ".", "a/", "_x", "a%2Fb", "a%2fb", "a%2F", "%41", "a%zz", "a%", "a%00",
        "é", "%C3%A9",
    ] {
        for (method, rest) in [("GET", "manifests/.bad"), ("PUT", "manifests/x:y"), ("GET", "tags/list?n=x")]
        {
            let line = format!("{method} /v2/{repo}/{rest}");
            assert!(matches!(bad(&line), RequestError::InvalidName(_)), "{line}: {:?}", bad(&line));
        }
    }
    assert_eq!(bad("GET /v2/a/%ff/tags/list"), RequestError::BadEncoding);
    assert_eq!(bad("GET /v2/a/manifests/%ff"), RequestError::BadEncoding);
}

#[test]
fn messages_show_only_the_beginning_and_nothing_that_a_terminal_obeys() {
    let long = "A".repeat(100_000);
    assert_eq!(
        bad(&format!("GET /v2/{long}/tags/list")),
        RequestError::InvalidName(format!("{}...", "A".repeat(128)))
    );
    assert_eq!(bad("GET /v2/a/manifests/%1b%5b2J"), RequestError::InvalidTag("\u{fffd}[2J".to_owned()));
}

#[test]
fn t69_percent_encoding() {
    let (digest, encoded) = (sha256(), sha256().to_string().replace(':', "%3A"));
    assert_eq!(good(&format!("GET /v2/a/blobs/{encoded}")), Request::GetBlob { name: name("a"), digest });
    assert_eq!(good("GET /v2/%61/%74ags/list"), list("a", None, None));
    assert_eq!(good("GET /v2/%5Fcatalog"), good("GET /v2/_catalog"));
    assert_eq!(good("GET /v2/%61%2db/c/manifests/%76%31"), by_tag("a-b/c", "v1"));
    for digest in [digest.to_string(), encoded.clone(), encoded.replace("%3A", "%3a")] {
        let line = format!("PUT /v2/a/blobs/uploads/{ID}?digest={digest}");
        assert_eq!(good(&line), Request::PutUpload { name: name("a"), id: id(), digest: sha256() }, "{line}");
    }
    let mounted = Mount { digest, from: Some(MountSource::Repository(name("b/c"))) };
    for from in ["b/c", "b%2Fc", "%62/c"] {
        let line = format!("POST /v2/a/blobs/uploads/?mount={encoded}&from={from}");
        assert_eq!(good(&line), start("a", None, None, Some(mounted.clone())), "{line}");
    }
    // A key is a word too, however it is written.
    assert_eq!(good("GET /v2/a/tags/list?%6E=5&l%61st=b%2Bc"), list("a", Some(5), Some("b+c")));
    assert_eq!(good("GET /v2/a/tags/list?last=b+c"), list("a", None, Some("b c")));
    assert_eq!(good("GET /v2/a/tags/list?last=%ff%zz%"), list("a", None, Some("\u{fffd}%zz%")));
    // An encoded slash does not divide a reference either.
    assert!(matches!(bad("GET /v2/a/manifests/x%2Fy"), RequestError::InvalidTag(_)));
    assert!(matches!(bad("GET /v2/a/blobs/uploads%2F"), RequestError::InvalidDigest(_)));
}

#[test]
fn t28_references_that_are_none() {
    for method in ["GET", "HEAD", "PUT", "DELETE"] {
        for reference in ["sha256:baddigeststring", "a:b:c", "sha256:", &sha256().to_string().to_uppercase()]
        {
            let error = bad(&format!("{method} /v2/a/manifests/{reference}"));
            assert_eq!(error, RequestError::InvalidDigest(reference.to_owned()), "{method}");
        }
        for reference in [".x", "-x", "", &"t".repeat(129)] {
            let error = bad(&format!("{method} /v2/a/manifests/{reference}"));
            assert!(matches!(error, RequestError::InvalidTag(_)), "{method} {reference}: {error:?}");
        }
    }
    // E-12.3, E-2.10: where only a digest can stand, a tag is not one.
    assert!(matches!(bad("GET /v2/a/referrers/v1"), RequestError::InvalidDigest(_)));
    assert!(matches!(bad("GET /v2/a/blobs/v1"), RequestError::InvalidDigest(_)));
}

#[test]
fn g3_digests_that_are_not_kept_say_where_they_stood() {
    let other = "md5:d41d8cd98f00b204e9800998ecf8427e";
    for (line, endpoint, write) in [
        ("GET /v2/a/manifests/", Endpoint::Manifest, false),
        ("DELETE /v2/a/manifests/", Endpoint::Manifest, false),
        ("PUT /v2/a/manifests/", Endpoint::Manifest, true),
        ("HEAD /v2/a/blobs/", Endpoint::Blob, false),
        ("GET /v2/a/referrers/", Endpoint::Referrers, false),
        ("POST /v2/a/blobs/uploads/?mount=", Endpoint::Uploads, true),
        ("POST /v2/a/blobs/uploads/?digest=", Endpoint::Uploads, true),
        (&format!("PUT /v2/a/blobs/uploads/{ID}?digest="), Endpoint::Upload, true),
    ] {
        let error = RequestError::UnsupportedDigest { digest: other.to_owned(), endpoint, write };
        assert_eq!(bad(&format!("{line}{other}")), error, "{line}");
    }
}

#[test]
fn g5_upload_ids() {
    for other in [
        "",
        "x",
        "..",
        "%2e%2e",
        &ID.to_uppercase(),
        &ID.replace('-', ""),
        &format!("{{{ID}}}"),
        &format!("urn:uuid:{ID}"),
        &ID.replace('3', "g"),
        &format!("{ID}0"),
        "3f2b8a4e5-d0c-4c39-9d1b-0a6f5b1c7e21",
        "------------------------------------",
    ] {
        assert!(other.parse::<UploadId>().is_err(), "{other:?}");
        if !other.is_empty() && other != ".." {
            let error = bad(&format!("GET /v2/a/blobs/uploads/{other}"));
            assert!(matches!(error, RequestError::UnknownUpload(_)), "{other:?}: {error:?}");
        }
    }
    assert_eq!(id().to_string(), ID);
    assert!(matches!(bad("GET /v2/a/blobs/uploads/.."), RequestError::UnknownUpload(_)));
}

#[test]
fn e4_closing_an_upload() {
    let request = Request::PutUpload { name: name("a"), id: id(), digest: sha512() };
    // E-4.3: in any order, with whatever else the Location had.
    for query in [
        format!("digest={}", sha512()),
        format!("_state=abc%3D&digest={}&ns=x", sha512()),
        format!("&&digest=&digest={}", sha512()),
    ] {
        assert_eq!(good(&format!("PUT /v2/a/blobs/uploads/{ID}?{query}")), request, "{query}");
    }
    // E-4.6
    for query in ["", "?", "?digest", "?digest=", "?digests=x"] {
        let error = bad(&format!("PUT /v2/a/blobs/uploads/{ID}{query}"));
        assert_eq!(error, RequestError::MissingDigest, "{query}");
    }
    assert!(matches!(
        bad(&format!("PUT /v2/a/blobs/uploads/{ID}?digest=sha256:x")),
        RequestError::InvalidDigest(_)
    ));
}

#[test]
fn e5_e6_e9_beginning_an_upload() {
    let (short, long) = (sha256(), sha512());
    let mount = |from| Some(Mount { digest: short, from });
    for (query, request) in [
        (String::new(), start("a", None, None, None)),
        (format!("digest={long}"), start("a", Some(long), None, None)),
        ("digest-algorithm=sha512".into(), start("a", None, Some(Algorithm::Sha512), None)),
        (
            format!("digest-algorithm=sha256&digest={long}"),
            start("a", Some(long), Some(Algorithm::Sha256), None),
        ),
        // E-9.3
        (format!("mount={short}"), start("a", None, None, mount(None))),
        (format!("mount={short}&from="), start("a", None, None, mount(None))),
        // E-9.2: a source that cannot be one is no error.
        (format!("mount={short}&from=A"), start("a", None, None, mount(Some(MountSource::Invalid)))),
        (format!("mount={short}&from=%ff"), start("a", None, None, mount(Some(MountSource::Invalid)))),
        // E-9.4, T35: other parameters mean nothing beside a mount.
        (
            format!("mount={short}&from=b&origin=x&digest=bad&digest-algorithm=bad&ns=y"),
            start("a", None, None, mount(Some(MountSource::Repository(name("b"))))),
        ),
        ("mount=&from=b".into(), start("a", None, None, None)),
        ("from=b".into(), start("a", None, None, None)),
    ] {
        assert_eq!(good(&format!("POST /v2/a/blobs/uploads/?{query}")), request, "{query}");
    }
    for (query, error) in [
        ("mount=bad", RequestError::InvalidDigest("bad".to_owned())),
        ("digest=bad", RequestError::InvalidDigest("bad".to_owned())),
        ("digest-algorithm=md5", RequestError::UnsupportedAlgorithm("md5".to_owned())),
        ("digest-algorithm=SHA256", RequestError::UnsupportedAlgorithm("SHA256".to_owned())),
    ] {
        assert_eq!(bad(&format!("POST /v2/a/blobs/uploads/?{query}")), error, "{query}");
    }
}

#[test]
fn e10_11_tags_of_a_push_by_digest() {
    let digest = sha512();
    let push = |tags: &[&str]| Request::PutManifest {
        name: name("a"),
        reference: Reference::Digest(digest),
        tags: tags.iter().copied().map(tag).collect(),
    };
    let put = |query: &str| parse(&format!("PUT /v2/a/manifests/{digest}?{query}"));
    assert_eq!(put(""), Ok(push(&[])));
    assert_eq!(put("tag=b&ns=x&tag=a&tag=b"), Ok(push(&["b", "a"])), "in order, each once (T58)");
    for bad in ["tag=", "tag", "tag=a&tag=.b", "tag=a+b", "tag=a%2Fb", "tag=%ff"] {
        assert!(matches!(put(bad), Err(RequestError::InvalidTag(_))), "{bad}");
    }
    let query = |count: usize| (0..count).map(|n| format!("tag=t{n}")).collect::<Vec<_>>().join("&");
    assert!(put(&query(TAGS_MAX)).is_ok());
    assert_eq!(put(&query(TAGS_MAX + 1)), Err(RequestError::TooManyTags(TAGS_MAX)));
    assert!(put(&format!("{}&tag=t0", query(TAGS_MAX))).is_ok());
    assert_eq!(bad("PUT /v2/a/manifests/v1?tag=v2"), RequestError::TagWithTagParameter);
    // Only a push has tags.
    assert_eq!(good("GET /v2/a/manifests/v1?tag=.x"), by_tag("a", "v1"));
}

#[test]
fn t29_pages() {
    for (query, n, last) in [
        ("", None, None),
        ("?n=0", Some(0), None),
        ("?n=007", Some(7), None),
        ("?n=10000&last=1.0", Some(10_000), Some("1.0")),
        ("?n=99999999999999999999999999", Some(usize::MAX), None),
        ("?n=&last=", None, None),
        // T30: whatever it is.
        ("?last=%2F%00-", None, Some("/\0-")),
        ("?N=1&n=2&n=x", Some(2), None),
    ] {
        assert_eq!(good(&format!("GET /v2/a/tags/list{query}")), list("a", n, last), "{query}");
        let page = Page { n, last: last.map(str::to_owned) };
        assert_eq!(good(&format!("GET /v2/_catalog{query}")), Request::Catalog { page }, "{query}");
    }
    for n in ["-1", "+1", "%2B1", "1.5", "x", "0x10", "1e3", "1%20", "%ff", "\u{0663}"] {
        for path in ["a/tags/list", "_catalog"] {
            let error = bad(&format!("GET /v2/{path}?n={n}"));
            assert!(matches!(error, RequestError::InvalidPage(_)), "{path}?n={n}: {error:?}");
        }
    }
}

#[test]
fn e12_referrers() {
    let referrers = |types: &[&str], after: Option<u64>, n: Option<usize>| Request::Referrers {
        name: name("a"),
        digest: sha256(),
        artifact_types: types.iter().map(|&wanted| wanted.to_owned()).collect(),
        after,
        n,
    };
    for (query, request) in [
        ("", referrers(&[], None, None)),
        // T69
        ("artifactType=application/vnd.x+json", referrers(&["application/vnd.x+json"], None, None)),
        ("artifactType=application%2Fvnd.x%2Bjson", referrers(&["application/vnd.x+json"], None, None)),
        // T3, E-12.5
        ("artifactType=a/b&artifactType=c/d&artifactType=a%2Fb", referrers(&["a/b", "c/d"], None, None)),
        ("artifactType=&artifactType", referrers(&[], None, None)),
        ("after=42&n=10&artifactType=a/b", referrers(&["a/b"], Some(42), Some(10))),
        // E-12.10
        ("n=-1&ns=x&foo=bar", referrers(&[], None, None)),
        ("after=99999999999999999999999999", referrers(&[], Some(u64::MAX), None)),
    ] {
        assert_eq!(good(&format!("GET /v2/a/referrers/{}?{query}", sha256())), request, "{query}");
    }
    let error = bad(&format!("GET /v2/a/referrers/{}?after=x", sha256()));
    assert_eq!(error, RequestError::InvalidPage("x".to_owned()));
}

#[test]
fn t31_t50_what_is_written_is_encoded_and_has_no_ns() {
    let page = good("GET /v2/a/b/tags/list?ns=docker.io&last=a%2Bb&n=10");
    assert_eq!(page.path_and_query(), "/v2/a/b/tags/list?last=a%2Bb&n=10");
    let page = good("GET /v2/_catalog?n=100&last=b/c");
    assert_eq!(page.path_and_query(), "/v2/_catalog?last=b%2Fc&n=100");
    let page = good(&format!("GET /v2/a/referrers/{}?artifactType=a/b+c&artifactType=d/e&after=7", sha256()));
    let target = format!("/v2/a/referrers/{}?artifactType=a%2Fb%2Bc&artifactType=d%2Fe&after=7", sha256());
    assert_eq!(page.path_and_query(), target);
}

/// The other ways to write a path: `Location` and challenges speak of the repository under its plain name.
#[test]
fn paths_with_repositories_in_front_are_the_same_requests() {
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for rest in
        ["manifests/v1", "app/manifests/v1", "app/tags/list", &format!("blobs/{digest}"), "_oci/ext/discover"]
    {
        let plain = Request::parse(&Method::GET, &format!("/v2/store/repo/{rest}"), None).unwrap();
        for path in
            [format!("/v2/repositories/store/repo/{rest}"), format!("/repositories/store/repo/v2/{rest}")]
        {
            assert_eq!(Request::parse(&Method::GET, &path, None).as_ref(), Ok(&plain), "{path}");
            assert!(is_api(&path));
        }
    }
    let mount = format!("mount={digest}&from=repositories/store/other");
    let path = "/repositories/store/repo/v2/app/blobs/uploads/";
    let Request::StartUpload { mount: Some(mount), .. } =
        Request::parse(&Method::POST, path, Some(&mount)).unwrap()
    else {
        panic!("a mount")
    };
    assert_eq!(mount.from, Some(MountSource::Repository("store/other".parse().unwrap())));
    assert_eq!(Request::parse(&Method::GET, "/repositories/store/repo/v2/", None), Ok(Request::Version));
    for (path, name) in [
        ("/v2/repositories/tags/list", "repositories"),
        ("/v2/repositories/a/tags/list", "repositories/a"),
        ("/v2/repositories/repositories/a/b/tags/list", "a/b"),
    ] {
        let request = Request::parse(&Method::GET, path, None).unwrap();
        assert_eq!(request.repository().map(|name| name.as_str()), Some(name), "{path}");
    }
    for path in
        ["/repositories/", "/repositories/a/v2/", "/repositories//b/v2/", "/repositories/a/b/v1/x", "/v3/"]
    {
        assert!(!is_api(path), "{path}");
    }
}
