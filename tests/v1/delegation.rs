//! A foreign Index decides who may do what (V-9.8 to V-9.10). It knows nothing of Gantry; it is away, silent and a liar too.

use std::time::Duration;

use serde_json::json;

use super::content::{V1Image, chain, json as json_of, layer, new_id};
use super::docker::{Docker, Version};
use super::foreign::TestIndex;
use super::steps::{Steps, image, list};
use crate::harness::other::{Mood, Reply};
use crate::harness::server::run;
use crate::harness::{Client, Gantry, Options, pieces};

/// A registry under this Index, where nobody may do anything without.
fn under(index: &TestIndex) -> Options {
    Gantry::options()
        .set("v1.index.url", &format!("{:?}", index.url()))
        .set("v1.index.timeout", "\"2s\"")
        .set("auth.anonymous", "\"none\"")
}

/// An Index with alice, who may push to `team/app`, and bob, who may not.
async fn index() -> TestIndex {
    let index = TestIndex::start().await;
    index.account("alice", "open sesame");
    index.account("bob", "let me in");
    index.repository("team/app", true, &["alice"]);
    index
}

/// A token of the Index, taken through the registry.
async fn steps(client: &Client, method: &str, name: &str) -> Steps {
    let alice = client.basic("alice", "open sesame");
    match method {
        "PUT" => Steps::pushing(&alice, name).await,
        _ => Steps::pulling(&alice, name).await,
    }
}

#[tokio::test]
async fn v_9_8_every_docker_pushes_and_pulls_under_a_foreign_index() {
    let index = index().await;
    let app = under(&index).start().await;
    for version in Version::ALL {
        let images = chain(3);
        let docker = Docker::new(version, &app.client(), false).as_user("alice", "open sesame");
        assert_eq!(docker.login("alice", "open sesame").await, Ok("Login Succeeded"), "{version:?}");
        docker.push("team/app", &images, &[("latest", 2)]).await.expect("a push");
        assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), images);
        let bob = Docker::new(version, &app.client(), false).as_user("bob", "let me in");
        assert_eq!(bob.push("team/app", &images, &[("latest", 2)]).await.expect_err("no push").status, 401);
        assert_eq!(bob.pull("team/app", "latest").await.expect_err("no pull").status, 401);
        let nobody = Docker::new(version, &app.client(), false);
        assert_eq!(nobody.pull("team/app", "latest").await.expect_err("no pull").status, 401);
    }
    // V2 asks nobody but this registry.
    app.client().get("/v2/team/app/tags/list").await.status(401);
}

#[tokio::test]
async fn v_9_8_requests_for_the_index_are_handed_on_and_answers_back() {
    let index = index().await;
    let app = under(&index).start().await;
    let client = app.client().with("user-agent", "docker/1.6.2").with("x-secret", "no business of yours");
    let alice = client.basic("alice", "open sesame");
    alice.get("/v1/users/").await.status(200).body(b"\"OK\"");
    client.get("/v1/users/").await.status(401).header("www-authenticate", "Basic realm=\"the index\",Token");
    let posted = client.post("/v1/users/").json(&json!({ "username": "x" })).await;
    posted.status(400).body(b"\"Username or email already exists\"");
    let put =
        alice.put("/v1/repositories/team/app/", "[]").header("x-docker-token", "true").await.status(200);
    assert!(put.get("x-docker-token").is_some_and(|token| token.ends_with("access=write")));
    let put = put
        .header("x-docker-endpoints", &app.client().authority())
        .header("cache-control", "no-store")
        .no_header("set-cookie");
    assert!(put.get("www-authenticate").is_some_and(|token| token.starts_with("Token signature=")));
    alice.put("/v1/repositories/team/app/images", "[]").await.status(204);
    alice.delete("/v1/repositories/team/app/").await.status(202);
    alice.get("/v1/repositories/team/other/images").await.status(404);

    let asked = index.asked();
    assert!(asked.iter().all(|question| question.header("user-agent") == "docker/1.6.2"), "{asked:?}");
    assert!(asked.iter().all(|question| question.header("x-secret").is_empty()), "{asked:?}");
    let put = asked.iter().find(|question| question.path == "/v1/repositories/team/app/").expect("the PUT");
    assert_eq!((put.header("x-docker-token"), &put.body[..]), ("true", &b"[]"[..]));
    // More than an Index needs is not handed on.
    let before = index.asked().len();
    alice.put("/v1/repositories/team/app/", vec![b' '; 5 << 20]).await.status(413);
    assert_eq!(index.asked().len(), before);
    // What is switched off is not handed on either.
    let mut app = app;
    app.set("v1.push", "false").restart().await;
    app.client().basic("alice", "open sesame").put("/v1/repositories/team/app/", "[]").await.status(403);
    assert_eq!(index.asked().len(), before);
}

