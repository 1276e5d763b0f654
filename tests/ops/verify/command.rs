//! `gantry verify`, on a stopped store and by a running server.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::store::file_of;
use super::{findings, flip, flip_in_database, push_until, quarantined, verify};
use crate::harness::server::run;
use crate::harness::{Blob, Gantry, image};

#[tokio::test]
async fn verify_finds_every_kind_of_damage_and_repairs_it() {
    let mut app = Gantry::start().await;
    let name = app.repo().name;
    let repo = app.client().at(&name);
    let built = image().annotation("what", &"z".repeat(300)).build();
    repo.push("v1", &built).await.status(201);
    let (flipped, cut, lost, whole) =
        (Blob::new(100_000), Blob::new(100_001), Blob::new(100_002), Blob::new(100_003));
    for blob in [&flipped, &cut, &lost, &whole] {
        repo.push_blob(blob).await;
    }
    app.sigterm().await;
    let (status, report) = verify(app.data(), &[]).await;
    assert_eq!((status.code(), &report["findings"]), (Some(0), &serde_json::json!([])), "{report}");
    assert_eq!((&report["blobs"], &report["manifests"], &report["files"]), (&7.into(), &1.into(), &4.into()));

    flip(&file_of(&app, &flipped), 50_000);
    std::fs::write(file_of(&app, &cut), &cut.bytes[..70_000]).expect("written");
    std::fs::remove_file(file_of(&app, &lost)).expect("removed");
    let extra = Blob::new(20_000);
    std::fs::create_dir_all(file_of(&app, &extra).parent().expect("a directory")).expect("made");
    std::fs::write(file_of(&app, &extra), &extra.bytes).expect("written");
    let odd = app.data().join("docker/registry/v2/blobs/sha256/00");
    std::fs::create_dir_all(&odd).expect("made");
    std::fs::write(odd.join("README"), "what is this").expect("written");
    let small = &built.blobs[2];
    flip_in_database(&app.data().join("gantry.db"), &small.bytes);
    flip_in_database(&app.data().join("gantry.db"), &built.manifest.bytes);

    let mut before = None;
    for (more, row, file) in [(&[][..], "reported", "reported"), (&["--repair"][..], "hidden", "quarantined")]
    {
        let (status, report) = verify(app.data(), more).await;
        assert_eq!(status.code(), Some(1), "{report}");
        let one = |subject: &str, action: &str| vec![(subject.to_owned(), action.to_owned())];
        let mut damaged = findings(&report, "blob-damaged");
        damaged.sort();
        let mut expected = [one(&flipped.digest, file), one(&small.digest, row)].concat();
        expected.sort();
        assert_eq!(damaged, expected, "{report}");
        assert_eq!(findings(&report, "blob-size"), one(&cut.digest, file));
        assert_eq!(findings(&report, "blob-missing"), one(&lost.digest, row));
        assert_eq!(findings(&report, "manifest-damaged"), one(built.digest(), row));
        let unknown = findings(&report, "unknown-file");
        assert!(unknown.len() == 1 && unknown[0].0.ends_with("/data") && unknown[0].1 == file, "{report}");
        assert_eq!(findings(&report, "odd-file")[0].1, "kept");
        assert_eq!((&report["damage"], &report["notes"]), (&5.into(), &2.into()), "{report}");
        let files =
            std::fs::read_dir(app.data().join("docker/registry/v2/blobs/sha256")).expect("it").count();
        assert!(*before.get_or_insert(files) == files, "nothing is removed");
    }
    for blob in [&flipped, &cut, &extra] {
        assert!(quarantined(&app, blob).exists(), "{}", blob.digest);
    }
    // Said again until they are healed.
    let (status, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(
        (status.code(), &report["damage"], &report["repaired"]),
        (Some(1), &5.into(), &0.into()),
        "{report}"
    );

    // A file that comes back, from a backup say, is right again.
    std::fs::create_dir_all(file_of(&app, &lost).parent().expect("a directory")).expect("made");
    std::fs::write(file_of(&app, &lost), &lost.bytes).expect("written");
    let (_, report) = verify(app.data(), &["--repair"]).await;
    assert!(report["findings"].to_string().contains("healed"), "{report}");

    app.restart().await;
    let repo = app.client().at(&name);
    repo.has_blob(&whole).await;
    repo.has_blob(&lost).await;
    repo.lacks_manifest("v1").await;
    for blob in [&flipped, &cut, small] {
        repo.lacks_blob(&blob.digest).await;
        repo.push_blob(blob).await;
        repo.has_blob(blob).await;
    }
    repo.push_manifest("v1", &built.manifest).await;
    repo.has_manifest(built.digest(), &built.manifest).await;
    app.sigterm().await;
    let (status, report) = verify(app.data(), &[]).await;
    assert_eq!((status.code(), &report["damage"]), (Some(0), &0.into()), "{report}");
}

/// What sessions will go on from is not touched, nor is what may belong to another registry on the same volume.
#[tokio::test]
async fn repair_keeps_what_uploads_rely_on() {
    let mut app = Gantry::start().await;
    let name = app.repo().name;
    let repo = app.client().at(&name);
    let blob = Blob::new(500_000);
    let location = repo.start_upload().await;
    repo.client.patch(&location, blob.bytes.slice(..300_000)).await.status(202);
    tokio::time::sleep(Duration::from_millis(200)).await;
    app.sigterm().await;
    let extra = Blob::new(20_000);
    std::fs::create_dir_all(file_of(&app, &extra).parent().expect("a directory")).expect("made");
    std::fs::write(file_of(&app, &extra), &extra.bytes).expect("written");
    let leftover = app.data().join("uploads/0f8fad5b-d9cb-469f-a165-70867728950e");
    std::fs::write(&leftover, "nobody's").expect("written");
    let links = app.data().join("docker/registry/v2/repositories");
    std::fs::create_dir(&links).expect("made");
    let (status, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!(findings(&report, "unknown-file")[0].1, "kept", "{report}");
    assert_eq!(findings(&report, "upload-leftover").len(), 1, "{report}");
    assert!(file_of(&app, &extra).exists() && leftover.exists());
    std::fs::remove_dir(&links).expect("removed");
    let (_, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(findings(&report, "unknown-file")[0].1, "quarantined", "{report}");
    app.restart().await;
    let repo = app.client().at(&name);
    assert_eq!(repo.progress(&location).await, "0-299999");
    repo.client.patch(&location, blob.bytes.slice(300_000..)).await.status(202);
    repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;
}

/// The bytes have their name and the row could not be written: the push goes on from there, so the file stays.
#[tokio::test]
async fn repair_keeps_bytes_whose_row_is_still_to_come() {
    let app = Gantry::start().await;
    let repo = app.repo();
    let blob = Blob::new(200_000);
    let location = repo.start_upload().await;
    repo.client.patch(&location, blob.bytes.clone()).await.status(202);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Another process holds the database: somebody's shell.
    let shell = rusqlite::Connection::open(app.data().join("gantry.db")).expect("the database");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(503);
    shell.execute_batch("ROLLBACK").expect("let go");
    assert!(file_of(&app, &blob).exists(), "published");
    let (status, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(status.code(), Some(0), "{report}");
    assert_eq!(findings(&report, "unknown-file")[0].1, "kept", "{report}");
    repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;
    let (_, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(report["findings"], serde_json::json!([]));
}

/// By the server itself, through its control socket, while it serves: what is right stays, what is wrong is hidden.
#[tokio::test]
async fn a_running_server_verifies_and_repairs_beside_pushes() {
    let app = Gantry::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let name = app.repo().name;
    let workers: Vec<_> =
        (0..3).map(|_| tokio::spawn(push_until(app.client().at(&name), Arc::clone(&stop)))).collect();
    let repo = app.repo();
    let (flipped, whole) = (Blob::new(100_000), Blob::new(100_001));
    repo.push_blob(&flipped).await;
    repo.push_blob(&whole).await;
    for round in 0..6 {
        if round == 3 {
            flip(&file_of(&app, &flipped), 7);
        }
        let repair: &[&str] = if round > 0 { &["--repair"] } else { &[] };
        let (status, report) = verify(app.data(), repair).await;
        let expected = match round {
            0..3 => vec![],
            3 => vec![(flipped.digest.clone(), "quarantined".to_owned())],
            _ => vec![(flipped.digest.clone(), "kept".to_owned())],
        };
        assert_eq!(status.code(), Some(i32::from(round >= 3)), "round {round}: {report}");
        let found = [findings(&report, "blob-damaged"), findings(&report, "blob-missing")].concat();
        assert_eq!(found, expected, "{report}");
        assert_eq!(report["damage"], expected.len(), "{report}");
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        assert!(worker.await.expect("a worker") > 0);
    }
    repo.lacks_blob(&flipped.digest).await;
    repo.has_blob(&whole).await;
    repo.push_blob(&flipped).await;
    repo.has_blob(&flipped).await;
    let (status, report) = verify(app.data(), &[]).await;
    assert_eq!((status.code(), &report["damage"]), (Some(0), &0.into()), "{report}");
    // For people: lines.
    let data = app.data().to_str().expect("a path");
    let (_, out, _) = run(&["verify", "--data", data]).await;
    assert!(out.starts_with("all is well: looked at "), "{out}");
}

/// The drill: the database first, then the blobs, while pushes go on.
#[tokio::test]
async fn a_backup_taken_under_load_verifies_clean_and_serves() {
    let mut app = Gantry::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let name = app.repo().name;
    let early = image().build();
    app.client().at(&name).push("early", &early).await.status(201);
    let workers: Vec<_> =
        (0..3).map(|_| tokio::spawn(push_until(app.client().at(&name), Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let restored = app.dir().join("restored");
    std::fs::create_dir(&restored).expect("made");
    let (from, to) = (app.data().to_owned(), restored.clone());
    tokio::task::spawn_blocking(move || {
        let database = rusqlite::Connection::open(from.join("gantry.db")).expect("the database");
        let copy = to.join("gantry.db");
        database.execute("VACUUM INTO ?1", [copy.to_str().expect("a path")]).expect("copied");
        let copied =
            Command::new("cp").arg("-r").args([from.join("gantry.store"), from.join("docker"), to]).status();
        assert!(copied.is_ok_and(|status| status.success()));
    })
    .await
    .expect("copied");
    stop.store(true, Ordering::Relaxed);
    let mut pushed = 0;
    for worker in workers {
        pushed += worker.await.expect("a worker");
    }
    let (status, report) = verify(&restored, &[]).await;
    assert_eq!((status.code(), &report["damage"]), (Some(0), &0.into()), "{report}");
    assert!(findings(&report, "dangling-reference").is_empty(), "{report}");
    let manifests = report["manifests"].as_u64().expect("a number");
    assert!(manifests > 1, "{pushed} were pushed in the end");
    app.sigterm().await;
    std::fs::rename(app.data(), app.dir().join("lost")).expect("moved");
    std::fs::rename(&restored, app.data()).expect("moved");
    app.restart().await;
    let repo = app.client().at(&name);
    repo.has_manifest("early", &early.manifest).await;
    for blob in &early.blobs {
        repo.has_blob(blob).await;
    }
    assert!(repo.tags().await.len() > 1);
}

/// Pages that make no sense: the start or the check says so, and what to do.
#[tokio::test]
async fn damaged_pages_of_the_database_are_told() {
    let mut app = Gantry::start().await;
    let repo = app.repo();
    for number in 0..40 {
        repo.push(&format!("v{number}"), &image().build()).await.status(201);
    }
    app.sigterm().await;
    let database = app.data().join("gantry.db");
    let good = std::fs::read(&database).expect("the database");
    let mut told = 0;
    for page in (1..good.len() / 4096).step_by(7) {
        let mut bad = good.clone();
        bad[page * 4096..page * 4096 + 100].fill(0x5a);
        std::fs::write(&database, bad).expect("written");
        let data = app.data().to_str().expect("a path");
        let (status, out, err) = run(&["verify", "--data", data]).await;
        if status.code() == Some(0) {
            // A page that nothing needs.
            continue;
        }
        told += 1;
        assert_eq!(status.code(), Some(1), "{out}{err}");
        assert!(out.contains("DAMAGE") || err.contains("damaged"), "{out}{err}");
    }
    assert!(told > 3, "{told} damaged pages were noticed");
}

/// Rows that cannot be, or that name rows that are not there: told one by one, and the rest is checked all the same.
#[tokio::test]
async fn rows_that_contradict_each_other_are_told() {
    let mut app = Gantry::start().await;
    let repo = app.repo();
    repo.push("v1", &image().build()).await.status(201);
    repo.push("v2", &image().build()).await.status(201);
    let odd = Blob::new(30_000);
    repo.push_blob(&odd).await;
    app.sigterm().await;
    let database = rusqlite::Connection::open(app.data().join("gantry.db")).expect("the database");
    database
        .execute_batch(
            "PRAGMA foreign_keys = OFF;
             UPDATE blobs SET digest = x'0901' WHERE size = 30000;
             UPDATE tags SET manifest = 999 WHERE name = 'v2';",
        )
        .expect("changed");
    drop(database);
    let (status, report) = verify(app.data(), &["--repair"]).await;
    assert_eq!(status.code(), Some(1), "{report}");
    assert_eq!(findings(&report, "row").len(), 1, "{report}");
    assert_eq!(findings(&report, "database").len(), 1, "{report}");
    assert!(report.to_string().contains("tags") && report.to_string().contains("manifests"), "{report}");
    assert_eq!((&report["blobs"], &report["manifests"]), (&7.into(), &2.into()), "{report}");
    // The blob's row does not know its file any more.
    assert_eq!(findings(&report, "unknown-file").len(), 1, "{report}");
    let (_, report) = verify(app.data(), &[]).await;
    assert_eq!(
        (&report["damage"], &report["notes"]),
        (&2.into(), &0.into()),
        "nothing more is made of it: {report}"
    );
}

#[tokio::test]
async fn verify_without_a_store_says_so_and_makes_none() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let nothing = dir.path().join("nothing");
    let (status, out, err) = run(&["verify", "--data", nothing.to_str().expect("a path")]).await;
    assert_eq!(status.code(), Some(1), "{out}{err}");
    assert!(err.contains("there is no registry in"), "{err}");
    assert!(!nothing.exists());
    let (status, ..) = run(&["verify", "--mend"]).await;
    assert_eq!(status.code(), Some(2));
}
