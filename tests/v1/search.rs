//! V-10: searching, as `docker search` and `podman search` do it.

use serde_json::{Value, json};

use super::content::{V1Image, chain, new_id};
use super::steps::{Steps, image as path_of};
use crate::harness::access::{encoded, granted};
use crate::harness::content::number;
use crate::harness::{Alg, Blob, Client, Gantry, Image, image, index, types};

const DESCRIPTION: &str = "org.opencontainers.image.description";

/// An answer of the search, which is whole.
async fn asked(client: &Client, query: &str) -> Value {
    let answer = client.get(&format!("/v1/search?{query}")).await.status(200);
    let answer =
        answer.header("content-type", "application/json").header("x-docker-registry-version", "0.9.1");
    let found = answer.json();
    assert!(found["results"].is_array(), "{found}");
    found
}

async fn found(client: &Client, term: &str) -> Vec<String> {
    let found = asked(client, &format!("n=100&q={}", encoded(term))).await;
    let names = names(&found);
    assert_eq!(found["num_results"], names.len(), "{found}");
    names
}

fn names(found: &Value) -> Vec<String> {
    let results = found["results"].as_array().expect("results");
    results.iter().map(|result| result["name"].as_str().expect("a name").to_owned()).collect()
}

/// What is said of a repository.
async fn description(client: &Client, name: &str) -> String {
    let found = asked(client, &format!("q={}", encoded(name))).await;
    let results = found["results"].as_array().expect("results");
    let result = results.iter().find(|result| result["name"] == name).expect("found");
    result["description"].as_str().expect("a text").to_owned()
}

/// An image whose configuration has this label.
fn labelled(text: &str) -> Image {
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": format!("{:?}", number()),
        "config": { "Labels": { DESCRIPTION: text, "other": "label" } },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    image().config(types::OCI_CONFIG, &Blob::of(Alg::Sha256, config.to_string())).build()
}

fn annotated(text: &str) -> Image {
    image().annotation(DESCRIPTION, text).build()
}

/// The form of the answer, page by page; what is asked for beyond the bounds is brought within them.
#[tokio::test]
async fn v_10_1_the_answer_has_pages() {
    let app = Gantry::start().await;
    let nothing = asked(&app.client(), "q=anything").await;
    let expected = json!({
        "query": "anything", "num_results": 0, "num_pages": 0, "page": 1, "page_size": 25, "results": [],
    });
    assert_eq!(nothing, expected);
    for name in ["a/one", "a/two", "three"] {
        app.client().at(name).push("latest", &annotated("Something")).await;
    }
    let first = asked(&app.client(), "q=o&n=1").await;
    let expected = json!({
        "query": "o", "num_results": 3, "num_pages": 3, "page": 1, "page_size": 1,
        "results": [{
            "name": "a/one", "description": "Something",
            "star_count": 0, "is_official": false, "is_automated": false, "is_trusted": false,
        }],
    });
    assert_eq!(first, expected);
    assert_eq!(names(&asked(&app.client(), "q=o&n=2&page=2").await), ["three"]);
    for beyond in ["q=o&n=2&page=3", "q=&n=100&page=18446744073709551615", "q=o&page=99999999999999999999"] {
        let beyond = asked(&app.client(), beyond).await;
        assert_eq!((names(&beyond).len(), &beyond["num_results"]), (0, &json!(3)), "{beyond}");
    }
    for (query, size) in [("n=0", 1), ("n=101", 100), ("n=-5", 1), ("n=many", 25), ("", 25), ("page=0", 25)] {
        let found = asked(&app.client(), query).await;
        assert_eq!((&found["page_size"], &found["page"]), (&json!(size), &json!(1)), "{query}");
    }
    app.client().head("/v1/search?q=o").await.status(200).body(b"");
    app.client().post("/v1/search?q=o").await.status(405);
}

