//! The storage as its callers see it, on real files: the behaviour suites, what survives, what is refused at the door, and what
//! a failing disk does.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod scratch;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher, Reference};
use gantry_storage::blobs::suite::{content, read, store as store_blob};
use gantry_storage::meta::suite::{blob, manifest, repo, tag, upload, upload_id};
use gantry_storage::{
    BlobContent, NewBlob, NewManifest, OpenError, StorageError, StorageId, Store, StoreConfig, TagLocks,
    UploadRow,
};

use self::scratch::{Scratch, config, open};

async fn refused(config: &StoreConfig) -> OpenError {
    match Store::open(config.clone()).await {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_behaves() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    gantry_storage::meta::suite::run(Arc::clone(&store.meta)).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_behaves_without_a_cache() {
    let scratch = Scratch::new();
    let store = open(&StoreConfig { cache_bytes: 0, ..scratch.config() }).await;
    gantry_storage::meta::suite::run(Arc::clone(&store.meta)).await;
    assert_eq!(store.meta.stats().manifest_hits, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_directory_behaves() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    gantry_storage::blobs::suite::run(Arc::clone(&store.blobs)).await;
    let uploads = std::fs::read_dir(scratch.0.join("data/uploads")).expect("a directory").count();
    assert_eq!(uploads, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_after_a_drop_and_after_a_close() {
    let scratch = Scratch::new();
    let name = repo("team/app");
    let session = upload_id();
    for round in 0..3 {
        let store = open(&scratch.config()).await;
        for earlier in 0..round {
            let found = store.meta.manifest(&name, &Reference::Tag(tag(&format!("t{earlier}")))).await;
            assert_eq!(found.expect("readable").expect("there").bytes, format!("manifest {earlier}"));
            let layer = content(100_000 + earlier);
            let row =
                store.meta.blob(&name, &Digest::sha256(&layer)).await.expect("readable").expect("linked");
            assert_eq!(row.content, BlobContent::Stored { storage: StorageId::DEFAULT, location: None });
            let bytes =
                store.blobs.open(&row.digest, None, row.size).await.expect("readable").expect("there");
            assert!(read(&bytes, 0..row.size).await.expect("readable") == layer);
            let offset = store.meta.upload(&session).await.expect("readable").expect("there").offset;
            assert_eq!(offset, round as u64 - 1);
        }
        let (digest, location) = store_blob(&store.blobs, &content(100_000 + round), Algorithm::Sha256).await;
        let stored = BlobContent::Stored { storage: StorageId::DEFAULT, location };
        let new = NewBlob { digest, size: 100_000 + round as u64, content: stored, ..blob(&name, "") };
        store.meta.put_blob(new).await.expect("stored");
        let new = NewManifest {
            blobs: vec![digest],
            ..manifest(&name, &format!("manifest {round}"), &[&format!("t{round}")])
        };
        store.meta.put_manifest(new).await.expect("stored");
        store.meta.save_upload_soon(upload(session, &name, round as u64)).expect("noted");
        if round == 1 {
            store.close().await;
            let log =
                std::fs::metadata(scratch.0.join("data/gantry.db-wal")).map_or(0, |metadata| metadata.len());
            assert_eq!(log, 0, "a close folds the log away");
        } else {
            // As in a crash, except that the writer ends what it was given.
            drop(store);
        }
    }
}

/// Copies the files of a running store, as a power cut would freeze them: everything acknowledged must be in the copy.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_of_a_running_store_has_everything_acknowledged() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let name = repo("a");
    for number in 0..50 {
        store
            .meta
            .put_manifest(manifest(&name, &format!("m{number}"), &[&format!("t{number}")]))
            .await
            .expect("stored");
        if number % 10 == 9 {
            let copy = Scratch::new();
            std::fs::create_dir(copy.0.join("data")).expect("a directory");
            for file in ["gantry.db-wal", "gantry.db", "gantry.store"] {
                std::fs::copy(scratch.0.join("data").join(file), copy.0.join("data").join(file))
                    .expect("copied");
            }
            let copied = open(&copy.config()).await;
            let tags = copied.meta.tags(&name, None, 1000).await.expect("readable").expect("known");
            assert_eq!(tags.len(), number + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_grouped_and_a_small_push_costs_one() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let name = repo("grouped");
    let before = store.meta.stats();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let (meta, name) = (Arc::clone(&store.meta), name.clone());
        tasks.spawn(async move {
            for number in 0..10 {
                meta.put_blob(blob(&name, &format!("{task}/{number}"))).await.expect("stored");
            }
        });
    }
    tasks.join_all().await;
    let after = store.meta.stats();
    assert_eq!(after.operations - before.operations, 640);
    let commits = after.commits - before.commits;
    assert!(commits < 320, "{commits} commits for 640 operations");
    assert_eq!(after.group_sizes.iter().sum::<u64>(), after.commits);

    // A small push: begin, send, end. Only its end is a commit.
    let (before, id) = (store.meta.stats(), upload_id());
    store.meta.save_upload_soon(upload(id, &name, 0)).expect("noted");
    store.meta.save_upload_soon(upload(id, &name, 11)).expect("noted");
    let end = NewBlob {
        upload: Some(id),
        content: BlobContent::Inline(Bytes::from("eleven byte")),
        ..blob(&name, "eleven byte")
    };
    store.meta.put_blob(end).await.expect("stored");
    let after = store.meta.stats();
    assert_eq!((after.commits - before.commits, after.operations - before.operations), (1, 1));
    tokio::time::sleep(Duration::from_millis(120)).await;
    assert_eq!(store.meta.stats().commits, after.commits, "nothing follows");
    assert_eq!(store.meta.stats().uploads_open, 0);

    // A session that stays gets its row by and by, without a flush.
    store.meta.save_upload_soon(upload(upload_id(), &name, 0)).expect("noted");
    let mut last = store.meta.stats();
    for _ in 0..400 {
        if last.commits > after.commits {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        last = store.meta.stats();
    }
    assert_eq!((last.commits - after.commits, last.uploads_open), (1, 1));
    assert!(last.database_bytes > 4096);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_makes_the_store_read_only_for_good() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let name = repo("a");
    store.meta.put_manifest(manifest(&name, "before", &["t"])).await.expect("stored");
    store.sqlite().break_next_commit();
    let answer = store.meta.put_manifest(manifest(&name, "lost", &["t"])).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "{answer:?}");
    assert!(store.meta.read_only().is_some_and(|reason| reason.contains("disk")));
    let answer = store.meta.put_blob(blob(&name, "x")).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "{answer:?}");
    assert!(matches!(
        store.meta.delete_tag(&name, &tag("t"), &TagLocks::default()).await,
        Err(StorageError::ReadOnly { .. })
    ));
    store.meta.save_upload_soon(upload(upload_id(), &name, 0)).expect("noted");
    assert!(store.meta.flush().await.is_err());
    for _ in 0..2 {
        let found =
            store.meta.manifest(&name, &Reference::Tag(tag("t"))).await.expect("readable").expect("there");
        assert_eq!(found.bytes, "before");
    }
    assert!(store.blobs.read_only().is_some(), "the other half does not go on");
    drop(store);
    let store = open(&scratch.config()).await;
    assert_eq!(store.meta.read_only(), None, "a new start trusts the disk again");
    store.meta.put_manifest(manifest(&name, "after", &["t"])).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_makes_the_store_read_only_for_good() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let (kept, _) = store_blob(&store.blobs, &content(1000), Algorithm::Sha256).await;
    let id = upload_id();
    let mut staged = store.blobs.stage(&id, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    staged.append(vec![Bytes::from_static(b"lost")]).await.expect("appended");
    staged.flush().await.expect("written");
    store.local().break_next_sync();
    let digest = Digest::sha256(b"lost");
    let answer = store.blobs.publish(&id, &digest, 4).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "{answer:?}");
    assert!(
        store.blobs.open(&digest, None, 4).await.expect("readable").is_none(),
        "no name without durable bytes"
    );
    let answer = store.blobs.stage(&upload_id(), 0, Hasher::new(Algorithm::Sha256)).await.err();
    assert!(matches!(answer, Some(StorageError::ReadOnly { .. })), "{answer:?}");
    assert!(store.blobs.read_only().is_some());
    let answer = store.meta.put_blob(blob(&repo("a"), "x")).await;
    assert!(matches!(answer, Err(StorageError::ReadOnly { .. })), "rows neither: {answer:?}");
    let blob = store.blobs.open(&kept, None, 1000).await.expect("readable").expect("there");
    assert_eq!(read(&blob, 0..1000).await.expect("readable"), content(1000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_got_shorter_is_an_error_and_not_an_end() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let (digest, _) = store_blob(&store.blobs, &content(500_000), Algorithm::Sha256).await;
    let path = scratch.0.join(format!(
        "data/docker/registry/v2/blobs/sha256/{}/{}/data",
        &digest.hex()[..2],
        digest.hex()
    ));
    assert_eq!(std::fs::metadata(&path).expect("there").len(), 500_000);
    let blob = store.blobs.open(&digest, None, 500_000).await.expect("readable").expect("there");
    std::fs::OpenOptions::new().write(true).open(&path).expect("opened").set_len(400_000).expect("cut");
    let answer = read(&blob, 0..500_000).await;
    assert!(matches!(answer, Err(StorageError::Corrupt { .. })), "{:?}", answer.map(|bytes| bytes.len()));
    assert!(store.blobs.open(&digest, None, 500_000).await.expect("readable").is_none());
    // A push of the same blob heals it.
    store_blob(&store.blobs, &content(500_000), Algorithm::Sha256).await;
    assert!(store.blobs.open(&digest, None, 500_000).await.expect("readable").is_some());
}

#[tokio::test]
async fn odd_files_among_the_uploads_are_skipped() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let uploads = scratch.0.join("data/uploads");
    for odd in ["README", ".nfs0001", "0f8fad5b-d9cb-469f-a165", "0F8FAD5B-D9CB-469F-A165-70867728950E.tmp"] {
        std::fs::write(uploads.join(odd), b"odd").expect("written");
    }
    std::fs::create_dir(uploads.join(upload_id().to_string())).expect("a directory");
    assert!(store.blobs.staged().await.expect("a list").is_empty());
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let error = refused(&scratch.config()).await;
    assert!(
        matches!(&error, OpenError::InUse { pid: Some(pid), .. } if *pid == std::process::id()),
        "{error}"
    );
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let lock = scratch.0.join("data/gantry.lock");
    // Another program sees the same lock.
    let flock = Command::new("flock").arg("--nonblock").arg(&lock).arg("true").status();
    match flock {
        Ok(status) => assert!(!status.success(), "the lock is held against other processes"),
        Err(error) => println!("not tried with another process: flock: {error}"),
    }
    drop(store);
    drop(open(&scratch.config()).await);
}

#[tokio::test]
async fn an_empty_mount_point_is_refused() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let store = open(&config).await;
    let id = store.id().to_owned();
    drop(store);
    let hidden = scratch.0.join("elsewhere");
    std::fs::rename(&config.data_dir, &hidden).expect("unmounted");
    std::fs::create_dir(&config.data_dir).expect("the mount point");
    std::fs::create_dir(config.data_dir.join("lost+found")).expect("a fresh file system");
    let error = refused(&config).await;
    assert!(matches!(&error, OpenError::EmptyMount { id: found, .. } if *found == id), "{error}");
    assert!(
        error.to_string().contains("is the volume mounted?") && error.to_string().contains("data.gantry"),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(&config.data_dir).expect("readable").count(), 1, "nothing was made there");
    std::fs::remove_file(scratch.0.join("data.gantry")).expect("the note");
    let fresh = open(&config).await;
    assert_ne!(fresh.id(), id, "a new store");
    drop(fresh);
    std::fs::remove_dir_all(&config.data_dir).expect("removed");
    std::fs::rename(&hidden, &config.data_dir).expect("mounted again");
    assert_eq!(open(&config).await.id(), id, "the right one again, whatever the note says");
}

#[tokio::test]
async fn a_blob_directory_that_does_not_belong_is_refused() {
    let scratch = Scratch::new();
    let separate = |name: &str, blobs: &str| StoreConfig {
        blob_path: Some(scratch.0.join(blobs)),
        ..config(&scratch.0.join(name))
    };
    let id = open(&separate("a", "blobs-a")).await.id().to_owned();
    drop(open(&separate("b", "blobs-b")).await);

    let error = refused(&separate("a", "blobs-b")).await;
    assert!(matches!(error, OpenError::ForeignBlobs { .. }), "{error}");
    let error = refused(&separate("a", "blobs-unmounted")).await;
    assert!(matches!(error, OpenError::MarkerMissing { .. }), "{error}");
    assert!(error.to_string().contains("is the disk mounted?"), "{error}");
    let error = refused(&separate("c", "blobs-a")).await;
    assert!(matches!(&error, OpenError::DatabaseMissing { found, .. } if *found == id), "{error}");
    assert!(!scratch.0.join("c/gantry.db").exists(), "no database is made that would hide the loss");
    std::fs::write(scratch.0.join("blobs-a/gantry.store"), b"\xff nonsense").expect("written");
    let error = refused(&separate("a", "blobs-a")).await;
    assert!(matches!(error, OpenError::BadMarker { .. }), "{error}");
    // The message says how to repair it.
    std::fs::write(scratch.0.join("blobs-a/gantry.store"), &id).expect("written");
    assert_eq!(open(&separate("a", "blobs-a")).await.id(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_distribution_volume_is_taken_over_in_place() {
    let scratch = Scratch::new();
    let config = scratch.config();
    let digest = Digest::sha256(b"an old layer");
    let directory = config.data_dir.join(format!(
        "docker/registry/v2/blobs/sha256/{}/{}",
        &digest.hex()[..2],
        digest.hex()
    ));
    std::fs::create_dir_all(&directory).expect("made");
    std::fs::write(directory.join("data"), b"an old layer").expect("written");
    let store = open(&config).await;
    let blob = store.blobs.open(&digest, None, 12).await.expect("readable").expect("there");
    assert_eq!(read(&blob, 0..12).await.expect("readable"), b"an old layer");
}

#[tokio::test]
async fn a_database_that_cannot_be_used_says_what_to_do() {
    let scratch = Scratch::new();
    let database = |name: &str| scratch.0.join(name).join("gantry.db");
    let sqlite = |name: &str, sql: &str| {
        std::fs::create_dir_all(scratch.0.join(name)).expect("made");
        rusqlite::Connection::open(database(name)).expect("opened").execute_batch(sql).expect("done");
    };

    std::fs::create_dir_all(scratch.0.join("garbage")).expect("made");
    std::fs::write(database("garbage"), content(50_000)).expect("written");
    let error = refused(&config(&scratch.0.join("garbage"))).await;
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert!(std::fs::read(database("garbage")).expect("readable") == content(50_000), "it is left alone");

    sqlite("foreign", "CREATE TABLE photos (id INTEGER)");
    let error = refused(&config(&scratch.0.join("foreign"))).await;
    assert!(matches!(error, OpenError::NotOurs { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");

    drop(open(&config(&scratch.0.join("newer"))).await);
    sqlite("newer", "PRAGMA user_version = 9999");
    let error = refused(&config(&scratch.0.join("newer"))).await;
    assert!(matches!(error, OpenError::NewerSchema { found: 9999, .. }), "{error}");

    let store = open(&config(&scratch.0.join("torn"))).await;
    for number in 0..20 {
        store.meta.put_manifest(manifest(&repo(&format!("r{number}")), "m", &["t"])).await.expect("stored");
    }
    store.close().await;
    let file = std::fs::OpenOptions::new().write(true).open(database("torn")).expect("opened");
    file.set_len(8192).expect("cut");
    let error = refused(&config(&scratch.0.join("torn"))).await;
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
    assert!(error.to_string().contains("backup"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_held_by_somebody_else_is_an_answer_in_time() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let name = repo("a");
    store.meta.put_manifest(manifest(&name, "m", &["t"])).await.expect("stored");
    let shell = rusqlite::Connection::open(scratch.0.join("data/gantry.db")).expect("opened");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let begun = Instant::now();
    let answer = store.meta.put_manifest(manifest(&name, "n", &["t"])).await;
    assert!(matches!(answer, Err(StorageError::Unavailable { .. })), "{answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(store.meta.tags(&name, None, 9).await.expect("readable").is_some(), "reads go on");
    shell.execute_batch("ROLLBACK").expect("unlocked");
    store.meta.put_manifest(manifest(&name, "n", &["t"])).await.expect("stored");
    assert_eq!(store.meta.read_only(), None);
}

/// A file system of a few MiB, unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(scratch: &Scratch, size: &str) -> Option<SmallDisk> {
        if std::fs::metadata(&scratch.0).map_or(true, |metadata| metadata.uid() != 0) {
            println!("skipped: a small file system needs root");
            return None;
        }
        let path = scratch.0.join("small");
        std::fs::create_dir(&path).expect("made");
        let options = format!("size={size}");
        match Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path).status() {
            Ok(status) if status.success() => Some(SmallDisk(path)),
            other => {
                println!("skipped: mounting a tmpfs: {other:?}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_passes_and_leaves_nothing_half_written() {
    let scratch = Scratch::new();
    let Some(disk) = SmallDisk::mount(&scratch, "8m") else { return };
    let store = open(&config(&disk.0.join("data"))).await;
    let name = repo("a");
    store.meta.put_manifest(manifest(&name, "before", &["t"])).await.expect("stored");
    let (kept, _) = store_blob(&store.blobs, &content(100_000), Algorithm::Sha256).await;

    // An upload that does not fit: it is cut back to what was good, and its hash too.
    let id = upload_id();
    let mut staged = store.blobs.stage(&id, 0, Hasher::new(Algorithm::Sha256)).await.expect("staged");
    let piece = content(300_000);
    let mut failed = None;
    for _ in 0..100 {
        if let Err(error) = staged.append(vec![piece.clone()]).await {
            failed = Some(error);
            break;
        }
    }
    let failed = match failed {
        Some(error) => error,
        None => staged.flush().await.expect_err("100 pieces do not fit"),
    };
    assert!(matches!(failed, StorageError::Full { .. }), "{failed}");
    staged.flush().await.expect("nothing is in flight any more");
    let good = staged.offset();
    assert!(good > 0);
    let path = disk.0.join(format!("data/uploads/{id}"));
    assert_eq!(std::fs::metadata(&path).expect("there").len(), good);
    let again =
        store.blobs.hash_staged(&id, good, Algorithm::Sha256).await.expect("readable").expect("enough");
    assert_eq!(again.finish(), staged.hasher().finish());

    // Rows that do not fit: fill what is left first.
    let ballast = disk.0.join("ballast");
    let mut size = 4 << 20;
    let mut written = Vec::new();
    while size >= 4096 {
        written.resize(written.len() + size, 1_u8);
        if std::fs::write(&ballast, &written).is_err() {
            written.truncate(written.len() - size);
            size /= 2;
        }
    }
    let mut answer = Ok(());
    for number in 0..400 {
        let new =
            NewBlob { content: BlobContent::Inline(content(16_000)), ..blob(&name, &format!("b{number}")) };
        answer = store.meta.put_blob(new).await;
        if answer.is_err() {
            break;
        }
    }
    assert!(matches!(answer, Err(StorageError::Full { .. })), "{answer:?}");
    let answer = store.meta.put_manifest(manifest(&name, &"x".repeat(100_000), &["t"])).await;
    assert!(matches!(answer, Err(StorageError::Full { .. })), "{answer:?}");
    let found =
        store.meta.manifest(&name, &Reference::Tag(tag("t"))).await.expect("readable").expect("there");
    assert_eq!(found.bytes, "before", "reads go on");
    let bytes = store.blobs.open(&kept, None, 100_000).await.expect("readable").expect("there");
    assert!(read(&bytes, 0..100_000).await.expect("readable") == content(100_000));

    // Room again: no restart needed.
    drop(staged);
    store.blobs.discard(&id).await.expect("discarded");
    std::fs::remove_file(&ballast).expect("removed");
    store.meta.put_manifest(manifest(&name, "after", &["t"])).await.expect("stored");
    store_blob(&store.blobs, &content(200_000), Algorithm::Sha256).await;
    assert_eq!((store.meta.read_only(), store.blobs.read_only()), (None, None));
    store.close().await;
    let store = open(&config(&disk.0.join("data"))).await;
    assert!(store.blobs.staged().await.expect("a list").is_empty());
    drop(store);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_end_leaves_the_session_as_it_was() {
    let scratch = Scratch::new();
    let store = open(&scratch.config()).await;
    let (name, id) = (repo("a"), upload_id());
    let row = UploadRow { offset: 77, ..upload(id, &name, 0) };
    store.meta.save_upload_soon(row.clone()).expect("noted");
    let shell = rusqlite::Connection::open(scratch.0.join("data/gantry.db")).expect("opened");
    shell.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let end = NewBlob { upload: Some(id), ..blob(&name, "ended") };
    assert!(store.meta.put_blob(end.clone()).await.is_err());
    assert_eq!(store.meta.upload(&id).await.expect("readable"), Some(row.clone()));
    shell.execute_batch("ROLLBACK").expect("unlocked");
    store.meta.flush().await.expect("written");
    assert_eq!(store.meta.upload(&id).await.expect("readable"), Some(row));
    store.meta.put_blob(end).await.expect("stored");
    assert_eq!(store.meta.upload(&id).await.expect("readable"), None);
}
