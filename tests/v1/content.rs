//! Images as Docker made them before 2016: tars of plain headers, gzip, JSON with an id, and the sums over them.
//!
//! The builders follow the vectors of [`super::vectors`] byte for byte. Everything else is new each time.

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::content::number;
use crate::harness::{Alg, Blob};

/// A member of a tar.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) link: String,
}

const OWNER: &str = "root";
const CHANGED: u64 = 1_400_000_000;

impl Member {
    pub(crate) fn file(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self { name: name.to_owned(), data: data.into(), kind: b'0', mode: 0o644, link: String::new() }
    }

    pub(crate) fn directory(name: &str) -> Self {
        Self { kind: b'5', mode: 0o755, ..Self::file(name, "") }
    }

    pub(crate) fn link(name: &str, to: &str) -> Self {
        Self { kind: b'2', mode: 0o777, link: to.to_owned(), ..Self::file(name, "") }
    }

    /// A header, the content, and what fills the block.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut header = vec![0; 512];
        let mut put =
            |offset: usize, bytes: &[u8]| header[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(0, self.name.as_bytes());
        put(100, format!("{:07o}\0", self.mode).as_bytes());
        put(108, b"0000000\0");
        put(116, b"0000000\0");
        put(124, format!("{:011o}\0", self.data.len()).as_bytes());
        put(136, format!("{CHANGED:011o}\0").as_bytes());
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link.as_bytes());
        put(257, b"ustar\x0000");
        put(265, OWNER.as_bytes());
        put(297, OWNER.as_bytes());
        put(329, b"0000000\0");
        put(337, b"0000000\0");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header.extend_from_slice(&self.data);
        header.resize(header.len().next_multiple_of(512), 0);
        header
    }
}

/// The two empty blocks that end a tar.
pub(crate) const END: [u8; 1024] = [0; 1024];

/// A tar of these.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut bytes: Vec<_> = members.iter().flat_map(Member::bytes).collect();
    bytes.extend_from_slice(&END);
    bytes
}

/// `tarsum+sha256:...`, version 0, over a tar of plain headers with the JSON.
pub(crate) fn tarsum(json: &[u8], mut tar: &[u8]) -> String {
    let mut sums = Vec::new();
    while tar.len() >= 512 && tar[0] != 0 {
        let (header, rest) = tar.split_at(512);
        let text = |from: usize, length: usize| {
            let field = &header[from..from + length];
            String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
        };
        let number =
            |from: usize, length: usize| u64::from_str_radix(text(from, length).trim(), 8).unwrap_or(0);
        let size = number(124, 12);
        let mut hash = Sha256::new();
        hash.update(format!("name{}mode{}", text(0, 100), number(100, 8)));
        hash.update(format!("uid{}gid{}size{size}", number(108, 8), number(116, 8)));
        hash.update(format!("mtime{}typeflag", number(136, 12)));
        hash.update(&header[156..157]);
        hash.update(format!("linkname{}uname{}gname{}", text(157, 100), text(265, 32), text(297, 32)));
        hash.update(format!("devmajor{}devminor{}", number(329, 8), number(337, 8)));
        let size = usize::try_from(size).expect("a small file");
        hash.update(&rest[..size]);
        sums.push(hex::encode(hash.finalize()));
        tar = &rest[size.next_multiple_of(512)..];
    }
    sums.sort();
    let mut hash = Sha256::new_with_prefix(json);
    hash.update(sums.concat());
    format!("tarsum+sha256:{}", hex::encode(hash.finalize()))
}

/// A gzip stream of one member with stored blocks: the same bytes on every machine.
pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x1f\x8b\x08\0\0\0\0\0\0\xff".to_vec();
    let mut pieces = plain.chunks(0xffff).peekable();
    if pieces.peek().is_none() {
        bytes.extend_from_slice(b"\x01\0\0\xff\xff");
    }
    while let Some(piece) = pieces.next() {
        let length = u16::try_from(piece.len()).expect("a short piece");
        bytes.push(u8::from(pieces.peek().is_none()));
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&(!length).to_le_bytes());
        bytes.extend_from_slice(piece);
    }
    bytes.extend_from_slice(&crc32(plain).to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(plain.len()).expect("a short tar").to_le_bytes());
    bytes
}

