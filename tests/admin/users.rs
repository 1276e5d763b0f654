//! Accounts.

use serde_json::json;

use super::{PASSWORD, account, audited, with_root};
use crate::harness::Gantry;

#[tokio::test]
async fn admin_an_account_from_its_making_to_its_end() {
    let (app, root) = with_root().await;
    let body =
        json!({ "name": "alice", "email": "alice@example.com", "password": PASSWORD, "groups": ["dev"] });
    let made = root.post("/api/users").json(&body).await.status(201).header("location", "/api/users/alice");
    let user = made.json();
    assert_eq!(
        (&user["name"], &user["email"], &user["admin"], &user["disabled"], &user["groups"]),
        (&json!("alice"), &json!("alice@example.com"), &json!(false), &json!(false), &json!(["dev"]))
    );
    assert!(user["created"].as_str().unwrap().ends_with('Z') && user["password_changed"].is_string());
    assert!(!made.json().to_string().contains("argon2"));
    let alice = app.client().basic("alice", PASSWORD);
    alice.get("/v2/").await.status(200);
    app.client().basic("alice@example.com", PASSWORD).get("/v2/").await.status(200);
    assert_eq!(alice.get("/api/users/alice").await.status(200).json(), user);
    root.head("/api/users/alice").await.status(200).body(b"");

    let change = json!({ "disabled": true, "email": null });
    let changed = root.patch("/api/users/alice", "").json(&change).await.status(200).json();
    assert_eq!((&changed["disabled"], &changed["email"]), (&json!(true), &json!(null)));
    alice.get("/v2/").await.status(401);
    alice.get("/api/whoami").await.problem(401, "credentials");
    root.patch("/api/users/alice", "").json(&json!({ "disabled": false })).await.status(200);
    alice.get("/v2/").await.status(200);

    root.delete("/api/users/alice").await.status(204);
    alice.get("/v2/").await.status(401);
    root.get("/api/users/alice").await.problem(404, "");
    root.delete("/api/users/alice").await.problem(404, "");
    root.patch("/api/users/alice", "").json(&json!({ "disabled": true })).await.problem(404, "");
    let told: Vec<_> = audited(&app, "user").await.iter().map(|row| row["action"].clone()).collect();
    assert_eq!(
        told,
        ["user.remove", "user.change", "user.change", "user.create", "user.create"],
        "newest first"
    );
}

#[tokio::test]
async fn admin_accounts_come_in_pages() {
    let (_app, root) = with_root().await;
    for name in ["a", "b", "c", "d"] {
        root.post("/api/users").json(&json!({ "name": name })).await.status(201);
    }
    let mut target = "/api/users?n=2".to_owned();
    let mut names = Vec::new();
    loop {
        let page = root.get(&target).await.status(200);
        let users = page.json()["users"].as_array().unwrap().clone();
        names.extend(users.iter().map(|user| user["name"].as_str().unwrap().to_owned()));
        let Some(link) = page.get("link") else {
            assert!(page.json()["next"].is_null());
            break;
        };
        target = link.trim_start_matches('<').trim_end_matches(">; rel=\"next\"").to_owned();
        assert_eq!(target, format!("/api/users?n=2&after={}", page.json()["next"].as_str().unwrap()));
    }
    assert_eq!(names, ["a", "b", "c", "d", "root"]);
    for n in ["0", "1001", "-1", "x", "1&n=2"] {
        root.get(&format!("/api/users?n={n}")).await.problem(400, "invalid");
    }
}

