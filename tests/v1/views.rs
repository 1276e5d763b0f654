//! One store, two views: what one API pushes the other pulls, tags and deletes are the same, and every layer is there once.

use std::collections::BTreeSet;

use base64::Engine as _;
use serde_json::{Value, json};

use super::content::{V1Image, chain, grow, gzip, json as image_json, layer, new_id, tar};
use super::docker::{Docker, Version};
use super::steps::{Steps, new_name, pushing};
use super::vectors;
use crate::harness::{Alg, Blob, Gantry, Image, Manifest, Repo, image, index, types};
use crate::sweep::files;

/// The repository of a push, for V2.
fn v2(of: &Steps) -> Repo {
    of.client.nobody().at(&of.name)
}

async fn pulled(of: &Steps, tag: &str) -> Manifest {
    let repo = v2(of);
    let got = repo.client.get(&repo.manifest(tag)).await.status(200);
    let manifest = Manifest::of(Alg::Sha256, got.get("content-type").expect("a type"), got.body.clone());
    got.digest(&manifest.digest);
    manifest
}

/// Everything that a manifest names can be pulled, and is what its digest says.
async fn is_whole(repo: &Repo, manifest: &Manifest) {
    repo.has_manifest(&manifest.digest, manifest).await;
    let document: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    for part in document["layers"].as_array().expect("layers").iter().chain([&document["config"]]) {
        let digest = part["digest"].as_str().expect("a digest");
        let blob = repo.client.get(&repo.blob(digest)).await.status(200);
        assert_eq!(Alg::Sha256.of(&blob.body), digest);
        assert_eq!(Some(blob.body.len() as u64), part["size"].as_u64());
    }
}

#[tokio::test]
async fn v_17_1_a_chain_has_one_manifest_and_it_is_the_same_on_every_server() {
    for version in Version::ALL {
        let app = Gantry::start().await;
        let docker = Docker::new(version, &app.client(), false);
        for name in ["vector", "other/vector"] {
            docker.push(name, &[vectors::single()], &[("latest", 0)]).await.expect("pushed");
            let repo = app.client().at(name);
            let got = repo.client.get(&repo.manifest("latest")).await.status(200).digest(vectors::MANIFEST);
            let manifest = Manifest::of(Alg::Sha256, types::DOCKER_MANIFEST, got.body.clone());
            repo.has_manifest("latest", &manifest).await;
            is_whole(&repo, &manifest).await;
            let config = repo.client.get(&repo.blob(vectors::CONFIG)).await.status(200);
            assert_eq!(config.body.len(), 297);
            // Pushed again, and tagged again.
            docker.push(name, &[vectors::single()], &[("latest", 0), ("again", 0)]).await.expect("pushed");
            repo.has_manifest("latest", &manifest).await;
            repo.has_manifest("again", &manifest).await;
        }
    }
}

#[tokio::test]
async fn v_17_2_a_manifest_comes_with_the_tag_and_not_before() {
    let push = pushing().await;
    let repo = v2(&push);
    let images = chain(2);
    push.push_image(&images[0]).await;
    push.push_image(&images[1]).await;
    repo.lacks_manifest("latest").await;
    let ended = push.client.put(&push.path("images"), "[]").await;
    ended.status(204);
    repo.lacks_manifest("latest").await;
    push.put_tag("latest", &images[1].id).await.status(200);
    is_whole(&repo, &pulled(&push, "latest").await).await;
    assert_eq!(repo.tags().await, ["latest"]);
}

