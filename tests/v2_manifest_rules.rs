//! end-7: what is refused as a manifest, and what only looks as if it should be.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::harness::{Alg, Blob, Gantry, Image, Manifest, Repo, image, index, pieces, repo, types};

/// A PUT of these bytes under this type, which must be refused and leave nothing behind.
async fn refused(repo: &Repo, kind: &str, bytes: impl Into<Bytes>) {
    let manifest = Manifest::of(Alg::Sha256, kind, bytes);
    for reference in ["refused", &manifest.digest] {
        repo.put_manifest(reference, &manifest).await.bad("MANIFEST_INVALID");
    }
    repo.lacks_manifest("refused").await;
    repo.lacks_manifest(&manifest.digest).await;
}

/// An image whose parts are there, and its document.
async fn pushed(repo: &Repo) -> (Image, Value) {
    let image = image().build();
    repo.push_parts(&image).await;
    let document = serde_json::from_slice(&image.manifest.bytes).expect("JSON");
    (image, document)
}

fn changed(document: &Value, key: &str, value: Value) -> String {
    let mut document = document.clone();
    document[key] = value;
    document.to_string()
}

/// E-10.4: the body and the header must agree.
#[tokio::test]
async fn e_10_4_content_type_against_media_type() {
    let repo = repo().await;
    let (image, _) = pushed(&repo).await;
    for other in [types::OCI_INDEX, types::DOCKER_MANIFEST, types::DOCKER_LIST, "application/json"] {
        refused(&repo, other, image.manifest.bytes.clone()).await;
    }
}

/// E-10.4: without a header the body's own type counts, or what can be told from its fields.
#[tokio::test]
async fn e_10_4_a_missing_content_type() {
    let repo = repo().await;
    let (image, mut document) = pushed(&repo).await;
    repo.client.put(&repo.manifest("v1"), image.manifest.bytes.clone()).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    // An OCI image need not name its type.
    document.as_object_mut().expect("an object").remove("mediaType");
    let manifest = Manifest::of(Alg::Sha256, types::OCI_MANIFEST, document.to_string());
    repo.push_manifest("v2", &manifest).await;
    repo.has_manifest("v2", &manifest).await;
    let put = repo.client.put(&repo.manifest("v3"), manifest.bytes.clone()).await;
    if put.status != 400 {
        put.status(201);
        repo.has_manifest("v3", &manifest).await;
    }
}

/// E-10.12, G-9, X-5.4: types that are not accepted, and those that are dead.
#[tokio::test]
async fn e_10_12_unknown_and_dead_types() {
    let repo = repo().await;
    let (_, document) = pushed(&repo).await;
    for kind in [
        "application/vnd.docker.distribution.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        "application/vnd.oci.artifact.manifest.v1+json",
        "application/vnd.example.manifest.v1+json",
        "application/octet-stream",
        "text/plain",
        "nonsense",
        "a/b/c",
    ] {
        let manifest = Manifest::of(Alg::Sha256, kind, changed(&document, "mediaType", kind.into()));
        let code =
            repo.put_manifest("refused", &manifest).await.status(400).json()["errors"][0]["code"].clone();
        assert!(code == "MANIFEST_INVALID" || code == "UNSUPPORTED", "{kind}: {code}");
    }
    let schema1 = json!({ "schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": [], "history": [] });
    for kind in ["application/vnd.docker.distribution.manifest.v1+prettyjws", types::DOCKER_MANIFEST] {
        let manifest = Manifest::of(Alg::Sha256, kind, schema1.to_string());
        repo.put_manifest("refused", &manifest).await.status(400);
    }
    repo.lacks_manifest("refused").await;
}

/// E-10.12: other types can be allowed.
#[tokio::test]
async fn e_10_12_a_type_that_the_operator_allows() {
    let kind = "application/vnd.example.manifest.v1+json";
    let gantry = Gantry::options().set("registry.manifest_types", &format!("[\"{kind}\"]")).start().await;
    let repo = gantry.repo();
    let image = image().field("mediaType", kind.into()).build();
    repo.push("v1", &image).await;
    repo.has_manifest("v1", &image.manifest).await;
}

