//! What manifests look like in v1, against known ids and digests.

use gantry_oci::Digest;
use gantry_oci::media_type::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use gantry_oci::v1::{
    Derived, DerivedImage, EMPTY_LAYER, ImageJson, Platform, config_of, derive, platform_manifest,
};

/// 647 bytes, `sha256:c36a3024...`
pub(crate) const CONFIG: &str = concat!(
    r#"{"architecture":"amd64","config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]},"created":"2020-01-02T03:04:05Z","#,
    r#""history":[{"created":"2020-01-01T00:00:00Z","created_by":"ADD base"},"#,
    r#"{"created":"2020-01-01T00:00:01Z","created_by":"ENV PATH=/bin","empty_layer":true},"#,
    r#"{"created":"2020-01-01T00:00:02Z","created_by":"ADD b"},{"created":"2020-01-02T03:04:05Z","created_by":"ADD c"}],"#,
    r#""os":"linux","rootfs":{"diff_ids":["#,
    r#""sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853","#,
    r#""sha256:0465aa2dbf9a74741226cc5515261d9598a1caeb42e3e95ca44a3d81cdba37af","#,
    r#""sha256:8ae0b682098f940d33c3a0e84988459e4aa7f73834043532ce24035dba91c8f5"],"type":"layers"}}"#,
);
pub(crate) const LAYERS: [&str; 3] = [
    "602255757ee045bb7f0c244bda7719f79d1aa674214e1e89b211abb0d09c4870",
    "75212916e5d96e48beab1a1e109378107d76cefb935799c26d9002fe66ef7e1a",
    "4ac5635ff49bd2a33b83fd2e268634c1ac698207efd9a478886b3447d63d5c61",
];
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn layer(media_type: &str, digest: &str) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": digest, "size": 3607 })
}

fn manifest(config: &str, layers: &[serde_json::Value]) -> Vec<u8> {
    serde_json::json!({
        "schemaVersion": 2,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Digest::sha256(config.as_bytes()),
            "size": config.len(),
        },
        "layers": layers,
    })
    .to_string()
    .into_bytes()
}

pub(crate) fn three() -> Vec<u8> {
    manifest(CONFIG, &LAYERS.map(|hex| layer(GZIP, &format!("sha256:{hex}"))))
}

fn images(manifest: &[u8], config: &str) -> Vec<DerivedImage> {
    match derive(manifest, OCI_MANIFEST, config.as_bytes()) {
        Derived::Images(images) => images,
        Derived::Nothing => panic!("nothing of {config}"),
    }
}

fn one(config: &str) -> String {
    let images = images(&manifest(config, &[layer(GZIP, &format!("sha256:{}", LAYERS[0]))]), config);
    let [image] = &images[..] else { panic!("{images:?}") };
    let json = String::from_utf8(image.json.clone()).unwrap();
    assert_eq!(ImageJson::parse(&image.json, &image.id).unwrap().parent, None, "{json}");
    json.replace(&image.id.to_string(), "ID")
}

