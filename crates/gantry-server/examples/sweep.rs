//! What a sweep costs: a store with many blobs, a part of them garbage, and requests beside the sweep.
//!
//! ```text
//! cargo run --release -p gantry-server --example sweep -- [BLOBS] [GARBAGE-PERCENT] [DIR]
//! ```
//!
//! Fills a new store (1,000,000 blobs and 1 % by default; half of the garbage in files), measures small pushes and look-ups alone,
//! then the same while the sweep runs, and prints both. It is a measurement for people, not a test.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a measurement"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};
use gantry_server::app::open_registry;
use gantry_server::config::{Config, Settings, Span};
use gantry_storage::{BlobContent, MetaStore, NewBlob, NewManifest, StorageId, Store, TagLocks};

/// Blobs that one manifest names.
const NAMED: usize = 1_000;
/// Tasks that fill the store.
const FILLERS: usize = 256;
/// Tasks that ask while it is swept.
const CLIENTS: usize = 4;
const GRACE: Duration = Duration::from_millis(200);

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(default, |text| text.parse().unwrap());
    let (blobs, percent) = (number(1_000_000), number(1));
    let directory = arguments.next().map_or_else(|| std::env::temp_dir().join("gantry-sweep"), PathBuf::from);
    let garbage = blobs * percent / 100;
    let mut settings = Settings::default();
    settings.sweep.grace = Span(GRACE);
    settings.sweep.upload_expiry = Span(GRACE);
    let config = Config::new(settings, directory.clone()).unwrap();
    let (store, registry) = open_registry(&config).await.unwrap();

    let started = Instant::now();
    fill(&store, blobs, garbage, &directory).await;
    println!(
        "filled with {blobs} blobs, {garbage} of them garbage: {:.0} s",
        started.elapsed().as_secs_f64()
    );
    tokio::time::sleep(GRACE * 2).await;

    let alone = beside(&store, tokio::time::sleep(Duration::from_secs(5))).await;
    let mut report = None;
    let with = beside(&store, async { report = Some(registry.sweep(false, None).await.unwrap()) }).await;
    let report = report.unwrap();
    println!(
        "swept {} links, {} blobs, {} files in {:.2} s",
        report.links,
        report.blobs,
        report.files,
        report.milliseconds as f64 / 1e3
    );
    println!("{:<24} {:>12} {:>12}", "latency, microseconds", "alone", "beside it");
    for (name, alone, with) in [("durable push", &alone.0, &with.0), ("look-up of a link", &alone.1, &with.1)]
    {
        for (which, quantile) in [("p50", 0.5), ("p99", 0.99)] {
            let at = |all: &[u64]| all[((all.len() - 1) as f64 * quantile) as usize];
            println!("{:<24} {:>12} {:>12}", format!("{name} {which}"), at(alone), at(with));
        }
    }
    store.close().await;
    std::fs::remove_dir_all(&directory).unwrap();
    let _ = std::fs::remove_file(directory.with_extension("gantry"));
}

fn name(number: usize) -> RepoName {
    format!("swept/r{}", number / NAMED).parse().unwrap()
}

fn digest(number: usize) -> Digest {
    Digest::sha256(&number.to_le_bytes())
}

fn new(number: usize, content: BlobContent) -> NewBlob {
    NewBlob {
        repo: name(number),
        digest: digest(number),
        size: 8,
        content,
        upload: None,
        displaces: true,
        renew_from: None,
    }
}

async fn fill(store: &Store, blobs: usize, garbage: usize, directory: &std::path::Path) {
    let mut tasks = tokio::task::JoinSet::new();
    for filler in 0..FILLERS {
        let meta = Arc::clone(&store.meta);
        let directory = directory.to_owned();
        tasks.spawn(async move {
            for number in (filler..blobs).step_by(FILLERS) {
                // Garbage comes first in each repository, every other one in a file.
                let in_file = number % NAMED < NAMED * garbage / blobs && number % 2 == 0;
                let content = if in_file {
                    let hex = digest(number).hex().to_string();
                    let place = directory.join("docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex);
                    std::fs::create_dir_all(&place).unwrap();
                    std::fs::write(place.join("data"), number.to_le_bytes()).unwrap();
                    BlobContent::Stored { storage: StorageId::DEFAULT, location: None }
                } else {
                    BlobContent::Inline(Bytes::copy_from_slice(&number.to_le_bytes()))
                };
                meta.put_blob(new(number, content)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    for first in (0..blobs).step_by(NAMED) {
        let named = (first..(first + NAMED).min(blobs)).skip(NAMED * garbage / blobs);
        let bytes = Bytes::from(format!("the manifest of {first}"));
        let manifest = NewManifest {
            repo: name(first),
            digest: Digest::sha256(&bytes),
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            bytes,
            tags: vec!["latest".parse().unwrap()],
            image: None,
            locks: TagLocks::default(),
            subject: None,
            artifact_type: None,
            annotations: BTreeMap::new(),
            blobs: named.map(digest).collect(),
            manifests: Vec::new(),
            agent: String::new(),
            allow_missing: false,
        };
        store.meta.put_manifest(manifest).await.unwrap();
    }
}

/// Pushes and look-ups while `work` goes on: their latencies in microseconds, sorted.
async fn beside(store: &Store, work: impl Future<Output = ()>) -> (Vec<u64>, Vec<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (meta, stop) = (Arc::clone(&store.meta), Arc::clone(&stop));
            tokio::spawn(async move { client_of(&*meta, client, &stop).await })
        })
        .collect();
    work.await;
    stop.store(true, Ordering::Relaxed);
    let (mut pushes, mut looks) = (Vec::new(), Vec::new());
    for client in clients {
        let (pushed, looked) = client.await.unwrap();
        pushes.extend(pushed);
        looks.extend(looked);
    }
    pushes.sort_unstable();
    looks.sort_unstable();
    (pushes, looks)
}

async fn client_of(meta: &dyn MetaStore, client: usize, stop: &AtomicBool) -> (Vec<u64>, Vec<u64>) {
    let (mut pushes, mut looks) = (Vec::new(), Vec::new());
    let repo: RepoName = format!("beside/c{client}").parse().unwrap();
    let mut number = client << 32;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let content = BlobContent::Inline(Bytes::copy_from_slice(&number.to_le_bytes()));
        let began = Instant::now();
        meta.put_blob(NewBlob { repo: repo.clone(), ..new(number, content) }).await.unwrap();
        pushes.push(began.elapsed().as_micros() as u64);
        let other = number.wrapping_mul(2_654_435_761) % 1_000_000;
        let began = Instant::now();
        meta.blob(&name(other), &digest(other)).await.unwrap();
        looks.push(began.elapsed().as_micros() as u64);
    }
    (pushes, looks)
}
