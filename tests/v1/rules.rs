//! What holds for every request of the v1 API: paths, methods, headers, switches, and what stands in the answers of the Index.

use serde_json::{Value, json};

use super::content::{chain, new_id};
use super::docker::{Docker, Version};
use super::steps::{Steps, image, list, new_name, pushing, token};
use crate::harness::tls::Authority;
use crate::harness::{Gantry, image as v2_image, types};

#[tokio::test]
async fn v_2_4_a_slash_at_the_end_changes_nothing() {
    let push = pushing().await;
    let images = chain(1);
    for path in [push.path(""), push.path("").trim_end_matches('/').to_owned()] {
        let put = push.client.put(&path, list(&images).to_string()).header("x-docker-token", "true").await;
        put.status(200).body(b"\"\"");
    }
    push.push(&images, "latest").await;
    for path in ["images", "images/", "tags", "tags/", "tags/latest", "tags/latest/"] {
        push.client.get(&push.path(path)).await.status(200);
    }
    for path in ["/v1/_ping", "/v1/_ping/", "/v1/users", "/v1/users/", "/_ping"] {
        push.client.nobody().get(path).await.status(200);
    }
    for path in ["/v1/users", "/v1/users/"] {
        push.client.nobody().post(path).json(&json!({ "username": "a", "password": "b" })).await.status(201);
    }
    push.client.nobody().delete(push.path("").trim_end_matches('/')).await.status(200);
}

/// What ends like an address of v1 is one, whatever else it could be.
#[tokio::test]
async fn v_2_5_addresses_are_read_from_their_end() {
    let client = Gantry::shared().await.client();
    let name = new_name();
    for repo in [format!("{name}/deep/er"), format!("{name}/layer"), format!("{name}/images/x")] {
        let push = Steps::pushing(&client, &repo).await;
        let images = chain(1);
        push.push(&images, "latest").await;
        assert_eq!(push.tags().await, json!({ "latest": images[0].id }));
        assert_eq!(client.at(&repo).tags().await, ["latest"]);
    }
    // V2 has a repository of such a name; v1 sees the tags of what stands before it.
    let hidden = client.at(&format!("{name}/tags"));
    hidden.push("latest", &v2_image().build()).await;
    client.get(&format!("/v1/repositories/{name}/tags/tags")).await.says(404, "Tag not found");
}

#[tokio::test]
async fn v_2_9_paths_are_decoded_once_and_then_looked_at() {
    let push = pushing().await;
    let images = chain(1);
    push.push(&images, "latest").await;
    let encoded = push.name.replace('/', "%2F");
    let tags = push.client.get(&format!("/v1/repositories/{encoded}/tags")).await.status(200);
    assert_eq!(tags.json(), json!({ "latest": images[0].id }));
    push.client.get(&image(&images[0].id, "js%6Fn")).await.status(200);
    for path in ["a/%2e%2e/b/tags", "../v2/tags", "a/%2E/tags", "a/%ff/tags", "%2e%2e/%2e%2e/etc/tags"] {
        push.client.nobody().get(&format!("/v1/repositories/{path}")).await.status(400);
    }
    // Decoded twice it would be a slash, or go up.
    for path in ["a%252Fb/tags", "a/%252e%252e/tags"] {
        push.client.nobody().get(&format!("/v1/repositories/{path}")).await.status(400);
    }
}

#[tokio::test]
async fn v_2_2_names_that_v2_does_not_have_are_400() {
    let client = Gantry::shared().await.client();
    for name in ["Upper/case", "UPPER", "a/-b", "a//b", "a/b_", "a..b", "x/y z"] {
        let path = format!("/v1/repositories/{}/", name.replace(' ', "%20"));
        let put = client.put(&path, "[]").await.status(400);
        let text = put.json()["error"].as_str().expect("a text").to_owned();
        assert!(text.starts_with("Invalid repository name"), "{name}: {text}");
    }
}

