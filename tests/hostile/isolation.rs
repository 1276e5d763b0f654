//! One repository seen from another.

use serde_json::json;

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, Manifest, image, types};

/// CVE-2024-39897: neither HEAD nor GET, no mount from the wrong place and no manifest makes another repository's blob one's own.
#[tokio::test]
async fn a_blob_of_another_repository_cannot_be_read() {
    for inline in ["\"16KiB\"", "0"] {
        let gantry = Gantry::options().set("limits.inline_blob", inline).start().await;
        let (victim, thief) = (gantry.repo(), gantry.repo());
        let secret = image().build();
        victim.push("v1", &secret).await;
        thief.push("own", &image().build()).await;
        for blob in &secret.blobs {
            thief.lacks_blob(&blob.digest).await;
            let range = thief.client.get(&thief.blob(&blob.digest)).header("range", "bytes=0-0").await;
            range.missing("BLOB_UNKNOWN");
            let cached = thief.client.get(&thief.blob(&blob.digest));
            cached.header("if-none-match", &format!("\"{}\"", blob.digest)).await.missing("BLOB_UNKNOWN");
            for from in ["nobody/knows", &thief.name, "..%2fvictim", "UPPER"] {
                let mount = thief
                    .client
                    .post(&format!("{}?mount={}&from={from}", thief.uploads(), blob.digest))
                    .await;
                mount.status(202);
                thief.lacks_blob(&blob.digest).await;
            }
            // Closing an upload without the bytes is no way either.
            let location = thief.start_upload().await;
            thief.client.put(&with(&location, "digest", &blob.digest), "").await.bad("DIGEST_INVALID");
            thief.lacks_blob(&blob.digest).await;
        }
        // A manifest that names them, in all the ways that a manifest can name a blob.
        let blob = &secret.blobs[1];
        let put = thief.put_manifest("stolen", &secret.manifest).await;
        put.bad("MANIFEST_BLOB_UNKNOWN");
        let as_child =
            json!({ "schemaVersion": 2, "mediaType": types::OCI_INDEX, "manifests": [secret.descriptor()] });
        let index = Manifest::json(Alg::Sha256, &as_child);
        assert!(thief.put_manifest("stolen", &index).await.status >= 400);
        let as_subject = image().subject(&secret.descriptor()).build();
        thief.push_parts(&as_subject).await;
        thief.put_manifest("attached", &as_subject.manifest).await.status(201);
        thief.client.get(&thief.manifest(secret.digest())).await.missing("MANIFEST_UNKNOWN");
        thief.lacks_blob(&blob.digest).await;
        // What the thief attaches is seen in the thief's repository only.
        assert!(victim.referrers(secret.digest()).await.is_empty());
        // A subject is not a blob of one's own, and neither is a manifest.
        let as_blob = thief.client.get(&thief.blob(secret.digest())).await;
        as_blob.missing("BLOB_UNKNOWN");
    }
}

/// With a setting that takes images before their blobs, naming a blob still does not make it one's own.
#[tokio::test]
async fn a_sparse_image_does_not_open_the_blobs_that_it_names() {
    let gantry = Gantry::options()
        .set("registry.sparse_image", "true")
        .set("registry.sparse_index", "true")
        .start()
        .await;
    let (victim, thief) = (gantry.repo(), gantry.repo());
    let secret = image().build();
    victim.push("v1", &secret).await;
    thief.put_manifest("stolen", &secret.manifest).await.status(201);
    for blob in &secret.blobs {
        thief.lacks_blob(&blob.digest).await;
    }
    gantry
        .client()
        .post(&format!("{}?mount={}&from={}", gantry.repo().uploads(), secret.blobs[0].digest, thief.name))
        .await
        .status(202);
}

/// CVE-2026-35172: a blob deleted here stays deleted here, though another repository asks for its own.
#[tokio::test]
async fn a_deleted_blob_does_not_come_back_through_another_repository() {
    for inline in ["\"16KiB\"", "0"] {
        let gantry = Gantry::options().set("limits.inline_blob", inline).start().await;
        let (here, there) = (gantry.repo(), gantry.repo());
        let blob = Blob::new(5000);
        for repo in [&here, &there] {
            repo.push_blob(&blob).await;
            repo.has_blob(&blob).await;
        }
        here.client.delete(&here.blob(&blob.digest)).await.status(202);
        for _ in 0..3 {
            there.client.head(&there.blob(&blob.digest)).await.status(200);
            there.has_blob(&blob).await;
            here.lacks_blob(&blob.digest).await;
        }
        // Nor through a push of the same bytes there.
        there.push_blob(&blob).await;
        here.lacks_blob(&blob.digest).await;
    }
}

