//! Every route of the OpenAPI document for every kind of caller. A route that is not in the table here fails the test.

use std::time::Duration;

use serde_json::{Value, json};

use super::{account, grant, with_root};
use crate::harness::{Answer, Client, Gantry};

/// The columns, and what each may: `.` is refused, `+` is not.
const CALLERS: [&str; 11] = [
    "anonymous",
    "expired",
    "revoked",
    "reader",
    "writer",
    "deleter",
    "admin of the namespace",
    "admin of another namespace",
    "robot",
    "token of the server admin",
    "server admin",
];

struct Actors {
    app: Gantry,
    callers: Vec<Client>,
}

async fn actors() -> Actors {
    let (app, root) = with_root().await;
    let mut callers = vec![app.client()];
    let token = async |body: Value| {
        let made = root.post("/api/tokens").json(&body).await.status(201);
        let secret = made.json()["secret"].as_str().unwrap().to_owned();
        (app.client().basic("token", &secret), made.location())
    };
    let (expired, _) = token(json!({ "name": "expired", "expires": "100ms" })).await;
    let (revoked, path) = token(json!({ "name": "revoked" })).await;
    root.delete(&path).await.status(204);
    callers.extend([expired, revoked]);
    for (name, role, pattern) in [
        ("reader", "pull", "team"),
        ("writer", "push", "team"),
        ("deleter", "delete", "**"),
        ("chief", "admin", "team"),
        ("other", "admin", "other"),
    ] {
        callers.push(account(&app, name, json!({})).await);
        grant(&app, name, role, pattern).await;
    }
    callers.push(token(json!({ "name": "r", "robot": "r", "scopes": ["**:*"] })).await.0);
    callers.push(token(json!({ "name": "all" })).await.0);
    callers.push(root.clone());
    root.post("/api/namespaces").json(&json!({ "prefix": "team" })).await.status(201);
    tokio::time::sleep(Duration::from_millis(200)).await;
    Actors { app, callers }
}

/// Asks for a route as this caller, about something of the reader's or in `team`, and in a way that changes nothing another row needs.
async fn ask(app: &Gantry, caller: &Client, method: &str, path: &str) -> Answer {
    let operator = app.operator_api();
    let send = async |path: &str, body: Option<Value>| {
        let call = caller.call(method, path);
        match body {
            Some(body) => call.json(&body).await,
            None => call.await,
        }
    };
    let reader_token = async || {
        let body = json!({ "name": "t", "owner": "reader" });
        operator.post("/api/tokens").json(&body).await.status(201).location()
    };
    match (method, path) {
        ("POST", "/api/session") => {
            send(path, Some(json!({ "user": "root", "password": super::PASSWORD }))).await
        }
        ("POST", "/api/users") => send(path, Some(json!({ "name": "a b" }))).await,
        ("GET", "/api/users/{name}") => send("/api/users/reader", None).await,
        ("PATCH", "/api/users/{name}") => send("/api/users/reader", Some(json!({}))).await,
        ("DELETE", "/api/users/{name}") => send("/api/users/nobody", None).await,
        ("DELETE", "/api/users/{name}/logins") => send("/api/users/reader/logins", None).await,
        ("POST", "/api/tokens") => {
            send(path, Some(json!({ "name": "x", "robot": "ci", "scopes": ["team/app:pull"] }))).await
        }
        ("GET" | "DELETE", "/api/tokens/{id}") => send(&reader_token().await, None).await,
        ("POST", "/api/grants") => {
            let body = json!({ "subject": "zoe", "role": "pull", "pattern": "team/app" });
            let answer = send(path, Some(body)).await;
            if answer.status == 201 {
                operator.delete(&format!("/api/grants/{}", answer.json()["id"])).await.status(204);
            }
            answer
        }
        ("DELETE", "/api/grants/{id}") => {
            let id = grant(app, "yves", "pull", "team").await;
            let answer = send(&format!("/api/grants/{id}"), None).await;
            operator.delete(&format!("/api/grants/{id}")).await.status_in(&[204, 404]);
            answer
        }
        ("POST", "/api/namespaces") => send(path, Some(json!({ "prefix": "team" }))).await,
        ("GET", "/api/namespaces/{prefix}") => send("/api/namespaces/team", None).await,
        ("PATCH", "/api/namespaces/{prefix}") => send("/api/namespaces/team", Some(json!({}))).await,
        ("DELETE", "/api/namespaces/{prefix}") => send("/api/namespaces/nothing", None).await,
        ("POST", "/api/storages/{name}/check") => send("/api/storages/default/check", None).await,
        ("GET", "/api/jobs/{id}") => send("/api/jobs/1", None).await,
        ("GET", "/api/explain") => {
            send("/api/explain?subject=reader&action=pull&repository=team/app", None).await
        }
        _ => send(path, None).await,
    }
}

