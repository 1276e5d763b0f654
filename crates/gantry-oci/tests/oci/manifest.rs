//! Manifests: those of real clients, those that break a rule, and hostile ones.

use gantry_oci::manifest::DEPTH_MAX;
use gantry_oci::media_type::{
    DOCKER_CONFIG, DOCKER_MANIFEST, DOCKER_MANIFEST_LIST, OCI_CONFIG, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST,
};
use gantry_oci::{Algorithm, Digest, Manifest, ManifestError, ManifestKind, ManifestRules};
use serde_json::{Value, json};

fn digest(content: &str) -> Digest {
    Digest::sha256(content.as_bytes())
}

fn descriptor(media_type: &str, content: &str) -> Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(OCI_CONFIG, "config"),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "layer")],
    })
}

fn index() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(OCI_MANIFEST, "amd64"), descriptor(OCI_MANIFEST, "arm64")],
    })
}

/// `value` with this field.
fn with(mut value: Value, field: &str, new: Value) -> Value {
    value[field] = new;
    value
}

/// `value` without this field.
fn without(mut value: Value, field: &str) -> Value {
    value.as_object_mut().unwrap().remove(field);
    value
}

fn parse_text(content_type: Option<&str>, text: &[u8]) -> Result<Manifest, ManifestError> {
    Manifest::parse(content_type, text, &ManifestRules::default())
}

fn parse(content_type: Option<&str>, value: &Value) -> Result<Manifest, ManifestError> {
    parse_text(content_type, &serde_json::to_vec(value).unwrap())
}

fn good(value: &Value) -> Manifest {
    parse(None, value).unwrap_or_else(|error| panic!("{value}: {error}"))
}

fn bad(value: &Value) -> ManifestError {
    parse(None, value).expect_err(&value.to_string())
}

#[test]
fn an_image() {
    let manifest = good(&image());
    assert_eq!(manifest.kind, ManifestKind::Image);
    assert_eq!(manifest.media_type, OCI_MANIFEST);
    assert_eq!(manifest.artifact_type.as_deref(), Some(OCI_CONFIG));
    assert_eq!(
        manifest.config.as_ref().map(|config| (config.digest, config.size)),
        Some((digest("config"), 6))
    );
    assert_eq!(manifest.layers.len(), 1);
    assert_eq!(manifest.required_blobs(), [digest("config"), digest("layer")]);
    assert_eq!(manifest.children(), []);
    assert_eq!(manifest.subject, None);
}

#[test]
fn an_index() {
    let manifest = good(&index());
    assert_eq!(manifest.kind, ManifestKind::Index);
    assert_eq!(manifest.media_type, OCI_INDEX);
    // T5
    assert_eq!(manifest.artifact_type, None);
    assert_eq!(manifest.required_blobs(), []);
    assert_eq!(manifest.children(), [digest("amd64"), digest("arm64")]);
}

#[test]
fn t23_docker_types() {
    let image = with(image(), "mediaType", json!(DOCKER_MANIFEST));
    let image = good(&with(image, "config", descriptor(DOCKER_CONFIG, "config")));
    assert_eq!((image.kind, image.media_type.as_str()), (ManifestKind::Image, DOCKER_MANIFEST));
    let list = good(&with(index(), "mediaType", json!(DOCKER_MANIFEST_LIST)));
    assert_eq!((list.kind, list.media_type.as_str()), (ManifestKind::Index, DOCKER_MANIFEST_LIST));
}

#[test]
fn e10_3_e10_4_the_media_type() {
    // Parameters are ignored.
    for header in
        [OCI_MANIFEST.to_owned(), format!("{OCI_MANIFEST}; charset=utf-8"), format!(" {OCI_MANIFEST} ;x")]
    {
        for value in [image(), without(image(), "mediaType"), with(image(), "mediaType", json!(null))] {
            assert_eq!(parse(Some(&header), &value).unwrap().media_type, OCI_MANIFEST, "{header}");
        }
    }
    // Nobody says.
    for header in [None, Some(""), Some(" ")] {
        for blank in [json!(null), json!("")] {
            let (image, index) =
                (with(image(), "mediaType", blank.clone()), with(index(), "mediaType", blank));
            assert_eq!(parse(header, &image).unwrap().media_type, OCI_MANIFEST);
            assert_eq!(parse(header, &index).unwrap().media_type, OCI_INDEX);
        }
    }
    // They say different things.
    for header in
        [OCI_INDEX, DOCKER_MANIFEST, "application/json", "Application/vnd.oci.image.manifest.v1+json"]
    {
        let error = parse(Some(header), &image()).unwrap_err();
        let mismatch =
            ManifestError::MediaTypeMismatch { header: header.to_owned(), body: OCI_MANIFEST.to_owned() };
        assert_eq!(error, mismatch);
    }
    for header in ["json", "a b/c", "*/*", ";"] {
        let error = parse(Some(header), &image()).unwrap_err();
        assert_eq!(error, ManifestError::ContentType(header.to_owned()));
    }
}

