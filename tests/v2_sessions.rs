//! Upload sessions: whose they are, how they end, what they survive (end-13, end-14).

use std::path::Path;
use std::time::Duration;

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, Repo, bytes, pieces, repo};

/// All that can be asked of a session.
async fn is_unknown(repo: &Repo, location: &str) {
    let digest = with(location, "digest", &Alg::Sha256.of(b""));
    repo.client.get(location).await.missing("BLOB_UPLOAD_UNKNOWN");
    repo.client.head(location).await.status(404);
    repo.client.patch(location, "x").await.missing("BLOB_UPLOAD_UNKNOWN");
    repo.client.put(&digest, "").await.missing("BLOB_UPLOAD_UNKNOWN");
    repo.client.delete(location).await.missing("BLOB_UPLOAD_UNKNOWN");
}

/// E-4.10, G-5, T14: sessions that never were.
#[tokio::test]
async fn e_4_10_unknown_sessions_are_404_on_all_methods() {
    let repo = repo().await;
    for id in [
        "7b1f1e2c-66a5-4a4e-9d39-0c1e4b5a6d7e",
        "7B1F1E2C-66A5-4A4E-9D39-0C1E4B5A6D7E",
        "7b1f1e2c66a54a4e9d390c1e4b5a6d7e",
        "x",
        "..",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "a.b=c_d-e",
    ] {
        if id == ".." {
            // A dot segment is not a session; what it is does not matter, as long as it is an error of the client.
            repo.client.get(&repo.path("blobs/uploads/..")).await.status_in(&[400, 404]);
            continue;
        }
        is_unknown(&repo, &repo.path(&format!("blobs/uploads/{id}"))).await;
    }
}

/// T14, X-2.4: a session ends with its blob.
#[tokio::test]
async fn t14_a_committed_session_is_gone() {
    let repo = repo().await;
    for length in [0, 100, 100_000] {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await.status(201);
        is_unknown(&repo, &location).await;
        repo.has_blob(&blob).await;
    }
}

/// E-8.1, T14, T36: cancel.
#[tokio::test]
async fn e_8_1_a_cancelled_session_is_gone() {
    let repo = repo().await;
    for length in [0, 100, 100_000] {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.clone()).await.status(202);
        repo.client.delete(&location).await.status(204);
        is_unknown(&repo, &location).await;
        let put = repo.client.put(&with(&location, "digest", &blob.digest), blob.bytes.clone()).await;
        put.missing("BLOB_UPLOAD_UNKNOWN");
    }
}

fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// T36: cancelling frees the bytes at once, and so does a failed POST.
#[tokio::test]
async fn t36_cancel_frees_the_bytes_on_disk() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let location = repo.start_upload().await;
    repo.client.patch(&location, bytes(12 << 20)).await.status(202);
    assert!(bytes_below(gantry.data()) > 12 << 20);
    repo.client.delete(&location).await.status(204);
    assert!(bytes_below(gantry.data()) < 6 << 20, "{}", bytes_below(gantry.data()));
    let wrong = with(&repo.uploads(), "digest", &Alg::Sha256.unknown());
    repo.client.post(&wrong).body(bytes(12 << 20)).await.bad("DIGEST_INVALID");
    assert!(bytes_below(gantry.data()) < 6 << 20, "{}", bytes_below(gantry.data()));
}

/// E-4.11, T15: a session belongs to its repository.
#[tokio::test]
async fn t15_a_session_is_unknown_in_another_repository() {
    let repo = repo().await;
    let blob = Blob::new(100);
    let location = repo.start_upload().await;
    repo.client.patch(&location, blob.bytes.clone()).await.status(202);
    let other = repo.other();
    other.push_blob(&Blob::new(1)).await;
    is_unknown(&other, &location.replace(&repo.name, &other.name)).await;
    repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
}

/// E-8.3, T36: whoever may push may cancel, also where nothing may be deleted.
#[tokio::test]
async fn e_8_3_cancel_is_not_a_delete() {
    let gantry = Gantry::options().set("registry.delete", "[]").start().await;
    let repo = gantry.repo();
    let location = repo.start_upload().await;
    repo.client.delete(&location).await.status(204);
    is_unknown(&repo, &location).await;
}

/// A session belongs to whoever began it.
#[tokio::test]
async fn e_4_11_a_session_of_another_account_is_unknown() {
    let gantry = Gantry::options().account("alice", "a").account("bob", "b").start().await;
    let alice = gantry.client().basic("alice", "a").at("shared");
    let bob = gantry.client().basic("bob", "b").at("shared");
    let location = alice.start_upload().await;
    is_unknown(&bob, &location).await;
    alice.client.patch(&location, "x").await.status(202);
}

