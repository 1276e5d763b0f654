//! Public keys: as JSON Web Keys (RFC 7517) and in certificates, and the names by which tokens call them.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use x509_parser::public_key::PublicKey as X509Key;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::{Algorithm, base64url, from_base64url};

/// A key that cannot be used, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(in crate::auth) struct KeyError(&'static str);

/// What a key is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// A key that verifies signatures.
pub(in crate::auth) struct PublicKey {
    kind: Kind,
    jwk: String,
    thumbprint: String,
    libtrust: String,
    /// Parsed once for each algorithm that it fits.
    parsed: Vec<(Algorithm, ParsedPublicKey)>,
}

/// Without the key itself, though that is no secret.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("kind", &self.kind).field("thumbprint", &self.thumbprint).finish()
    }
}

/// A JSON Web Key, as far as it is read.
#[derive(Deserialize)]
pub(in crate::auth) struct Jwk {
    kty: String,
    pub(in crate::auth) kid: Option<String>,
    pub(in crate::auth) alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    /// Whether it is there to verify signatures (RFC 7517, 4.2 and 4.3).
    fn is_for_signatures(&self) -> bool {
        self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }
}

impl PublicKey {
    /// From a JSON Web Key. One that is shorter than it should be, not for signatures, or of another kind is none.
    pub(in crate::auth) fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if !jwk.is_for_signatures() {
            return Err(KeyError("is not for signatures"));
        }
        let part = |text: &Option<String>| text.as_deref().and_then(from_base64url);
        match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => match (part(&jwk.n), part(&jwk.e)) {
                (Some(n), Some(e)) => Self::rsa(&n, &e),
                _ => Err(KeyError("has no proper `n` and `e`")),
            },
            ("EC", Some(curve)) => {
                let kind = Kind::of_curve(curve).ok_or(KeyError("is of an unknown curve"))?;
                match (part(&jwk.x), part(&jwk.y)) {
                    (Some(x), Some(y)) => Self::ec(kind, &x, &y),
                    _ => Err(KeyError("has no proper `x` and `y`")),
                }
            }
            ("OKP", Some("Ed25519")) => Self::ed25519(&part(&jwk.x).ok_or(KeyError("has no proper `x`"))?),
            _ => Err(KeyError("is of a kind that signs no tokens")),
        }
    }

    /// From a certificate, or wherever else it stands as X.509 has it.
    pub(in crate::auth) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, KeyError> {
        const ED25519: &str = "1.3.101.112";
        match spki.parsed() {
            Ok(X509Key::RSA(rsa)) => Self::rsa(rsa.modulus, rsa.exponent),
            Ok(X509Key::EC(point)) => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                let kind = match curve.map(|oid| oid.to_id_string()).as_deref() {
                    Some("1.2.840.10045.3.1.7") => Kind::P256,
                    Some("1.3.132.0.34") => Kind::P384,
                    Some("1.3.132.0.35") => Kind::P521,
                    _ => return Err(KeyError("is of an unknown curve")),
                };
                let point = point.data();
                let (x, y) = match point.split_first() {
                    Some((4, both)) => both.split_at(both.len() / 2),
                    _ => return Err(KeyError("is not a whole point of its curve")),
                };
                Self::ec(kind, x, y)
            }
            Ok(X509Key::Unknown(bytes)) if spki.algorithm.algorithm.to_id_string() == ED25519 => {
                Self::ed25519(bytes)
            }
            _ => Err(KeyError("is of a kind that signs no tokens")),
        }
    }

    fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let trim = |bytes: &[u8]| {
            bytes.iter().position(|byte| *byte != 0).map(|first| bytes[first..].to_vec()).unwrap_or_default()
        };
        let (n, e) = (trim(n), trim(e));
        // The lengths that the algorithms allow; said here, so that it is said when the key is read.
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if !(2048..=8192).contains(&bits) {
            return Err(KeyError("is an RSA key of less than 2048 or more than 8192 bits"));
        }
        if e.len() > 4 || e.last().is_none_or(|last| last % 2 == 0) || e == [1] {
            return Err(KeyError("has an exponent that is none"));
        }
        let parts = PublicKeyComponents { n: n.as_slice(), e: e.as_slice() };
        let whole = parts
            .to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256)
            .map_err(|_| KeyError("is no RSA key"))?;
        let jwk = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, base64url(&e), base64url(&n));
        Self::new(Kind::Rsa, jwk, whole.as_ref())
    }

    fn ec(kind: Kind, x: &[u8], y: &[u8]) -> Result<Self, KeyError> {
        let (curve, length) = kind.curve().ok_or(KeyError("is of an unknown curve"))?;
        if x.len() != length || y.len() != length {
            return Err(KeyError("has coordinates that are not as long as its curve's"));
        }
        let point = [&[4], x, y].concat();
        let (x, y) = (base64url(x), base64url(y));
        let jwk = format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#);
        Self::new(kind, jwk, &point)
    }

    fn ed25519(x: &[u8]) -> Result<Self, KeyError> {
        if x.len() != 32 {
            return Err(KeyError("is no Ed25519 key"));
        }
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url(x));
        Self::new(Kind::Ed25519, jwk, x)
    }

    /// `jwk` is the key in the one form that its thumbprint is made of (RFC 7638, 3.2).
    fn new(kind: Kind, jwk: String, bytes: &[u8]) -> Result<Self, KeyError> {
        let fitting = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.kind() == kind);
        let parsed = fitting
            .map(|algorithm| Ok((algorithm, ParsedPublicKey::new(algorithm.computed_by(), bytes)?)))
            .collect::<Result<Vec<_>, aws_lc_rs::error::KeyRejected>>()
            .map_err(|_| KeyError("is not a key of its kind"))?;
        let der: Option<PublicKeyX509Der<'_>> = parsed.first().and_then(|(_, key)| key.as_der().ok());
        let libtrust = libtrust_id(der.ok_or(KeyError("is not a key of its kind"))?.as_ref());
        let thumbprint = base64url(&Sha256::digest(jwk.as_bytes()));
        Ok(Self { kind, jwk, thumbprint, libtrust, parsed })
    }

    /// The key's name by RFC 7638.
    pub(in crate::auth) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// Whether it is what a token calls by this name: the thumbprint, or the fingerprint of Docker's libtrust.
    pub(in crate::auth) fn is_called(&self, kid: &str) -> bool {
        kid == self.thumbprint || kid == self.libtrust
    }

    /// The key's name as libtrust has it.
    #[cfg(test)]
    pub(in crate::auth) fn libtrust_id(&self) -> &str {
        &self.libtrust
    }

    /// The key alone as a JSON Web Key, in the form of RFC 7638.
    pub(in crate::auth) fn jwk(&self) -> &str {
        &self.jwk
    }

    /// Whether it can be used with an algorithm.
    pub(in crate::auth) fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.kind() == self.kind
    }

    /// Whether it signed this.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.parsed
            .iter()
            .find(|(fitting, _)| *fitting == algorithm)
            .is_some_and(|(_, key)| key.verify_sig(message, signature).is_ok())
    }
}

impl Kind {
    fn of_curve(name: &str) -> Option<Self> {
        [Kind::P256, Kind::P384, Kind::P521]
            .into_iter()
            .find(|kind| kind.curve().is_some_and(|(curve, _)| curve == name))
    }

    /// The name of the curve and the length of its coordinates in bytes.
    fn curve(self) -> Option<(&'static str, usize)> {
        match self {
            Kind::P256 => Some(("P-256", 32)),
            Kind::P384 => Some(("P-384", 48)),
            Kind::P521 => Some(("P-521", 66)),
            Kind::Rsa | Kind::Ed25519 => None,
        }
    }
}

/// The fingerprint of Docker's libtrust, by which older token servers call their key: the first 240 bits of the SHA-256 of the
/// key as X.509 has it, in base32, twelve groups of four.
fn libtrust_id(spki: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = Sha256::digest(spki);
    let mut id = String::with_capacity(59);
    for five in hash[..30].chunks(5) {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for place in (0..8).rev() {
            if id.len() % 5 == 4 {
                id.push(':');
            }
            id.push(ALPHABET[(bits >> (5 * place)) as usize & 31] as char);
        }
    }
    id
}