#[test]
fn e10_12_types_that_are_not_known() {
    let custom = "application/vnd.example.thing+json".to_owned();
    let value = with(image(), "mediaType", json!(custom));
    assert_eq!(bad(&value), ManifestError::UnknownMediaType(custom.clone()));
    assert_eq!(
        parse(Some("application/json"), &without(image(), "mediaType")),
        Err(ManifestError::UnknownMediaType("application/json".to_owned()))
    );
    let rules = ManifestRules { extra_media_types: std::slice::from_ref(&custom) };
    let manifest = Manifest::parse(Some(&custom), value.to_string().as_bytes(), &rules).unwrap();
    assert_eq!(manifest.media_type, custom);
}

#[test]
fn x5_4_types_that_are_dead() {
    for dead in gantry_oci::media_type::DEAD {
        // Whatever the body is: most are not even of schema 2.
        let error = parse_text(Some(dead), b"not json").unwrap_err();
        assert_eq!(error, ManifestError::DeadMediaType(dead.to_owned()));
        assert_eq!(bad(&json!({ "mediaType": dead })), ManifestError::DeadMediaType(dead.to_owned()));
    }
}

#[test]
fn t60_schema_version_and_fields() {
    for version in [json!(null), json!(1), json!(3)] {
        assert_eq!(
            bad(&with(image(), "schemaVersion", version.clone())),
            ManifestError::SchemaVersion,
            "{version}"
        );
    }
    for version in [json!("2"), json!(2.0), json!(-2), json!([2]), json!(true)] {
        let error = bad(&with(image(), "schemaVersion", version.clone()));
        assert!(matches!(error, ManifestError::Json(_)), "{version}: {error}");
    }
    let both = with(image(), "manifests", json!([]));
    let layers = with(index(), "layers", json!([]));
    let neither = json!({ "schemaVersion": 2 });
    let (image_type, index_type) = (json!(OCI_MANIFEST), json!(OCI_INDEX));
    for value in [
        both,
        layers,
        neither.clone(),
        with(neither.clone(), "mediaType", image_type.clone()),
        with(neither, "mediaType", index_type.clone()),
        without(image(), "config"),
        with(image(), "config", json!(null)),
        without(without(image(), "config"), "mediaType"),
        // Of one kind, and called the other.
        with(index(), "mediaType", image_type),
        with(image(), "mediaType", index_type),
    ] {
        assert!(matches!(bad(&value), ManifestError::Shape(_)), "{value}: {}", bad(&value));
    }
}

#[test]
fn e10_6_what_must_be_accepted() {
    let urls = json!(["https://example.org/layer"]);
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let layers = json!([
        descriptor("a/b", "one"),
        with(descriptor(foreign, "foreign"), "urls", urls.clone()),
        descriptor(foreign, "foreign too"),
        with(descriptor("a/b", "elsewhere"), "urls", urls),
        with(descriptor("a/b", "two"), "urls", json!([])),
        descriptor("a/b", "one"),
        // T27
        descriptor("a/b", "config"),
    ]);
    let manifest = good(&with(image(), "layers", layers));
    assert_eq!(manifest.layers.len(), 7);
    assert_eq!(manifest.required_blobs(), [digest("config"), digest("one"), digest("two")]);

    assert_eq!(good(&with(image(), "layers", json!([]))).required_blobs(), [digest("config")]);
    assert_eq!(good(&with(image(), "layers", json!(null))).layers, []);
    assert_eq!(good(&with(index(), "manifests", json!([]))).children(), []);
    let twice = json!([descriptor(OCI_MANIFEST, "x"), descriptor(OCI_INDEX, "x")]);
    assert_eq!(good(&with(index(), "manifests", twice)).children(), [digest("x")]);

    // Unknown fields at every level, and those that a registry need not read.
    let anything = json!({ "a": [1, -2.5, 1e300, null, true, { "b": ["\u{1F980}"] }], "mediaType": 3 });
    let mut value = with(image(), "org.example", anything.clone());
    value["config"]["data"] = json!("e30=");
    value["config"]["platform"] = json!({ "os": "linux", "os.features": [] });
    value["layers"][0]["org.example"] = anything;
    assert_eq!(good(&value), good(&image()));
}

