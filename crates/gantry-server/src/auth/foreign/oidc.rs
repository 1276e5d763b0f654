//! `[[auth.oidc]]`: an OpenID provider. Its identity tokens say who somebody is, and what that one may do is said here, by grants to
//! the subject or to groups (N-7).

use std::sync::Arc;

use gantry_oci::access::Subject;
use gantry_storage::Timestamp;
use serde_json::Value;

use super::rules::Rule;
use super::source::{Origin, Source};
use super::{
    ForeignError, ForeignIdentity, ForeignOpenError, fetcher, key_source, unavailable, verify, wrong,
};
use crate::auth::jwt::{Claims, Token, TokenError};
use crate::config::OidcSettings;

/// The longest name of a subject, in bytes. Those of GitHub hold the names of a repository, a branch and an environment.
pub(super) const SUB_MAX: usize = 768;
/// Groups of one token that count; a token of 16 KiB may name thousands.
const GROUPS_MAX: usize = 500;
/// The longest name of a group, in bytes.
const GROUP_MAX: usize = 255;

/// One OpenID provider.
pub(super) struct Oidc {
    pub(super) name: Arc<str>,
    audience: Vec<String>,
    subject_claim: String,
    groups_claim: Option<String>,
    rules: Vec<Rule>,
    source: Arc<Source>,
}

impl Oidc {
    pub(super) fn open(settings: &OidcSettings) -> Result<Self, ForeignOpenError> {
        let name = settings.issuer.as_str();
        let ca = settings.ca.as_deref();
        let source = match &settings.jwks {
            Some(place) => key_source("auth.oidc.jwks", name, place, ca)?,
            None => {
                let fetcher = fetcher(name, ca).map_err(|what| wrong("auth.oidc.ca", name, what))?;
                Source::new(name, Origin::Discovery(fetcher, name.to_owned()))
            }
        };
        Ok(Self::with_source(settings, source))
    }

    pub(super) fn with_source(settings: &OidcSettings, source: Arc<Source>) -> Self {
        Self {
            name: settings.issuer.as_str().into(),
            audience: settings.audience.0.clone(),
            subject_claim: settings.subject_claim.clone(),
            groups_claim: settings.groups_claim.clone(),
            rules: settings.rules.iter().map(Rule::new).collect(),
            source,
        }
    }

    pub(super) async fn identify(
        &self,
        token: Token<'_>,
        now: Timestamp,
    ) -> Result<ForeignIdentity, ForeignError> {
        let header = token.header();
        // Nothing is configured to which certificates in a token could lead.
        if header.x5c.is_some() {
            return Err(TokenError::Certificate.into());
        }
        let keys = self.source.keys(header.kid.as_deref(), header.algorithm).await;
        let claims = verify(token, &keys.map_err(unavailable(&self.name))?, now)?;
        claims.check_times(now.as_unix_seconds())?;
        claims.check_audience(self.audience.iter().map(String::as_str))?;
        let expires = claims.time("exp")?.ok_or(TokenError::Claims)?;
        let (subject, groups) = self.read(&claims)?;
        Ok(ForeignIdentity { subject, groups, access: None, expires })
    }

    /// The subject and its groups.
    pub(super) fn read(&self, claims: &Claims) -> Result<(String, Vec<String>), TokenError> {
        let subject = Subject::oidc(&self.name, &self.sub(claims)?).as_str().to_owned();
        Ok((subject, self.groups(claims)?))
    }

    fn sub(&self, claims: &Claims) -> Result<String, TokenError> {
        let sub = match claims.at(&self.subject_claim) {
            Some(Value::String(sub)) => sub.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(TokenError::Claims),
        };
        let good = !sub.is_empty() && sub.len() <= SUB_MAX && !sub.contains(char::is_control);
        if good { Ok(sub) } else { Err(TokenError::Claims) }
    }

    fn groups(&self, claims: &Claims) -> Result<Vec<String>, TokenError> {
        let mut groups = Vec::new();
        match self.groups_claim.as_ref().and_then(|claim| claims.at(claim)) {
            None => {}
            Some(Value::String(group)) => groups.push(group.clone()),
            Some(Value::Array(list)) => {
                groups.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            Some(_) => return Err(TokenError::Claims),
        }
        groups.retain(|group| {
            !group.is_empty() && group.len() <= GROUP_MAX && !group.contains(char::is_control)
        });
        groups.truncate(GROUPS_MAX);
        for rule in self.rules.iter().filter(|rule| rule.matches(claims)) {
            groups.extend(rule.groups().iter().cloned());
        }
        groups.sort_unstable();
        groups.dedup();
        Ok(groups)
    }
}
