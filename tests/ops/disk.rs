//! A full disk: 507, reads go on, nothing half-written, and it recovers by itself.

use std::path::Path;
use std::process::Command;

use super::is_root;
use crate::harness::{Blob, Gantry, image};

/// A small file system, unmounted in the end.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(size: &str) -> Self {
        let dir = tempfile::TempDir::with_prefix("gantry-full-").expect("a directory");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "gantry-test"])
            .arg(dir.path())
            .status();
        assert!(mounted.is_ok_and(|status| status.success()), "mounting a small file system");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn t42_a_full_disk_is_507_and_reads_go_on() {
    if !is_root("t42_a_full_disk_is_507_and_reads_go_on") {
        return;
    }
    let small = Small::mount("24m");
    let blobs = small.path().join("blobs");
    let database = small.path().join("gantry.db");
    let app = Gantry::options()
        .set("storage.default.local.path", &format!("{blobs:?}"))
        .set("metadata.sqlite.path", &format!("{database:?}"))
        .start()
        .await;
    let repo = app.client().repo();
    let kept = image().build();
    repo.push("v1", &kept).await.status(201);
    let large = Blob::new(1 << 20);
    repo.push_blob(&large).await;

    // A large upload runs into the wall; the session tells how far it came.
    let location = repo.start_upload().await;
    let too_large = Blob::new(40 << 20);
    repo.client.patch(&location, too_large.bytes.clone()).await.status(507);
    let progress = repo.progress(&location).await;
    let offset: usize = progress.strip_prefix("0-").expect("a range").parse::<usize>().expect("a number") + 1;
    assert!(offset < too_large.len(), "{progress}");
    repo.has_manifest("v1", &kept.manifest).await;
    repo.has_blob(&large).await;
    app.operator().get("/readyz").await.status(200);

    // Filled to the last byte, so that the database cannot grow either.
    let filler = small.path().join("filler");
    let _ = std::fs::write(&filler, vec![1; 64 << 20]);
    let mut refused = 0;
    for _ in 0..300 {
        let answer = repo.client.post(&repo.uploads()).await.status(202);
        let location = answer.get("location").expect("a location").to_owned();
        let blob = Blob::new(15_000);
        let answer = repo.client.put(&format!("{location}?digest={}", blob.digest), blob.bytes.clone()).await;
        match answer.status {
            201 => repo.has_blob(&blob).await,
            507 => {
                refused += 1;
                repo.lacks_blob(&blob.digest).await;
                break;
            }
            other => panic!("{other}"),
        }
    }
    assert!(refused > 0, "the disk was to be full");
    repo.has_manifest("v1", &kept.manifest).await;
    repo.has_blob(&large).await;

    // Room again: it goes on by itself, the cut upload with exactly what it has.
    std::fs::remove_file(&filler).expect("removed");
    repo.client.delete(&location).await.status(204);
    let after = image().build();
    repo.push("v2", &after).await.status(201);
    repo.has_manifest("v2", &after.manifest).await;
    repo.push_blob(&Blob::new(2 << 20)).await;
}

/// The session of an upload that ran into a full disk goes on where it says, and the digest is right in the end.
#[tokio::test]
async fn t42_an_upload_goes_on_after_the_disk_was_full() {
    if !is_root("t42_an_upload_goes_on_after_the_disk_was_full") {
        return;
    }
    let small = Small::mount("16m");
    let filler = small.path().join("filler");
    std::fs::write(&filler, vec![1; 12 << 20]).expect("written");
    let blobs = small.path().join("blobs");
    let app = Gantry::options().set("storage.default.local.path", &format!("{blobs:?}")).start().await;
    let repo = app.client().repo();
    let blob = Blob::new(8 << 20);
    let location = repo.start_upload().await;
    repo.client.patch(&location, blob.bytes.clone()).await.status(507);
    std::fs::remove_file(&filler).expect("removed");
    let progress = repo.progress(&location).await;
    let offset: usize = progress.strip_prefix("0-").expect("a range").parse::<usize>().expect("a number") + 1;
    let offset = if offset == 1 { 0 } else { offset };
    repo.client.patch(&location, blob.bytes.slice(offset..)).await.status(202);
    repo.client.put(&format!("{location}?digest={}", blob.digest), "").await.status(201);
    repo.has_blob(&blob).await;
}
