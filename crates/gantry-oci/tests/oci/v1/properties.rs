//! What holds for every input of v1: no panic, what is written is read as the same, and the same bytes make the same images.

use gantry_oci::Digest;
use gantry_oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use gantry_oci::v1::{
    Authorization, ChainLink, Checksums, Derived, ImageId, ImageJson, ImagePart, Platform, Request,
    SearchQuery, TarSum, TarSumVersion, TokenAccess, TokenFields, V1Name, config_of, derive, history_of,
    make, parse_ancestry, platform_manifest,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::{digests, names, nearly, tags};

const METHODS: [&str; 6] = ["GET", "HEAD", "PUT", "POST", "DELETE", "ODD"];
const ID: &str = "088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c";

const PATH: &[&str] = &[
    "/v1/",
    "/_ping",
    "_ping",
    "images",
    "repositories",
    "users",
    "search",
    "/",
    "//",
    "a",
    "A",
    "a/b",
    "tags",
    "json",
    "layer",
    "checksum",
    "ancestry",
    "files",
    "diff",
    "auth",
    "properties",
    "access",
    "library/",
    "latest",
    ID,
    "%2F",
    "%2e",
    "%",
    "%ff",
    "..",
    ".",
    "q=",
    "n=",
    "page=",
    "&",
    "+",
    "-1",
    "é",
];
const HEADER: &[&str] = &[
    "Token",
    "token ",
    " ",
    "signature=",
    "repository=",
    "access=",
    "read",
    "write",
    "\"",
    ",",
    ":",
    "=",
    "a/b",
    "Basic",
    "Og==",
    "tarsum",
    "tarsum.v1",
    "+sha256:",
    "sha256:",
    ID,
    "\t",
    "é",
];
const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "null",
    "1",
    "1e999",
    "\"id\":",
    "\"parent\":",
    "\"created\":",
    "\"2014-05-13T16:53:20Z\"",
    "\"container_config\":{\"Cmd\":[\"a\"]}",
    "\"history\":[",
    "{\"empty_layer\":true}",
    "\"088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c\"",
    "\"manifests\":[",
    " ",
];

fn ids() -> impl Strategy<Value = ImageId> {
    any::<[u8; 32]>().prop_map(ImageId::from_bytes)
}

/// Names that v1 can say: without its own words at the end.
fn v1_names() -> impl Strategy<Value = V1Name> {
    let words = ["tags", "images", "auth", "json", "properties", "access"];
    names().prop_map(V1Name::from).prop_filter("a word of paths", move |name| {
        !name.written().as_str().split('/').any(|component| words.contains(&component))
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let got = select(
        &[ImagePart::Json, ImagePart::Layer, ImagePart::Ancestry, ImagePart::Files, ImagePart::Diff][..],
    );
    let put = select(&[ImagePart::Json, ImagePart::Layer, ImagePart::Checksum][..]);
    let of_name = select(
        &[
            Request::ListTags as fn(V1Name) -> Request,
            Request::DeleteRepository,
            Request::PutRepository,
            Request::GetImages,
            Request::PutImages,
            Request::DeleteImages,
            Request::Authorize,
            Request::GetProperties,
            Request::PutProperties,
        ][..],
    );
    let of_tag = select(
        &[
            Request::GetTag as fn(V1Name, gantry_oci::Tag) -> Request,
            Request::PutTag,
            Request::DeleteTag,
            Request::TagInfo,
        ][..],
    );
    let search = (any::<String>(), 1..=SearchQuery::N_MAX, 1..=SearchQuery::PAGE_MAX);
    prop_oneof![
        select(&[Request::Ping, Request::Login, Request::SignUp][..]),
        search.prop_map(|(term, n, page)| Request::Search(SearchQuery { term, n, page })),
        "[^/.]\\PC*"
            .prop_filter("a slash", |name| !name.contains('/'))
            .prop_map(|name| Request::ChangeUser { name }),
        (ids(), got).prop_map(|(id, part)| Request::GetImage { id, part }),
        (ids(), put).prop_map(|(id, part)| Request::PutImage { id, part }),
        (v1_names(), of_name).prop_map(|(name, of)| of(name)),
        (v1_names(), tags(), of_tag).prop_map(|(name, tag, of)| of(name, tag)),
        (v1_names(), ids()).prop_map(|(name, id)| Request::LayerAccess(name, id)),
    ]
}

/// A JSON value, written in one of the ways that there are.
fn values() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(
            &[
                "null",
                "true",
                "0",
                "-1.50",
                "1E400",
                "12345678901234567890123",
                "\"\\u0041\"",
                "[ ]",
                "{ \"a\" : 1 }"
            ][..]
        )
        .prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        vec(inner, 0..4).prop_map(|values| format!("[{}]", values.join(", ")))
    })
}

