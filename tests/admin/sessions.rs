//! Web sessions, and requests that another site makes a browser send.

use serde_json::json;

use super::{PASSWORD, account, audited, with_root};
use crate::harness::{Answer, Client, Gantry};

/// A browser that has logged in: the client with its cookie, and its second secret.
struct Browser {
    with_cookie: Client,
    token: String,
    origin: String,
}

impl Browser {
    /// A change as a page of ours makes it.
    fn own(&self) -> Client {
        self.with_cookie.with("origin", &self.origin).with("x-csrf-token", &self.token)
    }
}

async fn log_in(app: &Gantry, name: &str) -> Browser {
    let body = json!({ "user": name, "password": PASSWORD });
    let answer = app.client().post("/api/session").json(&body).await.status(201);
    let cookie = answer.get("set-cookie").unwrap().to_owned();
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]);
    Browser {
        with_cookie: app.client().with("cookie", cookie.split(';').next().unwrap()),
        token: answer.json()["csrf_token"].as_str().unwrap().to_owned(),
        origin: format!("http://{}", app.address()),
    }
}

#[tokio::test]
async fn admin_a_session_from_login_to_logout() {
    let (app, _root) = with_root().await;
    let browser = log_in(&app, "root").await;
    let told = browser.with_cookie.get("/api/whoami").await.status(200).json();
    assert_eq!(
        (&told["subject"], &told["credential"], &told["admin"]),
        (&json!("root"), &json!("session"), &json!(true))
    );
    let session = browser.with_cookie.get("/api/session").await.status(200).json();
    assert_eq!((&session["csrf_token"], &session["expires"]), (&json!(browser.token), &told["expires"]));
    browser.with_cookie.get("/api/users").await.status(200);
    browser.with_cookie.get("/v2/").await.status(200);
    browser.own().post("/api/users").json(&json!({ "name": "alice" })).await.status(201);
    let ended = browser.own().delete("/api/session").await.status(204);
    assert!(ended.get("set-cookie").unwrap().starts_with("gantry_session=; Path=/; Max-Age=0;"));
    browser.with_cookie.get("/api/users").await.problem(401, "");
    browser.own().delete("/api/session").await.problem(401, "");
    let told: Vec<_> = audited(&app, "session").await.iter().map(|row| row["action"].clone()).collect();
    assert_eq!(told, ["session.end", "session.create"]);
}

/// N-22: a cookie goes along with whatever another site makes a browser ask, so it is never enough for a change.
#[tokio::test]
async fn n_22_a_cookie_is_not_enough_for_a_change() {
    let (app, _root) = with_root().await;
    let browser = log_in(&app, "root").await;
    let (cookie, token, origin) = (&browser.with_cookie, &browser.token, &browser.origin);
    let evil = "https://evil.example";
    let other_token = log_in(&app, "root").await.token;
    let wrong = [
        cookie.clone(),
        cookie.with("x-csrf-token", token),
        cookie.with("origin", origin),
        cookie.with("origin", evil).with("x-csrf-token", token),
        cookie.with("origin", "null").with("x-csrf-token", token),
        cookie.with("origin", origin).with("x-csrf-token", ""),
        cookie.with("origin", origin).with("x-csrf-token", &token[1..]),
        cookie.with("origin", origin).with("x-csrf-token", &other_token),
        cookie.with("origin", &format!("{origin}.evil.example")).with("x-csrf-token", token),
        cookie.with("origin", origin).with("sec-fetch-site", "cross-site").with("x-csrf-token", token),
        cookie.with("origin", origin).with("sec-fetch-site", "same-site").with("x-csrf-token", token),
        cookie.with("sec-fetch-site", "none").with("x-csrf-token", token),
    ];
    for client in wrong {
        client.post("/api/users").json(&json!({ "name": "eve" })).await.problem(403, "cross-site");
        client.delete("/api/session").await.problem(403, "cross-site");
        client.patch("/api/users/root", "").json(&json!({ "admin": false })).await.problem(403, "cross-site");
    }
    // In the registry's own API it changes nothing in any case.
    browser.own().post("/v2/a/blobs/uploads/").await.status(401);
    let here = cookie.with("sec-fetch-site", "same-origin").with("x-csrf-token", token);
    here.post("/api/users").json(&json!({ "name": "alice" })).await.status(201);
    assert_eq!(cookie.get("/api/users").await.status(200).json()["users"].as_array().unwrap().len(), 2);
    assert!(audited(&app, "user.create").await.iter().any(|row| row["result"] == "refused"));
}

#[tokio::test]
async fn admin_logins_that_are_none() {
    let (app, root) = with_root().await;
    account(&app, "alice", json!({ "email": "alice@example.com" })).await;
    let post = |user: &str, password: &str| {
        app.client().post("/api/session").json(&json!({ "user": user, "password": password }))
    };
    let refused = |answer: Answer| {
        let answer = answer.problem(401, "credentials").no_header("set-cookie");
        answer.json()["detail"].clone()
    };
    let words = refused(post("alice", "wrong password").await);
    for (user, password) in [
        ("nobody", PASSWORD),
        ("", ""),
        ("alice:x", PASSWORD),
        ("alice", ""),
        ("anonymous", "x"),
        ("operator", "x"),
    ] {
        assert_eq!(refused(post(user, password).await), words, "known and unknown names look alike: {user}");
    }
    // A token is for programs.
    let token = root.post("/api/tokens").json(&json!({ "name": "t" })).await.status(201).json();
    refused(post("root", token["secret"].as_str().unwrap()).await);
    let evil = post("alice", PASSWORD).header("origin", "https://evil.example").await;
    evil.problem(403, "cross-site").no_header("set-cookie");
    app.client().post("/api/session").header("content-type", "text/plain").body("{}").await.problem(415, "");
    post("alice@example.com", PASSWORD).await.status(201);
    for cookie in ["gantry_session=", "gantry_session=gts_nothing", "gantry_session=\"", "other=1"] {
        app.client().with("cookie", cookie).get("/api/whoami").await.problem(401, "");
    }
    let rows = format!("{:?}", audited(&app, "session").await);
    assert!(
        rows.contains("refused") && !rows.contains("wrong password") && !rows.contains("nobody"),
        "{rows}"
    );
    root.get("/api/session").await.problem(403, "forbidden");
}

/// Over HTTPS the cookie never goes over anything else.
#[tokio::test]
async fn admin_cookies_of_https_are_secure() {
    let authority = crate::harness::tls::Authority::new();
    let app = Gantry::options().tls(&authority).start().await;
    account(&app, "root", json!({ "admin": true })).await;
    let body = json!({ "user": "root", "password": PASSWORD });
    let answer = app.client().post("/api/session").json(&body).await.status(201);
    assert!(answer.get("set-cookie").unwrap().ends_with("; HttpOnly; SameSite=Strict; Secure"));
}
