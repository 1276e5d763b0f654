//! JSON Web Tokens and the keys that verify them.

use gantry_server::fuzzing;

/// A token from anywhere, and our own one with a change: from the place that the first two bytes say, as many bytes as the third
/// says give way to the rest.
pub(crate) fn token(bytes: &[u8]) {
    assert!(!fuzzing::token_counts(&String::from_utf8_lossy(bytes)), "nobody but us signs our tokens");

    let [high, low, length, rest @ ..] = bytes else { return };
    let good = fuzzing::good_token().as_bytes();
    let place = (usize::from(*high) << 8 | usize::from(*low)) % (good.len() + 1);
    let end = (place + usize::from(*length)).min(good.len());
    let changed = [&good[..place], rest, &good[end..]].concat();
    let counts = std::str::from_utf8(&changed).is_ok_and(fuzzing::token_counts);
    assert_eq!(counts, changed == good, "a token is one text and no other");
}

pub(crate) fn key_set(bytes: &[u8]) {
    for (thumbprint, jwk) in fuzzing::key_set(bytes) {
        let again = fuzzing::key_set(format!("{{\"keys\":[{jwk}]}}").as_bytes());
        assert_eq!(again, [(thumbprint, jwk)], "a key is the same in its shortest form");
    }
}

/// A bundle, and after a zero byte each a certificate of a chain. One that is not in the bundle needs a signature, which chance
/// does not find.
pub(crate) fn certificates(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0);
    let bundle = parts.next().unwrap_or_default();
    let chain: Vec<&[u8]> = parts.collect();
    fuzzing::chain(bundle, &chain);
    fuzzing::chain(bundle, &[bytes]);
    assert!(!fuzzing::chain(b"", &chain), "nothing is trusted by nobody");
}
