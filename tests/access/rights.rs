//! N-15, N-18, N-20, N-21: roles on prefixes and globs, uploads whose rights go, and what is explained against what happens.

use serde_json::json;

use crate::harness::repo::with;
use crate::harness::{Blob, Client, Gantry, image};

/// What a caller may do to a repository: letters of `pull`, `push` and `delete`, as the registry shows it.
async fn may(client: &Client, name: &str) -> String {
    let repo = client.at(name);
    let open = |status: u16| !matches!(status, 401 | 403);
    let mut found = Vec::new();
    if open(client.get(&repo.path("tags/list")).await.status) {
        found.push("pull");
    }
    if open(client.post(&repo.uploads()).await.status) {
        found.push("push");
    }
    if open(client.delete(&repo.manifest("no-such-tag")).await.status) {
        found.push("delete");
    }
    found.join(",")
}

/// N-15: a role includes those below it; a prefix covers itself and all below, by whole components; `*` is one, `**` any number.
#[tokio::test]
async fn n_15_roles_prefixes_and_globs() {
    let app = Gantry::start().await;
    let cases = [
        ("pull", "team", "team", "pull"),
        ("push", "team", "team/a/b", "pull,push"),
        ("delete", "team", "team/a", "pull,push,delete"),
        ("admin", "team", "team/a", "pull,push,delete"),
        ("delete", "team", "teams", ""),
        ("delete", "team", "te", ""),
        ("delete", "team/a", "team", ""),
        ("push", "team/*", "team/a", "pull,push"),
        ("push", "team/*", "team/a/b", ""),
        ("push", "team/*", "team", ""),
        ("push", "team/**", "team", "pull,push"),
        ("push", "team/**", "team/a/b/c", "pull,push"),
        ("push", "team/app-*", "team/app-1", "pull,push"),
        ("push", "team/app-*", "team/lib-1", ""),
        ("push", "**/web", "a/b/web", "pull,push"),
        ("push", "**/web", "a/b/web/x", ""),
        ("pull", "**", "anything/at/all", "pull"),
    ];
    for (number, (role, pattern, name, expected)) in cases.into_iter().enumerate() {
        let who = format!("user{number}");
        let client = app.user(&who, "a secret 1").await;
        app.grant(&who, role, pattern).await;
        assert_eq!(may(&client, name).await, expected, "{role} on {pattern}: {name}");
        let scope = format!("repository:{name}:pull,push,delete");
        assert_eq!(
            may(&client.by_token_for(&[&scope]).await, name).await,
            expected,
            "{role} on {pattern}: {name}"
        );
    }
}

/// N-15: rights add up: one's own, those of groups, those of everybody; a server admin needs none.
#[tokio::test]
async fn n_15_rights_add_up() {
    let app = Gantry::start().await;
    let body = json!({ "name": "alice", "password": "a secret 1", "groups": ["devs"] });
    app.operate("POST", "/api/users", body).await;
    let alice = app.client().basic("alice", "a secret 1");
    assert_eq!(may(&alice, "team/a").await, "");
    let all = app.grant("group:authenticated", "pull", "team").await;
    assert_eq!(may(&alice, "team/a").await, "pull");
    let devs = app.grant("group:devs", "push", "team/a").await;
    assert_eq!(may(&alice, "team/a").await, "pull,push");
    assert_eq!(may(&alice, "team/b").await, "pull");
    let own = app.grant("alice", "delete", "team/a").await;
    assert_eq!(may(&alice, "team/a").await, "pull,push,delete");
    let mut bearer = alice.by_token_for(&["repository:team/a:pull,push,delete"]).await;
    for (grant, expected) in [(own, "pull,push"), (all, "pull,push"), (devs, "")] {
        app.ungrant(grant).await;
        assert_eq!(may(&alice, "team/a").await, expected);
        assert_eq!(may(&bearer, "team/a").await, expected);
    }
    app.grant("group:ops", "push", "team/a").await;
    app.change_user("alice", json!({ "groups": ["ops"] })).await;
    assert_eq!(may(&alice, "team/a").await, "pull,push");
    bearer = alice.by_token_for(&["repository:team/a:pull,push,delete"]).await;
    assert_eq!(may(&bearer, "team/a").await, "pull,push");
    assert_eq!(may(&app.client().bearer("x"), "team/a").await, "");
    assert_eq!(may(&app.client(), "team/a").await, "", "everybody who is somebody is not everybody");
    assert_eq!(may(&app.admin("root", "a secret 1").await, "team/a").await, "pull,push,delete");
}