#[tokio::test]
async fn admin_accounts_that_cannot_be() {
    let (app, root) = with_root().await;
    for name in [
        "",
        " ",
        "a b",
        "a:b",
        "group:x",
        "anonymous",
        "operator",
        "<b>x</b>",
        "a/b",
        "a' OR '1'='1",
        "gty_abc",
        "\u{0}",
        "a\"b",
    ] {
        root.post("/api/users").json(&json!({ "name": name })).await.problem(400, "invalid");
    }
    for (member, value) in [
        ("email", json!("nobody")),
        ("email", json!("<script>@x")),
        ("password", json!("short")),
        ("password", json!("x".repeat(1025))),
        ("password", json!(12345678)),
        ("groups", json!([""])),
        ("groups", json!("dev")),
        ("admin", json!("yes")),
        ("nonsense", json!(1)),
    ] {
        let answer = root
            .post("/api/users")
            .json(&json!({ "name": "x", member: value }))
            .await
            .problem(400, "invalid");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(!detail.contains("12345678") && !detail.contains("script"), "{detail}");
        assert!(member != "nonsense" || detail.contains("`nonsense`"), "{detail}");
    }
    account(&app, "alice", json!({ "email": "alice@example.com" })).await;
    root.post("/api/users").json(&json!({ "name": "alice" })).await.problem(409, "exists");
    root.post("/api/users")
        .json(&json!({ "name": "bob", "email": "ALICE@example.com" }))
        .await
        .problem(409, "exists");
    root.patch("/api/users/root", "")
        .json(&json!({ "email": "alice@example.com" }))
        .await
        .problem(409, "exists");
}

#[tokio::test]
async fn admin_one_changes_ones_own_password_and_nothing_else() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    let me = "/api/users/alice";
    let new = "another horse 2";
    alice.patch(me, "").json(&json!({ "password": new })).await.problem(400, "invalid");
    alice
        .patch(me, "")
        .json(&json!({ "password": new, "current_password": "wrong horse" }))
        .await
        .problem(403, "forbidden");
    alice.get("/v2/").await.status(200);
    alice.patch(me, "").json(&json!({ "password": new, "current_password": PASSWORD })).await.status(200);
    alice.get("/v2/").await.status(401);
    let alice = app.client().basic("alice", new);
    alice.get("/v2/").await.status(200);
    // CVE-2019-16097: what one sends about oneself made one an admin.
    for change in [
        json!({ "admin": true }),
        json!({ "admin": true, "password": PASSWORD, "current_password": new }),
        json!({ "groups": ["admins"] }),
        json!({ "email": "root@example.com" }),
        json!({ "disabled": false }),
    ] {
        alice.patch(me, "").json(&change).await.problem(403, "forbidden");
    }
    alice.patch("/api/users/root", "").json(&json!({ "password": PASSWORD })).await.problem(403, "forbidden");
    alice.post("/api/users").json(&json!({ "name": "eve", "admin": true })).await.problem(403, "forbidden");
    let user = root.get(me).await.status(200).json();
    assert_eq!((&user["admin"], &user["groups"], &user["email"]), (&json!(false), &json!([]), &json!(null)));
    let refused = audited(&app, "user.change").await;
    assert!(
        refused.iter().filter(|row| row["result"] == "refused" && row["subject"] == "alice").count() >= 6
    );
    // Whoever is no server admin learns nothing of who is there.
    alice.get("/api/users/root").await.problem(403, "forbidden");
    alice.get("/api/users/nobody").await.problem(403, "forbidden");
    alice.get("/api/users").await.problem(403, "forbidden");
}

/// N-1
#[tokio::test]
async fn n_1_the_last_admin_stays() {
    let (app, root) = with_root().await;
    root.delete("/api/users/root").await.problem(409, "last-admin");
    for change in [json!({ "admin": false }), json!({ "disabled": true })] {
        root.patch("/api/users/root", "").json(&change).await.problem(409, "last-admin");
    }
    let second = account(&app, "second", json!({ "admin": true })).await;
    let (one, other) = tokio::join!(root.delete("/api/users/second"), second.delete("/api/users/root"));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert!(statuses[0] == 204 && [401, 409].contains(&statuses[1]), "{statuses:?}");
    assert_eq!(app.operator_api().get("/api/users").await.json()["users"].as_array().unwrap().len(), 1);
}

