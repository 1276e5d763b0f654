//! Who makes a v1 request: every form of a header that old clients send, tokens, and who has to wait.

use std::time::Duration;

use serde_json::{Value, json};

use super::content::chain;
use super::steps::{Steps, token};
use crate::harness::access::{challenge, claims};
use crate::harness::content::number;
use crate::harness::tls::Authority;
use crate::harness::{Answer, Client, Gantry, Options};

/// What clients send that have no credentials.
const NOBODY: [&str; 8] =
    ["Token", "Token ", "token", "Token Token ", "Token Token", "Basic Og==", "basic Og==", "Basic"];

/// What is no credentials of anybody.
const WRONG: [&str; 12] = [
    "Token x",
    "Token signature=x",
    "Token signature=x,repository=\"a/app\"",
    "Token signature=x,repository=\"a/app\",access=write",
    "Token signature=,repository=\"a/app\",access=write",
    "Token signature=x,repository=\"A\",access=write",
    "Token signature=x,repository=\"a/app\",access=all",
    "Basic nonsense",
    "Basic YWxpY2U6d3Jvbmc=",
    "Bearer x",
    "Digest x",
    "AWS4-HMAC-SHA256 Credential=x",
];

/// Whether a registry may be asked in this way: a push begins.
async fn begin(client: &Client, name: &str) -> Answer {
    client.put(&format!("/v1/repositories/{name}/"), "[]").header("x-docker-token", "true").await
}

/// Whether what a client shows opens a repository for reading.
async fn opens(client: &Client, name: &str) -> Answer {
    client.call("PUT", &format!("/v1/repositories/{name}/auth")).await
}

/// The bearer token that a v1 token is.
fn signature(token: &str) -> &str {
    token.strip_prefix("signature=").and_then(|rest| rest.split(',').next()).expect("a signature")
}

fn closed() -> Options {
    Gantry::options().account("alice", "open:sesame").set("auth.htpasswd.role", "'delete'")
}

#[tokio::test]
async fn v_9_4_on_an_open_registry_no_header_is_wrong() {
    let app = Gantry::shared().await;
    for shown in NOBODY.into_iter().chain(WRONG) {
        let client = app.client().with("authorization", shown);
        client.get("/v1/_ping").await.status(200);
        client.get("/v1/users/").await.status(200);
        let begun = begin(&client, "a/app").await.status(200);
        begun.get("x-docker-token").expect("a token");
        opens(&client, "a/app").await.status(200);
        opens(&client, "another").await.status(200);
    }
    let twice = app.client().with("authorization", "Token x").with("authorization", "Basic Og==");
    begin(&twice, "a/app").await.status(200);
    app.client().put("/v1/repositories/a/app/", "[]").await.status(200).no_header("x-docker-token");
}

/// A token that ended during a push, or was made for another name of this host, does not lead from `foo` to `library/foo`.
#[tokio::test]
async fn v_9_4_on_an_open_registry_a_token_that_is_none_leads_to_the_repository_that_is_there() {
    let app = Gantry::shared().await;
    for space in ["", "library/"] {
        let short = format!("ended{}", number());
        let push = Steps::pushing(&app.client(), &format!("{space}{short}")).await;
        let images = chain(1);
        push.push(&images, "latest").await;
        for said in [short.clone(), format!("library/{short}")] {
            let ended =
                push.with(push.client.nobody().with(
                    "authorization",
                    &format!("Token signature=123abc,repository=\"{said}\",access=read"),
                ));
            assert_eq!(ended.tags().await, json!({ "latest": images[0].id }), "{space} {said}");
            ended.has(&images[0]).await;
        }
    }
}

