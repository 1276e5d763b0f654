//! bearer tokens at the registry: what they open, and for how long.

use std::path::Path;

use base64::Engine as _;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::harness::access::{challenge, claims, header};
use crate::harness::{Blob, Client, Gantry, image, pieces, skipped};

fn part(value: &serde_json::Value) -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string())
}

/// whatever is changed in a token makes it none.
#[tokio::test]
async fn a_18_a_changed_token_is_none() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "pull", "team").await;
    let token = alice.token_for(&["repository:team/a:pull"]).await;
    let parts: Vec<&str> = token.split('.').collect();
    let [head, body, signature] = parts[..] else { panic!("{token}") };
    let (header, said) = (header(&token), claims(&token));
    let changed = |from: &serde_json::Value, name: &str, value: serde_json::Value| {
        let mut to = from.clone();
        to[name] = value;
        part(&to)
    };
    let mut forged = vec![
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{head}..{signature}"),
        format!(".{body}.{signature}"),
        format!("{token}.{signature}"),
        format!("{head}.{body}.{}", &signature[..signature.len() - 4]),
    ];
    for alg in ["none", "None", "HS256", "RS256", "EdDSA", "ES384", ""] {
        forged.push(format!("{}.{body}.{signature}", changed(&header, "alg", json!(alg))));
        forged.push(format!("{}.{body}.", changed(&header, "alg", json!(alg))));
    }
    for (name, value) in [
        ("kid", json!("unknown")),
        ("kid", json!(null)),
        ("kid", json!("../../etc/passwd")),
        ("jwk", json!({ "kty": "EC" })),
        ("jku", json!("http://127.0.0.1:1/")),
        ("typ", json!("x")),
    ] {
        forged.push(format!("{}.{body}.{signature}", changed(&header, name, value)));
    }
    for (name, value) in [
        ("sub", json!("root")),
        ("aud", json!("other")),
        ("exp", json!(4_000_000_000_u64)),
        ("access", json!([{ "type": "repository", "name": "team/a", "actions": ["*"] }])),
    ] {
        forged.push(format!("{head}.{}.{signature}", changed(&said, name, value)));
    }
    for token in forged {
        let answer = app.client().bearer(&token).get("/v2/team/a/tags/list").await;
        assert!(challenge(&answer).ends_with(",error=\"invalid_token\""), "{token}: {answer:?}");
    }
    app.client().bearer(&token).get("/v2/team/a/tags/list").await.status(404);
}

/// A-20, T-items of two servers: a token of one registry is nothing at another, whatever host it was asked by.
#[tokio::test]
async fn a_20_a_token_of_another_server_is_none() {
    let (one, two) = (Gantry::start().await, Gantry::start().await);
    let alice = one.user("alice", "a secret 1").await;
    two.user("alice", "a secret 1").await;
    let token = alice.with("host", "registry.example").token_for(&[]).await;
    one.client().with("host", "registry.example").bearer(&token).get("/v2/").await.status(200);
    let answer = two.client().with("host", "registry.example").bearer(&token).get("/v2/").await;
    assert!(challenge(&answer).ends_with(",error=\"invalid_token\""));
}

/// a token is for the service that it names.
#[tokio::test]
async fn a_20_a_token_for_another_service_is_none() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    for service in ["other.example", "gantry", "127.0.0.1"] {
        let answer = alice.get(&format!("/v2/token?service={service}")).await.status(200).json();
        let token = answer["token"].as_str().expect("a token").to_owned();
        assert_eq!(claims(&token)["aud"], service);
        let answer = app.client().bearer(&token).get("/v2/").await;
        assert!(challenge(&answer).ends_with(",error=\"invalid_token\""));
    }
}

