//! Ten thousand pushes with a sweep looping beside them, and promises that lapse within a moment.
//!
//! The workers share blobs, in two repositories: one worker's delete takes away the last name of what another was just told is
//! there. A push that took longer than the promise may fail with a clear error, and is tried again; one that did not and fails
//! is broken.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::promising;
use crate::harness::{Blob, Image, Repo, image, types};

const PUSHES: usize = 10_000;
const WORKERS: usize = 8;
const GRACE: Duration = Duration::from_millis(400);

/// What the workers saw.
#[derive(Default, Debug)]
struct Seen {
    uploaded: usize,
    relied: usize,
    mounted: usize,
    lapsed: usize,
}

/// Pushes an image as clients do: HEAD, or a mount, and an upload only of what is not there.
async fn push(repo: &Repo, from: &Repo, tag: &str, built: &Image, seen: &mut Seen) {
    loop {
        let began = Instant::now();
        for (number, blob) in built.blobs.iter().enumerate() {
            if number % 2 == 0 {
                let head = repo.client.head(&repo.blob(&blob.digest)).await.status_in(&[200, 404]);
                if head.status == 200 {
                    seen.relied += 1;
                    continue;
                }
            }
            let mount = format!("{}?mount={}&from={}", repo.uploads(), blob.digest, from.name);
            let answer = repo.client.post(&mount).await.status_in(&[201, 202]);
            if answer.status == 201 {
                seen.mounted += 1;
                continue;
            }
            seen.uploaded += 1;
            let location = answer.location();
            let put = format!("{location}?digest={}", blob.digest);
            repo.client.put(&put, blob.bytes.clone()).await.status(201);
        }
        let put = repo.put_manifest(tag, &built.manifest).await;
        if put.status == 201 {
            break;
        }
        assert!(began.elapsed() >= GRACE, "broken after {:?}: {put:?}", began.elapsed());
        put.error("MANIFEST_BLOB_UNKNOWN");
        seen.lapsed += 1;
    }
    let manifest = repo.client.get(&repo.manifest(tag)).await.status(200);
    assert!(manifest.body == built.manifest.bytes);
    for blob in &built.blobs {
        let got = repo.client.get(&repo.blob(&blob.digest)).await.status(200);
        assert!(got.body == blob.bytes, "{} is whole", blob.digest);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_pushes_beside_a_sweep_break_nowhere() {
    let grace = format!("{}ms", GRACE.as_millis());
    let app = promising(&grace).set("sweep.interval", "\"10ms\"").start().await;
    let repos = [app.repo(), app.repo()];
    // In files and in rows.
    let pool: Arc<Vec<Blob>> =
        Arc::new((0..24).map(|number| Blob::new(if number % 3 == 0 { 20_000 } else { 700 })).collect());
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (repos, pool) = (repos.clone(), Arc::clone(&pool));
            tokio::spawn(async move {
                let mut seen = Seen::default();
                let (repo, from) = (&repos[worker % 2], &repos[(worker + 1) % 2]);
                for number in 0..PUSHES / WORKERS {
                    let pick = |step: usize| pool[(number * step + worker * 5) % pool.len()].clone();
                    let mut layers = vec![pick(1), pick(7)];
                    layers.dedup_by(|a, b| a.digest == b.digest);
                    let built = image().layers(types::OCI_LAYER, &layers).build();
                    let tag = format!("w{worker}");
                    push(repo, from, &tag, &built, &mut seen).await;
                    repo.client.delete(&repo.manifest(built.digest())).await.status(202);
                    if number % 50 == 0 {
                        // What nobody names lapses.
                        tokio::time::sleep(GRACE + GRACE / 4).await;
                    }
                }
                seen
            })
        })
        .collect();
    let mut all = Seen::default();
    for worker in workers {
        let seen = worker.await.expect("no push is broken");
        all.uploaded += seen.uploaded;
        all.relied += seen.relied;
        all.mounted += seen.mounted;
        all.lapsed += seen.lapsed;
    }
    let metrics = app.operator().get("/metrics").await.status(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let count = |name: &str| -> u64 {
        let line = metrics.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let runs = count("gantry_sweep_runs_total{result=\"done\"}");
    let (links, files) = (
        count("gantry_sweep_removed_total{kind=\"link\"}"),
        count("gantry_sweep_removed_total{kind=\"file\"}"),
    );
    println!("{PUSHES} pushes, 0 broken; {all:?}; {runs} sweeps took {links} links and {files} files");
    assert_eq!(count("gantry_sweep_runs_total{result=\"failed\"}"), 0);
    assert!(
        runs > 100 && links > 1_000 && files > 0,
        "the sweep hardly got anywhere: {runs} {links} {files}"
    );
    assert!(all.relied > 1_000 && all.mounted > 100, "nobody relied on anything: {all:?}");
}
