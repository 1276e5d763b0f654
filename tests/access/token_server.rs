//! A-8 to A-14, A-16, N-11, N-12: the token server.

use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::harness::access::{claims, encoded, granted, header};
use crate::harness::server::run;
use crate::harness::{Answer, Client, Gantry};

/// Alice may push to `team` and pull from `other`.
async fn with_alice() -> (Gantry, Client) {
    let app = Gantry::start().await;
    let alice = app.user("alice", "open:sesame ü 1").await;
    app.grant("alice", "push", "team").await;
    app.grant("alice", "pull", "other").await;
    (app, alice)
}

fn token_of(answer: &Answer) -> String {
    answer.json()["token"].as_str().expect("a token").to_owned()
}

/// A-7, A-8, A-16, T55: scopes repeated and joined, in every form that clients send.
#[tokio::test]
async fn a_8_scopes_come_in_many_forms() {
    let (_app, alice) = with_alice().await;
    let cases: [(&[&str], &[&str]); 13] = [
        (&[], &[]),
        (&["repository:team/a:pull"], &["team/a:pull"]),
        (&["repository:team/a:pull", "repository:team/b:push"], &["team/a:pull", "team/b:push"]),
        (&["repository:team/a:pull repository:team/b:push"], &["team/a:pull", "team/b:push"]),
        (&["repository:team/a:pull", "repository:team/a:push"], &["team/a:pull,push"]),
        (&["repository:team/a:push,pull,pull"], &["team/a:pull,push"]),
        (&["repository:team/a:*"], &["team/a:pull,push"]),
        (&["repository:team/a:pull,frobnicate"], &["team/a:pull"]),
        (&["repository(plugin):team/a:pull"], &["team/a:pull"]),
        (&["repository/team/a:pull,push"], &["team/a:pull,push"]),
        (&["plugin:team/a:pull", "warehouse:team/a:pull,push"], &[]),
        (&["  repository:team/a:pull  "], &["team/a:pull"]),
        // Names that are none, and names with a port, are nobody's.
        (&["repository:UPPER:pull", "repository:host:5000/team/a:pull", "repository:team/../a:pull"], &[]),
    ];
    for (scopes, expected) in cases {
        let answer = alice.ask_token(scopes).await.status(200);
        let mut found = granted(&token_of(&answer));
        for entry in &mut found {
            let (name, actions) = entry.rsplit_once(':').expect("actions");
            let mut actions: Vec<_> = actions.split(',').collect();
            actions.sort_unstable();
            *entry = format!("{name}:{}", actions.join(","));
        }
        assert_eq!(found, expected, "{scopes:?}");
    }
    // Parameters that say nothing about rights do not disturb; `+` is a blank in a query.
    let query = "/v2/token?service=x&client_id=docker&account=bob&scope=repository:team/a:pull+repository:team/b:pull&foo=bar";
    assert_eq!(granted(&token_of(&alice.get(query).await.status(200))), ["team/a:pull", "team/b:pull"]);
}

/// A-16: what is no scope is a bad request, never a server error, and never a token for something else.
#[tokio::test]
async fn a_16_malformed_scopes_are_told() {
    let (_app, alice) = with_alice().await;
    let long = format!("repository:{}:pull", "a".repeat(5000));
    let many = (0..101).map(|number| format!("repository:team/a{number}:pull")).collect::<Vec<_>>().join(" ");
    for scope in [
        "repository",
        ":",
        "::",
        "repository:team/a",
        "Repository:a:pull",
        ":a:pull",
        "repository\u{0}:a:pull",
        &many,
    ] {
        alice.ask_token(&[scope]).await.bad("UNSUPPORTED").no_header("www-authenticate");
    }
    alice.ask_token(&[&long]).await.status(200);
    for service in ["s".repeat(256), "a%0Ab".to_owned(), "a%00b".to_owned()] {
        alice.get(&format!("/v2/token?service={service}")).await.bad("UNSUPPORTED");
    }
    let big_but_fair =
        (0..100).map(|number| format!("repository:team/a{number}:pull,push")).collect::<Vec<_>>().join(" ");
    let answer = alice.ask_token(&[&big_but_fair]).await.status(200);
    assert!(answer.body.len() <= 64 << 10, "A-11: {} bytes", answer.body.len());
    assert_eq!(granted(&token_of(&answer)).len(), 100);
}

