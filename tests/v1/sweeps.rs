//! The sweep knows images: what a tag, an image or a manifest stands on stays, the rest goes after its time, and its layers with it.

use std::collections::BTreeSet;

use super::content::{V1Image, grow, json as image_json, layer, new_id};
use super::steps::{Steps, pushing};
use crate::harness::{Gantry, Options, image, types};
use crate::sweep::{files, lapse, sweep};

const GRACE: u64 = 400;

fn promising() -> Options {
    Gantry::options()
        .set("sweep.interval", "\"off\"")
        .set("sweep.grace", &format!("\"{GRACE}ms\""))
        .set("sweep.upload_expiry", &format!("\"{GRACE}ms\""))
        .set("log.access", "false")
}

/// Images whose layers are files.
fn big_chain(base: Option<&V1Image>, length: usize) -> Vec<V1Image> {
    let mut images: Vec<V1Image> = Vec::new();
    for _ in 0..length {
        let parent = images.last().or(base).map(|of| of.id.clone());
        images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), layer(30_000)));
    }
    images
}

fn layers<'a>(images: impl IntoIterator<Item = &'a V1Image>) -> BTreeSet<String> {
    images.into_iter().map(V1Image::layer_digest).collect()
}

#[tokio::test]
async fn v_20_6_what_a_tag_stands_on_stays_and_the_rest_goes() {
    let app = promising().start().await;
    let push = Steps::pushing(&app.client(), "swept/app").await;
    let kept = big_chain(None, 3);
    push.push(&kept, "latest").await;
    // On the same base, never tagged: one complete, one with a layer, one with nothing.
    let left = big_chain(Some(&kept[0]), 3);
    push.push_image(&left[0]).await;
    push.put_json(&left[1]).await.status(200);
    push.put_layer(&left[1]).await.status(200);
    let begun = &big_chain(Some(&left[0]), 1)[0];
    push.put_json(begun).await.status(200);
    // In time nothing goes.
    sweep(&app).await;
    push.has(&left[0]).await;
    assert_eq!(files(app.data()), layers(kept.iter().chain(&left[..2])));
    // The image in its time, and what it named in the next.
    for _ in 0..2 {
        lapse(GRACE).await;
        sweep(&app).await;
    }
    for id in [&left[0].id, &left[1].id, &begun.id] {
        push.lacks(id).await;
    }
    for of in &kept {
        push.has(of).await;
    }
    assert_eq!(files(app.data()), layers(&kept));
    // Everything can be pushed again.
    push.push(&left, "left").await;
    push.has(&left[2]).await;
}

/// Tag by tag, by either API: the last one that stood on an image takes it along, after its time.
#[tokio::test]
async fn v_20_6_with_the_last_tag_the_chain_goes() {
    for by_v2 in [false, true] {
        let app = promising().set("sweep.untagged", &format!("\"{GRACE}ms\"")).start().await;
        let push = Steps::pushing(&app.client(), "swept/app").await;
        let images = big_chain(None, 4);
        push.push(&images, "top").await;
        push.put_tag("base", &images[1].id).await.status(200);
        let repo = app.client().at("swept/app");
        let delete = async |tag: &str| match by_v2 {
            true => repo.client.delete(&repo.manifest(tag)).await.status(202),
            false => repo.client.delete(&push.path(&format!("tags/{tag}"))).await.status(200),
        };
        delete("top").await;
        // The first sweep frees the manifest, what it named goes in its time.
        for _ in 0..3 {
            lapse(GRACE).await;
            sweep(&app).await;
        }
        assert_eq!(files(app.data()), layers(&images[..2]), "by V2: {by_v2}");
        push.lacks(&images[3].id).await;
        push.has(&images[1]).await;
        delete("base").await;
        for _ in 0..3 {
            lapse(GRACE).await;
            sweep(&app).await;
        }
        assert_eq!(files(app.data()), BTreeSet::new(), "by V2: {by_v2}");
        push.lacks(&images[0].id).await;
    }
}

/// A push that asks whether images are there may rely on the answer.
#[tokio::test]
async fn v_20_6_an_image_that_was_asked_for_stays_another_time() {
    let app = promising().start().await;
    let push = Steps::pushing(&app.client(), "swept/app").await;
    let images = big_chain(None, 2);
    push.push_image(&images[0]).await;
    push.push_image(&images[1]).await;
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(GRACE / 2)).await;
        push.get(&images[1].id, "json").await.status(200);
        sweep(&app).await;
        push.has(&images[0]).await;
    }
    push.put_tag("latest", &images[1].id).await.status(200);
    lapse(GRACE).await;
    sweep(&app).await;
    push.has(&images[0]).await;
    push.has(&images[1]).await;
}

