//! Logins that last: refresh tokens and web sessions. They are rows, and whose they are is asked anew each time.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gantry_oci::access::Subject;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{Login, LoginKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{
    Auth, AuthError, Bounds, Credential, DATABASE, Identity, Known, Source, bearer, of_account, secret,
};

/// What a refresh token or session keeps beside whose it is.
#[derive(Serialize, Deserialize)]
struct Payload {
    service: String,
    login: bearer::Login,
    /// Of the password's hash in the htpasswd file.
    verifier: Option<String>,
}

impl Auth {
    /// Begins a web session, or hands out a refresh token for `service`: the secret, shown once, and when it ends. `asked` is from
    /// before the credentials were checked, so that a password that was changed meanwhile ends this one too (N-13).
    ///
    /// # Errors
    /// The database does not answer, or the system has no random numbers.
    pub async fn begin(
        &self,
        kind: LoginKind,
        identity: &Identity,
        service: &str,
        asked: Timestamp,
        lifetime: Duration,
    ) -> Result<(String, Timestamp), AuthError> {
        let prefix = match kind {
            LoginKind::Refresh => secret::REFRESH_PREFIX,
            LoginKind::Session => secret::SESSION_PREFIX,
        };
        let (secret, hash) = secret::new_secret(prefix).map_err(|_| AuthError::Unavailable("the system"))?;
        let payload = Payload {
            service: service.to_owned(),
            login: login_of(identity),
            verifier: self.verifier(identity.source, identity.subject.as_str()),
        };
        let payload = serde_json::to_string(&payload).map_err(|_| AuthError::Refused)?;
        let expires =
            Timestamp(asked.0.saturating_add(i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX)));
        let login = Login {
            kind,
            hash,
            subject: identity.subject.clone(),
            payload,
            token: identity.token,
            created: asked,
            expires,
        };
        self.lookup.meta().create_login(login).await.map_err(|_| DATABASE)?;
        Ok((secret, expires))
    }

    /// Whose a web session is, with its row. `None`: nobody's, or not any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn session(&self, cookie: &str) -> Result<Option<(Identity, Arc<Login>)>, AuthError> {
        let Some(hash) = secret::hash_of(secret::SESSION_PREFIX, cookie.as_bytes()) else { return Ok(None) };
        let login =
            self.lookup.meta().login_by_hash(LoginKind::Session, &hash).await.map_err(|_| DATABASE)?;
        let Some(login) = login.filter(|login| login.expires > Timestamp::now()) else { return Ok(None) };
        let identity = self.again(&login, Credential::Session).await?;
        Ok(identity.map(|identity| (identity, login)))
    }

    /// Whose a refresh token is that was handed out for `service`. `None`: nobody's, or not any more.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn refresh(&self, token: &str, service: &str) -> Result<Option<Identity>, AuthError> {
        let Some(hash) = secret::hash_of(secret::REFRESH_PREFIX, token.as_bytes()) else { return Ok(None) };
        let login =
            self.lookup.meta().login_by_hash(LoginKind::Refresh, &hash).await.map_err(|_| DATABASE)?;
        let Some(login) = login.filter(|login| login.expires > Timestamp::now()) else { return Ok(None) };
        match serde_json::from_str::<Payload>(&login.payload) {
            Ok(payload) if payload.service == service => self.again(&login, Credential::Password).await,
            _ => Ok(None),
        }
    }

    /// Who a login belongs to that was made before. What can be asked anew is: an account, a token, a line of the htpasswd file, an
    /// entry of the directory.
    async fn again(&self, login: &Login, credential: Credential) -> Result<Option<Identity>, AuthError> {
        let Ok(Payload { login: mut said, verifier, .. }) = serde_json::from_str(&login.payload) else {
            return Ok(None);
        };
        let Some(source) = Source::named(&said.method) else { return Ok(None) };
        if let Some(token) = login.token {
            let token = self.lookup.token_by_id(token).await.map_err(|_| DATABASE)?;
            match token {
                Some(token) if self.is_good(&token).await? => {}
                _ => return Ok(None),
            }
        }
        let name = login.subject.as_str();
        match source {
            Source::Account => {
                let account = self.account(name).await?.filter(|account| !account.disabled);
                let identity = account.and_then(|account| of_account(&account, credential));
                return Ok(identity.map(|identity| {
                    let mut known = identity.known_parts();
                    known.bounds.scopes = said.scopes;
                    known.token = login.token;
                    Identity::known(known)
                }));
            }
            Source::Htpasswd if verifier.is_none() || self.verifier(source, name) != verifier => {
                return Ok(None);
            }
            Source::Ldap => {
                let (Some(ldap), Some(name)) = (&self.ldap, name.strip_prefix("ldap:")) else {
                    return Ok(None);
                };
                let found = ldap.look_up(name).await.map_err(|_| AuthError::Unavailable("the directory"))?;
                let Some(person) = found else { return Ok(None) };
                said.groups = person.groups;
            }
            _ => {}
        }
        let claims = bearer::Claims { subject: login.subject.to_string(), login: said, ..Default::default() };
        Ok(of_claims(&claims, credential, None))
    }

    /// What a name's password is checked against, as far as it must stay the same for a login to go on: rows end their logins
    /// themselves.
    fn verifier(&self, source: Source, name: &str) -> Option<String> {
        let file = self.htpasswd.as_ref().filter(|_| source == Source::Htpasswd)?;
        let hash = file.hash_of(name);
        hash.is_real().then(|| URL_SAFE_NO_PAD.encode(Sha256::digest(hash.text())))
    }
}

/// Who a token of ours names; `access` is what it is for.
pub(super) fn of_claims(
    claims: &bearer::Claims,
    credential: Credential,
    access: Option<Vec<gantry_oci::access::Access>>,
) -> Option<Identity> {
    let said = &claims.login;
    let subject = match claims.subject.as_str() {
        "" => Subject::anonymous(),
        text => text.parse().ok()?,
    };
    let source = Source::named(&said.method)?;
    let token = said.token.as_deref().map(str::parse).transpose().ok()?;
    let scopes = said.scopes.clone();
    let (own, scopes) = match source {
        Source::Robot => (scopes.unwrap_or_default(), None),
        _ => (Vec::new(), scopes),
    };
    Some(Identity::known(Known {
        subject,
        groups: said.groups.clone(),
        admin: said.admin,
        source,
        credential,
        bounds: Bounds { scopes, access, alone: false },
        own,
        made: said.made.map(Timestamp),
        token,
    }))
}

/// What a token is to say of a login, so that [`of_claims`] knows it again.
pub fn login_of(identity: &Identity) -> bearer::Login {
    bearer::Login {
        groups: identity.groups.clone(),
        admin: identity.admin,
        method: identity.source.as_str().to_owned(),
        token: identity.token.map(|id| id.to_string()),
        made: identity.made.map(|moment| moment.0),
        elsewhere: false,
        v1: false,
        scopes: match identity.source {
            Source::Robot => Some(identity.own.clone()),
            _ => identity.bounds.scopes.clone(),
        },
    }
}