/// T60: things that are no manifest.
#[tokio::test]
async fn t60_documents_that_are_no_manifest() {
    let repo = repo().await;
    let (_, document) = pushed(&repo).await;
    let without = |key: &str| {
        let mut document = document.clone();
        document.as_object_mut().expect("an object").remove(key);
        document.to_string()
    };
    for body in [
        String::new(),
        "{".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "<html>".to_owned(),
        format!("{document}{document}"),
        format!("{document} trailing"),
        changed(&document, "schemaVersion", json!(1)),
        changed(&document, "schemaVersion", json!(3)),
        changed(&document, "schemaVersion", json!("2")),
        changed(&document, "schemaVersion", json!(null)),
        without("schemaVersion"),
        without("config"),
        changed(&document, "manifests", json!([])),
        changed(&document, "config", json!("text")),
        changed(&document, "layers", json!({})),
        changed(&document, "annotations", json!({ "a": 1 })),
    ] {
        refused(&repo, types::OCI_MANIFEST, body).await;
    }
    let neither = json!({ "schemaVersion": 2, "mediaType": types::OCI_INDEX });
    refused(&repo, types::OCI_INDEX, neither.to_string()).await;
    refused(&repo, types::OCI_INDEX, changed(&document, "mediaType", types::OCI_INDEX.into())).await;
}

/// T24: bytes that are not text.
#[tokio::test]
async fn t24_a_byte_order_mark_and_bad_utf_8_are_400() {
    let repo = repo().await;
    let (image, document) = pushed(&repo).await;
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend_from_slice(&image.manifest.bytes);
    refused(&repo, types::OCI_MANIFEST, marked).await;
    let mut bad = changed(&document, "annotations", json!({ "key": "QQ" })).into_bytes();
    let at = bad.windows(2).position(|window| window == b"QQ").expect("the value");
    bad[at] = 0xff;
    refused(&repo, types::OCI_MANIFEST, bad).await;
}

/// descriptors that are none.
#[tokio::test]
async fn x_5_6_bad_descriptors() {
    let repo = repo().await;
    let (image, document) = pushed(&repo).await;
    let good = image.blobs[1].descriptor(types::OCI_LAYER);
    let bad = |key: &str, value: Value| {
        let mut descriptor = good.clone();
        descriptor[key] = value;
        descriptor
    };
    let upper = format!("sha256:{}", "A".repeat(64));
    for descriptor in [
        bad("digest", json!("sha256:baddigeststring")),
        bad("digest", json!(upper)),
        bad("digest", json!("")),
        bad("digest", json!(null)),
        bad("digest", json!(7)),
        bad("size", json!(-1)),
        bad("size", json!("10")),
        bad("size", json!(1.5)),
        json!({}),
        json!([]),
        json!("sha256"),
    ] {
        refused(&repo, types::OCI_MANIFEST, changed(&document, "layers", json!([descriptor]))).await;
        refused(&repo, types::OCI_MANIFEST, changed(&document, "config", descriptor.clone())).await;
        refused(&repo, types::OCI_MANIFEST, changed(&document, "subject", descriptor.clone())).await;
        let index = json!({ "schemaVersion": 2, "mediaType": types::OCI_INDEX, "manifests": [descriptor] });
        refused(&repo, types::OCI_INDEX, index.to_string()).await;
    }
}

/// Bad input: nesting has a limit, and reaching it costs nothing.
#[tokio::test]
async fn x_5_6_deep_nesting_is_refused() {
    let repo = repo().await;
    let (_, document) = pushed(&repo).await;
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 500_000;
        let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let text = document.to_string();
        let body = format!("{{\"deep\":{nested},{}", text.trim_start_matches('{'));
        refused(&repo, types::OCI_MANIFEST, body).await;
    }
}

