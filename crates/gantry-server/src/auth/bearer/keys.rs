//! The keys that sign our tokens: one that signs, and those before it while a token of theirs may still be about.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use gantry_storage::Timestamp;
use serde_json::{Value, json};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::jwt::{Algorithm, LEEWAY, PublicKey, base64url};
use super::{LIFETIME_MAX, SignError};
use crate::config::V1_LIFETIMES;

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Not a private key of its algorithm in PKCS #8.
    #[error("the signing key {0} is not a private key of its algorithm")]
    Broken(String),
    /// It has the name of another key.
    #[error("the signing key {0} is another key than its name says")]
    Misnamed(String),
    /// An algorithm that signs no tokens.
    #[error("`{0}` is not an algorithm for signing keys: expected `ES256` or `EdDSA`")]
    Algorithm(String),
    /// No randomness, no memory.
    #[error("no key could be made")]
    Failed,
}

/// The algorithm of a signing key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// ECDSA over P-256: what every verifier speaks.
    #[default]
    Es256,
    /// Ed25519.
    EdDsa,
}

impl KeyAlgorithm {
    /// As it stands in headers and rows.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.algorithm().name()
    }

    fn algorithm(self) -> Algorithm {
        match self {
            KeyAlgorithm::Es256 => Algorithm::Es256,
            KeyAlgorithm::EdDsa => Algorithm::EdDsa,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for KeyAlgorithm {
    type Err = KeysError;

    fn from_str(text: &str) -> Result<Self, KeysError> {
        [KeyAlgorithm::Es256, KeyAlgorithm::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == text)
            .ok_or_else(|| KeysError::Algorithm(text.to_owned()))
    }
}

/// A key as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRow {
    /// Its name: the thumbprint by RFC 7638.
    pub kid: String,
    /// What it is for.
    pub algorithm: KeyAlgorithm,
    /// The private key: PKCS #8, DER.
    pub private: Vec<u8>,
    /// Since when it is there.
    pub created: Timestamp,
    /// Since when it signs no more.
    pub retired: Option<Timestamp>,
}

/// Without the private key.
impl fmt::Debug for SigningKeyRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyRow")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .field("created", &self.created)
            .field("retired", &self.retired)
            .finish_non_exhaustive()
    }
}

/// Makes a new key.
///
/// # Errors
/// There is no randomness.
pub fn generate(algorithm: KeyAlgorithm, now: Timestamp) -> Result<SigningKeyRow, KeysError> {
    let private = match algorithm {
        KeyAlgorithm::Es256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
        KeyAlgorithm::EdDsa => Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8v1())
            .map(|document| document.as_ref().to_vec()),
    }
    .map_err(|_| KeysError::Failed)?;
    let public = Pair::read(algorithm, &private).and_then(|pair| pair.public()).ok_or(KeysError::Failed)?;
    let kid = public.thumbprint().to_owned();
    Ok(SigningKeyRow { kid, algorithm, private, created: now, retired: None })
}

enum Pair {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Pair {
    fn read(algorithm: KeyAlgorithm, private: &[u8]) -> Option<Self> {
        match algorithm {
            KeyAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).ok().map(Pair::Es256)
            }
            KeyAlgorithm::EdDsa => Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok().map(Pair::EdDsa),
        }
    }

    fn public(&self) -> Option<PublicKey> {
        let der = match self {
            Pair::Es256(pair) => pair.public_key().as_der(),
            Pair::EdDsa(pair) => pair.public_key().as_der(),
        }
        .ok()?;
        let (_, spki) = SubjectPublicKeyInfo::from_der(der.as_ref()).ok()?;
        PublicKey::from_spki(&spki).ok()
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match self {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), message).ok(),
            Pair::EdDsa(pair) => pair.try_sign(message).ok(),
        }
        .map(|signature| signature.as_ref().to_vec())
    }
}