#[tokio::test]
async fn v_9_4_on_a_closed_registry_what_is_nobody_is_asked_and_what_is_wrong_refused() {
    let app = closed().start().await;
    let host = app.client().authority();
    let refused = |answer: Answer| {
        assert_eq!(challenge(&answer), format!("Basic realm=\"{host}\",Token"), "{answer:?}");
        answer.says(401, "Requires authorization");
    };
    for shown in NOBODY.into_iter().chain(WRONG) {
        let client = app.client().with("authorization", shown);
        client.get("/v1/_ping").await.status(200);
        refused(client.get("/v1/users/").await);
        refused(begin(&client, "a/app").await);
        refused(client.get("/v1/repositories/a/app/images").await);
    }
    let good = "Basic YWxpY2U6b3BlbjpzZXNhbWU=";
    begin(&app.client().with("authorization", good), "a/app").await.status(200);
    let twice = app.client().with("authorization", good).with("authorization", good);
    refused(begin(&twice, "a/app").await);
}

/// Who shows nothing is nobody in particular, who may still do what everybody may.
#[tokio::test]
async fn v_9_4_nobody_in_every_form_reads_what_is_public() {
    let app = closed().set("auth.anonymous", "'read'").start().await;
    app.namespace("private", "private").await;
    for shown in NOBODY {
        let client = app.client().with("authorization", shown);
        opens(&client, "public/app").await.status(200);
        opens(&client, "private/app").await.says(403, "Permission denied");
        begin(&client, "public/app").await.says(401, "Requires authorization");
    }
    // What is wrong is not nobody, also where nobody may read (N-3).
    for shown in WRONG {
        let client = app.client().with("authorization", shown);
        opens(&client, "public/app").await.says(401, "Requires authorization");
    }
}

/// A token lets do what it says, and what that includes.
#[tokio::test]
async fn v_9_3_writing_and_deleting_include_reading_and_not_each_other() {
    let app = closed().start().await;
    let alice = app.client().basic("alice", "open:sesame");
    for (method, path, actions, push, delete) in [
        ("PUT", "a/app/", "pull,push", 200, 401),
        ("PUT", "a/app/images", "pull,push", 200, 401),
        ("DELETE", "a/app/images", "pull,delete", 401, 204),
    ] {
        let issued = token(&alice, method, &format!("/v1/repositories/{path}")).await;
        let said = claims(signature(&issued));
        assert_eq!(said["access"][0]["actions"], json!(actions.split(',').collect::<Vec<_>>()));
        assert_eq!(said["access"][0]["name"], "a/app");
        let client = app.client().v1_token(&issued);
        opens(&client, "a/app").await.status(200);
        begin(&client, "a/app").await.status(push);
        client.delete("/v1/repositories/a/app/images").await.status(delete);
        opens(&client, "a/other").await.says(403, "Permission denied");
        begin(&client, "a/other").await.says(401, "Requires authorization");
    }
}

/// The words around the signature are those that were signed, or it is no token.
#[tokio::test]
async fn v_9_1_tokens_in_every_form_and_no_other() {
    let app = closed().start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let issued = token(&alice, "PUT", "/v1/repositories/app/").await;
    assert!(issued.ends_with(",repository=\"library/app\",access=write"), "{issued}");
    let signed = signature(&issued);
    for (written, status) in [
        (issued.clone(), 200),
        (format!("Token {issued}"), 200),
        (format!("{issued},{issued}"), 200),
        (issued.replace('"', ""), 200),
        (format!("access=write,repository=app,signature={signed}"), 200),
        (issued.replace("library/app", "app"), 200),
        (issued.replace("write", "read"), 401),
        (issued.replace("write", "delete"), 401),
        (issued.replace("library/app", "library/other"), 401),
        (issued.replace("library/app", "a/app"), 401),
        (issued.replace("library/app", ""), 401),
        (format!("signature={signed}"), 401),
        (issued.replace("signature=", "signature=x"), 401),
        (format!("{}x,repository=\"library/app\",access=write", &issued[..issued.len() / 2]), 401),
        (issued.replace(signed, &signed[..signed.len() - 4]), 401),
    ] {
        let client = app.client().v1_token(&written);
        for name in ["app", "library/app"] {
            begin(&client, name).await.status(status);
        }
    }
}

