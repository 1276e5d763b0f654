//! Prints what the storage does in a second on this machine: durable commits, reads through and past the cache, bytes in and out,
//! pages of very large lists.
//!
//! `cargo run --release -p gantry-storage --example measure [-- DIRECTORY]`; the directory should lie on the disk that counts.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher, Reference, UploadId};
use gantry_storage::meta::suite::{blob, manifest, repo, tag};
use gantry_storage::{MetaStore, NewManifest, StorageId, Store, StoreConfig, Timestamp, UploadRow};

const SPAN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let parent = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = parent.join(format!("gantry-measure-{}", uuid::Uuid::new_v4()));
    let config = |cache_bytes| StoreConfig {
        data_dir: directory.clone(),
        sqlite_path: None,
        blob_path: None,
        storages: Default::default(),
        inline_limit: 16 << 10,
        cache_bytes,
    };
    let store = Store::open(config(16 << 20)).await?;
    for tasks in [1, 16, 64] {
        commits(&store, tasks).await?;
        pushes(&store, tasks).await?;
    }
    sessions(&store, 0)?;
    sessions(&store, 16 << 10)?;
    reads(&store, "through the cache").await?;
    store.close().await;
    let store = Store::open(config(0)).await?;
    reads(&store, "past the cache").await?;
    for _ in 0..3 {
        bytes(&store, 1 << 30).await?;
    }
    large(&store.meta).await?;
    store.close().await;
    let begun = Instant::now();
    let store = Store::open(config(16 << 20)).await?;
    println!("start with all of that: {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    drop(store);
    std::fs::remove_dir_all(&directory)?;
    let _ = std::fs::remove_file(directory.with_extension("gantry"));
    Ok(())
}

async fn commits(store: &Store, tasks: usize) -> Result<(), Box<dyn std::error::Error>> {
    let before = store.meta.stats();
    let begun = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let meta = Arc::clone(&store.meta);
        set.spawn(async move {
            let name = repo("measure/commits");
            let mut number = 0_u64;
            while begun.elapsed() < SPAN {
                meta.put_blob(blob(&name, &format!("{tasks} {task} {number}"))).await?;
                number += 1;
            }
            Ok::<_, gantry_storage::StorageError>(number)
        });
    }
    let mut done = 0;
    while let Some(outcome) = set.join_next().await {
        done += outcome??;
    }
    let commits = store.meta.stats().commits - before.commits;
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    println!(
        "blob rows, {tasks:2} tasks: {rate:8.0}/s durable, {:.1} in a commit",
        done as f64 / commits as f64
    );
    Ok(())
}

/// A manifest with a blob and a tag of its own, again and again.
async fn pushes(store: &Store, tasks: usize) -> Result<(), Box<dyn std::error::Error>> {
    let begun = Instant::now();
    let mut set = tokio::task::JoinSet::new();
    for task in 0..tasks {
        let meta = Arc::clone(&store.meta);
        set.spawn(async move {
            let name = repo("measure/pushes");
            let layer = blob(&name, "a layer of all");
            meta.put_blob(layer.clone()).await?;
            let mut number = 0_u64;
            while begun.elapsed() < SPAN {
                let text = format!("{tasks} {task} {number}");
                let new = manifest(&name, &text, &[&text.replace(' ', "-")]);
                meta.put_manifest(NewManifest { blobs: vec![layer.digest], ..new }).await?;
                number += 1;
            }
            Ok::<_, gantry_storage::StorageError>(number)
        });
    }
    let mut done = 0;
    while let Some(outcome) = set.join_next().await {
        done += outcome??;
    }
    let rate = done as f64 / begun.elapsed().as_secs_f64();
    println!("manifests with a tag, {tasks:2} tasks: {rate:8.0}/s durable");
    Ok(())
}

/// What a POST or PATCH waits for, beside the network.
fn sessions(store: &Store, buffered: usize) -> Result<(), Box<dyn std::error::Error>> {
    const COUNT: u32 = 20_000;
    let bytes = Bytes::from(vec![7; buffered]);
    let begun = Instant::now();
    for _ in 0..COUNT {
        store.meta.save_upload_soon(UploadRow {
            id: UploadId::from_uuid(uuid::Uuid::new_v4()),
            repo: repo("measure/sessions"),
            owner: String::from("alice"),
            storage: StorageId::DEFAULT,
            algorithm: Algorithm::Sha256,
            offset: buffered as u64,
            hash_state: Vec::new(),
            buffered: Some(bytes.clone()),
            started: Timestamp::now(),
            touched: Timestamp::now(),
        })?;
    }
    println!("upload rows of {buffered:5} bytes: {:?} each until noted", begun.elapsed() / COUNT);
    Ok(())
}