#[test]
fn e10_5_t5_t17_artifacts() {
    let subject =
        json!({ "mediaType": OCI_MANIFEST, "digest": Digest::of(Algorithm::Sha512, b"s"), "size": 1 });
    let annotations = json!({ "org.opencontainers.image.created": "2026-01-01T00:00:00Z", "": "" });
    for value in [image(), index()] {
        let value = with(with(value, "subject", subject.clone()), "annotations", annotations.clone());
        let manifest = good(&value);
        assert_eq!(manifest.subject.map(|subject| subject.digest), Some(Digest::of(Algorithm::Sha512, b"s")));
        assert_eq!(serde_json::to_value(manifest.annotations).unwrap(), annotations);
        let manifest = good(&with(value, "artifactType", json!("application/vnd.example.sbom")));
        assert_eq!(manifest.artifact_type.as_deref(), Some("application/vnd.example.sbom"));
    }
    let empty = with(image(), "config", descriptor(OCI_EMPTY, "{}"));
    assert_eq!(good(&with(empty, "artifactType", json!(""))).artifact_type.as_deref(), Some(OCI_EMPTY));
    assert_eq!(good(&with(index(), "artifactType", json!(""))).artifact_type, None);
    assert_eq!(good(&with(image(), "config", descriptor("", "x"))).artifact_type, None);
}

#[test]
fn x5_6_descriptors() {
    for (field, values) in [
        (
            "digest",
            vec![
                json!(null),
                json!(""),
                json!("sha256:baddigeststring"),
                json!(digest("x").to_string().to_uppercase()),
                json!("md5:d41d8cd98f00b204e9800998ecf8427e"),
                json!(5),
                json!({}),
            ],
        ),
        (
            "size",
            vec![
                json!(null),
                json!(-1),
                json!(i64::MIN),
                json!(1.0),
                json!(1.5),
                json!(1e300),
                json!("1"),
                json!(u64::MAX),
                json!(9_223_372_036_854_775_808_u64),
            ],
        ),
        ("mediaType", vec![json!(null), json!(1), json!([])]),
        ("urls", vec![json!("x"), json!([1])]),
        ("annotations", vec![json!([]), json!({ "a": 1 })]),
    ] {
        for value in values {
            let broken = with(descriptor("a/b", "x"), field, value.clone());
            for manifest in [
                with(image(), "config", broken.clone()),
                with(image(), "layers", json!([descriptor("a/b", "y"), broken])),
                with(image(), "subject", broken.clone()),
                with(index(), "manifests", json!([broken])),
            ] {
                assert!(matches!(bad(&manifest), ManifestError::Json(_)), "{field}: {value}");
            }
        }
    }
    for broken in [json!([]), json!("x"), json!(1), json!({})] {
        assert!(matches!(bad(&with(image(), "config", broken)), ManifestError::Json(_)));
    }
    let largest = with(descriptor("a/b", "x"), "size", json!(i64::MAX));
    assert_eq!(
        good(&with(image(), "config", largest)).config.map(|config| config.size),
        Some(i64::MAX.unsigned_abs())
    );
    let message = bad(&with(image(), "config", json!({ "digest": "sha256:x" }))).to_string();
    assert!(
        message.starts_with("the manifest is not valid: the digest `sha256:x` of a descriptor: expected"),
        "{message}"
    );
}

#[test]
fn t24_only_json_in_utf8() {
    let text = serde_json::to_string_pretty(&image()).unwrap();
    assert!(parse_text(None, text.as_bytes()).is_ok());
    for around in [format!("{text}\n"), format!(" \r\n\t{text} \r\n\t")] {
        assert!(parse_text(None, around.as_bytes()).is_ok());
    }
    for broken in [
        String::new(),
        " ".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "2".to_owned(),
        format!("[{text}]"),
        format!("{text}{text}"),
        format!("{text}x"),
        format!("\u{feff}{text}"),
        format!("// comment\n{text}"),
        text.replace('"', "'"),
        text.replacen('}', ",}", 1),
        text.get(..text.len() - 1).unwrap().to_owned(),
        "\"".to_owned(),
        "\"\\".to_owned(),
        "}}}}]]]]".to_owned(),
    ] {
        assert!(matches!(parse_text(None, broken.as_bytes()), Err(ManifestError::Json(_))), "{broken:?}");
    }
}

