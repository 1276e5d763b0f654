//! Uploads in chunks: PATCH, strict `Content-Range`, and how a client finds its way back (end-5, end-6, end-13).

use std::io;

use bytes::Bytes;

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Call, Repo, bytes, pieces, raw, repo};

fn chunk(repo: &Repo, location: &str, blob: &Blob, first: usize, last: usize) -> Call {
    let patch = repo.client.patch(location, blob.bytes.slice(first..=last));
    patch.header("content-range", &format!("{first}-{last}"))
}

fn close(repo: &Repo, location: &str, blob: &Blob, first: usize) -> Call {
    let put = repo.client.put(&with(location, "digest", &blob.digest), blob.bytes.slice(first..));
    put.header("content-range", &format!("{first}-{}", blob.len() - 1))
}

/// Sizes of blobs and of their chunks, below and above what is kept in a row.
const SHAPES: [(usize, usize); 3] = [(3 * 1024 - 5, 1024), (60_000, 20_000), (2_000_000, 700_000)];

/// E-7.1, E-7.3, T9: `Range` counts the whole blob.
#[tokio::test]
async fn e_7_3_chunks_in_order() {
    let repo = repo().await;
    for (alg, (length, size)) in Alg::ALL.into_iter().flat_map(|alg| SHAPES.map(|shape| (alg, shape))) {
        let blob = Blob::of(alg, bytes(length));
        let mut location = repo.start_upload().await;
        for first in (0..length).step_by(size) {
            let last = (first + size).min(length) - 1;
            let patch = chunk(&repo, &location, &blob, first, last).await.status(202);
            let patch = patch.header("range", &format!("0-{last}")).header("content-length", "0");
            assert!(patch.get("docker-upload-uuid").is_some_and(|id| location.ends_with(id)));
            location = patch.location();
        }
        let put = repo.client.put(&with(&location, "digest", &blob.digest), "").await;
        put.status(201).digest(&blob.digest).header("location", &repo.blob(&blob.digest));
        repo.has_blob(&blob).await;
    }
}

/// E-7.9: the last chunk comes with the closing PUT.
#[tokio::test]
async fn e_7_9_the_last_chunk_in_the_put() {
    let repo = repo().await;
    for (length, size) in SHAPES {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        chunk(&repo, &location, &blob, 0, size - 1).await.status(202);
        close(&repo, &location, &blob, size).await.status(201).digest(&blob.digest);
        repo.has_blob(&blob).await;
    }
}

