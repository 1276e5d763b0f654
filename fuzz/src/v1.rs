//! The vocabulary of the v1 API, and images of one API as images of the other.

use gantry_oci::media_type::{DOCKER_MANIFEST, OCI_MANIFEST};
use gantry_oci::v1::{
    Authorization, CHAIN_MAX, ChainLink, Checksums, Derived, DerivedImage, ImageId, ImageJson, Made,
    Platform, Request, SearchQuery, TokenFields, config_of, derive as derive_images, history_of, is_v1,
    make as make_manifest, parse_ancestry, platform_manifest,
};
use gantry_oci::{Algorithm, Digest, Manifest, ManifestRules};

/// The image that inputs are about.
const ID: &str = "088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c";

/// Nobody sends longer chains in a fuzzer's input.
const LINKS: usize = 8;

fn id() -> ImageId {
    ID.parse().expect("an id")
}

/// `METHOD PATH?QUERY`
pub(crate) fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (method, target) = text.split_once(' ').unwrap_or(("GET", text));
    let Ok(method) = http::Method::from_bytes(method.as_bytes()) else { return };
    let parse = |method: &http::Method, target: &str| {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Request::parse(method, path, query)
    };
    let Ok(request) = parse(&method, target) else { return };
    assert!(is_v1(target.split('?').next().unwrap_or_default()), "{target:?}");
    if let Request::Search(SearchQuery { n, page, .. }) = &request {
        assert!((1..=SearchQuery::N_MAX).contains(n) && (1..=SearchQuery::PAGE_MAX).contains(page));
    }
    let written = request.path_and_query();
    assert!(
        written.starts_with("/v1/") && written.bytes().all(|byte| byte.is_ascii_graphic()),
        "{written:?}"
    );
    assert_eq!(parse(&request.method(), &written).as_ref(), Ok(&request), "{written:?}");
}

/// An `Authorization` header.
pub(crate) fn token(bytes: &[u8]) {
    let Authorization::Token(fields) = Authorization::parse(Some(bytes)) else { return };
    let whole = TokenFields { repository: fields.repository.full().into(), ..fields };
    let written = whole.to_string();
    let again = Authorization::parse(Some(format!("Token {written}").as_bytes()));
    assert_eq!(again, Authorization::Token(whole), "{written:?}");
}

/// `X-Docker-Checksum`, a line feed, `X-Docker-Checksum-Payload`.
pub(crate) fn checksum(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (checksum, payload) = text.split_once('\n').map_or((text, None), |(one, other)| (one, Some(other)));
    let read = Checksums::parse(Some(checksum), payload);
    assert!(read.given || (read.payload.is_none() && read.tarsum.is_none()));
    assert!(read.payload.is_none_or(|sum| sum.algorithm() == Algorithm::Sha256));
    if let Some(sum) = read.tarsum {
        assert_eq!(sum.to_string(), checksum.trim_ascii());
    }
}

/// The JSON of the image [`ID`].
pub(crate) fn json(bytes: &[u8]) {
    let Ok(image) = ImageJson::parse(bytes, &id()) else { return };
    assert!(image.id == id() && image.parent != Some(id()));
    // What is taken as an image can be made a manifest of, which a JSON reader without our rules reads as well.
    assert!(serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok());
    check_made(&[link(bytes, 0, None)]);
}

/// What another registry says of the ancestry of [`ID`].
pub(crate) fn ancestry(bytes: &[u8]) {
    let Some(chain) = parse_ancestry(bytes, &id(), 5) else { return };
    assert!(chain.first() == Some(&id()) && chain.len() <= 5);
    let written = serde_json::to_vec(&chain).expect("JSON");
    assert_eq!(parse_ancestry(&written, &id(), 5), Some(chain));
}

/// A manifest up to the first line feed, then the config.
pub(crate) fn derive(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (manifest, config) = bytes.split_at(end);
    let config = config.strip_prefix(b"\n").unwrap_or(config);
    let _ =
        platform_manifest(manifest, &Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() });
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST] {
        let Derived::Images(images) = derive_images(manifest, media_type, config) else { continue };
        assert!(config_of(manifest, media_type).is_some() && images.len() <= CHAIN_MAX);
        check_chain(&images);
        let history = history_of(config, images.len());
        let links: Vec<_> = images
            .iter()
            .enumerate()
            .map(|(n, image)| link(&image.json, n, history.as_ref().map(|history| history[n].as_str())))
            .collect();
        check_made(&links);
    }
}

/// The JSON of a chain's images, base first, in lines; those of plain layers begin with a blank.
pub(crate) fn make(bytes: &[u8]) {
    let links: Vec<_> = bytes
        .splitn(LINKS, |byte| *byte == b'\n')
        .enumerate()
        .map(|(n, json)| {
            // Any text may be said to be known of the history.
            let history = std::str::from_utf8(json).ok().filter(|text| text.starts_with('{'));
            ChainLink { gzip: !json.starts_with(b" "), ..link(json, n, history) }
        })
        .collect();
    check_made(&links);
    let own: Vec<_> = links.into_iter().map(|link| ChainLink { history: None, ..link }).collect();
    check_made(&own);
}

fn link<'a>(json: &'a [u8], n: usize, history: Option<&'a str>) -> ChainLink<'a> {
    let (layer, diff_id) =
        (Digest::sha256(&n.to_be_bytes()), Digest::sha256(&[n.to_be_bytes()].concat()[1..]));
    ChainLink { json, layer, size: n as u64, gzip: true, diff_id, history }
}

/// Each stands on the one before.
fn check_chain(images: &[DerivedImage]) {
    let mut below = None;
    for image in images {
        let parent = ImageJson::parse(&image.json, &image.id).map(|image| image.parent);
        assert_eq!(parent, Ok(below), "{}", image.json.escape_ascii());
        below = Some(image.id);
    }
}

/// What is made is a manifest, has images, and is made of these again.
fn check_made(links: &[ChainLink<'_>]) {
    let Some(made) = make_manifest(links) else { return };
    assert_eq!(make_manifest(links).as_ref(), Some(&made));
    let Made { config, manifest, media_type } = &made;
    let read = Manifest::parse(Some(media_type), manifest, &ManifestRules::default()).expect("a manifest");
    assert_eq!(read.config.map(|config| config.digest), Some(Digest::sha256(config)));
    let Derived::Images(images) = derive_images(manifest, media_type, config) else {
        panic!("nothing of {}", config.escape_ascii())
    };
    check_chain(&images);
    assert_eq!(images.len(), links.len());
    let history = history_of(config, images.len()).expect("a history");
    let again: Vec<_> = images
        .iter()
        .zip(links)
        .zip(&history)
        .map(|((image, link), history)| ChainLink {
            json: &image.json,
            history: Some(history),
            ..link.clone()
        })
        .collect();
    assert_eq!(make_manifest(&again), Some(made));
}
