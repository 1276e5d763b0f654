//! Pushes that end too early: unplugged, hung up on, or `kill -9` between any two steps and inside of them. What was acknowledged is
//! there, what was not is no image, and the push is simply begun again.

use std::time::Duration;

use bytes::Bytes;

use super::content::{V1Image, chain, json as image_json, layer, new_id};
use super::docker::{Docker, Version};
use super::steps::{Steps, image, token};
use crate::harness::{Alg, Client, Gantry, pieces};

/// What was answered so far is so: images that are complete are there as they were pushed, tags point where they were put.
async fn holds(client: &Client, name: &str, images: &[V1Image], docker: &Docker, when: &str) {
    let pull = Steps { client: client.clone(), name: name.to_owned() };
    let with = pull.with(client.v1_token(&token(client, "PUT", &pull.path("")).await));
    for (method, path, status) in docker.told() {
        let Some(of) = images.iter().find(|of| path.contains(&of.id)) else { continue };
        if method == "PUT" && path.ends_with("/checksum") && status == 200 {
            assert_eq!(with.get(&of.id, "json").await.status(200).body, of.json, "{when}");
            assert_eq!(with.get(&of.id, "layer").await.status(200).body, of.layer, "{when}");
        }
    }
    for (method, path, status) in docker.told() {
        if method == "PUT" && path.contains("/tags/") && status == 200 {
            let got = client.get(&path).await.status(200).json();
            assert!(images.iter().any(|of| got == of.id.as_str()), "{when}: {got}");
        }
    }
    // Every tag is whole, or not there.
    for tag in ["latest", "base"] {
        let got = client.get(&pull.path(&format!("tags/{tag}"))).await;
        if got.status == 200 {
            let pulled = Docker::new(Version::D1_6, client, false).pull(name, tag).await.expect("whole");
            assert!(images.starts_with(&pulled), "{when}");
        } else {
            got.says(404, "Tag not found");
        }
    }
}

/// The push is done again, by whichever Docker, and both views are whole.
async fn goes_on(client: &Client, name: &str, images: &[V1Image], when: &str) {
    let docker = Docker::new(Version::D1_3, client, false);
    let tags = [("base", 0), ("latest", images.len() - 1)];
    docker.push(name, images, &tags).await.unwrap_or_else(|refused| panic!("{when}: {refused:?}"));
    assert_eq!(docker.pull(name, "latest").await.expect("pulled"), images, "{when}");
    let repo = client.at(name);
    for tag in ["base", "latest"] {
        let manifest = repo.client.get(&repo.manifest(tag)).await.status(200).json();
        for part in manifest["layers"].as_array().expect("layers").iter().chain([&manifest["config"]]) {
            let digest = part["digest"].as_str().expect("a digest");
            let blob = repo.client.get(&repo.blob(digest)).await.status(200);
            assert_eq!(Alg::Sha256.of(&blob.body), digest, "{when}");
        }
    }
}

/// Images of both kinds of layers: in a row, and in a file.
fn images() -> Vec<V1Image> {
    let mut images: Vec<V1Image> = Vec::new();
    for length in [400, 60_000, 10] {
        let parent = images.last().map(|of| of.id.clone());
        images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), layer(length)));
    }
    images
}

const TAGS: [(&str, usize); 2] = [("base", 0), ("latest", 2)];

#[tokio::test]
async fn v_4_5_a_push_that_is_cut_after_any_request_is_begun_again() {
    let app = Gantry::options().set("log.access", "false").start().await;
    for version in Version::ALL {
        for cut in 0.. {
            assert!(cut < 60, "a push has an end");
            let (name, images) = (format!("cut/{cut}-{}", version as usize), images());
            let docker = Docker::new(version, &app.client(), false).unplugged_after(cut);
            let done = docker.push(&name, &images, &TAGS).await.is_ok();
            holds(&app.client(), &name, &images, &docker, &format!("cut after {cut}")).await;
            goes_on(&app.client(), &name, &images, &format!("cut after {cut}")).await;
            if done {
                break;
            }
        }
    }
}

