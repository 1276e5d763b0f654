//! A-23, N-3, N-4, N-13: accounts and tokens, shown directly to the registry.

use serde_json::json;

use crate::harness::access::granted;
use crate::harness::{Gantry, image};

/// A-23, N-3: Basic, Bearer and the cookie of a web session open the registry directly.
#[tokio::test]
async fn a_23_every_way_to_be_somebody_opens_the_registry() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "team").await;
    let built = image().build();
    alice.at("team/app").push("v1", &built).await;
    let made = app.token("alice", &[]).await;
    let (cookie, _) = app.client().session("alice", "a secret 1").await;
    let basic = "Basic YWxpY2U6YSBzZWNyZXQgMQ=="; // alice:a secret 1
    let anon = app.client();
    let bearer = alice.token_for(&["repository:team/app:pull,push"]).await;
    for (way, client) in [
        ("basic", anon.with("authorization", basic)),
        ("case", anon.with("authorization", &basic.replace("Basic", "bASIC"))),
        ("unpadded", anon.with("authorization", basic.trim_end_matches('='))),
        ("token", anon.basic("alice", &made.secret)),
        ("token of any name", anon.basic("somebody else", &made.secret)),
        ("token without a name", anon.basic("", &made.secret)),
        ("token as bearer", anon.bearer(&made.secret)),
        ("bearer", anon.bearer(&bearer)),
        ("case of bearer", anon.with("authorization", &format!("BEARER {bearer}"))),
        ("http/2", anon.http2(None).bearer(&bearer)),
    ] {
        client.get("/v2/").await.status(200).body(b"{}");
        client.at("team/app").has_manifest("v1", &built.manifest).await;
        client.at("team/app").push("v2", &image().build()).await;
        let get = client.get("/v2/team/app/tags/list").await.status(200);
        assert_eq!(get.list("tags"), ["v1", "v2"], "{way}");
    }
    // A browser sends its cookie with what other sites make it ask: it reads, and changes nothing.
    let session = anon.with("cookie", &cookie);
    session.get("/v2/").await.status(200);
    session.at("team/app").has_manifest("v1", &built.manifest).await;
    session.get("/v2/other/app/tags/list").await.status(403);
    session.post("/v2/team/app/blobs/uploads/").await.status(401);
    session.delete("/v2/team/app/manifests/v1").await.status(401);
    // Nor does it buy tokens, which would.
    let bought = session
        .get("/v2/token?offline_token=true&scope=repository:team/app:pull,push")
        .await
        .status(200)
        .json();
    assert!(bought.get("refresh_token").is_none());
    assert_eq!(granted(bought["token"].as_str().expect("a token")), [""; 0]);
    anon.with("cookie", &cookie.replace("gts_", "gts_x")).get("/v2/").await.status(401);
}

/// N-3: the name ends at the first colon, the password is any text.
#[tokio::test]
async fn n_3_passwords_hold_colons_and_any_letters() {
    let app = Gantry::start().await;
    for (number, password) in [
        "a:b:c:d 1",
        ":begins and ends:",
        "pässwörd ✓ 密码 1",
        "  blanks around 1  ",
        "g:ty_ like a token 1",
        "quote\"back\\slash",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("user{number}");
        let client = app.user(&name, password).await;
        client.get("/v2/").await.status(200);
        client.ask_token(&[]).await.status(200);
        let fields = [("grant_type", "password"), ("username", name.as_str()), ("password", password)];
        app.client().post_token(&fields).await.status(200);
        for wrong in [password.trim(), &password.replace(':', ""), &password.to_uppercase()] {
            if wrong != *password {
                app.client().basic(&name, wrong).get("/v2/").await.status(401);
            }
        }
    }
    for name in ["e.mail+x@example.com", "jörg"] {
        app.user(name, "a secret 1").await.get("/v2/").await.status(200);
    }
}

