//! Image ids are chosen by clients and their URLs name no repository: whose image is it, and who may see it.

use serde_json::json;

use super::content::{V1Image, chain, grow, json as image_json, layer, new_id};
use super::docker::{Docker, Version};
use super::steps::{Steps, image, token};
use crate::harness::{Client, Gantry, image as v2_image};

/// Alice works in `a`, Bob in `b`; Carol may pull from both.
struct World {
    app: Gantry,
    alice: Client,
    bob: Client,
    carol: Client,
}

async fn world() -> World {
    let app = Gantry::options().set("auth.anonymous", "\"none\"").start().await;
    let mut clients = Vec::new();
    for name in ["alice", "bob", "carol"] {
        clients.push(app.user(name, "a secret 1").await);
    }
    app.grant("alice", "delete", "a/**").await;
    app.grant("bob", "delete", "b/**").await;
    app.grant("carol", "pull", "a/**").await;
    app.grant("carol", "pull", "b/**").await;
    let [alice, bob, carol] = clients.try_into().unwrap_or_else(|_| unreachable!("three"));
    World { app, alice, bob, carol }
}

#[tokio::test]
async fn v_18_1_nobody_reads_an_image_of_a_repository_that_is_not_his() {
    let World { app, alice, bob, .. } = world().await;
    let images = chain(2);
    let push = Steps::pushing(&alice, "a/app").await;
    push.push(&images, "latest").await;
    let begun = Steps::pushing(&bob, "b/app").await;
    let other = &chain(1)[0];
    begun.push(std::slice::from_ref(other), "latest").await;
    for client in [bob.clone(), begun.client.clone(), Steps::pulling(&bob, "b/app").await.client] {
        let asked = begun.with(client);
        for of in &images {
            asked.lacks(&of.id).await;
            asked.get(&of.id, "files").await.says(404, "Image not found");
            asked.client.head(&image(&of.id, "layer")).await.status(404);
        }
    }
    app.client().get(&image(&images[1].id, "layer")).await.says(401, "Requires authorization");
    // That the repository is there is not told either.
    for (method, path) in
        [("GET", "a/app/images"), ("GET", "a/none/images"), ("GET", "a/app/tags"), ("GET", "a/none/tags")]
    {
        bob.call(method, &format!("/v1/repositories/{path}")).await.status(404);
    }
}

#[tokio::test]
async fn v_18_2_nobody_publishes_an_image_that_he_may_not_read() {
    let World { alice, bob, carol, app } = world().await;
    let images = chain(2);
    Steps::pushing(&alice, "a/app").await.push(&images, "latest").await;
    let push = Steps::pushing(&bob, "b/app").await;
    push.put_tag("mine", &images[1].id).await.says(404, "Image not found");
    push.with(bob.clone()).put_tag("mine", &images[1].id).await.says(404, "Image not found");
    // Nor does he stand on it.
    let top = &grow(images.last(), 1)[0];
    push.put_json(top).await.says(400, "Image depends on a non existing parent");
    // Who may read it may take it into a repository of his own, with everything below it. A token of that repository opens no other.
    app.grant("carol", "push", "c/**").await;
    let carols = Steps::pushing(&carol, "c/app").await;
    carols.put_tag("mine", &images[1].id).await.says(404, "Image not found");
    carols.with(carol.clone()).put_tag("mine", &images[1].id).await.status(200);
    let pull = Steps::pulling(&carol, "c/app").await;
    pull.has(&images[0]).await;
    assert_eq!(pull.ancestry(&images[1].id).await, [images[1].id.clone(), images[0].id.clone()]);
    carols.push(&grow(images.last(), 1), "more").await;
}

/// Whoever pushes an id first says what it is in his own repository, and nowhere else.
#[tokio::test]
async fn v_18_3_nobody_poisons_the_images_of_another() {
    let World { app: _app, alice, bob, carol } = world().await;
    let id = new_id();
    let of = || V1Image::new(image_json(&id, None), layer(300));
    let (bad, good) = (of(), of());
    let bobs = Steps::pushing(&bob, "b/app").await;
    bobs.push(std::slice::from_ref(&bad), "latest").await;
    let alices = Steps::pushing(&alice, "a/app").await;
    alices.lacks(&id).await;
    alices.push(std::slice::from_ref(&good), "latest").await;
    alices.has(&good).await;
    bobs.has(&bad).await;
    for version in Version::ALL {
        let docker = Docker::new(version, &carol, false).as_user("carol", "a secret 1");
        assert_eq!(docker.pull("a/app", "latest").await.expect("pulled"), std::slice::from_ref(&good));
        assert_eq!(docker.pull("b/app", "latest").await.expect("pulled"), std::slice::from_ref(&bad));
    }
    // Alice, by her password alone, sees hers; Carol could mean either, and gets none.
    let with = |client: &Client| alices.with(client.clone());
    with(&alice).has(&good).await;
    with(&bob).has(&bad).await;
    with(&carol).lacks(&id).await;
}

/// A password and no token: images wait in a place of the caller's own until a tag says where they belong.
/// Who shows a password alone is told of all repositories: the id of a derived image is the hash of what it is, that of a pushed one is
/// anybody's word.
#[tokio::test]
async fn v_18_8_a_derived_image_is_not_hidden_by_another_under_its_id() {
    let World { app: _app, alice, bob, carol } = world().await;
    alice.at("a/app").push("latest", &v2_image().build()).await.status(201);
    let id = alice.get("/v1/repositories/a/app/tags/latest").await.status(200).json();
    let id = id.as_str().expect("an id").to_owned();
    let good = carol.get(&image(&id, "json")).await.status(200).body;
    let bad = V1Image::new(image_json(&id, None), layer(200));
    for (client, name, password) in [(&bob, "b/app", "bob"), (&alice, "a/zzz", "alice")] {
        let docker = Docker::new(Version::ALL[0], client, false).as_user(password, "a secret 1");
        docker.push(name, std::slice::from_ref(&bad), &[("latest", 0)]).await.expect("pushed");
        assert_eq!(carol.get(&image(&id, "json")).await.status(200).body, good);
        assert_ne!(carol.get(&image(&id, "layer")).await.status(200).body, bad.layer);
    }
}

