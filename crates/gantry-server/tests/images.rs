//! Images of v1 on a real store: pushed in steps, made to manifests, and found behind manifests that others pushed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::v1::{Checksums, EMPTY_LAYER, ImageId};
use gantry_oci::{Digest, Manifest, ManifestRules, Reference, RepoName, Tag};
use gantry_server::app::open_registry;
use gantry_server::config::{Config, Settings};
use gantry_server::registry::{
    Asked, BodyError, ByteSource, ImageError, ImageSources, Registry, RegistryError, Result,
};
use gantry_storage::{Compression, ImageState, Store, StoredManifest, TagLocks};

const END: [u8; 1024] = [0; 1024];

/// A registry on a store of its own.
struct World {
    registry: Arc<Registry>,
    store: Store,
    _directory: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        change(&mut settings);
        let config = Config::new(settings, directory.path().join("data")).unwrap();
        let (store, registry) = open_registry(&config).await.unwrap();
        Self { registry: Arc::new(registry), store, _directory: directory }
    }

    async fn begin(&self, repo: &RepoName, id: ImageId, json: &[u8]) -> Result<()> {
        self.registry.begin_image(repo, &id, Bytes::copy_from_slice(json), nowhere()).await
    }

    async fn layer(&self, repo: &RepoName, id: ImageId, layer: &[u8]) -> Result<()> {
        // In pieces that cut through everything.
        let pieces: Vec<_> = layer.chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        self.registry.put_image_layer(repo, "somebody", &id, None, body(pieces)).await
    }

    async fn complete(&self, repo: &RepoName, id: ImageId, checksum: &str) -> Result<()> {
        self.registry.complete_image(repo, &id, &Checksums::parse(Some(checksum), None)).await
    }

    async fn push(&self, repo: &RepoName, id: ImageId, json: &[u8], layer: &[u8]) {
        self.begin(repo, id, json).await.unwrap();
        self.layer(repo, id, layer).await.unwrap();
        self.complete(repo, id, &payload(json, layer)).await.unwrap();
    }

    async fn tag(&self, repo: &RepoName, name: &str, id: ImageId) -> Result<Digest> {
        self.registry.tag_image(repo, tag(name), &id, nowhere(), TagLocks::default()).await
    }

    async fn image_of(&self, repo: &RepoName, name: &str) -> Result<ImageId> {
        self.registry.image_of_tag(repo, &tag(name)).await
    }

    async fn manifest(&self, repo: &RepoName, reference: &str) -> Arc<StoredManifest> {
        let reference: Reference = reference.parse().unwrap();
        self.registry.manifest(repo, &reference, Asked::ToRead).await.unwrap()
    }

    async fn blob(&self, repo: &RepoName, digest: &Digest) -> Vec<u8> {
        use futures_util::StreamExt as _;
        let blob = self.registry.blob(repo, digest, Asked::ToRead).await.unwrap();
        let mut pieces = self.registry.open_blob(repo, &blob).await.unwrap().read(0..blob.size);
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.unwrap());
        }
        bytes
    }

    /// As V2 clients push.
    async fn put_blob(&self, repo: &RepoName, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let whole = body(vec![Ok(Bytes::copy_from_slice(bytes))]);
        self.registry.uploads().store(repo, "v2", digest, Some(bytes.len() as u64), whole).await.unwrap();
        digest
    }

    async fn put_manifest(&self, repo: &RepoName, reference: &str, media_type: &str, bytes: &[u8]) -> Digest {
        let whole = body(vec![Ok(Bytes::copy_from_slice(bytes))]);
        let reference: Reference = reference.parse().unwrap();
        let locks = TagLocks::default();
        let put = self.registry.put_manifest(repo, &reference, Vec::new(), locks, Some(media_type), whole);
        put.await.unwrap().digest
    }

    /// An image with these layers, which are pushed too.
    async fn put_image(&self, repo: &RepoName, reference: &str, config: &str, layers: &[Vec<u8>]) -> Digest {
        let mut descriptors = Vec::new();
        for layer in layers {
            let digest = self.put_blob(repo, layer).await;
            descriptors.push(serde_json::json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": layer.len(),
            }));
        }
        let digest = self.put_blob(repo, config.as_bytes()).await;
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": config.len(),
            },
            "layers": descriptors,
        });
        self.put_manifest(repo, reference, OCI, manifest.to_string().as_bytes()).await
    }
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn nowhere() -> ImageSources<'static> {
    ImageSources { staging: None, may_pull: &|_| false }
}

fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

fn body(pieces: Vec<Result<Bytes, BodyError>>) -> ByteSource {
    Box::pin(futures_util::stream::iter(pieces))
}

fn id(digits: &str) -> ImageId {
    digits.repeat(64 / digits.len()).parse().unwrap()
}

