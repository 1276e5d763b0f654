//! Many at once: who wins, and that nothing is lost, torn or doubled.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, bytes, image, pieces, repo};

/// T64: of many pushes of one tag one is last, all are acknowledged, and what is read is always whole.
#[tokio::test]
async fn t64_one_tag_pushed_by_many() {
    let repo = repo().await;
    let images: Vec<_> = (0..12).map(|_| image().build()).collect();
    for image in &images {
        repo.push_parts(image).await;
    }
    repo.push_manifest("contended", &images[0].manifest).await;
    let pushes = images.iter().map(|image| async {
        for _ in 0..5 {
            repo.push_manifest("contended", &image.manifest).await;
        }
    });
    let reads = (0..60).map(|_| async {
        let get = repo.client.get(&repo.manifest("contended")).await.status(200);
        let image = images.iter().find(|image| get.get("docker-content-digest") == Some(image.digest()));
        assert_eq!(get.body, image.expect("one of those that were pushed").manifest.bytes);
    });
    tokio::join!(join_all(pushes), join_all(reads));
    assert_eq!(repo.tags().await, ["contended"]);
    for image in &images {
        repo.has_manifest(image.digest(), &image.manifest).await;
    }
}

/// T64: one blob pushed by many at once, here and elsewhere: all succeed, and there is one copy.
#[tokio::test]
async fn t64_one_blob_pushed_by_many() {
    let gantry = Gantry::start().await;
    let client = gantry.client();
    for length in [100, 5_000_000] {
        let blob = Blob::new(length);
        let pushes = (0..8).map(|n| {
            let repo = client.at(&format!("r{}", n % 3));
            let blob = &blob;
            async move {
                repo.push_blob(blob).await;
                repo.has_blob(blob).await;
            }
        });
        join_all(pushes).await;
        for n in 0..3 {
            client.at(&format!("r{n}")).has_blob(&blob).await;
        }
    }
    let used = bytes_below(gantry.data());
    assert!(used < 9_000_000, "{used} bytes for one blob of 5 MB");
}