#[test]
fn v_16_ids_and_json_are_those_that_are_known() {
    assert_eq!(CONFIG.len(), 647);
    assert_eq!(
        Digest::sha256(CONFIG.as_bytes()).hex(),
        "c36a30243f7f2e9b95ca41931a51ae069e3b203935f674eabb00f0be600958e6"
    );
    let images = images(&three(), CONFIG);
    let known = [
        (
            "a538ed54bb52fe0378d98e88dab36880b8c875acfec56bc16fd3b34cca5b2d58",
            "15a8c22a70466b11ed313a200c8b5535432a7ee4a5d83920c3b0ae3e3fad6667",
        ),
        (
            "f19e731e1c908118b0e8a29104200612b8f657382572d833b9fe5aa5da7e52ad",
            "198df66a153d0b0a68e017ce84c0e7b127da077cb6d022029ed09ec2bd82e00d",
        ),
        (
            "57f9b82f1d25d081b22585552c02d149f781b5bd780fb7020ef2c6ff07ea2766",
            "560940a180541a61dea7d9aa872e665f548f5eda031fe2c389812c697e2bd639",
        ),
    ];
    for ((image, (id, json)), hex) in images.iter().zip(known).zip(LAYERS) {
        assert_eq!(image.id.to_string(), id);
        assert_eq!(Digest::sha256(&image.json).hex(), json, "{}", String::from_utf8_lossy(&image.json));
        assert_eq!((image.layer.hex(), image.size), (hex.to_owned(), 3607));
    }
    assert_eq!(images.len(), 3);
    assert_eq!(
        String::from_utf8_lossy(&images[2].json),
        r#"{"architecture":"amd64","config":{"Cmd":["/bin/sh"],"Env":["PATH=/bin"]},"created":"2020-01-02T03:04:05Z","id":"57f9b82f1d25d081b22585552c02d149f781b5bd780fb7020ef2c6ff07ea2766","os":"linux","parent":"f19e731e1c908118b0e8a29104200612b8f657382572d833b9fe5aa5da7e52ad"}"#
    );
    // Docker's own names for the same things change nothing.
    let text = String::from_utf8(three()).unwrap();
    let docker = text.replace(GZIP, "application/vnd.docker.image.rootfs.diff.tar.gzip").replace(
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    );
    assert_eq!(derive(docker.as_bytes(), DOCKER_MANIFEST, CONFIG.as_bytes()), Derived::Images(images));
}

#[test]
fn v_16_an_image_without_layers_gets_the_empty_one() {
    let digest = Digest::sha256(&EMPTY_LAYER);
    assert_eq!(digest.hex(), "a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4");
    let images = images(&manifest(CONFIG, &[]), CONFIG);
    let [image] = &images[..] else { panic!("{images:?}") };
    assert_eq!(image.id.to_string(), "07a8cc5a0ba84b13b16efb18bb12e021ee1f525ba441721071f315d462d57833");
    assert_eq!((image.layer, image.size), (digest, 32));
}