#[tokio::test]
async fn v_9_9_a_token_counts_for_its_repository_and_for_what_it_says() {
    let index = index().await;
    index.repository("team/other", true, &["alice"]);
    let app = under(&index).start().await;
    let images = chain(2);
    let alice = app.client().basic("alice", "open sesame");
    alice.put("/v1/repositories/team/app/", list(&images).to_string()).await.status(200);
    let writer = steps(&app.client(), "PUT", "team/app").await;
    writer.push(&images, "latest").await;
    for image in &images {
        writer.has(image).await;
    }
    let reader = steps(&app.client(), "GET", "team/app").await;
    for image in &images {
        reader.has(image).await;
    }
    assert_eq!(reader.tags().await, json!({ "latest": images[1].id }));
    reader.put_json(&chain(1)[0]).await.says(401, "Requires authorization");
    reader.put_tag("v2", &images[1].id).await.says(401, "Requires authorization");
    reader.client.delete("/v1/repositories/team/app/tags/latest").await.says(401, "Requires authorization");
    // For its repository only.
    let other = steps(&app.client(), "GET", "team/other").await;
    other.client.get("/v1/repositories/team/app/tags").await.says(401, "Requires authorization");
    other.lacks(&images[0].id).await;
    let thief = steps(&app.client(), "PUT", "team/other").await;
    thief.put_tag("stolen", &images[1].id).await.says(404, "Image not found");
    let id = new_id();
    let on_top = V1Image::new(json_of(&id, Some(&images[1].id)), layer(100));
    let told = list(std::slice::from_ref(&on_top)).to_string();
    alice.put("/v1/repositories/team/other/", told).await.status(200);
    let thief = steps(&app.client(), "PUT", "team/other").await;
    thief.put_json(&on_top).await.says(400, "Image depends on a non existing parent");
    // It opens nothing of V2, and the catalog of nobody.
    reader.client.get("/v2/team/app/tags/list").await.status(401);
    // To delete takes a token for that.
    let deletes =
        alice.delete("/v1/repositories/team/app/").header("x-docker-token", "true").await.status(202);
    let deletes = app.client().v1_token(deletes.get("x-docker-token").expect("a token"));
    deletes.delete("/v1/repositories/team/app/").await.status(200);
    reader.client.get("/v1/repositories/team/app/tags").await.says(404, "Repository not found");
    reader.lacks(&images[1].id).await;
}

