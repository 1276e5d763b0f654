//! Lists and bodies without end, documents that are meant to be misread.

use serde_json::json;

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, Manifest, image, index, types};
use crate::ops::process_kib;

/// CVE-2023-2253: `n` as large as one likes.
#[tokio::test]
async fn an_absurd_n_is_answered_and_costs_no_memory() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let image = image().build();
    repo.push("v1", &image).await;
    let before = process_kib(gantry.pid(), "VmRSS");
    for list in [
        "/v2/_catalog".to_owned(),
        repo.path("tags/list"),
        repo.path(&format!("referrers/{}", image.digest())),
    ] {
        for n in [
            "1000000000",
            "9223372036854775807",
            "18446744073709551615",
            "100000000000000000000",
            &"9".repeat(5000),
        ] {
            gantry.client().get(&format!("{list}?n={n}")).await.status_in(&[200, 400]);
        }
        for n in ["-1", "0", "0x10", "1e9", "NaN", "1.5", "", "%00", "１"] {
            gantry
                .client()
                .get(&format!("{list}?n={}", n.replace('１', "%ef%bc%91")))
                .await
                .status_in(&[200, 400]);
        }
    }
    let grown = process_kib(gantry.pid(), "VmRSS").saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB");
}

/// CVE-2017-11468, CVE-2023-25153: manifests that are large, wide or deep; the server neither fails nor grows.
#[tokio::test]
async fn manifests_that_are_large_wide_or_deep_are_bounded() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let image = image().build();
    repo.push("v1", &image).await;
    let document = image.manifest.bytes.clone();
    let text = String::from_utf8(document.to_vec()).expect("JSON");
    let put = async |body: String| {
        let manifest = Manifest::of(Alg::Sha256, types::OCI_MANIFEST, body);
        repo.put_manifest("hostile", &manifest).await
    };
    let with_field = |field: &str| format!("{{{field},{}", text.trim_start().trim_start_matches('{'));
    for size in [5 << 20, 20 << 20] {
        for body in [" ".repeat(size), with_field(&format!("\"a\":\"{}\"", "x".repeat(size)))] {
            let call =
                repo.client.put(&repo.manifest("hostile"), body).header("content-type", types::OCI_MANIFEST);
            // Whoever sends on and on after the refusal is cut off.
            match call.try_send().await {
                Ok(answer) => drop(answer.status(413).error("SIZE_INVALID")),
                Err(cut) => assert!(size > 8 << 20, "{cut}"),
            }
        }
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        put(with_field(&format!("\"a\":{}1{}", open.repeat(200_000), close.repeat(200_000))))
            .await
            .status(400);
        // Not even closed.
        put(open.repeat(200_000)).await.status(400);
    }
    let layer = Blob::new(1).descriptor(types::OCI_LAYER).to_string();
    let config = image.blobs[0].descriptor(types::OCI_CONFIG);
    let wide = |layers: &str| {
        format!(
            "{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"config\":{config},\"layers\":[{layers}]}}",
            types::OCI_MANIFEST
        )
    };
    let layers = vec![layer.as_str(); 50_000].join(",");
    put(wide(&layers)).await.status_in(&[400, 404, 413]);
    let layers: Vec<_> = (0..25_000_u32)
        .map(|n| {
            json!({ "mediaType": "a/b", "digest": Alg::Sha256.of(&n.to_le_bytes()), "size": 1 }).to_string()
        })
        .collect();
    put(wide(&layers.join(","))).await.status_in(&[400, 404, 413]);
    let annotations: Vec<_> = (0..10_000).map(|n| format!("\"key{n}\":\"{}\"", "v".repeat(100))).collect();
    put(with_field(&format!("\"annotations\":{{{}}}", annotations.join(",")))).await.status_in(&[201, 400]);
    put(with_field(&format!("\"a\":{}", "9".repeat(100_000)))).await.status_in(&[201, 400]);
    let peak = process_kib(gantry.pid(), "VmHWM");
    println!("resident memory at most: {peak} KiB");
    assert!(peak < 96 << 10, "{peak} KiB");
    super::goes_on(&gantry).await;
}

