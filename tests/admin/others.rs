//! Audit log, signing keys, storages, jobs, explanations.

use serde_json::{Value, json};

use super::{PASSWORD, account, audited, grant, with_root};
use crate::harness::{Blob, Gantry, image, types};
use crate::ops::eventually;

/// N-23
#[tokio::test]
async fn n_23_the_audit_log_is_read_and_filtered() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    grant(&app, "alice", "push", "team").await;
    alice.at("team/app").push("v1", &image().build()).await.status(201);
    alice.post("/v2/other/blobs/uploads/").await.status(403);
    alice.get("/api/users").await.status(403);
    let read = async |query: &str| {
        let page = root.get(&format!("/api/audit?{query}")).await.status(200).json();
        page["audit"].as_array().unwrap().clone()
    };
    let all = read("").await;
    let row = all.iter().find(|row| row["action"] == "user.list").expect("the refusal");
    assert_eq!(
        (&row["subject"], &row["address"], &row["result"]),
        (&json!("alice"), &json!("127.0.0.1"), &json!("refused"))
    );
    assert!(row["request_id"].as_str().unwrap().len() == 16 && row["time"].as_str().unwrap().ends_with('Z'));
    assert!(all.windows(2).all(|pair| pair[0]["id"].as_i64() > pair[1]["id"].as_i64()), "newest first");
    assert!(read("subject=alice").await.iter().all(|row| row["subject"] == "alice"));
    assert!(read("result=refused").await.iter().all(|row| row["result"] == "refused"));
    let below = read("repository=team").await;
    assert!(!below.is_empty() && below.iter().all(|row| row["repository"] == "team/app"), "{below:?}");
    assert_eq!(read("action=manifest").await.len(), 1);
    assert_eq!(read("since=2999-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(read("subject=alice'%20OR%20'1'='1").await.len(), 0);
    let mut pages = Vec::new();
    let mut target = "/api/audit?n=2".to_owned();
    loop {
        let page = root.get(&target).await.status(200);
        pages.extend(page.json()["audit"].as_array().unwrap().clone());
        let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
        target = format!("/api/audit?n=2&before={next}");
    }
    assert!(pages.len() >= all.len());
    let lines = root.get("/api/audit?n=3").header("accept", "application/x-ndjson").await.status(200);
    let lines = lines.header("content-type", "application/x-ndjson");
    assert!(lines.get("link").unwrap().contains("before="));
    let text = String::from_utf8(lines.body.to_vec()).unwrap();
    assert_eq!(
        text.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["id"].is_i64()).count(),
        3
    );
    for query in
        ["since=yesterday", "result=maybe", "repository=A", "before=x", "before=99999999999999999999"]
    {
        root.get(&format!("/api/audit?{query}")).await.problem(400, "invalid");
    }
    alice.get("/api/audit").await.problem(403, "forbidden");
}

/// N-12
#[tokio::test]
async fn n_12_keys_are_rotated() {
    let (app, root) = with_root().await;
    let before = root.get("/api/keys").await.status(200).json();
    assert_eq!(before["keys"].as_array().unwrap().len(), 1);
    let new = root.post("/api/keys/rotate").await.status(200).json();
    assert_eq!((&new["algorithm"], &new["retired"]), (&json!("ES256"), &json!(null)));
    let after = root.get("/api/keys").await.status(200).json();
    assert_eq!(after["keys"][1], new);
    assert!(after["keys"][0]["retired"].is_string() && !after.to_string().contains("private"));
    let published = app.client().get("/.well-known/jwks.json").await.status(200).json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2);
    assert_eq!(audited(&app, "key.rotate").await[0]["object"], new["kid"]);
}

