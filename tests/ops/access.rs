//! Who may do what: no accounts, accounts, and anonymous callers beside accounts.

use super::eventually;
use crate::harness::server::htpasswd;
use crate::harness::{Answer, Blob, Client, Gantry, Options, image};

fn with_alice() -> Options {
    Gantry::options().account("alice", "open:sesame")
}

async fn push(client: &Client, name: &str) -> Answer {
    client.post(&format!("/v2/{name}/blobs/uploads/")).await
}

/// E-1.2: with accounts, callers without credentials learn at `/v2/` that there is something to log in to.
#[tokio::test]
async fn e_1_2_accounts_close_the_door_for_others() {
    let app = with_alice().start().await;
    let anon = app.client();
    for target in [
        "/v2/",
        "/v2/_catalog",
        "/v2/a/tags/list",
        "/v2/a/manifests/v1",
        "/v2/a/blobs/uploads/",
        "/v2/_oci/ext/discover",
    ] {
        let answer = anon.get(target).await;
        if answer.status != 405 {
            let challenge =
                answer.status(401).error("UNAUTHORIZED").get("www-authenticate").map(str::to_owned);
            assert!(
                challenge.is_some_and(|challenge| challenge.starts_with("Bearer realm=\"http://127.0.0.1:"))
            );
        }
    }
    push(&anon, "a").await.status(401).error("UNAUTHORIZED");

    let alice = app.client().basic("alice", "open:sesame");
    alice.get("/v2/").await.status(200);
    let repo = alice.repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    repo.has_manifest("v1", &image.manifest).await;
    anon.get(&repo.manifest("v1")).await.status(401);
    anon.get(&repo.blob(&image.blobs[0].digest)).await.status(401);
}

/// N-3: wrong credentials are refused everywhere; `Basic Og==`, and schemes without a value, are no credentials at all.
#[tokio::test]
async fn n_3_wrong_credentials_are_never_anonymous() {
    let app = with_alice().set("auth.anonymous", "read").start().await;
    let anon = app.client();
    for wrong in [anon.basic("alice", "wrong"), anon.basic("bob", "open:sesame"), anon.basic("alice", "")] {
        wrong.get("/v2/_catalog").await.status(401).error("UNAUTHORIZED");
        wrong.get("/v2/").await.status(401);
    }
    for header in ["Basic !", "Basic YQ==", "Bearer abc", "Token x", "Negotiate x"] {
        anon.with("authorization", header).get("/v2/_catalog").await.status(401).error("UNAUTHORIZED");
    }
    for header in ["Basic Og==", "Basic", "Token", "Bearer", "bearer "] {
        anon.with("authorization", header).get("/v2/_catalog").await.status(200);
    }
    let encoded = "YWxpY2U6b3BlbjpzZXNhbWU="; // alice:open:sesame
    anon.with("authorization", &format!("bAsIc {encoded}")).get("/v2/").await.status(200);
}

#[tokio::test]
async fn anonymous_read_beside_accounts() {
    let app = with_alice().set("auth.anonymous", "read").start().await;
    let (anon, alice) = (app.client(), app.client().basic("alice", "open:sesame"));
    let repo = alice.repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    let blob = &image.blobs[0];
    let open = anon.at(&repo.name);
    open.has_manifest("v1", &image.manifest).await;
    open.has_blob(blob).await;
    anon.get("/v2/").await.status(401);
    push(&anon, &repo.name).await.status(401);
    anon.delete(&repo.manifest("v1")).await.status(401);
    anon.delete(&repo.blob(&blob.digest)).await.status(401);
    repo.has_manifest("v1", &image.manifest).await;
}

/// Anonymous reading without any account: there is nothing to log in to, so pushes are 403 and `/v2/` is 200.
#[tokio::test]
async fn anonymous_read_without_accounts() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let anon = app.client();
    anon.get("/v2/").await.status(200);
    anon.get("/v2/_catalog").await.status(200);
    push(&anon, "a").await.status(403).error("DENIED").no_header("www-authenticate");
    let nobody = Gantry::options().set("auth.anonymous", "none").start().await;
    nobody.client().get("/v2/").await.status(403).error("DENIED");
}

/// Without accounts an `Authorization` header means nothing: clients send what they remember.
#[tokio::test]
async fn credentials_that_nobody_asked_for_are_ignored() {
    let app = Gantry::shared().await;
    app.client().basic("old", "password").get("/v2/").await.status(200);
}