/// Ids are not in the manifest, so equal chains under other ids are one manifest; each tag keeps the id that it was given.
#[tokio::test]
async fn v_17_3_two_ids_of_one_manifest_stay_two() {
    let push = pushing().await;
    let layer = layer(100);
    let text = |id: &str| format!("{{\"id\":\"{id}\",\"created\":\"2014-05-13T16:53:20Z\"}}");
    let [one, two] = [new_id(), new_id()].map(|id| V1Image::new(text(&id), layer.clone()));
    push.push(std::slice::from_ref(&one), "one").await;
    push.push(std::slice::from_ref(&two), "two").await;
    assert_eq!(pulled(&push, "one").await.digest, pulled(&push, "two").await.digest);
    assert_eq!(push.tags().await, json!({ "one": one.id, "two": two.id }));
    push.has(&one).await;
    push.has(&two).await;
    // V2 moves a tag away and back: what v1 said of it is over.
    let repo = v2(&push);
    let manifest = pulled(&push, "one").await;
    let other = image().build();
    repo.push("two", &other).await;
    repo.push_manifest("two", &manifest).await;
    let tags = push.tags().await;
    assert_eq!(tags["one"], one.id);
    push.get(tags["two"].as_str().expect("an id"), "json").await.status(200);
}

/// The layers of ENV and CMD are layers like others.
#[tokio::test]
async fn v_17_4_empty_layers_stay_layers() {
    let push = pushing().await;
    let images = chain(6);
    push.push(&images, "latest").await;
    let manifest: Value = serde_json::from_slice(&pulled(&push, "latest").await.bytes).expect("JSON");
    let digests: Vec<_> =
        manifest["layers"].as_array().expect("layers").iter().map(|l| &l["digest"]).collect();
    let expected: Vec<_> = images.iter().map(V1Image::layer_digest).collect();
    assert_eq!(digests, expected.iter().collect::<Vec<_>>());
    assert_eq!(expected[2], expected[5]);
}

