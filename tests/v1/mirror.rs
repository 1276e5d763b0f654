//! What is missing comes from another registry (V-12.1 to V-12.8), which is small and knows nothing of Gantry, or is a Gantry.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::content::{V1Image, chain, json as image_json, layer, new_id};
use super::docker::{Docker, Version};
use super::foreign::TestRegistry;
use super::steps::{Steps, image};
use crate::harness::other::{Mood, Reply};
use crate::harness::tls::Authority;
use crate::harness::{Gantry, Options, types};

/// A mirror of this registry.
fn mirror_of(source: &str) -> Options {
    Gantry::options()
        .set("v1.mirror.source", &format!("{source:?}"))
        .set("v1.mirror.timeout", "\"3s\"")
        .set("v1.mirror.tags", "\"1s\"")
}

/// An image with a large layer.
fn large(length: usize) -> V1Image {
    let id = new_id();
    V1Image::new(image_json(&id, None), layer(length))
}

/// Waits until V2 has a tag here, and gives its manifest.
async fn tagged(app: &Gantry, name: &str, tag: &str) -> serde_json::Value {
    let client = app.client().with("accept", types::DOCKER_MANIFEST).with("accept", types::OCI_MANIFEST);
    for _ in 0..1000 {
        let answer = client.get(&format!("/v2/{name}/manifests/{tag}")).await;
        if answer.status == 200 {
            return answer.json();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{name}:{tag} does not come\n{}", app.log());
}

#[tokio::test]
async fn v_12_1_every_docker_pulls_what_is_elsewhere_and_it_stays() {
    let source = TestRegistry::start().await;
    let images = chain(4);
    source.hold("team/app", &images, "latest");
    source.hold("library/foo", &images[..2], "1.0");
    let app = mirror_of(&source.url()).start().await;
    for version in Version::ALL {
        let docker = Docker::new(version, &app.client(), false);
        assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), images, "{version:?}");
        assert_eq!(docker.pull("foo", "1.0").await.expect("a pull"), images[..2], "{version:?}");
        assert!(docker.pull("team/app", "other").await.is_err());
        assert_eq!(docker.pull("team/nothing", "latest").await.expect_err("nothing").status, 404);
    }
    // The lower two are of two repositories.
    for (at, image) in images.iter().enumerate() {
        assert_eq!(source.layers_of(image), if at < 2 { 2 } else { 1 });
    }
    // For V2 clients too: with all layers as they came.
    for (name, tag, images) in [("team/app", "latest", &images[..]), ("foo", "1.0", &images[..2])] {
        let name = if name == "foo" { "library/foo" } else { name };
        let manifest = tagged(&app, name, tag).await;
        let layers: Vec<_> = manifest["layers"].as_array().expect("layers").iter().collect();
        let digests: Vec<_> = images.iter().map(V1Image::layer_digest).collect();
        assert_eq!(
            layers.iter().map(|layer| layer["digest"].as_str().expect("text")).collect::<Vec<_>>(),
            digests
        );
        for image in images {
            app.client().get(&format!("/v2/{name}/blobs/{}", image.layer_digest())).await.body(&image.layer);
        }
    }
}

#[tokio::test]
async fn v_12_1_a_top_that_is_asked_for_first_brings_what_it_stands_on() {
    let source = TestRegistry::start().await;
    let images = chain(5);
    source.hold("team/app", &images, "latest");
    let app = mirror_of(&source.url()).start().await;
    let steps = Steps::pulling(&app.client(), "team/app").await;
    steps.get(&images[4].id, "layer").await.status(200).body(&images[4].layer);
    tagged(&app, "team/app", "latest").await;
    assert!(images.iter().all(|image| source.layers_of(image) == 1));
    let ids: Vec<_> = images.iter().rev().map(|image| image.id.clone()).collect();
    assert_eq!(steps.ancestry(&images[4].id).await, ids);
    steps.get(&images[2].id, "files").await.status(200);
}

