//! `kill -9` in the middle of pushes: what was acknowledged is there and whole, uploads go on, nothing needs repair.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::harness::{Alg, Blob, Gantry, Image, Repo, image, pieces, types};

/// What a server has promised.
#[derive(Default)]
struct Promised {
    images: Vec<(String, Image)>,
    blobs: Vec<Blob>,
    /// A tag that moves, with the digests that were acknowledged for it, in order.
    moved: Vec<String>,
}

/// Pushes until the server is gone, and writes down what was acknowledged.
async fn push_until_killed(
    repo: Repo,
    worker: usize,
    round: usize,
    promised: Arc<Mutex<Promised>>,
    stop: Arc<AtomicBool>,
) {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Small and large, so that rows and files are both cut in all their steps.
        let layer = Blob::new(if number % 3 == 0 { 200_000 } else { 3_000 });
        let built = image().layers(types::OCI_LAYER, &[layer]).build();
        for blob in &built.blobs {
            let Ok(started) = repo.client.post(&repo.uploads()).try_send().await else { return };
            let location = started.status(202).get("location").expect("a location").to_owned();
            let call = repo.client.patch(&location, blob.bytes.clone());
            let Ok(answer) = call.try_send().await else { return };
            answer.status(202);
            let Ok(answer) =
                repo.client.put(&format!("{location}?digest={}", blob.digest), "").try_send().await
            else {
                return;
            };
            answer.status(201);
            promised.lock().await.blobs.push(blob.clone());
        }
        let tag = format!("r{round}w{worker}n{number}");
        for reference in [tag.as_str(), "moving"] {
            let call = repo.client.put(&repo.manifest(reference), built.manifest.bytes.clone());
            let Ok(answer) = call.header("content-type", &built.manifest.media_type).try_send().await else {
                return;
            };
            answer.status(201);
            let mut promised = promised.lock().await;
            match reference {
                "moving" => promised.moved.push(built.digest().to_owned()),
                _ => promised.images.push((tag.clone(), built.clone())),
            }
        }
    }
}

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let mut app = Gantry::options().set("log.access", "false").start().await;
    let promised = Arc::new(Mutex::new(Promised::default()));
    let name = app.client().repo().name;
    for round in 0..8 {
        let stop = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let repo = app.client().at(&name);
                tokio::spawn(push_until_killed(repo, worker, round, Arc::clone(&promised), Arc::clone(&stop)))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(150 + 97 * round as u64)).await;
        app.kill9();
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.await.expect("a worker");
        }
        let started = Instant::now();
        app.restart().await;
        assert!(started.elapsed() < Duration::from_secs(2), "restarted in {:?}", started.elapsed());
        let repo = app.client().at(&name);
        let promised = promised.lock().await;
        for blob in &promised.blobs {
            repo.has_blob(blob).await;
        }
        for (tag, image) in &promised.images {
            repo.has_manifest(tag, &image.manifest).await;
        }
        // The last acknowledged move, or one that was under way behind it; never nothing, never torn.
        if !promised.moved.is_empty() {
            repo.client.get(&repo.manifest("moving")).await.status(200);
        }
    }
    let promised = promised.lock().await;
    println!(
        "8 kills: {} blobs and {} images acknowledged, none lost",
        promised.blobs.len(),
        promised.images.len()
    );
    assert!(promised.images.len() > 8, "the workers hardly got anywhere");
}