/// N-13: what one is logged in by ends with the password, and when an admin says so.
#[tokio::test]
async fn n_13_logins_end_with_the_password() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    let login = json!({ "user": "alice", "password": PASSWORD });
    let cookie = async || {
        let answer = app.client().post("/api/session").json(&login).await.status(201);
        answer.get("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let with = |cookie: &str| app.client().with("cookie", cookie);
    let (one, two) = (cookie().await, cookie().await);
    with(&one).get("/api/whoami").await.status(200);
    assert_eq!(alice.delete("/api/users/alice/logins").await.status(200).json(), json!({ "ended": 2 }));
    with(&one).get("/api/whoami").await.status(401);
    with(&two).get("/api/whoami").await.status(401);
    let three = cookie().await;
    with(&three).get("/api/whoami").await.status(200);
    root.patch("/api/users/alice", "").json(&json!({ "password": "another horse 2" })).await.status(200);
    with(&three).get("/api/whoami").await.status(401);
    alice.delete("/api/users/root/logins").await.status(401);
    root.delete("/api/users/nobody-there/logins").await.status(200);
}

/// The first account ends that everybody may do everything; before it the API answers nobody.
#[tokio::test]
async fn admin_an_open_registry_answers_nobody_who_administers() {
    let app = Gantry::start().await;
    app.client().get("/v2/").await.status(200);
    for path in ["/api/users", "/api/whoami", "/api/nothing", "/api/"] {
        app.client().get(path).await.problem(401, "").header("www-authenticate", "Basic realm=\"Gantry\"");
    }
    app.client()
        .with("sec-fetch-mode", "cors")
        .get("/api/users")
        .await
        .status(401)
        .no_header("www-authenticate");
    app.client().basic("operator", "x").get("/api/users").await.status(401);
    let body = json!({ "name": "eve", "admin": true, "password": PASSWORD });
    app.client().post("/api/users").json(&body).await.problem(401, "");
    let root = account(&app, "root", json!({ "admin": true })).await;
    app.client().get("/v2/").await.status(401);
    root.get("/v2/").await.status(200);
    root.get("/api/users").await.status(200);
}

#[tokio::test]
async fn admin_bodies_are_bounded_and_of_json() {
    let (_app, root) = with_root().await;
    let post = || root.post("/api/users");
    post().body("{}").await.problem(415, "");
    post().header("content-type", "text/plain").body("{}").await.problem(415, "");
    post()
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body("{}")
        .await
        .problem(415, "");
    let json_text =
        |body: String| post().header("content-type", "application/json; charset=utf-8").body(body);
    json_text(String::new()).await.problem(400, "invalid");
    json_text("{".to_owned()).await.problem(400, "invalid");
    json_text("[]".to_owned()).await.problem(400, "invalid");
    // As a list of the members in some order it would be taken, if nobody minded.
    json_text(r#"["alice",null,null,true,[]]"#.to_owned()).await.problem(400, "invalid");
    root.patch("/api/users/root", "").json(&json!([null, null])).await.problem(400, "invalid");
    json_text("[".repeat(60_000)).await.problem(400, "invalid");
    json_text(format!("{}1{}", r#"{"name":"#.repeat(7000), "}".repeat(7000))).await.problem(400, "invalid");
    json_text(r#"{"name":"a","name":"b"}"#.to_owned()).await.problem(400, "invalid");
    json_text(format!(r#"{{"name":"{}"}}"#, "a".repeat(70_000))).await.problem(413, "");
    json_text("x".repeat(10 << 20)).await.problem(413, "");
    post().header("content-type", "application/json").chunked(vec![b' '; 1 << 20]).await.problem(413, "");
    root.call("PUT", "/api/users").await.problem(405, "").header("allow", "GET, HEAD, POST");
    root.call("OPTIONS", "/api/users").await.problem(405, "");
    root.get("/api/nothing").await.problem(404, "");
    root.get("/api/users/%zz").await.problem(404, "");
    root.get("/api/users/..%2f..%2fetc").await.problem(404, "");
    assert_eq!(root.get("/api/users").await.json()["users"].as_array().unwrap().len(), 1);
}