/// E-10.5, T26: every missing blob is named, and nothing is stored.
#[tokio::test]
async fn t26_missing_blobs_are_named_one_by_one() {
    let repo = repo().await;
    let blobs = [Blob::new(1), Blob::new(2), Blob::of(Alg::Sha512, "3"), Blob::new(4)];
    let image = image().layers(types::OCI_LAYER, &blobs).build();
    repo.push_blob(&image.blobs[0]).await;
    repo.push_blob(&blobs[1]).await;
    let put = repo.put_manifest("v1", &image.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
    let errors = put.json()["errors"].as_array().cloned().expect("a list");
    assert!(errors.iter().all(|error| error["code"] == "MANIFEST_BLOB_UNKNOWN"));
    let text = errors.iter().map(|error| format!("{} {}\n", error["message"], error["detail"]));
    let text: Vec<_> = text.collect();
    assert_eq!(text.len(), 3, "{text:?}");
    for missing in [&blobs[0], &blobs[2], &blobs[3]] {
        assert!(text.iter().any(|text| text.contains(&missing.digest)), "{text:?}");
    }
    repo.lacks_manifest("v1").await;
    repo.lacks_manifest(image.digest()).await;
    repo.push("v1", &image).await;
}

/// E-10.5, E-10.7: manifests of an index, when they must be there and when they need not.
#[tokio::test]
async fn e_10_7_an_index_of_manifests_that_are_not_there() {
    let children = [image().build(), image().alg(Alg::Sha512).build()];
    let sparse = index(Alg::Sha256, &children, &json!({}));
    let repo = repo().await;
    repo.push_by_digest(&children[0]).await;
    let put = repo.put_manifest("v1", &sparse.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
    assert_eq!(put.json()["errors"].as_array().map(Vec::len), Some(1));
    repo.lacks_manifest("v1").await;

    let gantry = Gantry::options().set("registry.sparse_index", "true").start().await;
    let repo = gantry.repo();
    repo.push_by_digest(&children[0]).await;
    repo.push_manifest("v1", &sparse.manifest).await;
    repo.has_manifest("v1", &sparse.manifest).await;
    repo.lacks_manifest(children[1].digest()).await;
    // Blobs are needed all the same.
    repo.put_manifest("v2", &image().build().manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
}

/// E-10.8, G-12, T25: the limit of manifests, with and without an announced length.
#[tokio::test]
async fn t25_large_manifests_and_413() {
    let repo = repo().await;
    let fits = image().annotation("fill", &"a".repeat(4_190_000)).build();
    assert!((4_190_000..4 << 20).contains(&fits.manifest.bytes.len()));
    repo.push("fits", &fits).await;
    repo.has_manifest("fits", &fits.manifest).await;
    let exact = 4 << 20;
    let mut padded = fits.manifest.bytes.to_vec();
    padded.resize(exact, b' ');
    let padded = Manifest::of(Alg::Sha256, types::OCI_MANIFEST, padded);
    repo.push_manifest("exact", &padded).await;
    let mut over = padded.bytes.to_vec();
    over.push(b' ');
    let put =
        repo.client.put(&repo.manifest("over"), over.clone()).header("content-type", types::OCI_MANIFEST);
    put.await.status(413).error("SIZE_INVALID");
    let put = repo.client.call("PUT", &repo.manifest("over")).chunked(over);
    put.header("content-type", types::OCI_MANIFEST).await.status(413).error("SIZE_INVALID");
    repo.lacks_manifest("over").await;
}

/// T25, T66: the limit holds while the body comes in, and the answer does not wait for its end.
#[tokio::test]
async fn t25_the_limit_is_applied_while_streaming() {
    let gantry = Gantry::options().set("limits.manifest", "\"64KiB\"").start().await;
    let repo = gantry.repo();
    let (sender, body) = pieces();
    let put = repo.client.call("PUT", &repo.manifest("v1")).stream(body);
    let put = tokio::spawn(put.header("content-type", types::OCI_MANIFEST).try_send());
    for _ in 0..3 {
        let _ = sender.send(Ok(vec![b' '; 40_000].into())).await;
    }
    // The body has not ended, but it is clear what becomes of it.
    put.await.expect("the request ends").expect("an answer").status(413).error("SIZE_INVALID");
    drop(sender);
}

/// E-10.6: layers of other types are nobody's business, nor are sizes that are wrong.
#[tokio::test]
async fn x_5_5_config_and_layer_types_are_opaque() {
    let repo = repo().await;
    for kind in [
        "application/vnd.cncf.helm.config.v1+json",
        "application/wasm",
        "text/x-anything",
        "application/vnd.dev.cosign.simplesigning.v1+json",
    ] {
        let image = image().config(kind, &Blob::new(20)).layers(kind, &[Blob::new(30)]).build();
        repo.push("v1", &image).await;
        repo.has_manifest("v1", &image.manifest).await;
    }
}
