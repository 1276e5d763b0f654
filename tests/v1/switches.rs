//! What the operator switches on and off, what is counted and kept, and what of v1 can be seen in V2.

use serde_json::{Value, json};

use super::content::{chain, new_id};
use super::steps::{Steps, image};
use crate::harness::{Gantry, image as v2_image, types};

/// As any address that is not there; V2 is as it was.
#[tokio::test]
async fn v_21_1_switched_off_there_is_no_v1() {
    let app = Gantry::options().set("v1.enabled", "false").start().await;
    let client = app.client();
    for path in ["/v1/_ping", "/_ping", "/v1/search?q=a", "/v1/users/", &image(&new_id(), "json")] {
        client.get(path).await.status(404).error("UNSUPPORTED").no_header("x-docker-registry-version");
    }
    client.put("/v1/repositories/foo/", "[]").await.status(404).error("UNSUPPORTED");
    client.get("/v2/").await.status(200);
    client.at("library/foo").push("latest", &v2_image().build()).await.status(201);
    client.at("foo").lacks_manifest("latest").await;
    assert!(!app.greeting().contains("v1"), "{}", app.greeting());
}

/// On by itself on a loopback address; the greeting says so.
#[tokio::test]
async fn v_21_1_on_loopback_it_is_on() {
    let app = Gantry::shared().await;
    for path in ["/v1/_ping", "/_ping"] {
        app.client().get(path).await.status(200).header("x-docker-registry-standalone", "false");
    }
    assert!(app.greeting().contains("v1"), "{}", app.greeting());
}

#[tokio::test]
async fn v_21_2_only_these_hosts_answer_v1() {
    let app = Gantry::options().set("v1.hosts", "[\"v1.Example.com\", \"::1\"]").start().await;
    let client = app.client();
    let at = |host: &str, path: &str| client.get(path).header("host", host);
    for host in ["v1.example.com", "V1.EXAMPLE.COM:5000", "v1.example.com.", "[::1]:5000"] {
        at(host, "/v1/_ping").await.status(200);
        at(host, "/v2/").await.status(200);
    }
    for host in ["example.com", "v1.example.com.evil.example", "127.0.0.1:5000", "v1.example.comx"] {
        at(host, "/v1/_ping").await.status(404).no_header("x-docker-registry-version");
        at(host, "/v2/").await.status(200);
    }
}

/// Docker 1.5 to 1.9 push by V2 as soon as they see it.
#[tokio::test]
async fn v_21_3_a_host_that_is_for_v1_only_hides_v2() {
    let app = Gantry::options().set("v1.only_hosts", "[\"old.example.com\"]").start().await;
    let client = app.client();
    let raw = crate::harness::Client::new(app.address(), None).of_another();
    for path in ["/v2/", "/v2/foo/manifests/latest", "/v2/_catalog"] {
        let answer = raw.get(path).header("host", "OLD.example.com:5000").await.status(404);
        answer.no_header("docker-distribution-api-version").no_header("www-authenticate");
        raw.head(path).header("host", "old.example.com").await.status(404);
    }
    client.get("/v1/_ping").header("host", "old.example.com").await.status(200);
    // Others answer both.
    client.get("/v1/_ping").await.status(200);
    client.get("/v2/").await.status(200);
}

#[tokio::test]
async fn v_21_4_pushing_by_v1_can_be_switched_off() {
    let mut app = Gantry::start().await;
    let images = chain(1);
    Steps::pushing(&app.client(), "team/app").await.push(&images, "latest").await;
    app.set("v1.push", "false").restart().await;
    let (client, off) = (app.client(), "Pushing by v1 is switched off on this server");
    let id = &images[0].id;
    client.put("/v1/repositories/team/app/", "[]").await.says(403, off);
    client.put("/v1/repositories/team/app/images", "[]").await.says(403, off);
    client.put(&image(id, "json"), images[0].json.clone()).await.says(403, off);
    client.put("/v1/repositories/team/app/tags/v1", format!("\"{id}\"")).await.says(403, off);
    client.delete("/v1/repositories/team/app/tags/latest").await.says(403, off);
    client.delete("/v1/repositories/team/app/").await.says(403, off);
    Steps::pulling(&client, "team/app").await.has(&images[0]).await;
    client.at("team/app").push("v2", &v2_image().build()).await.status(201);
}

