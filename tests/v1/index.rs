//! The Index: where a push begins and ends, where a pull begins, and what of it is written where.

use serde_json::json;

use super::content::{chain, grow, new_id};
use super::steps::{Steps, list, new_name, pushing, token};
use crate::harness::{Gantry, image as v2_image};

#[tokio::test]
async fn v_6_18_ping_is_for_everybody() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    for client in [app.client(), app.client().basic("alice", "wrong"), app.client().bearer("x")] {
        for path in ["/v1/_ping", "/_ping"] {
            let told = client.get(path).await.status(200).body(b"{}");
            assert_eq!(told.get("x-docker-registry-standalone"), Some("false"));
            assert_eq!(told.get("x-docker-registry-version"), Some("0.9.1"));
            client.head(path).await.status(200);
        }
    }
    let app = Gantry::options().set("v1.standalone", "true").start().await;
    app.client().get("/v1/_ping").await.header("x-docker-registry-standalone", "true");
}

#[tokio::test]
async fn v_6_6_lists_of_images_are_checked_and_forgotten() {
    let app = Gantry::shared().await;
    let client = app.client();
    let name = new_name();
    let (one, other) = (new_id(), new_id());
    let good = [
        json!([]),
        json!([{ "id": one }]),
        json!([{ "id": one, "Tag": "latest" }, { "id": other }, { "id": one, "Tag": "again" }]),
        json!([{ "id": one, "checksum": "tarsum+sha256:00" }, { "id": one, "unknown": [1, { "x": null }] }]),
    ];
    for (path, status) in [("", 200), ("images", 204)] {
        let target = format!("/v1/repositories/{name}/{path}");
        for list in &good {
            // Whatever the type says that it is.
            for kind in ["application/json", "application/x-www-form-urlencoded", ""] {
                let told =
                    client.put(&target, list.to_string()).header("content-type", kind).await.status(status);
                assert_eq!(&told.body[..], if status == 200 { &b"\"\""[..] } else { b"" });
                assert_eq!(told.get("x-docker-endpoints"), Some(&*client.authority()));
            }
            client.call("PUT", &target).chunked(list.to_string()).await.status(status);
        }
        for body in ["", "nonsense", "[", "[{\"id\":\"x\"}", "\u{7f}", "[] []"] {
            client.put(&target, body).await.says(400, "Error Decoding JSON");
        }
        for body in [
            "{}",
            "null",
            "\"x\"",
            "7",
            "[7]",
            "[{}]",
            "[null]",
            "[{\"id\":7}]",
            "[{\"id\":\"x\"}]",
            "[{\"id\":null}]",
        ] {
            client.put(&target, body).await.says(400, "Invalid data");
        }
        client.put(&target, "[".repeat(100_000)).await.status(400);
        client.put(&target, " ".repeat((4 << 20) + 1)).await.status(413);
    }
    // The form without a slash is the same, and nobody is sent elsewhere.
    client.put(&format!("/v1/repositories/{name}"), "[]").await.status(200);
    client.get(&format!("/v1/repositories/{name}/images")).await.says(404, "images not found");
    client.put("/v1/repositories/Upper/case/", "[]").await.status(400);
    client.put("/v1/repositories/a/../b/", "[]").await.status(400);
}

#[tokio::test]
async fn v_6_8_images_are_those_below_all_tags() {
    let push = pushing().await;
    let base = chain(2);
    push.push(&base, "base").await;
    let top = grow(base.last(), 2);
    push.push(&top, "latest").await;
    push.put_tag("again", &top[1].id).await.status(200);
    push.push_image(&chain(1)[0]).await;
    let told = push.client.get(&push.path("images")).await.status(200);
    let mut ids: Vec<_> =
        told.json().as_array().expect("a list").iter().map(|entry| entry["id"].clone()).collect();
    ids.sort_by_key(ToString::to_string);
    let mut expected: Vec<_> = base.iter().chain(&top).map(|image| json!(image.id)).collect();
    expected.sort_by_key(ToString::to_string);
    assert_eq!(ids, expected, "each once, and none without a tag");
    push.client.head(&push.path("images")).await.status(200);

    // A push ends, and it is not said again what it was.
    push.client.put(&push.path("images"), list(&top).to_string()).await.status(204);
    push.client.put(&push.path("images"), list(&chain(1)).to_string()).await.status(204);
    let again = push.client.get(&push.path("images")).await.status(200);
    assert_eq!(again.body, told.body);
}

