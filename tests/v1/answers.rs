//! Statuses, texts and headers of the Registry's answers.

use serde_json::{Value, json};

use super::content::{V1Image, chain, json as image_json, layer, new_id};
use super::steps::{Steps, image, new_name, pushing};
use crate::harness::{Answer, Gantry, image as v2_image};

/// What may be kept, and by whom.
fn is_kept(answer: Answer, by: &str) -> Answer {
    assert!(answer.get("expires").is_some_and(|moment| moment.ends_with(" GMT")), "{answer:?}");
    answer
        .header("cache-control", &format!("{by}, max-age=31536000"))
        .header("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")
        .header("vary", "Accept, Authorization, Cookie")
        .no_header("pragma")
}

fn is_not_kept(answer: Answer) {
    answer.header("cache-control", "no-cache").header("expires", "-1").header("pragma", "no-cache");
}

/// The path knows other methods: 405 says which.
#[tokio::test]
async fn v_2_7_other_methods_are_405() {
    let push = pushing().await;
    let id = new_id();
    for (method, path) in [
        ("POST", image(&id, "json")),
        ("DELETE", image(&id, "layer")),
        ("PUT", image(&id, "ancestry")),
        ("GET", image(&id, "checksum")),
        ("POST", push.path("tags/latest")),
        ("DELETE", "/v1/_ping".to_owned()),
        ("PATCH", push.path("images")),
        ("BREW", push.path("tags")),
    ] {
        let answer = push.client.call(method, &path).await.status(405);
        let allow = answer.get("allow").expect("what is allowed").to_owned();
        assert!(!allow.split(", ").any(|allowed| allowed == method) && !allow.is_empty(), "{allow}");
    }
    push.client.get("/v1/nothing").await.says(404, "Not found");
    push.client.get("/v1/").await.status(404);
}

/// V-2.8: plain `curl -d` says that it sends a form.
#[tokio::test]
async fn v_2_8_what_a_body_is_said_to_be_does_not_matter() {
    let push = pushing().await;
    let of = &chain(1)[0];
    let form = "application/x-www-form-urlencoded";
    let put = |part: &str, body: &[u8]| {
        push.client.put(&image(&of.id, part), body.to_vec()).header("content-type", form)
    };
    put("json", &of.json).await.status(200).body(b"\"\"");
    put("layer", &of.layer).await.status(200).body(b"\"\"");
    push.put_checksum(of).await.status(200).body(b"\"\"").header("content-type", "application/json");
    let tag = push.client.put(&push.path("tags/latest"), format!("\"{}\"", of.id));
    tag.header("content-type", form).await.status(200).body(b"\"\"");
    push.has(of).await;
}

/// A coding around a body would have to be undone, and the checksum is over what was sent.
#[tokio::test]
async fn v_2_8_bodies_come_without_a_coding() {
    let push = pushing().await;
    let of = &chain(1)[0];
    let put = |coding: &str| {
        push.client.put(&image(&of.id, "json"), of.json.clone()).header("content-encoding", coding)
    };
    put("gzip").await.status(415);
    put("identity").await.status(200);
}

#[tokio::test]
async fn v_2_17_what_never_changes_may_be_kept() {
    let push = pushing().await;
    let images = chain(2);
    push.push(&images, "latest").await;
    for part in ["json", "layer", "ancestry", "files"] {
        is_kept(push.get(&images[1].id, part).await.status(200), "public");
    }
    for path in ["tags", "tags/latest", "properties"] {
        is_not_kept(push.client.get(&push.path(path)).await.status(200));
    }
    is_not_kept(push.client.get("/v1/_ping").await.status(200));
    is_not_kept(push.client.get(&image(&new_id(), "json")).await.status(404));
}

/// By the client alone, where not everybody may read it.
#[tokio::test]
async fn v_2_17_what_not_everybody_may_read_is_kept_by_nobody_else() {
    let app =
        Gantry::options().account("alice", "s3cret-pass").set("auth.htpasswd.role", "\"push\"").start().await;
    let alice = app.client().basic("alice", "s3cret-pass");
    let push = Steps::pushing(&alice, &new_name()).await;
    let of = &chain(1)[0];
    push.push(std::slice::from_ref(of), "latest").await;
    for part in ["json", "layer", "ancestry"] {
        is_kept(push.get(&of.id, part).await.status(200), "private");
        is_not_kept(app.client().get(&image(&of.id, part)).await.says(401, "Requires authorization"));
    }
}

