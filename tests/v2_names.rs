//! Grammar (part 6) as it shows over HTTP: names, tags, digests, and how paths are taken apart.

use crate::harness::{Alg, Blob, Gantry, image, raw, repo};

/// G-1, T62: names that are good.
#[tokio::test]
async fn g_1_names_that_are_accepted() {
    let client = Gantry::shared().await.client();
    let blob = Blob::new(10);
    let long = format!("l{}", "/abcdefgh".repeat(28));
    let longest = format!("{long}{}", "x".repeat(255 - long.len()));
    let deep = format!("d{}", "/d".repeat(127));
    assert_eq!((longest.len(), deep.len()), (255, 255));
    for name in [
        "z",
        "0",
        "a0",
        "a.b",
        "a_b",
        "a__b",
        "a-b",
        "a--b",
        "a-----b",
        "a/b",
        "a/b/c/d/e/f",
        "a.b_c__d-e/f",
        "0/0",
        "localhost/a",
        longest.as_str(),
        deep.as_str(),
    ] {
        let repo = client.at(name);
        repo.push_blob(&blob).await;
        repo.has_blob(&blob).await;
        assert_eq!(client.get(&repo.path("tags/list")).await.status(200).json()["name"], name);
    }
}

/// E-14.7, G-1, T62: names that are not.
#[tokio::test]
async fn t62_names_that_are_refused() {
    let client = Gantry::shared().await.client();
    let long = "x".repeat(256);
    let very_long = format!("a{}", "/b".repeat(4_000));
    for name in [
        "A",
        "a/B",
        "aB",
        "a___b",
        "a..b",
        "a-.b",
        "a._b",
        "a_-b",
        "_a",
        "a_",
        "-a",
        "a-",
        ".a",
        "a.",
        "a/.b",
        "a/b-",
        "a//b",
        "/a",
        "a/",
        "a/../b",
        "..",
        ".",
        "a/./b",
        "a:b",
        "a:5000/b",
        "a@b",
        "a+b",
        "a~b",
        "a*b",
        "a%20b",
        "a%2Fb",
        "%2e%2e",
        "a%00b",
        "%C3%A9",
        "a%0Ab",
        "a,b",
        "a;b",
        "a=b",
        long.as_str(),
        very_long.as_str(),
    ] {
        let digest = Alg::Sha256.unknown();
        client.get(&format!("/v2/{name}/tags/list")).await.bad("NAME_INVALID");
        client.get(&format!("/v2/{name}/manifests/v1")).await.bad("NAME_INVALID");
        client.get(&format!("/v2/{name}/blobs/{digest}")).await.bad("NAME_INVALID");
        client.get(&format!("/v2/{name}/referrers/{digest}")).await.bad("NAME_INVALID");
        client.post(&format!("/v2/{name}/blobs/uploads/")).await.bad("NAME_INVALID");
        client.put(&format!("/v2/{name}/manifests/v1"), "{}").await.bad("NAME_INVALID");
        client.delete(&format!("/v2/{name}/manifests/v1")).await.bad("NAME_INVALID");
    }
}