#[tokio::test]
async fn v_2_6_head_is_answered_as_get_is() {
    let push = pushing().await;
    let images = chain(1);
    push.push(&images, "latest").await;
    let id = &images[0].id;
    for path in [
        "/v1/_ping".to_owned(),
        image(id, "json"),
        image(id, "layer"),
        image(id, "ancestry"),
        image(&new_id(), "json"),
        push.path("tags"),
        push.path("tags/latest"),
        push.path("tags/none"),
        push.path("images"),
    ] {
        let (head, get) = (push.client.head(&path).await, push.client.get(&path).await);
        assert_eq!(head.status, get.status, "{path}");
        let names = ["content-type", "content-length", "x-docker-size", "accept-ranges", "cache-control"];
        for name in names {
            assert_eq!(head.get(name), get.get(name), "{path}: {name}");
        }
    }
}

#[tokio::test]
async fn v_2_7_other_methods_are_405_and_hear_which() {
    let client = Gantry::shared().await.client();
    let id = new_id();
    for (method, path, allowed) in [
        ("POST", "/v1/_ping", "GET, HEAD"),
        ("DELETE", "/v1/users/", "GET, HEAD, POST"),
        ("PUT", "/v1/search", "GET, HEAD"),
        ("POST", &image(&id, "json"), "GET, HEAD, PUT"),
        ("DELETE", &image(&id, "layer"), "GET, HEAD, PUT"),
        ("GET", &image(&id, "checksum"), "PUT"),
        ("PUT", &image(&id, "ancestry"), "GET, HEAD"),
        ("POST", "/v1/repositories/a/b/tags/t", "GET, HEAD, PUT, DELETE"),
        ("GET", "/v1/repositories/a/b/", "PUT, DELETE"),
        ("POST", "/v1/repositories/a/b/images", "GET, HEAD, PUT, DELETE"),
        ("PATCH", "/v1/repositories/a/b/tags", "GET, HEAD, DELETE"),
    ] {
        client.call(method, path).await.status(405).header("allow", allowed);
    }
    for path in
        ["/v1/", "/v1/nothing", "/v1/images", "/v1/images/x", "/v1/repositories", "/v1/private_images/x/json"]
    {
        client.get(path).await.status(404);
    }
}