/// A-9, T54: wrong credentials are 401 and never an anonymous token; none are an anonymous one.
#[tokio::test]
async fn a_9_wrong_credentials_get_no_token() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    app.user("alice", "a secret 1").await;
    app.namespace("shut", "private").await;
    let anon = app.client();
    let scopes = ["repository:open/app:pull,push,delete", "repository:shut/app:pull", "registry:catalog:*"];
    for wrong in [
        anon.basic("alice", "wrong"),
        anon.basic("nobody", "a secret 1"),
        anon.basic("alice", ""),
        anon.basic("", "a secret 1"),
        anon.with("authorization", "Basic !"),
        anon.with("authorization", "Negotiate x"),
        anon.bearer("abc"),
    ] {
        let refused = wrong.ask_token(&scopes).await.status(401).error("UNAUTHORIZED");
        assert!(refused.json().get("token").is_none(), "{refused:?}");
    }
    for nobody in
        [anon.clone(), anon.with("authorization", "Basic Og=="), anon.with("authorization", "Basic")]
    {
        let answer = nobody.ask_token(&scopes).await.status(200);
        let token = token_of(&answer);
        assert_eq!(claims(&token)["sub"], "");
        assert_eq!(granted(&token), ["open/app:pull", "catalog:*"]);
        assert!(answer.json().get("refresh_token").is_none());
        let offline = nobody.get("/v2/token?offline_token=true").await.status(200);
        assert!(offline.json().get("refresh_token").is_none(), "A-11: nobody has nothing to refresh");
    }
    // A token of ours buys no other: it would never end.
    let token = app.client().basic("alice", "a secret 1").token_for(&[]).await;
    anon.bearer(&token).ask_token(&[]).await.status(401);
}

/// A-10: what is asked for is reduced to what is allowed.
#[tokio::test]
async fn a_10_scopes_are_reduced_and_never_refused() {
    let (app, alice) = with_alice().await;
    for (asked, expected) in [
        ("repository:team/a:pull,push,delete", vec!["team/a:pull,push"]),
        ("repository:team:pull", vec!["team:pull"]),
        ("repository:other/a:pull,push", vec!["other/a:pull"]),
        ("repository:teams/a:pull", vec![]),
        ("repository:third/a:pull,push,delete", vec![]),
        ("repository:team/a:admin", vec![]),
        ("registry:catalog:*", vec!["catalog:*"]),
        ("registry:catalog:pull", vec![]),
        ("registry:other:*", vec![]),
    ] {
        let answer = alice.ask_token(&[asked]).await.status(200);
        assert_eq!(granted(&token_of(&answer)), expected, "{asked}");
        let scope = answer.json()["scope"].as_str().unwrap_or_default().to_owned();
        assert_eq!(scope.is_empty(), expected.is_empty(), "A-13: {scope}");
    }
    // A personal token narrows, a robot's has what it was made for.
    let made = app.token("alice", &["team/a:pull"]).await;
    let both = ["repository:team/a:pull,push", "repository:team/b:pull", "repository:other/x:pull"];
    let narrowed = app.client().basic("alice", &made.secret).token_for(&both).await;
    assert_eq!(granted(&narrowed), ["team/a:pull"]);
    let robot = app.robot("ci", &["team/b/**:pull,push"]).await;
    let asked = ["repository:team/b:pull,push,delete", "repository:team/a:pull"];
    let token = app.client().basic("ci", &robot.secret).token_for(&asked).await;
    assert_eq!(granted(&token), ["team/b:pull,push"]);
    assert_eq!(claims(&token)["sub"], "robot:ci");
}

/// A-11, T54: the answer.
#[tokio::test]
async fn a_11_the_answer_of_the_token_server() {
    let (app, alice) = with_alice().await;
    for path in ["/v2/token", "/token"] {
        let answer = alice.get(&format!("{path}?scope=repository:team/a:pull")).await.status(200);
        let answer = answer.header("cache-control", "no-store").header("content-type", "application/json");
        let said = answer.json();
        assert!(said["token"].is_string() && said["token"] == said["access_token"], "{said}");
        assert_eq!(said["expires_in"], 300);
        assert!(said.get("refresh_token").is_none(), "only when it is asked for");
        let issued = said["issued_at"].as_str().expect("a moment");
        assert!(issued.ends_with('Z') && issued.as_bytes().get(10) == Some(&b'T'), "{issued}");
        alice.head(&format!("{path}?scope=repository:team/a:pull")).await.status(200);
        alice.put(path, "").await.status(405).header("allow", "GET, HEAD, POST");
        alice.delete(path).await.status(405);
    }
    let offline = alice.get("/token?offline_token=true").await.status(200);
    assert!(offline.json()["refresh_token"].as_str().is_some_and(|token| token.starts_with("gtr_")));
    let refused = app.client().basic("alice", "x").get("/v2/token").await.status(401);
    refused.header("cache-control", "no-store");
}

