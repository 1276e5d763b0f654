//! The steps of a push, and what becomes of layers of all kinds.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::v1::Checksums;
use gantry_oci::{Digest, Manifest, ManifestRules};
use gantry_server::registry::{Asked, BodyError, ImageError, RegistryError};
use gantry_storage::{Compression, ImageState, TagLocks};

use super::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_one_is_the_manifest_that_is_known() {
    let world = World::new().await;
    let (app, one) = (repo("library/app"), id("11"));
    let json = format!(
        r#"{{"id":"{one}","created":"2014-05-13T16:53:20Z","container_config":{{"Cmd":["/bin/true"]}}}}"#
    );
    let layer = gz(&vector());
    assert_eq!(
        payload(json.as_bytes(), &layer),
        "sha256:5158a3416f0555814f4f2642d3a222e3ff914591c2c5c26708c3c2e502cd8d5a"
    );
    refused(world.tag(&app, "latest", one).await, &ImageError::Unknown);
    world.push(&app, one, json.as_bytes(), &layer).await;
    refused(world.registry.image_tags(&repo("library/other")).await, &ImageError::RepositoryUnknown);
    refused(world.image_of(&app, "latest").await, &ImageError::TagUnknown);
    let made = world.tag(&app, "latest", one).await.unwrap();
    let expected = "sha256:7bd31509cab9dd6fee9e9d927bc01b13ca1717a39eeabca032e6999d171908d1";
    assert_eq!(made.to_string(), expected);
    let manifest = world.manifest(&app, "latest").await;
    assert_eq!((manifest.digest, &manifest.media_type[..], manifest.bytes.len()), (made, DOCKER, 424));
    assert_eq!(world.image_of(&app, "latest").await.unwrap(), one);

    // Another tag, and the same chain under another id: the same manifest, each tag with the id that it was given.
    assert_eq!(world.tag(&app, "again", one).await.unwrap(), made);
    let two = id("22");
    let other = json.replace("11", "22");
    world.push(&app, two, other.as_bytes(), &layer).await;
    assert_eq!(world.tag(&app, "two", two).await.unwrap(), made);
    let tags = world.registry.image_tags(&app).await.unwrap();
    let named = |name: &str, id| (name.to_owned(), id);
    assert_eq!(tags, [named("again", one), named("latest", one), named("two", two)]);
    let image = world.registry.whole_image(&app, &one, Asked::WhetherItIsThere).await.unwrap();
    assert_eq!((&image.json[..], image.ancestry.clone()), (json.as_bytes(), vec![one]));
    let stored = image.layer.as_ref().unwrap();
    assert_eq!(stored.digest.hex(), "602255757ee045bb7f0c244bda7719f79d1aa674214e1e89b211abb0d09c4870");
    let content = stored.content.as_ref().unwrap();
    assert_eq!(content.compression, Compression::Gzip);
    assert_eq!(content.diff_id.hex(), "79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853");
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_says_what_is_wrong_and_leaves_the_image_as_it_was() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("1"));
    let text = json(one, None);
    refused(world.layer(&app, one, b"x").await, &ImageError::Unknown);
    refused(world.complete(&app, one, &payload(&text, b"x")).await, &ImageError::Unknown);
    refused(world.begin(&app, one, &json(one, Some(id("2")))).await, &ImageError::NoParent);
    world.begin(&app, one, &text).await.unwrap();
    refused(world.complete(&app, one, &payload(&text, b"x")).await, &ImageError::NoLayer);
    refused(world.tag(&app, "latest", one).await, &ImageError::Unknown);
    let asked = world.registry.whole_image(&app, &one, Asked::ToRead).await;
    refused(asked, &ImageError::InProgress);
    world.layer(&app, one, b"the first").await.unwrap();

    // A body that breaks off.
    let broken = body(vec![Ok(Bytes::from_static(b"half")), Err(BodyError::Timeout(1))]);
    let put = world.registry.put_image_layer(&app, "somebody", &one, None, broken).await;
    assert!(matches!(put, Err(RegistryError::Body(_))), "{put:?}");
    let short = body(vec![Ok(Bytes::from_static(b"half"))]);
    let put = world.registry.put_image_layer(&app, "somebody", &one, Some(5), short).await;
    assert!(matches!(put, Err(RegistryError::SizeInvalid { .. })), "{put:?}");
    let image = world.registry.image(&app, &one).await.unwrap();
    assert_eq!(image.layer.as_ref().unwrap().digest, Digest::sha256(b"the first"));

    refused(world.complete(&app, one, &payload(&text, b"another")).await, &ImageError::ChecksumMismatch);
    refused(world.complete(&app, one, "").await, &ImageError::NoChecksum);
    // The layer again, another one: that counts.
    world.layer(&app, one, b"").await.unwrap();
    refused(world.complete(&app, one, &payload(&text, b"the first")).await, &ImageError::ChecksumMismatch);
    assert_eq!(world.registry.image(&app, &one).await.unwrap().state, ImageState::WithLayer);
    world.complete(&app, one, &payload(&text, b"")).await.unwrap();
    refused(world.complete(&app, one, &payload(&text, b"")).await, &ImageError::ChecksumSet);
    refused(world.layer(&app, one, b"").await, &ImageError::Exists);
    refused(world.begin(&app, one, &text).await, &ImageError::Exists);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_was_overtaken_is_told() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("1"));
    world.begin(&app, one, &json(one, None)).await.unwrap();
    let (to, from) = tokio::sync::mpsc::channel::<Bytes>(1);
    let slow = futures_util::stream::unfold(from, |mut from| async {
        let piece = from.recv().await?;
        Some((Ok(piece), from))
    });
    let registry = Arc::clone(&world.registry);
    let put = tokio::spawn(async move {
        registry.put_image_layer(&repo("team/app"), "slow", &id("1"), None, Box::pin(slow)).await
    });
    to.send(Bytes::from_static(b"beginning")).await.unwrap();
    to.send(Bytes::from_static(b"middle")).await.unwrap();
    world.begin(&app, one, &json(one, None)).await.unwrap();
    drop(to);
    refused(put.await.unwrap(), &ImageError::Stale);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_of_every_kind_are_pushed_and_tagged() {
    let world = World::new().await;
    let app = repo("team/app");
    let tar = small("a", "a");
    let broken = gz(&tar)[..200].to_vec();
    let layers = [
        (gz(&tar), Compression::Gzip, true),
        (tar.clone(), Compression::None, false),
        (xz(&tar), Compression::Xz, true),
        (bzip2(&tar), Compression::Bzip2, true),
        ([gz(&tar[..512]), gz(&tar[512..])].concat(), Compression::Gzip, true),
        (broken, Compression::Opaque, true),
        (b"BZh no tar".to_vec(), Compression::Opaque, false),
        (b"\x28\xb5\x2f\xfd and so on".to_vec(), Compression::Zstd, false),
        (b"no tar at all".to_vec(), Compression::None, false),
        (Vec::new(), Compression::None, false),
    ];
    for (index, (layer, compression, gzip)) in layers.iter().enumerate() {
        let one = id(&format!("{index:02x}"));
        let text = json(one, None);
        world.push(&app, one, &text, layer).await;
        let image = world.registry.image(&app, &one).await.unwrap();
        let content = image.layer.as_ref().unwrap().content.clone().unwrap();
        assert_eq!(content.compression, *compression, "{index}");
        let unpacked = index < 5;
        let plain = if unpacked { Digest::sha256(&tar) } else { Digest::sha256(layer) };
        assert_eq!(content.diff_id, plain, "{index}");
        let made = world.tag(&app, &format!("t{index}"), one).await.unwrap();
        let manifest = world.manifest(&app, &made.to_string()).await;
        assert_eq!(manifest.media_type == DOCKER, *gzip, "{index}");
        let read =
            Manifest::parse(Some(&manifest.media_type), &manifest.bytes, &ManifestRules::default()).unwrap();
        let repacked = matches!(compression, Compression::Xz | Compression::Bzip2);
        assert_eq!(read.layers[0].digest != Digest::sha256(layer), repacked, "{index}");
        // v1 clients get what was pushed.
        assert_eq!(world.blob(&app, &image.layer.as_ref().unwrap().digest).await, *layer);
        if repacked {
            let mut unpacked = Vec::new();
            let packed = world.blob(&app, &read.layers[0].digest).await;
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked)
                .unwrap();
            assert!(unpacked == tar, "{index}");
        }
    }
    // The same tar, packed anew: the same bytes, so the same manifest as far as the rest is the same.
    let read = async |name: &str| {
        let manifest = world.manifest(&app, name).await;
        Manifest::parse(Some(&manifest.media_type), &manifest.bytes, &ManifestRules::default())
            .unwrap()
            .layers
    };
    assert_eq!(read("t2").await, read("t3").await);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_layers_go_by_without_being_held() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("1"));
    let mut noise = 1_u64;
    let mut bytes = Vec::new();
    while bytes.len() < 3 << 20 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&noise.to_be_bytes()[..5]);
    }
    let tar = [&file("noise", &bytes)[..], &END].concat();
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    to.write_all(&tar).unwrap();
    let layer = to.finish().unwrap();
    world.push(&app, one, &json(one, None), &layer).await;
    let image = world.registry.image(&app, &one).await.unwrap();
    let stored = image.layer.as_ref().unwrap();
    assert_eq!((stored.digest, stored.size), (Digest::sha256(&layer), layer.len() as u64));
    assert_eq!(stored.content.as_ref().unwrap().diff_id, Digest::sha256(&tar));
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_clients_are_believed_by_their_tarsum() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("11"));
    let json = format!(
        r#"{{"id":"{one}","created":"2014-05-13T16:53:20Z","container_config":{{"Cmd":["/bin/true"]}}}}"#
    );
    world.begin(&app, one, json.as_bytes()).await.unwrap();
    world.layer(&app, one, b"no tar").await.unwrap();
    let sum = "tarsum+sha256:6dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca";
    refused(world.complete(&app, one, sum).await, &ImageError::ChecksumMismatch);
    world.layer(&app, one, &gz(&vector())).await.unwrap();
    let other = "tarsum+sha256:0dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca";
    refused(world.complete(&app, one, other).await, &ImageError::ChecksumMismatch);
    // A payload that is not this one's is not made good by the other sum.
    let both = Checksums::parse(Some(sum), Some(&payload(b"", b"")));
    refused(world.registry.complete_image(&app, &one, &both).await, &ImageError::ChecksumMismatch);
    world.complete(&app, one, sum).await.unwrap();
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_layer_was_lost_is_whole_again_when_it_is_pushed_again() {
    let world = World::new().await;
    let (app, one) = (repo("team/app"), id("1"));
    let (text, layer) = (json(one, None), gz(&small("a", "a")));
    world.push(&app, one, &text, &layer).await;
    let locks = TagLocks::default();
    world.registry.delete_blob(&app, &Digest::sha256(&layer), &locks).await.unwrap();
    refused(world.registry.whole_image(&app, &one, Asked::ToRead).await, &ImageError::Unknown);
    refused(world.tag(&app, "latest", one).await, &ImageError::Unknown);
    // It is still that image, and no other.
    refused(world.begin(&app, one, &[&text[..], b" "].concat()).await, &ImageError::Exists);
    world.begin(&app, one, &text).await.unwrap();
    refused(world.layer(&app, one, &gz(&small("b", "b"))).await, &ImageError::Exists);
    refused(world.registry.whole_image(&app, &one, Asked::ToRead).await, &ImageError::Unknown);
    world.layer(&app, one, &layer).await.unwrap();
    world.registry.whole_image(&app, &one, Asked::ToRead).await.unwrap();
    refused(world.begin(&app, one, &text).await, &ImageError::Exists);
    world.tag(&app, "latest", one).await.unwrap();
    world.store.close().await;
}