/// E-7.10: after the kill the server reports an offset, and going on from there gives the right digest.
#[tokio::test]
async fn kill_9_in_an_upload_goes_on_from_the_reported_offset() {
    let mut app = Gantry::start().await;
    let name = app.client().repo().name;
    for (first, alg) in [(10_000, Alg::Sha256), (3 << 20, Alg::Sha256), (1 << 20, Alg::Sha512)] {
        let repo = app.client().at(&name);
        let blob = Blob::new(6 << 20).by(alg);
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.slice(..first)).await.status(202);
        // A second piece is under way when the end comes.
        let (sender, body) = pieces();
        let patch = tokio::spawn(repo.client.patch(&location, "").stream(body).try_send());
        sender.send(Ok(blob.bytes.slice(first..first + 500_000))).await.expect("the request goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
        app.kill9();
        drop(sender);
        assert!(patch.await.expect("a patch").is_err());
        app.restart().await;
        let repo = app.client().at(&name);
        let progress = repo.progress(&location).await;
        let offset = progress.strip_prefix("0-").expect("a range").parse::<usize>().expect("a number") + 1;
        assert!(offset >= first, "{progress} after {first} bytes were acknowledged");
        let rest = blob.bytes.slice(offset..);
        let range = format!("{offset}-{}", blob.len() - 1);
        repo.client.patch(&location, rest).header("content-range", &range).await.status(202);
        repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// T65: sessions survive an orderly restart too, small and large.
#[tokio::test]
async fn t65_upload_sessions_survive_a_restart() {
    let mut app = Gantry::start().await;
    let name = app.client().repo().name;
    let (small, large) = (Blob::new(9_000), Blob::new(900_000));
    let mut locations = Vec::new();
    for blob in [&small, &large] {
        let repo = app.client().at(&name);
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.slice(..blob.len() / 3)).await.status(202);
        locations.push(location);
    }
    app.restart().await;
    for (blob, location) in [&small, &large].into_iter().zip(locations) {
        let repo = app.client().at(&name);
        assert_eq!(repo.progress(&location).await, format!("0-{}", blob.len() / 3 - 1));
        repo.client.patch(&location, blob.bytes.slice(blob.len() / 3..)).await.status(202);
        repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
        repo.has_blob(blob).await;
    }
}

/// A session is there from its 202 on, however soon the end comes: a row that waits for its commit is no excuse.
#[tokio::test]
async fn kill_9_right_after_a_202_forgets_no_upload_session() {
    let mut app = Gantry::start().await;
    let name = app.client().repo().name;
    for round in 0..4 {
        let repo = app.client().at(&name);
        let mut sessions = Vec::new();
        // Only begun, small in one piece, small in pieces, and past what is kept in memory.
        for (blob, pieces) in [
            (Blob::new(5_000), vec![]),
            (Blob::new(9_000), vec![4_000]),
            (Blob::new(16_000).by(Alg::Sha512), vec![10, 20, 15_000]),
            (Blob::new(300_000), vec![9_000, 200_000]),
        ] {
            let location = repo.start_upload().await;
            let mut from = 0;
            for to in pieces {
                repo.client.patch(&location, blob.bytes.slice(from..to)).await.status(202);
                from = to;
            }
            sessions.push((blob, location, from));
        }
        let cancelled = repo.start_upload().await;
        repo.client.patch(&cancelled, "some bytes").await.status(202);
        repo.client.delete(&cancelled).await.status(204);
        app.kill9();
        app.restart().await;
        let repo = app.client().at(&name);
        for (blob, location, offset) in sessions {
            let expected = format!("0-{}", offset.saturating_sub(1));
            assert_eq!(repo.progress(&location).await, expected, "round {round}, {} bytes", blob.len());
            if round == 3 {
                // And once more, from what was read back.
                continue;
            }
            repo.client.patch(&location, blob.bytes.slice(offset..)).await.status(202);
            repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
            repo.has_blob(&blob).await;
        }
        repo.client.get(&cancelled).await.status(404);
    }
}

/// Between the bytes' publication and their row the session has no file of its own any more, and goes on nevertheless.
#[tokio::test]
async fn kill_9_between_a_blob_and_its_row_leaves_the_upload_to_be_finished() {
    for (alg, point) in [
        (Alg::Sha256, "publish.renamed:1"),
        (Alg::Sha256, "upload.published:1"),
        (Alg::Sha512, "upload.published:1"),
        // The first commit is the signing key's. The session's own row waits for company: the second is the blob's.
        (Alg::Sha256, "group.commit:2"),
    ] {
        let mut app = Gantry::options().variable("GANTRY_FAIL_AT", point).start().await;
        let name = app.client().repo().name;
        let repo = app.client().at(&name);
        let blob = Blob::new(200_000).by(alg);
        // Nothing tells the server beforehand that it will be sha512.
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.clone()).await.status(202);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let finish = format!("{location}?digest={}", blob.digest);
        assert!(repo.client.put(&finish, "").try_send().await.is_err(), "{point}: the server is dead");
        app.kill9();
        app.without_variables().restart().await;
        let repo = app.client().at(&name);
        repo.lacks_blob(&blob.digest).await;
        assert_eq!(repo.progress(&location).await, "0-199999", "{point}");
        repo.client.put(&finish, "").await.status(201);
        repo.has_blob(&blob).await;
        repo.client.get(&location).await.status(404);
    }
}
