//! Checksum headers.

use gantry_oci::v1::{Checksums, TarSum, TarSumVersion};
use gantry_oci::{Algorithm, Digest};

const HEX: &str = "6dd0fc88f9847b6291a3482d585699547cf36f63fd5d99c436012861a7fe82ca";

#[test]
fn v_7_the_headers_of_a_push_are_read() {
    let sum = Digest::sha256(b"payload");
    let tarsum: TarSum = format!("tarsum+sha256:{HEX}").parse().unwrap();
    let both = Checksums::parse(Some(&format!("tarsum+sha256:{HEX}")), Some(&sum.to_string()));
    assert_eq!(both, Checksums { payload: Some(sum), tarsum: Some(tarsum), given: true });
    // The payload's checksum may be in the other header, if its own is not there.
    let other = Digest::sha256(b"other");
    let payload = |checksum: Option<&str>, payload: Option<&str>| Checksums::parse(checksum, payload).payload;
    assert_eq!(payload(Some(&sum.to_string()), None), Some(sum));
    assert_eq!(payload(Some(&sum.to_string()), Some("")), Some(sum));
    assert_eq!(payload(Some(&sum.to_string()), Some(&other.to_string())), Some(other));
    assert_eq!(payload(Some(&sum.to_string()), Some("sha256:0")), None);
    assert_eq!(payload(None, Some(&format!(" {sum} "))), Some(sum));
}

#[test]
fn v_7_what_is_no_checksum_is_given_and_none() {
    assert_eq!(Checksums::parse(None, None), Checksums::default());
    for empty in ["", " "] {
        assert_eq!(Checksums::parse(Some(empty), Some(empty)), Checksums::default());
    }
    let nothing = Checksums { given: true, ..Checksums::default() };
    let sha512 = Digest::of(Algorithm::Sha512, b"").to_string();
    for text in [
        HEX,
        "sha256:",
        "sha256:xyz",
        &sha512,
        &format!("md5:{HEX}"),
        &format!("sha256:{}", HEX.to_uppercase()),
    ] {
        assert_eq!(Checksums::parse(Some(text), None), nothing, "{text}");
        assert_eq!(Checksums::parse(None, Some(text)), nothing, "{text}");
        assert_eq!(Checksums::parse(Some(text), Some(text)), nothing, "{text}");
    }
    // A TarSum is no payload's checksum.
    assert_eq!(Checksums::parse(None, Some(&format!("tarsum+sha256:{HEX}"))), nothing);
}

#[test]
fn v_7_3_tarsums_have_versions() {
    for (label, version) in
        [("tarsum", TarSumVersion::V0), ("tarsum.v1", TarSumVersion::V1), ("tarsum.dev", TarSumVersion::Dev)]
    {
        let text = format!("{label}+sha256:{HEX}");
        let tarsum: TarSum = text.parse().unwrap();
        assert_eq!((tarsum.version, tarsum.to_string()), (version, text));
    }
    for text in ["tarsum.v2+sha256:", "tarsum+md5:", "tarsum", "", "+sha256:", "TARSUM+sha256:"] {
        assert!(format!("{text}{HEX}").parse::<TarSum>().is_err(), "{text}");
    }
}