#[tokio::test]
async fn v_9_9_tokens_that_the_index_does_not_know_are_refused() {
    let index = index().await;
    let app = under(&index).set("v1.index.cache", "\"1s\"").start().await;
    let reader = steps(&app.client(), "GET", "team/app").await;
    reader.get(&new_id(), "json").await.says(404, "Image not found");
    for token in [
        "signature=made-up,repository=\"team/app\",access=write",
        "signature=made-up,repository=\"team/nothing\",access=read",
        "signature=made-up,repository=\"../users\",access=read",
        "nonsense",
    ] {
        let stranger = app.client().v1_token(token);
        stranger.get(&image(&new_id(), "json")).await.says(401, "Requires authorization");
        stranger.get("/v1/repositories/team/app/tags").await.says(401, "Requires authorization");
    }
    // One that the registry made for itself elsewhere is none either, nor is a token in other words than it was given in.
    let before = index.asked().len();
    for _ in 0..20 {
        let stranger = app.client().v1_token("signature=made-up,repository=\"team/app\",access=write");
        stranger.get(&image(&new_id(), "json")).await.status(401);
    }
    assert!(index.asked().len() <= before + 1, "a refusal counts for a while");
    // What the Index takes back ends within the time that its word counts.
    index.revoke();
    let mut ended = false;
    for _ in 0..100 {
        ended = reader.get(&new_id(), "json").await.status == 401;
        if ended {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(ended, "the token still counts");
}

#[tokio::test]
async fn v_9_9_images_that_the_index_was_not_told_of_are_not_begun() {
    let index = index().await;
    let app = under(&index).start().await;
    let (told, untold) = (chain(1).remove(0), chain(1).remove(0));
    let alice = app.client().basic("alice", "open sesame");
    let writer = steps(&app.client(), "PUT", "team/app").await;
    // A lookup makes the registry ask, before the list is told.
    writer.get(&told.id, "json").await.status(404);
    alice.put("/v1/repositories/team/app/", list(std::slice::from_ref(&told)).to_string()).await.status(200);
    writer.put_json(&untold).await.says(400, "This image does not belong to the repository");
    // What was asked before the push told more is asked again.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    writer.push_image(&told).await;
    writer.put_json(&untold).await.says(400, "This image does not belong to the repository");
    assert_eq!(index.ids("team/app"), [told.id]);
}

#[tokio::test]
async fn v_9_9_many_requests_with_one_token_are_one_question() {
    let index = index().await;
    let app = under(&index).start().await;
    let reader = steps(&app.client(), "GET", "team/app").await;
    let before = index.asked_for("GET", "/v1/repositories/team/app/images");
    index.is(Mood::Silent);
    let all: Vec<_> = (0..32)
        .map(|_| {
            let reader = reader.clone();
            tokio::spawn(async move { reader.get(&new_id(), "json").await.status })
        })
        .collect();
    while index.asked_for("GET", "/v1/repositories/team/app/images") == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    index.is(Mood::Well);
    for status in all {
        assert_eq!(status.await.expect("an answer"), 404);
    }
    assert_eq!(index.asked_for("GET", "/v1/repositories/team/app/images"), before + 1);
}

#[tokio::test]
async fn v_9_9_layers_of_private_repositories_are_asked_about_where_that_is_wanted() {
    let index = index().await;
    index.repository("library/open", false, &["alice"]);
    let app = under(&index)
        .file(
            "[[namespace]]\nprefix = 'library'\nvisibility = 'public'\n\
             [[namespace]]\nprefix = 'team'\nvisibility = 'private'\n",
        )
        .set("auth.anonymous", "\"read\"")
        .set("v1.index.layer_access", "true")
        .set("v1.index.cache", "\"0s\"")
        .start()
        .await;
    let images = chain(2);
    let alice = app.client().basic("alice", "open sesame");
    for name in ["team/app", "library/open"] {
        alice.put(&format!("/v1/repositories/{name}/"), list(&images).to_string()).await.status(200);
        steps(&app.client(), "PUT", name).await.push(&images, "latest").await;
    }
    index.withhold(&images[0].id);
    let reader = steps(&app.client(), "GET", "team/app").await;
    for part in ["json", "layer", "ancestry"] {
        reader.get(&images[0].id, part).await.says(404, "Image not found");
        reader.get(&images[1].id, part).await.status(200);
    }
    let access = format!("/v1/repositories/team/app/layer/{}/access", images[0].id);
    assert!(index.asked_for("GET", &access) >= 1);
    // Of what everybody may read nothing is asked.
    steps(&app.client(), "GET", "library/open").await.has(&images[0]).await;
    assert!(
        index
            .asked()
            .iter()
            .all(|question| !question.path.starts_with("/v1/repositories/library/open/layer"))
    );
}

#[tokio::test]
async fn v_9_10_an_index_that_is_away_or_silent_is_told_and_what_it_said_goes_on_counting() {
    let index = index().await;
    let app = under(&index).set("v1.index.timeout", "\"300ms\"").start().await;
    let images = chain(1);
    let alice = app.client().basic("alice", "open sesame");
    alice.put("/v1/repositories/team/app/", list(&images).to_string()).await.status(200);
    let writer = steps(&app.client(), "PUT", "team/app").await;
    let reader = steps(&app.client(), "GET", "team/app").await;
    writer.push(&images, "latest").await;
    for mood in [Mood::Away, Mood::Silent] {
        index.is(mood);
        let text = "the Index that decides for this registry does not answer; try again";
        alice.get("/v1/repositories/team/app/images").await.says(503, text);
        alice.get("/v1/users/").await.says(503, text);
        // This one it never said anything of.
        let unknown = reader.client.get("/v1/repositories/team/app/tags").await;
        unknown.says(503, text);
        writer.has(&images[0]).await;
        app.client().get("/v1/_ping").await.status(200);
    }
    index.is(Mood::Well);
    let mut back = 0;
    for _ in 0..100 {
        back = reader.client.get("/v1/repositories/team/app/tags").await.status;
        if back == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(back, 200);
}

#[tokio::test]
async fn v_9_10_an_index_that_lies_opens_nothing_and_hurts_nobody() {
    let index = index().await;
    let app = under(&index).set("v1.index.timeout", "\"2s\"").start().await;
    let elsewhere = TestIndex::start().await;
    let redirect = format!("{}/v1/repositories/team/app/images", elsewhere.url());
    let lies: Vec<Box<dyn Fn() -> Reply + Send + Sync>> = vec![
        Box::new(|| Reply::new(200, "")),
        Box::new(|| Reply::new(200, "<html>welcome</html>")),
        Box::new(|| Reply::new(200, "{\"id\":\"x\"}")),
        Box::new(|| Reply::new(200, "[[[[[[[[")),
        Box::new(|| Reply::new(200, "[".repeat(100_000))),
        Box::new(|| Reply::new(200, vec![b' '; 64 << 20])),
        Box::new(|| Reply::new(500, "oops")),
        Box::new(|| Reply::new(418, "")),
        Box::new(|| Reply::new(204, "")),
        Box::new(move || Reply::new(302, "").with("location", &redirect)),
        Box::new(|| {
            let ids = (0..200_000).map(|at| format!("{{\"id\":\"{at:064x}\"}}")).collect::<Vec<_>>();
            Reply::new(200, format!("[{}]", ids.join(",")))
        }),
        Box::new(|| {
            // Without an end.
            let (sender, body) = pieces();
            tokio::spawn(async move { while sender.send(Ok(vec![b' '; 1 << 16].into())).await.is_ok() {} });
            Reply::stream(body)
        }),
    ];
    for (at, lie) in lies.into_iter().enumerate() {
        index.lies(move |question| {
            let asked = question.header("authorization").starts_with("Token ");
            asked.then(&lie)
        });
        // A new token each time: nothing is remembered.
        let token = format!("signature=lie{at},repository=\"team/app\",access=write");
        let answer = app.client().v1_token(&token).get("/v1/repositories/team/app/tags").await;
        assert_eq!(answer.status, 503, "lie {at}: {answer:?}");
    }
    assert!(elsewhere.asked().is_empty(), "nobody follows a redirect");
    index.is_honest();
    // To what is handed on the same goes.
    let redirect = elsewhere.url();
    index.lies(move |_| Some(Reply::new(307, "").with("location", &redirect)));
    let alice = app.client().basic("alice", "open sesame");
    alice.get("/v1/repositories/team/app/images").await.status(503);
    index.lies(|_| Some(Reply::new(200, vec![b' '; 64 << 20])));
    alice.get("/v1/repositories/team/app/images").await.status(503);
    index.lies(|_| Some(Reply::new(200, "[]").with("x-docker-token", &"x".repeat(20_000))));
    alice.get("/v1/repositories/team/app/images").await.status(200).no_header("x-docker-token");
    assert!(elsewhere.asked().is_empty());
    index.is_honest();
    alice.get("/v1/repositories/team/app/images").await.status(200);
    assert!(!app.log().contains("panicked"), "{}", app.log());
}

#[tokio::test]
async fn v_9_10_an_authority_that_cannot_be_read_is_told_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let junk = dir.path().join("junk.pem");
    std::fs::write(&junk, "no certificate").expect("written");
    for (key, url) in [("v1.index", "v1.index.url"), ("v1.mirror", "v1.mirror.source")] {
        for (file, told) in [("/nowhere/ca.pem", "/nowhere/ca.pem"), (junk.to_str().expect("a path"), "PEM")]
        {
            let data = data.to_str().expect("a path");
            let (url, ca) = (format!("{url}='https://other.example'"), format!("{key}.ca='{file}'"));
            let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", data, "--set", &url, "--set", &ca];
            let (status, _, said) = run(&arguments).await;
            assert!(!status.success() && said.contains(key) && said.contains(told), "{said}");
        }
    }
}