/// G-1: the name is looked at before the reference, and bad percent-encoding is nobody's name.
#[tokio::test]
async fn g_1_broken_percent_encoding() {
    let address = Gantry::shared().await.address();
    for path in [
        "/v2/a%/tags/list",
        "/v2/a%zz/tags/list",
        "/v2/%ff%fe/tags/list",
        "/v2/a/manifests/%ff",
        "/v2/a/blobs/%",
    ] {
        let answer = raw::exchange(address, format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await
            .expect("an answer");
        assert!([400, 404].contains(&answer.status), "{path}: {answer:?}");
    }
}

/// G-10, T61: names may contain the words of the API; paths are read from the right.
#[tokio::test]
async fn t61_names_that_look_like_paths() {
    let client = Gantry::shared().await.client();
    for name in [
        "a/blobs/b",
        "tags/list",
        "x/blobs/uploads",
        "x/manifests/v1",
        "x/referrers/y",
        "blobs",
        "blobs/uploads",
        "manifests",
        "uploads",
        "referrers",
        "list",
        "tags",
        "v2",
        "v2/a/tags/list",
        "blobs/uploads/blobs/uploads",
        "oci/ext/discover",
    ] {
        let repo = client.at(name);
        let image = image().build();
        repo.push("v1", &image).await;
        repo.has_manifest("v1", &image.manifest).await;
        repo.has_manifest(image.digest(), &image.manifest).await;
        for blob in &image.blobs {
            repo.has_blob(blob).await;
        }
        let list = client.get(&repo.path("tags/list")).await.status(200);
        assert_eq!((list.json()["name"].clone(), list.list("tags")), (name.into(), vec!["v1".to_owned()]));
        assert_eq!(repo.referrers(image.digest()).await.len(), 0);
        client.delete(&repo.manifest("v1")).await.status(202);
    }
    // The rest of the words stands where it stands.
    client.get("/v2/a/blobs/b/manifests/v1").await.missing("MANIFEST_UNKNOWN");
    client.get("/v2/tags/list/tags/list").await.status(200);
    client.get("/v2/x/blobs/uploads/manifests/v1").await.missing("MANIFEST_UNKNOWN");
}

/// G-2, T63: tags.
#[tokio::test]
async fn t63_tags_at_the_edge() {
    let repo = repo().await;
    let image = image().build();
    repo.push_parts(&image).await;
    let long = "x".repeat(128);
    let like_a_digest = image.digest().replace(':', "-");
    let good = [
        "x",
        "_x",
        "0",
        "__",
        "A.B-c_d",
        "v1.",
        "v1-",
        "latest",
        "list",
        "uploads",
        "sha256-",
        &long,
        &like_a_digest,
    ];
    for tag in good {
        repo.push_manifest(tag, &image.manifest).await;
        repo.has_manifest(tag, &image.manifest).await;
    }
    let mut sorted: Vec<_> = good.iter().map(|tag| (*tag).to_owned()).collect();
    sorted.sort();
    assert_eq!(repo.tags().await, sorted);
    let longer = "x".repeat(129);
    let very_long = "x".repeat(7_000);
    for bad in [
        ".x", "-x", &longer, &very_long, "a%20b", "a%2Fb", "a+b", "%C3%A9", "a@b", "a%00", "~", "*", "%2e",
        ".", "..", "a,b",
    ] {
        repo.put_manifest(bad, &image.manifest).await.status_in(&[400, 404]);
        repo.client.get(&repo.manifest(bad)).await.status_in(&[400, 404]);
    }
    repo.client.get(&repo.path("manifests/")).await.status_in(&[400, 404]);
    assert_eq!(repo.tags().await, sorted);
}

/// G-8: components that begin with an underscore are the extensions', never names.
#[tokio::test]
async fn g_8_reserved_components_are_no_names() {
    let client = Gantry::shared().await.client();
    for name in ["_catalog", "_oci", "a/_oci", "_docker/x", "_chainguard"] {
        client.get(&format!("/v2/{name}/tags/list")).await.bad("NAME_INVALID");
    }
}

/// 2.3: `//` and `..` are not made into something else.
#[tokio::test]
async fn g_10_paths_are_not_normalised() {
    let gantry = Gantry::shared().await;
    let repo = gantry.repo();
    repo.push("v1", &image().build()).await;
    let name = &repo.name;
    for path in [
        format!("//v2/{name}"),
        format!("/v2//{name}"),
        format!("/v2/{name}/"),
        format!("/v2/./{name}"),
        format!("/v2/x/../{name}"),
        format!("/x/../v2/{name}"),
        format!("/v2/{name}/%2e%2e/{name}"),
        format!("/v2\\{name}"),
    ] {
        for (method, rest) in [
            ("GET", "tags/list"),
            ("GET", "manifests/v1"),
            ("PUT", "manifests/v2"),
            ("DELETE", "manifests/v1"),
            ("POST", "blobs/uploads/"),
        ] {
            let request = format!("{method} {path}/{rest} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
            let answer = raw::exchange(gantry.address(), request).await.expect("an answer");
            assert!([400, 404].contains(&answer.status), "{method} {path}/{rest}: {answer:?}");
        }
    }
    let one = gantry.client().get(&format!("/v2/{name}/tags//list")).await;
    one.status_in(&[400, 404]);
}

/// neither `Host` nor what claims to be a proxy shows in what is answered.
#[tokio::test]
async fn x_6_1_locations_and_links_are_relative() {
    let repo = repo().await;
    let client = repo.client.with("x-forwarded-host", "evil.example").with("x-forwarded-proto", "https");
    let client =
        client.with("forwarded", "host=evil.example;proto=https").with("x-forwarded-prefix", "/evil");
    let post = client.post(&repo.uploads()).header("host", "evil.example").await.status(202);
    assert!(post.location().starts_with("/v2/"), "{}", post.location());
    let image = image().build();
    repo.push("v1", &image).await;
    repo.push_manifest("v2", &image.manifest).await;
    let list = client.get(&repo.path("tags/list?n=1")).header("host", "evil.example").await;
    assert!(list.next().is_some_and(|next| next.starts_with("/v2/")));
    for value in list.headers.values() {
        assert!(!value.to_str().is_ok_and(|value| value.contains("evil")), "{value:?}");
    }
}

/// behind a proxy that serves the registry below a path, that path is in what is answered.
#[tokio::test]
async fn x_6_3_the_prefix_of_the_public_url_is_kept() {
    let gantry =
        Gantry::options().set("server.public_url", "https://example.com/some/registry/").start().await;
    let repo = gantry.repo();
    let blob = Blob::new(100);
    let inner = |location: &str| {
        let path = location.strip_prefix("/some/registry").expect("the prefix");
        assert!(path.starts_with("/v2/"), "{location}");
        path.to_owned()
    };
    let session = inner(&repo.client.post(&repo.uploads()).await.status(202).location());
    let patch = repo.client.patch(&session, blob.bytes.clone()).await.status(202);
    assert_eq!(inner(&patch.location()), session);
    let refused = repo.client.patch(&session, "x").header("content-range", "0-0").await.status(416);
    assert_eq!(inner(&refused.location()), session);
    let put = repo.client.put(&format!("{session}?digest={}", blob.digest), "").await.status(201);
    assert_eq!(inner(&put.location()), repo.blob(&blob.digest));
    let image = image().layers("application/x", &[]).config("application/x", &blob).build();
    for tag in ["a", "b"] {
        let put = repo.put_manifest(tag, &image.manifest).await.status(201);
        assert_eq!(inner(&put.location()), repo.manifest(image.digest()));
    }
    let list = repo.client.get(&repo.path("tags/list?n=1")).await.status(200);
    let link = list.get("link").expect("a Link");
    assert!(link.starts_with(&format!("</some/registry/v2/{}/tags/list?", repo.name)), "{link}");
}
