//! What an administrator does, over each of the three ways to a server.

use super::{Done, Shell, administered};
use crate::harness::{Blob, Gantry};
use crate::ops::eventually;

#[tokio::test]
async fn everything_works_beside_a_running_server() {
    let app = Gantry::start().await;
    let shell = Shell::beside(app.data());
    first_account(&shell).await.says("this is the first account");
    story(&shell).await;
}

#[tokio::test]
async fn everything_works_on_the_store_of_a_stopped_server() {
    let mut app = Gantry::start().await;
    app.sigterm().await;
    let shell = Shell::beside(app.data());
    first_account(&shell).await.says("this is the first account");
    story(&shell).await;
    app.restart().await;
    app.client().get("/v2/").await.status(401);
    app.client().basic("root", "correct horse").get("/v2/").await.status(200);
}

#[tokio::test]
async fn everything_works_from_elsewhere_over_tls() {
    let (_app, _, remote) = administered().await;
    story(&remote).await;
}

async fn first_account(shell: &Shell) -> Done {
    shell.type_in(&["user", "add", "root", "--admin", "--password-stdin"], "correct horse").await.good()
}

/// `root` is there, and nobody else.
async fn story(shell: &Shell) {
    accounts(shell).await;
    tokens(shell).await;
    grants(shell).await;
    namespaces(shell).await;
    the_rest(shell).await;
}

async fn accounts(shell: &Shell) {
    let add = ["user", "add", "bob", "--email", "bob@example.com", "--group", "dev", "--password-stdin"];
    let added = shell.type_in(&add, "battery staple\n").await.good().prints("bob");
    assert!(!added.err.contains("first account"), "{}", added.err);
    shell.type_in(&add, "battery staple").await.code(1).says("409");
    let list = shell.run(&["user", "list"]).await.good();
    assert_eq!(list.column("NAME"), ["bob", "root"]);
    assert_eq!(list.column("ADMIN"), ["no", "yes"]);
    let list = shell.run(&["user", "list", "--json"]).await.good().json();
    assert_eq!(list["users"][0]["email"], "bob@example.com");
    assert_eq!(list["next"], serde_json::Value::Null);

    shell.run(&["user", "show", "bob"]).await.good().prints("email:");
    shell.run(&["user", "set", "bob", "--group", "ops", "--group", "dev"]).await.good();
    let bob = shell.run(&["user", "show", "bob", "--json"]).await.good().json();
    assert_eq!(bob["groups"], serde_json::json!(["ops", "dev"]));
    shell.run(&["user", "set", "bob", "--no-groups", "--admin"]).await.good();
    shell.run(&["user", "disable", "bob"]).await.good();
    assert_eq!(shell.run(&["user", "list"]).await.good().column("STATE"), ["disabled", "enabled"]);
    shell.run(&["user", "disable", "root"]).await.code(1).says("409");
    shell.run(&["user", "enable", "bob"]).await.good();
    shell.type_in(&["user", "password", "bob", "--password-stdin"], "new password\r\n").await.good();
    shell.run(&["user", "set", "bob", "--no-admin"]).await.good();
    shell.run(&["user", "show", "nobody"]).await.code(1).says("404").says("request ");
}

async fn tokens(shell: &Shell) {
    let create = [
        "token",
        "create",
        "--name",
        "builds",
        "--robot",
        "ci",
        "--scope",
        "team/**:pull,push",
        "--expires",
        "30d",
    ];
    let made = shell.run(&create).await.good().says("robot:ci").says("team/**:pull,push");
    let secret = made.out.trim_end();
    assert!(made.out.lines().count() == 1 && secret.starts_with("gty_"), "the secret alone: {}", made.out);
    let mut words = create.to_vec();
    words.push("--json");
    let made = shell.run(&words).await.good().json();
    assert!(made["secret"].as_str().is_some_and(|secret| secret.starts_with("gty_")));
    let never = ["token", "create", "--name", "mine", "--owner", "bob", "--expires", "never", "--json"];
    assert_eq!(shell.run(&never).await.good().json()["token"]["expires"], serde_json::Value::Null);

    let list = shell.run(&["token", "list", "--subject", "robot:ci"]).await.good();
    assert_eq!(list.column("SUBJECT"), ["robot:ci", "robot:ci"]);
    assert!(!list.out.contains("gty_") && !list.out.contains(secret));
    let id = made["token"]["id"].as_str().expect("an id");
    shell.run(&["token", "revoke", id]).await.good();
    shell.run(&["token", "revoke", id]).await.code(1).says("404");
    assert_eq!(shell.run(&["token", "list"]).await.good().column("NAME").len(), 2);
}

async fn grants(shell: &Shell) {
    shell
        .run(&["explain", "bob", "push", "team/app:1.0"])
        .await
        .code(1)
        .prints("bob may not push team/app:1.0");
    let grant = shell.run(&["grant", "add", "bob", "push", "team", "--json"]).await.good().json();
    shell
        .run(&["grant", "add", "group:dev", "pull", "/"])
        .await
        .good()
        .prints("group:dev has the role pull on");
    shell.run(&["explain", "bob", "push", "team/app:1.0"]).await.good().prints("rule:").prints("`team`");
    let told = shell.run(&["explain", "bob", "delete", "team/app", "--json"]).await.code(1).json();
    assert_eq!(told["allowed"], false);
    assert!(told["missing"].is_string(), "{told}");

    let list = shell.run(&["grant", "list"]).await.good();
    assert_eq!(list.column("SUBJECT"), ["bob", "group:dev"]);
    assert_eq!(shell.run(&["grant", "list", "--subject", "bob"]).await.good().column("PATTERN"), ["team"]);
    shell.run(&["grant", "remove", "group:dev", "pull", "/"]).await.good();
    shell.run(&["grant", "remove", "bob", "pull", "team"]).await.code(1).says("no grant of the role pull");
    shell.run(&["grant", "remove", &grant["id"].to_string()]).await.good();
    shell.run(&["grant", "remove", &grant["id"].to_string()]).await.code(1).says("404");
    shell.run(&["explain", "bob", "push", "team/app"]).await.code(1);
}

