//! `kill -9` at each step of a sweep: what is named stays, and what was begun is ended by the next sweep, to the last file.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{files, lapse, promising, sweep};
use crate::harness::{Blob, Gantry, Image, Repo, image, types};
use crate::ops::eventually;

const POINTS: [&str; 9] = [
    "sweep.freed",
    "sweep.looked",
    "sweep.removed",
    "sweep.settled",
    "sweep.forgotten",
    "lapsed.removed",
    "lapsed.decided",
    "lapsed.subject",
    "lapsed.renewed",
];

/// What stays, what goes, and a blob in between that a client asks for.
struct Scene {
    kept: Image,
    relied: Blob,
}

async fn prepare(repo: &Repo) -> Scene {
    let shared = Blob::new(30_000);
    let with_shared =
        |more: usize| image().layers(types::OCI_LAYER, &[shared.clone(), Blob::new(30_000 + more)]).build();
    let (kept, gone) = (with_shared(1), with_shared(2));
    repo.push("kept", &kept).await;
    repo.push("gone", &gone).await;
    for number in 0..3 {
        let signature = image().artifact("x/signature").subject(&gone.descriptor()).build();
        repo.push_by_digest(&signature).await;
        repo.push_blob(&Blob::new(20_000 + number)).await;
    }
    let relied = Blob::new(25_000);
    repo.push_blob(&relied).await;
    repo.client.delete(&repo.manifest(gone.digest())).await.status(202);
    Scene { kept, relied }
}

async fn holds(app: &Gantry, name: &str, scene: &Scene) {
    let repo = app.client().at(name);
    repo.has_manifest("kept", &scene.kept.manifest).await;
    for blob in &scene.kept.blobs {
        repo.has_blob(blob).await;
    }
}

#[tokio::test]
async fn kill_9_at_each_step_of_a_sweep_loses_and_leaks_nothing() {
    let mut reached = Vec::new();
    for point in POINTS {
        for pass in [1, 3] {
            let plan = format!("{point}:{pass}");
            let mut app = promising("300ms")
                .set("sweep.interval", "\"60ms\"")
                .variable("GANTRY_FAIL_AT", &plan)
                .start()
                .await;
            let repo = app.repo();
            let name = repo.name.clone();
            let scene = prepare(&repo).await;
            // Until it dies, or all is swept; the client who relies on a blob asks for it meanwhile.
            let ask = app.client().at(&name);
            for _ in 0..24 {
                let head = ask.client.head(&ask.blob(&scene.relied.digest)).try_send().await;
                if head.is_err() {
                    reached.push(plan.clone());
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            app.kill9();
            app.without_variables().restart().await;
            holds(&app, &name, &scene).await;
            let repo = app.client().at(&name);
            let expected: BTreeSet<_> = scene.kept.blobs.iter().map(|blob| blob.digest.clone()).collect();
            let large = |digests: BTreeSet<String>| digests.into_iter().collect::<Vec<_>>();
            eventually(&format!("after {plan} only what is named is left"), async || {
                let left = files(app.data());
                left.is_subset(&expected).then_some(())
            })
            .await;
            assert_eq!(large(files(app.data())).len(), 2, "two layers of the image are files");
            repo.lacks_blob(&scene.relied.digest).await;
            holds(&app, &name, &scene).await;
            // Nothing is left to do, and everything can be pushed again.
            lapse(300).await;
            let told = sweep(&app).await;
            assert_eq!(
                (told.count("files"), told.count("links"), told.count("referrers")),
                (0, 0, 0),
                "{plan}"
            );
            repo.push_blob(&scene.relied).await;
            repo.has_blob(&scene.relied).await;
        }
    }
    println!("killed at {} of {} passes: {reached:?}", reached.len(), POINTS.len() * 2);
    for point in POINTS {
        assert!(reached.iter().any(|plan| plan.starts_with(point)), "{point} was never passed");
    }
}

#[tokio::test]
async fn bytes_that_a_killed_push_left_without_a_row_are_kept_for_its_session() {
    for repairs in [true, false] {
        let plan = if repairs { "upload.published:1" } else { "upload.published:2" };
        let mut app = promising("10s").variable("GANTRY_FAIL_AT", plan).start().await;
        let repo = app.repo();
        let (name, blob) = (repo.name.clone(), Blob::new(60_000));
        if !repairs {
            // An entry for the sweep waits already.
            repo.push_blob(&blob).await;
            repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
        }
        let location = repo.start_upload().await;
        repo.client.patch(&location, blob.bytes.clone()).await.status(202);
        let finish = format!("{location}?digest={}", blob.digest);
        repo.client.put(&finish, "").try_send().await.expect_err("the server died");
        app.kill9();
        app.without_variables().restart().await;
        let repo = app.client().at(&name);
        if repairs {
            let data = app.data().to_str().expect("a path").to_owned();
            let (_, told, _) = crate::harness::server::run(&["verify", "--repair", "--data", &data]).await;
            assert!(told.contains("an upload session goes on with them: kept"), "{told}");
        } else {
            assert_eq!(sweep(&app).await.count("files"), 0);
        }
        repo.client.put(&finish, "").await.status(201);
        repo.has_blob(&blob).await;
    }
}

#[tokio::test]
async fn kill_9_while_damage_is_set_aside_hides_it_and_loses_nothing_else() {
    for point in ["damage.marked", "damage.aside"] {
        let mut app = Gantry::options().variable("GANTRY_FAIL_AT", &format!("{point}:1")).start().await;
        let repo = app.repo();
        let (damaged, whole) = (Blob::new(40_000), Blob::new(40_000));
        repo.push_blob(&damaged).await;
        repo.push_blob(&whole).await;
        let file = super::file_of(&app, &damaged.digest);
        let mut bytes = std::fs::read(&file).expect("its bytes");
        bytes[20_000] ^= 1;
        std::fs::write(&file, bytes).expect("written");
        let data = app.data().to_str().expect("a path").to_owned();
        let (status, _, _) = crate::harness::server::run(&["verify", "--repair", "--data", &data]).await;
        assert!(!status.success(), "the server died");
        let name = repo.name.clone();
        app.kill9();
        app.without_variables().restart().await;
        let repo = app.client().at(&name);
        crate::harness::server::run(&["verify", "--repair", "--data", &data]).await;
        repo.lacks_blob(&damaged.digest).await;
        repo.has_blob(&whole).await;
        repo.push_blob(&damaged).await;
        repo.has_blob(&damaged).await;
    }
}