/// Top-level keys of images with values, each key once.
fn objects() -> impl Strategy<Value = Vec<(String, String)>> {
    let known = prop_oneof![
        3 => select(&["architecture", "os", "config", "container_config", "author", "comment", "docker_version", "x"][..])
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::btree_map(known, values(), 0..8).prop_map(|keys| keys.into_iter().collect())
}

fn object(keys: &[(String, String)], space: &str) -> String {
    let keys: Vec<_> = keys
        .iter()
        .map(|(key, value)| format!("{}{space}:{space}{value}", serde_json::to_string(key).unwrap()))
        .collect();
    format!("{space}{{{}}}{space}", keys.join(&format!("{space},")))
}

fn image(config: &str, layers: &[Digest]) -> Vec<u8> {
    let descriptor = |media_type: &str, digest: &Digest, size: usize| serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size });
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer, 7))
        .collect();
    let digest = Digest::sha256(config.as_bytes());
    let config = descriptor("application/vnd.oci.image.config.v1+json", &digest, config.len());
    serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers }).to_string().into_bytes()
}

/// Everything that reads bytes.
fn check_bytes(bytes: &[u8]) {
    let id = ID.parse().unwrap();
    let _ = Authorization::parse(Some(bytes));
    if let Some(chain) = parse_ancestry(bytes, &id, 3) {
        assert!(chain.first() == Some(&id) && chain.len() <= 3);
    }
    if let Ok(image) = ImageJson::parse(bytes, &id) {
        assert_ne!(image.parent, Some(id));
    }
    for media_type in [OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, ""] {
        let _ = config_of(bytes, media_type);
        let _ = derive(bytes, media_type, bytes);
    }
    let _ = platform_manifest(bytes, &Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() });
    let _ = history_of(bytes, 1);
    let layer = Digest::sha256(b"");
    let text = std::str::from_utf8(bytes).ok();
    let link = ChainLink { json: bytes, layer, size: 0, gzip: true, diff_id: layer, history: text };
    if let Some(made) = make(&[link]) {
        let Derived::Images(images) = derive(&made.manifest, made.media_type, &made.config) else {
            panic!("what was made has no image: {}", bytes.escape_ascii())
        };
        assert_eq!(images.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_request_that_is_written_is_read_as_the_same(request in requests()) {
        let written = request.path_and_query();
        let (path, query) = written.split_once('?').map_or((&*written, None), |(path, query)| (path, Some(query)));
        prop_assert_eq!(Request::parse(&request.method(), path, query), Ok(request), "{}", written);
    }

    #[test]
    fn a_request_that_is_read_is_written_as_the_same(
        method in select(&METHODS[..]), path in prop_oneof![nearly(PATH), any::<String>()], query in option::of(nearly(PATH)),
    ) {
        for path in [path.clone(), format!("/v1/{path}"), format!("/v1/repositories/{path}"), format!("/v1/images/{path}")] {
            if let Ok(request) = Request::parse(&method.parse().unwrap(), &path, query.as_deref()) {
                let written = request.path_and_query();
                let (path, query) = written.split_once('?').map_or((&*written, None), |(path, query)| (path, Some(query)));
                prop_assert_eq!(Request::parse(&request.method(), path, query), Ok(request), "{}", written);
            }
        }
    }

    #[test]
    fn tokens_and_checksums_are_read_as_they_are_written(
        signature in "[A-Za-z0-9._-]{1,40}", name in names(), access in select(&[TokenAccess::Read, TokenAccess::Write, TokenAccess::Delete][..]),
        sum in any::<[u8; 32]>(), version in select(&TarSumVersion::ALL[..]), payload in digests(),
    ) {
        let fields = TokenFields { signature, repository: name.into(), access };
        let whole = TokenFields { repository: fields.repository.full().into(), ..fields.clone() };
        prop_assert_eq!(Authorization::parse(Some(format!("Token {fields}").as_bytes())), Authorization::Token(whole.clone()));
        prop_assert_eq!(TokenFields::parse(&whole.to_string()), Some(whole));
        let tarsum = TarSum { version, sum };
        let expected = Checksums {
            payload: Some(payload).filter(|sum| sum.algorithm() == gantry_oci::Algorithm::Sha256),
            tarsum: Some(tarsum),
            given: true,
        };
        prop_assert_eq!(Checksums::parse(Some(&tarsum.to_string()), Some(&payload.to_string())), expected);
    }

    #[test]
    fn no_text_panics(header in nearly(HEADER), json in nearly(JSON), any in any::<String>()) {
        for text in [&header, &json, &any] {
            check_bytes(text.as_bytes());
            check_bytes(format!("{{\"id\":\"{ID}\",{text}}}").as_bytes());
            let _ = Authorization::parse(Some(format!("Token {text}").as_bytes()));
            let _ = Checksums::parse(Some(text), Some(text));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
        check_bytes(&bytes);
    }

    #[test]
    fn images_of_a_manifest_stand_on_each_other_and_are_read(
        keys in objects(), layers in vec(digests(), 0..6), space in "[ \t\n]{0,2}",
    ) {
        let config = object(&keys, &space);
        let manifest = image(&config, &layers);
        let derived = derive(&manifest, OCI_MANIFEST, config.as_bytes());
        prop_assert_eq!(&derive(&manifest, OCI_MANIFEST, config.as_bytes()), &derived);
        let Derived::Images(images) = derived else { panic!("nothing of {config}") };
        prop_assert_eq!(images.len(), layers.len().max(1));
        let mut below = None;
        for image in &images {
            let read = ImageJson::parse(&image.json, &image.id);
            prop_assert_eq!(read.map(|image| image.parent), Ok(below));
            below = Some(image.id);
        }
        // The order of the config's keys is in the id of the top, which is a hash of the bytes, and nowhere else.
        let mut turned = keys;
        turned.reverse();
        let turned = object(&turned, &space);
        let Derived::Images(others) = derive(&image(&turned, &layers), OCI_MANIFEST, turned.as_bytes()) else { panic!("nothing") };
        let (last, lower) = images.split_last().unwrap();
        let (other, others) = others.split_last().unwrap();
        prop_assert_eq!(lower, others);
        let json = |image: &gantry_oci::v1::DerivedImage| {
            String::from_utf8(image.json.clone()).unwrap().replace(&image.id.to_string(), "ID")
        };
        prop_assert_eq!(json(last), json(other));
        prop_assert_eq!(last.id == other.id, config == turned);
    }

    #[test]
    fn what_is_made_is_derived_and_made_again_as_the_same(images in vec((objects(), any::<bool>()), 1..5), second in 0..60) {
        let time = ("created".to_owned(), format!("\"2014-05-13T16:53:{second:02}Z\""));
        let jsons: Vec<_> = images.iter().map(|(keys, _)| object(&[&keys[..], std::slice::from_ref(&time)].concat(), "")).collect();
        let chain = |jsons: Vec<&[u8]>, histories: Vec<Option<&str>>| {
            let links = jsons.into_iter().zip(histories).zip(&images).zip(0_u8..);
            let links: Vec<_> = links
                .map(|(((json, history), (_, gzip)), n)| {
                    let (layer, diff_id) = (Digest::sha256(&[n]), Digest::sha256(&[n, n]));
                    ChainLink { json, layer, size: u64::from(n), gzip: *gzip, diff_id, history }
                })
                .collect();
            make(&links).unwrap()
        };
        let made = chain(jsons.iter().map(String::as_bytes).collect(), vec![None; images.len()]);
        let Derived::Images(derived) = derive(&made.manifest, made.media_type, &made.config) else { panic!("nothing") };
        let history = history_of(&made.config, images.len()).unwrap();
        let again = chain(
            derived.iter().map(|image| &image.json[..]).collect(),
            history.iter().map(|entries| Some(entries.as_str())).collect(),
        );
        prop_assert_eq!(again, made);
    }
}
