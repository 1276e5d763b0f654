//! Tokens of the v1 API: bearer tokens of this server for one repository, and whose they are.
//!
//! They live for an hour rather than minutes, so whoever stands behind one is looked up more closely than for V2: what a change of
//! the password ends there after minutes ends here at once.
//!
//! Here too: whether a name is free for an account that somebody makes alone.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gantry_oci::RepoName;
use gantry_oci::access::{Access, Action, Actions};
use gantry_storage::Timestamp;

use super::bearer::{Claims, Issued, SignError, Verified};
use super::logins::of_claims;
use super::{Asking, Auth, AuthError, Credential, DATABASE, Identity, Source, TokenError, login_of};

/// How long a token of somebody lives at most of whom nobody tells us when the account is closed.
const ELSEWHERE: Duration = Duration::from_secs(3600);

/// A token that counts.
#[derive(Clone, Debug)]
pub struct V1Token {
    /// Who shows it.
    pub identity: Identity,
    /// The repository that it is for, as V2 has it.
    pub repository: RepoName,
    /// What it is for.
    pub actions: Actions,
}

impl Auth {
    /// Makes a token for this caller, with which the actions can be done on one repository as long as the caller may.
    ///
    /// # Errors
    /// There is no key, or the caller has too many groups.
    pub fn issue_v1(
        &self,
        identity: &Identity,
        service: &str,
        (repository, actions): (&RepoName, &[Action]),
        lifetime: Duration,
    ) -> Result<Issued, SignError> {
        let access = Access {
            kind: "repository".to_owned(),
            name: repository.to_string(),
            actions: actions.iter().map(|action| action.as_str().to_owned()).collect(),
        };
        let claims = Claims {
            subject: if identity.is_anonymous() { String::new() } else { identity.subject.to_string() },
            audience: service.to_owned(),
            access: vec![access],
            login: login_of(identity),
        };
        let asked_anew =
            matches!(identity.source, Source::Account | Source::Robot | Source::Htpasswd | Source::Nobody);
        let lifetime = if asked_anew { lifetime } else { lifetime.min(ELSEWHERE) };
        self.bearer.sign_v1(claims, lifetime, Timestamp::now())
    }

    /// Whose token this is, and what for.
    ///
    /// # Errors
    /// It is none that counts here and now.
    pub async fn v1_token(&self, token: &str, asking: &Asking<'_>) -> Result<V1Token, AuthError> {
        self.admit(asking.address)?;
        let verified = self.v1_verified(token, asking.service)?;
        let repository = repository_of(&verified).ok_or(AuthError::BadToken(TokenError::Claims))?;
        let claims = &verified.claims;
        let actions = claims.access.first().map_or(Actions::NONE, |entry| entry.on_repository(&entry.name));
        let identity = verified
            .identity
            .get_or_init(|| of_claims(claims, Credential::Bearer, Some(claims.access.clone())))
            .clone()
            .ok_or(AuthError::BadToken(TokenError::Claims))?;
        let identity = self.still_v1(identity, verified.issued).await?;
        Ok(V1Token { identity, repository, actions })
    }

    /// The repository that a token is for, which says nothing of who shows it.
    #[must_use]
    pub fn v1_repository(&self, token: &str, service: &str) -> Option<RepoName> {
        self.v1_verified(token, service).ok().and_then(|verified| repository_of(&verified))
    }

    fn v1_verified(&self, token: &str, service: &str) -> Result<Arc<Verified>, AuthError> {
        self.bearer.verify_v1(token, service, Timestamp::now()).map_err(AuthError::BadToken)
    }

    async fn still_v1(&self, identity: Identity, issued: i64) -> Result<Identity, AuthError> {
        let identity = self.still(identity).await?;
        let name = identity.subject.as_str();
        let good = match identity.source {
            // By a personal token one needs no password.
            Source::Account if identity.token.is_none() => {
                let account = self.account(name).await?;
                account.is_some_and(|account| account.password_changed.as_unix_seconds() <= issued)
            }
            Source::Htpasswd => self.has_htpasswd_name(name),
            _ => true,
        };
        if good { Ok(identity) } else { Err(AuthError::NoToken) }
    }

    /// Whether somebody is called so, or nearly, wherever names are known: in rows (also by e-mail address), in the htpasswd file,
    /// in the directory. An account of that name would stand before them.
    ///
    /// # Errors
    /// It cannot be found out now.
    pub async fn knows_name(&self, name: &str, address: IpAddr) -> Result<bool, AuthError> {
        if self.lookup.meta().account(name).await.map_err(|_| DATABASE)?.is_some()
            || self.htpasswd.as_ref().is_some_and(|file| file.has_like(name))
        {
            return Ok(true);
        }
        match &self.ldap {
            Some(ldap) => {
                let _place = self.waiting.enter(address).ok_or(AuthError::Busy)?;
                let found = ldap.look_up(name).await.map_err(|_| AuthError::Unavailable("the directory"))?;
                Ok(found.is_some())
            }
            None => Ok(false),
        }
    }

    /// Whether whoever comes from this address may have one more name looked up.
    pub fn may_look_up(&self, address: IpAddr) -> bool {
        self.sign_ups.may_look_up(address)
    }

    /// Counts an account that is about to be made by whoever comes from this address.
    ///
    /// # Errors
    /// It is one too many.
    pub fn count_sign_up(&self, address: IpAddr) -> Result<(), AuthError> {
        self.sign_ups.count(address).map_err(AuthError::SignUps)
    }

    /// Forgets addresses that made accounts long ago.
    pub fn forget_sign_ups(&self) {
        self.sign_ups.forget();
    }
}

/// It is for exactly one.
fn repository_of(token: &Verified) -> Option<RepoName> {
    match token.claims.access.as_slice() {
        [entry] if entry.kind == "repository" => entry.name.parse().ok(),
        _ => None,
    }
}