#[tokio::test]
async fn v_12_1_tags_are_asked_for_again_after_a_while_and_follow_their_source() {
    let source = TestRegistry::start().await;
    let (first, second) = (chain(2), chain(2));
    source.hold("team/app", &first, "latest");
    let app = mirror_of(&source.url()).start().await;
    let docker = Docker::new(Version::D1_6, &app.client(), false);
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), first);
    let one = tagged(&app, "team/app", "latest").await;
    let asked = source.asked_for("GET", "/tags");
    let steps = Steps::pulling(&app.client(), "team/app").await;
    let tags = format!("/v1/repositories/{}/tags", "team/app");
    source.hold("team/app", &second, "latest");
    let mut moved = false;
    for _ in 0..200 {
        moved = steps.client.get(&tags).await.status(200).json() == json!({ "latest": second[1].id });
        if moved {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(moved && source.asked_for("GET", "/tags") > asked);
    // What V2 clients have moves when all of it is here.
    assert_eq!(tagged(&app, "team/app", "latest").await, one);
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), second);
    let mut two = one.clone();
    for _ in 0..500 {
        two = tagged(&app, "team/app", "latest").await;
        if two != one {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_ne!(two, one);
}

/// Asks for a layer by hand, to see what came so far.
async fn reading(app: &Gantry, authorization: &str, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(app.address()).await.expect("a connection");
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nConnection: close\r\n\r\n",
        image(id, "layer"),
        app.address()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// So many bytes more of an answer, with its head.
async fn more(stream: &mut TcpStream, bytes: usize, into: &mut Vec<u8>) {
    let until = into.len() + bytes;
    while into.len() < until {
        let mut buffer = vec![0; until - into.len()];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer)).await;
        let read = read.expect("bytes in time").expect("bytes");
        assert!(read > 0, "the answer ended after {} bytes", into.len());
        into.extend_from_slice(&buffer[..read]);
    }
}