/// N-3: wrong credentials are refused on public repositories too, by every way in.
#[tokio::test]
async fn n_3_wrong_credentials_are_nobody_anywhere() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let root = app.admin("root", "a secret 1").await;
    root.at("open/app").push("v1", &image().build()).await;
    let anon = app.client();
    anon.get("/v2/open/app/manifests/v1").await.status(200);
    for wrong in [
        anon.basic("root", "wrong"),
        anon.basic("nobody", "wrong"),
        anon.basic("", "wrong"),
        anon.basic("root", ""),
        anon.bearer("gty_0000000000000000000000000000000000000000AAAA"),
        anon.bearer("x"),
        anon.with("authorization", "Token abc"),
        anon.with("authorization", "Basic ????"),
        // Two lines are none that could be trusted.
        anon.basic("root", "a secret 1").basic("root", "a secret 1"),
        anon.basic("root", "a secret 1").with("authorization", "Basic Og=="),
    ] {
        for target in ["/v2/", "/v2/open/app/manifests/v1", "/v2/open/app/tags/list", "/v2/_catalog"] {
            wrong.get(target).await.status(401).error("UNAUTHORIZED");
        }
    }
    for nobody in ["Basic Og==", "Basic", "Bearer", "Token"] {
        anon.with("authorization", nobody).get("/v2/open/app/manifests/v1").await.status(200);
    }
}

/// N-4: a token only narrows its owner, and is nobody's when it has ended.
#[tokio::test]
async fn n_4_personal_tokens() {
    let app = Gantry::start().await;
    app.admin("root", "a secret 1").await;
    let alice = app.user("alice", "a secret 1").await;
    let grant = app.grant("alice", "push", "team").await;
    let built = image().build();
    alice.at("team/a").push("v1", &built).await;
    let any = |secret: &str| app.client().basic("any", secret);
    // Wider than its owner: no wider.
    let wide = app.token("alice", &["**:*"]).await;
    any(&wide.secret).get("/v2/other/a/tags/list").await.status(403).error("DENIED");
    any(&wide.secret).delete("/v2/team/a/manifests/v1").await.status(403);
    any(&wide.secret).at("team/a").push("v2", &image().build()).await;
    let narrow = app.token("alice", &["team/a:pull"]).await;
    let refused = any(&narrow.secret).post("/v2/team/a/blobs/uploads/").await.status(403).error("DENIED");
    let message = refused.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.contains("a token with a scope that includes `team/a:push`"), "{message}");
    any(&narrow.secret).at("team/a").has_manifest("v1", &built.manifest).await;
    // It administers nothing and makes no tokens.
    for token in [&wide, &narrow] {
        let body = json!({ "name": "t", "scopes": ["**:*"] });
        any(&token.secret).post("/api/tokens").json(&body).await.status(403);
        any(&token.secret).get("/api/users").await.status(403);
    }
    // On the next request: the right, the token, its time, its owner.
    app.ungrant(grant).await;
    any(&wide.secret).get("/v2/team/a/tags/list").await.status(403);
    app.grant("alice", "pull", "team").await;
    any(&wide.secret).get("/v2/team/a/tags/list").await.status(200);
    app.revoke(&wide).await;
    any(&wide.secret).get("/v2/team/a/tags/list").await.status(401);
    app.client().bearer(&wide.secret).get("/v2/").await.status(401);
    let short = app.made(json!({ "name": "short", "owner": "alice", "expires": "1s" })).await;
    crate::ops::eventually("it ends", async || {
        (any(&short.secret).get("/v2/").await.status == 401).then_some(())
    })
    .await;
    any(&narrow.secret).get("/v2/").await.status(200);
    app.change_user("alice", json!({ "disabled": true })).await;
    any(&narrow.secret).get("/v2/").await.status(401);
    app.change_user("alice", json!({ "disabled": false })).await;
    any(&narrow.secret).get("/v2/").await.status(200);
    app.remove_user("alice").await;
    any(&narrow.secret).get("/v2/").await.status(401);
    app.user("alice", "a secret 1").await;
    any(&narrow.secret).get("/v2/").await.status(401);
}

