//! The caches under fire: many readers, a writer that moves a tag forward, and nobody may ever see it go back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use gantry_oci::{Digest, Reference};

use super::{ExaminedDatabase, SqliteMeta};
use crate::health::Health;
use crate::meta::access::TagLocks;
use crate::meta::suite::{blob, manifest, repo, tag};
use crate::meta::{Deleted, MetaStore, NewManifest, PutManifest};

fn number(bytes: &[u8]) -> u64 {
    std::str::from_utf8(bytes).expect("text").trim_start_matches("version ").parse().expect("a number")
}

fn start() -> (PathBuf, Arc<SqliteMeta>) {
    let directory = std::env::temp_dir().join(format!("gantry-stress-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&directory).expect("a directory");
    let mut database = ExaminedDatabase::open(&directory.join("gantry.db")).expect("a new database");
    database.prepare("an id").expect("prepared");
    let meta = Arc::new(database.start(1 << 20, None, Health::default()).expect("started"));
    (directory, meta)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_ever_sees_a_tag_or_a_link_go_back() {
    const VERSIONS: u64 = 1500;
    let (directory, meta) = start();

    let name = repo("stress/tag");
    let put = |version: u64| NewManifest { ..manifest(&name, &format!("version {version}"), &["latest"]) };
    meta.put_manifest(put(0)).await.expect("stored");
    let acknowledged = Arc::new(AtomicU64::new(0));
    let linked = Arc::new(AtomicBool::new(false));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (meta, name, acknowledged, done) =
            (Arc::clone(&meta), name.clone(), Arc::clone(&acknowledged), Arc::clone(&done));
        readers.spawn(async move {
            let (mut seen, mut reads) = (0, 0_u64);
            while !done.load(Ordering::SeqCst) {
                let floor = acknowledged.load(Ordering::SeqCst).max(seen);
                let found = meta.manifest(&name, &Reference::Tag(tag("latest"))).await.expect("readable");
                let found = number(&found.expect("there").bytes);
                assert!(found >= floor, "saw version {found} after {floor} was seen or acknowledged");
                seen = found;
                reads += 1;
                // A hit never waits, so it has to give way now and then.
                tokio::task::yield_now().await;
            }
            reads
        });
    }
    // A link that comes and goes: after each acknowledgement the answer must be the new one.
    let link = blob(&name, "comes and goes");
    let link_task = {
        let (meta, name, link, linked, done) =
            (Arc::clone(&meta), name.clone(), link.clone(), Arc::clone(&linked), Arc::clone(&done));
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                meta.put_blob(link.clone()).await.expect("stored");
                assert!(meta.blob(&name, &link.digest).await.expect("readable").is_some());
                linked.store(true, Ordering::SeqCst);
                assert!(meta.unlink_blob(&name, &link.digest).await.expect("done"));
                assert!(meta.blob(&name, &link.digest).await.expect("readable").is_none());
            }
        })
    };
    let noise = {
        let (meta, name, done, digest) = (Arc::clone(&meta), name.clone(), Arc::clone(&done), link.digest);
        tokio::spawn(async move {
            while !done.load(Ordering::SeqCst) {
                let _ = meta.blob(&name, &digest).await.expect("readable");
                tokio::task::yield_now().await;
            }
        })
    };
    for version in 1..=VERSIONS {
        meta.put_manifest(put(version)).await.expect("stored");
        acknowledged.store(version, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    let reads: u64 = readers.join_all().await.into_iter().sum();
    link_task.await.expect("no panic");
    noise.await.expect("no panic");
    let stats = meta.stats();
    println!(
        "{reads} reads, {} hits, {} misses, {VERSIONS} versions",
        stats.manifest_hits, stats.manifest_misses
    );
    assert!(linked.load(Ordering::SeqCst));
    assert!(stats.manifest_hits > 0 && stats.manifest_misses > 0);
    let last = Reference::Digest(Digest::sha256(format!("version {VERSIONS}").as_bytes()));
    assert!(meta.manifest(&name, &last).await.expect("readable").is_some());
    drop(meta);
    std::fs::remove_dir_all(&directory).expect("removed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_ever_sees_a_list_of_referrers_go_back() {
    const ATTACHED: usize = 400;
    let (directory, meta) = start();
    let (name, subject) = (repo("stress/referrers"), Digest::sha256(b"a subject"));
    let new = |number: usize| NewManifest {
        subject: Some(subject),
        artifact_type: Some(String::from("stress")),
        ..manifest(&name, &format!("referrer {number}"), &[])
    };
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let mut readers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let (meta, name, acknowledged, done) =
            (Arc::clone(&meta), name.clone(), Arc::clone(&acknowledged), Arc::clone(&done));
        // Half of them ask in another way, of which a list that is kept must be as good an answer.
        let types = if number % 2 == 0 { Vec::new() } else { vec![String::from("stress")] };
        readers.spawn(async move {
            let mut seen = 0;
            while !done.load(Ordering::SeqCst) {
                let floor = acknowledged.load(Ordering::SeqCst).max(seen);
                let page =
                    meta.referrers(&name, &subject, &types, None, 2 * ATTACHED).await.expect("readable");
                let rendered =
                    page.rendered.get_or_init(|| Bytes::from(page.referrers.len().to_string())).clone();
                assert_eq!(rendered, page.referrers.len().to_string(), "a document of another list");
                seen = page.referrers.len();
                assert!(seen >= floor, "{seen} after {floor} were seen or acknowledged");
                tokio::task::yield_now().await;
            }
        });
    }
    for number in 0..ATTACHED {
        assert_eq!(meta.put_manifest(new(number)).await.expect("stored"), PutManifest::Stored);
        acknowledged.store(number + 1, Ordering::SeqCst);
        // One that comes and goes elsewhere in the list of all manifests.
        let other = NewManifest { subject: Some(Digest::sha256(b"another")), ..new(number + ATTACHED) };
        meta.put_manifest(other.clone()).await.expect("stored");
        let deleted = meta.delete_manifest(&name, &other.digest, &TagLocks::default()).await;
        assert_eq!(deleted.expect("done"), Deleted::Done);
    }
    done.store(true, Ordering::SeqCst);
    readers.join_all().await;
    let stats = meta.stats();
    assert!(stats.referrers_hits > 0 && stats.referrers_misses > 0, "{stats:?}");
    drop(meta);
    std::fs::remove_dir_all(&directory).expect("removed");
}