/// Nobody checks in v1 whether a layer is a tar; V2 has a layer then that nobody unpacks.
#[tokio::test]
async fn v_17_5_layers_that_are_no_tars_are_taken() {
    for (bytes, media_type) in [
        (crate::harness::bytes(4000), types::OCI_MANIFEST),
        (gzip(b"no tar").into(), types::DOCKER_MANIFEST),
        (bytes::Bytes::new(), types::OCI_MANIFEST),
        // What looks like gzip and breaks off.
        (bytes::Bytes::from_static(b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01\x05\0"), ""),
        // Ends, and goes on with something else.
        ([gzip(&tar(&[])), b"garbage".to_vec()].concat().into(), ""),
        // Without the two blocks at the end, as Docker up to 1.2.
        (gzip(&tar(&vectors::members())[..2560]).into(), types::DOCKER_MANIFEST),
    ] {
        let push = pushing().await;
        let of = V1Image::new(image_json(&new_id(), None), bytes);
        push.push(std::slice::from_ref(&of), "latest").await;
        push.has(&of).await;
        let manifest = pulled(&push, "latest").await;
        assert!(media_type.is_empty() || manifest.media_type == media_type, "{}", manifest.media_type);
        is_whole(&v2(&push), &manifest).await;
    }
}

/// A plain tar has no official type in schema 2.
#[tokio::test]
async fn v_17_6_a_plain_layer_makes_an_oci_manifest() {
    let push = pushing().await;
    let plain = V1Image::new(image_json(&new_id(), None), tar(&vectors::members()));
    let mut images = vec![plain];
    images.extend(grow(images.last(), 1));
    push.push(&images, "latest").await;
    let manifest = pulled(&push, "latest").await;
    assert_eq!(manifest.media_type, types::OCI_MANIFEST);
    let document: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    assert_eq!(document["layers"][0]["mediaType"], types::OCI_LAYER_TAR);
    assert_eq!(document["layers"][1]["mediaType"], types::OCI_LAYER);
    let config = document["config"]["digest"].as_str().expect("a digest");
    let repo = v2(&push);
    let config = repo.client.get(&repo.blob(config)).await.status(200).json();
    assert_eq!(config["rootfs"]["diff_ids"][0], Alg::Sha256.of(&tar(&vectors::members())));
    is_whole(&repo, &manifest).await;
}

/// V2 has no type for them; v1 gives what it was given.
#[tokio::test]
async fn v_17_8_bzip2_and_xz_are_packed_as_gzip_for_v2() {
    for packed in vectors::PACKED {
        let push = pushing().await;
        let bytes = base64::engine::general_purpose::STANDARD.decode(packed).expect("base64");
        let of = V1Image::new(image_json(&new_id(), None), bytes);
        push.push(std::slice::from_ref(&of), "latest").await;
        push.has(&of).await;
        let manifest = pulled(&push, "latest").await;
        assert_eq!(manifest.media_type, types::DOCKER_MANIFEST);
        let repo = v2(&push);
        is_whole(&repo, &manifest).await;
        let document: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
        let layer = document["layers"][0]["digest"].as_str().expect("a digest");
        let layer = repo.client.get(&repo.blob(layer)).await.status(200);
        assert_eq!(layer.body[..3], *b"\x1f\x8b\x08");
        let config = document["config"]["digest"].as_str().expect("a digest");
        let config = repo.client.get(&repo.blob(config)).await.status(200).json();
        assert_eq!(config["rootfs"]["diff_ids"][0], Alg::Sha256.of(&tar(&vectors::members())));
        // The same again, and the same elsewhere.
        let other = pushing().await;
        other.push(std::slice::from_ref(&of), "latest").await;
        assert_eq!(pulled(&other, "latest").await.digest, manifest.digest);
    }
}

/// The vectors of three layers, and of none.
pub(crate) fn three() -> Image {
    let layers = vectors::three_layers().map(|bytes| Blob::of(Alg::Sha256, bytes));
    let config = Blob::of(Alg::Sha256, vectors::THREE_CONFIG);
    image().config(types::OCI_CONFIG, &config).layers(types::OCI_LAYER, &layers).build()
}

#[tokio::test]
async fn v_16_1_what_v2_pushed_every_docker_pulls_by_ids_that_follow_from_it() {
    let app = Gantry::start().await;
    for (name, media_types) in [
        ("oci/three", (types::OCI_MANIFEST, types::OCI_CONFIG, types::OCI_LAYER)),
        ("docker/three", (types::DOCKER_MANIFEST, types::DOCKER_CONFIG, types::DOCKER_LAYER)),
    ] {
        let repo = app.client().at(name);
        let (manifest, config_type, layer_type) = media_types;
        let layers = vectors::three_layers().map(|bytes| Blob::of(Alg::Sha256, bytes));
        let config = Blob::of(Alg::Sha256, vectors::THREE_CONFIG);
        let built = image().field("mediaType", manifest.into()).config(config_type, &config);
        let built = built.layers(layer_type, &layers).build();
        repo.push("v1", &built).await;
        for version in Version::ALL {
            let images = Docker::new(version, &app.client(), false).pull(name, "v1").await.expect("pulled");
            assert_eq!(images.len(), 3);
            for (at, of) in images.iter().enumerate() {
                let (id, json) = vectors::THREE_IMAGES[at];
                assert_eq!((of.id.as_str(), Alg::Sha256.of(&of.json)), (id, format!("sha256:{json}")));
                assert_eq!(of.layer, layers[at].bytes);
            }
        }
    }
}

#[tokio::test]
async fn v_16_2_an_image_without_layers_has_one_empty_layer() {
    let push = Steps::pulling_of(&three_without_layers().await).await;
    assert_eq!(push.tags().await, json!({ "v1": vectors::NO_LAYERS }));
    assert_eq!(push.ancestry(vectors::NO_LAYERS).await, [vectors::NO_LAYERS]);
    let layer = push.get(vectors::NO_LAYERS, "layer").await.status(200);
    assert_eq!((Alg::Sha256.of(&layer.body).as_str(), layer.body.len()), (vectors::EMPTY_LAYER, 32));
    push.get(vectors::NO_LAYERS, "json").await.status(200).header("x-docker-size", "32");
}

async fn three_without_layers() -> Repo {
    let repo = crate::harness::repo().await;
    let config = Blob::of(Alg::Sha256, vectors::THREE_CONFIG);
    repo.push("v1", &image().config(types::OCI_CONFIG, &config).layers(types::OCI_LAYER, &[]).build()).await;
    repo
}

#[tokio::test]
async fn v_16_3_of_an_index_v1_has_the_image_for_its_platform() {
    for platform in ["linux/amd64", "linux/arm64"] {
        let app = Gantry::options().set("v1.default_platform", &format!("{platform:?}")).start().await;
        let repo = app.repo();
        let of = |architecture: &str, layers: usize| {
            let config = json!({ "architecture": architecture, "os": "linux" }).to_string();
            let layers: Vec<_> = (0..layers).map(|_| Blob::of(Alg::Sha256, layer(60))).collect();
            let config = Blob::of(Alg::Sha256, config);
            image().config(types::OCI_CONFIG, &config).layers(types::OCI_LAYER, &layers).build()
        };
        let on = |(child, architecture): (&Image, &str)| {
            let mut entry = child.descriptor();
            entry["platform"] = json!({ "architecture": architecture, "os": "linux" });
            entry
        };
        let children = [of("arm64", 2), of("amd64", 3)];
        let entries: Vec<_> = children.iter().zip(["arm64", "amd64"]).map(on).collect();
        let all = index(Alg::Sha256, &children, &json!({ "manifests": entries }));
        repo.push("multi", &all).await;
        let only_other = index(Alg::Sha256, &[of("s390x", 1)], &json!({}));
        repo.push("other", &only_other).await;
        let docker = Docker::new(Version::D1_6, &app.client(), false);
        let expected = if platform == "linux/amd64" { 3 } else { 2 };
        assert_eq!(docker.pull(&repo.name, "multi").await.expect("pulled").len(), expected, "{platform}");
        docker.pull(&repo.name, "other").await.expect_err("no image for it");
    }
}

#[tokio::test]
async fn v_16_4_what_is_no_image_for_docker_is_not_there() {
    let repo = crate::harness::repo().await;
    let config = || Blob::of(Alg::Sha256, vectors::THREE_CONFIG);
    let with =
        |layer_type: &str| image().config(types::OCI_CONFIG, &config()).layers(layer_type, &[Blob::new(100)]);
    repo.push("image", &with(types::OCI_LAYER).build()).await;
    repo.push("plain", &with(types::OCI_LAYER_TAR).build()).await;
    let artifact = image().artifact("x/signature").build();
    repo.push("artifact", &artifact).await;
    repo.push("zstd", &with("application/vnd.oci.image.layer.v1.tar+zstd").build()).await;
    repo.push("encrypted", &with("application/vnd.oci.image.layer.v1.tar+gzip+encrypted").build()).await;
    repo.push("empty", &index(Alg::Sha256, &[], &json!({}))).await;
    let foreign = with(types::OCI_FOREIGN_LAYER).build();
    repo.push("foreign", &foreign).await;
    let pull = Steps::pulling_of(&repo).await;
    let tags = pull.tags().await;
    let names: BTreeSet<_> = tags.as_object().expect("tags").keys().cloned().collect();
    assert_eq!(names, BTreeSet::from(["image".to_owned(), "plain".to_owned()]));
    for tag in ["artifact", "zstd", "encrypted", "empty", "foreign"] {
        pull.client.get(&pull.path(&format!("tags/{tag}"))).await.says(404, "Tag not found");
    }
}

/// `created` that Docker cannot read would end the pull.
#[tokio::test]
async fn v_16_5_a_date_that_is_none_is_left_out() {
    let repo = crate::harness::repo().await;
    for (tag, created) in [("none", None), ("bad", Some("yesterday")), ("good", Some("2020-01-02T03:04:05Z"))]
    {
        let mut config = json!({ "architecture": "amd64", "os": "linux", "x": tag });
        if let Some(created) = created {
            config["created"] = created.into();
        }
        let config = Blob::of(Alg::Sha256, config.to_string());
        let layers = [Blob::of(Alg::Sha256, layer(50))];
        repo.push(tag, &image().config(types::OCI_CONFIG, &config).layers(types::OCI_LAYER, &layers).build())
            .await;
        let pull = Steps::pulling_of(&repo).await;
        let id = pull.tags().await[tag].as_str().expect("an id").to_owned();
        let document = pull.get(&id, "json").await.status(200).json();
        let expected = if tag == "good" { created.into() } else { Value::Null };
        assert_eq!(document["created"], expected, "{tag}");
        assert!(document.get("rootfs").is_none() && document.get("history").is_none(), "{document}");
    }
}

/// Pulled by v1 and pushed again, what V2 pushed is the same manifest still.
#[tokio::test]
async fn v_17_7_a_pull_by_v1_and_a_push_by_v1_change_no_digest() {
    let app = Gantry::start().await;
    let repo = app.client().at("there/and-back");
    let built = three();
    repo.push("v2", &built).await;
    for version in Version::ALL {
        let docker = Docker::new(version, &app.client(), false);
        let images = docker.pull(&repo.name, "v2").await.expect("pulled");
        let tag = format!("{version:?}");
        docker.push(&repo.name, &images, &[(&tag, 2)]).await.expect("pushed");
        repo.has_manifest(&tag, &built.manifest).await;
        // And with something on top, whose base is V2's.
        let mut more = images.clone();
        more.extend(grow(images.last(), 1));
        docker.push(&repo.name, &more, &[("more", 3)]).await.expect("pushed");
        assert_eq!(docker.pull(&repo.name, "more").await.expect("pulled"), more);
        let got = repo.client.get(&repo.manifest("more")).await.status(200);
        let manifest = Manifest::of(Alg::Sha256, got.get("content-type").expect("a type"), got.body.clone());
        is_whole(&repo, &manifest).await;
    }
}

#[tokio::test]
async fn v_20_1_tags_and_deletes_are_the_same_on_both_sides() {
    let push = pushing().await;
    let repo = v2(&push);
    let images = chain(2);
    push.push(&images, "by-v1").await;
    push.put_tag("too", &images[1].id).await.status(200);
    let built = three();
    repo.push("by-v2", &built).await;
    let all = ["by-v1", "by-v2", "too"];
    assert_eq!(repo.tags().await, all);
    assert_eq!(push.tags().await.as_object().expect("tags").keys().collect::<Vec<_>>(), all);
    // A tag deleted by each, of what the other pushed.
    push.client.delete(&push.path("tags/by-v2")).await.status(200);
    repo.lacks_manifest("by-v2").await;
    repo.client.delete(&repo.manifest("by-v1")).await.status(202);
    push.client.get(&push.path("tags/by-v1")).await.says(404, "Tag not found");
    push.client.delete(&push.path("tags/by-v1")).await.says(404, "Tag not found: by-v1");
    assert_eq!(push.tags().await, json!({ "too": images[1].id }));
    // A manifest deleted by V2 takes its tags along; what it was derived to is gone, what was pushed may be tagged again.
    let manifest = pulled(&push, "too").await;
    repo.client.delete(&repo.manifest(&manifest.digest)).await.status(202);
    push.client.get(&push.path("tags/too")).await.says(404, "Tag not found");
    repo.client.delete(&repo.manifest(built.digest())).await.status(202);
    push.lacks(vectors::THREE_IMAGES[2].0).await;
    push.has(&images[1]).await;
    push.put_tag("again", &images[1].id).await.status(200);
    assert_eq!(pulled(&push, "again").await.digest, manifest.digest);
}

#[tokio::test]
async fn v_20_2_a_repository_that_v1_deletes_is_gone_for_v2() {
    for path in ["", "tags"] {
        let app = Gantry::start().await;
        let push = Steps::pushing(&app.client(), &new_name()).await;
        let (repo, images) = (v2(&push), chain(2));
        push.push(&images, "latest").await;
        repo.push("v2", &three()).await;
        let client = app.client();
        client.delete(&push.path(path)).await.status(200);
        client.get(&push.path("tags")).await.says(404, "Repository not found");
        // In V2 it is as after the deletion of the last manifest.
        assert_eq!(repo.tags().await, [""; 0]);
        repo.lacks_manifest("latest").await;
        client.delete(&push.path(path)).await.says(404, "Repository not found");
        let again = Steps::pushing(&client, &push.name).await;
        again.lacks(&images[1].id).await;
        again.push(&images, "latest").await;
        is_whole(&v2(&again), &pulled(&again, "latest").await).await;
    }
}

/// Many images, repositories and both APIs: a file for each different layer.
#[tokio::test]
async fn v_15_1_a_layer_is_stored_once() {
    let app = Gantry::start().await;
    let big = |_| gzip(&tar(&[super::content::Member::file("f", crate::harness::bytes(40_000))]));
    let layers: Vec<_> = (0..3).map(big).collect();
    for name in ["one/a", "two/b"] {
        let mut images: Vec<V1Image> = Vec::new();
        for layer in &layers {
            let parent = images.last().map(|of| of.id.clone());
            images.push(V1Image::new(image_json(&new_id(), parent.as_deref()), layer.clone()));
        }
        let push = Steps::pushing(&app.client(), name).await;
        push.push(&images, "latest").await;
        push.put_tag("too", &images[1].id).await.status(200);
    }
    let blobs: Vec<_> = layers.iter().map(|bytes| Blob::of(Alg::Sha256, bytes.clone())).collect();
    app.client().at("three/c").push("latest", &image().layers(types::OCI_LAYER, &blobs).build()).await;
    let expected: BTreeSet<_> = blobs.iter().map(|blob| blob.digest.clone()).collect();
    assert_eq!(files(app.data()), expected);
    let uploads = std::fs::read_dir(app.data().join("uploads")).map_or(0, Iterator::count);
    assert_eq!(uploads, 0, "nothing is left of uploads");
}

#[tokio::test]
async fn v_19_1_foo_and_library_foo_are_one() {
    let app = Gantry::start().await;
    for (at, (pushed, other)) in [("foo", "library/foo"), ("library/bar", "bar")].into_iter().enumerate() {
        let images = chain(2);
        let docker = Docker::new(Version::ALL[at], &app.client(), false);
        docker.push(pushed, &images, &[("latest", 1)]).await.expect("pushed");
        for name in [pushed, other] {
            for version in Version::ALL {
                let docker = Docker::new(version, &app.client(), false);
                assert_eq!(docker.pull(name, "latest").await.expect("pulled"), images, "{name}");
            }
            // A token for either opens both.
            let pull = Steps::pulling(&app.client(), name).await;
            for path in [pushed, other] {
                let got = pull.client.get(&format!("/v1/repositories/{path}/tags")).await.status(200);
                assert_eq!(got.json(), json!({ "latest": images[1].id }));
            }
            pull.has(&images[1]).await;
            // And V2 finds it under both names.
            let repo = app.client().at(name);
            repo.client.get(&repo.manifest("latest")).await.status(200);
        }
        // It goes on where it is.
        let more = grow(images.last(), 1);
        let push = Steps::pushing(&app.client(), other).await;
        push.push(&more, "more").await;
        let repo = app.client().at(pushed);
        assert_eq!(repo.tags().await, ["latest", "more"]);
    }
    let catalog = app.client().get("/v2/_catalog").await.status(200).list("repositories");
    assert_eq!(catalog, ["foo", "library/bar"]);
}
