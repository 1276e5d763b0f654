//! Bit rot: wrong bytes are never a complete answer, `gantry verify` finds them, a push heals them, and nothing that a push
//! relies on is touched.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use super::eventually;
use super::store::file_of;
use crate::harness::server::run;
use crate::harness::{Blob, Gantry, Repo, image, types};

/// A server that takes everything for due after a moment, and whose background check is busy for the whole test with what was
/// pushed first.
async fn with_a_busy_background() -> Gantry {
    let app = Gantry::options().set("verify.interval", "100ms").set("verify.rate", "8KiB").start().await;
    app.repo().push_blob(&Blob::new(2 << 20)).await;
    // It takes up the first blob when that is due.
    tokio::time::sleep(Duration::from_millis(400)).await;
    app
}

/// A server whose background check never comes to an end.
async fn with_an_eager_background() -> Gantry {
    Gantry::options().set("verify.interval", "100ms").set("verify.rate", "1GiB").start().await
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("the file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

fn quarantined(app: &Gantry, blob: &Blob) -> PathBuf {
    let hex = blob.digest.strip_prefix("sha256:").expect("a digest");
    app.data().join("quarantine/sha256").join(hex)
}

async fn metric(app: &Gantry, name: &str) -> u64 {
    let text = app.operator().get("/metrics").await.status(200);
    let text = String::from_utf8(text.body.to_vec()).expect("text");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().expect("a number")
}

/// Runs `gantry verify --json`.
async fn verify(data: &Path, more: &[&str]) -> (ExitStatus, Value) {
    let data = data.to_str().expect("a path");
    let (status, out, err) = run(&[&["verify", "--json", "--data", data], more].concat()).await;
    let report = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{status}\n{out}\n{err}"));
    (status, report)
}

/// The findings of a kind, as subject and action.
fn findings(report: &Value, kind: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = report["findings"].as_array().expect("a list").iter();
    all.filter(|one| one["kind"] == kind).map(|one| (text(&one["subject"]), text(&one["action"]))).collect()
}

/// Changes a byte of the database in the middle of where these bytes are.
fn flip_in_database(database: &Path, content: &[u8]) {
    let needle = &content[content.len() / 2..content.len() / 2 + 40];
    let stored = std::fs::read(database).expect("the database");
    let found: Vec<_> =
        stored.windows(needle.len()).enumerate().filter(|(_, some)| *some == needle).collect();
    assert!(!found.is_empty(), "the bytes are in the database");
    let places: Vec<usize> = found.iter().map(|(at, _)| at + 20).collect();
    for at in places {
        flip(database, at);
    }
}

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

/// A push of what is there already replaces bytes in the database that nobody knew to be damaged.
#[tokio::test]
async fn a_push_heals_rows_that_nobody_looked_at() {
    let mut app = Gantry::start().await;
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

async fn push_until(repo: Repo, stop: Arc<AtomicBool>) -> usize {
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        let layers = [Blob::new(50_000), Blob::new(500)];
        let built = image().layers(types::OCI_LAYER, &layers).build();
        repo.push(&format!("v{number}"), &built).await.status(201);
    }
    0
}

/// The drill: the database first, then the blobs, while pushes go on.
#[tokio::test]
async fn a_backup_taken_under_load_verifies_clean_and_serves() {
    let app = Gantry::start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let name = app.repo().name;
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
    assert!(manifests > 0, "{pushed} were pushed in the end");
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