#[tokio::test]
async fn v_18_4_images_without_a_repository_wait_for_their_tag() {
    let World { app: _app, alice, bob, .. } = world().await;
    let images = chain(3);
    let push = Steps { client: alice.clone(), name: "a/app".to_owned() };
    for of in &images {
        push.push_image(of).await;
        push.has(of).await;
        push.with(bob.clone()).lacks(&of.id).await;
    }
    push.put_tag("latest", &images[2].id).await.status(200);
    let pull = Steps::pulling(&alice, "a/app").await;
    for of in &images {
        pull.has(of).await;
    }
    push.with(bob).lacks(&images[0].id).await;
    let repo = alice.at("a/app");
    repo.client.get(&repo.manifest("latest")).await.status(200);
    let names = alice.get("/v2/_catalog").await.status(200).list("repositories");
    assert_eq!(names, ["a/app"], "a place of nobody's is no repository");
}

/// A token opens its repository for what it is for, as long as its owner may: else 401.
#[tokio::test]
async fn v_9_3_a_token_is_for_one_repository_and_one_purpose() {
    let World { app, alice, bob, .. } = world().await;
    let images = chain(1);
    for name in ["a/app", "a/other"] {
        Steps::pushing(&alice, name).await.push(&images, "latest").await;
    }
    Steps::pushing(&bob, "b/app").await.push(&chain(1), "latest").await;
    let written = token(&alice, "GET", "/v1/repositories/a/app/images").await;
    let refused = async |client: &Client, name: &str| {
        client.get(&format!("/v1/repositories/{name}/tags")).await.says(401, "Requires authorization");
    };
    let good = app.client().v1_token(&written);
    good.get("/v1/repositories/a/app/tags").await.status(200);
    refused(&good, "a/other").await;
    refused(&good, "b/app").await;
    // Other words around the signature, or a signature that is none.
    for changed in [
        written.replace("a/app", "a/other"),
        written.replace("access=read", "access=write"),
        written.replace("signature=ey", "signature=ez"),
        "signature=123abc,repository=\"a/app\",access=read".to_owned(),
        "signature=,repository=\"a/app\",access=read".to_owned(),
    ] {
        let client = app.client().v1_token(&changed);
        refused(&client, "a/app").await;
        refused(&client, "a/other").await;
        client.get(&image(&images[0].id, "json")).await.says(401, "Requires authorization");
    }
    // It is no token for V2, and V2's are none here.
    let signature = written.split(['=', ',']).nth(1).expect("a signature").to_owned();
    app.client().bearer(&signature).get("/v2/a/app/tags/list").await.status(401);
    let bearer = alice.token_for(&["repository:a/app:pull"]).await;
    let in_v1 = format!("signature={bearer},repository=\"a/app\",access=read");
    refused(&app.client().v1_token(&in_v1), "a/app").await;
    // Written with the word, or twice, as the reference had it.
    for again in [format!("Token {written}"), written.replace('"', "")] {
        app.client().v1_token(&again).get("/v1/repositories/a/app/tags").await.status(200);
    }
    // Its owner goes.
    app.change_user("alice", json!({ "disabled": true })).await;
    refused(&good, "a/app").await;
}

#[tokio::test]
async fn v_9_3_tokens_end() {
    let app =
        Gantry::options().account("alice", "open:sesame").set("v1.token_lifetime", "\"1s\"").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let push = Steps::pushing(&alice, "a/app").await;
    let images = chain(1);
    push.push_image(&images[0]).await;
    crate::ops::eventually("the token ends", async || {
        (push.get(&images[0].id, "json").await.status == 401).then_some(())
    })
    .await;
    push.put_tag("latest", &images[0].id).await.says(401, "Requires authorization");
    let again = Steps::pushing(&alice, "a/app").await;
    again.put_tag("latest", &images[0].id).await.status(200);
}

/// A cookie says which repository is meant, and is no credential.
#[tokio::test]
async fn v_9_6_the_cookie_says_where_and_not_who() {
    let World { app, alice, bob, carol } = world().await;
    let id = new_id();
    let of = || V1Image::new(image_json(&id, None), layer(300));
    let (as_alice, as_bob) = (of(), of());
    Steps::pushing(&alice, "a/app").await.push(std::slice::from_ref(&as_alice), "latest").await;
    Steps::pushing(&bob, "b/app").await.push(std::slice::from_ref(&as_bob), "latest").await;
    for (name, expected) in [("a/app", &as_alice), ("b/app", &as_bob)] {
        let got =
            carol.get(&format!("/v1/repositories/{name}/images")).header("x-docker-token", "true").await;
        let cookie = got.get("set-cookie").expect("a cookie").to_owned();
        for word in ["Path=/v1/", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.contains(word), "{cookie}");
        }
        let pair = cookie.split(';').next().unwrap_or_default();
        let with = Steps { client: carol.with("cookie", pair), name: name.to_owned() };
        with.has(expected).await;
        app.client().with("cookie", pair).get(&image(&id, "layer")).await.says(401, "Requires authorization");
        // In the hands of another it opens nothing that is not his.
        let stranger = if name == "a/app" { &bob } else { &alice };
        let got = stranger.with("cookie", pair).get(&image(&id, "layer")).await;
        assert!(got.status == 404 || got.body != expected.layer, "{got:?}");
    }
}
