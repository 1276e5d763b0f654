//! What clients see of damage: found in the background, while it is pulled, or when a row is read.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::eventually;
use super::super::store::file_of;
use super::{
    findings, flip, flip_in_database, metric, quarantined, verify, with_a_busy_background,
    with_an_eager_background,
};
use crate::harness::repo::descriptors;
use crate::harness::{Blob, Gantry, image, types};

#[tokio::test]
async fn a_flipped_byte_is_never_a_complete_answer_and_a_push_heals_everywhere() {
    let app = with_a_busy_background().await;
    let (a, b) = (app.repo(), app.repo());
    let blob = Blob::new(300_000);
    a.push_blob(&blob).await;
    b.push_blob(&blob).await;
    a.has_blob(&blob).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let damage = metric(&app, "gantry_verify_damaged_total").await;
    flip(&file_of(&app, &blob), 299_999);
    let pulled = a.client.get(&a.blob(&blob.digest)).try_send().await;
    assert!(pulled.is_err(), "the answer breaks off before its end");
    for repo in [&a, &b] {
        eventually("the blob is hidden", async || {
            let head = repo.client.head(&repo.blob(&blob.digest)).await;
            (head.status == 404).then_some(())
        })
        .await;
        repo.client.get(&repo.blob(&blob.digest)).await.status(404).error("BLOB_UNKNOWN");
    }
    eventually("its file is moved aside", async || quarantined(&app, &blob).exists().then_some(())).await;
    assert!(!file_of(&app, &blob).exists());
    let mount = format!("{}?mount={}&from={}", app.repo().uploads(), blob.digest, a.name);
    app.client().post(&mount).await.status(202);
    assert_eq!(metric(&app, "gantry_verify_damaged_total").await, damage + 1);
    assert_eq!(metric(&app, "gantry_store_damaged_blobs").await, 1);
    let ready = app.operator().get("/readyz").await.status(200).json();
    assert_eq!((&ready["status"], &ready["damaged"]["blobs"]), (&"ok".into(), &1.into()));
    assert!(app.log().contains(&blob.digest), "the log names it");
    // An image with the damaged blob is refused until it is there again.
    let built = image().layers(types::OCI_LAYER, std::slice::from_ref(&blob)).build();
    a.push_blob(&built.blobs[0]).await;
    a.put_manifest("v1", &built.manifest).await.status(400).error("MANIFEST_BLOB_UNKNOWN");

    b.push_blob(&blob).await;
    for repo in [&a, &b] {
        repo.has_blob(&blob).await;
    }
    a.push_manifest("v1", &built.manifest).await;
    assert_eq!(metric(&app, "gantry_store_damaged_blobs").await, 0);
    assert_eq!(app.operator().get("/readyz").await.json().get("damaged"), None);
}

/// The first answer is the store's failure; then the blob is known to be damaged, and clients may upload it again.
#[tokio::test]
async fn lost_and_cut_files_are_hidden_once_they_are_met() {
    let app = Gantry::start().await;
    let repo = app.repo();
    let (lost, cut, again) = (Blob::new(100_000), Blob::new(100_001), Blob::new(100_002));
    for blob in [&lost, &cut, &again] {
        repo.push_blob(blob).await;
    }
    std::fs::remove_file(file_of(&app, &lost)).expect("removed");
    std::fs::write(file_of(&app, &cut), &cut.bytes[..500]).expect("written");
    for blob in [&lost, &cut] {
        repo.client.get(&repo.blob(&blob.digest)).await.status(500);
        repo.lacks_blob(&blob.digest).await;
        repo.push_blob(blob).await;
        repo.has_blob(blob).await;
    }
    // With the store's marker gone the whole disk may be another: nothing is taken for lost.
    let marker = std::fs::read(app.data().join("gantry.store")).expect("the marker");
    std::fs::remove_file(app.data().join("gantry.store")).expect("removed");
    std::fs::remove_file(file_of(&app, &again)).expect("removed");
    for _ in 0..2 {
        repo.client.get(&repo.blob(&again.digest)).await.status(500);
    }
    repo.client.head(&repo.blob(&again.digest)).await.status(200);
    std::fs::write(app.data().join("gantry.store"), marker).expect("written");
    repo.client.get(&repo.blob(&again.digest)).await.status(500);
    repo.lacks_blob(&again.digest).await;
}