/// A layer that breaks off leaves the image waiting for it.
#[tokio::test]
async fn v_4_5_a_layer_that_breaks_off_is_sent_again() {
    let app = Gantry::start().await;
    let push = Steps::pushing(&app.client(), "cut/layer").await;
    for length in [100, 3 << 20] {
        let of = V1Image::new(image_json(&new_id(), None), layer(length));
        push.put_json(&of).await.status(200);
        for _ in 0..3 {
            let (sender, body) = pieces();
            let put = tokio::spawn(push.client.call("PUT", &image(&of.id, "layer")).stream(body).try_send());
            sender.send(Ok(of.layer.slice(..of.layer.len() / 2))).await.expect("the request goes on");
            tokio::time::sleep(Duration::from_millis(30)).await;
            sender.send(Err(std::io::Error::other("unplugged"))).await.expect("the request goes on");
            assert!(put.await.expect("a task").is_err());
            push.get(&of.id, "layer").await.says(400, "Image is being uploaded, retry later");
            push.put_checksum(&of).await.status(400);
        }
        push.put_layer(&of).await.status(200);
        push.put_checksum(&of).await.status(200);
        push.has(&of).await;
    }
    crate::ops::eventually("nothing is left of uploads", async || {
        let left = std::fs::read_dir(app.data().join("uploads")).map_or(0, Iterator::count);
        (left == 0).then_some(())
    })
    .await;
}

/// One push, with the token of its first request, and a server that is killed before each of the following.
#[tokio::test]
async fn v_20_4_kill_9_between_every_two_steps_of_a_push() {
    let mut app = Gantry::options().set("log.access", "false").start().await;
    let images = chain(3);
    let name = "kill/steps";
    let at = |app: &Gantry, token: &str| {
        // Wherever it listens, it is called the same.
        let client = app.client().with("host", "registry.example.com").v1_token(token);
        Steps { client, name: name.to_owned() }
    };
    let client = app.client().with("host", "registry.example.com");
    let token = token(&client, "PUT", &format!("/v1/repositories/{name}/")).await;
    for of in &images {
        for step in 0..4 {
            app.kill9();
            app.restart().await;
            let push = at(&app, &token);
            match step {
                0 => push.get(&of.id, "json").await.says(404, "Image not found"),
                1 => push.put_json(of).await.status(200),
                2 => push.put_layer(of).await.status(200),
                _ => push.put_checksum(of).await.status(200),
            };
        }
    }
    app.kill9();
    app.restart().await;
    let push = at(&app, &token);
    for of in &images {
        push.has(of).await;
    }
    push.put_tag("latest", &images[2].id).await.status(200);
    app.kill9();
    app.restart().await;
    let push = at(&app, &token);
    push.client.put(&push.path("images"), "[]").await.status(204);
    app.kill9();
    app.restart().await;
    goes_on(&app.client(), name, &images, "after all").await;
}

/// Where a push of images that are rows and files comes by, in the order in which it does.
const POINTS: [&str; 16] = [
    "stage.written",
    "publish.synced",
    "publish.renamed",
    "publish.durable",
    "group.begun",
    "group.operation",
    "group.commit",
    "group.committed",
    "blob.row",
    "blob.linked",
    "image.begun",
    "image.layer",
    "image.completed",
    "image.viewed",
    "manifest.row",
    "tag.set",
];

#[tokio::test]
async fn v_20_4_kill_9_inside_of_every_step_of_a_push() {
    let mut reached = Vec::new();
    for point in POINTS {
        // The first commits are those of the start.
        let passes = if point.starts_with("group.") { [3, 4, 6, 9, 14] } else { [1, 2, 3, 5, 8] };
        for pass in passes {
            let plan = format!("{point}:{pass}");
            let mut app =
                Gantry::options().set("log.access", "false").variable("GANTRY_FAIL_AT", &plan).start().await;
            let (name, images) = ("kill/inside", images());
            let docker = Docker::new(Version::D1_0, &app.client(), false);
            match docker.push(name, &images, &TAGS).await {
                Ok(()) => {}
                Err(refused) => {
                    assert_eq!(refused.status, 0, "{plan}: {refused:?}");
                    reached.push(plan.clone());
                }
            }
            app.kill9();
            app.without_variables().restart().await;
            holds(&app.client(), name, &images, &docker, &plan).await;
            goes_on(&app.client(), name, &images, &plan).await;
            let data = app.data().to_str().expect("a path").to_owned();
            let (status, told, errors) = crate::harness::server::run(&["verify", "--data", &data]).await;
            assert!(status.success(), "{plan}: {told}{errors}");
            if !reached.contains(&plan) {
                break;
            }
        }
    }
    println!("killed at {} places: {reached:?}", reached.len());
    for point in POINTS {
        assert!(reached.iter().any(|plan| plan.starts_with(point)), "{point} was never passed");
    }
}