/// A part of the name or of the description, in whatever case. Names are those of V2.
#[tokio::test]
async fn v_10_2_names_and_descriptions_are_searched() {
    let app = Gantry::start().await;
    let client = app.client();
    client.at("library/alpha").push("latest", &annotated("The FIRST of Größe")).await;
    client.at("beta").push("1.0", &labelled("The second")).await;
    client.at("team/alphabet").push("x", &image().build()).await;
    assert_eq!(found(&client, "").await, ["library/alpha", "beta", "team/alphabet"]);
    assert_eq!(found(&client, "ALPHA").await, ["library/alpha", "team/alphabet"]);
    assert_eq!(found(&client, "library/").await, ["library/alpha"]);
    assert_eq!(found(&client, "the").await, ["library/alpha", "beta"]);
    assert_eq!(found(&client, "größe").await, ["library/alpha"]);
    assert_eq!(found(&client, "m/a").await, ["team/alphabet"]);
    assert_eq!(found(&client, "%").await, Vec::<String>::new());
    assert_eq!(found(&client, &"long".repeat(1000)).await, Vec::<String>::new());
    // The one that is named so comes first on its page.
    client.at("alpha").push("latest", &image().build()).await;
    assert_eq!(found(&client, "alpha").await, ["alpha", "library/alpha", "team/alphabet"]);
}

/// What was pushed by v1 is found from its tag on, by the label of its top image too, and what has no place yet is not found.
#[tokio::test]
async fn v_10_2_what_came_by_v1_is_found_too() {
    let app = Gantry::start().await;
    let client = app.client();
    let mut images = chain(2);
    let mut json: Value = serde_json::from_slice(&images[1].json).unwrap();
    json["config"]["Labels"] = json!({ DESCRIPTION: "Of old" });
    images[1] = V1Image::new(json.to_string(), images[1].layer.clone());
    let push = Steps::pushing(&client, "old/app").await;
    for image in &images {
        push.push_image(image).await;
    }
    assert_eq!(found(&client, "").await, Vec::<String>::new());
    push.put_tag("latest", &images[1].id).await.status(200);
    assert_eq!(found(&client, "of old").await, ["old/app"]);
    // Pushed into no repository at all.
    let id = new_id();
    let json = format!("{{\"id\":\"{id}\"}}");
    client.put(&path_of(&id, "json"), json).await.status(200);
    assert_eq!(found(&client, "").await, ["old/app"]);
    client.delete("/v1/repositories/old/app/").await.status(200);
    assert_eq!(found(&client, "").await, Vec::<String>::new());
}

/// Nobody finds what does not stand in their catalog, nor what has no tag (any more).
#[tokio::test]
async fn v_10_3_only_what_the_caller_may_see_is_found() {
    let app = Gantry::options().set("auth.anonymous", "\"read\"").start().await;
    let root = app.admin("root", "a secret 1").await;
    let (stranger, writer) =
        (app.user("stranger", "a secret 1").await, app.user("writer", "a secret 1").await);
    for kind in ["public", "private", "hidden"] {
        app.namespace(kind, kind).await;
        app.grant("writer", "push", kind).await;
        root.at(&format!("{kind}/app")).push("latest", &annotated("Of a kind")).await;
    }
    for client in [&app.client(), &stranger] {
        for term in ["app", "of a kind", "", "public/app"] {
            assert_eq!(found(client, term).await, ["public/app"], "{term}");
        }
        assert!(found(client, "private").await.is_empty());
        assert!(found(client, "hidden").await.is_empty());
    }
    for client in [&writer, &root] {
        assert_eq!(found(client, "app").await, ["public/app", "private/app", "hidden/app"]);
    }
    // From now on, and no longer.
    let grant = app.grant("stranger", "pull", "private").await;
    assert_eq!(found(&stranger, "app").await, ["public/app", "private/app"]);
    app.ungrant(grant).await;
    assert_eq!(found(&stranger, "app").await, ["public/app"]);

    // Neither blobs nor an image without a tag make a repository that is found; nor does one that had a tag.
    let repo = root.at("public/bare");
    let image = annotated("Of a kind");
    repo.push_by_digest(&image).await;
    assert_eq!(found(&root, "bare").await, Vec::<String>::new());
    repo.put_manifest("one", &image.manifest).await.status(201);
    assert_eq!(found(&root, "bare").await, ["public/bare"]);
    root.delete(&repo.manifest("one")).await.status(202);
    assert_eq!(found(&root, "bare").await, Vec::<String>::new());
    repo.put_manifest("two", &image.manifest).await.status(201);
    root.delete(&repo.manifest(image.digest())).await.status(202);
    assert_eq!(found(&root, "").await, ["public/app", "private/app", "hidden/app"]);
}