/// Deleting the list deletes nothing, and takes the right to.
#[tokio::test]
async fn v_6_9_deleting_the_list_gives_a_token_to_delete_with() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    let bob = app.user("bob", "a secret 1").await;
    app.grant("alice", "delete", "a/**").await;
    app.grant("bob", "push", "a/**").await;
    let push = Steps::pushing(&alice, "a/app").await;
    let images = chain(1);
    push.push(&images, "latest").await;
    bob.delete("/v1/repositories/a/app/images").await.status(403);
    app.client().delete("/v1/repositories/a/app/images").await.says(401, "Requires authorization");
    let issued = token(&alice, "DELETE", "/v1/repositories/a/app/images").await;
    assert!(issued.ends_with(",repository=\"a/app\",access=delete"));
    let with = Steps { client: app.client().v1_token(&issued), name: "a/app".to_owned() };
    with.has(&images[0]).await;
    with.put_tag("other", &images[0].id).await.says(401, "Requires authorization");
    with.client.delete(&with.path("tags/latest")).await.status(200);
}

/// Who may push, who may only look, who may not know, and who has not said who it is.
#[tokio::test]
async fn v_18_6_a_push_begins_where_the_caller_may_push() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "a/**").await;
    app.grant("alice", "pull", "b/**").await;
    for method in ["PUT", "PUT"] {
        for rest in ["", "images"] {
            let at = |name: &str| format!("/v1/repositories/{name}/{rest}");
            let body = |call: crate::harness::Call| call.body("[]");
            body(alice.call(method, &at("a/app"))).await.status_in(&[200, 204]);
            body(alice.call(method, &at("b/app"))).await.status(403);
            body(alice.call(method, &at("c/app"))).await.says(404, "Repository not found");
            body(app.client().call(method, &at("a/app"))).await.says(401, "Requires authorization");
            body(app.client().call(method, &at("c/app"))).await.says(401, "Requires authorization");
        }
    }
    // Nobody uses a place to wait in who has nowhere to go from there.
    let bob = app.user("bob", "a secret 1").await;
    let image = &chain(1)[0];
    let put = |client: &crate::harness::Client| {
        client.put(&format!("/v1/images/{}/json", image.id), image.json.clone())
    };
    put(&bob).await.status(403);
    put(&app.client()).await.says(401, "Requires authorization");
    let narrow = app.token("alice", &["a/**:pull"]).await;
    put(&app.client().basic("x", &narrow.secret)).await.status(403);
    put(&alice).await.status(200);
}

/// What is taken into a repository must be readable by what the caller shows, however far its rights reach.
#[tokio::test]
async fn v_18_7_a_narrow_access_token_takes_nothing_from_where_it_does_not_reach() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "a/**").await;
    app.grant("alice", "push", "c/**").await;
    let images = chain(2);
    Steps::pushing(&alice, "a/app").await.push(&images, "latest").await;
    let narrow = app.token("alice", &["c/**:pull,push"]).await;
    let narrow = app.client().basic("x", &narrow.secret);
    let by_token = Steps::pushing(&narrow, "c/app").await;
    for push in [&by_token, &by_token.with(narrow)] {
        push.put_tag("mine", &images[1].id).await.says(404, "Image not found");
        let top = &grow(images.last(), 1)[0];
        push.put_json(top).await.says(400, "Image depends on a non existing parent");
        push.lacks(&images[1].id).await;
    }
    by_token.with(alice.clone()).put_tag("mine", &images[1].id).await.status(200);
    by_token.has(&images[1]).await;
}

