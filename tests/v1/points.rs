//! The points at which the reference implementation went wrong, each by its number: here it goes otherwise.

use serde_json::{Value, json};

use super::content::{V1Image, chain, json as image_json, layer, new_id};
use super::docker::{Docker, Version};
use super::steps::{Steps, image, list, new_name, pushing};
use crate::harness::raw::exchange;
use crate::harness::{Gantry, image as v2_image};
use crate::sweep::{files, lapse, sweep};

#[tokio::test]
async fn v_13_1_a_checksum_before_the_layer_is_400() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.put_json(of).await.status(200);
    push.put_checksum(of).await.says(400, "Image has no layer yet");
    // Begun again it has none either.
    push.put_layer(of).await.status(200);
    push.put_json(of).await.status(200);
    push.put_checksum(of).await.says(400, "Image has no layer yet");
    push.put_layer(of).await.status(200);
    push.put_checksum(of).await.status(200);
}

#[tokio::test]
async fn v_13_2_half_an_image_is_not_tagged_and_not_listed() {
    let push = pushing().await;
    let images = chain(2);
    push.push(&images[..1], "base").await;
    for step in 0..3 {
        match step {
            0 => push.put_json(&images[1]).await.status(200),
            1 => push.put_layer(&images[1]).await.status(200),
            _ => {
                push.put_checksum_as(&images[1].id, &images[0].payload()).await.says(400, "Checksum mismatch")
            }
        };
        push.put_tag("top", &images[1].id).await.status_in(&[404, 409]);
        assert_eq!(push.tags().await, json!({ "base": images[0].id }));
    }
}

/// Ranges end where the layer ends, begin where they say, and have the bytes that they announce.
#[tokio::test]
async fn v_13_3_ranges_are_those_of_http() {
    let push = pushing().await;
    let of = V1Image::new(image_json(&new_id(), None), crate::harness::bytes(1000));
    push.push_image(&of).await;
    let get = |range: &str| push.client.get(&image(&of.id, "layer")).header("range", range);
    get("bytes=990-").await.status(206).header("content-length", "10").body(&of.layer[990..]);
    get("bytes=990-1000").await.status(206).header("content-length", "10").body(&of.layer[990..]);
    get("bytes=1000-1000").await.status(416).body(b"");
    get("bytes=2000-").await.status(416).body(b"");
    get("bytes=5-5").await.status(206).header("content-range", "bytes 5-5/1000").body(&of.layer[5..6]);
}

/// What is not there, or not for the caller, was not left unmodified.
#[tokio::test]
async fn v_13_4_not_modified_is_said_of_what_is_there_and_may_be_seen() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let push = Steps::pushing(&alice, &new_name()).await;
    let of = &chain(1)[0];
    push.push(std::slice::from_ref(of), "latest").await;
    let later = "Wed, 21 Oct 2026 07:28:00 GMT";
    for part in ["json", "layer", "ancestry"] {
        let asked = |client: &crate::harness::Client, id: &str| {
            client.get(&image(id, part)).header("if-modified-since", later)
        };
        asked(&push.client, &of.id).await.status(304);
        asked(&push.client, &new_id()).await.says(404, "Image not found");
        asked(&app.client(), &of.id).await.says(401, "Requires authorization");
        asked(&app.client(), &new_id()).await.says(401, "Requires authorization");
    }
}

#[tokio::test]
async fn v_13_5_answers_have_the_body_that_they_announce() {
    let app = Gantry::start().await;
    let id = new_id();
    let body = format!("{{\"id\":\"{id}\"}}");
    let send = async |method: &str, path: &str, body: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        exchange(app.address(), request).await.expect("an answer")
    };
    assert_eq!(send("PUT", &image(&id, "json"), &body).await.body, b"\"\"");
    assert_eq!(send("PUT", &image(&id, "layer"), "layer").await.body, b"\"\"");
    let missing = send("PUT", &image(&id, "checksum"), "").await;
    assert_eq!((missing.status, missing.body), (400, b"{\"error\":\"Missing Image's checksum\"}".to_vec()));
    for (method, path) in [("PUT", "/v1/repositories/a/b/images"), ("DELETE", "/v1/repositories/a/b/images")]
    {
        let none = send(method, path, if method == "PUT" { "[]" } else { "" }).await;
        assert_eq!((none.status, none.get("content-length")), (204, None), "{}", none.head);
    }
}

#[tokio::test]
async fn v_13_6_a_layer_of_no_bytes_is_200_and_empty() {
    let push = pushing().await;
    let of = V1Image::new(image_json(&new_id(), None), "");
    push.push(std::slice::from_ref(&of), "latest").await;
    push.get(&of.id, "layer").await.status(200).header("content-length", "0").body(b"");
    push.get(&of.id, "json").await.status(200).header("x-docker-size", "0").body(&of.json);
    let ranged = push.client.get(&image(&of.id, "layer")).header("range", "bytes=0-0").await;
    ranged.status_in(&[200, 416]).body(b"");
}

