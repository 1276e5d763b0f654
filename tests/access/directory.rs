//! Logging in with an account of a directory, through the program.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::harness::slapd::{GROUPS, PEOPLE, SEARCHER, Slapd};
use crate::harness::tls::Authority;
use crate::harness::{Gantry, Options, image};

fn options(url: &str) -> Options {
    Gantry::options()
        .set("auth.ldap.url", url)
        .set("auth.ldap.bind_dn", SEARCHER)
        .set("auth.ldap.bind_password", "searching")
        .set("auth.ldap.user_base", PEOPLE)
        .set("auth.ldap.group_base", GROUPS)
        .set("auth.ldap.role", "push")
}

#[tokio::test]
async fn an_account_of_the_directory_is_an_account() {
    let Some(slapd) = Slapd::start("directory", &Authority::new()) else { return };
    let gantry = options(&slapd.url()).account("local", "secret").start().await;
    let repo = gantry.client().basic("alice", "alice-secret").repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    repo.client.delete(&repo.manifest("v1")).await.status(403).error("DENIED");
    let client = gantry.client();
    for (name, password) in
        [("alice", "wrong"), ("alice", ""), ("nobody", "x"), ("twin", "twin-secret"), ("*", "alice-secret")]
    {
        client.basic(name, password).get(&repo.manifest("v1")).await.status(401);
    }
    client.get(&repo.manifest("v1")).await.status(401);
    client.basic("local", "secret").get(&repo.manifest("v1")).await.status(200);
    client.basic("Bob", "bob-secret").get("/v2/").await.status(200);

    // Through the token server, too.
    let scope = format!("/token?scope=repository:{}:pull,push", repo.name);
    let answer = repo.client.get(&scope).await.status(200).json();
    let token = answer["token"].as_str().expect("a token");
    let bearer = client.with("authorization", &format!("Bearer {token}"));
    bearer.get(&repo.manifest("v1")).await.status(200);
    let log = gantry.log();
    assert!(!log.contains("alice-secret") && !log.contains("searching"), "{log}");
}

/// Refresh tokens live for months; who has left the directory does not.
#[tokio::test]
async fn a_refresh_token_ends_when_its_owner_leaves_the_directory() {
    let Some(mut slapd) = Slapd::start("directory", &Authority::new()) else { return };
    let gantry = options(&slapd.url()).start().await;
    let client = gantry.client();
    let target = "/token?offline_token=true&client_id=test";
    let made = client.basic("alice", "alice-secret").get(target).await.status(200).json();
    let token = made["refresh_token"].as_str().expect("a refresh token").to_owned();
    let service = gantry.address();
    let form = format!("grant_type=refresh_token&refresh_token={token}&service={service}&client_id=test");
    let refresh = async || {
        let call = client.post("/token").header("content-type", "application/x-www-form-urlencoded");
        call.body(form.clone()).await
    };
    refresh().await.status(200);
    slapd.stop();
    refresh().await.status(503).error("UNAVAILABLE");
    slapd.again();
    refresh().await.status(200);
    slapd.without("alice");
    refresh().await.status(401);
}

/// Rights are granted to groups of the directory, to its people, and to those who show certificates, as to accounts.
#[tokio::test]
async fn rights_are_granted_to_groups_and_names_of_the_directory() {
    let Some(slapd) = Slapd::start("directory", &Authority::new()) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let password = dir.path().join("password");
    std::fs::write(&password, "a long enough password\n").expect("written");
    let gantry = options(&slapd.url())
        .set("auth.ldap.role", "none")
        .variable("GANTRY_ADMIN_PASSWORD_FILE", password.to_str().expect("a path"))
        .start()
        .await;
    let admin = gantry.client().basic("admin", "a long enough password");
    let grant = async |subject: &str, pattern: &str| {
        let body = format!("{{\"subject\":{subject:?},\"role\":\"push\",\"pattern\":{pattern:?}}}");
        let call = admin.post("/api/grants").header("content-type", "application/json");
        call.body(body).await.status_in(&[200, 201]);
    };
    grant("group:ops", "ops/**").await;
    grant("group:Staff, EU", "staff/**").await;
    grant("ldap:Bob", "bob/**").await;
    let image = image().build();
    let alice = gantry.client().basic("alice", "alice-secret");
    alice.at("ops/app").push("v1", &image).await.status(201);
    alice.at("staff/app").push("v1", &image).await.status(201);
    let bob = gantry.client().basic("bob", "bob-secret");
    bob.at("bob/app").push("v1", &image).await.status(201);
    for stranger in [bob.at("ops/app"), alice.at("bob/app")] {
        stranger.client.get(&stranger.manifest("v1")).await.status_in(&[403, 404]);
    }
}

/// A name that an account has is that account's alone, whatever the directory says.
#[tokio::test]
async fn an_account_here_comes_before_one_of_the_directory() {
    let Some(slapd) = Slapd::start("directory", &Authority::new()) else { return };
    let gantry = options(&slapd.url()).account("alice", "local-secret").start().await;
    let alice = |password: &str| gantry.client().basic("alice", password);
    alice("local-secret").get("/v2/").await.status(200);
    alice("alice-secret").get("/v2/").await.status(401);
}

/// A good answer is remembered for a minute; a directory that went away is no reason to refuse anybody.
#[tokio::test]
async fn a_directory_that_is_away_is_told_apart_from_a_wrong_password() {
    let Some(mut slapd) = Slapd::start("directory", &Authority::new()) else { return };
    let gantry = options(&slapd.url()).account("local", "secret").start().await;
    let client = gantry.client();
    client.basic("alice", "alice-secret").get("/v2/").await.status(200);
    slapd.stop();
    client.basic("alice", "alice-secret").get("/v2/").await.status(200);
    let away = client.basic("Bob", "bob-secret").get("/v2/").await.status(503).error("UNAVAILABLE");
    assert!(away.get("retry-after").is_some());
    // It says nothing about the password, so nobody has to wait for it.
    for _ in 0..12 {
        client.basic("Bob", "bob-secret").get("/v2/").await.status(503);
    }
    client.basic("local", "secret").get("/v2/").await.status(200);
    slapd.again();
    client.basic("Bob", "bob-secret").get("/v2/").await.status(200);
}

#[tokio::test]
async fn a_directory_that_hangs_holds_up_nobody_else() {
    let hanging = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let url = format!("ldap://{}", hanging.local_addr().expect("its address"));
    let gantry = options(&url).set("auth.ldap.timeout", "2s").account("local", "secret").start().await;
    let waiting: Vec<_> = (0..20)
        .map(|_| tokio::spawn(gantry.client().basic("alice", "alice-secret").get("/v2/").into_future()))
        .collect();
    let started = Instant::now();
    for _ in 0..10 {
        gantry.client().basic("local", "secret").get("/v2/").await.status(200);
    }
    assert!(started.elapsed() < Duration::from_secs(2), "local accounts waited for the directory");
    for answer in waiting {
        let answer = answer.await.expect("an answer").status(503).error("UNAVAILABLE");
        assert!(answer.get("retry-after").is_some());
    }
    assert!(started.elapsed() < Duration::from_secs(15));
}