/// Whatever is pushed between two pages, none of the others comes twice, and none is left out.
#[tokio::test]
async fn v_10_4_pages_hold_while_repositories_come() {
    let app = Gantry::start().await;
    let client = app.client();
    let built = image().build();
    let push = async |name: &str| client.at(name).push("latest", &built).await;
    let mut before = Vec::new();
    for name in ["m", "x", "c", "b", "q", "demo"] {
        let name = format!("demo/{name}");
        push(&name).await;
        before.push(name);
    }
    // There before all others, and found last, since it has a tag only now.
    client.at("a/demo").push_parts(&built).await;
    let mut seen = Vec::new();
    for (page, new) in [(1, "a/demo"), (2, "demo"), (3, "aaa/demo"), (4, "demo/a")] {
        let found = asked(&client, &format!("q=demo&n=2&page={page}")).await;
        assert_eq!(found["num_results"], before.len(), "{found}");
        let mut names = names(&found);
        names.sort();
        let mut expected: Vec<String> = before.iter().skip(2 * (page - 1)).take(2).cloned().collect();
        expected.sort();
        assert_eq!(names, expected, "page {page}");
        seen.extend(names);
        push(new).await;
        before.push(new.to_owned());
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 8);
}

/// The same after the server has come back, also from a crash.
#[tokio::test]
async fn v_10_4_the_order_survives_a_restart() {
    let mut app = Gantry::start().await;
    let order = ["one/x", "two/x", "a/x", "three/x"];
    for name in &order[..2] {
        app.client().at(name).push("latest", &annotated("Described")).await;
    }
    app.restart().await;
    app.client().at(order[2]).push("latest", &annotated("Described")).await;
    assert_eq!(names(&asked(&app.client(), "q=described").await), ["one/x", "two/x", "a/x"]);
    // Nothing has looked at this one yet.
    app.client().at(order[3]).push("latest", &annotated("Described")).await;
    app.kill9();
    app.restart().await;
    assert_eq!(found(&app.client(), "described").await, order);
    app.client().delete(&app.client().at("two/x").manifest("latest")).await.status(202);
    app.kill9();
    app.restart().await;
    assert_eq!(found(&app.client(), "described").await, ["one/x", "a/x", "three/x"]);
}

/// The namespace's description; else the annotation, else the label, of `latest`, else of the tag that was set last.
#[tokio::test]
async fn v_10_5_what_describes_a_repository() {
    let app = Gantry::options()
        .file("[[namespace]]\nprefix = \"said\"\ndescription = \"Said by the file\"\n")
        .start()
        .await;
    let client = app.client();
    let repo = client.at("images/one");
    repo.push("a", &image().build()).await;
    assert_eq!(description(&client, "images/one").await, "");
    repo.push("b", &labelled("By its label")).await;
    assert_eq!(description(&client, "images/one").await, "By its label");
    assert_eq!(found(&client, "its label").await, ["images/one"]);
    let both = labelled("By the label");
    let mut document: Value = serde_json::from_slice(&both.manifest.bytes).unwrap();
    document["annotations"] = json!({ DESCRIPTION: "By the annotation" });
    repo.push_parts(&both).await;
    let both = crate::harness::Manifest::json(Alg::Sha256, &document);
    repo.put_manifest("latest", &both).await.status(201);
    assert_eq!(description(&client, "images/one").await, "By the annotation");
    assert_eq!(found(&client, "label").await, Vec::<String>::new(), "what was said before is forgotten");
    repo.push("c", &annotated("Of no account")).await;
    assert_eq!(description(&client, "images/one").await, "By the annotation");
    client.delete(&repo.manifest("latest")).await.status(202);
    assert_eq!(description(&client, "images/one").await, "Of no account");

    // An index says it itself, or its first image that does.
    let repo = client.at("images/many");
    let (one, two) = (image().build(), labelled("By an image of it"));
    repo.push("latest", &index(Alg::Sha256, &[one.clone(), two.clone()], &json!({}))).await;
    assert_eq!(description(&client, "images/many").await, "By an image of it");
    let said = json!({ "annotations": { DESCRIPTION: "By the index" } });
    repo.push("latest", &index(Alg::Sha256, &[one, two], &said)).await;
    assert_eq!(description(&client, "images/many").await, "By the index");

    // A namespace speaks for what is below it.
    client.at("said/one").push("latest", &annotated("By itself")).await;
    assert_eq!(description(&client, "said/one").await, "Said by the file");
    assert_eq!(found(&client, "by itself").await, Vec::<String>::new());
    assert_eq!(found(&client, "by the FILE").await, ["said/one"]);
    let namespace = json!({ "prefix": "images", "visibility": "public", "description": "Said by a row" });
    app.operate("POST", "/api/namespaces", namespace).await;
    assert_eq!(description(&client, "images/many").await, "Said by a row");
    assert_eq!(found(&client, "BY A ROW").await, ["images/one", "images/many"]);
}

