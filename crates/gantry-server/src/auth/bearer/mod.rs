//! The tokens that this server issues: made at the token endpoint, shown on every request, good for minutes.
//!
//! A token says whose it is, what for (`access`, as in the tokens of every registry), and under a claim of our own what the next
//! request must know of the login: the subject's groups, the method, and the token that it came from. It gives no right by itself:
//! policy intersects it with what the subject may at that moment.
//!
//! The tokens of the v1 API are the same in other clothes: [`Bearer::sign_v1`]. They live longer, and neither API takes the other's.
//!
//! Not here: refresh tokens, which are rows and never JSON Web Tokens, and where keys are kept ([`Keys`] are given from outside).

mod keys;
mod seen;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_oci::access::{Access, TokenScope};
use gantry_storage::Timestamp;
use serde::{Deserialize, Serialize};

use super::Identity;
use super::jwt::{Claims as Raw, Token, in_time};
pub use super::jwt::{LEEWAY, TOKEN_MAX, TokenError};
use crate::config::V1_LIFETIMES;
pub use keys::{KeyAlgorithm, Keys, KeysError, SigningKeyRow, generate};
use seen::Seen;

/// The longest life of a token, in seconds (N-11). A key that signs no more is kept for as long, whatever is configured today.
pub const LIFETIME_MAX: u64 = 300;

/// What a token is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is; empty for nobody in particular.
    pub subject: String,
    /// The service that it is for: the host by which clients know the registry.
    pub audience: String,
    /// What it is for.
    pub access: Vec<Access>,
    /// What the login says beyond that.
    pub login: Login,
}

/// What later requests must know of the login that a token came from. Short names: it travels with every request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Groups of the subject, as the source of identity gave them.
    #[serde(rename = "g", default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Whether the subject was a server admin.
    #[serde(rename = "a", default, skip_serializing_if = "std::ops::Not::not")]
    pub admin: bool,
    /// How the caller showed who he is: `password`, `token`, `ldap`, ...
    #[serde(rename = "m", default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The id of the personal, robot or refresh token that was shown: when it is revoked, so is this one.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the owner of a personal token narrowed it to; what a robot's token was made for.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<TokenScope>>,
    /// It was asked for by the name of another service: nothing here, whatever name this server is called by later.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
    /// When the account was made, in microseconds since 1970.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub made: Option<i64>,
    /// It is for the v1 API, and for nothing else.
    #[serde(rename = "v1", default, skip_serializing_if = "std::ops::Not::not")]
    pub v1: bool,
}

impl Login {
    /// The longest life of a token that says this, in seconds.
    fn lifetime_max(&self) -> u64 {
        if self.v1 { V1_LIFETIMES.end().as_secs() } else { LIFETIME_MAX }
    }
}

/// The name of the claim with the [`Login`].
const LOGIN: &str = "gantry";

/// A token just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Its `jti`.
    pub id: String,
    /// When, in seconds since 1970.
    pub issued: i64,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
}

/// A token of ours that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What it says.
    pub claims: Claims,
    /// Its `jti`.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub issued: i64,
    /// When it ends, in seconds since 1970.
    pub expires: i64,
    kid: String,
    /// What the chain made of it: the same for every request that shows it.
    pub(super) identity: OnceLock<Option<Identity>>,
}

/// Why no token could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// There is no key in use.
    #[error("there is no signing key")]
    NoKey,
    /// It says more than fits: too many scopes, or too many groups.
    #[error("the token would be longer than {TOKEN_MAX} bytes")]
    TooLong,
    /// The signature could not be computed.
    #[error("the signature could not be computed")]
    Failed,
}

/// Makes and verifies tokens.
pub struct Bearer {
    issuer: String,
    lifetime: Duration,
    keys: ArcSwap<Keys>,
    seen: Seen,
}

impl Bearer {
    /// `issuer` becomes `iss`; tokens live for `lifetime`, which is brought between 60 seconds and [`LIFETIME_MAX`].
    #[must_use]
    pub fn new(issuer: impl Into<String>, lifetime: Duration, keys: Keys) -> Self {
        let lifetime = lifetime.clamp(Duration::from_secs(60), Duration::from_secs(LIFETIME_MAX));
        Self { issuer: issuer.into(), lifetime, keys: ArcSwap::from_pointee(keys), seen: Seen::new() }
    }

    /// Puts other keys in force: after a rotation, those of all rows.
    pub fn replace(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// How long tokens live.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// What stands in `iss`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Makes a token.
    ///
    /// # Errors
    /// There is no key, or too much to say.
    pub fn sign(&self, claims: &Claims, now: Timestamp) -> Result<Issued, SignError> {
        self.write(claims, self.lifetime, now)
    }

    /// Makes a token for the v1 API of a service, which lives for `lifetime`, brought into [`V1_LIFETIMES`].
    ///
    /// # Errors
    /// There is no key, or too much to say.
    pub fn sign_v1(&self, claims: Claims, lifetime: Duration, now: Timestamp) -> Result<Issued, SignError> {
        let lifetime = lifetime.clamp(*V1_LIFETIMES.start(), *V1_LIFETIMES.end());
        let claims = Claims {
            audience: v1_audience(&claims.audience),
            login: Login { v1: true, ..claims.login },
            ..claims
        };
        self.write(&claims, lifetime, now)
    }

    fn write(&self, claims: &Claims, lifetime: Duration, now: Timestamp) -> Result<Issued, SignError> {
        #[derive(Serialize)]
        struct Written<'a> {
            iss: &'a str,
            sub: &'a str,
            aud: &'a str,
            exp: i64,
            nbf: i64,
            iat: i64,
            jti: &'a str,
            access: &'a [Access],
            gantry: &'a Login,
        }
        let issued = now.as_unix_seconds();
        let expires = issued.saturating_add_unsigned(lifetime.as_secs());
        let id = uuid::Uuid::new_v4().to_string();
        let written = Written {
            iss: &self.issuer,
            sub: &claims.subject,
            aud: &claims.audience,
            exp: expires,
            nbf: issued,
            iat: issued,
            jti: &id,
            access: &claims.access,
            gantry: &claims.login,
        };
        let payload = serde_json::to_vec(&written).map_err(|_| SignError::Failed)?;
        let token = self.keys.load().sign(&payload)?;
        if token.len() > TOKEN_MAX {
            return Err(SignError::TooLong);
        }
        Ok(Issued { token, id, issued, expires })
    }