/// Neither API takes the tokens of the other, in any header.
#[tokio::test]
async fn v_9_2_tokens_of_v1_and_v2_are_nothing_to_each_other() {
    let app = closed().start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let issued = token(&alice, "PUT", "/v1/repositories/a/app/").await;
    let signed = signature(&issued);
    app.client().bearer(signed).get("/v2/").await.status(401);
    app.client().bearer(signed).get("/v2/a/app/tags/list").await.status(401);
    app.client().bearer(signed).get("/api/whoami").await.status(401);
    begin(&app.client().bearer(signed), "a/app").await.status(401);
    app.client().basic("alice", signed).get("/v2/").await.status(401);
    app.client()
        .with("cookie", &format!("gantry_session={signed}"))
        .get("/v2/a/app/tags/list")
        .await
        .status(401);
    let host = app.client().authority();
    for service in [String::new(), format!("&service={host}"), format!("&service=v1:{host}")] {
        let path = format!("/v2/token?scope=repository:a/app:pull,push{service}");
        let bearer = alice.get(&path).await.status(200).json()["token"].as_str().expect("a token").to_owned();
        let written = format!("signature={bearer},repository=\"a/app\",access=write");
        begin(&app.client().v1_token(&written), "a/app").await.says(401, "Requires authorization");
    }
    // One of V2 does what it is for by V1 too, and buys no longer life.
    let bearer = alice.by_token_for(&["repository:a/app:pull,push"]).await;
    begin(&bearer, "a/app").await.status(200).no_header("x-docker-token").no_header("set-cookie");
    begin(&bearer, "a/other").await.says(401, "Requires authorization");
    let client = app.client().v1_token(&issued);
    begin(&client, "a/app").await.status(200).no_header("x-docker-token").no_header("set-cookie");
    // Nor a token.
    client.get("/v2/token").await.status(401);
}

/// A token that another name of this server gave is none here.
#[tokio::test]
async fn v_9_2_tokens_are_for_the_host_that_was_asked() {
    let app = closed().start().await;
    let there = app.client().with("host", "registry.example:5000");
    let issued = token(&there.basic("alice", "open:sesame"), "PUT", "/v1/repositories/a/app/").await;
    assert_eq!(claims(signature(&issued))["aud"], "v1:registry.example:5000");
    begin(&there.v1_token(&issued), "a/app").await.status(200);
    begin(&app.client().v1_token(&issued), "a/app").await.says(401, "Requires authorization");
}

/// Keys are changed, the server starts again, and a push goes on.
#[tokio::test]
async fn v_9_2_tokens_outlive_a_rotation_of_keys_and_a_restart() {
    let mut app = closed().set("server.public_url", "'http://registry.example'").start().await;
    let issued = token(&app.client().basic("alice", "open:sesame"), "PUT", "/v1/repositories/a/app/").await;
    let said = claims(signature(&issued));
    assert_eq!(said["exp"].as_i64().zip(said["iat"].as_i64()).map(|(end, begin)| end - begin), Some(3600));
    for _ in 0..2 {
        app.operate("POST", "/api/keys/rotate", Value::Null).await;
        begin(&app.client().v1_token(&issued), "a/app").await.status(200);
    }
    app.restart().await;
    begin(&app.client().v1_token(&issued), "a/app").await.status(200);
}

/// What stands behind a token is looked up each time.
#[tokio::test]
async fn v_9_3_a_token_is_worth_what_its_owner_is() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    let grant = app.grant("alice", "push", "a/**").await;
    let issued = token(&alice, "PUT", "/v1/repositories/a/app/").await;
    let client = app.client().v1_token(&issued);
    begin(&client, "a/app").await.status(200);
    app.ungrant(grant).await;
    begin(&client, "a/app").await.says(404, "Repository not found");
    let grant = app.grant("alice", "pull", "a/**").await;
    begin(&client, "a/app").await.status(403);
    opens(&client, "a/app").await.status(200);
    app.ungrant(grant).await;
    app.grant("alice", "push", "a/**").await;
    begin(&client, "a/app").await.status(200);
    app.change_user("alice", json!({ "disabled": true })).await;
    begin(&client, "a/app").await.says(401, "Requires authorization");
    app.change_user("alice", json!({ "disabled": false })).await;
    begin(&client, "a/app").await.status(200);
    // One who comes after her has her name, and not her tokens.
    app.remove_user("alice").await;
    begin(&client, "a/app").await.says(401, "Requires authorization");
    app.user("alice", "a secret 2").await;
    begin(&client, "a/app").await.says(401, "Requires authorization");

    let robot = app.robot("builder", &["a/**:push"]).await;
    let issued = token(&app.client().basic("x", &robot.secret), "PUT", "/v1/repositories/a/app/").await;
    let client = app.client().v1_token(&issued);
    begin(&client, "a/app").await.status(200);
    app.revoke(&robot).await;
    begin(&client, "a/app").await.says(401, "Requires authorization");
}

