//! A registry on a store of its own, with the steps of clients of both APIs, and layers to push.

use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::v1::{Checksums, ImageId};
use gantry_oci::{Digest, Reference, RepoName, Tag};
use gantry_server::app::open_registry;
use gantry_server::config::{Config, Settings};
use gantry_server::registry::{
    Asked, BodyError, ByteSource, ImageError, ImageSources, MayPull, Registry, RegistryError, Result,
};
use gantry_storage::{Store, StoredManifest, TagLocks};

pub(crate) const END: [u8; 1024] = [0; 1024];

/// A registry on a store of its own.
pub(crate) struct World {
    pub(crate) registry: Arc<Registry>,
    pub(crate) store: Store,
    pub(crate) _directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        change(&mut settings);
        let config = Config::new(settings, directory.path().join("data")).unwrap();
        let (store, registry) = open_registry(&config).await.unwrap();
        Self { registry: Arc::new(registry), store, _directory: directory }
    }

    pub(crate) async fn begin(&self, repo: &RepoName, id: ImageId, json: &[u8]) -> Result<()> {
        self.registry.begin_image(repo, &id, Bytes::copy_from_slice(json), nowhere()).await
    }

    pub(crate) async fn layer(&self, repo: &RepoName, id: ImageId, layer: &[u8]) -> Result<()> {
        // In pieces that cut through everything.
        let pieces: Vec<_> = layer.chunks(100).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        self.registry.put_image_layer(repo, "somebody", &id, None, body(pieces)).await
    }

    pub(crate) async fn complete(&self, repo: &RepoName, id: ImageId, checksum: &str) -> Result<()> {
        self.registry.complete_image(repo, &id, &Checksums::parse(Some(checksum), None)).await
    }

    pub(crate) async fn push(&self, repo: &RepoName, id: ImageId, json: &[u8], layer: &[u8]) {
        self.begin(repo, id, json).await.unwrap();
        self.layer(repo, id, layer).await.unwrap();
        self.complete(repo, id, &payload(json, layer)).await.unwrap();
    }

    pub(crate) async fn tag(&self, repo: &RepoName, name: &str, id: ImageId) -> Result<Digest> {
        self.registry.tag_image(repo, tag(name), &id, nowhere(), TagLocks::default()).await
    }

    pub(crate) async fn image_of(&self, repo: &RepoName, name: &str) -> Result<ImageId> {
        self.registry.image_of_tag(repo, &tag(name)).await
    }

    pub(crate) async fn manifest(&self, repo: &RepoName, reference: &str) -> Arc<StoredManifest> {
        let reference: Reference = reference.parse().unwrap();
        self.registry.manifest(repo, &reference, Asked::ToRead).await.unwrap()
    }

    pub(crate) async fn blob(&self, repo: &RepoName, digest: &Digest) -> Vec<u8> {
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
    pub(crate) async fn put_blob(&self, repo: &RepoName, bytes: &[u8]) -> Digest {
        let digest = Digest::sha256(bytes);
        let whole = body(vec![Ok(Bytes::copy_from_slice(bytes))]);
        self.registry.uploads().store(repo, "v2", digest, Some(bytes.len() as u64), whole).await.unwrap();
        digest
    }

    pub(crate) async fn put_manifest(
        &self,
        repo: &RepoName,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Digest {
        let whole = body(vec![Ok(Bytes::copy_from_slice(bytes))]);
        let reference: Reference = reference.parse().unwrap();
        let locks = TagLocks::default();
        let put = self.registry.put_manifest(repo, &reference, Vec::new(), locks, Some(media_type), whole);
        put.await.unwrap().digest
    }

    /// An image with these layers, which are pushed too.
    pub(crate) async fn put_image(
        &self,
        repo: &RepoName,
        reference: &str,
        config: &str,
        layers: &[Vec<u8>],
    ) -> Digest {
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

pub(crate) const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Somebody who may pull what begins like this.
pub(crate) struct Below(pub(crate) &'static str);

impl MayPull for Below {
    fn may_pull(&self, repo: &RepoName) -> bool {
        repo.as_str().starts_with(self.0)
    }
}

pub(crate) fn nowhere() -> ImageSources<'static> {
    ImageSources { staging: None, reader: &Below("-") }
}

pub(crate) fn repo(name: &str) -> RepoName {
    name.parse().unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(crate) fn body(pieces: Vec<Result<Bytes, BodyError>>) -> ByteSource {
    Box::pin(futures_util::stream::iter(pieces))
}

pub(crate) fn id(digits: &str) -> ImageId {
    digits.repeat(64 / digits.len()).parse().unwrap()
}

pub(crate) fn payload(json: &[u8], layer: &[u8]) -> String {
    Digest::sha256(&[json, b"\n", layer].concat()).to_string()
}

pub(crate) fn json(id: ImageId, parent: Option<ImageId>) -> Vec<u8> {
    let parent = parent.map(|parent| format!(r#","parent":"{parent}""#)).unwrap_or_default();
    format!(r#"{{"id":"{id}"{parent},"created":"2014-05-13T16:53:20Z","author":"me"}}"#).into_bytes()
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T>, expected: &ImageError) {
    match outcome {
        Err(RegistryError::Image(error)) => assert_eq!(error, *expected),
        other => panic!("expected `{expected}`, got {other:?}"),
    }
}

pub(crate) fn ustar(name: &str, data: &[u8], kind: u8, mode: u32, link: &str) -> Vec<u8> {
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

pub(crate) fn file(name: &str, data: &[u8]) -> Vec<u8> {
    ustar(name, data, b'0', 0o644, "")
}

/// The tar of the test vectors.
pub(crate) fn vector() -> Vec<u8> {
    [
        ustar("etc/", b"", b'5', 0o755, ""),
        file("etc/hello", b"hello\n"),
        ustar("etc/link", b"", b'2', 0o777, "hello"),
        file("etc/.wh.old", b""),
        END.to_vec(),
    ]
    .concat()
}

pub(crate) fn small(name: &str, data: &str) -> Vec<u8> {
    [&file(name, data.as_bytes())[..], &END].concat()
}

/// One stored block.
pub(crate) fn gz(tar: &[u8]) -> Vec<u8> {
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

pub(crate) fn xz(tar: &[u8]) -> Vec<u8> {
    let mut to = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    to.write_all(tar).unwrap();
    to.finish().unwrap()
}

pub(crate) fn bzip2(tar: &[u8]) -> Vec<u8> {
    let mut to = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    to.write_all(tar).unwrap();
    to.finish().unwrap()
}