/// Only after it is known that it is there, and that the caller may read it.
#[tokio::test]
async fn v_2_18_not_modified_is_told_of_what_is_there() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.put_json(of).await.status(200);
    let since = "Thu, 01 Jan 1970 00:00:00 GMT";
    let ask = |id: &str, part: &str, since: &str| {
        push.client.get(&image(id, part)).header("if-modified-since", since)
    };
    ask(&of.id, "json", since).await.says(400, "Image is being uploaded, retry later");
    ask(&new_id(), "json", since).await.says(404, "Image not found");
    push.put_layer(of).await.status(200);
    push.put_checksum(of).await.status(200);
    for part in ["json", "layer", "ancestry"] {
        is_kept(ask(&of.id, part, since).await.status(304), "public").body(b"");
        ask(&of.id, part, "yesterday").await.status(200);
    }
    let layer = push.get(&of.id, "layer").await.status(200);
    let etag = layer.get("etag").expect("an entity tag").to_owned();
    push.client.get(&image(&of.id, "layer")).header("if-none-match", &etag).await.status(304);
    let other = push.client.get(&image(&of.id, "layer")).header("if-none-match", "\"x\"");
    other.header("if-modified-since", since).await.status(200).body(&of.layer);
}

/// HEAD is GET without the body; Docker 1.0 and 1.1 look for `Accept-Ranges` by it.
#[tokio::test]
async fn v_2_6_head_is_get_without_the_body() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.push(std::slice::from_ref(of), "latest").await;
    for path in [image(&of.id, "json"), image(&of.id, "layer"), image(&of.id, "ancestry"), push.path("tags")]
    {
        let get = push.client.get(&path).await.status(200);
        let head = push.client.head(&path).await.status(200);
        for name in ["content-length", "content-type", "accept-ranges", "x-docker-size", "cache-control"] {
            assert_eq!(get.get(name), head.get(name), "{path} {name}");
        }
    }
    push.client.head(&image(&of.id, "layer")).await.status(200).header("accept-ranges", "bytes");
    push.client.head(&image(&new_id(), "layer")).await.status(404);
}

/// A layer without a byte is one: 200 and nothing.
#[tokio::test]
async fn v_5_4_an_empty_layer_is_200() {
    let push = pushing().await;
    let of = V1Image::new(image_json(&new_id(), None), "");
    push.push_image(&of).await;
    push.get(&of.id, "layer").await.status(200).header("content-length", "0").body(b"");
    push.get(&of.id, "json").await.status(200).header("x-docker-size", "0");
    push.client.head(&image(&of.id, "layer")).await.status(200).header("content-length", "0");
}

/// Parts and conditions on ranges as V2 has them.
#[tokio::test]
async fn v_5_5_ranges_follow_the_rules_of_http() {
    let push = pushing().await;
    let of = V1Image::new(image_json(&new_id(), None), layer(40_000));
    push.push_image(&of).await;
    let get = |range: &str| push.client.get(&image(&of.id, "layer")).header("range", range);
    let parts = get("bytes=0-1,10-11").await.status(206);
    assert!(parts.get("content-type").is_some_and(|kind| kind.starts_with("multipart/byteranges")));
    get("lines=1-2").await.status(200).body(&of.layer);
    let many: Vec<_> = (0..3000).map(|at| format!("{at}-{at}")).collect();
    get(&format!("bytes={}", many.join(","))).await.status(400);
    get("bytes=0-9").header("if-range", "\"other\"").await.status(200).body(&of.layer);
}