/// A name that is taken out of the htpasswd file is nobody's.
#[tokio::test]
async fn v_9_3_tokens_of_the_htpasswd_file_end_with_their_line() {
    let app = closed().account("bob", "a secret 1").start().await;
    let issued = token(&app.client().basic("alice", "open:sesame"), "PUT", "/v1/repositories/a/app/").await;
    let client = app.client().v1_token(&issued);
    begin(&client, "a/app").await.status(200);
    let file = app.dir().join("htpasswd");
    let kept = std::fs::read_to_string(&file).expect("the file");
    let kept: String =
        kept.lines().filter(|line| line.starts_with("bob")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, kept).expect("written");
    crate::ops::eventually("the file is read again", async || {
        (begin(&client, "a/app").await.status == 401).then_some(())
    })
    .await;
}

/// Tokens are for whoever asks for them, and may be nobody's.
#[tokio::test]
async fn v_9_2_tokens_come_when_they_are_asked_for() {
    let app = closed().set("auth.anonymous", "'write'").start().await;
    for value in ["true", "false", "0", "x"] {
        let call = app.client().put("/v1/repositories/a/app/", "[]").header("x-docker-token", value);
        let begun = call.await.status(200);
        let issued = begun.get("x-docker-token").expect("a token").to_owned();
        assert_eq!(claims(signature(&issued))["sub"], "");
        assert_eq!(begun.get("www-authenticate"), Some(&*format!("Token {issued}")));
        assert_eq!(begun.get("cache-control"), Some("no-store"));
        begin(&app.client().v1_token(&issued), "a/app").await.status(200);
        begin(&app.client().v1_token(&issued), "a/other").await.says(401, "Requires authorization");
    }
    for call in [
        app.client().put("/v1/repositories/a/app/", "[]"),
        app.client().put("/v1/repositories/a/app/", "[]").header("x-docker-token", ""),
    ] {
        let begun = call.await.status(200).no_header("x-docker-token").no_header("set-cookie");
        assert_eq!(begun.get("x-docker-endpoints"), Some(&*app.client().authority()));
    }
    // Only the Index gives any.
    for path in ["/v1/_ping", "/v1/users/"] {
        let call = app.client().get(path).header("x-docker-token", "true");
        call.await.no_header("x-docker-token").no_header("set-cookie");
    }
}

/// A cookie is where somebody is at work, who shows a password; a wrong one is none.
#[tokio::test]
async fn v_9_6_a_cookie_is_no_credential_and_never_wrong() {
    let app = closed().start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let begun = begin(&alice, "app").await.status(200);
    let cookie = begun.get("set-cookie").expect("a cookie");
    let (pair, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "Path=/v1/; HttpOnly; SameSite=Strict");
    for pair in [pair, "v1_session=", "v1_session=x", "v1_session=a.b.c"] {
        begin(&alice.with("cookie", pair), "app").await.status(200);
        begin(&alice.with("cookie", pair), "library/app").await.status(200);
        begin(&alice.with("cookie", pair), "a/other").await.status(200);
        begin(&app.client().with("cookie", pair), "app").await.says(401, "Requires authorization");
    }
}