#[tokio::test]
async fn admin_storages_are_shown_and_checked() {
    let (app, root) = with_root().await;
    root.at("a").push("v1", &image().build()).await.status(201);
    let storages = root.get("/api/storages").await.status(200).json()["storages"].clone();
    let default = &storages[0];
    assert_eq!(
        (&default["name"], &default["kind"], &default["default"], &default["writable"]),
        (&json!("default"), &json!("local"), &json!(true), &json!(true))
    );
    assert!(default["free_bytes"].as_u64() > Some(0) && default["path"] == app.data().display().to_string());
    let checked = root.post("/api/storages/default/check").await.status(200).json();
    assert_eq!((&checked["ok"], &checked["error"]), (&json!(true), &json!(null)));
    root.post("/api/storages/nowhere/check").await.problem(404, "");
    let left = std::fs::read_dir(app.data().join("uploads")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "the probe is gone");
}

/// A namespace goes to another storage, and the job says how far it is.
#[tokio::test]
async fn admin_a_namespace_moves() {
    let dir = tempfile::TempDir::with_prefix("gantry-it-").unwrap();
    let path = dir.path().join("second");
    let app = Gantry::options().set("storage.second.local.path", &format!("{path:?}")).start().await;
    let root = account(&app, "root", json!({ "admin": true })).await;
    root.post("/api/namespaces").json(&json!({ "prefix": "team" })).await.status(201);
    let image = image().layers(types::OCI_LAYER, &[Blob::new(100_000)]).build();
    root.at("team/app").push("v1", &image).await.status(201);
    root.patch("/api/namespaces/team", "").json(&json!({ "storage": "third" })).await.problem(400, "invalid");
    let moved =
        root.patch("/api/namespaces/team", "").json(&json!({ "storage": "second" })).await.status(200).json();
    let job = moved["job"].as_u64().expect("a job");
    let done = eventually("the move ends", async || {
        let job = root.get(&format!("/api/jobs/{job}")).await.status(200).json();
        (job["state"] == "done").then_some(job)
    });
    let done = done.await;
    assert_eq!(
        (&done["kind"], &done["detail"]["prefix"], &done["detail"]["to"]),
        (&json!("move"), &json!("team"), &json!("second"))
    );
    assert_eq!(root.get("/api/jobs").await.status(200).json()["jobs"], json!([done]));
    root.get("/api/jobs/9999").await.problem(404, "");
    let storages = root.get("/api/storages").await.json();
    let second =
        storages["storages"].as_array().unwrap().iter().find(|one| one["name"] == "second").unwrap().clone();
    assert!(second["blobs"].as_u64() > Some(0), "{second}");
    root.at("team/app").has_manifest("v1", &image.manifest).await;
    // Who was cut off between the change and its job says it again.
    let again =
        root.patch("/api/namespaces/team", "").json(&json!({ "storage": "second" })).await.status(200);
    assert!(again.json()["job"].as_u64() > Some(job), "{}", again.json());
    assert!(!audited(&app, "namespace.move").await.is_empty());
}

