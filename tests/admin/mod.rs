//! The admin API as its clients see it: over HTTP with a password, a token or a session, and by the control socket.

mod documents;
mod grants;
mod namespaces;
mod others;
mod rights;
mod sessions;
mod tokens;
mod users;

use serde_json::{Value, json};

use crate::harness::{Client, Gantry};

/// The password of every account that tests make.
pub(crate) const PASSWORD: &str = "correct horse 1";

/// A server with an admin, `root`.
pub(crate) async fn with_root() -> (Gantry, Client) {
    let app = Gantry::start().await;
    let root = account(&app, "root", json!({ "admin": true })).await;
    (app, root)
}

/// Makes an account by the control socket, and gives a client that logs in by it.
pub(crate) async fn account(app: &Gantry, name: &str, more: Value) -> Client {
    let mut body = json!({ "name": name, "password": PASSWORD });
    for (member, value) in more.as_object().expect("members") {
        body[member] = value.clone();
    }
    app.operator_api().post("/api/users").json(&body).await.status(201);
    app.client().basic(name, PASSWORD)
}

/// Gives somebody a role.
pub(crate) async fn grant(app: &Gantry, subject: &str, role: &str, pattern: &str) -> i64 {
    let body = json!({ "subject": subject, "role": role, "pattern": pattern });
    let answer = app.operator_api().post("/api/grants").json(&body).await.status(201);
    answer.json()["id"].as_i64().expect("a number")
}

/// The audit log's entries with an action, the newest first.
pub(crate) async fn audited(app: &Gantry, action: &str) -> Vec<Value> {
    let answer = app.operator_api().get(&format!("/api/audit?n=1000&action={action}")).await.status(200);
    answer.json()["audit"].as_array().expect("entries").clone()
}