/// CVE-2021-41190: a document that is an image to one reader and an index to another.
#[tokio::test]
async fn a_document_of_two_kinds_is_refused() {
    let gantry = Gantry::shared().await;
    let repo = gantry.repo();
    let image = image().build();
    repo.push("v1", &image).await;
    let index = index(Alg::Sha256, std::slice::from_ref(&image), &json!({}));
    let mut both = image.manifest.bytes.to_vec();
    both.truncate(both.iter().rposition(|byte| *byte == b'}').expect("an object"));
    let descriptor = image.descriptor();
    both.extend(format!(",\"manifests\":[{descriptor}]}}").bytes());
    let both = String::from_utf8(both).expect("JSON");
    let untyped = both.replace(&format!("\"mediaType\": \"{}\",", types::OCI_MANIFEST), "");
    for (kind, body) in [
        (types::OCI_MANIFEST, both.clone()),
        (types::OCI_INDEX, both.replace(types::OCI_MANIFEST, types::OCI_INDEX)),
        (types::OCI_MANIFEST, untyped.clone()),
        (types::OCI_INDEX, untyped.clone()),
        (types::DOCKER_MANIFEST, untyped.clone()),
        (types::DOCKER_LIST, untyped),
        // The header says one thing, the body another.
        (types::OCI_INDEX, String::from_utf8(image.manifest.bytes.to_vec()).expect("JSON")),
        (types::OCI_MANIFEST, String::from_utf8(index.manifest.bytes.to_vec()).expect("JSON")),
        (types::DOCKER_MANIFEST, String::from_utf8(image.manifest.bytes.to_vec()).expect("JSON")),
        // Readers that fold case see other layers, or an index.
        (types::OCI_MANIFEST, both.replace("\"manifests\"", "\"Manifests\"")),
        (types::OCI_MANIFEST, both.replace("\"manifests\"", "\"LAYERS\"")),
        (types::OCI_MANIFEST, both.replace("\"manifests\"", "\"layer\u{17f}\"")),
        // Two types in one body, of which parsers take either.
        (types::OCI_MANIFEST, both.replacen('{', &format!("{{\"mediaType\":\"{}\",", types::OCI_INDEX), 1)),
        ("text/html", "<script>alert(1)</script>".to_owned()),
    ] {
        let manifest = Manifest::of(Alg::Sha256, kind, body);
        for reference in ["confused", &manifest.digest] {
            let answer = repo.put_manifest(reference, &manifest).await;
            answer.status_in(&[400, 415]);
        }
        if ![image.digest(), index.digest()].contains(&manifest.digest.as_str()) {
            repo.client.get(&repo.manifest(&manifest.digest)).await.missing("MANIFEST_UNKNOWN");
        }
    }
    repo.client.get(&repo.manifest("confused")).await.missing("MANIFEST_UNKNOWN");
}