/// Whatever somebody writes into an image: it is one line of bounded length, and what is none is no description.
#[tokio::test]
async fn v_10_5_descriptions_are_bounded_and_plain() {
    let app = Gantry::start().await;
    let client = app.client();
    client.at("odd/control").push("latest", &annotated("a\u{1b}[2J\r\nb\0\u{202e}c\t")).await;
    assert_eq!(description(&client, "odd/control").await, "a [2J b c");
    client.at("odd/long").push("latest", &labelled(&"ä".repeat(100_000))).await;
    assert_eq!(description(&client, "odd/long").await, "ä".repeat(512));
    let odd = [
        r#"{"config":{"Labels":{"org.opencontainers.image.description":["a list"]}}}"#,
        r#"{"config":{"Labels":[]}}"#,
        r#"{"config":7}"#,
        "no JSON",
        "",
        "[[[[",
    ];
    for (number, config) in odd.iter().enumerate() {
        let config = Blob::of(Alg::Sha256, config.as_bytes().to_vec());
        let built = image().config(types::DOCKER_CONFIG, &config).build();
        client.at(&format!("odd/config{number}")).push("latest", &built).await;
        assert_eq!(description(&client, &format!("odd/config{number}")).await, "");
    }
    assert_eq!(found(&client, "").await.len(), 2 + odd.len());
}