/// N-18, T15: a session belongs to who began it.
#[tokio::test]
async fn n_18_upload_sessions_of_others_are_not_there() {
    let app = Gantry::options().account("alice", "a").account("bob", "b").start().await;
    let (alice, bob) = (app.client().basic("alice", "a"), app.client().basic("bob", "b"));
    let location = push(&alice, "team/app").await.status(202).get("location").expect("a location").to_owned();
    bob.get(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
    bob.patch(&location, "x").await.missing("BLOB_UPLOAD_UNKNOWN");
    let blob = Blob::new(100);
    bob.put(&format!("{location}?digest={}", blob.digest), blob.bytes.clone())
        .await
        .missing("BLOB_UPLOAD_UNKNOWN");
    bob.delete(&location).await.missing("BLOB_UPLOAD_UNKNOWN");
    alice.put(&format!("{location}?digest={}", blob.digest), blob.bytes.clone()).await.status(201);
}

/// N-5: the file is read again within seconds; broken lines are named by number; a file that vanishes changes nothing.
#[tokio::test]
async fn n_5_the_htpasswd_file_is_watched() {
    let app = with_alice().start().await;
    let (alice, bob) = (app.client().basic("alice", "open:sesame"), app.client().basic("bob", "b"));
    alice.get("/v2/").await.status(200);
    bob.get("/v2/").await.status(401);
    let file = app.dir().join("htpasswd");
    let lines = htpasswd(&[("bob".to_owned(), "b".to_owned())]);
    std::fs::write(&file, format!("# comment\nalice:secretly-plain\n{lines}")).expect("written");
    eventually("bob is let in", async || (bob.get("/v2/").await.status == 200).then_some(())).await;
    alice.get("/v2/").await.status(401);
    assert!(app.log().contains("line=2") && !app.log().contains("secretly-plain"), "{}", app.log());

    std::fs::remove_file(&file).expect("removed");
    eventually("the loss is noticed", async || app.log().contains("cannot be read").then_some(())).await;
    bob.get("/v2/").await.status(200);
}

/// T40, E-13.1, E-13.3: deletes that are switched off.
#[tokio::test]
async fn t40_deletes_that_are_switched_off_are_405() {
    let app = Gantry::options().set("registry.delete", "[]").start().await;
    let repo = app.client().repo();
    let image = image().build();
    repo.push("v1", &image).await.status(201);
    for path in [repo.manifest("v1"), repo.manifest(image.digest()), repo.blob(&image.blobs[0].digest)] {
        repo.client.delete(&path).await.status(405).error("UNSUPPORTED");
    }
    repo.has_manifest("v1", &image.manifest).await;
    // Cancelling an upload is part of pushing, not a delete.
    let location = repo.start_upload().await;
    repo.client.delete(&location).await.status(204);

    let tags_only = Gantry::options().set("registry.delete", "[\"tag\"]").start().await;
    let repo = tags_only.client().repo();
    repo.push("v1", &image).await.status(201);
    repo.client.delete(&repo.manifest(image.digest())).await.status(405).error("UNSUPPORTED");
    repo.client.delete(&repo.manifest("v1")).await.status(202);
}

/// One address that sends wrong passwords without end fills its own places and nobody else's.
#[tokio::test]
async fn wrong_passwords_without_end_are_told_to_wait() {
    let app = with_alice().set("server.trusted_proxies", "['127.0.0.0/8']").start().await;
    // Hashes of the tests are cheap; this one costs what real ones do.
    let slow = format!("slow:{}\n", bcrypt::hash("x", 11).expect("a hash"));
    std::fs::write(app.dir().join("htpasswd"), slow).expect("written");
    let good = app.client().basic("slow", "x").with("x-forwarded-for", "192.0.2.1");
    eventually("the account is there", async || (good.get("/v2/").await.status == 200).then_some(())).await;
    let attacks: Vec<_> = (0..80)
        .map(|number| {
            let client =
                app.client().basic("slow", &format!("wrong{number}")).with("x-forwarded-for", "192.0.2.66");
            tokio::spawn(async move { client.get("/v2/").await })
        })
        .collect();
    let mut told_to_wait = 0;
    for attack in attacks {
        let answer = attack.await.expect("an answer").status_in(&[401, 429]);
        if answer.status == 429 {
            told_to_wait += 1;
            assert!(answer.error("TOOMANYREQUESTS").get("retry-after").is_some());
        }
    }
    assert!(told_to_wait > 0, "eighty at once are more than an address has places for");
    good.get("/v2/").await.status(200);
}