/// One key, read.
pub(super) struct Key {
    kid: String,
    algorithm: KeyAlgorithm,
    pair: Pair,
    public: PublicKey,
    created: Timestamp,
    retired: Option<Timestamp>,
}

impl Key {
    fn read(row: &SigningKeyRow) -> Result<Self, KeysError> {
        let broken = || KeysError::Broken(row.kid.clone());
        let pair = Pair::read(row.algorithm, &row.private).ok_or_else(broken)?;
        let public = pair.public().ok_or_else(broken)?;
        if public.thumbprint() != row.kid {
            return Err(KeysError::Misnamed(row.kid.clone()));
        }
        let SigningKeyRow { ref kid, algorithm, created, retired, .. } = *row;
        Ok(Self { kid: kid.clone(), algorithm, pair, public, created, retired })
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm.algorithm()
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether a token that it signed can still count: after it was retired, until the last one has ended of those that live for
    /// `lifetime` seconds at most.
    fn counts(&self, lifetime: u64, now: Timestamp) -> bool {
        self.retired.is_none_or(|retired| {
            let ends = retired.as_unix_seconds().saturating_add(lifetime as i64 + LEEWAY);
            now.as_unix_seconds() <= ends
        })
    }
}

/// All keys. Made anew when their rows change.
#[derive(Default)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads the keys of rows, in whatever order they come.
    ///
    /// # Errors
    /// One of them is not what it says.
    pub fn from_rows<'a>(rows: impl IntoIterator<Item = &'a SigningKeyRow>) -> Result<Self, KeysError> {
        let mut keys = rows.into_iter().map(Key::read).collect::<Result<Vec<_>, _>>()?;
        // The newest first; of two of one moment always the same.
        keys.sort_by(|a, b| (b.created, &b.kid).cmp(&(a.created, &a.kid)));
        Ok(Self(keys))
    }

    /// The name of the key that signs: the newest that is not retired. `None`: there is none, and one must be made.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.signing().map(|key| key.kid.as_str())
    }

    fn signing(&self) -> Option<&Key> {
        self.0.iter().find(|key| key.retired.is_none())
    }

    /// The names of those that no token needs any more: their rows may go.
    pub fn ended(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |key| !key.counts(V1_LIFETIMES.end().as_secs(), now))
            .map(|key| key.kid.as_str())
    }

    /// Whether tokens of this key count that live for `lifetime` seconds at most.
    pub(super) fn verifies_with(&self, kid: &str, lifetime: u64, now: Timestamp) -> bool {
        self.find(kid, lifetime, now).is_some()
    }

    pub(super) fn find(&self, kid: &str, lifetime: u64, now: Timestamp) -> Option<&Key> {
        self.0.iter().find(|key| key.kid == kid && key.counts(lifetime, now))
    }

    pub(super) fn sign(&self, payload: &[u8]) -> Result<String, SignError> {
        let key = self.signing().ok_or(SignError::NoKey)?;
        let header = format!(r#"{{"typ":"JWT","alg":"{}","kid":"{}"}}"#, key.algorithm, key.kid);
        let mut token = base64url(header.as_bytes());
        token.push('.');
        token.push_str(&base64url(payload));
        let signature = key.pair.sign(token.as_bytes()).ok_or(SignError::Failed)?;
        token.push('.');
        token.push_str(&base64url(&signature));
        Ok(token)
    }

    /// As a JSON Web Key Set (RFC 7517, 5), the newest first. Nobody else looks at tokens of the v1 API, so it is made for the others.
    pub(super) fn jwks(&self, now: Timestamp) -> Value {
        let published = self.0.iter().filter(|key| key.counts(LIFETIME_MAX, now)).filter_map(|key| {
            let mut jwk: Value = serde_json::from_str(key.public.jwk()).ok()?;
            jwk["kid"] = key.kid.clone().into();
            jwk["alg"] = key.algorithm.as_str().into();
            jwk["use"] = "sig".into();
            Some(jwk)
        });
        json!({ "keys": published.collect::<Vec<_>>() })
    }
}