/// N-4: a robot has what its token was made for, and nothing else.
#[tokio::test]
async fn n_4_robots() {
    let app = Gantry::start().await;
    app.user("alice", "a secret 1").await;
    let made = app.robot("ci", &["team/**:pull,push", "base/*:pull"]).await;
    for robot in [
        app.client().basic("ci", &made.secret),
        app.client().basic("robot$ci", &made.secret),
        app.client().bearer(&made.secret),
    ] {
        let built = image().build();
        robot.at("team/a/b").push("v1", &built).await;
        robot.delete("/v2/team/a/b/manifests/v1").await.status(403);
        robot.get("/v2/base/alpine/tags/list").await.status(404);
        robot.post("/v2/base/alpine/blobs/uploads/").await.status(403);
        robot.get("/v2/base/alpine/deep/tags/list").await.status(403);
        robot.get("/v2/other/tags/list").await.status(403);
        robot.get("/api/users").await.status(403);
    }
    app.client().basic("ci", "robot").get("/v2/").await.status(401);
    app.revoke(&made).await;
    app.client().basic("ci", &made.secret).get("/v2/").await.status(401);
}

/// N-13, N-20: what changes, acts on the next request, with bearer tokens that are out too.
#[tokio::test]
async fn n_13_changes_act_on_the_next_request() {
    let app = Gantry::start().await;
    app.admin("root", "a secret 1").await;
    let alice = app.user("alice", "a secret 1").await;
    let grant = app.grant("alice", "pull", "team").await;
    let list = "/v2/team/a/tags/list";
    let bearer = alice.by_token_for(&["repository:team/a:pull"]).await;
    let (cookie, _) = app.client().session("alice", "a secret 1").await;
    let session = app.client().with("cookie", &cookie);
    for client in [&alice, &bearer, &session] {
        client.get(list).await.status(404);
    }
    // Rights are looked at anew on every request, with a bearer token too.
    app.ungrant(grant).await;
    alice.get(list).await.status(403);
    session.get(list).await.status(403);
    bearer.get(list).await.status(401);
    app.grant("alice", "pull", "team").await;
    bearer.get(list).await.status(404);
    // Remembered passwords are forgotten.
    for _ in 0..3 {
        alice.get(list).await.status(404);
    }
    app.change_user("alice", json!({ "password": "another 2" })).await;
    alice.get(list).await.status(401);
    alice.ask_token(&[]).await.status(401);
    session.get(list).await.status(401);
    let alice = app.client().basic("alice", "another 2");
    alice.get(list).await.status(404);
    app.change_user("alice", json!({ "disabled": true })).await;
    alice.get(list).await.status(401);
    bearer.get(list).await.status(401);
    app.change_user("alice", json!({ "disabled": false })).await;
    alice.get(list).await.status(404);
    bearer.get(list).await.status(404);
    app.remove_user("alice").await;
    alice.get(list).await.status(401);
    bearer.get(list).await.status(401);
    // Whoever has the name next is somebody else.
    let other = app.user("alice", "another 2").await;
    app.grant("alice", "pull", "team").await;
    other.get(list).await.status(404);
    bearer.get(list).await.status(401);
}

/// A bearer token ends with the personal or robot token that it was bought by.
#[tokio::test]
async fn n_13_a_bearer_token_ends_with_the_token_behind_it() {
    let app = Gantry::start().await;
    app.user("alice", "a secret 1").await;
    app.grant("alice", "pull", "team").await;
    for made in [app.token("alice", &["team/**:pull"]).await, app.robot("ci", &["team/**:pull"]).await] {
        let holder = app.client().basic("any", &made.secret);
        let bearer = holder.by_token_for(&["repository:team/a:pull"]).await;
        bearer.get("/v2/team/a/tags/list").await.status(404);
        app.revoke(&made).await;
        bearer.get("/v2/team/a/tags/list").await.status(401);
    }
}