/// What [`gzip`] packed.
fn gunzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut rest = bytes.strip_prefix(b"\x1f\x8b\x08\0\0\0\0\0\0\xff")?;
    let mut plain = Vec::new();
    loop {
        let (block, more) = rest.split_at_checked(5)?;
        let (piece, more) = more.split_at_checked(usize::from(u16::from_le_bytes([block[1], block[2]])))?;
        plain.extend_from_slice(piece);
        rest = more;
        if block[0] == 1 {
            return Some(plain);
        }
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

/// The payload checksum: that of JSON, a newline and the layer as it is sent.
pub(crate) fn payload(json: &[u8], layer: &[u8]) -> String {
    let mut hash = Sha256::new_with_prefix(json);
    hash.update(b"\n");
    hash.update(layer);
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// An id that nothing has.
pub(crate) fn new_id() -> String {
    Alg::Sha256.unknown().split_off("sha256:".len())
}

/// One image: an id, its JSON and its layer, as they are pushed and as they come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct V1Image {
    pub(crate) id: String,
    pub(crate) json: Bytes,
    pub(crate) layer: Bytes,
}

impl V1Image {
    pub(crate) fn new(json: impl Into<Bytes>, layer: impl Into<Bytes>) -> Self {
        let json = json.into();
        let document: Value = serde_json::from_slice(&json).expect("JSON");
        let id = document["id"].as_str().expect("an id").to_owned();
        Self { id, json, layer: layer.into() }
    }

    pub(crate) fn payload(&self) -> String {
        payload(&self.json, &self.layer)
    }

    /// What Docker puts beside it; for what is no tar, what the tar of nothing has.
    pub(crate) fn tarsum(&self) -> String {
        tarsum(&self.json, &gunzip(&self.layer).unwrap_or_default())
    }

    /// The digest of the layer.
    pub(crate) fn layer_digest(&self) -> String {
        Alg::Sha256.of(&self.layer)
    }

    /// The layer as V2 has it.
    pub(crate) fn blob(&self) -> Blob {
        Blob::of(Alg::Sha256, self.layer.clone())
    }

    pub(crate) fn parent(&self) -> Option<String> {
        let document: Value = serde_json::from_slice(&self.json).expect("JSON");
        document["parent"].as_str().map(str::to_owned)
    }
}

/// A layer with one file that nothing else has, of about this many bytes.
pub(crate) fn layer(length: usize) -> Bytes {
    let noise = crate::harness::bytes(length);
    gzip(&tar(&[Member::file(&format!("file{}", number()), noise)])).into()
}

/// The JSON of an image as Docker up to 1.9 wrote it, with the line end that the files of then often have.
pub(crate) fn json(id: &str, parent: Option<&str>) -> String {
    let parent = parent.map_or_else(String::new, |parent| format!("\"parent\":\"{parent}\","));
    format!(
        "{{\"id\":\"{id}\",{parent}\"created\":\"2014-05-13T16:53:20.123456789Z\",\"container_config\":{{\"Cmd\":[\"/bin/sh\",\"-c\",\
         \"echo {} \\u003e /file\"]}},\"docker_version\":\"1.0.0\",\"config\":{{\"Cmd\":[\"/bin/sh\"]}},\"architecture\":\"amd64\",\
         \"os\":\"linux\",\"Size\":12}}\n",
        number()
    )
}

/// A chain of so many images, base first, with new ids and layers.
pub(crate) fn chain(length: usize) -> Vec<V1Image> {
    grow(None, length)
}

/// So many images on top of one.
pub(crate) fn grow(base: Option<&V1Image>, length: usize) -> Vec<V1Image> {
    let mut parent = base.map(|base| base.id.clone());
    let grow = |at: usize| {
        let id = new_id();
        // The empty layer of ENV and CMD is as common as any.
        let layer = if at % 3 == 2 { gzip(&END).into() } else { layer(300 + at) };
        let image = V1Image::new(json(&id, parent.as_deref()), layer);
        parent = Some(id);
        image
    };
    (0..length).map(grow).collect()
}

/// A chain as Docker from 1.10 on makes it: ids are sums of the layers below, the top's id that of its configuration, and only the top
/// has more than an id and a parent in its JSON.
pub(crate) fn new_style_chain(length: usize) -> Vec<V1Image> {
    let mut images: Vec<V1Image> = Vec::new();
    for at in 0..length {
        let plain = tar(&[Member::file(&format!("file{}", number()), format!("{}", number()))]);
        let below = images.last().map(|image| image.id.clone());
        let digest = Alg::Sha256.of(&plain);
        let text = below.as_ref().map_or_else(|| digest.clone(), |below| format!("sha256:{below} {digest}"));
        let top = at + 1 == length;
        let id = Alg::Sha256
            .of(if top { [text.as_bytes(), b"top"].concat() } else { text.into_bytes() }.as_slice());
        let id = id.strip_prefix("sha256:").expect("a digest");
        let parent = below.map_or_else(String::new, |below| format!(",\"parent\":\"{below}\""));
        let more = if top {
            ",\"architecture\":\"amd64\",\"config\":{\"Cmd\":[\"/bin/sh\"]},\"created\":\"2016-02-03T04:05:06Z\",\"os\":\"linux\""
        } else {
            ""
        };
        images.push(V1Image::new(format!("{{\"id\":\"{id}\"{parent}{more}}}"), gzip(&plain)));
    }
    images
}