/// Forms, as plain `curl -d` sends them, and whatever else.
#[tokio::test]
async fn v_2_8_the_type_of_a_body_says_nothing() {
    let client = Gantry::shared().await.client();
    for kind in
        ["application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "nonsense"]
    {
        let name = new_name();
        let client = client.with("content-type", kind);
        let of = &chain(1)[0];
        let push = Steps { client: client.clone(), name };
        client.put(&push.path(""), "[]").await.status(200);
        push.put_layer(of).await.says(404, "Image not found");
        client.put(&image(&of.id, "json"), of.json.clone()).await.status(200);
        push.put_layer(of).await.status(200);
        push.put_checksum(of).await.status(200);
        client.put(&push.path("tags/latest"), format!("\"{}\"", of.id)).await.status(200);
        assert_eq!(push.tags().await, json!({ "latest": of.id }));
    }
    // But no coding: what is stored is what came.
    let of = &chain(1)[0];
    let push = pushing().await;
    push.put_json(of).await.status(200);
    push.client
        .put(&image(&of.id, "layer"), of.layer.clone())
        .header("content-encoding", "gzip")
        .await
        .status(415);
}

#[tokio::test]
async fn v_6_18_the_ping_is_for_everybody() {
    for (standalone, said) in [("false", "false"), ("true", "true")] {
        let options = Gantry::options().account("alice", "open:sesame").set("v1.standalone", standalone);
        let app = options.start().await;
        for client in [app.client(), app.client().basic("alice", "wrong"), app.client().bearer("nothing")] {
            for path in ["/v1/_ping", "/_ping"] {
                let ping = client.get(path).await.status(200).header("x-docker-registry-standalone", said);
                assert!(ping.header("x-docker-registry-version", "0.9.1").json().is_object());
            }
        }
    }
}

/// What stays as it is may be kept, by everybody only where everybody may see it; what changes may not.
#[tokio::test]
async fn v_2_17_what_may_be_kept_and_by_whom() {
    for (anonymous, expected) in
        [("write", "public, max-age=31536000"), ("none", "private, max-age=31536000")]
    {
        let app = Gantry::options().set("auth.anonymous", &format!("{anonymous:?}")).start().await;
        let client = if anonymous == "none" { app.admin("root", "a secret 1").await } else { app.client() };
        let push = Steps::pushing(&client, &new_name()).await;
        let images = chain(1);
        push.push(&images, "latest").await;
        for part in ["json", "layer", "ancestry", "files"] {
            let got = push.get(&images[0].id, part).await.status(200).header("cache-control", expected);
            assert!(got.get("expires").is_some() && got.get("last-modified").is_some(), "{got:?}");
        }
        let first = push.get(&new_id(), "json").await.status(404);
        let rest =
            [push.client.get(&push.path("tags")).await, push.client.get(&push.path("tags/latest")).await];
        for answer in rest.into_iter().chain([first, app.client().get("/v1/_ping").await]) {
            answer.header("cache-control", "no-cache").header("expires", "-1").header("pragma", "no-cache");
        }
        let index = client.get(&push.path("images")).header("x-docker-token", "true").await.status(200);
        index.header("cache-control", "no-store");
    }
}

#[tokio::test]
async fn v_6_1_tags_of_a_repository() {
    let push = pushing().await;
    push.client.get(&push.path("tags")).await.says(404, "Repository not found");
    push.client.delete(&push.path("tags/latest")).await.says(404, "Tag not found: latest");
    let images = chain(3);
    push.push(&images, "latest").await;
    push.put_tag("base", &images[0].id).await.status(200).body(b"\"\"");
    assert_eq!(push.tags().await, json!({ "base": images[0].id, "latest": images[2].id }));
    let one = push.client.get(&push.path("tags/base")).await.status(200);
    assert_eq!(one.json(), json!(images[0].id));
    push.client.get(&push.path("tags/none")).await.says(404, "Tag not found");
    // A tag moves, and goes.
    push.put_tag("base", &images[1].id).await.status(200);
    assert_eq!(push.tags().await["base"], json!(images[1].id));
    let client = push.client.nobody();
    for tag in ["base", "latest"] {
        client.delete(&push.path(&format!("tags/{tag}"))).await.status(200).body(b"\"\"");
        client.delete(&push.path(&format!("tags/{tag}"))).await.says(404, &format!("Tag not found: {tag}"));
    }
    push.client.get(&push.path("tags/base")).await.says(404, "Tag not found");
}

#[tokio::test]
async fn v_6_2_what_a_tag_is_put_to() {
    let push = pushing().await;
    let put = |body: &str| push.client.put(&push.path("tags/latest"), body.to_owned());
    for body in ["", "latest", "{", "5", "null", "\"\"", "[\"x\"]"] {
        put(body).await.says(400, "Invalid data");
    }
    put(&format!("\"{}\"", new_id())).await.says(404, "Image not found");
    put("\"0123456789abcdef\"").await.status_in(&[400, 404]);
    let images = chain(1);
    push.push_image(&images[0]).await;
    // As Docker writes it, and as others do.
    put(&format!(" \"{}\"\n", images[0].id)).await.status(200);
}

#[tokio::test]
async fn v_6_6_a_push_begins_and_ends_at_the_index() {
    let client = Gantry::shared().await.client();
    let name = new_name();
    let path = format!("/v1/repositories/{name}/");
    let with = |method: &str, part: &str| {
        client.call(method, &format!("{path}{part}")).header("x-docker-token", "true")
    };
    let images = chain(2);
    for (part, status) in [("", 200), ("images", 204)] {
        let put = with("PUT", part).body(list(&images).to_string()).await.status(status);
        let token = put.get("x-docker-token").expect("a token").to_owned();
        assert!(token.starts_with("signature="), "{token}");
        assert!(token.ends_with(&format!("repository=\"{name}\",access=write")), "{token}");
        let put = put.header("x-docker-endpoints", &client.authority());
        put.header("www-authenticate", &format!("Token {token}"));
        // Without the header that asks for it there is none.
        let put = client.put(&format!("{path}{part}"), "[]").await.status(status);
        put.no_header("x-docker-token").header("x-docker-endpoints", &client.authority());
        for (body, text) in [
            ("", "Error Decoding JSON"),
            ("[", "Error Decoding JSON"),
            ("{}", "Invalid data"),
            ("\"x\"", "Invalid data"),
            ("[5]", "Invalid data"),
            ("[{}]", "Invalid data"),
        ] {
            with("PUT", part).body(body).await.says(400, text);
        }
    }
}

#[tokio::test]
async fn v_6_8_a_pull_begins_at_the_index() {
    let push = pushing().await;
    push.client.get(&push.path("images")).await.says(404, "images not found");
    let images = chain(3);
    push.push(&images, "latest").await;
    let other = chain(1);
    push.push(&other, "other").await;
    let got =
        push.client.nobody().get(&push.path("images")).header("x-docker-token", "true").await.status(200);
    let mut ids: Vec<_> =
        got.json().as_array().expect("a list").iter().map(|of| of["id"].to_string()).collect();
    let mut expected: Vec<_> = images.iter().chain(&other).map(|of| json!(of.id).to_string()).collect();
    ids.sort();
    expected.sort();
    assert_eq!(ids, expected);
    let token = got.get("x-docker-token").expect("a token").to_owned();
    assert!(token.ends_with("access=read"), "{token}");
    got.header("x-docker-endpoints", &push.client.authority());
}

#[tokio::test]
async fn v_6_9_a_token_for_deleting_and_nothing_deleted() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let push = Steps::pushing(&alice, &new_name()).await;
    let images = chain(1);
    push.push(&images, "latest").await;
    let token = token(&alice, "DELETE", &push.path("images")).await;
    assert!(token.ends_with("access=delete"), "{token}");
    push.has(&images[0]).await;
    let deleting = push.with(app.client().v1_token(&token));
    // It reads, and does not write.
    deleting.has(&images[0]).await;
    deleting.put_tag("other", &images[0].id).await.says(401, "Requires authorization");
    deleting.client.delete(&push.path("tags/latest")).await.status(200);
    deleting.client.delete(&push.path("")).await.status_in(&[200, 404]);
}

