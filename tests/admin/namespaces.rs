//! Namespaces.

use serde_json::json;

use super::{account, audited, grant, with_root};
use crate::harness::{Gantry, image};

#[tokio::test]
async fn admin_a_namespace_from_its_making_to_its_end() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    let body = json!({
        "prefix": "team/public", "visibility": "public", "description": "for all",
        "tags": { "immutable": ["v*"], "protected": [] },
    });
    let made = root.post("/api/namespaces").json(&body).await.status(201);
    assert_eq!(
        made.json(),
        json!({
            "prefix": "team/public", "storage": "default", "visibility": "public", "description": "for all", "origin": "row",
            "tags": { "immutable": ["v*"], "protected": [] },
        })
    );
    let path = made.location();
    assert_eq!(path, "/api/namespaces/team%2Fpublic");
    assert_eq!(root.get(&path).await.status(200).json(), made.json());
    assert_eq!(root.get("/api/namespaces/team/public").await.status(200).json(), made.json());
    root.post("/api/namespaces").json(&body).await.problem(409, "exists");

    let repo = root.at("team/public/app");
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    alice.at("team/public/app").has_manifest("v1", &image.manifest).await;
    root.delete(&repo.manifest("v1")).await.status(403).error("DENIED");
    let changed =
        root.patch(&path, "").json(&json!({ "visibility": "private", "tags": {} })).await.status(200);
    assert_eq!((&changed.json()["job"], &changed.json()["description"]), (&json!(null), &json!("for all")));
    alice.get(&repo.manifest("v1")).await.status(403);
    root.delete(&repo.manifest("v1")).await.status(202);
    root.delete(&path).await.status(204);
    root.delete(&path).await.problem(404, "");
    root.get(&path).await.problem(404, "");
    let told: Vec<_> = audited(&app, "namespace").await.iter().map(|row| row["action"].clone()).collect();
    for action in ["namespace.create", "namespace.change", "namespace.remove"] {
        assert!(told.contains(&json!(action)), "{told:?}");
    }
}

#[tokio::test]
async fn admin_an_admin_of_a_namespace_changes_how_it_is_seen() {
    let (app, root) = with_root().await;
    let chief = account(&app, "chief", json!({})).await;
    grant(&app, "chief", "admin", "team").await;
    for prefix in ["team", "team/app", "other", "/"] {
        root.post("/api/namespaces").json(&json!({ "prefix": prefix })).await.status(201);
    }
    let seen = chief.get("/api/namespaces").await.status(200).json();
    let prefixes = |page: &serde_json::Value| {
        let list = page["namespaces"].as_array().unwrap().iter();
        list.map(|namespace| namespace["prefix"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(prefixes(&seen), ["team", "team/app"]);
    assert_eq!(prefixes(&root.get("/api/namespaces").await.json()), ["/", "other", "team", "team/app"]);
    let page = root.get("/api/namespaces?n=1&after=%2F").await.json();
    assert_eq!((prefixes(&page), &page["next"]), (vec!["other".to_owned()], &json!("other")));
    let hidden = json!({ "visibility": "hidden" });
    chief.patch("/api/namespaces/team", "").json(&hidden).await.status(200);
    chief.patch("/api/namespaces/other", "").json(&hidden).await.problem(403, "forbidden");
    chief.patch("/api/namespaces/%2F", "").json(&hidden).await.problem(403, "forbidden");
    chief
        .patch("/api/namespaces/team", "")
        .json(&json!({ "storage": "default" }))
        .await
        .problem(403, "forbidden");
    chief.delete("/api/namespaces/team").await.problem(403, "forbidden");
    chief.post("/api/namespaces").json(&json!({ "prefix": "team/new" })).await.problem(403, "forbidden");
    chief.get("/api/namespaces/other").await.problem(403, "forbidden");
    chief.get("/api/namespaces/nothing").await.problem(403, "forbidden");
    root.get("/api/namespaces/%2F").await.status(200);
}

#[tokio::test]
async fn admin_namespaces_that_cannot_be() {
    let (_app, root) = with_root().await;
    for body in [
        json!({ "prefix": "" }),
        json!({ "prefix": "Team" }),
        json!({ "prefix": "team/" }),
        json!({ "prefix": "/team" }),
        json!({ "prefix": "../team" }),
        json!({ "prefix": "team*" }),
        json!({ "prefix": "<b>" }),
        json!({ "prefix": "a", "storage": "nowhere" }),
        json!({ "prefix": "a", "visibility": "secret" }),
        json!({ "prefix": "a", "tags": { "immutable": ["(a+)+$"] } }),
        json!({ "prefix": "a", "tags": { "other": [] } }),
        json!({ "prefix": "a", "tags": [["v*"], []] }),
        json!({ "prefix": "a", "description": "x".repeat(1001) }),
        json!({ "prefix": "a", "origin": "file" }),
        json!({}),
    ] {
        root.post("/api/namespaces").json(&body).await.problem(400, "invalid");
    }
    root.patch("/api/namespaces/nothing", "").json(&json!({ "visibility": "public" })).await.problem(404, "");
    root.get("/api/namespaces/A%20B").await.problem(404, "");
    root.get("/api/namespaces/..%2F..").await.problem(404, "");
}

/// Whoever takes the private namespace away is told that everybody can pull then what is below it.
#[tokio::test]
async fn admin_a_private_namespace_is_not_opened_by_its_removal() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let root = account(&app, "root", json!({ "admin": true })).await;
    root.post("/api/namespaces")
        .json(&json!({ "prefix": "team", "visibility": "private" }))
        .await
        .status(201);
    app.client().get("/v2/team/a/tags/list").await.status(401);
    root.delete("/api/namespaces/team").await.problem(409, "opens");
    root.delete("/api/namespaces/team?force=maybe").await.status(400);
    root.delete("/api/namespaces/team?force=true").await.status(204);
    app.client().get("/v2/team/a/tags/list").await.status(404);
}

/// N-19: that tags are immutable binds the namespace's admin too, who may add to it.
#[tokio::test]
async fn n_19_only_server_admins_take_back_that_tags_are_immutable() {
    let (app, root) = with_root().await;
    let alice = account(&app, "alice", json!({})).await;
    grant(&app, "alice", "admin", "team").await;
    let tags = |immutable: &[&str]| json!({ "tags": { "immutable": immutable, "protected": [] } });
    let made = json!({ "prefix": "team", "visibility": "private", "tags": { "immutable": ["v*"] } });
    root.post("/api/namespaces").json(&made).await.status(201);
    alice.call("PATCH", "/api/namespaces/team").json(&tags(&["v*", "release"])).await.status(200);
    alice.call("PATCH", "/api/namespaces/team").json(&tags(&["release"])).await.status(403);
    root.call("PATCH", "/api/namespaces/team").json(&tags(&[])).await.status(200);
}