/// A disk that does not give its bytes may give them again: no answer is complete, and nothing is taken for damaged.
#[tokio::test]
async fn an_unreadable_file_is_no_bit_rot() {
    let mut app = with_an_eager_background().await;
    let name = app.repo().name;
    let blob = Blob::new(100_000);
    let repo = app.client().at(&name);
    repo.push_blob(&blob).await;
    let (file, aside) = (file_of(&app, &blob), app.dir().join("aside"));
    // Opens like a file, and answers EIO to every read.
    std::fs::rename(&file, &aside).expect("moved");
    std::os::unix::fs::symlink("/proc/self/mem", &file).expect("linked");
    eventually("it is told", async || {
        app.log().contains("cannot be read; they are left as they are").then_some(())
    })
    .await;
    repo.client.head(&repo.blob(&blob.digest)).await.status(200);
    app.sigterm().await;
    let (status, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert_eq!(findings(&report, "blob-unreadable"), [(blob.digest.clone(), "kept".to_owned())], "{report}");
    assert!(std::fs::symlink_metadata(&file).is_ok());
    std::fs::remove_file(&file).expect("removed");
    std::fs::rename(&aside, &file).expect("moved back");
    app.restart().await;
    app.client().at(&name).has_blob(&blob).await;
}

/// Over HTTP/2 the stream is reset, and the connection goes on.
#[tokio::test]
async fn a_flipped_byte_resets_the_stream_over_http_2() {
    let app = with_a_busy_background().await;
    let repo = app.client().http2(None).repo();
    let blob = Blob::new(2_000_000);
    repo.push_blob(&blob).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    flip(&file_of(&app, &blob), 0);
    assert!(repo.client.get(&repo.blob(&blob.digest)).try_send().await.is_err());
    repo.client.get("/v2/").await.status(200);
}

/// A pull checks what was not checked for long, once: later pulls, and pulls of a part, cost nothing more.
#[tokio::test]
async fn a_pull_checks_what_is_due_and_not_again() {
    let mut app = Gantry::options().set("verify.rate", "8KiB").start().await;
    let name = app.repo().name;
    let blob = Blob::new(300_000);
    let repo = app.client().at(&name);
    repo.push_blob(&Blob::new(2 << 20)).await;
    repo.push_blob(&blob).await;
    repo.has_blob(&blob).await;
    assert_eq!(metric(&app, "gantry_verify_bytes_total").await, 0, "pushed just now");
    app.sigterm().await;
    // Long ago; the large one first, which keeps the background busy.
    let database = rusqlite::Connection::open(app.data().join("gantry.db")).expect("the database");
    database
        .execute_batch("UPDATE blobs SET verified_at = CASE WHEN size > 1000000 THEN 0 ELSE 1 END")
        .expect("changed");
    drop(database);
    app.restart().await;
    let repo = app.client().at(&name);
    let part = repo.client.get(&repo.blob(&blob.digest)).header("range", "bytes=0-299998").await;
    part.status(206);
    assert_eq!(metric(&app, "gantry_verify_bytes_total").await, 0);
    repo.has_blob(&blob).await;
    assert_eq!(metric(&app, "gantry_verify_bytes_total").await, 300_000);
    eventually("it is written down", async || {
        let before = metric(&app, "gantry_verify_bytes_total").await;
        repo.has_blob(&blob).await;
        (metric(&app, "gantry_verify_bytes_total").await == before).then_some(())
    })
    .await;
}

/// The background finds damage that nobody asks for.
#[tokio::test]
async fn the_background_finds_what_nobody_pulls() {
    let app = with_an_eager_background().await;
    let repo = app.repo();
    let (flipped, cut, lost, whole) =
        (Blob::new(100_000), Blob::new(100_001), Blob::new(100_002), Blob::new(100_003));
    for blob in [&flipped, &cut, &lost, &whole] {
        repo.push_blob(blob).await;
    }
    flip(&file_of(&app, &flipped), 50_000);
    std::fs::write(file_of(&app, &cut), &cut.bytes[..70_000]).expect("written");
    std::fs::remove_file(file_of(&app, &lost)).expect("removed");
    for blob in [&flipped, &cut, &lost] {
        eventually("the damage is found", async || {
            (repo.client.head(&repo.blob(&blob.digest)).await.status == 404).then_some(())
        })
        .await;
    }
    repo.has_blob(&whole).await;
    assert_eq!(metric(&app, "gantry_store_damaged_blobs").await, 3);
    for blob in [&flipped, &cut] {
        eventually("moved aside", async || quarantined(&app, blob).exists().then_some(())).await;
    }
    for blob in [&flipped, &cut, &lost] {
        repo.push_blob(blob).await;
        repo.has_blob(blob).await;
    }
    assert!(metric(&app, "gantry_verify_bytes_total").await > 150_000);
}

/// Checks that never pause, beside pushes and pulls: nothing that is right is ever taken for damaged.
#[tokio::test]
async fn checks_beside_pushes_find_nothing() {
    let app = Arc::new(with_an_eager_background().await);
    let stop = Arc::new(AtomicBool::new(false));
    let shared = Blob::new(200_000);
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let (repo, stop, shared) = (app.repo(), Arc::clone(&stop), shared.clone());
            tokio::spawn(async move {
                let mut rounds = 0;
                while !stop.load(Ordering::Relaxed) {
                    // The same bytes again and again, published anew each time, and new ones large and small.
                    let layers = [shared.clone(), Blob::new(40_000), Blob::new(400)];
                    let built = image().layers(types::OCI_LAYER, &layers).build();
                    repo.push("latest", &built).await.status(201);
                    repo.has_manifest("latest", &built.manifest).await;
                    for blob in &built.blobs {
                        repo.has_blob(blob).await;
                    }
                    rounds += 1;
                }
                rounds
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    stop.store(true, Ordering::Relaxed);
    let mut rounds = 0;
    for worker in workers {
        rounds += worker.await.expect("a worker");
    }
    assert!(rounds > 8, "{rounds} images: the workers hardly got anywhere");
    assert_eq!(metric(&app, "gantry_verify_damaged_total").await, 0, "{}", app.log());
    assert!(!app.data().join("quarantine").exists());
}

/// Old bytes are being condemned while the same digest is pushed again: what the push stored stays, whoever comes first.
#[tokio::test]
async fn a_push_beside_the_condemnation_of_its_old_bytes_stays() {
    let app = Arc::new(with_an_eager_background().await);
    let stop = Arc::new(AtomicBool::new(false));
    let repairs = {
        let (app, stop) = (Arc::clone(&app), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut found = 0;
            while !stop.load(Ordering::Relaxed) {
                found += findings(&verify(app.data(), &["--repair"]).await.1, "blob-damaged").len();
            }
            found
        })
    };
    let repo = app.repo();
    let blob = Blob::new(300_000);
    let file = file_of(&app, &blob);
    repo.push_blob(&blob).await;
    for round in 0..60_u64 {
        // In place, so that it is the old file that is condemned; it may have been moved aside already.
        if let Ok(mut old) = std::fs::OpenOptions::new().write(true).open(&file) {
            old.seek(SeekFrom::Start(150_000 + round)).expect("found");
            old.write_all(b"rot").expect("written");
        }
        tokio::time::sleep(Duration::from_millis(round % 20 * 3)).await;
        repo.push_blob(&blob).await;
        for _ in 0..2 {
            repo.has_blob(&blob).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let found = repairs.await.expect("the repairs");
    let damage = metric(&app, "gantry_verify_damaged_total").await;
    println!("60 rounds: {damage} times hidden, {found} of them by the command");
    assert!(damage > 0, "nothing was condemned");
}

#[tokio::test]
async fn bytes_in_the_database_are_checked_when_they_are_read() {
    let mut app = Gantry::start().await;
    let name = app.repo().name;
    let built = image().annotation("what", &"x".repeat(300)).build();
    let repo = app.client().at(&name);
    repo.push("v1", &built).await.status(201);
    let other = app.repo();
    let small = &built.blobs[1];
    other.push_blob(small).await;
    let other = other.name;
    app.sigterm().await;
    let database = app.data().join("gantry.db");
    flip_in_database(&database, &small.bytes);
    flip_in_database(&database, &built.manifest.bytes);
    app.restart().await;
    let repo = app.client().at(&name);
    let other = app.client().at(&other);
    for repo in [&repo, &other] {
        repo.lacks_blob(&small.digest).await;
    }
    repo.client.get(&repo.manifest("v1")).await.status(404).error("MANIFEST_UNKNOWN");
    repo.client.get(&repo.manifest(built.digest())).await.status(404).error("MANIFEST_UNKNOWN");
    assert_eq!(repo.tags().await, ["v1"], "the tag stays");
    assert!(app.log().contains(&small.digest) && app.log().contains(built.digest()), "{}", app.log());
    assert_eq!(metric(&app, "gantry_verify_damaged_total").await, 2);
    other.push_blob(small).await;
    for repo in [&repo, &other] {
        repo.has_blob(small).await;
    }
    repo.push_manifest(built.digest(), &built.manifest).await;
    repo.has_manifest("v1", &built.manifest).await;
}

/// A damaged referrer is not listed, whether its list was in memory or not, until it is pushed again.
#[tokio::test]
async fn a_damaged_referrer_is_not_listed() {
    let mut app = Gantry::start().await;
    let name = app.repo().name;
    let subject = image().build();
    let attached =
        image().artifact("a/b").subject(&subject.descriptor()).annotation("what", &"z".repeat(300)).build();
    app.client().at(&name).push_by_digest(&attached).await.status(201);
    app.sigterm().await;
    flip_in_database(&app.data().join("gantry.db"), &attached.manifest.bytes);
    app.restart().await;
    let repo = app.client().at(&name);
    let listed = async || {
        let all = repo.referrers(subject.digest()).await.len();
        let of_type = descriptors(&repo.referrers_with(subject.digest(), "?artifactType=a/b").await).len();
        assert_eq!(all, of_type);
        all
    };
    assert_eq!(listed().await, 1, "nobody knows yet");
    repo.lacks_manifest(attached.digest()).await;
    assert_eq!(listed().await, 0);
    repo.push_manifest(attached.digest(), &attached.manifest).await;
    assert_eq!(listed().await, 1);
    repo.has_manifest(attached.digest(), &attached.manifest).await;
}

/// A push of what is there already replaces bytes in the database that nobody knew to be damaged.
#[tokio::test]
async fn a_push_heals_rows_that_nobody_looked_at() {
    // Searches are prepared by reading manifests in the background.
    let mut app = Gantry::options().set("v1.search", "false").start().await;
    let name = app.repo().name;
    let built = image().annotation("what", &"y".repeat(300)).build();
    app.client().at(&name).push("v1", &built).await.status(201);
    app.sigterm().await;
    flip_in_database(&app.data().join("gantry.db"), &built.blobs[1].bytes);
    flip_in_database(&app.data().join("gantry.db"), &built.manifest.bytes);
    app.restart().await;
    let repo = app.client().at(&name);
    repo.push("v1", &built).await.status(201);
    repo.has_blob(&built.blobs[1]).await;
    repo.has_manifest("v1", &built.manifest).await;
    assert_eq!(metric(&app, "gantry_verify_damaged_total").await, 0);
}
