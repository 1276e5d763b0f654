//! Uploads: end-4 to end-6, end-13. Chunks are in `v2_chunks`, the end of sessions in `v2_sessions`.

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Repo, bytes, repo};

/// Blobs of the sizes that take different ways through a registry, under both algorithms.
fn blobs() -> Vec<Blob> {
    let lengths = [0, 1, 512, 16 << 10, (16 << 10) + 1, 200_000];
    Alg::ALL.into_iter().flat_map(|alg| lengths.map(|length| Blob::of(alg, bytes(length)))).collect()
}

fn is_session(repo: &Repo, location: &str) {
    let id = location.strip_prefix(&repo.uploads()).expect("a session below the repository");
    let uuid = id.len() == 36 && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    assert!(uuid, "G-5: a UUID: {id}");
}

/// E-4.1, E-4.2, X-2.2, X-4.3: what a POST answers.
#[tokio::test]
async fn e_4_1_post_opens_a_session() {
    let repo = repo().await;
    let post = repo.client.post(&repo.uploads()).await.status(202);
    let post = post.header("range", "0-0").header("content-length", "0").no_header("oci-chunk-min-length");
    let location = post.location();
    is_session(&repo, &location);
    let id = post.get("docker-upload-uuid").expect("Docker-Upload-UUID");
    assert!(location.ends_with(id), "{location} {id}");
    assert_ne!(repo.start_upload().await, location, "E-4.1: unique");
}

/// E-4.4, E-4.5, E-4.8: POST, then PUT of everything, into a repository that nobody has made.
#[tokio::test]
async fn e_4_4_post_then_put() {
    let repo = repo().await;
    for blob in blobs() {
        let location = repo.start_upload().await;
        let put = repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await;
        let put = put.status(201).digest(&blob.digest).header("content-length", "0");
        let get = repo.client.get(&put.location()).await.status(200).digest(&blob.digest);
        get.body(&blob.bytes);
        repo.has_blob(&blob).await;
    }
}

