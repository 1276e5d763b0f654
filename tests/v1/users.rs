//! Logins and accounts as v1 clients ask for them.

use serde_json::{Value, json};

use super::docker::{Docker, Version};
use super::steps::token;
use crate::harness::access::encoded;
use crate::harness::{Answer, Client, Gantry, Options};

/// What `docker login` compares, letter for letter.
const TAKEN: &[u8] = b"\"Username or email already exists\"";

async fn sign_up(client: &Client, name: &str, password: &str, email: &str) -> Answer {
    let body = json!({ "username": name, "password": password, "email": email, "auth": "" });
    client.post("/v1/users/").json(&body).await
}

async fn login(client: &Client, name: &str, password: &str) -> Answer {
    client.nobody().basic(name, password).get("/v1/users/").await
}

/// A server with an account, on which accounts are for all.
fn for_all() -> Options {
    Gantry::options().set("v1.sign_up", "true").account("root", "open:sesame")
}

#[tokio::test]
async fn v_9_5_a_login_is_good_or_wrong_or_of_an_account_that_is_switched_off() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    for path in ["/v1/users/", "/v1/users"] {
        alice.get(path).await.status(200).body(b"\"OK\"");
        alice.head(path).await.status(200);
        app.client().get(path).await.says(401, "Requires authorization");
    }
    login(&app.client(), "alice", "wrong").await.says(401, "Requires authorization");
    login(&app.client(), "nobody", "a secret 1").await.says(401, "Requires authorization");
    let personal = app.token("alice", &[]).await;
    let robot = app.robot("builder", &["a/**:pull"]).await;
    for secret in [&personal.secret, &robot.secret] {
        login(&app.client(), "anything", secret).await.status(200);
    }
    let challenge = app.client().get("/v1/users/").await;
    let host = app.client().authority();
    assert_eq!(challenge.get("www-authenticate"), Some(&*format!("Basic realm=\"{host}\",Token")));

    app.change_user("alice", json!({ "disabled": true })).await;
    alice.get("/v1/users/").await.says(403, "Account is not active");
    login(&app.client(), "alice", "wrong").await.says(401, "Requires authorization");
    login(&app.client(), "x", &personal.secret).await.says(401, "Requires authorization");
    // V2 does not tell.
    alice.get("/v2/").await.status(401).error("UNAUTHORIZED");
}

#[tokio::test]
async fn v_9_5_where_nobody_can_log_in_everybody_can() {
    let app = Gantry::options().set("v1.sign_up", "true").start().await;
    sign_up(&app.client(), "alice", "x", "").await.status(201).body(b"\"User Created\"");
    app.client().post("/v1/users/").body("nonsense").await.status(201);
    login(&app.client(), "alice", "anything").await.status(200).body(b"\"OK\"");
    app.client().get("/v1/users/").await.status(200);
    for version in Version::ALL {
        Docker::new(version, &app.client(), false).login("bob", "x").await.expect("a login");
    }
    // None of them has an account now: the registry would no longer be open.
    let users = app.operator_api().get("/api/users").await.status(200).json();
    assert_eq!(users["users"].as_array().map(Vec::len), Some(0));
    app.client().get("/v2/").await.status(200);
    let change = app.client().put("/v1/users/alice/", r#"{"password":"another one"}"#);
    change.await.says(404, "User not found");
}

#[tokio::test]
async fn v_9_5_without_sign_up_the_question_for_an_account_is_answered_401() {
    let app = Gantry::options().account("alice", "open:sesame").start().await;
    sign_up(&app.client(), "new", "a secret 1", "new@example.com").await.says(401, "Requires authorization");
    for body in ["", "nonsense", "{}"] {
        app.client().post("/v1/users/").body(body).await.says(401, "Requires authorization");
    }
    for version in Version::ALL {
        let docker = Docker::new(version, &app.client(), false);
        assert_eq!(docker.login("alice", "open:sesame").await, Ok("Login Succeeded"));
        docker.login("alice", "wrong").await.expect_err("a wrong password");
        docker.login("new", "a secret 1").await.expect_err("no account");
    }
    let users = app.operator_api().get("/api/users").await.status(200).json();
    assert_eq!(users["users"].as_array().map(Vec::len), Some(0));
}

#[tokio::test]
async fn v_9_5_whoever_signs_up_has_an_account_and_no_right() {
    let app = for_all().start().await;
    let made = sign_up(&app.client(), "alice", "a secret 1", "alice@example.com").await;
    made.status(201).body(b"\"User Created\"");
    for name in ["alice", "alice@example.com"] {
        login(&app.client(), name, "a secret 1").await.status(200);
    }
    let alice = app.client().basic("alice", "a secret 1");
    alice.put("/v1/repositories/a/app/", "[]").await.says(404, "Repository not found");
    assert!(alice.get("/v2/_catalog").await.status(200).list("repositories").is_empty());
    alice.get("/api/users").await.status(403);
    let shown = app.operator_api().get("/api/users/alice").await.status(200).json();
    assert_eq!((&shown["email"], &shown["admin"]), (&json!("alice@example.com"), &json!(false)));

    let row = app.audit().await.into_iter().find(|row| row["action"] == "user.create").expect("a row");
    let said = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        [said("object"), said("subject"), said("reason"), said("address"), said("result")],
        ["alice", "", "sign-up", "127.0.0.1", "allowed"]
    );
    assert!(!said("request_id").is_empty());

    // With a real client, which then has one, and logs in by it the next time.
    let docker = Docker::new(Version::D1_6, &app.client(), false);
    assert!(docker.login("carol", "a secret 1").await.expect("an account").starts_with("Account created"));
    assert_eq!(docker.login("carol", "a secret 1").await, Ok("Login Succeeded"));
    docker.login("carol", "a secret 2").await.expect_err("a wrong password");
    // Who is in the htpasswd file logs in too.
    assert_eq!(docker.login("root", "open:sesame").await, Ok("Login Succeeded"));
}

