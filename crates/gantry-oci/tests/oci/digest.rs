//! Digests and hashes (G-3, G-7).

use gantry_oci::{Algorithm, Digest, DigestError, Hasher};

/// Of nothing.
const SHA256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SHA512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

fn error(text: &str) -> DigestError {
    text.parse::<Digest>().expect_err(text)
}

#[test]
fn digests_of_nothing_are_the_known_ones() {
    for (algorithm, text) in [(Algorithm::Sha256, SHA256), (Algorithm::Sha512, SHA512)] {
        let digest: Digest = text.parse().unwrap();
        assert_eq!(digest, Digest::of(algorithm, b""));
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(digest.to_string(), text);
        assert_eq!(format!("{}:{}", algorithm, digest.hex()), text);
        assert_eq!(digest.hex().len(), algorithm.hex_len());
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Digest>(&format!("\"{text}\"")).unwrap(), digest);
    }
    assert_eq!(Digest::sha256(b"").to_string(), SHA256);
}

#[test]
fn g3_malformed() {
    let upper_case = SHA256.replace("e3b0", "E3B0");
    let short = SHA256.strip_suffix('5').unwrap();
    for bad in [
        "",
        ":",
        "sha256",
        "sha256:",
        ":abc",
        "sha256:baddigeststring",
        short,
        &format!("{SHA256}5"),
        // T28
        &upper_case,
        &SHA256.to_uppercase(),
        &format!(" {SHA256}"),
        &format!("{SHA256}\n"),
        &SHA256.replace(':', "::"),
        &SHA256.replace("sha256", "sha512"),
        &SHA512.replace("sha512", "sha256"),
        "sha256:../../../../etc/passwd",
        "sha256:é",
        // The grammar of algorithms and of encodings.
        "+:abc",
        "md5+:abc",
        "md5++b64:abc",
        "MD5:abc",
        "md5:",
        "md5:a/b",
        "md5:a:b",
        "md5:ä",
    ] {
        assert_eq!(error(bad), DigestError::Malformed, "{bad:?}");
    }
}

#[test]
fn g3_well_formed_with_another_algorithm() {
    let blake3 = format!("blake3:{}", "0".repeat(64));
    for other in [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
        "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
        "a:=",
        &blake3,
    ] {
        assert_eq!(error(other), DigestError::Unsupported, "{other:?}");
    }
}

#[test]
fn g3_long_text_is_not_looked_at() {
    assert_eq!(error(&format!("md5:{}", "a".repeat(285))), DigestError::Unsupported);
    assert_eq!(error(&format!("md5:{}", "a".repeat(286))), DigestError::Malformed);
    assert_eq!(error(&"a+".repeat(10_000_000)), DigestError::Malformed);
}

#[test]
fn algorithms() {
    assert_eq!("sha256".parse(), Ok(Algorithm::Sha256));
    assert_eq!("sha512".parse(), Ok(Algorithm::Sha512));
    assert_eq!("blake3".parse::<Algorithm>(), Err(DigestError::Unsupported));
    for bad in ["", "SHA256", "sha256:", "sha-", "-"] {
        assert_eq!(bad.parse::<Algorithm>(), Err(DigestError::Malformed), "{bad:?}");
    }
}

#[test]
fn g7_fallback_tags_have_at_most_64_digits() {
    let tag = |text: &str| text.parse::<Digest>().unwrap().fallback_tag().to_string();
    assert_eq!(tag(SHA256), SHA256.replace(':', "-"));
    assert_eq!(tag(SHA512), SHA512.get(..7 + 64).unwrap().replace(':', "-"));
}

#[test]
fn a_hash_goes_on_from_its_saved_state() {
    let content: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        // On and around the borders of blocks.
        for at in [0, 1, 63, 64, 65, 127, 128, 129, 99_999, 100_000] {
            let (before, after) = content.split_at(at);
            let mut hasher = Hasher::new(algorithm);
            hasher.update(before);
            assert_eq!(hasher.finish(), Digest::of(algorithm, before));
            let mut restored = Hasher::restore(algorithm, &hasher.save()).unwrap();
            assert_eq!(restored.algorithm(), algorithm);
            restored.update(after);
            assert_eq!(restored.finish(), Digest::of(algorithm, &content));
            assert_eq!(restored.finish(), Digest::of(algorithm, &content), "finishing does not end it");
        }
    }
}

#[test]
fn foreign_states_are_refused() {
    let state = Hasher::new(Algorithm::Sha256).save();
    assert!(Hasher::restore(Algorithm::Sha512, &state).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, &[]).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, state.get(1..).unwrap()).is_none());
    assert!(Hasher::restore(Algorithm::Sha256, state.get(..state.len() - 1).unwrap()).is_none());
    let mut newer = state;
    newer[0] += 1;
    assert!(Hasher::restore(Algorithm::Sha256, &newer).is_none());
}