async fn reads(store: &Store, how: &str) -> Result<(), Box<dyn std::error::Error>> {
    let name = repo("measure/reads");
    for number in 0..100 {
        store
            .meta
            .put_manifest(manifest(&name, &format!("{number:01000}"), &[&format!("t{number}")]))
            .await?;
    }
    let references: Arc<Vec<_>> =
        Arc::new((0..100).map(|number| Reference::Tag(tag(&format!("t{number}")))).collect());
    for tasks in [1, 16] {
        let begun = Instant::now();
        let mut set = tokio::task::JoinSet::new();
        for _ in 0..tasks {
            let (meta, name, references) = (Arc::clone(&store.meta), name.clone(), Arc::clone(&references));
            set.spawn(async move {
                let mut done = 0_u64;
                while begun.elapsed() < SPAN {
                    for reference in references.iter() {
                        meta.manifest(&name, reference).await?;
                        done += 1;
                    }
                }
                Ok::<_, gantry_storage::StorageError>(done)
            });
        }
        let mut done = 0;
        while let Some(outcome) = set.join_next().await {
            done += outcome??;
        }
        println!("manifests {how}, {tasks:2} tasks: {:8.0}/s", done as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(())
}

async fn bytes(store: &Store, size: u64) -> Result<(), Box<dyn std::error::Error>> {
    let piece = Bytes::from(vec![42_u8; 256 << 10]);
    let upload = UploadId::from_uuid(uuid::Uuid::new_v4());
    let begun = Instant::now();
    let mut staged = store.blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await?;
    for _ in 0..size / piece.len() as u64 {
        staged.append(vec![piece.clone()]).await?;
    }
    staged.flush().await?;
    let (digest, written) = (staged.hasher().finish(), begun.elapsed());
    drop(staged);
    store.blobs.publish(&upload, &digest, size).await?;
    let durable = begun.elapsed();

    let blob = store.blobs.open(&digest, None, size).await?.ok_or("not there")?;
    let begun = Instant::now();
    let mut stream = blob.read(0..size);
    let (mut read, mut pieces) = (0, 0);
    while let Some(piece) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
        read += piece?.len() as u64;
        pieces += 1;
    }
    let speed = |bytes: u64, time: Duration| bytes as f64 / 1e9 / time.as_secs_f64();
    println!(
        "1 GiB: in {:.2} GB/s received and hashed, {:.2} GB/s durable (the end took {:.0} ms); out {:.2} GB/s in {pieces} pieces",
        speed(size, written),
        speed(size, durable),
        (durable - written).as_secs_f64() * 1e3,
        speed(read, begun.elapsed()),
    );
    Ok(())
}

/// 100,000 repositories, 100,000 tags in one, 50,000 referrers of one subject.
async fn large(meta: &Arc<dyn MetaStore>) -> Result<(), Box<dyn std::error::Error>> {
    let (name, subject) = (repo("measure/large"), Digest::sha256(b"subject"));
    let begun = Instant::now();
    let shared = blob(&name, "in every repository");
    meta.put_blob(shared.clone()).await?;
    let mut set = tokio::task::JoinSet::new();
    for task in 0..100 {
        let (meta, name, shared) = (Arc::clone(meta), name.clone(), shared.clone());
        set.spawn(async move {
            for number in 0..1000 {
                meta.mount_blob(
                    &shared.digest,
                    &name,
                    &repo(&format!("many/r{task}/{number}")),
                    StorageId::DEFAULT,
                )
                .await?;
            }
            for number in 0..10 {
                let tags: Vec<String> = (0..100).map(|tag| format!("v{task}.{number}.{tag}")).collect();
                let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
                meta.put_manifest(manifest(&name, "tagged", &tags)).await?;
            }
            for number in 0..500 {
                let artifact_type =
                    Some(String::from(if number == 250 && task == 50 { "rare" } else { "common" }));
                let new = manifest(&name, &format!("referrer {task} {number}"), &[]);
                meta.put_manifest(NewManifest { subject: Some(subject), artifact_type, ..new }).await?;
            }
            Ok::<_, gantry_storage::StorageError>(())
        });
    }
    while let Some(outcome) = set.join_next().await {
        outcome??;
    }
    println!(
        "100,000 repositories, 100,000 tags, 50,000 referrers: written in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let rare = [String::from("rare")];
    for turn in ["first", "again"] {
        let begun = Instant::now();
        let catalog = meta.catalog(Some("many/r50"), 1000).await?;
        let after_catalog = begun.elapsed();
        let tags = meta.tags(&name, Some("v50"), 1000).await?.unwrap_or_default();
        let after_tags = begun.elapsed();
        let last = meta.referrers(&name, &subject, &[], Some(25_000), 1000).await?;
        let after_referrers = begun.elapsed();
        let found = meta.referrers(&name, &subject, &rare, None, 1000).await?;
        let after_rare = begun.elapsed();
        let holders = meta.repositories_with_blob(&shared.digest, 10).await?;
        println!(
            "{turn}: {} names {:.2?}, {} tags {:.2?}, {} referrers {:.2?}, {} of a rare type {:.2?}, {} holders {:.2?}",
            catalog.len(),
            after_catalog,
            tags.len(),
            after_tags - after_catalog,
            last.referrers.len(),
            after_referrers - after_tags,
            found.referrers.len(),
            after_rare - after_referrers,
            holders.len(),
            begun.elapsed() - after_rare
        );
    }
    Ok(())
}