#[tokio::test]
async fn v_12_2_many_who_wait_are_one_fetch_and_read_while_it_comes() {
    let source = TestRegistry::start().await;
    let large = large(8 << 20);
    source.hold("team/app", std::slice::from_ref(&large), "latest");
    source.lets(1 << 20);
    let app = mirror_of(&source.url()).set("v1.mirror.timeout", "\"60s\"").start().await;
    let steps = Steps::pulling(&app.client(), "team/app").await;
    let token = super::steps::token(&app.client(), "GET", "/v1/repositories/team/app/images").await;
    let authorization = format!("Token {token}");
    // The first hangs up, the second never reads.
    let mut first = reading(&app, &authorization, &large.id).await;
    more(&mut first, 1000, &mut Vec::new()).await;
    drop(first);
    let _lazy = reading(&app, &authorization, &large.id).await;
    let mut early = reading(&app, &authorization, &large.id).await;
    let mut seen = Vec::new();
    more(&mut early, 900_000, &mut seen).await;
    // A range of what is still on its way.
    let range = {
        let call = steps.client.get(&image(&large.id, "layer")).header("range", "bytes=5000000-5000099");
        tokio::spawn(async move { call.await.status(206) })
    };
    let all: Vec<_> = (0..32)
        .map(|_| {
            let (steps, id) = (steps.clone(), large.id.clone());
            tokio::spawn(async move { steps.get(&id, "layer").await.status(200) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(all.iter().all(|one| !one.is_finished()), "nobody has all of it");
    assert_eq!(source.layers_of(&large), 1);
    source.lets(usize::MAX);
    for answer in all {
        answer.await.expect("an answer").body(&large.layer);
    }
    range.await.expect("a range").body(&large.layer[5_000_000..5_000_100]);
    let mut rest = Vec::new();
    early.read_to_end(&mut rest).await.expect("the rest");
    seen.extend(rest);
    let head = seen.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert!(seen[head..] == large.layer[..], "the same bytes");
    tagged(&app, "team/app", "latest").await;
    steps.has(&large).await;
    assert_eq!(source.layers_of(&large), 1);
}

#[tokio::test]
async fn v_12_2_layers_of_unknown_length_come_too() {
    let source = TestRegistry::start().await;
    let large = large(300_000);
    source.hold("team/app", std::slice::from_ref(&large), "latest");
    source.announces_nothing();
    let app = mirror_of(&source.url()).start().await;
    let steps = Steps::pulling(&app.client(), "team/app").await;
    steps.has(&large).await;
    tagged(&app, "team/app", "latest").await;
}

#[tokio::test]
async fn v_12_3_what_is_not_right_is_neither_given_whole_nor_kept() {
    let source = TestRegistry::start().await;
    let (small, large) = (chain(1).remove(0), large(400_000));
    source.hold("team/small", std::slice::from_ref(&small), "latest");
    source.hold("team/large", std::slice::from_ref(&large), "latest");
    let app = mirror_of(&source.url()).start().await;
    let steps = Steps::pulling(&app.client(), "team/small").await;
    let steps_large = Steps::pulling(&app.client(), "team/large").await;
    let text = "The registry that this one mirrors does not answer as it should; try again";
    let flipped = |of: &V1Image| {
        let mut bytes = of.layer.to_vec();
        bytes[10] ^= 1;
        Bytes::from(bytes)
    };
    for wrong in [flipped(&small), small.layer.slice(1..), [&small.layer[..], b"x"].concat().into()] {
        source.corrupt(&small, wrong);
        steps.get(&small.id, "layer").await.says(503, text);
    }
    for wrong in
        [flipped(&large), [&large.layer[..100_000], &vec![0; large.layer.len() - 100_000]].concat().into()]
    {
        source.corrupt(&large, wrong);
        let broken = steps_large.client.get(&image(&large.id, "layer")).try_send().await;
        assert!(broken.is_err(), "the stream breaks off: {broken:?}");
    }
    // Broken off in the middle of what was announced.
    let (bytes, length) = (large.layer.clone(), large.layer.len());
    source.lies(move |question| {
        let cut = bytes.slice(..200_000);
        let pieces = futures_util::stream::iter([Ok(cut), Err(std::io::Error::other("gone"))]);
        let layer = question.path.ends_with("/layer");
        layer.then(|| Reply::stream(pieces).with("content-length", &length.to_string()))
    });
    let broken = steps_large.client.get(&image(&large.id, "layer")).try_send().await;
    assert!(broken.as_ref().map_or(true, |answer| answer.status == 503), "{broken:?}");
    source.is_honest();
    // None of it was kept, and none of it is in the way.
    source.corrupt(&small, small.layer.clone());
    source.corrupt(&large, large.layer.clone());
    steps.has(&small).await;
    steps_large.has(&large).await;
    tagged(&app, "team/large", "latest").await;
}

#[tokio::test]
async fn v_12_3_a_source_that_lies_hurts_nobody() {
    let source = TestRegistry::start().await;
    let elsewhere = TestRegistry::start().await;
    let images = chain(2);
    source.hold("team/app", &images, "latest");
    let app = mirror_of(&source.url()).set("v1.mirror.tags", "\"0s\"").start().await;
    let steps = Steps::pulling(&app.client(), "team/app").await;
    let tags = "/v1/repositories/team/app/tags";
    let (away, other) = (elsewhere.url(), images[0].id.clone());
    type Lie = Box<dyn Fn(&str) -> Option<Reply> + Send + Sync>;
    let says = |end: &'static str, reply: fn() -> Reply| -> Lie {
        Box::new(move |path: &str| path.ends_with(end).then(reply))
    };
    let top = &images[1].id;
    let (json_of, ancestry_of) = (image(top, "json"), image(top, "ancestry"));
    let lies: Vec<(&str, Lie)> = vec![
        (tags, says("/tags", || Reply::new(200, "garbage"))),
        (tags, says("/tags", || Reply::new(200, "[\"latest\"]"))),
        (tags, says("/tags", || Reply::new(500, ""))),
        (tags, says("/tags", || Reply::new(200, vec![b' '; 64 << 20]))),
        (
            tags,
            says("/tags", || {
                let many = (0..20_000).map(|at| format!("\"t{at}\":\"{at:064x}\"")).collect::<Vec<_>>();
                Reply::new(200, format!("{{{}}}", many.join(",")))
            }),
        ),
        (
            tags,
            Box::new(move |path: &str| {
                path.ends_with("/tags").then(|| Reply::new(302, "").with("location", &format!("{away}/v1/x")))
            }),
        ),
        (&json_of, says("/json", || Reply::new(200, "{}"))),
        (
            &json_of,
            Box::new(move |path: &str| {
                path.ends_with("/json").then(|| Reply::new(200, image_json(&other, None)))
            }),
        ),
        (&json_of, says("/json", || Reply::new(200, vec![b'{'; 8 << 20]))),
        (&ancestry_of, says("/ancestry", || Reply::new(200, "[]"))),
        (&ancestry_of, says("/ancestry", || Reply::new(200, format!("[\"{}\"]", "0".repeat(64))))),
    ];
    for (at, (path, lie)) in lies.into_iter().enumerate() {
        source.lies(move |question| lie(&question.path));
        let answer = steps.client.get(path).await;
        assert_eq!(answer.status, 503, "lie {at}: {answer:?}");
    }
    // Of images that stand on each other none is kept, and nobody waits for that.
    let ids: Vec<_> = images.iter().map(|image| image.id.clone()).collect();
    source.lies(move |question| {
        let at = ids.iter().position(|id| question.path == image(id, "ancestry"))?;
        Some(Reply::json(200, &json!([ids[at], ids[1 - at]])))
    });
    for image in &images {
        let answer = steps.get(&image.id, "layer").await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
    }
    assert!(elsewhere.asked().is_empty(), "nobody follows it to another host");
    source.is_honest();
    assert!(!app.log().contains("panicked"), "{}", app.log());
}

#[tokio::test]
async fn v_12_4_without_its_source_it_serves_what_is_here() {
    let source = TestRegistry::start().await;
    let (here, there) = (chain(2), chain(2));
    source.hold("team/app", &here, "latest");
    source.hold("team/other", &there, "latest");
    let mut app = mirror_of(&source.url()).set("v1.mirror.timeout", "\"300ms\"").start().await;
    let docker = Docker::new(Version::D1_3, &app.client(), false);
    docker.pull("team/app", "latest").await.expect("a pull");
    tagged(&app, "team/app", "latest").await;
    for mood in [Mood::Away, Mood::Silent] {
        source.is(mood);
        app.restart().await;
        let docker = Docker::new(Version::D1_3, &app.client(), false);
        assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), here, "{mood:?}");
        assert_eq!(docker.pull("team/other", "latest").await.expect_err("nothing is here").status, 503);
    }
    source.is(Mood::Well);
    for attempt in 0..100 {
        if docker_pulls(&app, &there).await {
            break;
        }
        assert!(attempt < 99, "the source is back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn docker_pulls(app: &Gantry, images: &[V1Image]) -> bool {
    let docker = Docker::new(Version::D1_3, &app.client(), false);
    docker.pull("team/other", "latest").await.is_ok_and(|pulled| pulled == images)
}

#[tokio::test]
async fn v_12_5_a_mirror_that_is_killed_has_nothing_half() {
    let source = TestRegistry::start().await;
    let large = large(2 << 20);
    source.hold("team/app", std::slice::from_ref(&large), "latest");
    source.lets(1 << 20);
    let mut app = mirror_of(&source.url()).set("v1.mirror.timeout", "\"60s\"").start().await;
    let token = super::steps::token(&app.client(), "GET", "/v1/repositories/team/app/images").await;
    let mut stream = reading(&app, &format!("Token {token}"), &large.id).await;
    more(&mut stream, 500_000, &mut Vec::new()).await;
    app.kill9();
    let files = |path: &std::path::Path| -> Vec<String> {
        let found = std::fs::read_dir(path).into_iter().flatten();
        found.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    assert!(files(app.data()).iter().all(|name| !name.starts_with("spool")), "{:?}", files(app.data()));
    assert!(files(&app.data().join("uploads")).is_empty());
    source.is(Mood::Away);
    app.restart().await;
    app.client().get("/v2/team/app/tags/list").await.status(404);
    source.is(Mood::Well);
    source.lets(usize::MAX);
    let docker = Docker::new(Version::D1_10, &app.client(), false);
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), [large]);
    tagged(&app, "team/app", "latest").await;
}

#[tokio::test]
async fn v_12_6_nothing_is_fetched_for_who_may_not_read_it() {
    let source = TestRegistry::start().await;
    let images = chain(2);
    source.hold("secret/app", &images, "latest");
    let app = mirror_of(&source.url())
        .file("[[namespace]]\nprefix = 'secret'\nvisibility = 'private'\n")
        .set("auth.anonymous", "\"read\"")
        .account("alice", "open sesame")
        .account("bob", "let me in")
        .set("auth.htpasswd.role", "\"none\"")
        .start()
        .await;
    app.grant("alice", "pull", "secret").await;
    let (nobody, bob) = (app.client(), app.client().basic("bob", "let me in"));
    for path in ["/v1/repositories/secret/app/images", "/v1/repositories/secret/app/tags"] {
        nobody.get(path).await.status(401);
        bob.get(path).await.status(404);
    }
    let id = &images[0].id;
    nobody.get(&image(id, "json")).await.status(401);
    bob.get(&image(id, "json")).await.status(404);
    // Nor is an image for alice, as long as nobody said where it is.
    let alice = app.client().basic("alice", "open sesame");
    alice.get(&image(id, "layer")).await.status(404);
    assert!(source.asked().is_empty(), "{:?}", source.asked());
    alice.get("/v1/repositories/secret/app/tags").await.status(200);
    alice.get(&image(&images[1].id, "layer")).await.status(200).body(&images[1].layer);
    // It is here now, and still alice's to read.
    nobody.get(&image(&images[1].id, "layer")).await.status(401);
    bob.get(&image(&images[1].id, "layer")).await.status(404);
}

#[tokio::test]
async fn v_12_7_what_is_mirrored_is_pushed_elsewhere_and_the_rest_here() {
    let source = TestRegistry::start().await;
    let images = chain(2);
    source.hold("team/app", &images, "latest");
    let app = mirror_of(&source.url()).set("v1.mirror.repositories", "[\"team/*\"]").start().await;
    let docker = Docker::new(Version::D1_6, &app.client(), false);
    let refused = docker.push("team/app", &images, &[("v2", 1)]).await.expect_err("no push");
    assert_eq!(refused.status, 403);
    assert_eq!(refused.text, "This repository is a mirror of another registry's: push there");
    let reader = Steps::pulling(&app.client(), "team/app").await;
    reader.put_tag("v2", &images[1].id).await.status(403);
    reader.put_json(&images[0]).await.status(403);
    let before = source.asked().len();
    docker.push("own/app", &images, &[("latest", 1)]).await.expect("a push");
    assert_eq!(docker.pull("own/app", "latest").await.expect("a pull"), images);
    assert_eq!(docker.pull("own/nothing", "latest").await.expect_err("nothing").status, 404);
    assert_eq!(source.asked().len(), before, "nothing of it is the source's business");
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), images);
}

