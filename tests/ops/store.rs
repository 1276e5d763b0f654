//! The data directory: one owner, no empty mount points, no damaged databases; an existing volume stays what it is.

use std::path::{Path, PathBuf};

use crate::harness::server::run;
use crate::harness::{Blob, Gantry, image};

async fn refused(data: &Path) -> String {
    let data = data.to_str().expect("a path");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--set", "operator.listen=off", "--data", data];
    let (status, out, err) = run(&arguments).await;
    assert_eq!(status.code(), Some(1), "{out}{err}");
    err
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_directory() {
    let app = Gantry::start().await;
    let err = refused(app.data()).await;
    assert!(err.contains(&app.pid().to_string()), "the process is named: {err}");
    app.client().get("/v2/").await.status(200);
}

#[tokio::test]
async fn a_directory_that_was_used_and_is_empty_now_is_refused() {
    let mut app = Gantry::start().await;
    let repo = app.client().repo();
    repo.push("v1", &image().build()).await.status(201);
    app.sigterm().await;
    let aside = app.dir().join("aside");
    std::fs::rename(app.data(), &aside).expect("moved");
    std::fs::create_dir(app.data()).expect("an empty mount point");
    let err = refused(app.data()).await;
    assert!(err.contains("mounted"), "{err}");
    assert_eq!(
        std::fs::read_dir(app.data()).expect("the directory").count(),
        0,
        "nothing is written into it"
    );
    std::fs::remove_dir(app.data()).expect("removed");
    std::fs::rename(&aside, app.data()).expect("moved back");
    app.restart().await;
    let again = app.client().at(&repo.name);
    assert_eq!(again.tags().await, ["v1"]);
}

#[tokio::test]
async fn a_corrupt_database_is_told_with_what_to_do() {
    let mut app = Gantry::start().await;
    let image = image().build();
    app.client().repo().push("v1", &image).await.status(201);
    app.sigterm().await;
    let database = app.data().join("gantry.db");
    let good = std::fs::read(&database).expect("the database");
    let mut bad = good.clone();
    bad[..4096].fill(0x5a);
    for damaged in [bad, b"this is no database at all, but it is long enough to be looked at".to_vec()] {
        std::fs::write(&database, damaged).expect("written");
        for log in ["gantry.db-wal", "gantry.db-shm"] {
            let _ = std::fs::remove_file(app.data().join(log));
        }
        let err = refused(app.data()).await;
        assert!(err.contains("gantry.db") && (err.contains("restore") || err.contains("backup")), "{err}");
    }
    std::fs::write(&database, good).expect("written");
    app.restart().await;
    app.client().get("/v2/").await.status(200);
}

/// Where the Distribution registry would have a blob.
pub(super) fn file_of(app: &Gantry, blob: &Blob) -> PathBuf {
    let hex = blob.digest.strip_prefix("sha256:").expect("a digest");
    app.data().join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]))
}

/// Blobs lie where the Distribution registry would have them.
#[tokio::test]
async fn blobs_lie_in_the_layout_of_distribution() {
    let app = Gantry::start().await;
    let repo = app.client().repo();
    let blob = Blob::new(100_000);
    repo.push_blob(&blob).await;
    let file = file_of(&app, &blob);
    assert_eq!(std::fs::read(file).expect("the file"), blob.bytes);
}

/// T36: cancelling frees the bytes at once.
#[tokio::test]
async fn t36_cancelled_uploads_leave_nothing_on_disk() {
    let app = Gantry::start().await;
    let repo = app.client().repo();
    let location = repo.start_upload().await;
    repo.client.patch(&location, Blob::new(300_000).bytes).await.status(202);
    let uploads = app.data().join("uploads");
    assert_eq!(std::fs::read_dir(&uploads).expect("the directory").count(), 1);
    repo.client.delete(&location).await.status(204);
    assert_eq!(std::fs::read_dir(&uploads).expect("the directory").count(), 0);
}

/// Bytes that vanished under the server are its failure and never "not found".
#[tokio::test]
async fn t42_lost_bytes_are_5xx_and_a_new_push_heals() {
    let app = Gantry::start().await;
    let repo = app.client().repo();
    let blob = Blob::new(100_000);
    repo.push_blob(&blob).await;
    let file = file_of(&app, &blob);
    std::fs::remove_file(&file).expect("removed");
    repo.client.get(&repo.blob(&blob.digest)).await.status(500);
    repo.push_blob(&blob).await;
    repo.has_blob(&blob).await;

    // A damaged file of the right length is replaced by the next push, from wherever it comes.
    let mut damaged = blob.bytes.to_vec();
    damaged[500] ^= 1;
    std::fs::write(&file, damaged).expect("written");
    app.client().repo().push_blob(&blob).await;
    repo.has_blob(&blob).await;

    // A file that is too short never passes for the whole blob.
    std::fs::write(&file, &blob.bytes[..50_000]).expect("written");
    let short = repo.client.get(&repo.blob(&blob.digest)).try_send().await;
    assert!(short.is_err() || short.is_ok_and(|answer| answer.status == 500));
}