#[tokio::test]
async fn v_21_5_pulling_and_searching_by_v1_can_be_switched_off() {
    let app = Gantry::options().set("v1.pull", "false").set("v1.search", "false").start().await;
    let client = app.client();
    let images = chain(1);
    let push = Steps::pushing(&client, "team/app").await;
    push.push(&images, "latest").await;
    let off = "Pulling by v1 is switched off on this server";
    for path in ["images", "tags", "tags/latest"] {
        client.get(&push.path(path)).await.says(403, off);
    }
    for part in ["layer", "ancestry", "files"] {
        push.get(&images[0].id, part).await.says(403, off);
    }
    // A push asks whether an image is there.
    push.get(&images[0].id, "json").await.status(200);
    client.get("/v1/search?q=a").await.says(404, "Not found");
    client.get("/v1/_ping").await.status(200);
}

/// Who still uses it, so that it can be switched off when nobody does; and the routes as those of V2.
#[tokio::test]
async fn v_21_7_metrics_say_who_still_uses_v1() {
    let app = Gantry::options().set("log.format", "json").start().await;
    for (agent, client, times) in [
        ("docker/1.6.2 go/go1.4.2 git-commit/7c8fca2 kernel/3.16.0 os/linux arch/amd64", "docker/1.6", 2),
        ("docker/24.0.5 go/go1.20.6", "docker/17+", 1),
        ("containers/5.32.2 (github.com/containers/image)", "containers", 1),
        ("evil\\\"agent", "other", 1),
    ] {
        for _ in 0..times {
            app.client().get("/v1/_ping").header("user-agent", agent).await.status(200);
        }
        let series = format!("gantry_v1_requests_total{{client=\"{client}\"}}");
        assert_eq!(app.metric(&series).await, times, "{series}");
    }
    app.client().get(&image(&new_id(), "json")).await.status(404);
    for series in [
        "gantry_http_requests_total{route=\"v1_ping\",method=\"GET\",status=\"200\"}",
        "gantry_http_requests_total{route=\"v1_json\",method=\"GET\",status=\"404\"}",
        "gantry_http_request_duration_seconds_count{route=\"v1_json\"}",
    ] {
        assert!(app.metric(series).await > 0, "{series}");
    }
    let log = app.log();
    assert!(log.contains("\"v1_json\""), "the access log names the route: {log}");
}

/// Pushes of tags, deletes and refusals, as of V2.
#[tokio::test]
async fn v_18_9_changes_and_refusals_are_kept() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "s3cret-pass").await;
    let bob = app.user("bob", "s3cret-pass").await;
    app.grant("alice", "delete", "team").await;
    app.grant("bob", "pull", "team").await;
    let push = Steps::pushing(&alice, "team/app").await;
    let images = chain(1);
    push.push(&images, "latest").await;
    push.put_tag("v1", &images[0].id).await.status(200);
    alice.delete(&push.path("tags/v1")).await.status(200);
    bob.put(&push.path("tags/v1"), format!("\"{}\"", images[0].id)).await.status(403);
    bob.put("/v1/repositories/other/app/", "[]").await.says(404, "Repository not found");
    app.client().basic("alice", "wrong").get("/v1/users/").await.says(401, "Requires authorization");
    app.client().get(&push.path("tags")).await.says(401, "Requires authorization");
    alice.delete(&push.path("")).await.status(200);
    let rows = app.audit().await;
    let found = |subject: &str, action: &str, object: &str, result: &str| {
        let wanted = [subject, action, object, result].map(Value::from);
        let count = rows.iter().filter(|row| {
            [&row["subject"], &row["action"], &row["object"], &row["result"]].into_iter().eq(&wanted)
        });
        assert_eq!(count.count(), 1, "{wanted:?} in {rows:?}");
    };
    found("alice", "tag.put", "team/app:latest", "allowed");
    found("alice", "tag.put", "team/app:v1", "allowed");
    found("alice", "tag.delete", "team/app:v1", "allowed");
    found("alice", "repository.delete", "team/app", "allowed");
    found("bob", "tag.put", "team/app:v1", "refused");
    found("bob", "repository.push", "other/app", "refused");
    found("", "login", "", "refused");
    assert_eq!(rows.iter().filter(|row| row["action"] == "tags.list").count(), 0, "how every client begins");
    assert!(app.metric("gantry_auth_refusals_total{reason=\"no_right\"}").await >= 2);
}

