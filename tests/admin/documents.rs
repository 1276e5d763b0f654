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
    app.client().post("/api/openapi.json").await.problem(401, "");
    account(&app, "root", json!({ "admin": true })).await.post("/api/openapi.json").await.problem(405, "");
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
    command.arg("run").arg(format!("http://{}/api/openapi.json", app.address()));
    command.args(["--max-examples", "15", "--seed", "1", "--workers", "2", "--no-color", "--max-time", "25"]);
    command.args(["--request-timeout", "20", "--suppress-health-check", "all"]);
    command.args(["--generation-database", "none", "--phases", "examples,coverage,fuzzing"]);
    for header in headers {
        command.args(["--header", header]);
    }
    command.current_dir(app.dir()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().expect("schemathesis runs"));
    let output = output.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
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
