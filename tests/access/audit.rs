//! N-23, N-24: what the audit log and the counters say.

use serde_json::{Value, json};

use crate::harness::{Answer, Gantry, image};
use crate::ops::eventually;

/// The rows of a request.
async fn rows_of(app: &Gantry, answer: &Answer) -> Vec<Value> {
    let id = answer.get("x-request-id").expect("a request id").to_owned();
    eventually("the row is written", async || {
        let rows: Vec<_> =
            app.audit().await.into_iter().filter(|row| row["request_id"] == id.as_str()).collect();
        (!rows.is_empty()).then_some(rows)
    })
    .await
}

/// N-23: every refusal is a row: who, from where, what, on what, why; with the id that the answer had.
#[tokio::test]
async fn n_23_refusals_are_rows() {
    let app = Gantry::options().set("server.trusted_proxies", "['127.0.0.0/8']").start().await;
    let root = app.admin("root", "a secret 1").await;
    let alice = app.user("alice", "a secret 1").await;
    app.namespace("team", "private").await;
    app.grant("alice", "push", "team").await;
    app.hold_tags("team", &["v*"], &[]).await;
    let (one, two) = (image().build(), image().build());
    alice.at("team/a").push("v1", &one).await;
    alice.at("team/a").push_parts(&two).await;
    let made = app.token("alice", &["team/b:pull"]).await;
    let far = |client: &crate::harness::Client| client.with("x-forwarded-for", "192.0.2.7");
    let digest = one.digest();
    let held = far(&alice).put("/v2/team/a/manifests/v1", two.manifest.bytes.clone());
    let by = |token: &str| app.client().bearer(token);
    let narrow = alice.token_for(&["repository:team/b:pull"]).await;
    for (answer, subject, action, object, word) in [
        (
            far(&app.client().basic("alice", "wrong")).get("/v2/").await.status(401),
            "",
            "login",
            "",
            "credentials",
        ),
        (
            far(&app.client().basic("unknown", "wrong")).get("/v2/team/a/manifests/v1").await.status(401),
            "",
            "manifest.get",
            "team/a:v1",
            "credentials",
        ),
        (far(&by("x.y.z")).get("/v2/").await.status(401), "", "login", "", "token"),
        (
            far(&by(&made.secret)).post("/v2/team/b/blobs/uploads/").await.status(403),
            "alice",
            "upload.start",
            "team/b",
            "a token with a scope that includes",
        ),
        (
            far(&by(&narrow)).get("/v2/team/a/tags/list").await.status(401),
            "alice",
            "tags.list",
            "team/a",
            "bearer token",
        ),
        (
            far(&alice).delete(&format!("/v2/team/a/manifests/{digest}")).await.status(403),
            "alice",
            "manifest.delete",
            "team/a@",
            "`delete`",
        ),
        (
            far(&alice).post("/v2/other/a/blobs/uploads/").await.status(403),
            "alice",
            "upload.start",
            "other/a",
            "`push`",
        ),
        (
            held.header("content-type", &two.manifest.media_type).await.status(403),
            "alice",
            "manifest.put",
            "team/a:v1",
            "`v*`",
        ),
        (
            far(&app.client().basic("alice", "wrong")).get("/v2/token").await.status(401),
            "",
            "login",
            "",
            "credentials",
        ),
        (far(&alice).get("/api/users").await.status(403), "alice", "user.list", "", ""),
    ] {
        let rows = rows_of(&app, &answer).await;
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        assert_eq!((row["subject"].as_str(), row["action"].as_str()), (Some(subject), Some(action)), "{row}");
        assert_eq!(
            (row["result"].as_str(), row["address"].as_str()),
            (Some("refused"), Some("192.0.2.7")),
            "{row}"
        );
        assert!(row["object"].as_str().is_some_and(|found| found.starts_with(object)), "{row}");
        assert!(row["reason"].as_str().is_some_and(|reason| reason.contains(word)), "{row}");
        assert!(row["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{row}");
    }
    // How every client begins is no refusal.
    let begins = app.client().get("/v2/").await.status(401);
    let later = app.client().basic("alice", "wrong").get("/v2/").await.status(401);
    rows_of(&app, &later).await;
    let id = begins.get("x-request-id").expect("an id").to_owned();
    assert!(app.audit().await.iter().all(|row| row["request_id"] != id.as_str()));
    root.get("/v2/").await.status(200);
}

/// N-23: every change is a row, of the registry and of the admin API.
#[tokio::test]
async fn n_23_changes_are_rows() {
    let app = Gantry::start().await;
    let root = app.admin("root", "a secret 1").await;
    let repo = root.at("team/a");
    let built = image().build();
    repo.push_parts(&built).await;
    let put = repo.put_manifest("v1", &built.manifest).await.status(201);
    let tag = root.delete(&repo.manifest("v1")).await.status(202);
    let manifest = root.delete(&repo.manifest(built.digest())).await.status(202);
    let user =
        root.post("/api/users").json(&json!({ "name": "bob", "password": "a secret 1" })).await.status(201);
    let grant = json!({ "subject": "bob", "role": "push", "pattern": "team" });
    let grant = root.post("/api/grants").json(&grant).await.status(201);
    let token = root.post("/api/tokens").json(&json!({ "name": "t" })).await.status(201);
    let space = root.post("/api/namespaces").json(&json!({ "prefix": "team" })).await.status(201);
    let key = root.post("/api/keys/rotate").await.status_in(&[200, 201]);
    let change = root
        .call("PATCH", "/api/users/bob")
        .json(&json!({ "password": "another 2" }))
        .await
        .status_in(&[200, 204]);
    let gone = root.delete("/api/users/bob").await.status(204);
    for (answer, action, object) in [
        (put, "manifest.put", "team/a:v1"),
        (tag, "tag.delete", "team/a:v1"),
        (manifest, "manifest.delete", "team/a@sha256:"),
        (user, "user.create", "bob"),
        (grant, "grant.add", "bob"),
        (token, "token.create", ""),
        (space, "namespace.create", "team"),
        (key, "key.rotate", ""),
        (change, "user.change", "bob"),
        (gone, "user.remove", "bob"),
    ] {
        let rows = rows_of(&app, &answer).await;
        let [row] = rows.as_slice() else { panic!("one row: {rows:?}") };
        assert_eq!((row["subject"].as_str(), row["action"].as_str()), (Some("root"), Some(action)), "{row}");
        assert_eq!(
            (row["result"].as_str(), row["address"].as_str()),
            (Some("allowed"), Some("127.0.0.1")),
            "{row}"
        );
        assert!(row["object"].as_str().is_some_and(|found| found.contains(object)), "{row}");
    }
    // What was not done is not written as done.
    let failed =
        root.post("/api/users").json(&json!({ "name": "root", "password": "a secret 1" })).await.status(409);
    let missing = root.delete(&repo.manifest("v1")).await.status(404);
    root.post("/api/keys/rotate").await;
    let rows = app.audit().await;
    for answer in [failed, missing] {
        let id = answer.get("x-request-id").expect("an id").to_owned();
        assert!(
            rows.iter().all(|row| row["request_id"] != id.as_str() || row["result"] != "allowed"),
            "{answer:?}"
        );
    }
}

/// N-24: logins by method, at the registry and at the token server; refusals by reason; tokens.
#[tokio::test]
async fn n_24_counters() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    let made = app.token("alice", &[]).await;
    let logins = async |method: &str, result: &str| {
        app.metric(&format!("gantry_auth_logins_total{{method=\"{method}\",result=\"{result}\"}}")).await
    };
    let refusals =
        async |reason: &str| app.metric(&format!("gantry_auth_refusals_total{{reason=\"{reason}\"}}")).await;
    let issued =
        async |kind: &str| app.metric(&format!("gantry_auth_tokens_issued_total{{kind=\"{kind}\"}}")).await;
    let anon = app.client();
    // Each step, and the counter that goes up by one.
    let before = logins("password", "accepted").await;
    alice.get("/v2/").await.status(200);
    assert_eq!(logins("password", "accepted").await, before + 1);
    let token = alice.token_for(&[]).await;
    assert_eq!(logins("password", "accepted").await, before + 2);
    assert_eq!(issued("bearer").await, 1);
    let refresh = alice.refresh_token().await;
    assert_eq!((issued("bearer").await, issued("refresh").await), (2, 1));
    assert_eq!(logins("password", "accepted").await, before + 3);
    anon.post_token(&[("grant_type", "refresh_token"), ("refresh_token", &refresh)]).await.status(200);
    assert_eq!((issued("bearer").await, issued("refresh").await), (3, 1));
    anon.basic("any", &made.secret).get("/v2/").await.status(200);
    assert_eq!(logins("token", "accepted").await, 1);
    anon.bearer(&token).get("/v2/").await.status(200);
    assert_eq!(logins("bearer", "accepted").await, 1);
    anon.basic("alice", "wrong").get("/v2/").await.status(401);
    assert_eq!((logins("password", "refused").await, refusals("credentials").await), (1, 1));
    anon.basic("alice", "wrong").get("/v2/token").await.status(401);
    assert_eq!((logins("password", "refused").await, refusals("credentials").await), (2, 2));
    let wrong = [("grant_type", "password"), ("username", "alice"), ("password", "wrong")];
    anon.post_token(&wrong).await.status(401);
    assert_eq!((logins("password", "refused").await, refusals("credentials").await), (3, 3));
    anon.bearer("x").get("/v2/").await.status(401);
    assert_eq!(logins("bearer", "refused").await, 1);
    alice.get("/v2/team/a/tags/list").await.status(403);
    assert_eq!(refusals("no_right").await, 1);
    anon.bearer(&token).get("/v2/team/a/tags/list").await.status(401);
    assert_eq!(refusals("scope").await, 1);
    anon.get("/v2/").await.status(401);
    assert_eq!(refusals("no_credentials").await, 1);
    app.token("alice", &[]).await;
}
