//! Tokens that callers show: personal and robot tokens (rows), those that we signed, and those of others.

use std::sync::Arc;

use gantry_oci::access::Subject;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::Token;

use super::bearer::Verified;
use super::foreign::{ForeignError, ForeignIdentity};
use super::logins::of_claims;
use super::{
    Asking, Auth, AuthError, Bounds, Credential, DATABASE, Identity, Source, TokenError, of_account, secret,
};

impl Auth {
    /// A token in a Bearer header: a personal or robot token, one that we signed, or a foreign one.
    pub(super) async fn token(&self, token: &str, asking: &Asking<'_>) -> Result<Identity, AuthError> {
        if token.starts_with(secret::TOKEN_PREFIX) {
            let stored = self.stored_token(token.as_bytes()).await?.ok_or(AuthError::NoToken)?;
            return self.of_token(&stored).await;
        }
        if !self.foreign.is_empty() && !self.bearer.concerns(token) && self.foreign.concerns(token) {
            return self.foreign(token).await;
        }
        let verified =
            self.bearer.verify(token, asking.service, Timestamp::now()).map_err(AuthError::BadToken)?;
        let Verified { claims, identity, .. } = &*verified;
        if claims.login.elsewhere {
            return Err(AuthError::BadToken(TokenError::Audience));
        }
        let identity =
            identity.get_or_init(|| of_claims(claims, Credential::Bearer, Some(claims.access.clone())));
        let identity = identity.clone().ok_or(AuthError::BadToken(TokenError::Claims))?;
        self.still(identity).await
    }

    /// A token of ours speaks of the moment in which it was made. What rows know by now counts instead: the account, and the token
    /// behind it.
    pub(super) async fn still(&self, identity: Identity) -> Result<Identity, AuthError> {
        if let Some(id) = identity.token {
            match self.lookup.token_by_id(id).await.map_err(|_| DATABASE)? {
                Some(token) if self.is_good(&token).await? => {}
                _ => return Err(AuthError::NoToken),
            }
        }
        let Some(name) = identity.subject.account_name().filter(|_| identity.source == Source::Account)
        else {
            return Ok(identity);
        };
        // A name that was given anew is somebody else.
        let account = self.account(name).await?;
        let account = account.filter(|now| !now.disabled && identity.made == Some(now.created));
        let account = account.ok_or(AuthError::NoToken)?;
        if account.admin == identity.admin && account.groups == identity.groups {
            return Ok(identity);
        }
        let mut known = identity.known_parts();
        known.admin = account.admin;
        known.groups.clone_from(&account.groups);
        Ok(Identity::known(known))
    }

    pub(super) async fn stored_token(&self, secret: &[u8]) -> Result<Option<Arc<Token>>, AuthError> {
        match secret::hash_of(secret::TOKEN_PREFIX, secret) {
            Some(hash) => match self.lookup.token(&hash).await {
                Ok(Some(token)) => self.is_good(&token).await.map(|good| good.then_some(token)),
                Ok(None) => Ok(None),
                Err(_) => Err(DATABASE),
            },
            None => Ok(None),
        }
    }

    /// N-4: not at its end, and not of somebody who is nobody now.
    pub(super) async fn is_good(&self, token: &Token) -> Result<bool, AuthError> {
        if token.expires.is_some_and(|end| end <= Timestamp::now()) {
            return Ok(false);
        }
        match token.subject.account_name() {
            Some(owner) => Ok(self.account(owner).await?.is_some_and(|owner| !owner.disabled)),
            None => Ok(token.subject.robot_name().is_some()),
        }
    }

    pub(super) async fn of_token(&self, token: &Token) -> Result<Identity, AuthError> {
        self.lookup.meta().token_used_soon(token.id, Timestamp::now());
        let mut known = match token.subject.account_name() {
            None => Identity::plain(token.subject.clone(), Source::Robot, Credential::Token).known_parts(),
            Some(owner) => {
                let owner = self.account(owner).await?.ok_or(AuthError::NoToken)?;
                of_account(&owner, Credential::Token).ok_or(AuthError::NoToken)?.known_parts()
            }
        };
        known.token = Some(token.id);
        match known.source {
            Source::Robot => known.own.clone_from(&token.scopes),
            _ if !token.scopes.is_empty() => known.bounds.scopes = Some(token.scopes.clone()),
            _ => {}
        }
        Ok(Identity::known(known))
    }

    pub(super) async fn foreign(&self, token: &str) -> Result<Identity, AuthError> {
        let found = self.foreign.identify(token, Timestamp::now()).await.map_err(|error| match error {
            ForeignError::BadToken(error) => AuthError::BadToken(error),
            ForeignError::Unavailable { .. } => AuthError::Unavailable("the issuer of the token"),
        })?;
        of_foreign(found).ok_or(AuthError::BadToken(TokenError::Claims))
    }
}

fn of_foreign(found: ForeignIdentity) -> Option<Identity> {
    let (source, credential, alone) = match found.access {
        Some(_) => (Source::Issuer, Credential::Bearer, true),
        None => (Source::Oidc, Credential::IdentityToken, false),
    };
    let subject = Subject::foreign(&found.subject)?;
    let mut known = Identity::plain(subject, source, credential).known_parts();
    known.groups = found.groups;
    known.bounds = Bounds { scopes: None, access: found.access, alone };
    Some(Identity::known(known))
}