/// N-18: a session is of one repository and one subject; nobody else sees it or harms it, and its subject may go on by another way.
#[tokio::test]
async fn n_18_a_session_belongs_to_its_subject() {
    let app = Gantry::start().await;
    let (alice, bob) = (app.user("alice", "a secret 1").await, app.user("bob", "a secret 1").await);
    let root = app.admin("root", "a secret 1").await;
    let (ci, cd) = (app.robot("ci", &["**:pull,push"]).await, app.robot("cd", &["**:pull,push"]).await);
    for name in ["alice", "bob"] {
        app.grant(name, "delete", "team").await;
    }
    let scope = ["repository:team/a:pull,push"];
    let token = app.token("alice", &["team/**:pull,push"]).await;
    let robot = |secret: &str| app.client().basic("robot", secret);
    let location = alice.at("team/a").start_upload().await;
    let blob = Blob::new(20_000);
    alice.patch(&location, blob.bytes.slice(..10_000)).await.status(202);
    let close = with(&location, "digest", &blob.digest);
    for other in [&bob, &root, &bob.by_token_for(&scope).await, &robot(&ci.secret), &robot(&cd.secret)] {
        other.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
        other.head(&location).await.status(404);
        other.patch(&location, "evil").await.missing("BLOB_UPLOAD_UNKNOWN");
        other.put(&close, blob.bytes.slice(10_000..)).await.missing("BLOB_UPLOAD_UNKNOWN");
        other.delete(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
    }
    app.client().get(&location).await.status(401);
    alice.get(&location.replace("team/a", "team/b")).await.missing("BLOB_UPLOAD_UNKNOWN");
    // Alice by a bearer token, by a personal token.
    let bearer = alice.by_token_for(&scope).await;
    bearer.patch(&location, blob.bytes.slice(10_000..15_000)).await.status(202);
    let personal = app.client().basic("any", &token.secret);
    personal.patch(&location, blob.bytes.slice(15_000..)).await.status(202);
    alice.put(&close, "").await.status(201);
    alice.at("team/a").has_blob(&blob).await;
}

/// N-18: rights are looked at again when an upload is closed, and with every piece.
#[tokio::test]
async fn n_18_rights_are_looked_at_again_at_the_end_of_an_upload() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    let root = app.admin("root", "a secret 1").await;
    let scope = ["repository:team/a:pull,push"];
    for by_bearer in [false, true] {
        let grant = app.grant("alice", "push", "team").await;
        let client = if by_bearer { alice.by_token_for(&scope).await } else { alice.clone() };
        let status = if by_bearer { 401 } else { 403 };
        let location = client.at("team/a").start_upload().await;
        let (blob, built) = (Blob::new(1000), image().build());
        client.patch(&location, blob.bytes.clone()).await.status(202);
        root.at("team/a").push_parts(&built).await;
        app.ungrant(grant).await;
        let close = with(&location, "digest", &blob.digest);
        client.patch(&location, "more").await.status(status);
        client.put(&close, "").await.status(status);
        client.get(&location).await.status(status);
        client.at("team/a").put_manifest("v1", &built.manifest).await.status(status);
        root.at("team/a").lacks_blob(&blob.digest).await;
        root.at("team/a").lacks_manifest("v1").await;
        // Given back, the session goes on where it stood.
        let grant = app.grant("alice", "push", "team").await;
        client.put(&close, "").await.status(201);
        app.ungrant(grant).await;
    }
}