fn bytes_below(dir: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("a directory").flatten();
    entries
        .map(|entry| match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            true => bytes_below(&entry.path()),
            false => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

/// E-7.11: many PATCHes of the same piece of one session: one is taken, and nothing is mixed.
#[tokio::test]
async fn e_7_11_concurrent_patches_of_one_session() {
    let repo = repo().await;
    for size in [1_000, 300_000] {
        let location = repo.start_upload().await;
        let mut content = Vec::new();
        for round in 0..4 {
            let pieces: Vec<_> = (0..6).map(|_| bytes(size)).collect();
            let range = format!("{}-{}", round * size, (round + 1) * size - 1);
            let patches = pieces.iter().map(|piece| {
                let patch = repo.client.patch(&location, piece.clone()).header("content-range", &range);
                patch.into_future()
            });
            let answers = join_all(patches).await;
            let taken: Vec<_> = (0..6).filter(|n| answers[*n].status == 202).collect();
            assert_eq!(taken.len(), 1, "exactly one is taken");
            assert!(answers.iter().all(|answer| [202, 416].contains(&answer.status)));
            content.extend_from_slice(&pieces[taken[0]]);
            assert_eq!(repo.progress(&location).await, format!("0-{}", content.len() - 1));
        }
        let blob = Blob::of(Alg::Sha256, content);
        repo.client.put(&with(&location, "digest", &blob.digest), "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

/// E-7.11: while one request writes, another one is refused and the status can be asked for.
#[tokio::test]
async fn e_7_11_a_second_writer_is_refused() {
    let repo = repo().await;
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let first = tokio::spawn(repo.client.call("PATCH", &location).stream(body).try_send());
    sender.send(Ok(bytes(50_000))).await.expect("a connection");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let second = repo.client.patch(&location, bytes(10)).await.status(416);
    assert!(second.get("range").is_some() && second.get("location").is_some());
    let put = with(&location, "digest", &Alg::Sha256.unknown());
    repo.client.put(&put, bytes(10)).await.status(416);
    repo.client.get(&location).await.status(204);
    sender.send(Ok(bytes(50_000))).await.expect("a connection");
    drop(sender);
    let first = first.await.expect("the request ends").expect("an answer");
    first.status(202).header("range", "0-99999");
}

/// E-7.11, T14: of many closing PUTs one makes the blob; the others find the session busy or gone.
#[tokio::test]
async fn t14_concurrent_commits_of_one_session() {
    let repo = repo().await;
    for length in [500, 500_000] {
        let blob = Blob::new(length);
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.clone()).await.status(202);
        let target = with(&location, "digest", &blob.digest);
        let puts = (0..6).map(|_| repo.client.put(&target, "").into_future());
        let mut statuses: Vec<_> = join_all(puts).await.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses[0], 201, "{statuses:?}");
        assert!(statuses[1..].iter().all(|status| [404, 416].contains(status)), "{statuses:?}");
        repo.has_blob(&blob).await;
    }
}

/// Eight attach to one subject at the same time: none is lost.
#[tokio::test]
async fn e_12_7_parallel_attaches() {
    let repo = repo().await;
    let subject = image().build();
    repo.push("v1", &subject).await;
    for _ in 0..3 {
        let before = repo.referrers(subject.digest()).await.len();
        let attach = (0..8).map(|_| async {
            let artifact =
                image().artifact("application/vnd.example.sbom").subject(&subject.descriptor()).build();
            repo.push_by_digest(&artifact).await.header("oci-subject", subject.digest());
            artifact.digest().to_owned()
        });
        let attached: BTreeSet<_> = join_all(attach).await.into_iter().collect();
        let found = repo.referrers(subject.digest()).await;
        assert_eq!(found.len(), before + 8);
        let found: BTreeSet<_> =
            found.iter().filter_map(|descriptor| descriptor["digest"].as_str().map(str::to_owned)).collect();
        assert!(attached.is_subset(&found));
    }
}

/// T64: whole images by many clients at once, sharing layers.
#[tokio::test]
async fn t64_many_images_at_once() {
    let gantry = Gantry::start().await;
    let shared = [Blob::new(20_000), Blob::new(400)];
    let pushes = (0..16).map(|n| {
        let repo = gantry.client().at(&format!("team/app{}", n % 4));
        let shared = &shared;
        async move {
            let image = image().layers("application/x.layer", shared).annotation("n", &n.to_string()).build();
            let tag = format!("v{n}");
            repo.push(&tag, &image).await;
            repo.has_manifest(&tag, &image.manifest).await;
        }
    });
    join_all(pushes).await;
    for n in 0..4 {
        assert_eq!(gantry.client().at(&format!("team/app{n}")).tags().await.len(), 4);
    }
}

/// T38, T64: pushes, deletes and reads of the same things never end in anything but their own answers.
#[tokio::test]
async fn t38_pushes_against_deletes() {
    let repo = repo().await;
    let image = image().build();
    repo.push("v1", &image).await;
    let target = repo.manifest(image.digest());
    let pushes = (0..20).map(|_| async {
        repo.put_manifest("v1", &image.manifest).await.status(201);
    });
    let deletes = (0..20).map(|_| async {
        repo.client.delete(&target).await.status_in(&[202, 404]);
    });
    let reads = (0..40).map(|_| async {
        let get = repo.client.get(&repo.manifest("v1")).await.status_in(&[200, 404]);
        assert!(get.status == 404 || get.body == image.manifest.bytes);
        let tags = repo.tags().await;
        assert!(tags.is_empty() || tags == ["v1"]);
    });
    tokio::join!(join_all(pushes), join_all(deletes), join_all(reads));
    repo.push_manifest("v1", &image.manifest).await;
    repo.has_manifest("v1", &image.manifest).await;
    repo.client.delete(&target).await.status(202);
    repo.lacks_manifest("v1").await;
}

/// E-7.11: a cancel in the middle of a PATCH ends the session, and the PATCH with it.
#[tokio::test]
async fn e_8_1_cancel_against_patch() {
    let repo = repo().await;
    let location = repo.start_upload().await;
    let (sender, body) = pieces();
    let patch = tokio::spawn(repo.client.call("PATCH", &location).stream(body).try_send());
    sender.send(Ok(bytes(200_000))).await.expect("a connection");
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    let delete = tokio::spawn(repo.client.delete(&location).into_future());
    for _ in 0..20 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if sender.send(Ok(bytes(1_000))).await.is_err() {
            break;
        }
    }
    drop(sender);
    delete.await.expect("an answer").status(204);
    if let Ok(answer) = patch.await.expect("the request ends") {
        answer.missing("BLOB_UPLOAD_UNKNOWN");
    }
    repo.client.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
}

/// E-8.1, T14: what was cancelled does not come back, however many ask for it at that moment.
#[tokio::test]
async fn e_8_1_a_cancelled_session_stays_gone() {
    let repo = repo().await;
    for round in 0..20 {
        let location = repo.start_upload().await;
        // In memory and on disk in turn.
        repo.client.patch(&location, bytes(if round % 2 == 0 { 1_000 } else { 100_000 })).await.status(202);
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        let asking: Vec<_> = (0..4)
            .map(|_| {
                let (client, location) = (repo.client.clone(), location.clone());
                tokio::spawn(async move {
                    for _ in 0..20 {
                        client.get(&location).await.status_in(&[204, 404]);
                    }
                })
            })
            .collect();
        repo.client.delete(&location).await.status(204);
        for _ in 0..5 {
            repo.client.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
            repo.client.patch(&location, bytes(10)).await.missing("BLOB_UPLOAD_UNKNOWN");
        }
        for task in asking {
            task.await.expect("answers");
        }
        repo.client.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
    }
}
