//! N-23: secrets, shown where they belong and where they do not, are in no log line, audit row, metric, error or process listing.

use base64::Engine as _;
use serde_json::json;

use crate::harness::access::encoded;
use crate::harness::{Alg, Answer, Client, Gantry, image};
use crate::ops::eventually;

const PASSWORD: &str = "correct-horse-battery-1";
const WRONG: &str = "wrong-horse-battery-2";
const LATER: &str = "later-horse-battery-3";

/// What was answered, except what was meant to be: a secret is shown once, when it is made.
#[derive(Default)]
struct Heard(String);

impl Heard {
    async fn hear(&mut self, answer: Answer) -> Answer {
        self.0.push_str(&format!("{:?} {}\n", answer.headers, String::from_utf8_lossy(&answer.body)));
        answer
    }
}

/// Sends a secret as what it is not: in the path, as a repository, a tag, a digest, in the query, in a header, in a body.
async fn misplace(heard: &mut Heard, client: &Client, secret: &str) {
    let digest = Alg::Sha256.unknown();
    let (low, text) = (secret.to_lowercase().replace(['_', '.'], "-"), encoded(secret));
    for path in [
        format!("/{text}"),
        format!("/v2/{text}"),
        format!("/v2/{text}/tags/list"),
        format!("/v2/team/{text}/manifests/v1"),
        format!("/v2/team/a/manifests/{text}"),
        format!("/v2/team/a/blobs/{text}"),
        format!("/v2/team/a/blobs/sha256:{text}"),
        format!("/v2/team/a/blobs/uploads/{text}"),
        format!("/v2/team/a/referrers/{text}"),
        format!("/v2/team/a/tags/list?last={text}&token={text}"),
        format!("/v2/team/a/tags/list?n={text}"),
        format!("/v2/_catalog?last={text}&n={text}"),
        format!("/v2/token?account={text}&scope={text}&password={text}"),
        format!("/v2/token?scope=repository:{text}:pull"),
        format!("/v2/token?service={text}&token={text}"),
        format!("/repositories/{text}/{text}/v2/tags/list"),
        format!("/api/users/{text}"),
        format!("/api/tokens/{text}"),
        format!("/api/{text}"),
        format!("/api/users?after={text}&{text}={text}"),
        format!("/api/explain?subject={text}&action={text}&repository={text}"),
    ] {
        for method in ["GET", "DELETE", "PUT"] {
            // A token that was asked for with a secret as its service or name of an account is an answer like others, in which the client's
            // own words may stand, signed: what counts is what is kept and what is an error.
            let answer = client.call(method, &path).await;
            if answer.status >= 400 {
                heard.hear(answer).await;
            }
        }
    }
    heard.hear(client.post(&format!("/v2/team/a/blobs/uploads/?mount={text}&from={text}")).await).await;
    heard.hear(client.post(&format!("/v2/team/a/blobs/uploads/?mount={digest}&from={text}")).await).await;
    heard.hear(client.post(&format!("/v2/team/a/blobs/uploads/?digest={text}")).body("x").await).await;
    heard.hear(client.put("/v2/team/a/manifests/v1", secret.to_owned()).await).await;
    let document = json!({ "schemaVersion": 2, "mediaType": secret, "config": { "digest": secret } });
    heard.hear(client.put("/v2/team/a/manifests/v1", document.to_string()).await).await;
    for (name, password) in [(secret, "x"), (secret, secret), ("", secret), ("alice", secret)] {
        let anon = client.nobody();
        let wrong = password != PASSWORD && !password.starts_with("gty_");
        let (basic, form) = (
            anon.basic(name, password),
            [("grant_type", "password"), ("username", name), ("password", password)],
        );
        for target in ["/v2/", "/v2/team/a/tags/list", "/v2/token", "/api/whoami"] {
            let answer = basic.get(target).await;
            if wrong {
                heard.hear(answer).await;
            }
        }
        let answer = anon.post_token(&form).await;
        if answer.status >= 400 {
            heard.hear(answer).await;
        }
        let session = anon.post("/api/session").json(&json!({ "user": name, "password": password })).await;
        if session.status >= 400 {
            heard.hear(session).await;
        }
    }
    for body in [
        json!({ "name": secret, "password": "x", "admin": secret }),
        json!({ "name": low, "email": secret }),
        json!({ secret: secret }),
        json!(secret),
    ] {
        for path in ["/api/users", "/api/tokens", "/api/grants", "/api/namespaces"] {
            let answer = client.post(path).json(&body).await;
            if answer.status >= 400 {
                heard.hear(answer).await;
            }
        }
    }
    // The log has the client's name for itself, and its method.
    heard.hear(client.with("user-agent", &format!("agent {secret}")).get("/v2/team/a/tags/list").await).await;
    if !secret.contains('.') {
        heard.hear(client.call(secret, "/v2/").await).await;
    }
    let refresh =
        [("grant_type", "refresh_token"), ("refresh_token", secret), ("service", "elsewhere.example")];
    heard.hear(client.nobody().post_token(&refresh).await.status(401)).await;
    heard
        .hear(
            client
                .nobody()
                .with("cookie", &format!("gantry_session={secret}x"))
                .get("/v2/")
                .await
                .status(401),
        )
        .await;
    let bearer = client.nobody().bearer(&format!("{secret}x"));
    heard.hear(bearer.get("/v2/").await.status(401)).await;
}

