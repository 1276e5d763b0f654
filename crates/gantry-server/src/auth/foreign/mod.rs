//! Tokens that others signed: token servers that say what is allowed ([`issuer`]), and OpenID providers that say who somebody is
//! ([`oidc`]).
//!
//! Which of them a token is from is said by its `iss`, which nobody has verified at that point; it is then held against the keys of
//! that one alone. A token of one is therefore never anything to another.

mod bundle;
mod issuer;
mod oidc;
mod rules;
mod source;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use gantry_oci::access::Access;
use gantry_storage::Timestamp;

use super::fetch::{Fetcher, FetcherError};
pub use super::jwt::TokenError;
use super::jwt::{Claims, Token};
use crate::config::{IssuerSettings, OidcSettings, is_url};
use issuer::Issuer;
use oidc::Oidc;
use source::{Key, Origin, Source, Unknowable};

/// Whom a foreign token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignIdentity {
    /// `oidc:ISSUER:SUB`, or `issuer:ISSUER:SUB` (where SUB may be empty: nobody in particular, as that server sees it).
    pub subject: String,
    /// What the caller belongs to, by claims and rules.
    pub groups: Vec<String>,
    /// What is allowed, and nothing else is, when the issuer is one that says so. `None`: rights come by grants.
    pub access: Option<Vec<Access>>,
    /// When the token ends, in seconds since 1970; give it a minute more.
    pub expires: i64,
}

/// Why a foreign token is nobody's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForeignError {
    /// It does not count.
    #[error(transparent)]
    BadToken(#[from] TokenError),
    /// Nobody can say: the issuer does not answer.
    #[error("the keys of {issuer} cannot be read at the moment")]
    Unavailable {
        /// Whose keys.
        issuer: Arc<str>,
    },
}

/// Why foreign tokens cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{key} of {issuer}: {what}")]
pub struct ForeignOpenError {
    key: &'static str,
    issuer: String,
    what: String,
}

/// All issuers.
pub struct Foreign {
    issuers: Vec<Issuer>,
    oidc: Vec<Oidc>,
}

impl Foreign {
    /// Reads the files that are named. What is on the web is read when the first token asks for it: an issuer that is down keeps
    /// no server from starting.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn open(issuers: &[IssuerSettings], oidc: &[OidcSettings]) -> Result<Self, ForeignOpenError> {
        Ok(Self {
            issuers: issuers.iter().map(Issuer::open).collect::<Result<_, _>>()?,
            oidc: oidc.iter().map(Oidc::open).collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.issuers.is_empty() && self.oidc.is_empty()
    }

    /// Whether a token says, truly or not, that it comes from one of these. For choosing who is asked; `false` also when it is no
    /// token at all.
    #[must_use]
    pub fn concerns(&self, token: &str) -> bool {
        if self.is_empty() {
            return false;
        }
        let parsed = Token::parse(token);
        let named = parsed.as_ref().ok().and_then(Token::unverified_issuer);
        named.is_some_and(|named| {
            self.issuers.iter().any(|issuer| &*issuer.name == named)
                || self.oidc.iter().any(|oidc| &*oidc.name == named)
        })
    }

    /// Says whom a token names.
    ///
    /// # Errors
    /// It does not count, or nobody can say at the moment.
    pub async fn identify(&self, token: &str, now: Timestamp) -> Result<ForeignIdentity, ForeignError> {
        let token = Token::parse(token)?;
        if !matches!(token.header().typ.as_deref(), None | Some("jwt" | "at+jwt" | "application/jwt")) {
            return Err(TokenError::Header.into());
        }
        let named = token.unverified_issuer().ok_or(TokenError::Issuer)?;
        if let Some(issuer) = self.issuers.iter().find(|issuer| &*issuer.name == named) {
            return issuer.identify(token, now).await;
        }
        if let Some(oidc) = self.oidc.iter().find(|oidc| &*oidc.name == named) {
            return oidc.identify(token, now).await;
        }
        Err(TokenError::Issuer.into())
    }
}

/// What is wrong with an issuer's settings.
fn wrong(key: &'static str, issuer: &str, what: impl std::fmt::Display) -> ForeignOpenError {
    ForeignOpenError { key, issuer: issuer.to_owned(), what: what.to_string() }
}

/// Where keys are by a setting `jwks`: an URL or a file, which is read at once.
fn key_source(
    key: &'static str,
    issuer: &str,
    place: &str,
    ca: Option<&Path>,
) -> Result<Arc<Source>, ForeignOpenError> {
    let origin = if is_url(place) {
        Origin::Url(fetcher(place, ca).map_err(|what| wrong(key, issuer, what))?, place.to_owned())
    } else {
        Origin::File(place.into())
    };
    let source = Source::new(issuer, origin);
    source.read_file_now().map_err(|what| wrong(key, issuer, what))?;
    Ok(source)
}

fn fetcher(address: &str, ca: Option<&Path>) -> Result<Fetcher, FetcherError> {
    match Fetcher::new(ca) {
        // Without certificates on the system there is still this machine.
        Err(FetcherError::Client(_)) if address.starts_with("http://") => Fetcher::plain(),
        made => made,
    }
}

/// Takes a token's claims if one of these keys signed it.
fn verify(token: Token<'_>, keys: &[Arc<Key>], now: Timestamp) -> Result<Claims, TokenError> {
    if keys.is_empty() {
        return Err(TokenError::Key);
    }
    let key = keys.iter().find(|key| token.is_signed_by(&key.public)).ok_or(TokenError::Signature)?;
    if !key.counts(now) {
        return Err(TokenError::Certificate);
    }
    token.verify(&key.public)
}

fn unavailable(issuer: &Arc<str>) -> impl FnOnce(Unknowable) -> ForeignError {
    let issuer = Arc::clone(issuer);
    |Unknowable| ForeignError::Unavailable { issuer }
}

#[cfg(feature = "fuzzing")]
pub(super) use fuzzing::{chain, key_set, look_at};

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
mod fuzzing {
    use super::bundle::Bundle;
    use super::source::Trusted;
    use super::*;
    use crate::config::{OidcRule, Texts};

    /// Everything that is read of a token before and after its signature, whatever that is.
    pub(in crate::auth) fn look_at(token: Token<'_>) {
        let settings = OidcSettings {
            groups_claim: Some("/a/groups".to_owned()),
            rules: vec![OidcRule {
                claims: [("sub".to_owned(), Texts(vec!["a*/**b".to_owned()]))].into(),
                groups: vec!["g".to_owned()],
            }],
            ..OidcSettings::default()
        };
        let oidc = Oidc::with_source(&settings, Source::new("", Origin::File("/nonexistent".into())));
        let claims = token.unverified_claims();
        let _ = claims.check_times(1_800_000_000);
        let _ = claims.check_audience(["registry.example.com"]);
        let _ = oidc.read(&claims);
    }

    pub(in crate::auth) fn key_set(document: &[u8]) -> Vec<(String, String)> {
        let keys = Trusted::of_key_set(document).map(|trusted| trusted.keys).unwrap_or_default();
        keys.iter().map(|key| (key.public.thumbprint().to_owned(), key.public.jwk().to_owned())).collect()
    }

    pub(in crate::auth) fn chain(bundle: &[u8], x5c: &[String], now: Timestamp) -> bool {
        Bundle::read(bundle).is_ok_and(|bundle| bundle.key_of_chain(x5c, now).is_ok())
    }
}
