//! Images of several repositories, and what else is done with whole images.

use std::path::PathBuf;

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};
use gantry_server::config::Settings;
use gantry_server::registry::{ImageError, ImageSources};
use gantry_storage::TagLocks;

use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn images_are_linked_from_where_the_caller_may_take_them() {
    let world = World::new().await;
    let (app, theirs, secret) = (repo("team/app"), repo("team/theirs"), repo("secret/app"));
    let staging = RepoName::staging("alice");
    let (base, top) = (id("1"), id("2"));
    let layer = gz(&small("a", "a"));
    world.push(&staging, base, &json(base, None), &layer).await;
    world.push(&staging, top, &json(top, Some(base)), &layer).await;
    refused(world.tag(&app, "latest", top).await, &ImageError::Unknown);
    let mine = ImageSources { staging: Some(&staging), reader: &Below("-") };
    let locks = TagLocks::default;
    let made = world.registry.tag_image(&app, tag("latest"), &top, mine, locks()).await.unwrap();
    assert_eq!(world.registry.image(&app, &top).await.unwrap().ancestry, [top, base]);

    let sources = ImageSources { staging: None, reader: &Below("team/") };
    let linked = world.registry.tag_image(&theirs, tag("latest"), &top, sources, locks()).await.unwrap();
    assert_eq!(linked, made);
    // Parents too.
    let (third, fourth) = (id("3"), id("4"));
    let fresh = repo("team/fresh");
    let text = Bytes::from(json(third, Some(top)));
    world.registry.begin_image(&fresh, &third, text, sources).await.unwrap();
    let text = Bytes::from(json(fourth, Some(id("5"))));
    refused(world.registry.begin_image(&fresh, &fourth, text, sources).await, &ImageError::NoParent);

    // What is only in a repository that the caller may not pull is not there; what several have in different ways is not guessed.
    let hidden = id("6");
    world.push(&secret, hidden, &json(hidden, None), &layer).await;
    let tagged = world.registry.tag_image(&app, tag("hidden"), &hidden, sources, locks()).await;
    refused(tagged, &ImageError::Unknown);
    world.push(&app, hidden, &json(hidden, None), &layer).await;
    world.push(&theirs, hidden, &json(hidden, None), &gz(&small("another", "one"))).await;
    let tagged = world.registry.tag_image(&fresh, tag("hidden"), &hidden, sources, locks()).await;
    refused(tagged, &ImageError::Unknown);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_are_copied_to_where_the_repository_keeps_its_bytes() {
    let archive = tempfile::tempdir().unwrap();
    let text = format!(
        "[storage.archive.local]\npath = {:?}\n[[namespace]]\nprefix = \"old\"\nstorage = \"archive\"\n",
        archive.path().join("archive")
    );
    let world = World::with(|settings| *settings = toml_of(&text)).await;
    let (app, old) = (repo("team/app"), repo("old/app"));
    let (base, top) = (id("1"), id("2"));
    let large: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
    world.push(&app, base, &json(base, None), &large).await;
    world.push(&app, top, &json(top, Some(base)), &gz(&small("a", "a"))).await;
    let sources = ImageSources { staging: None, reader: &Below("") };
    world.registry.tag_image(&old, tag("latest"), &top, sources, TagLocks::default()).await.unwrap();
    assert_eq!(world.blob(&old, &Digest::sha256(&large)).await, large);
    let hex = Digest::sha256(&large).hex();
    let path: PathBuf =
        archive.path().join("archive/docker/registry/v2/blobs/sha256").join(&hex[..2]).join(&hex);
    assert!(path.join("data").exists());
    world.store.close().await;
}

fn toml_of(text: &str) -> Settings {
    toml::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_differences_are_listed() {
    let world = World::new().await;
    let app = repo("team/app");
    let (base, top) = (id("1"), id("2"));
    let below = [file("./same", b"1"), file("./gone", b"1"), file("./.wh.back", b""), END.to_vec()].concat();
    let above =
        [file("./same", b"22"), file("./.wh.gone", b""), file("./back", b"1"), file("./new", b"1")].concat();
    world.push(&app, base, &json(base, None), &gz(&below)).await;
    world.push(&app, top, &json(top, Some(base)), &xz(&above)).await;
    let files = world.registry.image_files(&app, &base).await.unwrap();
    assert_eq!(
        files,
        r#"[["/same","f",false,1,1400000000,420,0,0],["/gone","f",false,1,1400000000,420,0,0],["/back","f",true,0,1400000000,420,0,0]]"#
    );
    let diff = world.registry.image_diff(&app, &top).await.unwrap();
    let diff: serde_json::Value = serde_json::from_slice(&diff).unwrap();
    let info = |size: u64, deleted: bool| serde_json::json!(["f", deleted, size, 1_400_000_000, 420, 0, 0]);
    assert_eq!(
        diff,
        serde_json::json!({
            "deleted": { "/gone": info(0, true) },
            "changed": { "/same": info(2, false) },
            "created": { "/back": info(1, false), "/new": info(1, false) },
        })
    );
    let other = id("3");
    world.push(&app, other, &json(other, None), b"no tar").await;
    refused(world.registry.image_files(&app, &other).await, &ImageError::LayerFormat);
    refused(world.registry.image_diff(&app, &other).await, &ImageError::LayerFormat);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_repository_has_nothing_left() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("1"));
    let locks = TagLocks::default();
    refused(world.registry.delete_repository(&app, &locks).await, &ImageError::RepositoryUnknown);
    world.push(&app, one, &json(one, None), &gz(&small("a", "a"))).await;
    world.tag(&app, "latest", one).await.unwrap();
    world.registry.delete_repository(&app, &locks).await.unwrap();
    refused(world.registry.image(&app, &one).await, &ImageError::Unknown);
    refused(world.image_of(&app, "latest").await, &ImageError::TagUnknown);
    world.store.close().await;
}
