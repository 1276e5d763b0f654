//! end-2: blobs as they are read. Pushing is in `v2_uploads`, ranges are in `v2_ranges`.

use crate::harness::{Alg, Blob, Gantry, bytes, repo};

/// E-2.1, E-2.2, E-2.3, E-2.7
#[tokio::test]
async fn e_2_1_get_and_head_of_a_blob() {
    let repo = repo().await;
    for alg in Alg::ALL {
        // One that lives in a row, one that is a file.
        for length in [512, 40_000] {
            let blob = Blob::of(alg, bytes(length));
            repo.push_blob(&blob).await;
            repo.has_blob(&blob).await;
            let get = repo.client.get(&repo.blob(&blob.digest)).await.status(200).body(&blob.bytes);
            get.header("content-type", "application/octet-stream").digest(&blob.digest);
        }
    }
}

/// E-2.3, E-4.9: the empty blob has a length, too.
#[tokio::test]
async fn e_2_3_the_empty_blob_has_content_length_0() {
    let repo = repo().await;
    for alg in Alg::ALL {
        let blob = Blob::of(alg, "");
        repo.push_blob(&blob).await;
        repo.client.head(&repo.blob(&blob.digest)).await.status(200).header("content-length", "0");
        let get = repo.client.get(&repo.blob(&blob.digest)).await;
        get.status(200).header("content-length", "0").digest(&blob.digest).body(b"");
    }
}

/// E-2.2, T16: the digest of the answer is the one that was asked for.
#[tokio::test]
async fn e_2_2_sha512_is_answered_as_sha512() {
    let repo = repo().await;
    let content = bytes(30_000);
    for alg in Alg::ALL {
        let blob = Blob::of(alg, content.clone());
        repo.push_blob(&blob).await;
        repo.has_blob(&blob).await;
    }
}

/// E-2.4: what is not there.
#[tokio::test]
async fn e_2_4_unknown_blob_and_unknown_repository() {
    let repo = repo().await;
    let unknown = Alg::Sha256.unknown();
    repo.client.get(&repo.blob(&unknown)).await.missing("NAME_UNKNOWN");
    repo.client.head(&repo.blob(&unknown)).await.status(404);
    repo.push_blob(&Blob::new(10)).await;
    for alg in Alg::ALL {
        let unknown = alg.unknown();
        repo.client.get(&repo.blob(&unknown)).await.missing("BLOB_UNKNOWN");
        repo.client.head(&repo.blob(&unknown)).await.status(404);
    }
}

/// E-2.4, T37: what another repository holds is not here, and its bytes must come again before it is.
#[tokio::test]
async fn t37_a_blob_is_seen_in_its_own_repository_only() {
    let repo = repo().await;
    let other = repo.other();
    for blob in [Blob::new(100), Blob::new(50_000)] {
        repo.push_blob(&blob).await;
        other.lacks_blob(&blob.digest).await;
        other.push_blob(&Blob::new(10)).await;
        other.client.get(&other.blob(&blob.digest)).await.missing("BLOB_UNKNOWN");
        // Nor does a digest alone prove that one has the bytes.
        let location = other.start_upload().await;
        let put = format!("{location}?digest={}", blob.digest);
        other.client.put(&put, "").await.bad("DIGEST_INVALID");
        other.client.put(&put, bytes(blob.len())).await.bad("DIGEST_INVALID");
        other.lacks_blob(&blob.digest).await;
        other.push_blob(&blob).await;
        other.has_blob(&blob).await;
    }
}

/// E-2.6: clients seek only where this is said.
#[tokio::test]
async fn e_2_6_accept_ranges_on_get_and_head() {
    let repo = repo().await;
    for blob in [Blob::new(100), Blob::new(50_000)] {
        repo.push_blob(&blob).await;
        repo.client.get(&repo.blob(&blob.digest)).await.status(200).header("accept-ranges", "bytes");
        repo.client.head(&repo.blob(&blob.digest)).await.status(200).header("accept-ranges", "bytes");
    }
}

/// E-2.8, T49
#[tokio::test]
async fn e_2_8_an_entity_tag_and_304() {
    let repo = repo().await;
    let blob = Blob::new(50_000);
    repo.push_blob(&blob).await;
    let path = repo.blob(&blob.digest);
    let tag = format!("\"{}\"", blob.digest);
    for answer in [repo.client.get(&path).await, repo.client.head(&path).await] {
        let answer = answer.status(200).header("etag", &tag);
        let caching = answer.get("cache-control").expect("Cache-Control");
        assert!(caching.contains("max-age=31536000"), "{caching}");
    }
    for condition in
        [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), blob.digest.clone(), "*".to_owned()]
    {
        for method in ["GET", "HEAD"] {
            let answer = repo.client.call(method, &path).header("if-none-match", &condition).await;
            answer.status(304).header("etag", &tag).digest(&blob.digest);
        }
    }
    repo.client.get(&path).header("if-none-match", "\"other\"").await.status(200).body(&blob.bytes);
}