/// Nobody is refused for what it calls itself.
#[tokio::test]
async fn v_13_7_every_user_agent_is_served() {
    let app = Gantry::start().await;
    for agent in [
        "docker/0.9.1 go/go1.2.1",
        "docker/0.1",
        "Docker-Client/27.0 (linux)",
        "curl/8",
        "",
        "docker/",
        "docker/x.y",
    ] {
        let client = app.client().with("user-agent", agent);
        let push = Steps::pushing(&client, &new_name()).await;
        push.push(&chain(2), "latest").await;
    }
}

/// Else every lookup of a push is 401, and it sends everything again.
#[tokio::test]
async fn v_13_8_a_token_for_writing_reads() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let push = Steps::pushing(&alice, &new_name()).await;
    let images = chain(2);
    push.lacks(&images[0].id).await;
    push.push(&images, "latest").await;
    push.has(&images[1]).await;
    assert_eq!(push.tags().await, json!({ "latest": images[1].id }));
    push.client.head(&image(&images[1].id, "layer")).await.status(200);
    // One for reading does not write.
    let pull = Steps::pulling(&alice, &push.name).await;
    pull.has(&images[1]).await;
    pull.put_json(&chain(1)[0]).await.says(401, "Requires authorization");
    pull.put_tag("other", &images[0].id).await.says(401, "Requires authorization");
    pull.client.delete(&pull.path("tags/latest")).await.says(401, "Requires authorization");
}

#[tokio::test]
async fn v_13_9_lists_of_the_index_are_put_in_order_from_the_first_on() {
    let push = pushing().await;
    let images = chain(2);
    let [base, top] = [&images[0].id, &images[1].id];
    let body = json!([
        { "id": top, "Tag": "latest", "checksum": "", "more": 1 },
        { "id": base },
        { "id": top, "Tag": "too" },
        { "id": base },
    ]);
    let put = push.client.call("PUT", &push.path("")).json(&body).await.status(200);
    assert_eq!(put.json(), "");
    push.push(&images, "latest").await;
    push.client.call("PUT", &push.path("images")).json(&json!([])).await.status(204);
    push.client.call("PUT", &push.path("images")).json(&list(&images)).await.status(204);
    let listed = push.client.get(&push.path("images")).await.status(200).json();
    let listed = listed.as_array().expect("a list");
    let mut ids: Vec<_> = listed.iter().map(|entry| entry["id"].as_str().expect("an id")).collect();
    ids.sort_unstable();
    let mut expected = [base.as_str(), top.as_str()];
    expected.sort_unstable();
    assert_eq!(ids, expected);
    assert!(listed.iter().all(|entry| entry.get("Tag").is_none()), "{listed:?}");
}

/// Each repository has images of its own, though no URL says which.
#[tokio::test]
async fn v_13_10_one_id_in_two_repositories_is_two_images() {
    let app = Gantry::start().await;
    let id = new_id();
    let of = || V1Image::new(image_json(&id, None), layer(200));
    let (here, there) = (of(), of());
    let mut both = Vec::new();
    for (name, of) in [("one/a", &here), ("two/b", &there)] {
        for version in Version::ALL {
            let docker = Docker::new(version, &app.client(), false);
            docker.push(name, std::slice::from_ref(of), &[("latest", 0)]).await.expect("pushed");
            assert_eq!(docker.pull(name, "latest").await.expect("pulled"), std::slice::from_ref(of));
        }
        both.push(Steps::pulling(&app.client(), name).await);
    }
    both[0].has(&here).await;
    both[1].has(&there).await;
    // Who says no repository gets neither rather than a guess.
    app.client().get(&image(&id, "json")).await.says(404, "Image not found");
    app.client().get(&image(&id, "layer")).await.says(404, "Image not found");
}

#[tokio::test]
async fn v_13_11_with_a_repository_its_images_and_layers_go() {
    let options = Gantry::options().set("sweep.interval", "\"off\"").set("sweep.grace", "\"300ms\"");
    let app = options.set("sweep.upload_expiry", "\"300ms\"").start().await;
    let push = Steps::pushing(&app.client(), "gone/soon").await;
    let mut images = Vec::<V1Image>::new();
    for _ in 0..3 {
        let parent = images.last().map(|of| of.id.clone());
        images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), layer(40_000)));
    }
    push.push(&images, "latest").await;
    assert_eq!(files(app.data()).len(), 3);
    let kept = v2_image().build();
    app.client().at("stays/here").push("latest", &kept).await;
    app.client().delete(&push.path("")).await.status(200);
    let again = Steps::pushing(&app.client(), &push.name).await;
    for of in &images {
        again.lacks(&of.id).await;
    }
    lapse(300).await;
    sweep(&app).await;
    assert_eq!(files(app.data()).len(), 0, "only small blobs are left, which are rows");
    app.client().at("stays/here").has_manifest("latest", &kept.manifest).await;
    let _: Value = app.client().get("/v2/_catalog").await.status(200).json();
}
