//! What the file says of access, taken into force by SIGHUP; and how many requests a caller may make.

use rustix::process::{Pid, Signal, kill_process};

use crate::admin::{account, grant};
use crate::harness::{Gantry, image};
use crate::ops::eventually;

fn hangup(app: &Gantry) {
    let pid = Pid::from_raw(i32::try_from(app.pid()).expect("a pid")).expect("a process");
    kill_process(pid, Signal::HUP).expect("sent");
}

/// Namespaces, grants and tag rules act after SIGHUP; a mistake changes nothing, and what waits for a restart is named.
#[tokio::test]
async fn sighup_takes_what_the_file_says_of_access_into_force() {
    let app = Gantry::options().file("[auth]\nanonymous = \"read\"\n").start().await;
    let alice = account(&app, "alice", serde_json::json!({})).await;
    let repo = alice.at("team/app");
    let push = async || repo.client.post("/v2/team/app/blobs/uploads/").await.status;
    assert_eq!(push().await, 403, "no right yet");

    let rules = "[auth]\nanonymous = \"read\"\n[[namespace]]\nprefix = \"team\"\nvisibility = \"private\"\n\
                 grants = [\"alice push\"]\ntags = { immutable = [\"v*\"] }\n";
    app.rewrite_file(rules);
    hangup(&app);
    eventually("alice may push", async || (push().await == 202).then_some(())).await;
    app.client().get("/v2/team/app/tags/list").await.status(401);
    let (one, two) = (image().build(), image().build());
    repo.push("v1", &one).await.status(201);
    repo.push("v1", &one).await.status(201);
    repo.push_parts(&two).await;
    repo.put_manifest("v1", &two.manifest).await.status(403).error("DENIED");

    app.rewrite_file(&format!("{rules}[[namespace]]\nprefix = \"TEAM\"\n"));
    hangup(&app);
    eventually("the mistake is told", async || app.log().contains("was not reloaded").then_some(())).await;
    assert_eq!(push().await, 202, "the rules read last stay in force");

    app.rewrite_file(&format!("{rules}[limits]\nconnections = 77\n[log]\nlevel = \"debug\"\n"));
    hangup(&app);
    eventually("what waits is named", async || app.log().contains("[limits]").then_some(())).await;
    assert!(!app.log().contains("[log]"), "{}", app.log());
}

/// N-24: each caller has a bucket of its own, health is not counted, and the answer says when to come back.
#[tokio::test]
async fn n_24_each_caller_may_make_so_many_requests() {
    let app = Gantry::options()
        .set("limits.requests_per_second", "2")
        .set("limits.burst", "10")
        .set("auth.anonymous", "read")
        .start()
        .await;
    let alice = account(&app, "alice", serde_json::json!({})).await;
    grant(&app, "alice", "push", "**").await;
    let anon = app.client();
    let mut refused = None;
    for _ in 0..30 {
        let answer = anon.get("/v2/_catalog").await.status_in(&[200, 429]);
        assert_eq!(answer.get("ratelimit-limit"), Some("10"));
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("thirty at once are too many").error("TOOMANYREQUESTS");
    assert_eq!((refused.get("retry-after"), refused.get("ratelimit-remaining")), (Some("1"), Some("0")));
    alice.get("/v2/_catalog").await.status(200);
    anon.get("/healthz").await.status(200);
    app.operator_api().get("/api/users").await.status(200).no_header("ratelimit-limit");
    // It passes by itself.
    eventually("there is room again", async || (anon.get("/v2/_catalog").await.status == 200).then_some(()))
        .await;
}
