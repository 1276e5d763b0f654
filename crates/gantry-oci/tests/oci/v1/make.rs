//! What chains look like as manifests, against known digests.

use gantry_oci::media_type::{DOCKER_MANIFEST, OCI_MANIFEST};
use gantry_oci::v1::{ChainLink, Derived, Made, derive, history_of, make};
use gantry_oci::{Digest, Manifest, ManifestRules};

use super::derive::{CONFIG, LAYERS, three};

const DIFF_IDS: [&str; 3] = [
    "sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853",
    "sha256:0465aa2dbf9a74741226cc5515261d9598a1caeb42e3e95ca44a3d81cdba37af",
    "sha256:8ae0b682098f940d33c3a0e84988459e4aa7f73834043532ce24035dba91c8f5",
];

/// The image that `docs/v1.md` uses as an example.
fn json() -> Vec<u8> {
    let id = "11".repeat(32);
    format!(r#"{{"id":"{id}","created":"2014-05-13T16:53:20Z","container_config":{{"Cmd":["/bin/true"]}}}}"#)
        .into_bytes()
}

fn link(json: &[u8]) -> ChainLink<'_> {
    ChainLink {
        json,
        layer: format!("sha256:{}", LAYERS[0]).parse().unwrap(),
        size: 3607,
        gzip: true,
        diff_id: DIFF_IDS[0].parse().unwrap(),
        history: None,
    }
}