/// A-21, E-1.5: more scopes than are needed do no harm; names are compared byte for byte, and one repository's token is nothing in
/// another, above it or below it.
#[tokio::test]
async fn a_21_a_token_is_for_the_repositories_that_it_names() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "delete", "**").await;
    let built = image().build();
    for name in ["team/a", "team", "team/a/b", "team/ab", "other/a"] {
        alice.at(name).push("v1", &built).await;
    }
    let token = alice
        .token_for(&["repository:team/a:pull,push,delete repository:other/a:pull registry:catalog:*"])
        .await;
    let bearer = app.client().bearer(&token);
    bearer.get("/v2/").await.status(200);
    bearer.at("team/a").has_manifest("v1", &built.manifest).await;
    bearer.at("other/a").has_manifest("v1", &built.manifest).await;
    bearer.at("team/a").push("v2", &image().build()).await;
    bearer.get("/v2/_catalog").await.status(200);
    for name in ["team", "team/a/b", "team/ab", "nothing/here"] {
        let there = bearer.at(name);
        for call in [
            bearer.get(&there.manifest("v1")),
            bearer.get(&there.path("tags/list")),
            bearer.get(&there.blob(&built.blobs[0].digest)),
            bearer.put(&there.manifest("v1"), built.manifest.bytes.clone()),
            bearer.post(&there.uploads()),
            bearer.delete(&there.manifest("v1")),
        ] {
            assert!(challenge(&call.await).ends_with(",error=\"insufficient_scope\""));
        }
    }
    bearer.post("/v2/other/a/blobs/uploads/").await.status(401);
    bearer.delete(&bearer.at("other/a").manifest("v1")).await.status(401);
    // A token without the catalog does not open it.
    let narrow = alice.by_token_for(&["repository:team/a:pull"]).await;
    assert!(challenge(&narrow.get("/v2/_catalog").await).contains("scope=\"registry:catalog:*\""));
}

/// A pull token cannot push, a push token cannot delete: as bearer tokens and as personal tokens, by Basic and by Bearer.
#[tokio::test]
async fn a_21_pull_tokens_cannot_push_and_push_tokens_cannot_delete() {
    let app = Gantry::start().await;
    let root = app.admin("root", "a secret 1").await;
    let built = image().build();
    root.at("team/a").push("v1", &built).await;
    for (may, actions) in [(1, "pull"), (2, "pull,push"), (3, "pull,push,delete")] {
        let personal = app.token("root", &[&format!("team/a:{actions}")]).await;
        let robot = app.robot("ci", &[&format!("team/a:{actions}")]).await;
        let callers: [Client; 6] = [
            root.by_token_for(&[&format!("repository:team/a:{actions}")]).await,
            app.client().basic("any", &personal.secret),
            app.client().bearer(&personal.secret),
            app.client().basic("robot", &robot.secret),
            app.client().bearer(&robot.secret),
            app.client()
                .basic("any", &personal.secret)
                .by_token_for(&["repository:team/a:pull,push,delete"])
                .await,
        ];
        for caller in callers {
            let repo = caller.at("team/a");
            repo.has_manifest("v1", &built.manifest).await;
            repo.has_blob(&built.blobs[0]).await;
            let refused = |status: u16| matches!(status, 401 | 403);
            let fresh = image().build();
            root.at("team/a").push("gone", &fresh).await;
            for (needs, call) in [
                (2, caller.post(&repo.uploads())),
                (
                    2,
                    caller
                        .put(&repo.manifest("v2"), built.manifest.bytes.clone())
                        .header("content-type", &built.manifest.media_type),
                ),
                (3, caller.delete(&repo.manifest("gone"))),
                (3, caller.delete(&repo.manifest(fresh.digest()))),
                (3, caller.delete(&repo.blob(&fresh.blobs[0].digest))),
            ] {
                let answer = call.await;
                assert_eq!(refused(answer.status), may < needs, "{actions}: {answer:?}");
            }
            caller.get("/v2/team/b/tags/list").await.status_in(&[401, 403]);
        }
    }
}

/// an anonymous token pushes nothing, even where it was issued before the repository was closed.
#[tokio::test]
async fn a_24_anonymous_tokens_push_nothing() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    app.user("alice", "a secret 1").await;
    let token = app.client().token_for(&["repository:open/a:pull,push,delete", "repository:open/a:*"]).await;
    let nobody = app.client().bearer(&token);
    nobody.get("/v2/open/a/tags/list").await.status(404);
    for call in [
        nobody.post("/v2/open/a/blobs/uploads/"),
        nobody.put("/v2/open/a/manifests/v1", "{}"),
        nobody.delete("/v2/open/a/manifests/v1"),
    ] {
        challenge(&call.await);
    }
    app.namespace("open", "private").await;
    challenge(&nobody.get("/v2/open/a/tags/list").await);
}