/// Decompression bombs: nothing is unpacked, neither a layer nor a request.
#[tokio::test]
async fn a_layer_that_unpacks_to_gigabytes_is_just_bytes() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    // A gzip member whose deflate stream is stored blocks of one repeated length; what matters is that nobody looks.
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    bomb.resize(1 << 20, 0x55);
    let bomb = Blob::of(Alg::Sha256, bomb);
    repo.push_blob(&bomb).await;
    repo.has_blob(&bomb).await;
    for coding in ["gzip", "zstd", "deflate", "br", "identity, gzip", "GZIP", "x"] {
        let post = repo.client.post(&repo.uploads()).header("content-encoding", coding);
        post.body(bomb.bytes.clone()).await.status(415).error("UNSUPPORTED");
        let put =
            repo.client.put(&repo.manifest("v1"), bomb.bytes.clone()).header("content-encoding", coding);
        put.header("content-type", types::OCI_MANIFEST).await.status(415).error("UNSUPPORTED");
    }
    let peak = process_kib(gantry.pid(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// What is under a digest has that digest: other algorithms, other spellings and other bytes are refused.
#[tokio::test]
async fn digests_of_other_algorithms_and_spellings_are_refused() {
    let gantry = Gantry::shared().await;
    let repo = gantry.repo();
    let blob = Blob::new(64);
    let hex = blob.digest.trim_start_matches("sha256:").to_owned();
    for digest in [
        "md5:d41d8cd98f00b204e9800998ecf8427e".to_owned(),
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709".to_owned(),
        format!("sha384:{}", "a".repeat(96)),
        format!("SHA256:{hex}"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}", &hex[..63]),
        format!("sha256:{hex}0"),
        format!("sha256:{hex}{hex}"),
        format!("sha512:{hex}"),
        format!("sha256:{hex}%20"),
        format!("%20sha256:{hex}"),
        format!("sha256%3A{hex}%00"),
        format!("sha256-{hex}"),
        hex.clone(),
        format!("sha256:{}", "g".repeat(64)),
        format!("sha256+b64:{hex}"),
    ] {
        let post = repo.client.post(&format!("{}?digest={digest}", repo.uploads())).body(blob.bytes.clone());
        post.await.bad("DIGEST_INVALID");
        let answer = repo.client.get(&repo.blob(&digest)).await;
        answer.status_in(&[400, 404]);
    }
    repo.lacks_blob(&blob.digest).await;
    // The same bytes under two algorithms are two things.
    repo.push_blob(&blob).await;
    let other = blob.by(Alg::Sha512);
    repo.lacks_blob(&other.digest).await;
    repo.push_blob(&other).await;
    repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
    repo.lacks_blob(&blob.digest).await;
    repo.has_blob(&other).await;
    // A digest of one thing for another.
    let wrong =
        repo.client.post(&format!("{}?digest={}", repo.uploads(), Alg::Sha256.of(b"x"))).body(&b"y"[..]);
    wrong.await.bad("DIGEST_INVALID");
}

/// A piece in chunks that is longer or shorter than its `Content-Range` says is refused, and nothing of it stays: in memory, on
/// disk, and where it moves from one to the other.
#[tokio::test]
async fn a_piece_that_is_not_as_long_as_its_range_leaves_nothing() {
    let mut gantry = Gantry::start().await;
    for (before, claimed, sent) in [
        (0, 10, 11),
        (0, 10, 9),
        (100, 10, 50_000),
        (0, 10, 400_000),
        (50_000, 10, 11),
        (300_000, 400_000, 500_000),
        (300_000, 400_000, 10),
    ] {
        let repo = gantry.repo();
        let blob = Blob::new(before + claimed);
        let location = repo.start_upload().await;
        if before > 0 {
            repo.client.patch(&location, blob.bytes.slice(..before)).await.status(202);
        }
        let stands = if before > 0 { format!("0-{}", before - 1) } else { "0-0".to_owned() };
        let range = format!("{before}-{}", before + claimed - 1);
        for _ in 0..2 {
            let patch = repo.client.call("PATCH", &location).header("content-range", &range);
            patch.chunked(crate::harness::bytes(sent)).await.status(400).error("SIZE_INVALID");
            assert_eq!(repo.progress(&location).await, stands, "{before} {claimed} {sent}");
        }
        if before != 300_000 {
            gantry.restart().await;
        }
        let repo = gantry.client().at(&repo.name);
        assert_eq!(repo.progress(&location).await, stands, "{before} {claimed} {sent}");
        let put =
            repo.client.call("PUT", &with(&location, "digest", &blob.digest)).header("content-range", &range);
        put.chunked(blob.bytes.slice(before..)).await.status(201);
        repo.has_blob(&blob).await;
    }
}