    /// What a token says, if it is one of ours, for `audience`, and its time is now.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn verify(&self, token: &str, audience: &str, now: Timestamp) -> Result<Arc<Verified>, TokenError> {
        self.check(token, audience, now).and_then(|found| match found.claims.login.v1 {
            false => Ok(found),
            true => Err(TokenError::Audience),
        })
    }

    /// The same for a token of the v1 API of a service.
    ///
    /// # Errors
    /// It is not, and why.
    pub fn verify_v1(&self, token: &str, service: &str, now: Timestamp) -> Result<Arc<Verified>, TokenError> {
        let found = self.check(token, &v1_audience(service), now)?;
        match found.claims.login.v1 {
            // They live for long, and clocks of replicas that differ by less than that make none too old at once.
            true if now.as_unix_seconds() > found.expires => Err(TokenError::Expired),
            true => Ok(found),
            false => Err(TokenError::Audience),
        }
    }

    fn check(&self, token: &str, audience: &str, now: Timestamp) -> Result<Arc<Verified>, TokenError> {
        if token.len() > TOKEN_MAX {
            return Err(TokenError::Malformed);
        }
        let keys = self.keys.load();
        let counts =
            |known: &Arc<Verified>| keys.verifies_with(&known.kid, known.claims.login.lifetime_max(), now);
        let verified = match self.seen.get(token).filter(counts) {
            Some(known) => known,
            None => {
                let fresh = Arc::new(read(token, &keys, &self.issuer, now)?);
                self.seen.insert(token, &fresh);
                fresh
            }
        };
        // What depends on the request is compared every time.
        in_time(Some(verified.issued), verified.expires, now.as_unix_seconds())?;
        if verified.claims.audience != audience {
            return Err(TokenError::Audience);
        }
        Ok(verified)
    }

    /// Whether a token says, truly or not, that it is one of ours.
    #[must_use]
    pub fn concerns(&self, token: &str) -> bool {
        let named = |token: Token<'_>| token.unverified_issuer() == Some(self.issuer.as_str());
        self.seen.get(token).is_some() || Token::parse(token).is_ok_and(named)
    }

    /// The public keys, for `/.well-known/jwks.json`: those by which a token may be signed that still counts.
    #[must_use]
    pub fn jwks(&self, now: Timestamp) -> serde_json::Value {
        self.keys.load().jwks(now)
    }
}

fn v1_audience(service: &str) -> String {
    format!("v1:{service}")
}

/// Takes apart what only we can have signed: so everything must be there as [`Bearer::sign`] writes it.
fn read(text: &str, keys: &Keys, issuer: &str, now: Timestamp) -> Result<Verified, TokenError> {
    let token = Token::parse(text)?;
    let header = token.header();
    if header.typ.as_deref() != Some("jwt") || header.x5c.is_some() {
        return Err(TokenError::Header);
    }
    let kid = header.kid.clone().ok_or(TokenError::Key)?;
    // Which kind of token it is stands in what is not verified yet.
    let key = keys.find(&kid, V1_LIFETIMES.end().as_secs(), now).ok_or(TokenError::Key)?;
    if key.algorithm() != header.algorithm {
        return Err(TokenError::Algorithm);
    }
    let mut raw: Raw = token.verify(key.public())?;
    if raw.text("iss") != Some(issuer) {
        return Err(TokenError::Issuer);
    }
    raw.check_times(now.as_unix_seconds())?;
    let time = |name: &str| raw.time(name)?.ok_or(TokenError::Claims);
    let (issued, begins, expires) = (time("iat")?, time("nbf")?, time("exp")?);
    let claims = Claims {
        subject: raw.take::<Option<_>>("sub")?.ok_or(TokenError::Claims)?,
        audience: raw.take::<Option<_>>("aud")?.ok_or(TokenError::Claims)?,
        access: raw.take::<Option<_>>("access")?.ok_or(TokenError::Claims)?,
        login: raw.take::<Option<_>>(LOGIN)?.ok_or(TokenError::Claims)?,
    };
    let id = raw.take::<Option<_>>("jti")?.ok_or(TokenError::Claims)?;
    let longest = claims.login.lifetime_max();
    if issued != begins || expires.saturating_sub(issued) > longest as i64 {
        return Err(TokenError::Claims);
    }
    if !keys.verifies_with(&kid, longest, now) {
        return Err(TokenError::Key);
    }
    Ok(Verified { claims, id, issued, expires, kid, identity: OnceLock::new() })
}