/// N-20
#[tokio::test]
async fn n_20_what_the_file_says_stays() {
    let options = Gantry::options();
    let namespace =
        r#"[{ prefix = "team", visibility = "public", grants = ["alice push", "alice admin team/app"] }]"#;
    let app = options.set("namespace", namespace).start().await;
    let root = account(&app, "root", json!({ "admin": true })).await;
    let shown = root.get("/api/namespaces/team").await.status(200).json();
    assert_eq!((&shown["origin"], &shown["visibility"]), (&json!("file"), &json!("public")));
    for answer in [
        root.patch("/api/namespaces/team", "").json(&json!({ "visibility": "private" })).await,
        root.delete("/api/namespaces/team").await,
        root.post("/api/namespaces").json(&json!({ "prefix": "team" })).await,
        root.delete("/api/grants/file-0").await,
    ] {
        let told = answer.problem(409, "in-file").json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains("configuration file") && told.contains("[[namespace]]"), "{told}");
    }
    let grants = root.get("/api/grants").await.status(200).json()["grants"].as_array().unwrap().clone();
    assert_eq!(grants.len(), 2);
    assert!(
        grants
            .iter()
            .all(|grant| grant["id"].is_null() && grant["origin"] == "file" && grant["created"].is_null())
    );
    let page = root.get("/api/grants?n=1").await.json();
    let rest = root.get(&format!("/api/grants?n=1&after={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!(json!([page["grants"][0], rest["grants"][0]]), json!(grants));
}

/// N-21
#[tokio::test]
async fn n_21_decisions_are_explained_to_whom_they_concern() {
    let (app, root) = with_root().await;
    let (alice, chief) = (account(&app, "alice", json!({})).await, account(&app, "chief", json!({})).await);
    grant(&app, "alice", "push", "team").await;
    grant(&app, "chief", "admin", "team").await;
    let ask = |query: &str| format!("/api/explain?{query}");
    let told = alice.get(&ask("action=push&repository=team/app")).await.status(200).json();
    assert_eq!(told["allowed"], true);
    assert!(told["rule"].as_str().unwrap().contains("alice has the role `push` on `team`"), "{told}");
    let told = alice.get(&ask("action=delete&repository=team/app&subject=alice")).await.status(200).json();
    assert!(told["allowed"] == false && told["missing"].as_str().unwrap().contains("`delete`"), "{told}");
    let about_alice = ask("subject=alice&action=pull&repository=team/app");
    assert_eq!(chief.get(&about_alice).await.status(200).json()["allowed"], true);
    chief.get(&ask("subject=alice&action=pull&repository=other")).await.problem(403, "forbidden");
    alice.get(&ask("subject=chief&action=pull&repository=team/app")).await.problem(403, "forbidden");
    assert_eq!(
        root.get(&ask("subject=anonymous&action=pull&repository=team")).await.json()["allowed"],
        false
    );
    assert_eq!(root.get(&ask("subject=root&action=delete&repository=x")).await.json()["allowed"], true);
    app.client().get(&about_alice).await.problem(401, "");

    // A tag rule, named.
    let body = json!({ "prefix": "team", "tags": { "immutable": ["v*"] } });
    root.post("/api/namespaces").json(&body).await.status(201);
    let tag = ask("action=push&repository=team/app&tag=v1");
    let told = alice.get(&tag).await.status(200).json();
    assert_eq!(told["allowed"], true, "no rule holds a tag that is not there: {told}");
    alice.at("team/app").push("v1", &image().build()).await.status(201);
    let told = alice.get(&tag).await.status(200).json();
    assert!(told["allowed"] == false && told["rule"].as_str().unwrap().contains("`v*`"), "{told}");

    // A robot may what its tokens say.
    let body = json!({ "name": "ci", "robot": "ci", "scopes": ["team/**:pull,push"] });
    let token = root.post("/api/tokens").json(&body).await.status(201).json();
    let robot = ask("subject=robot:ci&action=push&repository=team/app");
    let told = root.get(&robot).await.status(200).json();
    assert!(told["allowed"] == true && told["rule"].as_str().unwrap().contains("`team/**:"), "{told}");
    let id = token["token"]["id"].as_str().unwrap();
    root.delete(&format!("/api/tokens/{id}")).await.status(204);
    assert_eq!(root.get(&robot).await.status(200).json()["allowed"], false);

    // Nothing of an account that is disabled counts.
    root.patch("/api/users/alice", "").json(&json!({ "disabled": true })).await.status(200);
    let told = root.get(&about_alice).await.status(200).json();
    assert!(told["allowed"] == false && told["missing"].as_str().unwrap().contains("disabled"), "{told}");
    root.patch("/api/users/alice", "").json(&json!({ "disabled": false })).await.status(200);

    // Whoever may not know of a namespace is not told that it is there.
    root.post("/api/namespaces").json(&json!({ "prefix": "secret/place" })).await.status(201);
    root.post("/api/namespaces")
        .json(&json!({ "prefix": "unlisted/place", "visibility": "hidden" }))
        .await
        .status(201);
    let with = alice.get(&ask("action=pull&repository=secret/place/x")).await.status(200).json();
    let without = alice.get(&ask("action=pull&repository=secret/other/x")).await.status(200).json();
    assert_eq!((&with["namespace"], &with["visibility"]), (&json!(""), &json!(null)));
    assert_eq!(with.to_string().replace("place", "other"), without.to_string());
    let hidden =
        alice.get(&ask("action=pull&repository=unlisted/place/x")).await.status(200).json().to_string();
    assert!(!hidden.contains("hidden") && !hidden.contains("`unlisted"), "{hidden}");
    for query in [
        "",
        "action=pull",
        "repository=a",
        "action=own&repository=a",
        "action=pull&repository=A",
        "action=pull&repository=a&tag=%20x",
        "subject=a%20b&action=pull&repository=a",
    ] {
        root.get(&ask(query)).await.problem(400, "invalid");
    }
}

/// N-23: what was put in the wrong place is not kept.
#[tokio::test]
async fn n_23_secrets_in_the_wrong_place_are_not_kept() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    let made = alice.post("/api/tokens").json(&json!({ "name": "mine" })).await.status(201).json();
    let secret = made["secret"].as_str().unwrap();
    let random = &secret[4..];
    alice.delete(&format!("/api/tokens/{secret}")).await.problem(404, "");
    alice.get(&format!("/api/users/{secret}")).await.problem(403, "forbidden");
    app.client().get(&format!("/api/users/{secret}")).await.problem(401, "");
    root.get(&format!("/api/users?after={secret}")).await.status(200);
    app.client().with("user-agent", secret).get("/v2/").await.status(401);
    for subject in [secret.to_owned(), format!("robot:{secret}")] {
        let body = json!({ "subject": subject, "role": "pull", "pattern": "team" });
        root.post("/api/grants").json(&body).await.problem(400, "invalid");
    }
    app.client().basic(secret, "x").get("/api/users").await.status(401);
    app.client().post("/api/session").json(&json!({ "user": secret, "password": secret })).await.status(401);
    root.patch("/api/users/alice", "").json(&json!({ "password": "sixteen horses!" })).await.status(200);
    root.post("/api/users")
        .json(&json!({ "name": "x", "password": { "is": "hunter22" } }))
        .await
        .problem(400, "invalid");
    let rows = root.get("/api/audit?n=1000").await.status(200).json().to_string();
    let metrics = app.operator().get("/metrics").await.status(200);
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (place, text) in [("the audit log", rows), ("the log", app.log()), ("metrics", metrics)] {
        for word in [random, "sixteen horses", PASSWORD, "hunter22"] {
            assert!(!text.contains(word), "`{word}` stands in {place}: {text}");
        }
    }
}

/// Whoever may open the control socket may do everything, and is called so.
#[tokio::test]
async fn admin_the_control_socket_is_the_operators() {
    let app = Gantry::start().await;
    let operator = app.operator_api();
    let told = operator.get("/api/whoami").await.status(200).json();
    assert_eq!(
        (&told["subject"], &told["admin"], &told["credential"]),
        (&json!("operator"), &json!(true), &json!("socket"))
    );
    operator.head("/api/users").await.status(200);
    operator.call("PUT", "/api/users").await.problem(405, "");
    operator
        .post("/api/session")
        .json(&json!({ "user": "a", "password": "b" }))
        .await
        .problem(400, "invalid");
    operator
        .post("/api/users")
        .header("content-type", "application/json")
        .body("x".repeat(100_000))
        .await
        .problem(413, "");
    operator.get("/api/session").await.problem(403, "forbidden");
    operator.post("/api/users").json(&json!({ "name": "alice" })).await.status(201);
    let row = audited(&app, "user.create").await[0].clone();
    assert_eq!((&row["subject"], &row["address"]), (&json!("operator"), &json!("local")));
}