#[tokio::test]
async fn v_6_1_tags_are_an_object_of_ids() {
    let push = pushing().await;
    let images = chain(2);
    let unknown = || push.client.get(&push.path("tags"));
    unknown().await.says(404, "Repository not found");
    push.push(&images, "latest").await;
    push.put_tag("v1", &images[0].id).await.status(200);
    push.put_tag("_", &images[1].id).await.status(200);
    let expected = json!({ "_": images[1].id, "latest": images[1].id, "v1": images[0].id });
    assert_eq!(push.tags().await, expected);
    let tag = push.client.get(&push.path("tags/v1")).await.status(200);
    assert_eq!(tag.json(), json!(images[0].id));
    tag.header("content-type", "application/json");
    push.client.get(&push.path("tags/nothing")).await.says(404, "Tag not found");
    let nowhere = format!("/v1/repositories/{}/tags/latest", new_name());
    let other = push.client.nobody().get(&nowhere).await.status(404);
    assert!(other.json()["error"].as_str().is_some_and(|text| text.ends_with("not found")));
}

#[tokio::test]
async fn v_6_2_a_tag_is_set_by_an_id_in_quotes() {
    let push = pushing().await;
    let of = &chain(1)[0];
    push.push_image(of).await;
    let put = |body: &str| push.client.put(&push.path("tags/latest"), body.to_owned());
    for wrong in ["", "\"\"", "latest", "[]", "{}", "1", "null", "\"unfinished", "\"a\" \"b\""] {
        put(wrong).await.says(400, "Invalid data");
    }
    for unknown in [new_id(), "abc".to_owned(), of.id.to_uppercase()] {
        put(&format!("\"{unknown}\"")).await.says(404, "Image not found");
    }
    put(&"x".repeat(5000)).await.status(413);
    push.client.get(&push.path("tags")).await.status_in(&[200, 404]);
    put(&format!(" \"{}\"\n", of.id)).await.status(200);
    assert_eq!(push.tags().await, json!({ "latest": of.id }));
}

#[tokio::test]
async fn v_6_4_a_tag_is_deleted_for_both() {
    let app = Gantry::start().await;
    let push = Steps::pushing(&app.client(), "team/app").await;
    let images = chain(2);
    push.push(&images, "latest").await;
    push.put_tag("old", &images[0].id).await.status(200);
    let open = push.with(push.client.nobody());
    open.client.delete(&open.path("tags/old")).await.status(200).body(b"\"\"");
    open.client.delete(&open.path("tags/old")).await.says(404, "Tag not found: old");
    assert_eq!(open.tags().await, json!({ "latest": images[1].id }));
    app.client().at("team/app").lacks_manifest("old").await;
    let nowhere = open.client.delete("/v1/repositories/team/none/tags/latest").await;
    nowhere.says(404, "Tag not found: latest");
}

#[tokio::test]
async fn v_6_5_a_repository_is_deleted_for_both() {
    let app = Gantry::start().await;
    let open = app.client();
    for path in ["/v1/repositories/team/app/", "/v1/repositories/team/app", "/v1/repositories/team/app/tags"]
    {
        let push = Steps::pushing(&open, "team/app").await;
        let images = chain(2);
        push.push(&images, "latest").await;
        open.at("team/app").push("v2", &v2_image().build()).await.status(201);
        open.delete(path).await.status(200).body(b"\"\"");
        open.delete(path).await.says(404, "Repository not found");
        open.get("/v1/repositories/team/app/tags").await.says(404, "Repository not found");
        open.at("team/app").lacks_manifest("latest").await;
        open.at("team/app").lacks_manifest("v2").await;
        open.get(&image(&images[1].id, "json")).await.says(404, "Image not found");
    }
}

/// What may not be deleted by V2 is not by v1 either.
#[tokio::test]
async fn v_6_5_what_may_not_be_deleted_stays() {
    let app = Gantry::options().set("registry.delete", "[]").start().await;
    let push = Steps::pushing(&app.client(), "team/app").await;
    push.push(&chain(1), "latest").await;
    for path in ["team/app/tags/latest", "team/app/", "team/app/tags"] {
        app.client().delete(&format!("/v1/repositories/{path}")).await.status(403);
    }
    app.client().get("/v1/repositories/team/app/tags/latest").await.status(200);
}