/// A-12, A-13: the form of OAuth 2.
#[tokio::test]
async fn a_12_tokens_by_post() {
    let (app, alice) = with_alice().await;
    let anon = app.client();
    let password = ("password", "open:sesame ü 1");
    let grant = [("grant_type", "password"), ("username", "alice"), password, ("client_id", "test")];
    let with = |more: &[(&'static str, &'static str)]| [&grant[..], more].concat();
    let answer =
        anon.post_token(&with(&[("scope", "repository:team/a:pull,push repository:other/a:push")])).await;
    let answer = answer.status(200).header("cache-control", "no-store");
    let said = answer.json();
    assert_eq!(granted(&token_of(&answer)), ["team/a:pull,push"]);
    assert_eq!(said["access_token"], said["token"]);
    assert_eq!((&said["scope"], &said["expires_in"]), (&json!("repository:team/a:pull,push"), &json!(300)));
    assert!(said["issued_at"].is_string() && said.get("refresh_token").is_none(), "{said}");
    let twice = [("scope", "repository:team/a:pull"), ("scope", "repository:team/b:pull")];
    let repeated = anon.post_token(&with(&twice)).await.status(200);
    assert_eq!(granted(&token_of(&repeated)), ["team/a:pull", "team/b:pull"]);
    let offline = anon.post_token(&with(&[("access_type", "offline")])).await.status(200).json();
    assert!(offline["refresh_token"].is_string(), "{offline}");
    // A charset, and the other address.
    let form = format!("grant_type=password&username=alice&password={}", encoded(password.1));
    let call = anon.post("/token").header("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    call.body(form.clone()).await.status(200);
    // What is no form.
    anon.post("/v2/token").header("content-type", "application/json").body("{}").await.bad("UNSUPPORTED");
    anon.post("/v2/token").body(form).await.bad("UNSUPPORTED");
    for fields in [
        &[][..],
        &[("grant_type", "authorization_code"), ("code", "x")],
        &[("grant_type", "password"), ("username", "alice")],
        &[("grant_type", "refresh_token")],
    ] {
        anon.post_token(fields).await.bad("UNSUPPORTED");
    }
    let long = "x".repeat(70 << 10);
    anon.post_token(&[("grant_type", "password"), ("username", "alice"), ("password", &long)])
        .await
        .bad("UNSUPPORTED");
    alice.get("/v2/").await.status(200);
}

/// A-14, T56: both ways come to the same verdict.
#[tokio::test]
async fn a_14_get_and_post_agree() {
    let (app, _alice) = with_alice().await;
    let made = app.token("alice", &["team/**:pull"]).await;
    let scope = "repository:team/a:pull,push";
    for (name, password) in [
        ("alice", "open:sesame ü 1"),
        ("alice", "wrong"),
        ("bob", "open:sesame ü 1"),
        ("alice", ""),
        ("anything", made.secret.as_str()),
        ("alice", "gty_0000000000000000000000000000000000000000AAAA"),
    ] {
        let got = app.client().basic(name, password).ask_token(&[scope]).await;
        let fields =
            [("grant_type", "password"), ("username", name), ("password", password), ("scope", scope)];
        let posted = app.client().post_token(&fields).await;
        assert_eq!(got.status, posted.status, "{name}");
        if got.status == 200 {
            assert_eq!(granted(&token_of(&got)), granted(&token_of(&posted)), "{name}");
        } else {
            assert_eq!(got.json(), posted.json());
        }
    }
}

/// N-11: a lifetime from one minute to five.
#[tokio::test]
async fn n_11_how_long_tokens_live() {
    for (lifetime, seconds) in [("60s", 60), ("2m", 120), ("300s", 300)] {
        let app = Gantry::options().set("auth.token_lifetime", &format!("{lifetime:?}")).start().await;
        let alice = app.user("alice", "a secret 1").await;
        let answer = alice.ask_token(&[]).await.status(200);
        assert_eq!(answer.json()["expires_in"], seconds);
        let said = claims(&token_of(&answer));
        let time = |name: &str| said[name].as_i64().expect("a time");
        assert_eq!(time("exp") - time("iat"), seconds);
        assert_eq!(time("nbf"), time("iat"));
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let data = dir.path().join("data").display().to_string();
    for lifetime in ["59s", "301s", "0s", "1h", "-1s", "x"] {
        let setting = format!("auth.token_lifetime={lifetime:?}");
        let (status, _, said) =
            run(&["serve", "--listen", "127.0.0.1:0", "--data", &data, "--set", &setting]).await;
        assert!(!status.success() && said.contains("token_lifetime"), "{lifetime}: {said}");
    }
}

/// A-18, A-19, N-11: what is in a token, and the key that it names.
#[tokio::test]
async fn a_19_what_a_token_says() {
    let (app, alice) = with_alice().await;
    let token = alice.token_for(&["repository:team/a:pull,push"]).await;
    let (head, said) = (header(&token), claims(&token));
    assert_eq!(head["typ"], "JWT");
    assert_eq!(head["alg"], "ES256");
    assert_eq!(said["sub"], "alice");
    assert_eq!(said["aud"], app.address().to_string());
    assert_eq!(
        said["access"],
        json!([{ "type": "repository", "name": "team/a", "actions": ["pull", "push"] }])
    );
    assert!(said["jti"].as_str().is_some_and(|id| !id.is_empty()));
    assert_ne!(said["jti"], claims(&alice.token_for(&[]).await)["jti"]);
    let keys = app.client().get("/.well-known/jwks.json").await.status(200);
    let keys = keys.header("content-type", "application/jwk-set+json").json();
    let [key] = keys["keys"].as_array().expect("keys").as_slice() else { panic!("one key: {keys}") };
    assert_eq!((&key["kid"], &key["alg"], &key["use"]), (&head["kid"], &json!("ES256"), &json!("sig")));
    assert!(key.get("d").is_none(), "the private half stays here");
    // RFC 7638
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    let canonical = format!(
        r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{}"}}"#,
        text("crv"),
        text("kty"),
        text("x"),
        text("y")
    );
    let thumbprint = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
    assert_eq!(head["kid"], thumbprint);
    app.client().post("/.well-known/jwks.json").await.status(405).header("allow", "GET, HEAD");
    app.client().head("/.well-known/jwks.json").await.status(200);
}

/// N-12: the key changes again and again, and nobody who pulls meanwhile sees anything of it.
#[tokio::test]
async fn n_12_keys_are_rotated_without_a_failed_request() {
    let (app, alice) = with_alice().await;
    let image = crate::harness::image().build();
    alice.at("team/app").push("v1", &image).await;
    let scope = ["repository:team/app:pull"];
    let first = alice.token_for(&scope).await;
    let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let workers: Vec<_> = (0..3)
        .map(|worker| {
            let (alice, done, image) = (alice.clone(), done.clone(), image.clone());
            tokio::spawn(async move {
                let mut kept = alice.by_token_for(&["repository:team/app:pull"]).await;
                let mut pulls = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    if pulls % 5 == worker {
                        kept = alice.by_token_for(&["repository:team/app:pull"]).await;
                    }
                    kept.at("team/app").has_manifest("v1", &image.manifest).await;
                    pulls += 1;
                }
                pulls
            })
        })
        .collect();
    let kid = |token: &str| header(token)["kid"].as_str().expect("a name").to_owned();
    let mut seen = vec![kid(&first)];
    for _ in 0..10 {
        app.operate("POST", "/api/keys/rotate", Value::Null).await;
        let now = kid(&alice.token_for(&scope).await);
        assert!(!seen.contains(&now), "a new key signs");
        seen.push(now);
        let keys = app.client().get("/.well-known/jwks.json").await.status(200).json();
        let published: Vec<_> = keys["keys"]
            .as_array()
            .expect("keys")
            .iter()
            .map(|key| key["kid"].as_str().expect("a name"))
            .collect();
        assert!(seen.iter().all(|kid| published.contains(&kid.as_str())), "{seen:?} {published:?}");
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    for worker in workers {
        assert!(worker.await.expect("no request failed") > 0);
    }
    app.client().bearer(&first).at("team/app").has_manifest("v1", &image.manifest).await;
}