/// N-10: one line of waits, whichever API is asked.
#[tokio::test]
async fn v_9_5_wrong_passwords_wait_as_in_v2() {
    let app = closed().start().await;
    for _ in 0..5 {
        app.client().basic("alice", "wrong").get("/v1/users/").await.status(401);
        begin(&app.client().basic("alice", "wrong"), "a/app").await.status(401);
    }
    for (client, path) in [("wrong", "/v1/users/"), ("open:sesame", "/v1/users/"), ("open:sesame", "/v2/")] {
        let told = app.client().basic("alice", client).get(path).await.status(429);
        let wait: u64 = told.get("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=2).contains(&wait), "{path}: {wait}");
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    app.client().basic("alice", "open:sesame").get("/v1/users/").await.status(200);
}

/// N-24, N-9
#[tokio::test]
async fn v_9_4_requests_are_counted_and_addresses_admitted_as_in_v2() {
    let app = closed()
        .set("server.trusted_proxies", "['127.0.0.1/32']")
        .set("auth.addresses.deny", "['192.0.2.0/24']")
        .start()
        .await;
    let denied = app.client().with("x-forwarded-for", "192.0.2.7");
    for shown in ["Basic YWxpY2U6b3BlbjpzZXNhbWU=", "Token ", "Token x", "Basic Og=="] {
        denied.with("authorization", shown).get("/v1/users/").await.status(403);
    }
    let app = closed().set("limits.requests_per_second", "1").set("limits.burst", "3").start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let issued = token(&alice, "PUT", "/v1/repositories/a/app/").await;
    let counted = begin(&app.client().v1_token(&issued), "a/app").await.status(200);
    assert_eq!(counted.get("ratelimit-limit"), Some("3"));
    let mut last = 200;
    for _ in 0..3 {
        last = begin(&app.client().v1_token(&issued), "a/app").await.status;
    }
    assert_eq!(last, 429);
}

/// N-6: who has a certificate needs no header, and may send one that says nothing.
#[tokio::test]
async fn v_9_4_a_certificate_is_a_login() {
    let (server, clients) = (Authority::new(), Authority::new());
    let dir = tempfile::TempDir::new().expect("a directory");
    let ca = dir.path().join("clients.pem");
    std::fs::write(&ca, clients.pem()).expect("written");
    let app = Gantry::options()
        .tls(&server)
        .set("server.tls.client_ca", &format!("{ca:?}"))
        .set("server.tls.client_certificates", "'optional'")
        .set("auth.client_certificates.user", "'cn'")
        .set("auth.client_certificates.role", "'push'")
        .start()
        .await;
    let builder = app.client().showing(&server, &clients.client("builder"));
    begin(&builder, "a/app").await.status(200);
    for shown in NOBODY {
        begin(&builder.with("authorization", shown), "a/app").await.status(200);
    }
    begin(&builder.with("authorization", "Token x"), "a/app").await.says(401, "Requires authorization");
    begin(&app.client(), "a/app").await.says(401, "Requires authorization");
    let begun = begin(&builder, "a/app").await;
    let issued = begun.get("x-docker-token").expect("a token").to_owned();
    assert!(begun.get("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")));
    assert_eq!(claims(signature(&issued))["sub"], "cert:builder");
    begin(&app.client().v1_token(&issued), "a/app").await.status(200);
}

/// What is refused stands in the log of what was done, and in the numbers, without any secret.
#[tokio::test]
async fn v_9_4_refusals_are_told_without_the_token() {
    let app = closed().start().await;
    let alice = app.client().basic("alice", "open:sesame");
    let issued = token(&alice, "PUT", "/v1/repositories/a/app/").await;
    let changed = issued.replace("signature=ey", "signature=ez");
    begin(&app.client().v1_token(&changed), "a/app").await.status(401);
    let rows = app.audit().await;
    let row = rows.iter().find(|row| row["result"] == "refused").expect("a row");
    assert_eq!(row["repository"], "a/app");
    let text = serde_json::to_string(&rows).expect("JSON");
    assert!(!text.contains(signature(&issued)) && !text.contains(signature(&changed)));
    assert!(!app.log().contains(signature(&issued)));
    assert!(app.metric("gantry_auth_logins_total{method=\"v1_token\",result=\"refused\"}").await >= 1);
    assert!(app.metric("gantry_auth_tokens_issued_total{kind=\"v1\"}").await >= 1);
}