/// V-20.7: a held tag is a conflict, which no other account would help with.
#[tokio::test]
async fn v_20_7_held_tags_are_held_for_both() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "s3cret-pass").await;
    app.namespace("team", "private").await;
    app.grant("alice", "delete", "team").await;
    app.hold_tags("team", &["v*"], &[]).await;
    let push = Steps::pushing(&alice, "team/app").await;
    let images = chain(2);
    push.push(&images[..1], "v1").await;
    push.push(&images[1..], "latest").await;
    let held = push.put_tag("v1", &images[1].id).await.status(409);
    assert!(held.json()["error"].as_str().is_some_and(|text| text.contains("`v*`")), "{held:?}");
    for path in ["tags/v1", "", "tags"] {
        alice.delete(&push.path(path)).await.status(409);
    }
    assert_eq!(push.tags().await, json!({ "latest": images[1].id, "v1": images[0].id }));
    push.put_tag("v1", &images[0].id).await.status(200);
}

/// `P/properties`: the visibility of a namespace, changed by its admin.
#[tokio::test]
async fn v_6_12_properties_are_those_of_the_namespace() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "s3cret-pass").await;
    let bob = app.user("bob", "s3cret-pass").await;
    app.namespace("team/app", "private").await;
    app.grant("alice", "admin", "team").await;
    app.grant("bob", "push", "team").await;
    Steps::pushing(&alice, "team/app").await.push(&chain(1), "latest").await;
    Steps::pushing(&alice, "team/other").await.push(&chain(1), "latest").await;
    let path = "/v1/repositories/team/app/properties";
    let put = |access: &str| json!({ "access": access }).to_string();
    assert_eq!(alice.get(path).await.status(200).json(), json!({ "access": "private" }));
    for wrong in ["", "[]", "{}", "{\"access\":\"secret\"}", "{\"access\":true}", "\"public\""] {
        alice.put(path, wrong).await.says(400, "Invalid data");
    }
    bob.put(path, put("public")).await.status(403);
    bob.put(path, put("private")).await.status(200);
    app.client().get(path).await.says(401, "Requires authorization");
    alice.put(path, put("public")).await.status(200).body(b"\"\"");
    assert_eq!(bob.get(path).await.status(200).json(), json!({ "access": "public" }));
    alice.put("/v1/repositories/team/other/properties", put("public")).await.status(403);
    let shown = app.operate("GET", "/api/namespaces/team/app", Value::Null).await.json();
    assert_eq!(shown["visibility"], "public");
    // Refusals come into the log when there is time for them.
    let made = |row: &Value| row["action"] == "namespace.change" && row["result"] == "allowed";
    let changed = app.audit().await.into_iter().find(made).expect("a row");
    assert_eq!((&changed["subject"], &changed["object"]), (&json!("alice"), &json!("team/app")));
}

/// What pushed a tag; of what nobody said anything about, the usual.
#[tokio::test]
async fn v_6_13_what_pushed_a_tag() {
    let push = pushing().await;
    let images = chain(1);
    for path in ["json", "tags/latest/json"] {
        let info = push.client.get(&push.path(path)).await.status(200).json();
        let nothing = json!({
            "last_update": null, "docker_version": null, "docker_go_version": null,
            "arch": "amd64", "os": "linux", "kernel": null,
        });
        assert_eq!(info, nothing);
    }
    push.push_image(&images[0]).await;
    let agent = "docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.16.0-4-amd64 os/linux arch/arm";
    let docker = push.with(push.client.with("user-agent", agent));
    docker.put_tag("latest", &images[0].id).await.status(200);
    push.put_tag("other", &images[0].id).await.status(200);
    for path in ["json", "tags/latest/json"] {
        let info = push.client.get(&push.path(path)).await.status(200).json();
        assert!(info["last_update"].as_i64().is_some_and(|moment| moment > 1_700_000_000), "{info}");
        for (key, value) in [
            ("docker_version", "1.6.2"),
            ("docker_go_version", "go1.4.2"),
            ("kernel", "3.16.0-4-amd64"),
            ("os", "linux"),
            ("arch", "arm"),
        ] {
            assert_eq!(info[key], value, "{info}");
        }
    }
    let info = push.client.get(&push.path("tags/other/json")).await.status(200).json();
    assert_eq!((&info["docker_version"], &info["arch"]), (&Value::Null, &json!("amd64")), "{info}");
}