/// T65: sessions survive a restart, wherever their bytes lie.
#[tokio::test]
async fn t65_a_restart_keeps_sessions() {
    let mut gantry = Gantry::start().await;
    let mut begun = Vec::new();
    let name = "team/app";
    for (length, split) in [(100, 0), (1_000, 500), (200_000, 90_000), (200_000, 5_000)] {
        for alg in Alg::ALL {
            let repo = gantry.client().at(name);
            let blob = Blob::of(alg, bytes(length));
            let location = repo.start_upload().await;
            if split > 0 {
                repo.client.patch(&location, blob.bytes.slice(..split)).await.status(202);
            }
            begun.push((location, blob, split));
        }
    }
    gantry.restart().await;
    let repo = gantry.client().at(name);
    for (location, blob, split) in begun {
        assert_eq!(repo.progress(&location).await, format!("0-{}", split.saturating_sub(1)));
        let patch = repo.client.patch(&location, blob.bytes.slice(split..));
        let range = format!("{split}-{}", blob.len() - 1);
        let patch = patch.header("content-range", &range).await.status(202);
        patch.header("range", &format!("0-{}", blob.len() - 1));
        repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-8.2, T65: idle sessions go, and one that is being written to stays.
#[tokio::test]
async fn e_8_2_idle_sessions_expire_and_busy_ones_do_not() {
    let gantry = Gantry::options().set("sweep.upload_expiry", "\"2s\"").start().await;
    let repo = gantry.repo();
    let idle = repo.start_upload().await;
    repo.client.patch(&idle, bytes(100_000)).await.status(202);
    let empty = repo.start_upload().await;
    let busy = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.call("PATCH", &busy).stream(body).try_send());
    let mut sent = Vec::new();
    for _ in 0..24 {
        let piece = bytes(3_000);
        sent.extend_from_slice(&piece);
        sender.send(Ok(piece)).await.expect("a connection");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    is_unknown(&repo, &idle).await;
    is_unknown(&repo, &empty).await;
    drop(sender);
    let range = format!("0-{}", sent.len() - 1);
    patch.await.expect("the request ends").expect("an answer").status(202).header("range", &range);
    let digest = with(&busy, "digest", &Alg::Sha256.of(&sent));
    repo.client.put(&digest, "").await.status(201);
}

/// E-4.4: wherever small blobs are kept and however little is cached, the answers are the same.
#[tokio::test]
async fn e_4_4_other_limits_same_answers() {
    for (inline, cache) in [("0B", "0B"), ("1MiB", "0B"), ("0B", "1GiB"), ("100B", "1KiB")] {
        let gantry = Gantry::options()
            .set("limits.inline_blob", &format!("\"{inline}\""))
            .set("limits.cache", &format!("\"{cache}\""));
        let mut gantry = gantry.start().await;
        let name = "app";
        let mut images = Vec::new();
        for alg in Alg::ALL {
            let repo = gantry.client().at(name);
            let layers = [0, 1, 99, 100, 101, 70_000, 1 << 20].map(|length| Blob::of(alg, bytes(length)));
            let image = crate::harness::image().alg(alg).layers("application/x.layer", &layers).build();
            repo.push_by_digest(&image).await;
            // In pieces, too, as another blob.
            let blob = Blob::of(alg, bytes(90_001));
            let location = repo.start_upload().await;
            for first in (0..blob.len()).step_by(30_000) {
                let last = (first + 30_000).min(blob.len());
                repo.client.patch(&location, blob.bytes.slice(first..last)).await.status(202);
            }
            repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
            repo.has_blob(&blob).await;
            images.push(image);
        }
        for _ in 0..2 {
            let repo = gantry.client().at(name);
            for image in &images {
                repo.has_manifest(image.digest(), &image.manifest).await;
                for blob in &image.blobs {
                    repo.has_blob(blob).await;
                    if blob.len() > 1 {
                        let part =
                            repo.client.get(&repo.blob(&blob.digest)).header("range", "bytes=1-").await;
                        part.status(206).body(&blob.bytes[1..]);
                    }
                }
            }
            gantry.restart().await;
        }
        let repo = gantry.client().at(name);
        for blob in &images[0].blobs {
            repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
            repo.lacks_blob(&blob.digest).await;
        }
    }
}