/// Who may: nobody, expired, revoked | reader, writer, deleter | chief, other | robot, token | root.
fn expected(method: &str, path: &str) -> &'static str {
    match (method, path) {
        ("GET", "/api/openapi.json") => "+.. +++ ++ ++ +",
        // Whoever shows something is asked who they are, and the body shows something better.
        ("POST", "/api/session") => "+.. +++ ++ ++ +",
        ("GET", "/api/whoami") => "... +++ ++ ++ +",
        ("GET" | "DELETE", "/api/session") => "... ... .. .. .",
        ("GET", "/api/tokens" | "/api/grants" | "/api/namespaces") => "... +++ ++ .. +",
        ("GET" | "PATCH", "/api/users/{name}")
        | ("DELETE", "/api/users/{name}/logins")
        | ("GET" | "DELETE", "/api/tokens/{id}") => "... +.. .. .. +",
        ("POST", "/api/tokens" | "/api/grants")
        | ("DELETE", "/api/grants/{id}")
        | ("GET" | "PATCH", "/api/namespaces/{prefix}") => "... ... +. .. +",
        ("GET", "/api/explain") => "... +.. +. .. +",
        ("GET" | "POST", "/api/users")
        | ("DELETE", "/api/users/{name}")
        | ("POST", "/api/namespaces")
        | ("DELETE", "/api/namespaces/{prefix}")
        | ("GET", "/api/storages" | "/api/jobs" | "/api/jobs/{id}" | "/api/keys" | "/api/audit")
        | ("POST", "/api/storages/{name}/check" | "/api/keys/rotate") => "... ... .. .. +",
        _ => panic!("{method} {path} has no row here"),
    }
}

#[tokio::test]
async fn admin_every_route_for_every_caller() {
    let Actors { app, callers } = actors().await;
    assert_eq!(callers.len(), CALLERS.len());
    let document = app.client().get("/api/openapi.json").await.status(200).json();
    let mut rows = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for method in
            ["get", "post", "patch", "delete", "put"].into_iter().filter(|method| !item[*method].is_null())
        {
            rows += 1;
            let method = method.to_uppercase();
            let row = expected(&method, path).replace(' ', "");
            for ((name, caller), expected) in CALLERS.iter().zip(&callers).zip(row.chars()) {
                let answer = ask(&app, caller, &method, path).await;
                let told = format!("{method} {path} by {name}: {answer:?}");
                let nobody = ["anonymous", "expired", "revoked"].contains(name);
                match expected {
                    '+' => assert!(![401, 403].contains(&answer.status) && answer.status < 500, "{told}"),
                    _ if nobody => assert_eq!(answer.status, 401, "{told}"),
                    _ => assert!([403, 404].contains(&answer.status), "{told}"),
                }
                let documented = &item[method.to_lowercase()]["responses"];
                assert!(!documented[answer.status.to_string()].is_null(), "not in the document: {told}");
                // 404 may be a way to refuse, but not to answer a server admin about what is there.
                let about_nothing =
                    (method == "DELETE" && !path.contains("logins")) || path.starts_with("/api/jobs/");
                assert!(expected != '+' || answer.status != 404 || about_nothing, "{told}");
            }
        }
    }
    assert!(rows >= 30, "{rows} rows");
}
