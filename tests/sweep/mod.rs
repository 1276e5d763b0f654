//! Garbage goes while everything else goes on: what goes, what stays, and what must never break.
//!
//! Everything is seen from outside: the registry API, the command `gantry sweep`, the files of the blob store, metrics and log.
//! `docs/sweep.md` tells the rules; `bugs` holds the failures that other registries had.

mod beside;
mod bugs;
mod command;
mod kills;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::server::run;
use crate::harness::{Gantry, Options};

/// A server on which nothing is promised for longer than this, and that sweeps only when it is told to.
pub(crate) fn promising(grace: &str) -> Options {
    Gantry::options()
        .set("sweep.interval", "\"off\"")
        .set("sweep.grace", &format!("{grace:?}"))
        .set("sweep.upload_expiry", &format!("{grace:?}"))
        .set("log.access", "false")
}

/// What a sweep told: the items, then the report.
pub(crate) struct Told {
    items: Vec<Value>,
    report: Value,
}

impl Told {
    /// The digests with this fate, sorted.
    pub(crate) fn with_fate(&self, fate: &str) -> Vec<String> {
        let fated = self.items.iter().filter(|item| item["fate"] == fate);
        let mut digests: Vec<_> =
            fated.map(|item| item["digest"].as_str().expect("a digest").to_owned()).collect();
        digests.sort();
        digests
    }

    pub(crate) fn count(&self, key: &str) -> u64 {
        self.report[key].as_u64().expect("a number")
    }
}

/// `gantry sweep` on a data directory, with a server on it or without.
async fn sweep_in(data: &Path, more: &[&str]) -> Told {
    let mut arguments = vec!["sweep", "--json", "--kept", "--data", data.to_str().expect("a path in UTF-8")];
    arguments.extend(more);
    let (status, output, errors) = run(&arguments).await;
    assert!(status.success(), "{output}{errors}");
    let mut told = Told { items: Vec::new(), report: Value::Null };
    for line in output.lines() {
        let line: Value = serde_json::from_str(line).expect("a JSON line");
        match line.get("swept") {
            Some(item) => told.items.push(item.clone()),
            None => told.report = line["sweep"].clone(),
        }
    }
    assert!(told.report.is_object(), "no report: {output}");
    told
}

pub(crate) async fn sweep(app: &Gantry) -> Told {
    sweep_in(app.data(), &[]).await
}

/// Where a blob's file is, if it has one.
fn file_of(app: &Gantry, digest: &str) -> PathBuf {
    file_in(app.data(), digest)
}

/// The same in the directory of a storage.
pub(crate) fn file_in(root: &Path, digest: &str) -> PathBuf {
    let (algorithm, hex) = digest.split_once(':').expect("a digest");
    root.join(format!("docker/registry/v2/blobs/{algorithm}/{}/{hex}/data", &hex[..2]))
}

/// The digests of all files in the directory of a storage.
pub(crate) fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let shards = std::fs::read_dir(root.join("docker/registry/v2/blobs/sha256")).expect("shards");
    for shard in shards {
        for blob in std::fs::read_dir(shard.expect("a shard").path()).expect("blobs") {
            let name = blob.expect("a blob").file_name();
            found.insert(format!("sha256:{}", name.to_str().expect("a name")));
        }
    }
    found
}

/// Until what was promised before has lapsed.
pub(crate) async fn lapse(grace_millis: u64) {
    tokio::time::sleep(std::time::Duration::from_millis(grace_millis + grace_millis / 8 + 20)).await;
}
