//! Losses that other registries had, each as the story of how it happened there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{file_of, lapse, promising, sweep};
use crate::harness::{Blob, image, pieces, types};
use crate::ops::eventually;

/// distribution #2881, PR 3544: an old blob is named by a push that begins after the collector has looked.
#[tokio::test]
async fn distribution_2881_an_old_blob_that_a_push_was_told_of_stays() {
    let app = promising("400ms").start().await;
    let repo = app.repo();
    let old = Blob::new(50_000);
    repo.push_blob(&old).await;
    lapse(400).await;
    // Unnamed for longer than the grace period; the next sweep would take it.
    repo.client.head(&repo.blob(&old.digest)).await.status(200);
    assert_eq!(sweep(&app).await.count("links"), 0);
    let built = image().layers(types::OCI_LAYER, std::slice::from_ref(&old)).build();
    repo.push_blob(&built.blobs[0]).await;
    repo.push_manifest("1", &built.manifest).await;
    lapse(400).await;
    sweep(&app).await;
    repo.has_manifest("1", &built.manifest).await;
    repo.has_blob(&old).await;
}

/// Quay PR 6318, nora #584: the collector runs right after the blob's PUT, before the manifest's.
#[tokio::test]
async fn quay_6318_nora_584_a_sweep_between_blob_and_manifest_takes_nothing() {
    let app = promising("10s").set("sweep.interval", "\"50ms\"").start().await;
    let repo = app.repo();
    for number in 0..40 {
        let built = image().layers(types::OCI_LAYER, &[Blob::new(64 << 10)]).build();
        repo.push_parts(&built).await;
        tokio::time::sleep(Duration::from_millis(number % 5 * 20)).await;
        repo.push_manifest(&format!("t{number}"), &built.manifest).await;
        for blob in &built.blobs {
            repo.has_blob(blob).await;
        }
    }
}

/// distribution #3743, #3254, #3800: what was swept is still remembered, so that clients do not push it again.
#[tokio::test]
async fn distribution_3743_what_was_swept_is_not_remembered() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let built = image().layers(types::OCI_LAYER, &[Blob::new(50_000), Blob::new(500)]).build();
    for _ in 0..3 {
        repo.push("1", &built).await;
        for blob in &built.blobs {
            repo.has_blob(blob).await;
        }
        repo.has_manifest("1", &built.manifest).await;
        repo.client.delete(&repo.manifest(built.digest())).await.status(202);
        lapse(200).await;
        assert_eq!(sweep(&app).await.count("blobs"), 3);
        repo.lacks_manifest("1").await;
        for blob in &built.blobs {
            // A client that is told 404 here pushes the blob, in the next round.
            repo.lacks_blob(&blob.digest).await;
        }
    }
}

/// zot PR 4201, PR 4137: of one blob in several repositories, deleting one takes the bytes of all.
#[tokio::test]
async fn zot_4201_one_blob_in_three_repositories_deleted_in_every_order() {
    let app = promising("200ms").start().await;
    for (round, order) in
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]].into_iter().enumerate()
    {
        let repos = [app.repo(), app.repo(), app.repo()];
        let built = image().layers(types::OCI_LAYER, &[Blob::new(50_000 + round)]).build();
        for repo in &repos {
            repo.push("1", &built).await;
        }
        for (gone, which) in order.into_iter().enumerate() {
            let repo = &repos[which];
            repo.client.delete(&repo.manifest(built.digest())).await.status(202);
            // Half of the time by the sweep, half by the client itself.
            if round % 2 == 0 {
                for blob in &built.blobs {
                    repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
                }
            } else {
                lapse(200).await;
            }
            sweep(&app).await;
            for blob in &built.blobs {
                repo.lacks_blob(&blob.digest).await;
                for kept in order.iter().skip(gone + 1) {
                    repos[*kept].has_blob(blob).await;
                }
            }
        }
        assert!(!file_of(&app, &built.blobs[1].digest).exists(), "round {round}");
    }
}

/// distribution's upload purger: it ends uploads that are merely slow, and trips over files that it does not know.
#[tokio::test]
async fn distribution_the_purger_spares_slow_uploads_and_odd_files() {
    let app = promising("500ms").set("sweep.interval", "\"50ms\"").start().await;
    let repo = app.repo();
    let odd = ["not-an-upload", ".hidden", "0f8fad5b-d9cb-469f-a165-70867728950e.tmp", "ünïcode"];
    for name in odd {
        std::fs::write(app.data().join("uploads").join(name), b"?").expect("an odd file");
    }
    std::fs::create_dir(app.data().join("uploads/directory")).expect("an odd directory");
    let abandoned = repo.start_upload().await;
    repo.client.patch(&abandoned, Blob::new(50_000).bytes).await.status(202);

    // One request that lasts four times the expiry, a byte now and then.
    let blob = Blob::new(40_000);
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.patch(&location, "").stream(body).try_send());
    sender.send(Ok(blob.bytes.slice(..39_980))).await.expect("the request goes on");
    for byte in 39_980..40_000 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sender.send(Ok(blob.bytes.slice(byte..=byte))).await.expect("the request goes on");
    }
    drop(sender);
    patch.await.expect("a task").expect("an answer").status(202);
    repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;

    eventually("the abandoned session expires", async || {
        (repo.client.get(&abandoned).await.status == 404).then_some(())
    })
    .await;
    let left = std::fs::read_dir(app.data().join("uploads")).expect("a directory").count();
    assert_eq!(left, odd.len() + 1, "the odd ones are not ours to remove, the abandoned one is");
}