/// Where Debian's package `faketime` puts its library.
fn library(test: &str) -> Option<String> {
    let places = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];
    let found = places
        .iter()
        .map(|place| format!("{place}/libfaketimeMT.so.1"))
        .find(|path| Path::new(path).exists());
    if found.is_none() {
        skipped(test, "libfaketime (package faketime) is not installed");
    }
    found
}

/// A server whose clock goes as the file says.
async fn with_clock(library: &str, time: &NamedTempFile) -> Gantry {
    Gantry::options()
        .variable("LD_PRELOAD", library)
        .variable("FAKETIME_TIMESTAMP_FILE", time.path().to_str().expect("a path"))
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
        .await
}

/// clocks that are a minute apart are apart by chance; ten minutes are too many.
#[tokio::test]
async fn a_19_clocks_may_be_a_minute_apart() {
    let Some(library) = library("a_19_clocks_may_be_a_minute_apart") else { return };
    let time = NamedTempFile::new().expect("a file");
    let set = |seconds: i64| std::fs::write(time.path(), format!("{seconds:+}\n")).expect("the time is set");
    set(0);
    let app = with_clock(&library, &time).await;
    let alice = app.user("alice", "a secret 1").await;
    let token = alice.token_for(&[]).await;
    let bearer = app.client().bearer(&token);
    // Tokens live 300 seconds; some of them may go by while this runs.
    for (seconds, status) in
        [(0, 200), (-45, 200), (-600, 401), (295, 200), (340, 200), (400, 401), (600, 401), (0, 200)]
    {
        set(seconds);
        let answer = bearer.get("/v2/").await.status(status);
        if status == 401 {
            assert!(challenge(&answer).ends_with(",error=\"invalid_token\""), "{seconds}");
        }
    }
}

/// a token is looked at when a request begins; what is sent for longer than the token lives goes to its end.
#[tokio::test]
async fn a_24_a_long_upload_outlives_its_token() {
    let Some(library) = library("a_24_a_long_upload_outlives_its_token") else { return };
    let time = NamedTempFile::new().expect("a file");
    std::fs::write(time.path(), "+0\n").expect("the time is set");
    let app = with_clock(&library, &time).await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "team").await;
    let scope = ["repository:team/a:pull,push"];
    let bearer = alice.by_token_for(&scope).await;
    let location = bearer.at("team/a").start_upload().await;
    let blob = Blob::new(40_000);
    let (sender, body) = pieces();
    let patch = tokio::spawn({
        let call = bearer.call("PATCH", &location).stream(body);
        async move { call.await }
    });
    sender.send(Ok(blob.bytes.slice(..20_000))).await.expect("sent");
    crate::ops::eventually("the first half is there", async || {
        (app.metric("gantry_http_body_bytes_total{direction=\"in\"}").await >= 20_000).then_some(())
    })
    .await;
    std::fs::write(time.path(), "+600\n").expect("the time is set");
    sender.send(Ok(blob.bytes.slice(20_000..))).await.expect("sent");
    drop(sender);
    patch.await.expect("an answer").status(202);
    let close = crate::harness::repo::with(&location, "digest", &blob.digest);
    assert!(challenge(&bearer.put(&close, "").await).ends_with(",error=\"invalid_token\""));
    alice.by_token_for(&scope).await.put(&close, "").await.status(201);
    alice.at("team/a").has_blob(&blob).await;
}

/// A token that was asked for by the name of another service is nothing here, also when this server is called by that name.
#[tokio::test]
async fn a_19_a_token_for_another_service_is_not_taken_under_its_name() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "team").await;
    let target = "/v2/token?service=other.example&scope=repository:team/a:pull,push";
    let answer = alice.get(target).await.status(200).json();
    let token = answer["token"].as_str().expect("a token");
    let bearer = app.client().bearer(token).with("host", "other.example");
    bearer.post("/v2/team/a/blobs/uploads/").await.status(401).error("UNAUTHORIZED");
    bearer.get("/v2/").await.status(401);
}
