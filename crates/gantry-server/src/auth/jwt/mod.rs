//! JSON Web Tokens (RFC 7519) as they come from outside: taken apart, their claims compared, their signature verified.
//!
//! What is here is common to our own tokens ([`super::bearer`]) and foreign ones ([`super::foreign`]). It decides on no key: who
//! reads a token says which keys count, and nothing in a token can add one. It reads no clock either: the time comes in.
//!
//! Strict on purpose. Only compact, signed tokens with one of ten asymmetric algorithms exist here; a header that asks for anything
//! that we would have to understand (`crit`, `b64`, `zip`, encryption) or that brings its own key (`jwk`) is refused, and so is a JSON
//! object that says something twice. There is no path on which a token counts whose signature was not verified: [`Token::verify`]
//! alone gives its [`Claims`] away.

mod algorithm;
mod claims;
mod key;
#[cfg(test)]
pub(in crate::auth) mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;

pub(in crate::auth) use algorithm::Algorithm;
pub(in crate::auth) use claims::{Claims, in_time};
pub(in crate::auth) use key::{Jwk, PublicKey};

/// The longest token that is looked at, in bytes. Those of the large identity providers have 1 to 4 KiB.
pub const TOKEN_MAX: usize = 16 << 10;

/// How far the clocks of the issuer and ours may be apart, in seconds, either way.
pub const LEEWAY: i64 = 60;

/// Why a token is not taken. Each has a short word for counters and logs; none says anything of the token's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// Not a JSON Web Token in compact form, or longer than any should be.
    #[error("the token is malformed")]
    Malformed,
    /// The header asks for what is not done here, or brings a key of its own.
    #[error("the token's header is not acceptable")]
    Header,
    /// `none`, a shared secret, or something unknown.
    #[error("the token's algorithm is not acceptable")]
    Algorithm,
    /// Signed with a key that is not one of the issuer's.
    #[error("the token's key is not known")]
    Key,
    /// The certificates in the header do not lead to one that is trusted.
    #[error("the token's certificate is not trusted")]
    Certificate,
    /// Not what the issuer signed.
    #[error("the token's signature is wrong")]
    Signature,
    /// From somebody whose tokens are not taken.
    #[error("the token's issuer is not known")]
    Issuer,
    /// For somebody else.
    #[error("the token is not for this registry")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    Early,
    /// A claim is missing or not of its type.
    #[error("a claim of the token is missing or malformed")]
    Claims,
}

impl TokenError {
    /// One word, as a label of a counter.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            TokenError::Malformed => "malformed",
            TokenError::Header => "header",
            TokenError::Algorithm => "algorithm",
            TokenError::Key => "key",
            TokenError::Certificate => "certificate",
            TokenError::Signature => "signature",
            TokenError::Issuer => "issuer",
            TokenError::Audience => "audience",
            TokenError::Expired => "expired",
            TokenError::Early => "early",
            TokenError::Claims => "claims",
        }
    }
}

/// The header, as far as it is read. What it says about where keys are (`jku`, `x5u`) is never followed.
#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
    x5c: Option<Vec<String>>,
    jwk: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    enc: Option<IgnoredAny>,
    zip: Option<IgnoredAny>,
}

/// A header that may be looked at: an algorithm that we do, and nothing that we would have to do beside.
#[derive(Debug)]
pub(in crate::auth) struct Header {
    /// How it is signed.
    pub(in crate::auth) algorithm: Algorithm,
    /// What it is, in lower case.
    pub(in crate::auth) typ: Option<String>,
    /// The name of the key.
    pub(in crate::auth) kid: Option<String>,
    /// The key's certificate and those that lead to a trusted one, base64 of DER.
    pub(in crate::auth) x5c: Option<Vec<String>>,
}

/// A token that was taken apart and not verified.
pub(in crate::auth) struct Token<'a> {
    header: Header,
    claims: Claims,
    signed: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// Takes a token apart.
    pub(in crate::auth) fn parse(text: &'a str) -> Result<Self, TokenError> {
        if text.len() > TOKEN_MAX {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        // A further `.` is in no alphabet of base64, so three parts it is. Padding and stray bits at the end are errors.
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed);
        let header = part(header)?;
        // A list would do for serde, in place of an object.
        if header.first() != Some(&b'{') {
            return Err(TokenError::Malformed);
        }
        let raw: RawHeader = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        let claims = Claims::parse(&part(claims)?)?;
        let signature = part(signature)?;
        Ok(Self { header: Header::check(raw)?, claims, signed: signed.as_bytes(), signature })
    }

    /// What the header says.
    pub(in crate::auth) fn header(&self) -> &Header {
        &self.header
    }

    /// Who says to have signed it: for choosing the keys by which to find out.
    pub(in crate::auth) fn unverified_issuer(&self) -> Option<&str> {
        self.claims.text("iss")
    }

    /// What it claims, whoever signed it.
    #[cfg(feature = "fuzzing")]
    pub(in crate::auth) fn unverified_claims(self) -> Claims {
        self.claims
    }

    /// What it claims, if this key signed it.
    pub(in crate::auth) fn verify(self, key: &PublicKey) -> Result<Claims, TokenError> {
        if self.is_signed_by(key) { Ok(self.claims) } else { Err(TokenError::Signature) }
    }

    /// Whether this key signed it.
    pub(in crate::auth) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.header.algorithm, self.signed, &self.signature)
    }
}

impl Header {
    fn check(raw: RawHeader) -> Result<Self, TokenError> {
        let foreign_key = raw.jwk.is_some();
        let extensions = [raw.crit, raw.b64, raw.enc, raw.zip].iter().any(Option::is_some);
        let algorithm = Algorithm::named(&raw.alg).ok_or(TokenError::Algorithm)?;
        if foreign_key || extensions {
            return Err(TokenError::Header);
        }
        let typ = raw.typ.map(|typ| typ.to_ascii_lowercase());
        Ok(Self { algorithm, typ, kid: raw.kid, x5c: raw.x5c })
    }
}

/// Base64 as all of this is written: of URLs, without padding.
pub(in crate::auth) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads what [`base64url`] writes.
pub(in crate::auth) fn from_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
