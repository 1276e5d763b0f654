//! A store of several storages at its door: what is made, what is refused, and with which words.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod scratch;

use std::collections::BTreeMap;
use std::sync::Arc;

use gantry_storage::meta::suite::{blob, repo};
use gantry_storage::{BlobContent, NewBlob, OpenError, StorageId, Store, StoreConfig};

use self::scratch::Scratch;

/// A data directory, and storages by name in directories of the scratch.
fn config(scratch: &Scratch, storages: &[(&str, &str)]) -> StoreConfig {
    let storages: BTreeMap<_, _> =
        storages.iter().map(|(name, path)| ((*name).to_owned(), scratch.0.join(path))).collect();
    StoreConfig { storages, ..scratch.config() }
}

async fn open(config: StoreConfig) -> Store {
    scratch::open(&config).await
}

async fn refused(config: StoreConfig) -> OpenError {
    match Store::open(config).await {
        Ok(_) => panic!("this should have been refused"),
        Err(error) => error,
    }
}

fn number(store: &Store, name: &str) -> StorageId {
    store.storages.named(name).expect("a storage of this name").id
}

/// A blob in a storage, as far as the rows know.
async fn put(store: &Store, storage: StorageId, content: &str) {
    let content_of = BlobContent::Stored { storage, location: None };
    let new = NewBlob { content: content_of, ..blob(&repo("team/app"), content) };
    store.meta.put_blob(new).await.expect("stored");
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_behaves_with_several_storages() {
    for cache_bytes in [16 << 20, 0] {
        let scratch = Scratch::new();
        let store = open(StoreConfig { cache_bytes, ..config(&scratch, &[("archive", "archive")]) }).await;
        let archive = number(&store, "archive");
        gantry_storage::meta::suite::run_storages(Arc::clone(&store.meta), archive).await;
        assert_eq!(store.meta.check_structure(10).await.expect("readable"), Vec::<String>::new());
    }
}

#[tokio::test]
async fn every_storage_is_a_directory_with_a_marker_of_its_own() {
    let scratch = Scratch::new();
    let config = config(&scratch, &[("archive", "a/deep/archive"), ("fast", "fast")]);
    let store = open(config.clone()).await;
    let names: Vec<_> = store.storages.iter().map(|storage| storage.name.to_string()).collect();
    assert_eq!(names, ["default", "archive", "fast"]);
    let (archive, fast) = (number(&store, "archive"), number(&store, "fast"));
    assert_ne!(archive, fast);
    for (directory, name) in [("data", "default"), ("a/deep/archive", "archive"), ("fast", "fast")] {
        let marker =
            std::fs::read_to_string(scratch.0.join(directory).join("gantry.store")).expect("a marker");
        assert!(marker.starts_with(&format!("{}\nstorage {name}\n", store.id())), "{marker}");
    }
    gantry_storage::blobs::suite::run(Arc::clone(store.storages.blobs(archive).expect("there"))).await;
    store.close().await;
    let store = open(config).await;
    assert_eq!((number(&store, "archive"), number(&store, "fast")), (archive, fast), "numbers stay");
}

#[tokio::test]
async fn a_storage_that_rows_need_must_be_configured() {
    let scratch = Scratch::new();
    let store = open(config(&scratch, &[("archive", "archive"), ("fast", "fast")])).await;
    let (archive, fast) = (number(&store, "archive"), number(&store, "fast"));
    put(&store, archive, "one").await;
    put(&store, archive, "two").await;
    store.close().await;

    let error = refused(config(&scratch, &[("fast", "fast")])).await;
    assert!(
        matches!(&error, OpenError::StorageNotConfigured { name, blobs: 2 } if name == "archive"),
        "{error}"
    );
    assert!(error.to_string().contains("`archive` is not configured, but 2 blobs lie there"), "{error}");
    assert!(error.to_string().contains("[storage.archive.local]"), "{error}");

    // One without blobs may go, and come back as another one, wherever it lies.
    open(config(&scratch, &[("archive", "archive")])).await.close().await;
    let store = open(config(&scratch, &[("archive", "archive"), ("fast", "elsewhere")])).await;
    assert_eq!(number(&store, "archive"), archive);
    assert_ne!(number(&store, "fast"), fast, "no number is used twice");
}

#[tokio::test]
async fn an_empty_mount_point_is_not_taken_for_a_storage_that_has_blobs() {
    let scratch = Scratch::new();
    let config = config(&scratch, &[("archive", "archive")]);
    let (directory, away) = (scratch.0.join("archive"), scratch.0.join("away"));
    let store = open(config.clone()).await;
    store.close().await;

    // As long as nothing is there, the directory may be another one.
    std::fs::rename(&directory, &away).expect("unmounted");
    let store = open(config.clone()).await;
    let archive = number(&store, "archive");
    put(&store, archive, "one").await;
    store.close().await;

    std::fs::remove_dir_all(&away).expect("removed");
    std::fs::rename(&directory, &away).expect("unmounted");
    let error = refused(config.clone()).await;
    assert!(matches!(error, OpenError::MarkerMissing { .. }), "{error}");
    assert!(!directory.exists(), "nothing is made in its place");
    std::fs::create_dir(&directory).expect("an empty mount point");
    let error = refused(config.clone()).await;
    assert!(matches!(error, OpenError::MarkerMissing { .. }), "{error}");
    assert!(error.to_string().contains("is the disk mounted?"), "{error}");
    assert_eq!(std::fs::read_dir(&directory).expect("readable").count(), 0, "nothing is written to it");
    // The message says how to go on.
    std::fs::remove_dir(&directory).expect("removed");
    std::fs::rename(&away, &directory).expect("mounted again");
    let store = open(config.clone()).await;
    let id = store.id().to_owned();
    store.close().await;
    std::fs::write(directory.join("gantry.store"), &id).expect("written by hand");
    open(config).await;
}

#[tokio::test]
async fn directories_that_are_mixed_up_are_refused() {
    let scratch = Scratch::new();
    open(config(&scratch, &[("archive", "archive"), ("fast", "fast")])).await.close().await;

    let error = refused(config(&scratch, &[("archive", "fast"), ("fast", "archive")])).await;
    let told = error.to_string();
    assert!(matches!(error, OpenError::OtherStorage { .. }), "{told}");
    assert!(told.contains("for the storage `archive`") && told.contains("that of `fast`"), "{told}");

    std::os::unix::fs::symlink(scratch.0.join("archive"), scratch.0.join("link")).expect("a link");
    for (path, first) in [("link", "archive"), ("archive/../archive", "archive"), ("data", "default")] {
        let error = refused(config(&scratch, &[("archive", "archive"), ("second", path)])).await;
        let told = error.to_string();
        let OpenError::SameDirectory { first: found, second, .. } = error else { panic!("{told}") };
        assert_eq!((found.as_str(), second.as_str()), (first, "second"), "{told}");
    }

    // Of another store.
    let mut stranger = config(&scratch, &[("archive", "archive")]);
    stranger.data_dir = scratch.0.join("other-data");
    let error = refused(stranger).await;
    assert!(matches!(error, OpenError::ForeignBlobs { .. }), "{error}");
    std::fs::write(scratch.0.join("a-file"), "").expect("written");
    let error = refused(config(&scratch, &[("archive", "a-file")])).await;
    assert!(error.to_string().contains("a-file"), "{error}");
    open(config(&scratch, &[("archive", "archive"), ("fast", "fast")])).await;
}
