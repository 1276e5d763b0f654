//! Bit rot: wrong bytes are never a complete answer, `gantry verify` finds them, a push heals them, and nothing that a push
//! relies on is touched.

mod command;
mod rot;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

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