fn payload(json: &[u8], layer: &[u8]) -> String {
    Digest::sha256(&[json, b"\n", layer].concat()).to_string()
}

fn json(id: ImageId, parent: Option<ImageId>) -> Vec<u8> {
    let parent = parent.map(|parent| format!(r#","parent":"{parent}""#)).unwrap_or_default();
    format!(r#"{{"id":"{id}"{parent},"created":"2014-05-13T16:53:20Z","author":"me"}}"#).into_bytes()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T>, expected: &ImageError) {
    match outcome {
        Err(RegistryError::Image(error)) => assert_eq!(error, *expected),
        other => panic!("expected `{expected}`, got {other:?}"),
    }
}

fn ustar(name: &str, data: &[u8], kind: u8, mode: u32, link: &str) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}\0").as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", data.len()).as_bytes());
    put(136, format!("{:011o}\0", 1_400_000_000).as_bytes());
    put(148, &[b' '; 8]);
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    put(329, b"0000000\0");
    put(337, b"0000000\0");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut member = [&header, data].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

fn file(name: &str, data: &[u8]) -> Vec<u8> {
    ustar(name, data, b'0', 0o644, "")
}

/// The tar of the test vectors.
fn vector() -> Vec<u8> {
    [
        ustar("etc/", b"", b'5', 0o755, ""),
        file("etc/hello", b"hello\n"),
        ustar("etc/link", b"", b'2', 0o777, "hello"),
        file("etc/.wh.old", b""),
        END.to_vec(),
    ]
    .concat()
}

fn small(name: &str, data: &str) -> Vec<u8> {
    [&file(name, data.as_bytes())[..], &END].concat()
}

/// One stored block.
fn gz(tar: &[u8]) -> Vec<u8> {
    let length = u16::try_from(tar.len()).unwrap();
    let mut crc = flate2::Crc::new();
    crc.update(tar);
    let mut packed = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01".to_vec();
    packed.extend_from_slice(&length.to_le_bytes());
    packed.extend_from_slice(&(!length).to_le_bytes());
    packed.extend_from_slice(tar);
    packed.extend_from_slice(&crc.sum().to_le_bytes());
    packed.extend_from_slice(&u32::from(length).to_le_bytes());
    packed
}

fn xz(tar: &[u8]) -> Vec<u8> {
    let mut to = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    to.write_all(tar).unwrap();
    to.finish().unwrap()
}

fn bzip2(tar: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    to.write_all(tar).unwrap();
    to.finish().unwrap()
}

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

const CONFIG: &str = concat!(
    r#"{"architecture":"amd64","config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]},"created":"2020-01-02T03:04:05Z","#,
    r#""history":[{"created":"2020-01-01T00:00:00Z","created_by":"ADD base"},"#,
    r#"{"created":"2020-01-01T00:00:01Z","created_by":"ENV PATH=/bin","empty_layer":true},"#,
    r#"{"created":"2020-01-01T00:00:02Z","created_by":"ADD b"},{"created":"2020-01-02T03:04:05Z","created_by":"ADD c"}],"#,
    r#""os":"linux","rootfs":{"diff_ids":["#,
    r#""sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853","#,
    r#""sha256:0465aa2dbf9a74741226cc5515261d9598a1caeb42e3e95ca44a3d81cdba37af","#,
    r#""sha256:8ae0b682098f940d33c3a0e84988459e4aa7f73834043532ce24035dba91c8f5"],"type":"layers"}}"#,
);
const IDS: [&str; 3] = [
    "a538ed54bb52fe0378d98e88dab36880b8c875acfec56bc16fd3b34cca5b2d58",
    "f19e731e1c908118b0e8a29104200612b8f657382572d833b9fe5aa5da7e52ad",
    "57f9b82f1d25d081b22585552c02d149f781b5bd780fb7020ef2c6ff07ea2766",
];

