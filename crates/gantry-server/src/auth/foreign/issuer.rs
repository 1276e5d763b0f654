//! `[[auth.issuer]]`: a token server in the manner of the Distribution registry's `auth.token`. Its tokens say what they allow, and
//! that alone counts (N-8).

use std::sync::Arc;

use gantry_oci::access::{Access, Subject};
use gantry_storage::Timestamp;

use super::source::{Origin, Source};
use super::{ForeignError, ForeignIdentity, ForeignOpenError, key_source, unavailable, verify, wrong};
use crate::auth::jwt::{Claims, Token, TokenError};
use crate::config::IssuerSettings;

/// One token server.
pub(super) struct Issuer {
    pub(super) name: Arc<str>,
    audience: Vec<String>,
    jwks: Option<Arc<Source>>,
    certificates: Option<Arc<Source>>,
}

impl Issuer {
    pub(super) fn open(settings: &IssuerSettings) -> Result<Self, ForeignOpenError> {
        let name = settings.issuer.as_str();
        let jwks = settings.jwks.as_deref();
        let jwks = jwks
            .map(|place| key_source("auth.issuer.jwks", name, place, settings.ca.as_deref()))
            .transpose()?;
        let certificates = settings.certificates.as_ref().map(|path| {
            let source = Source::new(name, Origin::Certificates(path.clone()));
            source.read_file_now().map_err(|what| wrong("auth.issuer.certificates", name, what))?;
            Ok(source)
        });
        let audience = settings.audience.0.clone();
        Ok(Self { name: name.into(), audience, jwks, certificates: certificates.transpose()? })
    }

    pub(super) async fn identify(
        &self,
        token: Token<'_>,
        now: Timestamp,
    ) -> Result<ForeignIdentity, ForeignError> {
        let mut claims = self.verify(token, now).await?;
        claims.check_times(now.as_unix_seconds())?;
        claims.check_audience(self.audience.iter().map(String::as_str))?;
        let expires = claims.time("exp")?.ok_or(TokenError::Claims)?;
        let sub: String = claims.take("sub")?;
        if sub.contains(char::is_control) || sub.len() > super::oidc::SUB_MAX {
            return Err(TokenError::Claims.into());
        }
        let access: Vec<Access> = claims.take("access")?;
        let subject = Subject::issuer(&self.name, &sub).as_str().to_owned();
        Ok(ForeignIdentity { subject, groups: Vec::new(), access: Some(access), expires })
    }

    async fn verify(&self, token: Token<'_>, now: Timestamp) -> Result<Claims, ForeignError> {
        let header = token.header();
        if let Some(x5c) = &header.x5c {
            // Certificates in a token say nothing where none are trusted.
            let source = self.certificates.as_ref().ok_or(TokenError::Certificate)?;
            let bundle = source.bundle().await.map_err(unavailable(&self.name))?;
            let key = bundle.key_of_chain(x5c, now)?;
            return Ok(token.verify(&key)?);
        }
        let (kid, algorithm) = (header.kid.as_deref(), header.algorithm);
        // The file first: what is there needs nobody to answer.
        let mut keys = Vec::new();
        for source in [&self.certificates, &self.jwks].into_iter().flatten() {
            keys = source.keys(kid, algorithm).await.map_err(unavailable(&self.name))?;
            if !keys.is_empty() {
                break;
            }
        }
        Ok(verify(token, &keys, now)?)
    }
}