/// N-18, T34: a mount needs pull on its source; without, it is an upload like another.
#[tokio::test]
async fn n_18_a_mount_without_the_right_is_an_upload() {
    let app = Gantry::start().await;
    let (alice, root) = (app.user("alice", "a secret 1").await, app.admin("root", "a secret 1").await);
    app.grant("alice", "push", "own").await;
    let grant = app.grant("alice", "pull", "theirs").await;
    let blob = Blob::new(3000);
    root.at("theirs/a").push_blob(&blob).await;
    let both = ["repository:own/a:pull,push", "repository:theirs/a:pull"];
    let (wide, narrow) = (alice.by_token_for(&both).await, alice.by_token_for(&both[..1]).await);
    let mount = |from: &str| format!("/v2/own/a/blobs/uploads/?mount={}{from}", blob.digest);
    let named = "&from=theirs/a";
    let refused = narrow.post(&mount(named)).await.status(202);
    alice.at("own/a").lacks_blob(&blob.digest).await;
    // The session that came instead works.
    narrow.put(&with(&refused.location(), "digest", &blob.digest), blob.bytes.clone()).await.status(201);
    root.at("own/a").client.delete(&root.at("own/a").blob(&blob.digest)).await.status(202);
    narrow.post(&mount("")).await.status(202);
    wide.post(&mount(named)).await.status(201);
    alice.at("own/a").has_blob(&blob).await;
    root.delete(&root.at("own/a").blob(&blob.digest)).await.status(202);
    alice.post(&mount(named)).await.status(201);
    root.delete(&root.at("own/a").blob(&blob.digest)).await.status(202);
    app.ungrant(grant).await;
    for client in [&alice, &wide, &narrow] {
        client.post(&mount(named)).await.status(202);
        client.post(&mount("")).await.status(202);
        root.at("own/a").lacks_blob(&blob.digest).await;
    }
}

/// N-15, N-20: what stands in the file cannot be changed at run time, and says so; changes of rows act on the next request.
#[tokio::test]
async fn n_20_namespaces_of_the_file_stand() {
    let file = "[[namespace]]\nprefix = 'written'\nvisibility = 'private'\ngrants = ['alice push', 'group:devs pull written/docs']\n\
                tags = { immutable = ['v*'] }\n";
    let app = Gantry::options().file(file).start().await;
    let alice = app.user("alice", "a secret 1").await;
    assert_eq!(may(&alice, "written/a").await, "pull,push");
    assert_eq!(may(&alice, "other/a").await, "");
    let api = app.operator_api();
    let said = |answer: crate::harness::Answer| {
        answer.status(409).json()["detail"].as_str().unwrap_or_default().to_owned()
    };
    assert!(said(api.post("/api/namespaces").json(&json!({ "prefix": "written" })).await).contains("file"));
    let change = json!({ "visibility": "public" });
    assert!(said(api.call("PATCH", "/api/namespaces/written").json(&change).await).contains("file"));
    assert!(said(api.delete("/api/namespaces/written").await).contains("file"));
    app.client().get("/v2/written/a/tags/list").await.status(401);
    // Rows: at once.
    app.namespace("made", "private").await;
    assert_eq!(may(&alice, "made/a").await, "");
    app.operate("PATCH", "/api/namespaces/made", change).await;
    assert_eq!(may(&alice, "made/a").await, "pull");
    app.operate("DELETE", "/api/namespaces/made", serde_json::Value::Null).await;
    assert_eq!(may(&alice, "made/a").await, "");
}

/// N-21: what is explained is what happens.
#[tokio::test]
async fn n_21_explanations_and_answers_agree() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let alice = app.user("alice", "a secret 1").await;
    for (prefix, visibility) in [("pub", "public"), ("priv", "private"), ("hid", "hidden")] {
        app.namespace(prefix, visibility).await;
    }
    app.grant("alice", "push", "priv/team").await;
    app.grant("group:authenticated", "pull", "hid/docs").await;
    for name in ["pub/a", "priv/a", "priv/team/a", "hid/docs", "nowhere"] {
        for (subject, client) in [("alice", &alice), ("anonymous", &app.client())] {
            let does = may(client, name).await;
            for action in ["pull", "push", "delete"] {
                let path = format!("/api/explain?subject={subject}&action={action}&repository={name}");
                let said = app.operator_api().get(&path).await.status(200).json();
                let does = does.split(',').any(|word| word == action);
                assert_eq!(said["allowed"], does, "{subject} {action} {name}: {said}");
                assert_eq!(said["rule"].is_string(), does, "{said}");
                assert_eq!(said["missing"].is_string(), !does, "{said}");
            }
        }
    }
    alice.get("/api/explain?subject=alice&action=pull&repository=pub/a").await.status(200);
    alice.get("/api/explain?subject=root&action=pull&repository=pub/a").await.status(403);
    app.client().get("/api/explain?subject=anonymous&action=pull&repository=pub/a").await.status(401);
}