/// `docker pull HOST/foo` of what was pushed as `library/foo`, and the other way round: to read, when only one is there.
#[tokio::test]
async fn v_19_5_v2_finds_a_repository_by_its_other_name() {
    let app = Gantry::start().await;
    let client = app.client();
    let one = v2_image().build();
    client.at("library/foo").push("latest", &one).await.status(201);
    client.at("bar").push("latest", &one).await.status(201);
    for name in ["foo", "library/bar"] {
        let repo = client.at(name);
        repo.has_manifest("latest", &one.manifest).await;
        repo.has_blob(&one.blobs[0]).await;
        assert_eq!(repo.tags().await, ["latest"]);
        repo.client.get(&repo.manifest("missing")).await.missing("MANIFEST_UNKNOWN");
        repo.client.delete(&repo.manifest("latest")).await.missing("NAME_UNKNOWN");
    }
    client.at("team/foo").lacks_manifest("latest").await;
    client.at("library/library/foo").lacks_manifest("latest").await;
    // As soon as it is there, it is itself.
    let own = v2_image().build();
    client.at("foo").push("own", &own).await.status(201);
    client.at("foo").lacks_manifest("latest").await;
    client.at("library/foo").lacks_manifest("own").await;
}

#[tokio::test]
async fn v_19_5_the_other_name_can_be_switched_off() {
    let app = Gantry::options().set("v1.library_alias", "false").start().await;
    app.client().at("library/foo").push("latest", &v2_image().build()).await.status(201);
    let foo = app.client().at("foo");
    foo.client.get(&foo.manifest("latest")).await.missing("NAME_UNKNOWN");
}

/// Who may not pull the other name learns nothing of it: neither by an answer nor by a difference between two.
#[tokio::test]
async fn v_19_6_the_other_name_needs_the_rights_of_both() {
    let app = Gantry::start().await;
    let admin = app.admin("root", "s3cret-pass").await;
    let alice = app.user("alice", "s3cret-pass").await;
    for pattern in ["foo", "both", "library/both", "library/baz"] {
        app.grant("alice", "pull", pattern).await;
    }
    let one = v2_image().build();
    for name in ["library/foo", "library/both", "library/baz"] {
        admin.at(name).push("latest", &one).await.status(201);
    }
    let ask = async |client: &crate::harness::Client, name: &str| {
        let repo = client.at(name);
        let answer = repo.client.get(&repo.manifest("latest")).await;
        (answer.status, answer.json()["errors"][0]["code"].clone())
    };
    // She may pull `foo`, which is not there, and not `library/foo`, which is: as if neither were.
    assert_eq!(ask(&alice, "foo").await, (404, json!("NAME_UNKNOWN")));
    alice.at("both").has_manifest("latest", &one.manifest).await;
    // She may pull `library/baz` and not `baz`.
    assert_eq!(ask(&alice, "baz").await, ask(&alice, "nothing").await);
    // A bearer token can only be for the name that was asked for; one of the owner's with fewer rights stays one.
    let bearer = alice.by_token_for(&["repository:both:pull"]).await;
    bearer.at("both").has_manifest("latest", &one.manifest).await;
    let narrow = app.token("alice", &["both:pull"]).await;
    assert_eq!(ask(&app.client().bearer(&narrow.secret), "both").await, (404, json!("NAME_UNKNOWN")));
}

/// They know schema 1 alone, and go on with v1 when V2 has nothing.
#[tokio::test]
async fn v_14_2_old_dockers_are_sent_to_v1() {
    let app = Gantry::start().await;
    let repo = app.client().at("team/app");
    let one = v2_image().build();
    repo.push("latest", &one).await.status(201);
    let kind = one.manifest.media_type.as_str();
    let ask = |agent: &str, accept: &str| {
        repo.client.get(&repo.manifest("latest")).header("user-agent", agent).header("accept", accept)
    };
    for agent in ["docker/1.5.0 go/go1.4.1", "docker/1.6.2", "docker/1.9.1 go/go1.4.3 os/linux arch/amd64"] {
        ask(agent, "application/json").await.missing("MANIFEST_UNKNOWN");
        repo.client
            .get(&repo.manifest("latest"))
            .header("user-agent", agent)
            .await
            .missing("MANIFEST_UNKNOWN");
        repo.client.head(&repo.manifest("latest")).header("user-agent", agent).await.status(404);
        ask(agent, kind).await.status(200);
        ask(agent, &format!("{}, {kind}", types::DOCKER_LIST)).await.status(200);
    }
    for agent in ["docker/1.4.1", "docker/1.10.0", "docker/24.0.5", "curl/8.5.0"] {
        ask(agent, "application/json").await.status(200);
    }
    let off = Gantry::options().set("v1.old_docker", "false").start().await;
    let repo = off.client().at("team/app");
    repo.push("latest", &one).await.status(201);
    repo.client.get(&repo.manifest("latest")).header("user-agent", "docker/1.6.2").await.status(200);
}
