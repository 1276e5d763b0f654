//! What errors look like, wherever they come from (E-14.1, X-8), and the extensions (E-14.6).
//!
//! That an answer with a 4xx status is a document with codes of the specification is checked on every answer by the
//! harness; here are the codes.

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, bytes, image, repo, types};

/// E-14.1, G-11, X-8: each code with its status.
#[tokio::test]
async fn x_8_codes_and_their_status() {
    let repo = repo().await;
    let client = &repo.client;
    let unknown = Alg::Sha256.unknown();
    client.get(&repo.blob(&unknown)).await.missing("NAME_UNKNOWN");
    let image = image().build();
    repo.push("v1", &image).await;
    client.get(&repo.blob(&unknown)).await.missing("BLOB_UNKNOWN");
    client.get(&repo.manifest("v2")).await.missing("MANIFEST_UNKNOWN");
    client.get(&repo.path("blobs/uploads/x")).await.missing("BLOB_UPLOAD_UNKNOWN");
    client.get("/v2/UPPER/tags/list").await.bad("NAME_INVALID");
    client.get(&repo.blob("sha256:bad")).await.bad("DIGEST_INVALID");
    client.get(&repo.manifest("-bad")).await.bad("MANIFEST_INVALID");
    client
        .put(&repo.manifest("v2"), "{}")
        .header("content-type", types::OCI_MANIFEST)
        .await
        .bad("MANIFEST_INVALID");
    client.get(&repo.path("tags/list?n=x")).await.bad("UNSUPPORTED");
    client.post("/v2/").await.status(405).error("UNSUPPORTED");
    let location = repo.start_upload().await;
    let patch = client.patch(&location, bytes(5)).header("content-range", "5-9").await;
    patch.status(416).error("BLOB_UPLOAD_INVALID");
    let patch = client.patch(&location, bytes(5)).header("content-range", "0-9").await;
    patch.bad("SIZE_INVALID");
    let missing = crate::harness::image().build();
    repo.put_manifest("v3", &missing.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
}

/// E-14.1: errors to HEAD have the status and no body, and the connection goes on.
#[tokio::test]
async fn e_14_1_errors_to_head() {
    let repo = repo().await;
    let unknown = Alg::Sha256.unknown();
    for (target, status) in [
        (repo.blob(&unknown), 404),
        (repo.blob("sha256:bad"), 400),
        (repo.manifest("v1"), 404),
        (repo.path("tags/list"), 404),
        ("/v2/nothing".to_owned(), 404),
        ("/v2/UPPER/tags/list".to_owned(), 400),
    ] {
        repo.client.head(&target).await.status(status).header("content-type", "application/json");
        repo.client.get("/v2/").await.status(200);
    }
}

/// E-14.1, G-10: 404 and 405 are in the protocol's form, too.
#[tokio::test]
async fn g_10_unknown_paths_are_404_in_json() {
    let client = Gantry::shared().await.client();
    for path in [
        "/v2/nothing",
        "/v2/a/nothing",
        "/v2/a/tags",
        "/v2/a/tags/",
        "/v2/a/tags/list/",
        "/v2/a/blobs",
        "/v2/a/manifests",
        "/v2/a/manifests/v1/",
        "/v2/tags/list",
        "/v2/manifests/v1",
        "/v2/_catalog/",
        "/v2/_nothing",
        "/v2/a/_oci",
        "/v2/a/_oci/ext/nothing",
        "/v2/a/b/",
    ] {
        for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
            client.call(method, path).await.status_in(&[400, 404]);
        }
        client.head(path).await.status_in(&[400, 404]);
    }
    for path in ["/", "/v1x", "/v3/", "/v2x", "/v2x/", "/index.html", "/v2%2F", "/V2/"] {
        client.get(path).await.status(404);
    }
}

