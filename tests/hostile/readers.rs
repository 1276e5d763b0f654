//! Readers beside writers: what was acknowledged is there from then on, and what is read is one of the written values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;

use crate::harness::{Alg, Blob, Gantry, Repo, image};

/// Runs readers until the writers are done; each reader makes at least one round.
async fn beside<W, R>(writers: W, reader: impl Fn() -> R)
where
    W: Future<Output = ()>,
    R: Future<Output = ()>,
{
    let done = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    let readers = join_all((0..4).map(|_| async {
        // Bounded, should a writer never come to its end.
        for _ in 0..100_000 {
            reader().await;
            rounds.fetch_add(1, Ordering::Relaxed);
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    }));
    let writers = async {
        writers.await;
        done.store(true, Ordering::Relaxed);
    };
    futures_util::future::join(writers, readers).await;
    assert!(rounds.load(Ordering::Relaxed) >= 4);
}

/// A tag that many move at once: by GET and HEAD, in both versions of HTTP, each answer is one of the written values and whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_that_moves_is_never_missing_and_never_torn() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let images: Arc<Vec<_>> = Arc::new((0..6).map(|_| image().build()).collect());
    for image in &*images {
        repo.push_parts(image).await;
    }
    repo.push_manifest("moving", &images[0].manifest).await;
    let writers = async {
        let push = images.iter().map(|image| async {
            for _ in 0..15 {
                repo.push_manifest("moving", &image.manifest).await;
            }
        });
        join_all(push).await;
    };
    let clients = [repo.client.clone(), repo.client.http2(None)];
    let turn = AtomicUsize::new(0);
    beside(writers, || async {
        let client = &clients[turn.fetch_add(1, Ordering::Relaxed) % 2];
        let get = client.get(&repo.manifest("moving")).await.status(200);
        let digest = get.get("docker-content-digest").expect("a digest").to_owned();
        assert_eq!(Alg::Sha256.of(&get.body), digest);
        assert!(images.iter().any(|image| image.digest() == digest), "{digest}");
        let head = client.head(&repo.manifest("moving")).await.status(200);
        assert!(images.iter().any(|image| Some(image.digest()) == head.get("docker-content-digest")));
        assert_eq!(repo.tags().await, ["moving"]);
        repo.client.get(&repo.manifest(images[0].digest())).await.status(200).body(&images[0].manifest.bytes);
    })
    .await;
}

/// A blob that many push at once: from the first 201 on it is there, for everybody and whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_pushed_again_and_again_is_never_missing() {
    for inline in ["\"16KiB\"", "0"] {
        let gantry = Gantry::options().set("limits.inline_blob", inline).start().await;
        let repo = gantry.repo();
        let blob = Blob::new(12_000);
        repo.push_blob(&blob).await;
        let writers = async {
            let push = (0..6).map(|_| async {
                let elsewhere: Repo = repo.other();
                for _ in 0..10 {
                    repo.push_blob(&blob).await;
                    elsewhere.push_blob(&blob).await;
                    elsewhere.client.delete(&elsewhere.blob(&blob.digest)).await.status(202);
                }
            });
            join_all(push).await;
        };
        beside(writers, || async { repo.has_blob(&blob).await }).await;
    }
}

/// Many attach to one subject: what was acknowledged is in every list from then on, and each list is well formed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attached_artifact_never_leaves_the_list_again() {
    let gantry = Gantry::start().await;
    let repo = gantry.repo();
    let subject = image().build();
    repo.push("v1", &subject).await;
    let attached = std::sync::Mutex::new(Vec::new());
    let writers = async {
        let attach = (0..8).map(|_| async {
            for _ in 0..6 {
                let artifact =
                    image().artifact("application/vnd.example.sbom").subject(&subject.descriptor()).build();
                repo.push_by_digest(&artifact).await.header("oci-subject", subject.digest());
                attached.lock().expect("a list").push(artifact.digest().to_owned());
            }
        });
        join_all(attach).await;
    };
    beside(writers, || async {
        let before = attached.lock().expect("a list").clone();
        let listed = repo.referrers(subject.digest()).await;
        for digest in before {
            assert!(
                listed.iter().any(|descriptor| descriptor["digest"] == digest),
                "{digest} is not listed any more"
            );
        }
    })
    .await;
    assert_eq!(repo.referrers(subject.digest()).await.len(), 48);
}
