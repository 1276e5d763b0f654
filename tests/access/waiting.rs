//! Who has to wait after failures (N-10), and who is not served at all (N-9).

use std::time::Duration;

use crate::harness::{Client, Gantry, Options};

/// A server behind a proxy on this machine, which says where clients are.
fn behind_a_proxy() -> Options {
    Gantry::options()
        .set("server.trusted_proxies", "['127.0.0.1/32']")
        .account("alice", "secret")
        .account("bob", "secret")
}

fn at(gantry: &Gantry, address: &str) -> Client {
    gantry.client().with("x-forwarded-for", address)
}

async fn fail(client: &Client, name: &str, times: usize) {
    for _ in 0..times {
        client.basic(name, "wrong").get("/v2/").await.status(401);
    }
}

#[tokio::test]
async fn n_10_a_name_waits_at_its_address_after_ten_failures() {
    let gantry = behind_a_proxy().start().await;
    let here = at(&gantry, "192.0.2.1");
    fail(&here, "alice", 10).await;
    for target in ["/v2/", "/v2/some/tags/list", "/token?service=x"] {
        let told = here.basic("alice", "wrong").get(target).await.status(429);
        let seconds: u64 = told.get("retry-after").expect("a time").parse().expect("seconds");
        assert!((1..=2).contains(&seconds), "{target}: {seconds}");
    }
    here.basic("alice", "secret").get("/v2/").await.status(429);
    // Others do not wait: who is not alice, and alice elsewhere.
    here.basic("bob", "secret").get("/v2/").await.status(200);
    at(&gantry, "192.0.2.2").basic("alice", "secret").get("/v2/").await.status(200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    here.basic("alice", "secret").get("/v2/").await.status(200);
    // And all is forgotten.
    fail(&here, "alice", 9).await;
    here.basic("alice", "secret").get("/v2/").await.status(200);
}

#[tokio::test]
async fn n_10_waits_grow_and_are_the_same_for_names_that_nobody_has() {
    let gantry = behind_a_proxy().start().await;
    let here = at(&gantry, "2001:db8::1");
    let mut told = Vec::new();
    for name in ["alice", "nobody"] {
        fail(&here, name, 10).await;
        tokio::time::sleep(Duration::from_millis(1100)).await;
        fail(&here, name, 1).await;
        // The next address of the same network.
        let answer = at(&gantry, "2001:db8::2").basic(name, "wrong").get("/v2/").await.status(429);
        told.push((answer.get("retry-after").map(str::to_owned), answer.body));
    }
    assert_eq!(told[0].0.as_deref(), Some("2"));
    assert_eq!(told[0], told[1]);
    at(&gantry, "2001:db8:0:1::1").basic("alice", "secret").get("/v2/").await.status(200);
}

#[tokio::test]
async fn n_10_tokens_that_are_tried_as_passwords_count() {
    let gantry = behind_a_proxy().start().await;
    let here = at(&gantry, "192.0.2.1");
    for number in 0..10 {
        let token = format!("gty_{number:043}");
        here.basic("robot", &token).get("/v2/").await.status(401);
    }
    here.basic("robot", "gty_another").get("/v2/").await.status(429);
}

#[tokio::test]
async fn n_9_addresses_that_are_not_served_are_refused_without_a_challenge() {
    let gantry = behind_a_proxy()
        .set("auth.addresses.allow", "['192.0.2.0/24', '2001:db8::/32']")
        .set("auth.addresses.deny", "['192.0.2.128/25']")
        .start()
        .await;
    for refused in ["192.0.2.200", "198.51.100.1", "2001:db9::1"] {
        let there = at(&gantry, refused);
        for client in [there.clone(), there.basic("alice", "secret"), there.basic("alice", "wrong")] {
            for target in ["/v2/", "/v2/some/manifests/v1", "/token?service=x"] {
                let answer = client.get(target).await.status(403).error("DENIED");
                assert_eq!(answer.get("www-authenticate"), None, "{refused} {target}");
            }
        }
    }
    for served in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
        at(&gantry, served).basic("alice", "secret").get("/v2/").await.status(200);
        at(&gantry, served).get("/v2/").await.status(401);
    }
    // The proxy's own address is not in the list, and what a client claims behind its back does not count.
    gantry.client().get("/v2/").await.status(403);
    at(&gantry, "192.0.2.1, 198.51.100.1").get("/v2/").await.status(403);
}

/// A token goes with any name. Who has one of his own must not get new tries at the password of another by it.
#[tokio::test]
async fn n_10_a_token_under_anothers_name_gives_no_new_tries() {
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "a long enough password\n").expect("written");
    let gantry = behind_a_proxy()
        .variable("GANTRY_ADMIN_PASSWORD_FILE", password.to_str().expect("a path"))
        .start()
        .await;
    let here = at(&gantry, "192.0.2.1");
    let made = here
        .basic("admin", "a long enough password")
        .call("POST", "/api/tokens")
        .header("content-type", "application/json")
        .body(r#"{"name":"mine"}"#)
        .await
        .status(201)
        .json();
    let token = made["secret"].as_str().unwrap_or_else(|| panic!("no secret in {made}"));
    fail(&here, "alice", 9).await;
    here.basic("alice", token).get("/v2/").await.status(200);
    fail(&here, "alice", 1).await;
    here.basic("alice", "wrong").get("/v2/").await.status(429);
}
