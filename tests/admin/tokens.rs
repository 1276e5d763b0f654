//! Personal and robot tokens.

use serde_json::json;

use super::{account, audited, grant, with_root};

#[tokio::test]
async fn n_4_a_token_from_its_making_to_its_end() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    grant(&app, "alice", "delete", "team").await;
    let body = json!({ "name": "ci", "scopes": ["team/**:pull"], "expires": "30d" });
    let made = alice.post("/api/tokens").json(&body).await.status(201);
    let (token, secret) = (made.json()["token"].clone(), made.json()["secret"].as_str().unwrap().to_owned());
    assert!(secret.starts_with("gty_"));
    assert_eq!((&token["subject"], &token["scopes"]), (&json!("alice"), &json!(["team/**:pull"])));
    assert_eq!((&token["created_by"], &token["last_used"]), (&json!("alice"), &json!(null)));
    let by_token = app.client().basic("whatever", &secret);
    let told = by_token.get("/api/whoami").await.status(200).json();
    assert_eq!((&told["subject"], &told["credential"]), (&json!("alice"), &json!("token")));
    assert_eq!((&told["scopes"], &told["expires"]), (&json!(["team/**:pull"]), &token["expires"]));
    by_token.post("/v2/team/app/blobs/uploads/").await.status(403);
    alice.post("/v2/team/app/blobs/uploads/").await.status(202);

    // A token administers nothing and makes no tokens, also where its owner may do everything.
    for path in ["/api/users/alice", "/api/tokens", "/api/grants", "/api/namespaces"] {
        by_token.get(path).await.problem(403, "forbidden");
    }
    by_token.post("/api/tokens").json(&body).await.problem(403, "forbidden");
    let wide = root.post("/api/tokens").json(&json!({ "name": "wide" })).await.status(201).json();
    let wide = app.client().basic("root", wide["secret"].as_str().unwrap());
    wide.get("/api/whoami").await.status(200);
    wide.get("/api/users").await.problem(403, "forbidden");
    wide.post("/api/users").json(&json!({ "name": "eve", "admin": true })).await.problem(403, "forbidden");

    let path = made.location();
    assert_eq!(alice.get(&path).await.status(200).json()["name"], "ci");
    assert!(!alice.get("/api/tokens").await.status(200).json().to_string().contains(&secret));
    alice.delete(&path).await.status(204);
    by_token.get("/api/whoami").await.problem(401, "credentials");
    alice.get(&path).await.problem(404, "");
    let rows = format!("{:?}", audited(&app, "token").await);
    assert!(rows.contains("token.create") && rows.contains("token.revoke") && !rows.contains(&secret[4..]));
    assert!(!app.log().contains(&secret[4..]));
}

/// Ids of what belongs to others are as unknown as ids of nothing.
#[tokio::test]
async fn admin_tokens_of_others_are_not_there() {
    let (app, root) = with_root().await;
    let (alice, bob) = (account(&app, "alice", json!({})).await, account(&app, "bob", json!({})).await);
    let made = alice.post("/api/tokens").json(&json!({ "name": "mine" })).await.status(201);
    let path = made.location();
    let nothing = "/api/tokens/00000000-0000-4000-8000-000000000000";
    let told = |answer: crate::harness::Answer| answer.problem(404, "").json()["detail"].clone();
    assert_eq!(told(bob.get(&path).await), told(bob.get(nothing).await));
    assert_eq!(told(bob.delete(&path).await), told(bob.delete(nothing).await));
    bob.get("/api/tokens/1%20OR%201=1").await.problem(404, "");
    assert_eq!(bob.get("/api/tokens").await.status(200).json()["tokens"], json!([]));
    assert_eq!(bob.get("/api/tokens?subject=alice").await.status(200).json()["tokens"], json!([]));
    let for_alice = json!({ "name": "hers", "owner": "alice" });
    bob.post("/api/tokens").json(&for_alice).await.problem(403, "forbidden");
    root.post("/api/tokens").json(&for_alice).await.status(201);
    assert_eq!(root.get("/api/tokens?subject=alice").await.json()["tokens"].as_array().unwrap().len(), 2);
    assert_eq!(root.get("/api/tokens?n=1").await.json()["tokens"].as_array().unwrap().len(), 1);
    root.delete(&path).await.status(204);
    let refused = audited(&app, "token.revoke").await;
    assert!(refused.iter().any(|row| row["result"] == "refused" && row["subject"] == "bob"));
}