/// E-2.9, T20: HEAD carries what GET carries, and is not redirected.
#[tokio::test]
async fn t20_head_of_a_blob_is_get_without_the_body() {
    let repo = repo().await;
    for blob in [Blob::new(0), Blob::new(100), Blob::new(50_000)] {
        repo.push_blob(&blob).await;
        let get = repo.client.get(&repo.blob(&blob.digest)).await.status(200);
        let head = repo.client.head(&repo.blob(&blob.digest)).await.status(200);
        for name in get.headers.keys().filter(|name| !matches!(name.as_str(), "date" | "x-request-id")) {
            assert_eq!(get.headers.get(name), head.headers.get(name), "{name}");
        }
        assert_eq!(get.headers.len(), head.headers.len());
    }
}

/// E-2.10, G-3
#[tokio::test]
async fn e_2_10_malformed_and_unsupported_digests() {
    let repo = repo().await;
    repo.push_blob(&Blob::new(10)).await;
    let hex = "a".repeat(64);
    for malformed in [
        "sha256:".to_owned(),
        "sha256:abc".to_owned(),
        "sha256:baddigeststring".to_owned(),
        format!("sha256:{}", "A".repeat(64)),
        format!("sha256:{}g", "a".repeat(63)),
        format!("sha256:{hex}a"),
        format!("sha512:{hex}"),
        format!("SHA256:{hex}"),
        format!(":{hex}"),
        hex.clone(),
        "not-a-digest".to_owned(),
        format!("sha256:{}", "a".repeat(5000)),
        format!("sha256:{hex}:{hex}"),
    ] {
        repo.client.get(&repo.blob(&malformed)).await.bad("DIGEST_INVALID");
        repo.client.head(&repo.blob(&malformed)).await.status(400);
        repo.client.delete(&repo.blob(&malformed)).await.bad("DIGEST_INVALID");
    }
    for unsupported in
        [format!("blake3:{hex}"), "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(), "x+y.z:Ab_=".to_owned()]
    {
        repo.client.get(&repo.blob(&unsupported)).await.missing("BLOB_UNKNOWN");
        repo.client.head(&repo.blob(&unsupported)).await.status(404);
    }
}

/// E-2.11: manifests and blobs are two things.
#[tokio::test]
async fn e_2_11_a_manifest_is_no_blob_and_a_blob_no_manifest() {
    let repo = repo().await;
    let image = crate::harness::image().build();
    repo.push("v1", &image).await;
    repo.client.get(&repo.blob(image.digest())).await.missing("BLOB_UNKNOWN");
    repo.client.get(&repo.manifest(&image.blobs[0].digest)).await.missing("MANIFEST_UNKNOWN");
    repo.client.head(&repo.manifest(&image.blobs[0].digest)).await.status(404);
}

/// E-2.7, X-3.6, T45: the bytes go out as they are, whatever the client could decode.
#[tokio::test]
async fn t45_nothing_is_compressed() {
    let repo = repo().await;
    let blob = Blob::of(Alg::Sha256, vec![b'a'; 100_000]);
    repo.push_blob(&blob).await;
    let image = crate::harness::image().annotation("long", &"a".repeat(50_000)).build();
    repo.push("v1", &image).await;
    for coding in ["zstd;q=1.0, gzip;q=0.8, deflate;q=0.5", "gzip", "br", "*", "identity"] {
        let get = repo.client.get(&repo.blob(&blob.digest)).header("accept-encoding", coding).await;
        get.status(200).no_header("content-encoding").header("content-length", "100000").body(&blob.bytes);
        let get = repo.client.get(&repo.manifest("v1")).header("accept-encoding", coding).await;
        get.status(200).no_header("content-encoding").body(&image.manifest.bytes);
    }
}

/// T69: a digest in the path may be percent-encoded.
#[tokio::test]
async fn t69_percent_encoded_paths() {
    let repo = repo().await;
    let image = crate::harness::image().build();
    repo.push("v1", &image).await;
    let encoded = |digest: &str| digest.replace(':', "%3A");
    let blob = &image.blobs[0];
    repo.client.get(&repo.blob(&encoded(&blob.digest))).await.status(200).body(&blob.bytes);
    repo.client.get(&repo.manifest(&encoded(image.digest()))).await.status(200).body(&image.manifest.bytes);
    repo.client.get(&repo.manifest("%76%31")).await.status(200).body(&image.manifest.bytes);
    let lower = encoded(&blob.digest).replace("%3A", "%3a");
    repo.client.get(&repo.blob(&lower)).await.status(200).body(&blob.bytes);
}

/// E-2.1: a blob of many pieces comes back as it went up, and 16 clients at once get the same.
#[tokio::test]
async fn e_2_1_a_large_blob_comes_back_whole() {
    let repo = repo().await;
    let blob = Blob::new(9 << 20);
    repo.push_blob(&blob).await;
    let gets = (0..16).map(|_| {
        let (repo, blob) = (repo.clone(), blob.clone());
        tokio::spawn(async move { repo.has_blob(&blob).await })
    });
    for get in gets {
        get.await.expect("a whole blob");
    }
}

/// E-2.1: what was pushed is there after a restart.
#[tokio::test]
async fn e_2_1_blobs_and_tags_survive_a_restart() {
    let mut gantry = Gantry::start().await;
    let (name, image) = ("survivors", crate::harness::image().layers("a/b", &[Blob::new(90_000)]).build());
    gantry.client().at(name).push("v1", &image).await;
    gantry.restart().await;
    let repo = gantry.client().at(name);
    repo.has_manifest("v1", &image.manifest).await;
    for blob in &image.blobs {
        repo.has_blob(blob).await;
    }
}