/// zot #2598: cancelled and abandoned uploads leave their bytes behind.
#[tokio::test]
async fn zot_2598_a_thousand_aborted_uploads_leave_nothing() {
    let app = promising("500ms").start().await;
    let repo = app.repo();
    let bytes = Blob::new(20_000).bytes;
    for number in 0..1_000 {
        let location = repo.start_upload().await;
        if number % 4 > 0 {
            repo.client.patch(&location, bytes.slice(..number * 20)).await.status(202);
        }
        if number % 4 == 1 {
            repo.client.delete(&location).await.status(204);
        }
        if number % 4 == 2 {
            let wrong = format!("{location}?digest={}", Blob::new(10).digest);
            repo.client.put(&wrong, "").await.status(400);
        }
    }
    eventually("all sessions end", async || {
        let left = std::fs::read_dir(app.data().join("uploads")).expect("a directory").count();
        let metrics = app.operator().get("/metrics").await.status(200);
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        (left == 0 && metrics.contains("gantry_uploads_open 0")).then_some(())
    })
    .await;
}

/// A pull that began before the deletion ends well; the next one is told that there is nothing.
#[tokio::test]
async fn a_pull_under_way_outlives_the_deletion_and_the_sweep() {
    use futures_util::StreamExt as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let blob = Blob::new(24 << 20);
    repo.push_blob(&blob).await;
    let mut slow = tokio::net::TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", repo.blob(&blob.digest));
    slow.write_all(request.as_bytes()).await.expect("sent");
    let mut got = vec![0; 4096];
    slow.read_exact(&mut got).await.expect("it begins");

    repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!file_of(&app, &blob.digest).exists());
    repo.lacks_blob(&blob.digest).await;

    slow.read_to_end(&mut got).await.expect("and ends");
    let body = got.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert!(got[body..] == blob.bytes[..], "all of it");
    // And the other way round: many pulls while it comes and goes, each whole or refused.
    let stop = Arc::new(AtomicBool::new(false));
    let small = Blob::new(100_000);
    let pullers: Vec<_> = (0..4)
        .map(|_| {
            let (repo, small, stop) = (repo.clone(), small.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut seen = [0; 2];
                while !stop.load(Ordering::Relaxed) {
                    let answer = repo.client.get(&repo.blob(&small.digest)).await;
                    match answer.status {
                        200 => assert!(answer.body == small.bytes, "whole"),
                        404 => {}
                        _ => panic!("{answer:?}"),
                    }
                    seen[usize::from(answer.status == 200)] += 1;
                }
                seen
            })
        })
        .collect();
    for _ in 0..25 {
        repo.push_blob(&small).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        repo.client.delete(&repo.blob(&small.digest)).await.status(202);
        sweep(&app).await;
    }
    stop.store(true, Ordering::Relaxed);
    let seen: Vec<_> = futures_util::stream::iter(pullers).then(|puller| puller).collect().await;
    let seen: Vec<_> = seen.into_iter().map(|seen| seen.expect("no puller saw anything else")).collect();
    assert!(seen.iter().all(|seen| seen[0] > 0 && seen[1] > 0), "both were seen: {seen:?}");
}

/// distribution #4478: four parallel pushes of an image, or eight attaches to one, tear what they all write.
#[tokio::test]
async fn distribution_4478_parallel_pushes_and_attaches_tear_nothing() {
    let app = promising("10s").set("sweep.interval", "\"50ms\"").start().await;
    let repo = app.repo();
    let built = image().layers(types::OCI_LAYER, &[Blob::new(50_000), Blob::new(500)]).build();
    let pushes = (0..4).map(|_| {
        let (repo, built) = (repo.clone(), built.clone());
        tokio::spawn(async move {
            for _ in 0..5 {
                repo.push("1", &built).await;
                repo.has_manifest("1", &built.manifest).await;
            }
        })
    });
    for push in pushes.collect::<Vec<_>>() {
        push.await.expect("no push is torn");
    }
    let attaches = (0..8).map(|_| {
        let (repo, subject) = (repo.clone(), built.descriptor());
        tokio::spawn(async move {
            repo.push_by_digest(&image().artifact("x/signature").subject(&subject).build()).await;
        })
    });
    for attach in attaches.collect::<Vec<_>>() {
        attach.await.expect("no attach is torn");
    }
    assert_eq!(repo.referrers(built.digest()).await.len(), 8);
    for blob in &built.blobs {
        repo.has_blob(blob).await;
    }
}

/// CVE-2026-35172: a deleted blob is readable again once another repository was asked for it.
#[tokio::test]
async fn cve_2026_35172_a_deleted_blob_stays_deleted_whoever_asks_elsewhere() {
    let app = promising("10s").start().await;
    let (repo, other) = (app.repo(), app.repo());
    let blob = Blob::new(50_000);
    repo.push_blob(&blob).await;
    other.push_blob(&blob).await;
    repo.has_blob(&blob).await;
    repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
    other.has_blob(&blob).await;
    repo.lacks_blob(&blob.digest).await;
}

/// CVE-2026-41888: where nothing may be deleted, tags can be deleted nevertheless.
#[tokio::test]
async fn cve_2026_41888_where_nothing_may_be_deleted_no_tag_is() {
    let app = promising("10s").set("registry.delete", "[]").start().await;
    let repo = app.repo();
    let built = image().build();
    repo.push("1", &built).await;
    for path in [repo.manifest("1"), repo.manifest(built.digest()), repo.blob(&built.blobs[0].digest)] {
        repo.client.delete(&path).await.status(405).error("UNSUPPORTED");
    }
    repo.has_manifest("1", &built.manifest).await;
    assert_eq!(repo.tags().await, ["1"]);
}
