//! Several storages: where pushes go, what stays apart, and how a namespace moves from one to another while it is used.
//!
//! Everything is seen from outside: the registry API, the control socket, and the files in the directories of the storages.

mod kills;
mod moves;
mod places;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Blob, Gantry, Options, Repo, image, types};
use crate::ops::eventually;

/// Directories for storages, which go away with this value.
struct Rooms(TempDir);

impl Rooms {
    fn new() -> Rooms {
        Rooms(TempDir::with_prefix("gantry-it-").expect("a directory"))
    }

    /// Of the storage `archive`.
    fn archive(&self) -> PathBuf {
        self.0.path().join("archive")
    }

    /// A server with the storage `archive`, in which these namespaces lie, and which sweeps only when it is told to.
    fn options(&self, archived: &[&str]) -> Options {
        Gantry::options()
            .set("storage.archive.local.path", &format!("{:?}", self.archive()))
            .set("namespace", &in_archive(archived))
            .set("sweep.interval", "\"off\"")
            .set("sweep.grace", "\"1h\"")
            .set("sweep.upload_expiry", "\"200ms\"")
            .set("log.access", "false")
    }
}

/// The setting that puts these prefixes into the storage `archive`.
fn in_archive(prefixes: &[&str]) -> String {
    let entry = |prefix: &&str| format!("{{prefix={prefix:?}, storage=\"archive\"}}");
    format!("[{}]", prefixes.iter().map(entry).collect::<Vec<_>>().join(", "))
}

/// The files of a storage, by digest.
use crate::sweep::{file_in, files};

fn has_file(root: &Path, blob: &Blob) -> bool {
    file_in(root, &blob.digest).exists()
}

/// A command over the control socket: what it answers, line by line. `None`: the server went away.
async fn ask(app: &Gantry, command: &str) -> Option<Vec<Value>> {
    let (socket, head) = (app.data().join("gantry.sock"), format!("POST /{command} HTTP/1.0\r\n\r\n"));
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(socket)?;
        stream.write_all(head.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    let text = asked.await.expect("a task").ok()?;
    let lines = text.lines().filter(|line| line.starts_with('{'));
    Some(lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect())
}

/// Orders a move.
async fn order(app: &Gantry, prefix: &str, to: &str) -> Option<Value> {
    ask(app, &format!("move?prefix={prefix}&to={to}")).await?.pop()
}

/// All jobs, the newest first.
async fn jobs(app: &Gantry) -> Vec<Value> {
    let lines = ask(app, "jobs").await.expect("an answer");
    lines.into_iter().map(|line| line["job"].clone()).collect()
}

/// Waits until every job has ended; the newest.
async fn ended(app: &Gantry) -> Value {
    eventually("all jobs end", async || {
        let jobs = jobs(app).await;
        let open = jobs.iter().any(|job| job["state"] == "running" || job["state"] == "waiting");
        (!open).then(|| jobs.into_iter().next()).flatten()
    })
    .await
}

/// Orders a move and waits for its end.
async fn moved(app: &Gantry, prefix: &str, to: &str) -> Value {
    let ordered = order(app, prefix, to).await.expect("an answer");
    assert!(ordered["job"]["id"].as_u64().is_some(), "{ordered}");
    ended(app).await
}

/// Images that share a layer, and their repository.
async fn filled(app: &Gantry, name: &str, images: usize) -> (Repo, Vec<(String, crate::harness::Image)>) {
    let repo = app.client().at(name);
    let shared = Blob::new(70_000);
    let mut pushed = Vec::new();
    for number in 0..images {
        let layers = [shared.clone(), Blob::new(30_000 + 1000 * number), Blob::new(500)];
        let built = image().layers(types::OCI_LAYER, &layers).build();
        let tag = format!("v{number}");
        repo.push(&tag, &built).await;
        pushed.push((tag, built));
    }
    (repo, pushed)
}

/// Everything can be pulled.
async fn whole(repo: &Repo, images: &[(String, crate::harness::Image)]) {
    for (tag, image) in images {
        repo.has_manifest(tag, &image.manifest).await;
        for blob in &image.blobs {
            repo.has_blob(blob).await;
        }
    }
}