/// CVE-2026-32589: an upload session is one repository's and one account's; others find nothing and do no harm.
#[tokio::test]
async fn an_upload_session_of_another_is_not_there_and_unharmed() {
    let gantry = Gantry::options().account("alice", "a").account("mallory", "m").start().await;
    let alice = gantry.client().basic("alice", "a").at("team/app");
    let blob = Blob::new(50_000);
    let location = alice.start_upload().await;
    alice.client.patch(&location, blob.bytes.slice(..20_000)).await.status(202);
    let elsewhere = location.replace("team/app", "other/app");
    let mallory = gantry.client().basic("mallory", "m");
    mallory.at("other/app").push_blob(&Blob::new(1)).await;
    for (client, path) in [(&mallory, &location), (&mallory, &elsewhere), (&alice.client, &elsewhere)] {
        client.get(path).await.missing("BLOB_UPLOAD_UNKNOWN");
        client.head(path).await.status(404);
        client.patch(path, "evil").await.missing("BLOB_UPLOAD_UNKNOWN");
        client
            .patch(path, "evil")
            .header("content-range", "20000-20003")
            .await
            .missing("BLOB_UPLOAD_UNKNOWN");
        client
            .put(&with(path, "digest", &Alg::Sha256.of(b"evil")), "evil")
            .await
            .missing("BLOB_UPLOAD_UNKNOWN");
        client.put(&with(path, "digest", &blob.digest), "").await.missing("BLOB_UPLOAD_UNKNOWN");
        client.delete(path).await.missing("BLOB_UPLOAD_UNKNOWN");
    }
    let anonymous = gantry.client();
    for call in [anonymous.get(&location), anonymous.patch(&location, "evil"), anonymous.delete(&location)] {
        call.await.status(401);
    }
    assert_eq!(alice.progress(&location).await, "0-19999");
    alice.client.put(&with(&location, "digest", &blob.digest), blob.bytes.slice(20_000..)).await.status(201);
    alice.has_blob(&blob).await;
}

/// XSS, CVE-2025-32019: what a client stores never comes back as a page.
#[tokio::test]
async fn nothing_that_was_stored_comes_back_as_a_page() {
    let gantry = Gantry::shared().await;
    let repo = gantry.repo();
    let page = b"<!doctype html><script>alert(document.domain)</script>";
    let picture = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let harmless = |answer: &crate::harness::Answer| {
        assert_eq!(answer.get("x-content-type-options"), Some("nosniff"));
        let kind = answer.get("content-type").unwrap_or_default().to_ascii_lowercase();
        let page = ["html", "svg", "text/xml", "javascript"].iter().any(|part| kind.contains(part));
        assert!(!page, "{}: {kind}", answer.what);
    };
    for bytes in [&page[..], &picture[..]] {
        let blob = Blob::of(Alg::Sha256, bytes.to_vec());
        repo.push_blob(&blob).await;
        for accept in ["text/html", "image/svg+xml", "*/*"] {
            harmless(&repo.client.get(&repo.blob(&blob.digest)).header("accept", accept).await.status(200));
            let ranges =
                repo.client.get(&repo.blob(&blob.digest)).header("range", "bytes=0-1,4-5").await.status(206);
            harmless(&ranges);
        }
    }
    let evil = "<script>alert(1)</script>";
    let built = image().annotation("org.example.note", evil).artifact("text/html").field("config", json!({
        "mediaType": "text/html", "digest": Blob::empty_json(Alg::Sha256).digest, "size": 2, "annotations": { "a": evil },
    }));
    let built = built.build();
    repo.push("v1", &built).await;
    harmless(&repo.client.get(&repo.manifest("v1")).header("accept", "text/html").await.status(200));
    for target in [
        format!("/v2/{}%3Cscript%3E/tags/list", repo.name),
        repo.manifest("%3Cscript%3Ealert(1)%3C%2Fscript%3E"),
        repo.path("tags/list?n=%3Cscript%3E"),
        "/%3Cscript%3E".to_owned(),
        format!("/v2/_catalog?last={}", "%3Cscript%3E"),
    ] {
        harmless(&repo.client.get(&target).header("accept", "text/html").await);
    }
}