async fn namespaces(shell: &Shell) {
    let create = [
        "namespace",
        "create",
        "team/app",
        "--visibility",
        "hidden",
        "--immutable",
        "v*",
        "--immutable",
        "r?",
    ];
    shell.run(&create).await.good().prints("team/app");
    shell.run(&create).await.code(1).says("409");
    shell
        .run(&["namespace", "create", "/", "--visibility", "private", "--description", "the rest"])
        .await
        .good();
    assert_eq!(shell.run(&["namespace", "list"]).await.good().column("PREFIX"), ["/", "team/app"]);
    shell.run(&["namespace", "show", "/"]).await.good().prints("the rest");
    shell
        .run(&["namespace", "set", "team/app", "--visibility", "public", "--protected", "latest"])
        .await
        .good();
    let shown = shell.run(&["namespace", "show", "team/app", "--json"]).await.good().json();
    assert_eq!(shown["visibility"], "public");
    assert_eq!(shown["tags"], serde_json::json!({ "immutable": ["v*", "r?"], "protected": ["latest"] }));
    shell.run(&["namespace", "set", "team/app", "--no-immutable"]).await.good();
    let shown = shell.run(&["namespace", "show", "team/app", "--json"]).await.good().json();
    assert_eq!(shown["tags"], serde_json::json!({ "immutable": [], "protected": ["latest"] }));
    for prefix in ["/", "team/app"] {
        shell.run(&["namespace", "remove", prefix]).await.good();
    }
    shell.run(&["namespace", "show", "team/app"]).await.code(1);
}

async fn the_rest(shell: &Shell) {
    assert_eq!(shell.run(&["storage", "list"]).await.good().column("NAME"), ["default"]);
    shell.run(&["storage", "check"]).await.good().prints("default: all is well");
    shell.run(&["storage", "check", "nowhere"]).await.code(1).says("404");
    let storages = shell.run(&["storage", "list", "--json"]).await.good().json();
    assert_eq!(storages["storages"][0]["default"], true);

    shell.run(&["key", "rotate"]).await.good().prints("signed with");
    let keys = shell.run(&["key", "list"]).await.good();
    assert!(keys.column("RETIRED").iter().filter(|cell| **cell == "-").count() == 1, "{}", keys.out);
    shell.run(&["jobs"]).await.good().prints("STATE");
    shell.run(&["jobs", "12345"]).await.code(1).says("404");

    shell.run(&["user", "remove", "bob"]).await.good();
    assert_eq!(shell.run(&["user", "list"]).await.good().column("NAME"), ["root"]);
    shell.run(&["user", "remove", "root"]).await.code(1).says("409");

    let audit = shell.run(&["audit", "--action", "user.remove", "--result", "allowed"]).await.good();
    assert_eq!(audit.column("ACTION"), ["user.remove"]);
    let lines = shell.run(&["audit", "--json", "-n", "3"]).await.good();
    let lines: Vec<serde_json::Value> =
        lines.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0]["id"].as_i64() > lines[1]["id"].as_i64(), "the newest first");
    let all = shell.run(&["audit", "--json", "-n", "0", "--since", "1h"]).await.good();
    assert!(all.out.lines().count() > 20, "{}", all.out);
    shell.run(&["audit", "--since", "2099-01-01T00:00:00Z", "--json"]).await.good().none();
}

/// Another storage for a namespace: its content is moved while the server runs.
#[tokio::test]
async fn a_namespace_is_moved_and_its_job_is_watched() {
    let other = tempfile::tempdir().expect("a directory");
    let app =
        Gantry::options().set("storage.archive.local.path", &format!("{:?}", other.path())).start().await;
    let shell = Shell::beside(app.data());
    let repo = app.client().at("team/app");
    let blob = Blob::new(40_000);
    repo.push_blob(&blob).await;
    assert_eq!(shell.run(&["storage", "list"]).await.good().column("NAME").len(), 2);
    shell
        .run(&["storage", "check"])
        .await
        .good()
        .prints("archive: all is well")
        .prints("default: all is well");
    shell.run(&["namespace", "create", "team", "--storage", "nowhere"]).await.code(1).says("400");
    shell.run(&["namespace", "create", "team", "--visibility", "public"]).await.good();
    shell.run(&["namespace", "set", "team", "--storage", "archive"]).await.good().says("`gantry jobs ");
    let jobs = shell.run(&["jobs"]).await.good();
    let id = jobs.column("ID").first().expect("a job").to_string();
    eventually("the job is done", async || {
        let job = shell.run(&["jobs", &id, "--json"]).await.good().json();
        (job["state"] == "done").then_some(())
    })
    .await;
    shell.run(&["jobs", &id]).await.good().prints("kind:").prints("team");
    shell.run(&["namespace", "show", "team"]).await.good().prints("archive");
    repo.has_blob(&blob).await;
    let storages = shell.run(&["storage", "list"]).await.good();
    assert_eq!(
        (storages.column("NAME"), storages.column("BLOBS")),
        (vec!["default", "archive"], vec!["0", "1"])
    );
}

impl Done {
    fn none(self) {
        assert_eq!(self.out, "");
    }
}