/// The first view of what V2 pushed is made when somebody asks; a kill in it is no more than a question that was not answered.
#[tokio::test]
async fn v_16_6_kill_9_while_images_are_derived() {
    for point in ["image.derived:1", "image.viewed:1", "group.commit:2", "group.committed:2"] {
        let mut app = Gantry::start().await;
        let repo = app.client().at("kill/derive");
        repo.push("latest", &super::views::three()).await;
        app.variable("GANTRY_FAIL_AT", point).restart().await;
        let _ = Docker::new(Version::D1_6, &app.client(), false).pull("kill/derive", "latest").await;
        app.kill9();
        app.without_variables().restart().await;
        let docker = Docker::new(Version::D1_6, &app.client(), false);
        let images = docker.pull("kill/derive", "latest").await.expect("pulled");
        let ids: Vec<_> = images.iter().map(|of| of.id.as_str()).collect();
        assert_eq!(ids, super::vectors::THREE_IMAGES.map(|(id, _)| id), "{point}");
    }
}

/// Many pushes at once, a server that dies under them, and what it said before it did.
#[tokio::test]
async fn v_20_4_kill_9_under_many_pushes_loses_nothing_that_was_acknowledged() {
    let mut app = Gantry::options().set("log.access", "false").start().await;
    for round in 0..4_u64 {
        let name = |worker: usize| format!("many/r{round}w{worker}");
        let work = (0..4).map(|worker| {
            let docker = Docker::new(Version::ALL[worker], &app.client(), false);
            let name = name(worker);
            tokio::spawn(async move {
                let mut pushed = Vec::new();
                for _ in 0..50 {
                    let images = images();
                    let done = docker.push(&name, &images, &TAGS).await;
                    pushed.push(images);
                    if done.is_err() {
                        break;
                    }
                }
                (docker, pushed)
            })
        });
        let work: Vec<_> = work.collect();
        tokio::time::sleep(Duration::from_millis(120 + 90 * round)).await;
        app.kill9();
        let mut told = Vec::new();
        for worker in work {
            told.push(worker.await.expect("a worker"));
        }
        app.restart().await;
        for (worker, (docker, pushed)) in told.into_iter().enumerate() {
            let client = app.client();
            let all: Vec<V1Image> = pushed.concat();
            let push = Steps::pushing(&client, &name(worker)).await;
            for (method, path, status) in docker.told() {
                let Some(of) = all.iter().find(|of| path.contains(&of.id)) else { continue };
                if method == "PUT" && path.ends_with("/checksum") && status == 200 {
                    push.has(of).await;
                }
            }
            goes_on(&client, &name(worker), pushed.last().expect("a push"), "after the kill").await;
        }
    }
}

/// A body that goes on for ever does not hold the next one off.
#[tokio::test]
async fn v_20_5_a_push_that_is_begun_anew_does_not_wait_for_the_old_one() {
    let app = Gantry::start().await;
    let push = Steps::pushing(&app.client(), "slow/push").await;
    let of = V1Image::new(image_json(&new_id(), None), layer(50_000));
    push.put_json(&of).await.status(200);
    let (sender, body) = pieces();
    let slow = tokio::spawn(push.client.call("PUT", &image(&of.id, "layer")).stream(body).try_send());
    sender.send(Ok(Bytes::from_static(b"first bytes"))).await.expect("the request goes on");
    tokio::time::sleep(Duration::from_millis(50)).await;
    push.push_image(&of).await;
    push.has(&of).await;
    drop(sender);
    let late = slow.await.expect("a task").expect("an answer").status(409);
    assert_ne!(late.json()["error"], "");
    push.has(&of).await;
}