fn config(chain: &[ChainLink<'_>]) -> String {
    String::from_utf8(make(chain).unwrap().config).unwrap()
}

/// The config of one image, without its `rootfs`.
fn one(json: &str) -> String {
    let rootfs = format!(r#","rootfs":{{"diff_ids":["{}"],"type":"layers"}}"#, DIFF_IDS[0]);
    config(&[link(json.as_bytes())]).replace(&rootfs, "")
}

#[test]
fn v_17_config_and_manifest_are_those_that_are_known() {
    let json = json();
    assert_eq!(json.len(), 147);
    assert_eq!(
        Digest::sha256(&json).hex(),
        "b1d7d356661a4c24419ea5901b2c974da0a30249fe256740e60007f67e40a8c5"
    );
    let made = make(&[link(&json)]).unwrap();
    assert_eq!(
        String::from_utf8_lossy(&made.config),
        r#"{"architecture":"amd64","container_config":{"Cmd":["/bin/true"]},"created":"2014-05-13T16:53:20Z","history":[{"created":"2014-05-13T16:53:20Z","created_by":"/bin/true"}],"os":"linux","rootfs":{"diff_ids":["sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853"],"type":"layers"}}"#
    );
    assert_eq!(
        Digest::sha256(&made.config).hex(),
        "a0033e54c88c7d34ea5ffb2bc4783f8523eab946e124e00445d4727afa190f2c"
    );
    assert_eq!(
        Digest::sha256(&made.manifest).hex(),
        "7bd31509cab9dd6fee9e9d927bc01b13ca1717a39eeabca032e6999d171908d1",
        "{}",
        String::from_utf8_lossy(&made.manifest)
    );
    assert_eq!((made.config.len(), made.manifest.len(), made.media_type), (297, 424, DOCKER_MANIFEST));
}

#[test]
fn v_17_ids_do_not_go_into_the_config() {
    let with = |id: &str| {
        let json = String::from_utf8(json()).unwrap().replace(&"11".repeat(32), &id.repeat(32));
        make(&[link(json.as_bytes())]).unwrap()
    };
    assert_eq!(with("aa"), with("bb"));
    assert_eq!(
        one(
            r#"{"id":"a","parent":"b","parent_id":"c","layer_id":"d","throwaway":true,"Size":1,"Id":"e","rootfs":1,"history":2,"hi\u017ftory":3}"#
        ),
        r#"{"architecture":"amd64","history":[{}],"os":"linux"}"#
    );
}

#[test]
fn v_17_values_stay_as_they_were_written() {
    assert_eq!(
        one(
            r#" { "z" : { "b":1.0, "a":1E400 } , "config": null, "architecture":"arm64", "os":"" , "z": [ "\u0041" ], "z2": 12345678901234567890 }"#
        ),
        r#"{"architecture":"arm64","config":null,"history":[{}],"os":"linux","z":[ "\u0041" ],"z2":12345678901234567890}"#
    );
}

#[test]
fn v_17_history_is_as_docker_makes_it() {
    let entry = |json: &str| {
        let config = one(json);
        let history =
            config.split_once("\"history\":").unwrap().1.split_once(",\"os\"").unwrap().0.to_owned();
        history.trim_start_matches('[').trim_end_matches(']').to_owned()
    };
    assert_eq!(
        entry(
            r##"{"comment":"c","author":"a \u003cb\u003e","created":"2014-05-13T16:53:20.1Z","container_config":{"Cmd":["/bin/sh","-c","#(nop) ENV a=\"b\""]}}"##
        ),
        r#"{"author":"a <b>","comment":"c","created":"2014-05-13T16:53:20.1Z","created_by":"/bin/sh -c #(nop) ENV a=\"b\""}"#
    );
    assert_eq!(entry(r#"{"container_config":{"Cmd":"true"}}"#), r#"{"created_by":"true"}"#);
    // The JSON of lower images of Docker 1.10 has no time.
    for json in [
        r#"{"id":"x"}"#,
        r#"{"created":"yesterday","author":1,"comment":"","container_config":[]}"#,
        r#"{"container_config":{"Cmd":[1]}}"#,
        r#"{"container_config":{"Cmd":null}}"#,
        r#"{"container_config":{"Cmd":[]}}"#,
        r#"{"author":"\ud800"}"#,
    ] {
        assert_eq!(entry(json), "{}", "{json}");
    }
}

#[test]
fn v_17_a_plain_layer_makes_an_oci_manifest() {
    let json = json();
    let mut plain = link(&json);
    plain.gzip = false;
    let made = make(&[link(&json), plain]).unwrap();
    assert_eq!(made.media_type, OCI_MANIFEST);
    let manifest = Manifest::parse(Some(OCI_MANIFEST), &made.manifest, &ManifestRules::default()).unwrap();
    let types: Vec<_> = manifest.layers.iter().map(|layer| layer.media_type.as_str()).collect();
    assert_eq!(
        types,
        ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar"]
    );
    assert_eq!(manifest.config.unwrap().media_type, "application/vnd.oci.image.config.v1+json");
}

#[test]
fn v_17_what_is_no_chain_makes_nothing() {
    assert_eq!(make(&[]), None);
    for json in [&b""[..], b"[]", b"{", b"\xff"] {
        assert_eq!(make(&[link(json)]), None);
        // Only the top's goes into the config.
        assert!(config(&[link(json), link(b"{}")]).contains(r#""history":[{},{}]"#));
    }
}

#[test]
fn v_17_a_chain_that_stands_on_derived_images_has_their_history() {
    let entries = history_of(CONFIG.as_bytes(), 3).unwrap();
    assert_eq!(entries.len(), 3);
    assert_eq!(
        entries[1],
        r#"{"created":"2020-01-01T00:00:01Z","created_by":"ENV PATH=/bin","empty_layer":true},{"created":"2020-01-01T00:00:02Z","created_by":"ADD b"}"#
    );
    let json = json();
    let mut base = link(&json);
    base.history = Some(&entries[1]);
    assert!(config(&[base.clone(), link(&json)]).contains(&format!(
        r#""history":[{},{{"created":"2014-05-13T16:53:20Z","created_by":"/bin/true"}}]"#,
        entries[1]
    )));
    // Something else in that place is not believed.
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(62), "]".repeat(62));
    for bad in ["", "{", "{},{}", "{}]", "{\"empty_layer\":true}", "{}],\"history\":[{}", &deep] {
        base.history = Some(bad);
        assert_eq!(config(std::slice::from_ref(&base)), config(&[link(&json)]), "{bad}");
    }
}

#[test]
fn v_17_a_history_with_other_counts_is_none() {
    let of = |history: &str, layers| history_of(format!("{{\"history\":{history}}}").as_bytes(), layers);
    assert_eq!(of("[{},{\"empty_layer\":true}]", 1), Some(vec!["{},{\"empty_layer\":true}".to_owned()]));
    assert_eq!(of("[{\"empty_layer\":false}]", 1), Some(vec!["{\"empty_layer\":false}".to_owned()]));
    for (history, layers) in [
        ("[]", 0),
        ("[]", 1),
        ("[{}]", 2),
        ("[{},{}]", 1),
        ("null", 1),
        ("{}", 1),
        ("[{\"empty_layer\":true}]", 0),
    ] {
        assert_eq!(of(history, layers), None, "{history}");
    }
}

#[test]
fn v_17_what_was_derived_is_made_again_as_it_was() {
    let Derived::Images(images) = derive(&three(), OCI_MANIFEST, CONFIG.as_bytes()) else {
        panic!("nothing")
    };
    let history = history_of(CONFIG.as_bytes(), images.len()).unwrap();
    let chain: Vec<_> = images
        .iter()
        .zip(&history)
        .zip(DIFF_IDS)
        .map(|((image, history), diff_id)| ChainLink {
            json: &image.json,
            layer: image.layer,
            size: image.size,
            gzip: true,
            diff_id: diff_id.parse().unwrap(),
            history: Some(history),
        })
        .collect();
    let Made { config, manifest, media_type } = make(&chain).unwrap();
    assert_eq!(String::from_utf8_lossy(&config), CONFIG);
    let again = derive(&manifest, media_type, &config);
    assert_eq!(again, Derived::Images(images));
}