#[tokio::test]
async fn v_6_10_tokens_that_another_registry_shows() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let push = Steps::pushing(&alice, "a/app").await;
    let images = chain(1);
    push.push(&images, "latest").await;
    let ok: Value = push.client.put(&push.path("auth"), "").await.status(200).json();
    assert_eq!(ok, "OK");
    for client in [push.client.clone(), alice.clone()] {
        let path = push.path(&format!("layer/{}/access", images[0].id));
        assert_eq!(client.get(&path).await.status(200).json(), json!({ "access": true }));
        let path = push.path(&format!("layer/{}/access", new_id()));
        assert_eq!(client.get(&path).await.status(200).json(), json!({ "access": false }));
    }
    push.client.put("/v1/repositories/a/other/auth", "").await.status(403);
    let forged = app.client().v1_token("signature=123,repository=\"a/app\",access=read");
    forged.put(&push.path("auth"), "").await.status_in(&[401, 403]);
    app.client().put(&push.path("auth"), "").await.status_in(&[401, 403]);
}

#[tokio::test]
async fn v_6_13_what_is_known_of_a_push() {
    let push = pushing().await;
    push.push(&chain(1), "latest").await;
    for path in ["json", "tags/latest/json"] {
        let info = push.client.get(&push.path(path)).await.status(200).json();
        for key in ["last_update", "docker_version", "docker_go_version", "arch", "os", "kernel"] {
            assert!(info.get(key).is_some(), "{key}: {info}");
        }
        assert_eq!((&info["os"], &info["arch"]), (&json!("linux"), &json!("amd64")));
    }
    let info = push.client.get(&push.path("tags/none/json")).await.status(200).json();
    assert_eq!((&info["last_update"], &info["os"]), (&Value::Null, &json!("linux")));
    assert!(push.client.get(&push.path("properties")).await.status(200).json()["access"].is_string());
}

/// X-Signature is read by nobody.
#[tokio::test]
async fn v_9_7_no_signature_opens_anything() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    let signed = app.client().with("x-signature", "data=AAAA;").with("x-docker-privileged", "true");
    signed.get("/v1/repositories/a/app/tags").await.says(401, "Requires authorization");
    let refused = signed.put(&image(&new_id(), "json"), "{}").await.says(401, "Requires authorization");
    let challenge = refused.get("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with("Basic realm=\"") && challenge.ends_with("\",Token"), "{challenge}");
}