#[tokio::test]
async fn n_4_robots_are_made_by_admins_of_what_they_are_for() {
    let (app, root) = with_root().await;
    let chief = account(&app, "chief", json!({})).await;
    grant(&app, "chief", "admin", "team").await;
    let robot = |scopes: &[&str]| json!({ "name": "ci", "robot": "ci", "scopes": scopes });
    chief.post("/api/tokens").json(&robot(&["other:pull"])).await.problem(403, "forbidden");
    chief.post("/api/tokens").json(&robot(&["team:pull", "**:pull"])).await.problem(403, "forbidden");
    chief.post("/api/tokens").json(&robot(&["te*/x:pull"])).await.problem(403, "forbidden");
    chief.post("/api/tokens").json(&robot(&[])).await.problem(400, "invalid");
    let made = chief.post("/api/tokens").json(&robot(&["team/**:pull,push"])).await.status(201);
    assert_eq!(made.json()["token"]["subject"], "robot:ci");
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    let by_robot = app.client().basic("robot", &secret);
    let told = by_robot.get("/api/whoami").await.status(200).json();
    assert_eq!((&told["subject"], &told["source"]), (&json!("robot:ci"), &json!("robot")));
    by_robot.post("/v2/team/app/blobs/uploads/").await.status(202);
    by_robot.post("/v2/other/app/blobs/uploads/").await.status(403);
    by_robot.get("/api/tokens").await.problem(403, "forbidden");

    let everywhere = root.post("/api/tokens").json(&robot(&["**:pull"])).await.status(201);
    let seen = chief.get("/api/tokens").await.status(200).json();
    assert_eq!(seen["tokens"].as_array().unwrap().len(), 1, "those of his namespace: {seen}");
    chief.delete(&everywhere.location()).await.problem(404, "");
    chief.delete(&made.location()).await.status(204);
    by_robot.get("/v2/").await.status(401);
}

/// A robot's grants are with all of its tokens: an admin elsewhere must not get them by a token of the same name.
#[tokio::test]
async fn n_4_robots_of_others_are_not_taken_over() {
    let (app, root) = with_root().await;
    let chief = account(&app, "chief", json!({})).await;
    grant(&app, "chief", "admin", "team").await;
    let robot = |name: &str, scope: &str| json!({ "name": "x", "robot": name, "scopes": [scope] });
    grant(&app, "robot:granted", "push", "other").await;
    root.post("/api/tokens").json(&robot("made", "other:push")).await.status(201);
    for name in ["granted", "made"] {
        chief.post("/api/tokens").json(&robot(name, "team:pull")).await.problem(403, "forbidden");
    }
    grant(&app, "robot:own", "push", "team/app").await;
    chief.post("/api/tokens").json(&robot("own", "team:pull")).await.status(201);
    chief.post("/api/tokens").json(&robot("own", "team:push")).await.status(201);
    // What a server admin gives to it later is not the namespace admin's to spread.
    grant(&app, "robot:own", "push", "other").await;
    chief.post("/api/tokens").json(&robot("own", "team:pull")).await.problem(403, "forbidden");
    root.post("/api/tokens").json(&robot("own", "team:pull")).await.status(201);
}

#[tokio::test]
async fn admin_tokens_that_cannot_be() {
    let (app, root) = with_root().await;
    for body in [
        json!({ "name": "" }),
        json!({ "name": "  " }),
        json!({ "name": "x".repeat(101) }),
        json!({ "name": "line\nfeed" }),
        json!({ "name": "gty_0123456789" }),
        json!({ "name": "x", "scopes": ["team"] }),
        json!({ "name": "x", "scopes": ["team:admin"] }),
        json!({ "name": "x", "scopes": ["(a+)+$:pull"] }),
        json!({ "name": "x", "scopes": vec!["a:pull"; 101] }),
        json!({ "name": "x", "expires": "yesterday" }),
        json!({ "name": "x", "expires": "2001-01-01T00:00:00Z" }),
        json!({ "name": "x", "expires": "0s" }),
        json!({ "name": "x", "robot": "a b", "scopes": ["a:pull"] }),
        json!({ "name": "x", "robot": "ci", "owner": "root", "scopes": ["a:pull"] }),
        json!({ "name": "x", "secret": "gty_mine" }),
        json!({ "name": "x", "id": "00000000-0000-4000-8000-000000000000" }),
    ] {
        root.post("/api/tokens").json(&body).await.problem(400, "invalid");
    }
    root.post("/api/tokens")
        .json(&json!({ "name": "x", "owner": "nobody" }))
        .await
        .problem(409, "no-account");
    app.operator_api().post("/api/tokens").json(&json!({ "name": "x" })).await.problem(400, "invalid");
    let markup = json!({ "name": "<img src=x onerror=alert(1)>" });
    root.post("/api/tokens").json(&markup).await.status(201).header("content-type", "application/json");
}