#[tokio::test]
async fn n_23_secrets_are_kept_nowhere() {
    let app = Gantry::options().set("log.level", "trace").set("log.format", "json").start().await;
    let root = app.admin("root", "a secret 1").await;
    let alice = app.user("alice", PASSWORD).await;
    app.grant("alice", "push", "team").await;
    let mut heard = Heard::default();
    let personal = app.token("alice", &["team/**:pull,push"]).await.secret;
    let robot = app.robot("ci", &["team/**:pull"]).await.secret;
    let refresh = alice.refresh_token().await;
    let bearer = alice.token_for(&["repository:team/a:pull,push"]).await;
    let (cookie, csrf) = app.client().session("alice", PASSWORD).await;
    let session = cookie.split_once('=').map(|(_, value)| value.to_owned()).expect("a value");

    // Where they belong.
    let good = [
        alice.clone(),
        app.client().basic("any", &personal),
        app.client().bearer(&personal),
        app.client().bearer(&bearer),
        app.client().with("cookie", &cookie),
    ];
    for client in &good {
        for target in [
            "/v2/",
            "/v2/team/a/tags/list",
            "/v2/other/a/tags/list",
            "/v2/_catalog",
            "/api/whoami",
            "/api/users",
        ] {
            heard.hear(client.get(target).await).await;
        }
    }
    alice.at("team/a").push("v1", &image().build()).await;
    heard.hear(app.client().basic("alice", WRONG).get("/v2/").await.status(401)).await;
    let own = format!("http://{}", app.address());
    let change = app.client().with("cookie", &cookie).with("origin", &own).with("x-csrf-token", &csrf);
    let passwords = json!({ "password": LATER, "current_password": WRONG });
    heard.hear(change.call("PATCH", "/api/users/alice").json(&passwords).await).await;

    // Where they do not. A password in the path of a request cannot be told from a path: what can be recognised is.
    let ours = [&personal, &robot, &refresh, &bearer, &session];
    for secret in ours {
        misplace(&mut heard, &alice, secret).await;
        misplace(&mut heard, &root, secret).await;
    }
    for password in [PASSWORD, WRONG] {
        let anon = app.client();
        for name in [password.to_owned(), format!("alice:{password}")] {
            heard.hear(anon.basic(&name, "x").get("/v2/team/a/tags/list").await.status(401)).await;
            heard
                .hear(
                    anon.post_token(&[("grant_type", "password"), ("username", &name), ("password", "x")])
                        .await
                        .status(401),
                )
                .await;
            heard
                .hear(
                    anon.post("/api/session")
                        .json(&json!({ "user": name, "password": "x" }))
                        .await
                        .status(401),
                )
                .await;
        }
        for target in ["/v2/team/a/tags/list", "/v2/", "/v2/token"] {
            let asked = format!("{target}?password={password}&account={password}&n=x");
            let answer = anon.get(&asked).await;
            if answer.status >= 400 {
                heard.hear(answer).await;
            }
        }
        heard.hear(anon.bearer(password).get("/v2/").await.status(401)).await;
        heard.hear(anon.with("authorization", password).get("/v2/").await).await;
        heard
            .hear(anon.with("authorization", &format!("Basic {password}")).get("/v2/").await.status(401))
            .await;
    }
    app.change_user("alice", json!({ "password": LATER })).await;
    heard.hear(alice.get("/v2/").await.status(401)).await;

    // The last request's row is there, and so are those before it.
    let last = app.client().basic("alice", WRONG).get("/v2/").await;
    let id = last.get("x-request-id").expect("an id").to_owned();
    let audit = eventually("the audit log is written", async || {
        let rows = app.audit().await;
        rows.iter().any(|row| row["request_id"] == id.as_str()).then_some(rows)
    })
    .await;
    assert!(audit.len() > 100, "{} rows", audit.len());
    let metrics = app.operator().get("/metrics").await.status(200);
    let listing = std::fs::read(format!("/proc/{}/cmdline", app.pid())).expect("the command line");
    let kept = [
        ("answers", heard.0),
        ("audit", audit.iter().map(|row| format!("{row}\n")).collect()),
        ("metrics", String::from_utf8_lossy(&metrics.body).into_owned()),
        ("log", app.log()),
        ("process listing", String::from_utf8_lossy(&listing).into_owned()),
    ];
    let in_base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mut needles: Vec<String> = [PASSWORD, WRONG, LATER].map(str::to_owned).to_vec();
    needles.extend([PASSWORD, WRONG].map(|password| in_base64(&format!("alice:{password}"))));
    needles.extend(ours.map(|secret| secret.chars().skip(8).take(30).collect()));
    // Of the bearer token the part that lets in.
    needles.push(bearer.rsplit('.').next().map(str::to_owned).expect("a signature"));
    needles.push(csrf);
    needles.extend(["$argon2".to_owned(), "$2b$".to_owned()]);
    let mut found = Vec::new();
    for (place, text) in &kept {
        for needle in &needles {
            if let Some(line) = text.lines().find(|line| line.contains(needle.as_str())) {
                found.push(format!("{place}: {needle}: {}", line.chars().take(600).collect::<String>()));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
