//! How images go, told and killed: what the sweep says of them, and a `kill -9` inside of a sweep, of the end of a repository, of a link
//! into another one. What is left the next sweep finds.

use std::collections::BTreeSet;

use super::content::{V1Image, grow, json as image_json, layer, new_id};
use super::steps::Steps;
use crate::harness::Gantry;
use crate::ops::eventually;
use crate::sweep::{files, lapse, promising, sweep};

/// Images whose layers are files.
fn chain_on(base: Option<&V1Image>, length: usize) -> Vec<V1Image> {
    let mut images: Vec<V1Image> = Vec::new();
    for number in 0..length {
        let parent = images.last().or(base).map(|of| of.id.clone());
        images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), layer(40_000 + number)));
    }
    images
}

fn layers(images: &[&[V1Image]]) -> BTreeSet<String> {
    images.iter().copied().flatten().map(V1Image::layer_digest).collect()
}

fn names(images: &[V1Image]) -> Vec<String> {
    let mut names: Vec<_> = images.iter().map(|of| format!("sha256:{}", of.id)).collect();
    names.sort();
    names
}

#[tokio::test]
async fn v_20_6_images_that_nobody_tagged_go_and_their_layers_after_them() {
    let app = promising("400ms").start().await;
    let push = Steps::pushing(&app.client(), "sweep/v1").await;
    let kept = chain_on(None, 2);
    push.push(&kept, "latest").await;
    let gone = chain_on(Some(&kept[0]), 3);
    for of in &gone {
        push.push_image(of).await;
    }
    let told = sweep(&app).await;
    assert_eq!(told.count("images"), 0, "promised by their push");
    lapse(400).await;
    // Somebody is told that it is there.
    push.get(&gone[2].id, "json").await.status(200);
    assert_eq!(sweep(&app).await.count("images"), 0);
    lapse(400).await;
    let told = sweep(&app).await;
    assert_eq!(
        told.with_fate("removed"),
        names(&gone),
        "the chain, from its top to what another image needs"
    );
    assert_eq!((told.count("images"), told.count("links"), told.count("files")), (3, 0, 0));
    for of in &gone {
        push.lacks(&of.id).await;
    }
    lapse(400).await;
    let told = sweep(&app).await;
    assert_eq!((told.count("images"), told.count("links"), told.count("files")), (0, 3, 3));
    assert_eq!(files(app.data()), layers(&[&kept]));
    for of in &kept {
        push.has(of).await;
    }

    // Both views go by the same rules: without its manifest the image is as one that nobody tagged.
    let repo = app.client().at("sweep/v1");
    let digest = repo.client.head(&repo.manifest("latest")).await.status(200);
    let digest = digest.get("docker-content-digest").expect("a digest").to_owned();
    repo.client.delete(&repo.manifest(&digest)).await.status(202);
    for of in &kept {
        push.has(of).await;
    }
    lapse(400).await;
    assert_eq!(
        sweep(&app).await.with_fate("removed").len(),
        2 + 1,
        "two images, and the config that was made"
    );
    lapse(400).await;
    assert_eq!(sweep(&app).await.count("files"), 2);
    assert!(files(app.data()).is_empty());
    push.push(&kept, "latest").await;
    push.has(&kept[1]).await;
}

/// Where the end of images comes by.
const POINTS: [&str; 4] = ["image.removed", "lapsed.removed", "lapsed.decided", "repository.emptying"];

#[tokio::test]
async fn v_20_4_kill_9_while_images_go() {
    let mut reached = Vec::new();
    for point in POINTS {
        for pass in [1, 2, 4] {
            let plan = format!("{point}:{pass}");
            let mut app = promising("300ms").variable("GANTRY_FAIL_AT", &plan).start().await;
            let push = Steps::pushing(&app.client(), "kill/sweep").await;
            let other = Steps::pushing(&app.client(), "kill/emptied").await;
            let (kept, emptied) = (chain_on(None, 2), chain_on(None, 2));
            push.push(&kept, "latest").await;
            other.push(&emptied, "latest").await;
            let gone = chain_on(Some(&kept[0]), 3);
            for of in &gone {
                push.push_image(of).await;
            }
            lapse(300).await;
            let data = app.data().to_str().expect("a path").to_owned();
            let swept = crate::harness::server::run(&["sweep", "--data", &data]).await;
            let deleted = other.client.call("DELETE", &other.path("")).try_send().await;
            if !swept.0.success() || deleted.is_err() {
                reached.push(plan.clone());
            }
            app.kill9();
            app.without_variables().restart().await;
            let push = Steps::pushing(&app.client(), "kill/sweep").await;
            let other = Steps::pushing(&app.client(), "kill/emptied").await;
            for of in &kept {
                push.has(of).await;
            }
            // All of it or nothing.
            let tags = other.client.get(&other.path("tags")).await;
            if tags.status == 404 {
                other.lacks(&emptied[1].id).await;
            } else {
                assert!(deleted.is_err(), "{plan}: that had been acknowledged");
                for of in &emptied {
                    other.has(of).await;
                }
                other.client.call("DELETE", &other.path("")).await.status(200);
            }
            // A kill takes back a part of the store's time.
            eventually(&format!("after {plan} only what is needed is left"), async || {
                sweep(&app).await;
                (files(app.data()) == layers(&[&kept])).then_some(())
            })
            .await;
            for of in &gone {
                push.lacks(&of.id).await;
            }
            for of in &kept {
                push.has(of).await;
            }
            // Everything can be pushed again.
            push.push(&grow(Some(&kept[1]), 1), "latest").await;
            other.push(&emptied, "latest").await;
            let (status, told, errors) = crate::harness::server::run(&["verify", "--data", &data]).await;
            assert!(status.success(), "{plan}: {told}{errors}");
        }
    }
    println!("killed at {} places: {reached:?}", reached.len());
    for point in POINTS {
        assert!(reached.iter().any(|plan| plan.starts_with(point)), "{point} was never passed");
    }
}

/// An image that waits in its pusher's own place is linked into the repository of the tag in one step.
#[tokio::test]
async fn v_20_4_kill_9_while_images_are_linked() {
    for pass in [1, 2] {
        let plan = format!("image.linked:{pass}");
        let mut app = Gantry::options().variable("GANTRY_FAIL_AT", &plan).start().await;
        // Without a token or a cookie nothing says where they belong.
        let nowhere = Steps { client: app.client(), name: "kill/linked".to_owned() };
        let images = chain_on(None, 2);
        for of in &images {
            nowhere.push_image(of).await;
        }
        let tag = nowhere.client.put(&nowhere.path("tags/latest"), format!("\"{}\"", images[1].id));
        tag.header("content-type", "application/json").try_send().await.expect_err("the server died");
        app.kill9();
        app.without_variables().restart().await;
        let again = Steps { client: app.client(), name: "kill/linked".to_owned() };
        again.client.get(&again.path("tags")).await.says(404, "Repository not found");
        again.put_tag("latest", &images[1].id).await.status(200);
        let pull = Steps::pulling(&app.client(), "kill/linked").await;
        for of in &images {
            pull.has(of).await;
        }
    }
}
