//! Who may do what, and what a stranger learns.

use std::time::{Duration, Instant};

use crate::harness::repo::with;
use crate::harness::{Alg, Blob, Gantry, image};

/// CVE-2026-41888: deletes that are switched off, for every kind of reference, over every way to say it.
#[tokio::test]
async fn deletes_that_are_switched_off_are_refused_for_every_kind_of_reference() {
    const KINDS: [&str; 3] = ["tag", "manifest", "blob"];
    for off in [&KINDS[..], &["tag"], &["manifest"], &["blob"], &["tag", "manifest"]] {
        let on: Vec<_> = KINDS.iter().filter(|kind| !off.contains(kind)).collect();
        let gantry = Gantry::options().set("registry.delete", &format!("{on:?}")).start().await;
        let repo = gantry.repo();
        let image = image().build();
        repo.push("v1", &image).await;
        repo.push_manifest(&image.manifest.digest, &image.manifest).await;
        let by_kind = [
            (
                "tag",
                vec![
                    repo.manifest("v1"),
                    repo.manifest("missing"),
                    repo.manifest("%76%31"),
                    repo.manifest("v1?x=y"),
                ],
            ),
            (
                "manifest",
                vec![
                    repo.manifest(image.digest()),
                    repo.manifest(&Alg::Sha256.unknown()),
                    repo.manifest(&image.digest().replace(':', "%3a")),
                ],
            ),
            (
                "blob",
                vec![
                    repo.blob(&image.blobs[1].digest),
                    repo.blob(&Alg::Sha512.unknown()),
                    repo.blob(image.digest()),
                ],
            ),
        ];
        for (kind, paths) in &by_kind {
            for path in paths.iter().filter(|_| off.contains(kind)) {
                for client in [
                    repo.client.clone(),
                    repo.client.http2(None),
                    repo.client.with("x-http-method-override", "DELETE"),
                ] {
                    client.delete(path).await.status(405).error("UNSUPPORTED");
                }
                repo.client
                    .post(path)
                    .header("x-http-method-override", "DELETE")
                    .await
                    .status_in(&[404, 405]);
            }
        }
        repo.has_manifest("v1", &image.manifest).await;
        for blob in &image.blobs {
            repo.has_blob(blob).await;
        }
    }
}

/// CVE-2023-20902: a wrong password takes as long for a name that exists as for one that does not, and reads the same.
#[tokio::test]
async fn a_wrong_password_costs_the_same_for_known_and_unknown_names() {
    let gantry = Gantry::options()
        .account("old", "old")
        .set("server.trusted_proxies", "['127.0.0.0/8']")
        .start()
        .await;
    // Hashes of the tests are cheap; this one costs enough to be seen.
    let line = format!("alice:{}\n", bcrypt::hash("right", 8).expect("a hash"));
    std::fs::write(gantry.dir().join("htpasswd"), line).expect("written");
    let alice = gantry.client().basic("alice", "right");
    crate::ops::eventually("the account is there", async || {
        (alice.get("/v2/").await.status == 200).then_some(())
    })
    .await;
    let median = async |name: &str, attempt: usize| {
        let mut times = Vec::new();
        for number in 0..15 {
            let client = gantry.client().basic(name, &format!("wrong{attempt}-{number}"));
            // From elsewhere each time, or the name would have to wait.
            let client = client.with("x-forwarded-for", &format!("192.0.2.{}", attempt * 15 + number));
            let started = Instant::now();
            client.get("/v2/").await.status(401).error("UNAUTHORIZED");
            times.push(started.elapsed());
        }
        times.sort();
        times[times.len() / 2]
    };
    let mut last = (Duration::ZERO, Duration::ZERO);
    for attempt in 0..6 {
        let (known, unknown) = (median("alice", attempt).await, median("nobody", attempt).await);
        let (less, more) = (known.min(unknown), known.max(unknown));
        if more < less * 3 / 2 || more - less < Duration::from_millis(2) {
            let body = async |name: &str| {
                let answer = gantry.client().basic(name, "wrong").get("/v2/").await;
                (answer.status, answer.get("www-authenticate").map(str::to_owned), answer.body.len())
            };
            assert_eq!(body("alice").await, body("nobody").await);
            return;
        }
        last = (known, unknown);
    }
    panic!("a known name takes {:?}, an unknown one {:?}", last.0, last.1);
}

