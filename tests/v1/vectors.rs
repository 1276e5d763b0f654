//! The vectors: what the builders of [`super::content`] make is what every implementation must make of the same image.

use super::content::{END, Member, V1Image, gzip, payload, tar, tarsum};
use crate::harness::Alg;

pub(crate) fn members() -> Vec<Member> {
    vec![
        Member::directory("etc/"),
        Member::file("etc/hello", "hello\n"),
        Member::link("etc/link", "hello"),
        Member::file("etc/.wh.old", ""),
    ]
}

/// The JSON of the single image.
pub(crate) fn json() -> String {
    let id = "11".repeat(32);
    format!(
        "{{\"id\":\"{id}\",\"created\":\"2014-05-13T16:53:20Z\",\"container_config\":{{\"Cmd\":[\"/bin/true\"]}}}}"
    )
}

/// The single image with its gzipped layer.
pub(crate) fn single() -> V1Image {
    V1Image::new(json(), gzip(&tar(&members())))
}

/// What its manifest must be.
pub(crate) const MANIFEST: &str = "sha256:7bd31509cab9dd6fee9e9d927bc01b13ca1717a39eeabca032e6999d171908d1";
/// And its configuration.
pub(crate) const CONFIG: &str = "sha256:a0033e54c88c7d34ea5ffb2bc4783f8523eab946e124e00445d4727afa190f2c";

/// The layers of the image that V2 pushes.
pub(crate) fn three_layers() -> [Vec<u8>; 3] {
    let small = |name: &str, data: &str| gzip(&tar(&[Member::file(name, data)]));
    [gzip(&tar(&members())), small("b", "2"), small("c", "3")]
}

/// Its configuration.
pub(crate) const THREE_CONFIG: &str = "{\"architecture\":\"amd64\",\"config\":{\"Cmd\":[\"/bin/sh\"],\"Env\":[\"PATH=/bin\"]},\"created\":\"2020-01-02T03:04:05Z\",\"history\":[{\"created\":\"2020-01-01T00:00:00Z\",\"created_by\":\"ADD base\"},{\"created\":\"2020-01-01T00:00:01Z\",\"created_by\":\"ENV PATH=/bin\",\"empty_layer\":true},{\"created\":\"2020-01-01T00:00:02Z\",\"created_by\":\"ADD b\"},{\"created\":\"2020-01-02T03:04:05Z\",\"created_by\":\"ADD c\"}],\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[\"sha256:79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853\",\"sha256:0465aa2dbf9a74741226cc5515261d9598a1caeb42e3e95ca44a3d81cdba37af\",\"sha256:8ae0b682098f940d33c3a0e84988459e4aa7f73834043532ce24035dba91c8f5\"],\"type\":\"layers\"}}";

/// Its images in v1, base first, with the digests of their JSON.
pub(crate) const THREE_IMAGES: [(&str, &str); 3] = [
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

/// The image of the same configuration without layers, and its layer.
pub(crate) const NO_LAYERS: &str = "07a8cc5a0ba84b13b16efb18bb12e021ee1f525ba441721071f315d462d57833";
pub(crate) const EMPTY_LAYER: &str =
    "sha256:a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4";

/// The tar of [`members`], packed by bzip2 and by xz, in base64.
pub(crate) const PACKED: [&str; 2] = [
    "\
    QlpoOTFBWSZTWXIU53MAAMJ7kMmQAEBAAf+AAsxubZ6ABEAAiDAArbYSSmUzTU00DIMhoaMaCVMqYTACMAAAAqlEND1GgDQ9QAB6mIF3zBquVZ\
    BSVTE0QSVhba8GgznAYhSHChlZiQVEMtZHa3qbFgiMhUInPnykbxAZegDoxARlzCVP8K3g6CrQODQKCoDbjVb4X0xIk84OmZBeB9sWmhKXba+j\
    O7ZknrNl+wAsH0mXFC+KEj9SJXIfxdyRThQkHIU53MA=",
    "\
    /Td6WFoAAATm1rRGAgAhARYAAAB0L+Wj4A3/AI5dADKdCIYQ5JSzSsi80f5CS2Mz1B2JkVQVwHala+9ALjRxoDseHaqtoH0ETycMvAbcmaNfGR\
    m0bIx3+m0xoWXyRD4SHjXB/pCCI3qrbyE5MQ5bbK9WisSVv9BBSlkmBRYpHgbq69p0mEARuSdd45jBDmjO5olhT5HQTK5HZRXtTpjMkvmFTHIS\
    n/PcBFqn7zMAAACndsBM/ScQRAABqgGAHAAAyiPXvrHEZ/sCAAAAAARZWg==",
];

#[test]
fn v_7_5_the_builders_make_the_vectors() {
    let plain = tar(&members());
    let layer = gzip(&plain);
    let sha = |bytes: &[u8]| Alg::Sha256.of(bytes).split_off("sha256:".len());
    assert_eq!(sha(&plain), "79715253496b84215e747714cb346c58947eac30af56f12ed5be20ed5e5b7853");
    assert_eq!(sha(&layer), "602255757ee045bb7f0c244bda7719f79d1aa674214e1e89b211abb0d09c4870");
    let json = json().into_bytes();
    assert_eq!(sha(&json), "b1d7d356661a4c24419ea5901b2c974da0a30249fe256740e60007f67e40a8c5");
    for (layer, sum) in [
        (&plain[..], "sha256:5013171c6c90f74b655d0c21a98a3b8b8e08c270e8617bc0bf034b80f000981c"),
        (&layer, "sha256:5158a3416f0555814f4f2642d3a222e3ff914591c2c5c26708c3c2e502cd8d5a"),
        (b"", "sha256:b40646d2fd98f8e242ae8d48086ce1d36b9aac9cfc542b3c1f047bcad2e28d23"),
        (&plain[..2560], "sha256:dd08245eedda9e0f76d3d0f3a7f9db003e03ed4dc622190cc83e61bb17647670"),
    ] {
        assert_eq!(payload(&json, layer), sum);
    }
    let with_json = "tarsum+sha256:6dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca";
    assert_eq!(tarsum(&json, &plain), with_json);
    let without = "tarsum+sha256:4495b707d7f10ab58139bdfd2b9282974dc72dd4eddcd38de161d79e9306e020";
    assert_eq!(tarsum(&json, &plain[..2560]), with_json);
    assert_eq!(single().tarsum(), with_json);
    assert_eq!(tarsum(b"", &plain), without);
    assert_eq!(sha(&END), "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
    let [_, second, third] = three_layers();
    assert_eq!(sha(&second), "75212916e5d96e48beab1a1e109378107d76cefb935799c26d9002fe66ef7e1a");
    assert_eq!(sha(&third), "4ac5635ff49bd2a33b83fd2e268634c1ac698207efd9a478886b3447d63d5c61");
    assert_eq!(
        sha(THREE_CONFIG.as_bytes()),
        "c36a30243f7f2e9b95ca41931a51ae069e3b203935f674eabb00f0be600958e6"
    );
}