/// Nobody signs up as somebody whom another part of the registry knows, or for whom rights wait.
#[tokio::test]
async fn v_9_5_names_that_are_somebodys_are_taken() {
    let app = for_all().start().await;
    app.user("bob", "a secret 1").await;
    app.change_user("bob", json!({ "email": "bob@example.com" })).await;
    app.grant("later", "push", "a/**").await;
    app.grant("ldap:directed", "push", "a/**").await;
    for (name, email) in [
        ("bob", ""),
        ("BOB", "x@example.com"),
        ("bob@example.com", ""),
        ("new", "bob@example.com"),
        ("new", "Bob@Example.com"),
        ("root", ""),
        ("Root", ""),
        ("later", ""),
        ("LATER", ""),
        ("directed", ""),
    ] {
        sign_up(&app.client(), name, "a secret 1", email).await.status(400).body(TAKEN);
    }
    login(&app.client(), "root", "open:sesame").await.status(200);
    login(&app.client(), "later", "a secret 1").await.status(401);
}

#[tokio::test]
async fn v_9_5_accounts_that_cannot_be() {
    let app = for_all().start().await;
    let client = app.client();
    let good = json!({ "username": "alice", "password": "a secret 1", "email": "a@example.com", "auth": "" });
    let with = |member: &str, value: Value| {
        let mut body = good.clone();
        body[member] = value;
        body.to_string()
    };
    for body in ["", "nonsense", "{", "\u{1}", "{\"username\":\"alice\""] {
        client.post("/v1/users/").body(body).await.says(400, "Error Decoding JSON");
    }
    for body in [
        "[]",
        "\"alice\"",
        "{}",
        "null",
        r#"{"username":"alice"}"#,
        &with("username", json!(7)),
        &with("password", json!(null)),
        &with("email", json!([])),
    ] {
        client.post("/v1/users/").body(body.to_owned()).await.says(400, "Invalid data");
    }
    let huge = "x".repeat(256);
    for name in ["", " ", "a b", "a:b", "-a", "a/b", "a*", "anonymous", "Operator", "<b>", "a\u{200b}", &huge]
    {
        let body = with("username", json!(name));
        client.post("/v1/users/").body(body).await.says(400, "Invalid username");
    }
    for email in ["a", "@b", "a@b@c", "a b@c", "a@\n"] {
        let body = with("email", json!(email));
        client.post("/v1/users/").body(body).await.says(400, "Invalid email");
    }
    for password in ["short", &"x".repeat(1025), "gty_something", "line\nfeed!"] {
        let told = client.post("/v1/users/").body(with("password", json!(password))).await.status(400);
        assert!(told.json()["error"].as_str().is_some_and(|text| text.contains("password")), "{told:?}");
    }
    let long = client.post("/v1/users/").body(with("auth", json!("x".repeat(1 << 20)))).await;
    long.status(413);
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(1000));
    client.post("/v1/users/").body(deep).await.status(400);
    let users = app.operator_api().get("/api/users").await.status(200).json();
    assert_eq!(users["users"].as_array().map(Vec::len), Some(0));
}