/// What one may not see and what is not there answer alike.
#[tokio::test]
async fn what_is_there_and_what_is_not_look_the_same_to_strangers() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let alice = gantry.client().basic("alice", "a").at("secret/app");
    let image = image().build();
    alice.push("v1", &image).await;
    let stranger = gantry.client();
    let other = stranger.at("nobody/here");
    let hidden = stranger.at("secret/app");
    for (there, missing) in [
        (hidden.manifest("v1"), other.manifest("v1")),
        (hidden.manifest(image.digest()), other.manifest(&Alg::Sha256.unknown())),
        (hidden.blob(&image.blobs[0].digest), other.blob(&Alg::Sha256.unknown())),
        (hidden.path("tags/list"), other.path("tags/list")),
    ] {
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let shape = async |path: &str| {
                let answer = stranger.call(method, path).await;
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                let body = body.replace("secret/app", "NAME").replace("nobody/here", "NAME");
                let challenge = answer
                    .get("www-authenticate")
                    .unwrap_or_default()
                    .replace("secret/app", "NAME")
                    .replace("nobody/here", "NAME");
                (answer.status, challenge, body)
            };
            assert_eq!(shape(&there).await, shape(&missing).await, "{method} {there}");
        }
    }
}

/// CVE-2025-48374: passwords, whole or as they are sent, are in no log line, no metric and no answer.
#[tokio::test]
async fn no_secret_is_in_the_log_the_metrics_or_an_answer() {
    const SECRETS: [&str; 3] = ["correct-horse-battery", "wrong-horse-battery", "bearer-horse-battery"];
    for format in ["human", "json"] {
        let gantry = Gantry::options()
            .account("alice", SECRETS[0])
            .set("log.level", "trace")
            .set("log.format", &format!("{format:?}"))
            .start()
            .await;
        let good = gantry.client().basic("alice", SECRETS[0]);
        let bad = gantry.client().basic("alice", SECRETS[1]);
        let bearer = gantry.client().with("authorization", &format!("Bearer {}", SECRETS[2]));
        let mut answers = String::new();
        for client in [&good, &bad, &bearer, &good.http2(None)] {
            let repo = client.at("some/app");
            let digest = Alg::Sha256.of(b"x");
            for call in [
                client.get("/v2/"),
                client.get("/v2/UPPER/tags/list"),
                client.get("/nothing"),
                client.get(&repo.manifest("v1")),
                client.put(&repo.manifest("v1"), "not JSON"),
                client.post(&with(&repo.uploads(), "digest", &digest)).body("y"),
                client.delete(&repo.blob(&digest)),
                client.call("BREW", "/v2/"),
            ] {
                let answer = call.await;
                answers.push_str(&format!("{:?}{}", answer.headers, String::from_utf8_lossy(&answer.body)));
            }
        }
        good.repo().push("v1", &image().build()).await;
        let broken = crate::harness::raw::exchange(
            gantry.address(),
            format!("GET /v2/ HTTP/1.1\r\nAuthorization: Basic {}\r\nbroken\r\n\r\n", SECRETS[0]),
        );
        answers.push_str(&format!("{:?}", broken.await));
        let metrics = gantry.operator().get("/metrics").await;
        answers.push_str(&String::from_utf8_lossy(&metrics.body));
        answers.push_str(&gantry.log());
        assert!(answers.contains("some/app"), "something was logged");
        use base64::Engine as _;
        for secret in SECRETS {
            let encoded = base64::engine::general_purpose::STANDARD.encode(format!("alice:{secret}"));
            for needle in [secret, &encoded, &encoded[9..encoded.len() - 3]] {
                let found = answers.lines().find(|line| line.contains(needle));
                assert!(found.is_none(), "{needle}: {found:?}");
            }
        }
        assert!(!answers.contains("$2b$") && !answers.contains("$2y$"), "no hash either");
    }
}

/// CVE-2026-20896: nobody is somebody by a header.
#[tokio::test]
async fn headers_of_proxies_make_nobody_somebody() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    let alice = gantry.client().basic("alice", "a").at("secret/app");
    alice.push_blob(&Blob::new(1)).await;
    for name in [
        "x-webauth-user",
        "x-remote-user",
        "remote-user",
        "x-forwarded-user",
        "x-auth-request-user",
        "x-authenticated-user",
        "from",
        "cookie",
        "proxy-authorization",
        "x-original-url",
        "x-rewrite-url",
    ] {
        for value in ["alice", "admin", "user=alice", "Basic YWxpY2U6YQ==", "/healthz"] {
            let spoofed = gantry
                .client()
                .with(name, value)
                .with("x-forwarded-for", "127.0.0.1")
                .with("x-real-ip", "127.0.0.1");
            spoofed.get("/v2/").await.status(401);
            spoofed.get("/v2/_catalog").await.status(401);
        }
    }
    // Two Authorization headers: not one for the door and another for the room.
    let both = gantry.client().basic("alice", "wrong").basic("alice", "a").get("/v2/").await;
    both.status_in(&[400, 401]);
}
