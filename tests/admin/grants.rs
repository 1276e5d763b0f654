//! Grants.

use serde_json::json;

use super::{account, audited, grant, with_root};

#[tokio::test]
async fn admin_a_grant_acts_on_the_next_request() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    alice.post("/v2/team/app/blobs/uploads/").await.status(403);
    let body = json!({ "subject": "alice", "role": "push", "pattern": "team" });
    let made = root.post("/api/grants").json(&body).await.status(201).json();
    assert_eq!((&made["origin"], &made["created_by"]), (&json!("row"), &json!("root")));
    alice.post("/v2/team/app/blobs/uploads/").await.status(202);
    root.post("/api/grants").json(&body).await.problem(409, "exists");
    assert_eq!(root.get("/api/grants").await.json()["grants"], json!([made]));
    let path = format!("/api/grants/{}", made["id"]);
    alice.delete(&path).await.problem(404, "");
    root.delete(&path).await.status(204);
    root.delete(&path).await.problem(404, "");
    alice.post("/v2/team/app/blobs/uploads/").await.status(403);
    let told: Vec<_> = audited(&app, "grant").await.iter().map(|row| row["object"].clone()).collect();
    assert!(told.contains(&json!("alice push team")), "{told:?}");
}

/// N-15
#[tokio::test]
async fn n_15_an_admin_of_a_namespace_grants_within_it() {
    let (app, root) = with_root().await;
    let chief = account(&app, "chief", json!({})).await;
    account(&app, "alice", json!({})).await;
    grant(&app, "chief", "admin", "team").await;
    let elsewhere = grant(&app, "alice", "pull", "other").await;
    let body = |pattern: &str| json!({ "subject": "alice", "role": "push", "pattern": pattern });
    for pattern in ["other", "teams", "*", "**", "/", "te*/app", "*/app", "**/team"] {
        chief.post("/api/grants").json(&body(pattern)).await.problem(403, "forbidden");
    }
    let mut made = Vec::new();
    for pattern in ["team", "team/app", "team/*", "team/**"] {
        made.push(chief.post("/api/grants").json(&body(pattern)).await.status(201).json());
    }
    let seen = chief.get("/api/grants").await.status(200).json()["grants"].as_array().unwrap().clone();
    assert_eq!(seen.len(), 5, "his own, and those that he gave: {seen:?}");
    chief.delete(&format!("/api/grants/{elsewhere}")).await.problem(404, "");
    chief.delete(&format!("/api/grants/{}", made[0]["id"])).await.status(204);
    assert_eq!(root.get("/api/grants").await.json()["grants"].as_array().unwrap().len(), 5);
    let mine = app.client().basic("alice", super::PASSWORD).get("/api/grants").await.status(200);
    assert_eq!(mine.json()["grants"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn admin_grants_are_found_and_paged() {
    let (app, root) = with_root().await;
    for number in 0..5 {
        grant(&app, "alice", "pull", &format!("a{number}")).await;
        grant(&app, "group:dev", "pull", &format!("a{number}")).await;
    }
    let count = async |query: &str| {
        let page = root.get(&format!("/api/grants?{query}")).await.status(200);
        page.json()["grants"].as_array().unwrap().len()
    };
    assert_eq!((count("").await, count("subject=alice").await), (10, 5));
    assert_eq!((count("subject=group:dev&pattern=a1").await, count("pattern=a").await), (1, 0));
    let mut target = "/api/grants?subject=alice&n=2".to_owned();
    let mut seen = 0;
    loop {
        let page = root.get(&target).await.status(200);
        seen += page.json()["grants"].as_array().unwrap().len();
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        target = format!("/api/grants?subject=alice&n=2&after={next}");
    }
    assert_eq!(seen, 5);
    root.get("/api/grants?after='%20OR%201=1").await.problem(400, "invalid");
    root.get("/api/grants?subject=%00").await.problem(400, "invalid");
    root.get("/api/grants?subject=alice'%20OR%20'1'='1").await.status_in(&[200, 400]);
}

#[tokio::test]
async fn admin_grants_that_cannot_be() {
    let (_app, root) = with_root().await;
    for (subject, role, pattern) in [
        ("", "pull", "a"),
        ("operator", "pull", "a"),
        ("nobody:x", "pull", "a"),
        ("alice", "owner", "a"),
        ("alice", "PULL", "a"),
        ("alice", "pull", ""),
        ("alice", "pull", "A"),
        ("alice", "pull", "../x"),
        ("alice", "pull", "<b>"),
        ("anonymous", "admin", "a"),
    ] {
        let body = json!({ "subject": subject, "role": role, "pattern": pattern });
        root.post("/api/grants").json(&body).await.problem(400, "invalid");
    }
    root.post("/api/grants").json(&json!({ "subject": "a", "role": "pull" })).await.problem(400, "invalid");
    root.delete("/api/grants/99999999999999999999").await.problem(404, "");
    root.delete("/api/grants/-1").await.problem(404, "");
}