#[tokio::test]
async fn v_12_8_the_source_is_asked_with_its_own_token_and_account() {
    let source = TestRegistry::start().await;
    let images = chain(2);
    source.hold("team/app", &images, "latest");
    source.wants_token("signature=abc,repository=\"team/app\",access=read");
    let app = mirror_of(&source.url())
        .set("v1.mirror.username", "\"mirror\"")
        .set("v1.mirror.password", "\"open sesame\"")
        .account("alice", "her own secret")
        .start()
        .await;
    let docker = Docker::new(Version::D1_6, &app.client(), false).as_user("alice", "her own secret");
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), images);
    // A token that ends is asked for anew.
    source.wants_token("signature=def,repository=\"team/app\",access=read");
    let more = chain(1);
    source.hold("team/app", &more, "more");
    for attempt in 0..100 {
        if docker.pull("team/app", "more").await.is_ok_and(|pulled| pulled == more) {
            break;
        }
        assert!(attempt < 99, "the new tag comes");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let basic = "Basic bWlycm9yOm9wZW4gc2VzYW1l";
    for question in source.asked() {
        let shown = question.header("authorization");
        let fits =
            if question.path.ends_with("/images") { shown == basic } else { shown.starts_with("Token ") };
        assert!(fits && question.header("cookie").is_empty(), "{question:?}");
    }
    assert!(!app.log().contains("open sesame"), "no secret in the log");
}