/// What waits for its tag came by a password, which reaches further than the token does.
#[tokio::test]
async fn v_18_7_a_narrow_access_token_does_not_find_what_waits_for_its_tag() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "a/**").await;
    app.grant("alice", "push", "c/**").await;
    let waiting = Steps { client: alice.clone(), name: "a/app".to_owned() };
    let images = chain(1);
    waiting.push_image(&images[0]).await;
    let narrow = app.token("alice", &["c/**:pull,push"]).await;
    let narrow = app.client().basic("x", &narrow.secret);
    let by_token = Steps::pushing(&narrow, "c/app").await;
    for push in [&by_token, &by_token.with(narrow.clone())] {
        push.lacks(&images[0].id).await;
        push.put_tag("mine", &images[0].id).await.says(404, "Image not found");
        push.put_json(&grow(images.last(), 1)[0]).await.says(400, "Image depends on a non existing parent");
    }
    // By itself it pushes as a password does.
    let own = chain(2);
    let push = by_token.with(narrow);
    push.push(&own, "latest").await;
    push.has(&own[1]).await;
    waiting.has(&images[0]).await;
    waiting.put_tag("latest", &images[0].id).await.status(200);
}

/// What the operator says is where the images are, or a proxy that is trusted.
#[tokio::test]
async fn v_9_2_endpoints_are_hosts_as_clients_know_them() {
    let app = Gantry::options().set("server.trusted_proxies", "['127.0.0.1/32']").start().await;
    let asked = async |client: crate::harness::Client| {
        let told = client.put("/v1/repositories/a/app/", "[]").await.status(200);
        told.get("x-docker-endpoints").expect("hosts").to_owned()
    };
    assert_eq!(asked(app.client()).await, app.client().authority());
    assert_eq!(asked(app.client().with("host", "registry.example")).await, "registry.example");
    let forwarded =
        app.client().with("x-forwarded-host", "r.example:8443").with("x-forwarded-proto", "https");
    assert_eq!(asked(forwarded).await, "r.example:8443");
    assert_eq!(asked(app.client().with("host", "a,b")).await, "localhost", "one host, whatever is sent");
    let app = Gantry::options().set("server.public_url", "'https://public.example:444/path'").start().await;
    assert_eq!(asked(app.client().with("host", "other.example")).await, "public.example:444");
}

/// The host of `server.public_url` need not answer v1: one that was named for it is told as it was asked, and tokens count there.
#[tokio::test]
async fn v_9_2_a_host_that_is_named_for_v1_is_its_own_endpoint() {
    let app = Gantry::options()
        .set("server.public_url", "'https://public.example'")
        .set("v1.hosts", "['old.example']")
        .set("v1.only_hosts", "['older.example']")
        .set("auth.anonymous", "'write'")
        .start()
        .await;
    for host in ["old.example", "old.example:444", "OLDER.example"] {
        let client = app.client().with("host", host);
        let told =
            client.put("/v1/repositories/a/app/", "[]").header("x-docker-token", "true").await.status(200);
        assert_eq!(told.get("x-docker-endpoints"), Some(host));
        let push = Steps::pushing(&client, "a/app").await;
        push.push(&chain(1), "latest").await;
    }
    app.client().with("host", "public.example").get("/v1/_ping").await.status(404);
}