fn three() -> Vec<Vec<u8>> {
    vec![gz(&vector()), gz(&small("b", "2")), gz(&small("c", "3"))]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_the_images_that_are_known() {
    let world = World::new().await;
    let app = repo("team/app");
    let ids = IDS.map(|text| text.parse::<ImageId>().unwrap());
    let digest = world.put_image(&app, "latest", CONFIG, &three()).await;

    // Asked by id first, as after an update of the program.
    let base = world.registry.whole_image(&app, &ids[0], Asked::ToRead).await.unwrap();
    assert_eq!(base.ancestry, [ids[0]]);
    assert_eq!(world.image_of(&app, "latest").await.unwrap(), ids[2]);
    let top = world.registry.whole_image(&app, &ids[2], Asked::ToRead).await.unwrap();
    assert_eq!(top.ancestry, [ids[2], ids[1], ids[0]]);
    assert_eq!(
        Digest::sha256(&top.json).hex(),
        "560940a180541a61dea7d9aa872e665f548f5eda031fe2c389812c697e2bd639"
    );
    refused(world.registry.image(&app, &id("1")).await, &ImageError::Unknown);
    refused(
        world.begin(&app, ids[1], &base.json).await,
        &ImageError::Json(gantry_oci::v1::ImageJsonError::OtherId),
    );
    let json = format!(r#"{{"id":"{}"}}"#, ids[1]);
    refused(world.begin(&app, ids[1], json.as_bytes()).await, &ImageError::Exists);

    // What was pulled is pushed under another tag: the same manifest.
    assert_eq!(world.tag(&app, "other", ids[2]).await.unwrap(), digest);
    assert_eq!(world.manifest(&app, "other").await.media_type, OCI);

    // And something is built on it: history and layers of the base are kept.
    let mine = id("77");
    let text = format!(
        r#"{{"id":"{mine}","parent":"{}","created":"2021-01-01T00:00:00Z","container_config":{{"Cmd":["touch d"]}}}}"#,
        ids[2]
    );
    world.push(&app, mine, text.as_bytes(), &gz(&small("d", "4"))).await;
    world.tag(&app, "mine", mine).await.unwrap();
    let manifest = world.manifest(&app, "mine").await;
    let read =
        Manifest::parse(Some(&manifest.media_type), &manifest.bytes, &ManifestRules::default()).unwrap();
    let layers: Vec<_> = read.layers.iter().map(|layer| layer.digest).collect();
    let expected: Vec<_> =
        three().iter().chain([&gz(&small("d", "4"))]).map(|layer| Digest::sha256(layer)).collect();
    assert_eq!(layers, expected);
    let config = world.blob(&app, &read.config.unwrap().digest).await;
    let config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    let by: Vec<_> = config["history"].as_array().unwrap().iter().map(|entry| &entry["created_by"]).collect();
    assert_eq!(by, ["ADD base", "ENV PATH=/bin", "ADD b", "ADD c", "touch d"]);
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 4);
    assert_eq!(world.image_of(&app, "mine").await.unwrap(), mine);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_without_layers_get_the_empty_one() {
    let world = World::new().await;
    let app = repo("team/app");
    world.put_image(&app, "latest", CONFIG, &[]).await;
    let top = world.image_of(&app, "latest").await.unwrap();
    assert_eq!(top.to_string(), "07a8cc5a0ba84b13b16efb18bb12e021ee1f525ba441721071f315d462d57833");
    let image = world.registry.whole_image(&app, &top, Asked::ToRead).await.unwrap();
    assert_eq!(world.blob(&app, &image.layer.as_ref().unwrap().digest).await, EMPTY_LAYER);
    // On top of it something can be built, too.
    let mine = id("77");
    world.push(&app, mine, &json(mine, Some(top)), &gz(&small("d", "4"))).await;
    world.tag(&app, "mine", mine).await.unwrap();
    assert_eq!(world.registry.image_tags(&app).await.unwrap().len(), 2);
    world.store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_index_v1_sees_one_image_once_it_is_here() {
    let world = World::with(|settings| settings.registry.sparse_index = true).await;
    let app = repo("team/app");
    let other = repo("team/other");
    let child = world.put_image(&other, "latest", CONFIG, &three()).await;
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": OCI, "digest": child, "size": 1000, "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    let media_type = "application/vnd.oci.image.index.v1+json";
    world.put_manifest(&app, "multi", media_type, index.to_string().as_bytes()).await;
    let nothing =
        r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    world.put_manifest(&app, "nothing", media_type, nothing.as_bytes()).await;
    refused(world.image_of(&app, "multi").await, &ImageError::TagUnknown);
    refused(world.image_of(&app, "nothing").await, &ImageError::TagUnknown);
    assert_eq!(world.registry.image_tags(&app).await.unwrap(), []);
    world.put_image(&app, "single", CONFIG, &three()).await;
    let top: ImageId = IDS[2].parse().unwrap();
    assert_eq!(world.image_of(&app, "multi").await.unwrap(), top);
    let tags = world.registry.image_tags(&app).await.unwrap();
    assert_eq!(tags, [("multi".to_owned(), top), ("single".to_owned(), top)]);
    world.store.close().await;
}

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
    let mine = ImageSources { staging: Some(&staging), may_pull: &|_| false };
    let locks = TagLocks::default;
    let made = world.registry.tag_image(&app, tag("latest"), &top, mine, locks()).await.unwrap();
    assert_eq!(world.registry.image(&app, &top).await.unwrap().ancestry, [top, base]);

    let may = |repo: &RepoName| repo.as_str().starts_with("team/");
    let sources = ImageSources { staging: None, may_pull: &may };
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
    let sources = ImageSources { staging: None, may_pull: &|_| true };
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