#[tokio::test]
async fn v_14_1_a_host_for_v1_alone_hides_v2() {
    let authority = Authority::new();
    let options = Gantry::options().set("v1.only_hosts", "[\"v1.example.com\"]").tls(&authority);
    let app = options.start().await;
    let images = chain(2);
    Docker::new(Version::D1_3, &app.client(), true)
        .push("a/app", &images, &[("latest", 1)])
        .await
        .expect("pushed");
    let old = app.client().with("host", "v1.example.com");
    for path in ["/v2/", "/v2/a/app/tags/list", "/v2/a/app/manifests/latest"] {
        let hidden = old.get(path).of_another_api().await.status(404);
        hidden.no_header("docker-distribution-api-version").no_header("www-authenticate");
    }
    old.get("/v1/_ping").await.status(200);
    let got = old.get("/v1/repositories/a/app/images").header("x-docker-token", "true").await.status(200);
    let endpoints = got.get("x-docker-endpoints").expect("endpoints").to_owned();
    assert!(endpoints.starts_with("v1.example.com"), "{endpoints}");
    app.client().get("/v2/").await.status(200);
}

/// Docker 1.5 to 1.9 pull by v1 what they cannot read in V2, when they are told that it is not there.
#[tokio::test]
async fn v_14_2_docker_that_reads_schema_1_alone_is_sent_to_v1() {
    for (setting, status) in [("true", 404), ("false", 200)] {
        let app = Gantry::options().set("v1.old_docker", setting).start().await;
        let repo = app.repo();
        let built = v2_image().build();
        repo.push("latest", &built).await;
        let path = repo.manifest("latest");
        for version in ["1.5.0", "1.6.2", "1.7.1", "1.8.3", "1.9.1"] {
            let old =
                app.client().with("user-agent", &format!("docker/{version} go/go1.4.2 os/linux arch/amd64"));
            old.get(&path).await.status(status);
            old.get(&path).header("accept", types::OCI_MANIFEST).await.status(200);
        }
        for agent in ["docker/1.10.3 go/go1.5.3", "docker/17.05.0-ce", "curl/8.5.0", "docker/1.4.1"] {
            app.client().with("user-agent", agent).get(&path).await.status(200);
        }
        let pulled = Docker::new(Version::D1_6, &app.client(), false).pull(&repo.name, "latest").await;
        let layers: Vec<_> = pulled.expect("pulled").into_iter().map(|of| of.layer).collect();
        assert_eq!(layers, [built.blobs[1].bytes.clone(), built.blobs[2].bytes.clone()]);
    }
}

#[tokio::test]
async fn v_21_1_v1_is_off_where_it_is_not_asked_for() {
    let off = Gantry::options().set("v1.enabled", "false").start().await;
    let built = v2_image().build();
    off.repo().push("latest", &built).await;
    for path in ["/v1/_ping", "/v1/users/", "/v1/repositories/a/b/tags", "/v1/search?q=x", "/_ping"] {
        off.client().get(path).await.status(404).no_header("x-docker-registry-version");
    }
    let hosts = Gantry::options().set("v1.hosts", "[\"old.example.com\"]").start().await;
    hosts.client().get("/v1/_ping").await.status(404).no_header("x-docker-registry-version");
    hosts.client().with("host", "old.example.com:5000").get("/v1/_ping").await.status(200);
    hosts.client().get("/v2/").await.status(200);
}

#[tokio::test]
async fn v_21_4_parts_of_v1_are_switched_off_alone() {
    for (key, push, pull) in [("v1.push", 403, 200), ("v1.pull", 200, 403)] {
        let app = Gantry::options().set(key, "false").start().await;
        let repo = app.repo();
        repo.push("latest", &v2_image().build()).await;
        let client = app.client();
        client.put(&format!("/v1/repositories/{}/", repo.name), "[]").await.status(push);
        client.put(&image(&new_id(), "layer"), "x").await.status_in(&[push, 404]);
        client.get(&format!("/v1/repositories/{}/tags", repo.name)).await.status(pull);
        client.get("/v1/_ping").await.status(200);
        client.get(&repo.manifest("latest")).await.status(200);
    }
}

/// Which of them are still around, for whoever wants to switch it off.
#[tokio::test]
async fn v_21_7_requests_are_counted_by_client() {
    let app = Gantry::start().await;
    for version in Version::ALL {
        let docker = Docker::new(version, &app.client(), false);
        docker.push("a/app", &chain(1), &[("latest", 0)]).await.expect("pushed");
    }
    for label in ["docker/1.0", "docker/1.3", "docker/1.6", "docker/1.10"] {
        let counted = app.metric(&format!("gantry_v1_requests_total{{client=\"{label}\"}}")).await;
        assert!(counted >= 7, "{label}: {counted}");
    }
}