/// E-4.3: parameters that the client adds, in any order.
#[tokio::test]
async fn e_4_3_other_parameters_do_no_harm() {
    let repo = repo().await;
    for query in [
        "_state=abc&digest=DIGEST",
        "digest=DIGEST&_state=a%3Db",
        "x&digest=DIGEST&",
        "ns=docker.io&digest=DIGEST",
    ] {
        let blob = Blob::new(100);
        let location = repo.start_upload().await;
        let target = format!("{location}?{}", query.replace("DIGEST", &blob.digest));
        repo.client.put(&target, blob.bytes.clone()).await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-4.6: a digest that is not that of the bytes, that is none, or that is missing.
#[tokio::test]
async fn e_4_6_bad_digests_are_400_and_nothing_is_stored() {
    let repo = repo().await;
    repo.push_blob(&Blob::new(1)).await;
    for length in [100, 100_000] {
        let content = bytes(length);
        let hex = "a".repeat(64);
        for bad in [
            Alg::Sha256.unknown(),
            Alg::Sha512.unknown(),
            "sha256:baddigeststring".to_owned(),
            format!("sha256:{}", "A".repeat(64)),
            format!("blake3:{hex}"),
            format!("md5:{}", "a".repeat(32)),
            hex.clone(),
            String::new(),
        ] {
            let location = repo.start_upload().await;
            repo.client.put(&with(&location, "digest", &bad), content.clone()).await.bad("DIGEST_INVALID");
            if !bad.is_empty() {
                let post = repo.client.post(&with(&repo.uploads(), "digest", &bad)).body(content.clone());
                post.await.bad("DIGEST_INVALID");
            }
        }
        let location = repo.start_upload().await;
        repo.client.put(&location, content.clone()).await.bad("DIGEST_INVALID");
        for alg in Alg::ALL {
            repo.lacks_blob(&alg.of(&content)).await;
        }
    }
}

/// E-4.6: and the session goes on with what it has.
#[tokio::test]
async fn e_4_6_after_a_wrong_digest_the_session_goes_on() {
    let repo = repo().await;
    for length in [100, 100_000] {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.clone()).await.status(202);
        let wrong = with(&location, "digest", &Alg::Sha256.unknown());
        repo.client.put(&wrong, "").await.bad("DIGEST_INVALID");
        assert_eq!(repo.progress(&location).await, format!("0-{}", length - 1));
        repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-4.9, T19: the empty blob by every method.
#[tokio::test]
async fn t19_the_empty_blob_by_every_method() {
    for alg in Alg::ALL {
        let blob = Blob::of(alg, "");
        let client = repo().await.client;
        for method in 0..6 {
            let repo = client.repo();
            let start = repo.start_upload();
            match method {
                0 => {
                    let put = with(&start.await, "digest", &blob.digest);
                    client.put(&put, "").await.status(201).digest(&blob.digest);
                }
                1 => {
                    // One request, or the session that it falls back to (E-5.3).
                    let post = client.post(&with(&repo.uploads(), "digest", &blob.digest)).await;
                    if post.status == 202 {
                        let put = with(&post.location(), "digest", &blob.digest);
                        client.put(&put, "").await.status(201);
                    } else {
                        post.status(201).digest(&blob.digest);
                    }
                }
                2 => {
                    let location = start.await;
                    client.patch(&location, "").await.status(202).header("range", "0-0");
                    client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
                }
                3 => {
                    let location = start.await;
                    client.call("PATCH", &location).chunked("").await.status(202).header("range", "0-0");
                    let put = client.call("PUT", &with(&location, "digest", &blob.digest));
                    put.chunked("").await.status(201);
                }
                4 => {
                    let location = start.await;
                    let put = client.call("PUT", &with(&location, "digest", &blob.digest));
                    put.header("content-type", "application/octet-stream").await.status(201);
                }
                _ => {
                    let source = client.repo();
                    source.push_blob(&blob).await;
                    let mount = format!("{}?mount={}&from={}", repo.uploads(), blob.digest, source.name);
                    client.post(&mount).await.status(201).digest(&blob.digest);
                }
            }
            repo.has_blob(&blob).await;
        }
    }
}

/// E-5.1, T35: the whole blob in one POST.
#[tokio::test]
async fn e_5_1_single_post() {
    let repo = repo().await;
    for blob in blobs().into_iter().filter(|blob| blob.len() > 0) {
        let target = with(&repo.uploads(), "digest", &blob.digest);
        let post = repo.client.post(&target).body(blob.bytes.clone()).await.status(201);
        let post = post.digest(&blob.digest).header("location", &repo.blob(&blob.digest));
        repo.client.get(&post.location()).await.status(200).body(&blob.bytes);
        // The same again, and without a length.
        repo.client.post(&target).chunked(blob.bytes.clone()).await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-5.2, T35: with a digest of something else nothing is stored.
#[tokio::test]
async fn e_5_2_single_post_with_a_bad_digest() {
    let repo = repo().await;
    for length in [100, 100_000] {
        let blob = Blob::new(length);
        let wrong = Alg::Sha256.unknown();
        let post = repo.client.post(&with(&repo.uploads(), "digest", &wrong)).body(blob.bytes.clone()).await;
        post.bad("DIGEST_INVALID");
        repo.lacks_blob(&wrong).await;
        repo.lacks_blob(&blob.digest).await;
    }
}

/// E-5.3: a POST that names a digest but brings nothing opens a session, unless the digest is that of nothing.
#[tokio::test]
async fn e_5_3_post_with_a_digest_and_no_body() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let post = repo.client.post(&with(&repo.uploads(), "digest", &blob.digest)).await.status(202);
    let post = post.header("range", "0-0");
    repo.client.put(&with(&post.location(), "digest", &blob.digest), blob.bytes.clone()).await.status(201);
    repo.has_blob(&blob).await;
    let empty = Blob::new(0);
    repo.client.post(&with(&repo.uploads(), "digest", &empty.digest)).await.status(201);
    repo.has_blob(&empty).await;
}

/// E-6.1: an algorithm that is not kept.
#[tokio::test]
async fn e_6_1_unknown_digest_algorithms_are_400() {
    let repo = repo().await;
    for unknown in ["md5", "blake3", "SHA256", "sha-256", "", "sha256%20"] {
        let post = repo.client.post(&with(&repo.uploads(), "digest-algorithm", unknown)).await;
        if !unknown.is_empty() {
            let code = post.status(400).json()["errors"][0]["code"].clone();
            assert!(code == "DIGEST_INVALID" || code == "UNSUPPORTED", "{code}");
        }
    }
}

/// E-6.2, T17
#[tokio::test]
async fn e_6_2_digest_algorithm_opens_a_session() {
    let repo = repo().await;
    for alg in Alg::ALL {
        for length in [100, 100_000] {
            let blob = Blob::of(alg, bytes(length));
            let post =
                repo.client.post(&with(&repo.uploads(), "digest-algorithm", alg.name())).await.status(202);
            let location = post.location();
            repo.client.patch(&location, blob.bytes.clone()).await.status(202);
            let put = repo.client.put(&with(&location, "digest", &blob.digest), "").await;
            put.status(201).digest(&blob.digest);
            repo.has_blob(&blob).await;
        }
    }
}

/// E-6.3, T16: the algorithm is known only when the blob is complete.
#[tokio::test]
async fn e_6_3_sha512_is_known_only_at_the_end() {
    let repo = repo().await;
    for length in [512, 100_000] {
        let blob = Blob::of(Alg::Sha512, bytes(length));
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.slice(..200)).await.status(202);
        repo.client.patch(&location, blob.bytes.slice(200..)).await.status(202);
        let put = repo.client.put(&with(&location, "digest", &blob.digest), "").await;
        put.status(201).digest(&blob.digest).header("location", &repo.blob(&blob.digest));
        repo.has_blob(&blob).await;
    }
}

/// E-6.4: one algorithm was announced, another one came.
#[tokio::test]
async fn e_6_4_another_algorithm_than_announced_is_accepted() {
    let repo = repo().await;
    for (announced, alg) in [(Alg::Sha256, Alg::Sha512), (Alg::Sha512, Alg::Sha256)] {
        for length in [100, 100_000] {
            let blob = Blob::of(alg, bytes(length));
            let target = with(&repo.uploads(), "digest-algorithm", announced.name());
            let location = repo.client.post(&target).await.status(202).location();
            repo.client.patch(&location, blob.bytes.clone()).await.status(202);
            repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
            repo.has_blob(&blob).await;
        }
    }
}

/// T68, X-2.3: the type of an upload request says nothing.
#[tokio::test]
async fn t68_any_content_type_is_taken() {
    let repo = repo().await;
    for kind in ["application/json", "application/octet-stream", "text/plain; charset=utf-8", "nonsense"] {
        let blob = Blob::new(100);
        let post = repo.client.post(&repo.uploads()).header("content-type", kind).await.status(202);
        let location = post.location();
        let patch = repo.client.patch(&location, blob.bytes.slice(..50)).header("content-type", kind);
        patch.await.status(202);
        let put = repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.slice(50..));
        put.header("content-type", kind).await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// the slash at the end may be missing.
#[tokio::test]
async fn x_2_5_post_without_the_slash() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let location = repo.client.post(&repo.path("blobs/uploads")).await.status(202).location();
    is_session(&repo, &location);
    repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await.status(201);
    let post = repo.client.post(&repo.path(&format!("blobs/uploads?digest={}", blob.digest)));
    post.body(blob.bytes.clone()).await.status(201);
    repo.has_blob(&blob).await;
}

/// T69: digests in the query may be percent-encoded.
#[tokio::test]
async fn t69_percent_encoded_digest_parameter() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let location = repo.start_upload().await;
    let encoded = blob.digest.replace(':', "%3A");
    repo.client.put(&with(&location, "digest", &encoded), blob.bytes.clone()).await.status(201);
    repo.has_blob(&blob).await;
    let post = repo.client.post(&with(&repo.uploads(), "digest", &encoded)).body(blob.bytes.clone()).await;
    post.status(201);
}

/// T50: `ns` on every step, and not in what is answered.
#[tokio::test]
async fn t50_ns_is_ignored_on_uploads() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let location = repo.client.post(&with(&repo.uploads(), "ns", "docker.io")).await.status(202).location();
    assert!(!location.contains("ns="), "{location}");
    let patch = repo.client.patch(&with(&location, "ns", "docker.io"), blob.bytes.clone()).await.status(202);
    assert!(!patch.location().contains("ns="));
    let put = with(&with(&location, "digest", &blob.digest), "ns", "docker.io");
    repo.client.put(&put, "").await.status(201).header("location", &repo.blob(&blob.digest));
    repo.client.get(&with(&repo.blob(&blob.digest), "ns", "docker.io")).await.status(200).body(&blob.bytes);
}

/// E-7.1: what comes with a POST that does not say what it is, is not kept, and harms nobody.
#[tokio::test]
async fn e_7_1_a_body_without_a_digest_is_dropped() {
    let repo = repo().await;
    for length in [10, 100_000] {
        let blob = Blob::new(length);
        let post = repo.client.post(&repo.uploads()).body(bytes(length)).await.status(202);
        let location = post.header("range", "0-0").location();
        repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await.status(201);
        repo.has_blob(&blob).await;
    }
}