#[test]
fn v_16_values_stay_as_they_were_written() {
    assert_eq!(
        one(
            r#"{ "z" : [ 1.0, 1E400, 12345678901234567890123 ], "a": "\u0041\/é",  "created":"2020-01-02T03:04:05.000+02:00" }"#
        ),
        r#"{"a":"\u0041\/é","created":"2020-01-02T03:04:05.000+02:00","id":"ID","z":[ 1.0, 1E400, 12345678901234567890123 ]}"#
    );
    // The last of duplicates; and what the image says of itself is not taken from the config.
    assert_eq!(
        one(r#"{"a":1,"a":2,"id":"x","parent":"y","Parent":"z","ID":1,"rootfs":{},"history":[]}"#),
        r#"{"a":2,"id":"ID"}"#
    );
    assert_eq!(one("{}"), r#"{"id":"ID"}"#);
}

#[test]
fn v_16_a_created_that_is_no_time_is_left_out() {
    for created in ["null", "1", "\"\"", "\"yesterday\"", "\"2020-01-02\"", "{}", "\"2020-02-30T00:00:00Z\""]
    {
        assert_eq!(
            one(&format!("{{\"created\":{created},\"os\":\"linux\"}}")),
            r#"{"id":"ID","os":"linux"}"#
        );
    }
}

#[test]
fn v_16_what_old_clients_cannot_unpack_has_no_image() {
    let digest = format!("sha256:{}", LAYERS[0]);
    let gzip = || layer(GZIP, &digest);
    let nothing = |manifest: &[u8], media_type: &str, config: &[u8]| {
        assert_eq!(derive(manifest, media_type, config), Derived::Nothing, "{}", manifest.escape_ascii());
    };
    let good = manifest(CONFIG, &[gzip()]);
    assert_eq!(config_of(&good, OCI_MANIFEST).unwrap().digest, Digest::sha256(CONFIG.as_bytes()));
    // Plain tars they can.
    for plain in ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"] {
        assert!(config_of(&manifest(CONFIG, &[layer(plain, &digest)]), OCI_MANIFEST).is_some(), "{plain}");
    }
    let mut foreign = gzip();
    foreign["urls"] = serde_json::json!(["https://example.org/layer"]);
    for bad in [
        layer("application/vnd.oci.image.layer.v1.tar+zstd", &digest),
        layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", &digest),
        layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", &digest),
        layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted", &digest),
        layer("application/vnd.in-toto+json", &digest),
        foreign,
    ] {
        let manifest = manifest(CONFIG, &[gzip(), bad]);
        assert_eq!(config_of(&manifest, OCI_MANIFEST), None);
        nothing(&manifest, OCI_MANIFEST, CONFIG.as_bytes());
    }
    let text = String::from_utf8(good.clone()).unwrap();
    for artifact in ["application/vnd.oci.empty.v1+json", "application/vnd.cncf.helm.config.v1+json", "a/b"] {
        let manifest = text.replace("application/vnd.oci.image.config.v1+json", artifact);
        assert_eq!(config_of(manifest.as_bytes(), OCI_MANIFEST), None, "{artifact}");
    }
    nothing(b"{}", OCI_MANIFEST, b"{}");
    nothing(b"", "", b"");
    nothing(&good, DOCKER_MANIFEST, b"[]");
    nothing(&good, OCI_INDEX, CONFIG.as_bytes());
    for config in [&b""[..], b"[]", b"null", b"{", b"{\"a\":\"\xff\"}", &b"{\"a\":".repeat(100)] {
        nothing(&good, OCI_MANIFEST, config);
    }
}

#[test]
fn v_16_what_is_too_large_or_too_deep_has_no_image() {
    let layers = |n| vec![layer(GZIP, &format!("sha256:{}", LAYERS[0])); n];
    let images = images(&manifest(CONFIG, &layers(127)), CONFIG);
    let ids: std::collections::BTreeSet<_> = images.iter().map(|image| image.id).collect();
    assert_eq!(ids.len(), 127, "the same layer again is another image");
    for (below, image) in images.iter().zip(&images[1..]) {
        assert_eq!(ImageJson::parse(&image.json, &image.id).unwrap().parent, Some(below.id));
    }
    assert_eq!(config_of(&manifest(CONFIG, &layers(128)), OCI_MANIFEST), None);
    let large = format!("{{\"a\":\"{}\"}}", "a".repeat(4 << 20));
    assert_eq!(derive(&manifest(CONFIG, &layers(1)), OCI_MANIFEST, large.as_bytes()), Derived::Nothing);
    assert_eq!(config_of(&manifest(&large, &layers(1)), OCI_MANIFEST), None);
    let many: String = (0..5000).map(|n| format!(",\"{n}\":0")).collect();
    let many = format!("{{\"a\":0{many}}}");
    assert_eq!(derive(&manifest(&many, &layers(1)), OCI_MANIFEST, many.as_bytes()), Derived::Nothing);
}

#[test]
fn v_16_of_an_index_the_first_image_for_the_platform_counts() {
    let platform =
        |os: &str, architecture: &str| Platform { os: os.to_owned(), architecture: architecture.to_owned() };
    let digest = |n: u8| Digest::sha256(&[n]);
    let entry = |n: u8, media_type: &str, os: &str, architecture: &str| {
        serde_json::json!({
            "mediaType": media_type, "digest": digest(n), "size": 1,
            "platform": { "os": os, "architecture": architecture },
        })
    };
    let index = serde_json::json!({
        "schemaVersion": 2,
        "manifests": [
            { "mediaType": OCI_MANIFEST, "digest": digest(0), "size": 1 },
            entry(1, OCI_MANIFEST, "linux", "arm64"),
            entry(2, OCI_INDEX, "linux", "amd64"),
            entry(3, OCI_MANIFEST, "unknown", "unknown"),
            entry(4, DOCKER_MANIFEST, "linux", "amd64"),
            entry(5, OCI_MANIFEST, "linux", "amd64"),
        ],
    })
    .to_string();
    let find = |index: &str, platform: &Platform| platform_manifest(index.as_bytes(), platform);
    assert_eq!(find(&index, &platform("linux", "amd64")), Some(digest(4)));
    assert_eq!(find(&index, &platform("linux", "arm64")), Some(digest(1)));
    assert_eq!(find(&index, &platform("windows", "amd64")), None);
    for bad in ["", "{}", "[]", "{\"manifests\":null}", "{\"manifests\":[1]}", &"[".repeat(100_000)] {
        assert_eq!(find(bad, &platform("linux", "amd64")), None);
    }
}
