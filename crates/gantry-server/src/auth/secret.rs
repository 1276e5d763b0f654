//! Secrets that the server makes up: of personal and robot tokens, refresh tokens and sessions.
//!
//! They are random, so a plain hash is enough to keep them, and to find them by. Their form lets scanners of source code and logs
//! recognise them, and lets us tell a mistyped one without a look into the database.

use std::borrow::Cow;

use gantry_storage::meta::access::SecretHash;
use sha2::{Digest as _, Sha256};

/// What personal and robot tokens begin with (N-4).
pub const TOKEN_PREFIX: &str = "gty_";
/// What refresh tokens begin with.
pub const REFRESH_PREFIX: &str = "gtr_";
/// What the cookies of web sessions begin with.
pub const SESSION_PREFIX: &str = "gts_";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Letters that are drawn: 40 of 62 are 238 bits.
const DRAWN: usize = 40;
/// Letters that the drawn ones decide.
const CHECK: usize = 4;

/// A new secret, shown once, and what is kept of it.
///
/// # Errors
/// The system has no random numbers.
pub fn new_secret(prefix: &str) -> Result<(String, SecretHash), getrandom::Error> {
    let mut secret = prefix.to_owned();
    while secret.len() < prefix.len() + DRAWN {
        let mut bytes = [0_u8; 64];
        getrandom::fill(&mut bytes)?;
        // Bytes beyond the last multiple of 62 would make some letters more likely.
        let letters = bytes.iter().filter(|byte| **byte < 248).filter_map(|byte| letter(u32::from(*byte)));
        secret.extend(letters.take(prefix.len() + DRAWN - secret.len()));
    }
    let check = check(&secret);
    secret.push_str(&check);
    let hash = hash(&secret);
    Ok((secret, hash))
}

/// What is kept of a secret, when it has the form of one with this prefix.
pub fn hash_of(prefix: &str, secret: &[u8]) -> Option<SecretHash> {
    let text = std::str::from_utf8(secret).ok()?;
    let random = text.strip_prefix(prefix)?;
    let formed = random.len() == DRAWN + CHECK && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (drawn, written) = text.split_at_checked(prefix.len() + DRAWN)?;
    (formed && check(drawn) == written).then(|| hash(text))
}

/// Text of a client's for a log or an answer: secrets of ours, and signed tokens of anybody's, that were written where something else
/// belongs do not appear in it.
pub fn redacted(text: &str) -> Cow<'_, str> {
    let Some(mut found) = secret_in(text) else { return Cow::Borrowed(text) };
    let (mut shown, mut rest) = (String::new(), text);
    loop {
        let (before, secret) = rest.split_at(found.start);
        shown.push_str(before);
        shown.push_str(secret.get(..PREFIX).unwrap_or_default());
        if found.len() > PREFIX {
            shown.push_str("...");
        }
        rest = rest.get(found.end..).unwrap_or_default();
        match secret_in(rest) {
            Some(next) => found = next,
            None => break,
        }
    }
    shown.push_str(rest);
    Cow::Owned(shown)
}

/// How long each of our prefixes is.
const PREFIX: usize = TOKEN_PREFIX.len();
/// What the header of a signed token (a JSON object) begins with in base64.
const SIGNED: &str = "eyJ";
/// Shorter than the header of any token that could be one.
const SIGNED_MIN: usize = 20;

/// Where the first secret is.
fn secret_in(text: &str) -> Option<std::ops::Range<usize>> {
    let run = |from: usize, fits: fn(&u8) -> bool| {
        from + text.as_bytes().get(from..).unwrap_or_default().iter().take_while(|byte| fits(byte)).count()
    };
    let ours =
        [TOKEN_PREFIX, REFRESH_PREFIX, SESSION_PREFIX].iter().filter_map(|prefix| text.find(prefix)).min();
    let ours = ours.map(|at| at..run(at + PREFIX, u8::is_ascii_alphanumeric));
    let signed = text
        .match_indices(SIGNED)
        .map(|(at, _)| at..run(at, |byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte)))
        .find(|range| range.len() >= SIGNED_MIN);
    [ours, signed].into_iter().flatten().min_by_key(|range| range.start)
}

fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

/// Not against forgery, which finding the hash is, but against typing errors.
fn check(drawn: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(drawn.as_bytes()).into();
    digest.iter().take(CHECK).filter_map(|byte| letter(u32::from(*byte))).collect()
}

fn letter(number: u32) -> Option<char> {
    ALPHABET.get(number as usize % ALPHABET.len()).map(|letter| char::from(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_the_wrong_place_are_not_repeated() {
        let (secret, _) = new_secret(TOKEN_PREFIX).unwrap();
        assert_eq!(
            redacted(&format!("/v2/a/manifests/{secret}?x={secret}")),
            "/v2/a/manifests/gty_...?x=gty_..."
        );
        assert_eq!(redacted("gty_ plain gts_"), "gty_ plain gts_");
        assert_eq!(redacted("nothing"), "nothing");
        let signed = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA-_AAAA";
        assert_eq!(
            redacted(&format!("/v2/{signed}/tags/list gty_x, {signed}")),
            "/v2/eyJh.../tags/list gty_..., eyJh..."
        );
        assert_eq!(redacted("eyJ heyJude"), "eyJ heyJude");
    }

    #[test]
    fn secrets_are_recognised_and_differ() {
        let (one, kept) = new_secret(TOKEN_PREFIX).unwrap();
        let (two, _) = new_secret(TOKEN_PREFIX).unwrap();
        assert!(one != two && one.starts_with("gty_") && one.len() == 4 + DRAWN + CHECK);
        assert_eq!(hash_of(TOKEN_PREFIX, one.as_bytes()), Some(kept));
        let mistyped = one.replace(one.chars().nth(10).unwrap(), "-");
        for wrong in
            [&mistyped, &one[..one.len() - 1], "", "gty_", &one.replace("gty_", "gtr_"), &format!("{one}x")]
        {
            assert_eq!(hash_of(TOKEN_PREFIX, wrong.as_bytes()), None, "{wrong}");
        }
    }
}