#[test]
fn t24_the_last_of_duplicate_keys_counts() {
    let config = |content: &str| format!("\"config\":{}", descriptor(OCI_CONFIG, content));
    let text = format!(
        "{{\"schemaVersion\":1,{},\"layers\":[],{},\"x\":1,\"x\":2,\"schemaVersion\":2,\"schemaVers\\u0069on\":2}}",
        config("first"),
        config("last")
    );
    let manifest = parse_text(Some(OCI_MANIFEST), text.as_bytes()).unwrap();
    assert_eq!(manifest.required_blobs(), [digest("last")]);
}

#[test]
fn invalid_utf8_anywhere() {
    let mut value = image();
    value["unknown"] = json!({ "key-here": ["value-here"] });
    value["annotations"] = json!({ "annotation-here": "text-here" });
    let text = serde_json::to_vec(&value).unwrap();
    for place in 0..=text.len() {
        for evil in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
            let mut text = text.clone();
            text.splice(place..place, evil.iter().copied());
            assert_eq!(parse_text(None, &text), Err(ManifestError::Encoding), "at {place}");
        }
    }
}

#[test]
fn nesting_is_bounded_in_every_field() {
    let nested = |open: &str, close: &str, depth: usize, end: bool| {
        let close = if end { close.repeat(depth) } else { String::new() };
        format!("{}{}{close}", open.repeat(depth), if open == "[" { "" } else { "0" })
    };
    let text = serde_json::to_string(&image()).unwrap();
    for field in ["unknown", "layers", "config", "annotations", "schemaVersion", "mediaType"] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            for end in [true, false] {
                let deep = nested(open, close, 200_000, end);
                let text = text.replacen('{', &format!("{{\"{field}\":{deep},"), 1);
                assert_eq!(parse_text(None, text.as_bytes()), Err(ManifestError::TooDeep), "{field} {open}");
            }
        }
    }
    let with_depth = |depth: usize| {
        let deep = nested("[", "]", depth - 1, true);
        parse_text(None, text.replacen('{', &format!("{{\"unknown\":{deep},"), 1).as_bytes())
    };
    assert!(with_depth(DEPTH_MAX).is_ok());
    assert_eq!(with_depth(DEPTH_MAX + 1), Err(ManifestError::TooDeep));
    // Brackets in strings do not count, however the string is written.
    let brackets = "[{".repeat(1_000);
    let text = text.replacen(
        '{',
        &format!("{{\"{brackets}\\\"{brackets}\":\"\\\\\\\"{brackets}\\\\\",\"x\":[],"),
        1,
    );
    assert_eq!(parse_text(None, text.as_bytes()), parse(None, &image()));
}

#[test]
fn numbers_of_any_size() {
    let text = serde_json::to_string(&image()).unwrap();
    let digits = "9".repeat(100_000);
    for number in
        [&digits, "1e999999999", "-0", "1e-999999999", &format!("0.{digits}"), &format!("-{digits}")]
    {
        let unknown = text.replacen('{', &format!("{{\"unknown\":[{number}],"), 1);
        assert_eq!(parse_text(None, unknown.as_bytes()), parse(None, &image()));
        for field in ["\"size\":6", "\"schemaVersion\":2"] {
            let (key, _) = field.split_once(':').unwrap();
            let broken = text.replacen(field, &format!("{key}:{number}"), 1);
            assert_ne!(broken, text);
            let error = parse_text(None, broken.as_bytes());
            assert!(matches!(error, Err(ManifestError::Json(_))), "{field}: {error:?}");
        }
    }
}

#[test]
fn messages_are_short_whatever_the_manifest_says() {
    let long = "x".repeat(1_000_000);
    for value in [
        with(image(), "schemaVersion", json!(long)),
        with(image(), "mediaType", json!(long)),
        with(image(), "config", json!(long)),
        with(image(), "config", with(descriptor("a/b", "x"), "digest", json!(long))),
    ] {
        for header in [None, Some(OCI_MANIFEST), Some(long.as_str())] {
            let message = parse(header, &value).unwrap_err().to_string();
            assert!(message.len() < 600, "{} bytes", message.len());
        }
    }
    let control = bad(&with(image(), "mediaType", json!("\u{1b}[2J\r\n"))).to_string();
    assert!(control.chars().all(|letter| !letter.is_control()), "{control:?}");
}