/// What another registry asks its Index.
#[tokio::test]
async fn v_6_10_other_registries_ask_about_tokens_and_layers() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    let bob = app.user("bob", "a secret 1").await;
    app.grant("alice", "push", "a/**").await;
    let push = Steps::pushing(&alice, "a/app").await;
    let images = chain(2);
    push.push(&images, "latest").await;
    let begun = &chain(1)[0];
    push.put_json(begun).await.status(200);
    let pull = Steps::pulling(&alice, "a/app").await;
    pull.client.put(&pull.path("auth"), "").await.status(200).body(b"\"OK\"");
    let access = async |client: &crate::harness::Client, id: &str| {
        client.get(&format!("/v1/repositories/a/app/layer/{id}/access")).await.status(200).json()
    };
    for client in [&pull.client, &push.client, &alice] {
        for of in &images {
            assert_eq!(access(client, &of.id).await, json!({ "access": true }));
        }
        assert_eq!(access(client, &begun.id).await, json!({ "access": false }));
        assert_eq!(access(client, &new_id()).await, json!({ "access": false }));
    }
    assert_eq!(access(&bob, &images[0].id).await, json!({ "access": false }));
    let nobody = app.client();
    nobody.get(&format!("/v1/repositories/a/app/layer/{begun}/access", begun = begun.id)).await.status(401);
    nobody.put("/v1/repositories/a/app/auth", "").await.says(403, "Permission denied");
    bob.put("/v1/repositories/a/app/auth", "").await.says(403, "Permission denied");
}

/// A repository that V2 made by one of its names is found by both, and by a token of either.
#[tokio::test]
async fn v_19_2_a_token_says_which_spelling_is_meant() {
    let app = Gantry::start().await;
    for (made, other) in [("one", "library/one"), ("library/two", "two")] {
        let repo = app.client().at(made);
        repo.push("latest", &v2_image().build()).await.status(201);
        for asked in [made, other] {
            let pull = Steps::pulling(&app.client(), asked).await;
            for name in [made, other] {
                let tags = pull.client.get(&format!("/v1/repositories/{name}/tags")).await.status(200).json();
                assert!(tags["latest"].is_string(), "{tags}");
            }
            // A push goes there too.
            let push = Steps::pushing(&app.client(), asked).await;
            push.push(&chain(1), "pushed").await;
        }
        app.client().at(other).client.get(&format!("/v2/{made}/manifests/pushed")).await.status(200);
    }
    let names = app.client().get("/v2/_catalog").await.status(200).list("repositories");
    assert_eq!(names, ["library/two", "one"]);
    // Of two that V2 made the one that is written is meant; old clients ask for one by both names, with the token of the first.
    for name in ["both", "library/both"] {
        app.client().at(name).push(&name.replace('/', "-"), &v2_image().build()).await.status(201);
    }
    for name in ["both", "library/both"] {
        let pull = Steps::pulling(&app.client(), name).await;
        for asked in ["both", "library/both"] {
            let tags = pull.client.get(&format!("/v1/repositories/{asked}/tags")).await.status(200).json();
            assert!(tags[name.replace('/', "-")].is_string(), "{tags}");
        }
        let tags = app.client().get(&format!("/v1/repositories/{name}/tags")).await.status(200).json();
        assert!(tags[name.replace('/', "-")].is_string(), "{tags}");
    }
}

/// A name that somebody else has in the other spelling is free for whoever may not see that.
#[tokio::test]
async fn v_19_3_the_other_spelling_of_a_stranger_is_not_there() {
    let app = Gantry::options().set("auth.anonymous", "'none'").start().await;
    let alice = app.user("alice", "a secret 1").await;
    let bob = app.user("bob", "a secret 1").await;
    app.grant("alice", "push", "library/app").await;
    app.grant("bob", "push", "app").await;
    Steps::pushing(&alice, "library/app").await.push(&chain(1), "hers").await;
    let push = Steps::pushing(&bob, "app").await;
    push.push(&chain(1), "his").await;
    assert_eq!(
        push.tags().await.as_object().map(|tags| tags.keys().cloned().collect()),
        Some(vec!["his".to_owned()])
    );
    bob.get("/v1/repositories/library/app/tags").await.status_in(&[200, 404]);
    alice.get("/v1/repositories/library/app/tags/hers").await.status(200);
}