/// Nobody in particular is sent away where reading needs somebody; whoever is known is let in by whatever shows it.
#[tokio::test]
async fn v_10_6_who_may_search() {
    let app = Gantry::options().set("auth.anonymous", "\"none\"").start().await;
    let root = app.admin("root", "a secret 1").await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "pull", "team").await;
    for name in ["team/app", "other/app"] {
        root.at(name).push("latest", &image().build()).await;
    }
    let refused = async |client: &Client| {
        let answer = client.get("/v1/search?q=app").await.says(401, "Requires authorization");
        let challenge = answer.get("www-authenticate").expect("a challenge").to_owned();
        assert!(challenge.starts_with("Basic realm=\"") && challenge.ends_with("\",Token"), "{challenge}");
    };
    refused(&app.client()).await;
    refused(&app.client().with("authorization", "Basic Og==")).await;
    refused(&app.client().basic("alice", "wrong")).await;
    refused(&app.client().bearer("nonsense")).await;

    assert_eq!(found(&alice, "app").await, ["team/app"]);
    assert_eq!(found(&alice.with("x-docker-token", "true"), "app").await, ["team/app"]);
    let personal = app.token("alice", &[]).await;
    assert_eq!(found(&app.client().basic("alice", &personal.secret), "app").await, ["team/app"]);
    let narrow = app.token("root", &["other/**:pull"]).await;
    assert_eq!(found(&app.client().basic("root", &narrow.secret), "app").await, ["other/app"]);
    let robot = app.robot("ci", &["team/**:pull"]).await;
    assert_eq!(found(&app.client().basic("any", &robot.secret), "app").await, ["team/app"]);
    let (cookie, _) = app.client().session("alice", "a secret 1").await;
    assert_eq!(found(&app.client().with("cookie", &cookie), "app").await, ["team/app"]);

    // docker, logged in by an identity token, buys a token for this scope.
    let scope = "registry:catalog:search";
    assert_eq!(granted(&alice.token_for(&[scope]).await), ["catalog:search"]);
    let both = alice.token_for(&["registry:catalog:search,*,more"]).await;
    assert_eq!(granted(&both), ["catalog:search,*"]);
    assert_eq!(granted(&app.client().token_for(&[scope]).await), Vec::<String>::new());
    let searching = alice.by_token_for(&[scope]).await;
    assert_eq!(found(&searching, "app").await, ["team/app"]);
    searching.get("/v2/_catalog").await.status(401);
    assert_eq!(found(&alice.by_token_for(&["registry:catalog:*"]).await, "app").await, ["team/app"]);
    refused(&alice.by_token_for(&["repository:team/app:pull"]).await).await;
    refused(&app.client().by_token_for(&[scope]).await).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("service", &app.client().authority()),
        ("scope", scope),
        ("refresh_token", &alice.refresh_token().await),
        ("client_id", "docker"),
    ];
    let bought = app.client().post_token(&form).await.status(200).json();
    let bought = bought["access_token"].as_str().expect("a token").to_owned();
    assert_eq!(found(&app.client().bearer(&bought), "app").await, ["team/app"]);
    app.remove_user("alice").await;
    refused(&searching).await;
    refused(&app.client().bearer(&bought)).await;
}

/// Where everybody reads, nobody in particular searches, and may have a token for it.
#[tokio::test]
async fn v_10_6_anonymous_callers_search_where_they_read() {
    let app = Gantry::options().set("auth.anonymous", "\"read\"").start().await;
    app.admin("root", "a secret 1").await.at("open/app").push("latest", &image().build()).await;
    let anonymous = app.client();
    for client in [
        &anonymous,
        &anonymous.with("authorization", "Basic Og=="),
        &anonymous.by_token_for(&["registry:catalog:search"]).await,
    ] {
        assert_eq!(found(client, "app").await, ["open/app"]);
    }
}

/// The switch.
#[tokio::test]
async fn v_10_7_searching_can_be_switched_off() {
    let app = Gantry::options().set("v1.search", "false").start().await;
    app.client().at("some/app").push("latest", &image().build()).await;
    app.client().get("/v1/search?q=app").await.says(404, "Not found");
    app.client().get("/v1/_ping").await.status(200);
    assert_eq!(app.client().get("/v2/_catalog").await.status(200).list("repositories"), ["some/app"]);
}

/// Everybody at once, while all that was pushed is still to be described.
#[tokio::test]
async fn v_10_8_many_search_at_once() {
    let app = Gantry::start().await;
    let client = app.client();
    let built = annotated("One of many");
    for number in 0..120 {
        let repo = client.at(&format!("many/r{number:03}"));
        match number {
            0 => drop(repo.push("latest", &built).await),
            _ => {
                for blob in &built.blobs {
                    let from = format!("/v2/many/r000/blobs/uploads/?mount={}&from=many/r000", blob.digest);
                    client.post(&from.replacen("r000", &format!("r{number:03}"), 1)).await.status(201);
                }
                repo.put_manifest("latest", &built.manifest).await.status(201);
            }
        }
    }
    let searches = (0..40).map(|_| {
        let client = app.client();
        tokio::spawn(async move { asked(&client, "q=of%20MANY&n=40&page=3").await })
    });
    for search in futures_util::future::join_all(searches).await {
        let found = search.expect("an answer");
        assert_eq!((&found["num_results"], &found["num_pages"]), (&json!(120), &json!(3)));
        let expected: Vec<_> = (80..120).map(|number| format!("many/r{number:03}")).collect();
        assert_eq!(names(&found), expected);
    }
}
