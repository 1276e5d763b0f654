//! Logs, metrics, health.

use serde_json::Value;

use crate::harness::{Gantry, image};

#[tokio::test]
async fn health_on_both_addresses() {
    let app = Gantry::shared().await;
    for client in [app.client(), app.operator()] {
        for target in ["/healthz", "/readyz"] {
            let answer = client.get(target).await.status(200);
            assert_eq!(answer.json()["status"], "ok");
            client.head(target).await.status(200);
        }
        client.get("/nothing").await.status(404).error("UNSUPPORTED");
    }
    app.client().get("/metrics").await.status(404);
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let app = Gantry::start().await;
    let repo = app.client().repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    repo.client.get(&repo.manifest("missing")).await.status(404);
    let text = app.operator().get("/metrics").await.status(200);
    assert!(text.get("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text")));
    let text = String::from_utf8(text.body.to_vec()).expect("text");
    for line in [
        "gantry_http_requests_total{route=\"manifest\",method=\"PUT\",status=\"201\"} 1",
        "gantry_http_requests_total{route=\"manifest\",method=\"GET\",status=\"404\"} 1",
        "gantry_http_request_duration_seconds_count{route=\"manifest\"}",
        "gantry_http_body_bytes_total{direction=\"in\"}",
        "gantry_http_connections ",
        "gantry_uploads_open 0",
        "gantry_store_writable 1",
        "gantry_database_commits_total",
        "gantry_database_groups_total{operations=\"1\"}",
        "gantry_manifest_cache_hits_total",
        "gantry_disk_free_bytes",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} in\n{text}");
    }
    assert!(!text.contains(&repo.name), "a repository's name is never a label");
    let sent: u64 = image.blobs.iter().map(|blob| blob.bytes.len() as u64).sum();
    let line =
        text.lines().find_map(|line| line.strip_prefix("gantry_http_body_bytes_total{direction=\"in\"} "));
    assert!(line.expect("a line").parse::<u64>().expect("a number") >= sent);
}

#[tokio::test]
async fn json_logs_carry_the_request_id_and_no_secret() {
    let app = Gantry::options().set("log.format", "json").account("alice", "s3cret-pass").start().await;
    let answer = app.client().basic("alice", "s3cret-pass").get("/v2/_catalog").await.status(200);
    app.client().basic("alice", "wr0ng-pass").get("/v2/_catalog").await.status(401);
    let id = answer.get("x-request-id").expect("an id").to_owned();
    let log = super::eventually("both lines", async || {
        Some(app.log()).filter(|log| log.matches("\"access\"").count() >= 2)
    })
    .await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let line = lines.iter().find(|line| line["request"] == *id).expect("the request's line");
    assert_eq!(
        (&line["method"], &line["path"], &line["status"]),
        (&"GET".into(), &"/v2/_catalog".into(), &200.into())
    );
    assert_eq!(line["client"], "127.0.0.1");
    for secret in ["s3cret-pass", "wr0ng-pass", "Basic "] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

#[tokio::test]
async fn the_access_log_can_be_turned_off() {
    let app = Gantry::options().set("log.access", "false").start().await;
    app.client().get("/v2/_catalog").await.status(200);
    assert!(!app.log().contains("_catalog"));
}