/// A flood of accounts ends after a few; logins go on beside it.
#[tokio::test]
async fn v_9_5_one_address_makes_few_accounts() {
    let app = for_all().set("server.trusted_proxies", "['127.0.0.1/32']").start().await;
    let at = |address: &str| app.client().with("x-forwarded-for", address);
    // What is refused for its form, or exists, does not count.
    for _ in 0..5 {
        sign_up(&at("192.0.2.1"), "root", "a secret 1", "").await.status(400);
        sign_up(&at("192.0.2.1"), "a b", "a secret 1", "").await.status(400);
    }
    for number in 0..5 {
        sign_up(&at("192.0.2.1"), &format!("user{number}"), "a secret 1", "").await.status(201);
    }
    let told = sign_up(&at("192.0.2.1"), "user5", "a secret 1", "").await.status(429);
    let wait: u64 = told.get("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=601).contains(&wait), "{wait}");
    login(&at("192.0.2.1"), "user0", "a secret 1").await.status(200);
    sign_up(&at("192.0.2.2"), "user5", "a secret 1", "").await.status(201);
}

/// Who has an account here is not found out by a list of names; a login from the same place is as good as before.
#[tokio::test]
async fn v_9_5_one_address_learns_few_names() {
    let app = for_all().start().await;
    let mut told = Vec::new();
    for _ in 0..40 {
        told.push(sign_up(&app.client(), "root", "a secret 1", "").await.status);
    }
    assert_eq!(&told[..30], [400; 30]);
    assert_eq!(&told[35..], [401; 5]);
    login(&app.client(), "root", "open:sesame").await.status(200);
}

#[tokio::test]
async fn v_6_16_users_change_their_own_password_and_address_only() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.user("bob", "a secret 1").await;
    app.change_user("bob", json!({ "email": "bob@example.com" })).await;
    app.grant("alice", "push", "a/**").await;
    let issued = token(&alice, "PUT", "/v1/repositories/a/app/").await;
    let by_token = app.client().v1_token(&issued);
    by_token.call("PUT", "/v1/repositories/a/app/auth").await.status(200);
    let put = async |client: &Client, name: &str, body: &str| {
        client.put(&format!("/v1/users/{name}/"), body.to_owned()).await
    };

    put(&alice, "alice", r#"{"email":"alice@example.com"}"#).await.status(204);
    login(&app.client(), "alice@example.com", "a secret 1").await.status(200);
    put(&alice, "alice", r#"{"email":"alice@example.com"}"#).await.status(204);
    put(&alice, "alice", r#"{"email":"bob@example.com"}"#).await.status(400).body(TAKEN);
    put(&alice, "alice", r#"{"email":"Bob"}"#).await.says(400, "Invalid email");
    put(&alice, "alice", r#"{"password":"short"}"#).await.status(400);
    put(&alice, "alice", "{}").await.says(400, "Invalid data");
    put(&alice, "alice", "nonsense").await.says(400, "Error Decoding JSON");

    put(&app.client(), "alice", "{}").await.says(401, "Requires authorization");
    let personal = app.token("alice", &[]).await;
    let by_personal = app.client().basic("x", &personal.secret);
    let others = [(&alice, "bob"), (&alice, "nobody"), (&by_personal, "alice"), (&by_token, "alice")];
    for (client, name) in others {
        put(client, name, r#"{"password":"a secret 2"}"#).await.status(403);
    }
    login(&app.client(), "bob", "a secret 1").await.status(200);

    // Passwords are dated, tokens by the second: the new password comes a second later.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    put(&alice, "alice", r#"{"password":"a secret 2"}"#).await.status(204);
    login(&app.client(), "alice", "a secret 1").await.status(401);
    login(&app.client(), "alice", "a secret 2").await.status(200);
    by_token.call("PUT", "/v1/repositories/a/app/auth").await.says(401, "Requires authorization");
    let rows = app.audit().await;
    let rows: Vec<_> =
        rows.iter().filter(|row| row["action"] == "user.change" && row["subject"] == "alice").collect();
    let allowed: Vec<_> =
        rows.iter().filter(|row| row["result"] == "allowed").map(|row| row["reason"].clone()).collect();
    assert_eq!(allowed, ["password", "email", "email"]);
}

/// Names in paths are percent-encoded.
#[tokio::test]
async fn v_6_16_users_with_odd_names_change_their_own_password() {
    let app = Gantry::start().await;
    for name in ["jörg", "名前", "a@example.com", "a+b"] {
        let client = app.user(name, "a secret 1").await;
        let path = format!("/v1/users/{}/", encoded(name));
        client.put(&path, r#"{"password":"a secret 2"}"#).await.status(204);
        login(&app.client(), name, "a secret 2").await.status(200);
    }
}