/// G-10: a method that a known path does not have.
#[tokio::test]
async fn g_10_wrong_methods_are_405_with_allow() {
    let repo = repo().await;
    let digest = Alg::Sha256.unknown();
    let session = repo.start_upload().await;
    for (path, allow) in [
        ("/v2/".to_owned(), "GET, HEAD"),
        ("/v2/_catalog".to_owned(), "GET, HEAD"),
        ("/v2/_oci/ext/discover".to_owned(), "GET, HEAD"),
        (repo.path("_oci/ext/discover"), "GET, HEAD"),
        (repo.path("tags/list"), "GET, HEAD"),
        (repo.path(&format!("referrers/{digest}")), "GET, HEAD"),
        (repo.uploads(), "POST"),
        (session.clone(), "GET, HEAD, PATCH, PUT, DELETE"),
        (repo.blob(&digest), "GET, HEAD, DELETE"),
        (repo.manifest("v1"), "GET, HEAD, PUT, DELETE"),
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let answer = repo.client.call(method, &path).await.status(405).header("allow", allow);
            if method != "HEAD" {
                answer.error("UNSUPPORTED");
            }
        }
    }
    repo.client.get(&session).await.status(204);
    repo.client.get(&repo.path("blobs/uploads")).await.status_in(&[400, 404]);
}

/// E-14.6
#[tokio::test]
async fn e_14_6_the_list_of_extensions() {
    let repo = repo().await;
    repo.push_blob(&Blob::new(1)).await;
    for path in ["/v2/_oci/ext/discover".to_owned(), repo.path("_oci/ext/discover")] {
        let answer = repo.client.get(&path).await.status(200).header("content-type", "application/json");
        let document = answer.json();
        for extension in document["extensions"].as_array().expect("a list") {
            for key in ["name", "url", "description"] {
                assert!(extension[key].is_string(), "{extension}");
            }
            assert!(extension["name"].as_str().is_some_and(|name| name.starts_with('_')));
            assert!(extension["endpoints"].is_array(), "{extension}");
        }
        repo.client.head(&path).await.status(200);
    }
}

/// E-14.5, T50: `ns` on all methods does nothing and comes back nowhere.
#[tokio::test]
async fn t50_ns_on_all_methods() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    let digest = image.digest();
    let ns = |path: String| with(&path, "ns", "registry-1.docker.io");
    for path in [
        repo.manifest("v1"),
        repo.blob(&image.blobs[0].digest),
        repo.path("tags/list"),
        repo.path(&format!("referrers/{digest}")),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = repo.client.call(method, &ns(path.clone())).await.status(200);
            answer.no_header("oci-namespace");
        }
    }
    let put = repo.client.put(&ns(repo.manifest("v2")), image.manifest.bytes.clone());
    let put = put.header("content-type", types::OCI_MANIFEST).await.status(201);
    assert!(!put.location().contains("ns="));
    repo.client.delete(&ns(repo.manifest("v2"))).await.status(202);
    repo.client.delete(&ns(repo.blob(&image.blobs[0].digest))).await.status(202);
    let location = repo.client.post(&ns(repo.uploads())).await.status(202).location();
    repo.client.delete(&ns(location)).await.status(204);
}

/// E-14.1: text of the client's in a message is bounded and harmless.
#[tokio::test]
async fn e_14_1_messages_do_not_echo_at_length() {
    let repo = repo().await;
    let long = "x".repeat(8_000);
    for path in [
        repo.manifest(&long),
        repo.blob(&long),
        format!("/v2/A{long}/tags/list"),
        repo.path(&format!("tags/list?n={long}")),
    ] {
        let answer = repo.client.get(&path).await.status(400);
        assert!(answer.body.len() < 1_000, "{} bytes", answer.body.len());
    }
}

/// E-14.1: each answer has an id that leads to the log.
#[tokio::test]
async fn e_14_1_answers_carry_a_request_id() {
    let gantry = Gantry::start().await;
    let answer = gantry.client().get("/v2/").await.status(200);
    let id = answer.get("x-request-id").expect("a request id").to_owned();
    let mut found = false;
    for _ in 0..100 {
        found = gantry.log().contains(&id);
        if found {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(found, "{id} is not in\n{}", gantry.log());
}