/// E-7.4, T13: PATCH without `Content-Range` appends, with and without a length.
#[tokio::test]
async fn e_7_4_patch_without_content_range_appends() {
    let repo = repo().await;
    for (length, size) in SHAPES {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        let patch = repo.client.call("PATCH", &location).chunked(blob.bytes.slice(..size)).await;
        patch.status(202).header("range", &format!("0-{}", size - 1));
        let patch = repo.client.patch(&location, blob.bytes.slice(size..2 * size)).await;
        patch.status(202).header("range", &format!("0-{}", 2 * size - 1));
        let put = repo.client.call("PUT", &with(&location, "digest", &blob.digest));
        put.chunked(blob.bytes.slice(2 * size..)).await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-7.5, E-7.8, T11: before each good chunk comes a bad one, and each time the session tells where it stands.
#[tokio::test]
async fn e_7_5_patch_out_of_order_is_416_and_the_session_goes_on() {
    let repo = repo().await;
    for (length, size) in SHAPES {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        for first in (0..length).step_by(size) {
            let last = (first + size).min(length) - 1;
            let so_far = format!("0-{}", first.saturating_sub(1));
            for wrong in [first + 1, first + size, first.saturating_sub(1), 0] {
                if wrong == first {
                    continue;
                }
                let body = blob.bytes.slice(..size.min(100));
                let range = format!("{wrong}-{}", wrong + body.len() - 1);
                let patch = repo.client.patch(&location, body).header("content-range", &range).await;
                let patch = patch.status(416).header("range", &so_far);
                assert!(patch.get("docker-upload-uuid").is_some_and(|id| location.ends_with(id)));
                assert_eq!(patch.location(), location);
                let status = repo.client.get(&location).await.status(204).header("range", &so_far);
                assert_eq!(status.location(), location);
            }
            let patch = chunk(&repo, &location, &blob, first, last).await;
            patch.status(202).header("range", &format!("0-{last}"));
        }
        repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-7.6, T10: the same on the closing PUT.
#[tokio::test]
async fn t10_a_closing_put_out_of_order_is_416_and_the_session_goes_on() {
    let repo = repo().await;
    for (length, size) in SHAPES {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        chunk(&repo, &location, &blob, 0, size - 1).await.status(202);
        for wrong in [0, size - 1, size + 1] {
            let put = close(&repo, &location, &blob, wrong).await.status(416);
            let put = put.header("range", &format!("0-{}", size - 1));
            assert_eq!(put.location(), location);
            assert_eq!(repo.progress(&location).await, format!("0-{}", size - 1));
        }
        repo.lacks_blob(&blob.digest).await;
        close(&repo, &location, &blob, size).await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-7.7, G-6: a `Content-Range` that is none.
#[tokio::test]
async fn e_7_7_malformed_content_ranges() {
    let repo = repo().await;
    let location = repo.start_upload().await;
    for malformed in [
        "",
        "0",
        "-",
        "0-",
        "-9",
        "a-b",
        "9-0",
        "0-9-",
        "0 - 9",
        "0-9,10-19",
        "bytes 9-0",
        "bytes */10",
        "99999999999999999999-99999999999999999999",
        "0x0-0x9",
        "+0-9",
    ] {
        let patch = repo.client.patch(&location, bytes(10)).header("content-range", malformed).await;
        patch.status(416).error("BLOB_UPLOAD_INVALID");
        assert_eq!(repo.progress(&location).await, "0-0", "{malformed}");
    }
    let patch = repo.client.patch(&location, bytes(10)).header("content-range", "9-0").await;
    patch.status(416);
}

/// E-7.7: a `Content-Range` of another length than the body.
#[tokio::test]
async fn e_7_7_content_range_against_content_length() {
    let repo = repo().await;
    let blob = Blob::new(10);
    let location = repo.start_upload().await;
    for range in ["0-8", "0-10", "0-99999999999"] {
        let patch = repo.client.patch(&location, blob.bytes.clone()).header("content-range", range).await;
        patch.bad("SIZE_INVALID");
    }
    for range in ["0-8", "0-10", "5-5"] {
        let put = repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone());
        put.header("content-range", range).await.status_in(&[400, 416]);
    }
    assert_eq!(repo.progress(&location).await, "0-0");
    repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await.status(201);
}

/// E-7.10: a body in crumbs that breaks off is kept to the last byte.
#[tokio::test]
async fn e_7_10_crumbs_before_a_break_are_kept() {
    let repo = repo().await;
    let location = repo.start_upload().await;
    let whole = bytes(40_000);
    let pieces: Vec<_> = whole.chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let broken = pieces.into_iter().chain([Err(io::Error::other("cut"))]);
    let patch = repo.client.patch(&location, "").stream(futures_util::stream::iter(broken));
    assert!(patch.try_send().await.is_err());
    let mut progress = String::new();
    for _ in 0..50 {
        progress = repo.progress(&location).await;
        if progress == "0-39999" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(progress, "0-39999");
}

/// E-7.2: other forms of the header are understood.
#[tokio::test]
async fn e_7_2_the_download_form_of_content_range_is_tolerated() {
    let repo = repo().await;
    for range in ["bytes 0-9", "bytes 0-9/10", "bytes 0-9/*"] {
        let location = repo.start_upload().await;
        let patch = repo.client.patch(&location, bytes(10)).header("content-range", range).await;
        patch.status(202).header("range", "0-9");
    }
}

/// E-7.8, X-2.1, T12: every address that was ever given for the session stays good.
#[tokio::test]
async fn t12_the_first_location_addresses_the_session_to_the_end() {
    let repo = repo().await;
    let blob = Blob::new(50_000);
    let first = repo.start_upload().await;
    let mut last = first.clone();
    for (start, end) in [(0, 9_999), (10_000, 19_999), (20_000, 49_999)] {
        last = chunk(&repo, &last, &blob, start, end).await.status(202).location();
        for location in [&first, &last] {
            let range = format!("0-{end}");
            for method in ["GET", "HEAD"] {
                let status = repo.client.call(method, location).await.status(204).header("range", &range);
                //
                assert!(status.get("docker-upload-uuid").is_some_and(|id| location.ends_with(id)));
                assert_eq!(status.location(), first);
            }
        }
        // A chunk that was sent before, again, to the first address.
        chunk(&repo, &first, &blob, 0, 9_999).await.status(416).header("range", &format!("0-{end}"));
    }
    repo.client.put(&with(&first, "digest", &blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;
}

/// `Range` without a unit, from 0 on, and `0-0` for nothing.
#[tokio::test]
async fn x_4_1_the_form_of_range_in_upload_answers() {
    let repo = repo().await;
    let location = repo.client.post(&repo.uploads()).await.header("range", "0-0").location();
    repo.client.get(&location).await.status(204).header("range", "0-0");
    repo.client.patch(&location, "x").await.status(202).header("range", "0-0");
    repo.client.patch(&location, "yz").await.status(202).header("range", "0-2");
    repo.client.get(&location).await.status(204).header("range", "0-2");
    repo.client.patch(&location, "").await.status(202).header("range", "0-2");
}

/// E-7.10: what came before the connection broke is kept, no more is claimed, and the upload goes on from there.
#[tokio::test]
async fn e_7_10_a_patch_that_breaks_keeps_what_came() {
    let repo = repo().await;
    for length in [9_000, 3_000_000] {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        let (sender, body) = pieces();
        let patch = tokio::spawn(repo.client.call("PATCH", &location).stream(body).try_send());
        sender.send(Ok(blob.bytes.slice(..length / 2))).await.expect("a connection");
        // The break comes when half of the blob is on its way.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        sender.send(Err(io::Error::other("the test breaks off"))).await.expect("a connection");
        drop(sender);
        patch.await.expect("the request ends").expect_err("a broken connection");
        let received = settled(&repo, &location).await;
        assert!(received <= length / 2, "{received} bytes of {}", length / 2);
        let rest = repo.client.patch(&location, blob.bytes.slice(received..));
        let range = format!("{received}-{}", length - 1);
        rest.header("content-range", &range).await.status(202).header("range", &format!("0-{}", length - 1));
        repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// Bytes that a session holds, once the server has noticed that nothing more comes.
async fn settled(repo: &Repo, location: &str) -> usize {
    let mut before = String::new();
    for _ in 0..100 {
        let now = repo.progress(location).await;
        if now == before && now != "0-0" {
            break;
        }
        before = now;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    before.strip_prefix("0-").and_then(|last| last.parse().ok()).map_or(0, |last: usize| last + 1)
}

/// E-4.7: a body that ends before its announced length is no blob.
#[tokio::test]
async fn e_4_7_an_early_end_stores_nothing() {
    let repo = repo().await;
    let address = crate::harness::Gantry::shared().await.address();
    repo.push_blob(&Blob::new(1)).await;
    for length in [1_000, 100_000] {
        let blob = Blob::new(length);
        for (method, target) in [
            ("PUT", with(&repo.start_upload().await, "digest", &blob.digest)),
            ("POST", with(&repo.uploads(), "digest", &blob.digest)),
        ] {
            let mut connection = raw::Raw::connect(address).await;
            let head =
                format!("{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", length + 1);
            connection.send(head).await;
            connection.send(&blob.bytes).await;
            connection.end().await;
            if let Some(answer) = connection.answer(true).await {
                assert_eq!((answer.status, answer.code().as_str()), (400, "SIZE_INVALID"), "{answer:?}");
            }
            repo.lacks_blob(&blob.digest).await;
        }
    }
}
