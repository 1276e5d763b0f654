//! The OpenAPI document, and what a machine finds that reads it and tries everything.

use std::process::{Command, Stdio};

use serde_json::json;

use super::{PASSWORD, account, with_root};
use crate::harness::{Gantry, skipped};

#[tokio::test]
async fn admin_the_document_is_for_everybody() {
    let app = Gantry::start().await;
    let document =
        app.client().get("/api/openapi.json").await.status(200).header("content-type", "application/json");
    let document = document.json();
    assert_eq!(document["openapi"], "3.1.0");
    let user = &document["components"]["schemas"]["NewUser"];
    assert_eq!((&user["additionalProperties"], &user["required"]), (&json!(false), &json!(["name"])));
    for (path, item) in document["paths"].as_object().unwrap() {
        assert!(path.starts_with("/api/"), "{path}");
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            assert!(
                operation["operationId"].is_string() && operation["summary"].is_string(),
                "{method} {path}"
            );
        }
    }
    app.client().head("/api/openapi.json").await.status(200);
    app.client().post("/api/openapi.json").await.problem(405, "").header("allow", "GET, HEAD");
    account(&app, "root", json!({ "admin": true })).await.post("/api/openapi.json").await.problem(405, "");
}

/// `docs/admin-api.md` names every route of the document, and no other.
#[tokio::test]
async fn admin_the_page_names_every_route() {
    let app = Gantry::shared().await;
    let document = app.client().get("/api/openapi.json").await.status(200).json();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        routes.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/admin-api.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let mut named: Vec<_> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect();
    routes.sort();
    named.sort();
    assert_eq!(named, routes);
}

/// Where `scripts/tools.sh` puts it.
fn schemathesis() -> Option<std::path::PathBuf> {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/venv/bin/schemathesis");
    Some(std::path::PathBuf::from(installed)).filter(|path| path.exists())
}

/// Runs it for a while; fails with what it says when something does not conform.
async fn try_everything(app: &Gantry, headers: &[String]) {
    let Some(program) = schemathesis() else {
        return skipped("schemathesis", "it is not installed: scripts/tools.sh does that");
    };
    let mut command = Command::new(program);
    // One worker: with more, the parser of some Pythons trips over itself.
    command.arg("run").arg(format!("http://{}/api/openapi.json", app.address()));
    command.args(["--max-examples", "6", "--seed", "1", "--workers", "1", "--no-color", "--max-time", "50"]);
    command.args([
        "--request-timeout",
        "20",
        "--suppress-health-check",
        "all",
        "--generation-database",
        "none",
    ]);
    // Not held: that whatever fits a schema is taken (no schema says all that a name may not be), and that wrong credentials are
    // always 401 (whoever goes on guessing is told to wait; every route is tried in `rights`).
    command.args(["--exclude-checks", "positive_data_acceptance,ignored_auth"]);
    for header in headers {
        command.args(["--header", header]);
    }
    command.current_dir(app.dir()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().expect("schemathesis runs"));
    let output = output.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    if said.contains("Time limit reached") {
        return skipped("schemathesis", "this machine is too busy to try every route within 50 seconds");
    }
    assert!(said.contains("Tested: 30"), "not all routes were tried: {said}");
}

#[tokio::test]
async fn admin_schemathesis_as_a_server_admin() {
    use base64::Engine as _;
    let (app, _root) = with_root().await;
    let credentials = base64::engine::general_purpose::STANDARD.encode(format!("root:{PASSWORD}"));
    try_everything(&app, &[format!("Authorization: Basic {credentials}")]).await;
    assert_eq!(app.client().get("/healthz").await.status, 200);
}

#[tokio::test]
async fn admin_schemathesis_as_nobody() {
    let (app, _root) = with_root().await;
    try_everything(&app, &[]).await;
    assert_eq!(app.operator_api().get("/api/users").await.json()["users"].as_array().unwrap().len(), 1);
}