/// What was derived goes with what it was derived of, unless something stands on it.
#[tokio::test]
async fn v_20_6_derived_images_go_with_their_manifest() {
    let app = promising().start().await;
    let repo = app.client().at("swept/derived");
    let built = super::views::three();
    repo.push("v2", &built).await;
    let pull = Steps::pulling(&app.client(), "swept/derived").await;
    let id = pull.tags().await["v2"].as_str().expect("an id").to_owned();
    let json = pull.get(&id, "json").await.status(200).body;
    let top = V1Image { id: id.clone(), json, layer: bytes::Bytes::new() };
    let push = Steps::pushing(&app.client(), "swept/derived").await;
    let more = grow(Some(&top), 1);
    push.push(&more, "more").await;
    repo.client.delete(&repo.manifest(built.digest())).await.status(202);
    for _ in 0..2 {
        lapse(GRACE).await;
        sweep(&app).await;
    }
    // A chain that a tag stands on is whole.
    let chain = super::docker::Docker::new(super::docker::Version::D1_3, &app.client(), false);
    assert_eq!(chain.pull("swept/derived", "more").await.expect("whole").len(), 4);
    let manifest = repo.client.get(&repo.manifest("more")).await.status(200).json();
    for part in manifest["layers"].as_array().expect("layers") {
        repo.client.get(&repo.blob(part["digest"].as_str().expect("a digest"))).await.status(200);
    }
}

/// Pushes and sweeps side by side, with no time for anything: each push holds what it needs.
#[tokio::test]
async fn v_20_6_pushes_go_on_beside_the_sweep() {
    let app = promising().start().await;
    let stop = std::sync::atomic::AtomicBool::new(false);
    let sweeping = async {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            sweep(&app).await;
        }
    };
    let pushing = async {
        for round in 0..6 {
            let name = format!("swept/beside{round}");
            let push = Steps::pushing(&app.client(), &name).await;
            let images = big_chain(None, 3);
            push.push(&images, "latest").await;
            app.client()
                .at(&name)
                .push("v2", &image().layers(types::OCI_LAYER, &[images[0].blob()]).build())
                .await;
            for of in &images {
                push.has(of).await;
            }
            push.client.nobody().delete(&push.path("tags/latest")).await.status(200);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    tokio::join!(sweeping, pushing);
}

/// A layer that cannot be read any more is not found, and not made up for by another; a push of it heals.
#[tokio::test]
async fn v_20_9_a_damaged_layer_is_pushed_again() {
    let app = Gantry::start().await;
    let push = Steps::pushing(&app.client(), "damaged/app").await;
    let images = big_chain(None, 2);
    push.push(&images, "latest").await;
    let file = crate::sweep::file_in(app.data(), &images[0].layer_digest());
    let mut bytes = std::fs::read(&file).expect("its bytes");
    bytes[100] ^= 1;
    std::fs::write(&file, bytes).expect("written");
    let data = app.data().to_str().expect("a path").to_owned();
    crate::harness::server::run(&["verify", "--repair", "--data", &data]).await;
    let got = push.get(&images[0].id, "layer").await;
    assert_ne!(got.status, 200, "wrong bytes are no answer");
    // In another repository the same layer comes again.
    let other = pushing_in(&app, "damaged/other").await;
    let again = V1Image { json: image_json(&images[0].id, None).into(), ..images[0].clone() };
    other.push_image(&again).await;
    other.has(&again).await;
    push.has(&images[0]).await;
}

async fn pushing_in(app: &Gantry, name: &str) -> Steps {
    Steps::pushing(&app.client(), name).await
}

/// As the reference lists them, its letters for types included.
#[tokio::test]
async fn v_11_1_the_files_of_a_layer() {
    let push = pushing().await;
    let of = super::vectors::single();
    push.push_image(&of).await;
    let files = push.get(&of.id, "files").await.status(200).json();
    let rows: Vec<_> = files.as_array().expect("a list").iter().map(|row| row.to_string()).collect();
    assert_eq!(rows.len(), 4, "{rows:?}");
    let with = |text: &str| rows.iter().any(|row| row.contains(text));
    assert!(with("hello\",\"f\",false,6,1400000000,"), "{rows:?}");
    assert!(with("\"d\",false,0,1400000000,"), "{rows:?}");
    assert!(with("link\",\"s\",false,0,1400000000,"), "{rows:?}");
    let diff = push.get(&of.id, "diff").await.status(200).json();
    for key in ["created", "changed", "deleted"] {
        assert!(diff[key].is_object(), "{diff}");
    }
    let none = V1Image::new(image_json(&new_id(), None), "no tar");
    push.push_image(&none).await;
    for part in ["files", "diff"] {
        push.get(&none.id, part).await.says(400, "Layer format not supported");
    }
}