#[tokio::test]
async fn v_12_8_a_gantry_mirrors_a_gantry_over_https() {
    let authority = Authority::new();
    let source = Gantry::options().tls(&authority).account("mirror", "open sesame").start().await;
    let images = chain(3);
    let pusher = Docker::new(Version::D1_6, &source.client(), true).as_user("mirror", "open sesame");
    pusher.push("team/app", &images, &[("latest", 2)]).await.expect("a push");
    let ca = authority.write(&source.dir().join("ca.pem"));
    let app = mirror_of(&format!("https://{}", source.address()))
        .set("v1.mirror.ca", &format!("{ca:?}"))
        .set("v1.mirror.username", "\"mirror\"")
        .set("v1.mirror.password", "\"open sesame\"")
        .start()
        .await;
    let docker = Docker::new(Version::D1_0, &app.client(), false);
    assert_eq!(docker.pull("team/app", "latest").await.expect("a pull"), images);
    let manifest = tagged(&app, "team/app", "latest").await;
    // The same chain has the same manifest, wherever it is made.
    let there = source.client().basic("mirror", "open sesame").with("accept", types::DOCKER_MANIFEST);
    assert_eq!(there.get("/v2/team/app/manifests/latest").await.status(200).json(), manifest);
    // Another authority's server is not the source.
    let stranger = Authority::new().write(&source.dir().join("other.pem"));
    let app = mirror_of(&format!("https://{}", source.address()))
        .set("v1.mirror.ca", &format!("{stranger:?}"))
        .start()
        .await;
    let docker = Docker::new(Version::D1_0, &app.client(), false);
    assert_eq!(docker.pull("team/app", "latest").await.expect_err("no pull").status, 503);
}

/// Whoever may push to the source chooses ids there: a password alone does not say whose image is meant.
#[tokio::test]
async fn v_12_6_images_of_one_id_at_the_source_are_not_mistaken_for_each_other() {
    let source = Gantry::options().account("mirror", "open sesame").start().await;
    let there = source.client().basic("mirror", "open sesame");
    let id = new_id();
    let of = |length| V1Image::new(image_json(&id, None), layer(length));
    let (good, bad) = (of(300), of(400));
    for (name, image) in [("evil/app", &bad), ("team/app", &good), ("evil/same", &bad)] {
        Steps::pushing(&there, name).await.push(std::slice::from_ref(image), "latest").await;
    }
    let url = format!("http://{}", source.client().authority());
    let app = mirror_of(&url)
        .set("v1.mirror.username", "'mirror'")
        .set("v1.mirror.password", "'open sesame'")
        .account("root", "open:sesame")
        .start()
        .await;
    let root = app.client().basic("root", "open:sesame");
    let alone = Steps { client: root.clone(), name: "team/app".to_owned() };
    let learn = async |name: &str| {
        root.get(&format!("/v1/repositories/{name}/tags")).await.status(200);
    };
    for name in ["evil/app", "evil/same"] {
        learn(name).await;
    }
    alone.has(&bad).await;
    learn("team/app").await;
    alone.lacks(&id).await;
    // A token says it.
    Steps::pulling(&root, "team/app").await.has(&good).await;
    Steps::pulling(&root, "evil/app").await.has(&bad).await;
    alone.lacks(&id).await;
}
