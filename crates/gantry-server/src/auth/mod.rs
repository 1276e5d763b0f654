//! Who is calling.
//!
//! Reads credentials and says who they belong to. What that caller may do is [`crate::policy`]'s business.
//! Several methods are in force at once; [`Auth::identify`] is the chain in which they are asked. A name belongs to the first that
//! knows it: accounts (rows), then the htpasswd file, then the directory.

mod addresses;
mod basic;
pub mod bearer;
mod certificate;
mod failures;
mod fetch;
pub mod foreign;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod htpasswd;
mod identity;
mod jwt;
mod ldap;
mod lookup;
mod names;
pub mod pace;
pub mod password;
mod remember;
pub mod secret;
mod waiting;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gantry_oci::access::Subject;
use gantry_storage::meta::access::{Account, Login, LoginKind, Token};
use gantry_storage::{MetaStore, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use addresses::Addresses;
pub use basic::{Credentials, Presented};
use bearer::{Bearer, Verified};
pub use certificate::{CertificateName, UnfitCertificate};
pub use failures::{Failures, Wait};
use foreign::{Foreign, ForeignError, ForeignIdentity, ForeignOpenError};
pub use htpasswd::{Htpasswd, HtpasswdError};
pub use identity::{Bounds, Credential, Identity, Known, Source};
pub use jwt::TokenError;
pub use ldap::{Ldap, OpenLdapError, Person, Unavailable};
use lookup::Lookup;
use pace::Standing;
use remember::{Remember, Stays};
use waiting::Waiting;
pub use waiting::network;

/// Credentials that are nobody's, or cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Wrong name or password, or a scheme that is not spoken.
    #[error("the credentials are not valid")]
    Refused,
    /// A bearer token that does not count.
    #[error("{0}")]
    BadToken(TokenError),
    /// A personal or robot token that is nobody's, or not any more.
    #[error("the token is not known, has expired or was revoked")]
    NoToken,
    /// This address is not served.
    #[error("this address is not allowed to use the registry")]
    Address,
    /// After too many failures this name waits, from this address.
    #[error("too many failed logins; try again in {0} seconds")]
    Wait(u64),
    /// A system that vouches for callers does not answer.
    #[error("{0} does not answer; try again")]
    Unavailable(&'static str),
    /// More requests than a caller may make.
    #[error("too many requests; try again in {} seconds", .0.wait())]
    TooFast(Standing),
    /// Too many checks for one address at once.
    #[error("too many logins from this address at once; try again")]
    Busy,
}

impl AuthError {
    /// One word, as a label of a counter.
    pub fn reason(&self) -> &'static str {
        match self {
            AuthError::Refused => "credentials",
            AuthError::BadToken(error) => error.reason(),
            AuthError::NoToken => "token",
            AuthError::Address => "address",
            AuthError::Wait(_) | AuthError::Busy => "too_many",
            AuthError::TooFast(_) => "rate",
            AuthError::Unavailable(_) => "unavailable",
        }
    }
}

/// Why a source of identity does not open.
#[derive(Debug, thiserror::Error)]
pub enum AuthOpenError {
    /// The htpasswd file.
    #[error(transparent)]
    Htpasswd(#[from] HtpasswdError),
    /// The directory.
    #[error(transparent)]
    Ldap(#[from] OpenLdapError),
    /// Keys of a foreign issuer.
    #[error(transparent)]
    Foreign(#[from] ForeignOpenError),
}

/// What a caller shows.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a http::HeaderValue>,
    /// The cookie of a web session, where it may count.
    pub session: Option<&'a str>,
    /// The user that a client certificate names.
    pub certificate: Option<&'a str>,
    /// Where the caller is.
    pub address: IpAddr,
    /// The service that bearer tokens must be for: the host that was asked.
    pub service: &'a str,
}

/// What the chain is made of.
pub struct AuthParts {
    /// Rows.
    pub meta: Arc<dyn MetaStore>,
    /// `auth.htpasswd.file`
    pub htpasswd: Option<PathBuf>,
    /// `[[auth.issuer]]` and `[[auth.oidc]]`
    pub foreign: Foreign,
    /// Our own tokens.
    pub bearer: Bearer,
    /// `[auth.ldap]`
    pub ldap: Option<Ldap>,
    /// Whether client certificates name anybody.
    pub certificates: bool,
    /// `[auth.addresses]`
    pub addresses: Addresses,
}

/// All sources of identity.
pub struct Auth {
    lookup: Lookup,
    htpasswd: Option<Htpasswd>,
    foreign: Foreign,
    bearer: Bearer,
    ldap: Option<Ldap>,
    certificates: bool,
    addresses: Addresses,
    failures: Failures,
    /// Whether there are accounts or tokens as rows.
    rows: AtomicBool,
    remember: Remember,
    checks: Arc<Semaphore>,
    waiting: Waiting,
}

/// See [`crate::fuzzing`].
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_basic(header: &[u8]) -> Option<(String, Vec<u8>)> {
    Credentials::parse(header).map(|credentials| (credentials.name, credentials.password))
}

#[cfg(feature = "fuzzing")]
pub(crate) use htpasswd::parse_text as parse_htpasswd;

/// Password checks at once. They are slow on purpose; more would starve the requests beside them.
const CHECKS: usize = 2;

impl Auth {
    /// Opens the sources.
    ///
    /// # Errors
    /// The htpasswd file is not there or not readable.
    pub fn open(parts: AuthParts) -> Result<Self, AuthOpenError> {
        Ok(Self {
            lookup: Lookup::new(parts.meta),
            htpasswd: parts.htpasswd.map(Htpasswd::open).transpose()?,
            foreign: parts.foreign,
            bearer: parts.bearer,
            ldap: parts.ldap,
            certificates: parts.certificates,
            addresses: parts.addresses,
            failures: Failures::default(),
            rows: AtomicBool::new(false),
            remember: Remember::new(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Waiting::default(),
        })
    }

    /// Whether anybody can be somebody.
    pub fn has_accounts(&self) -> bool {
        self.rows.load(Ordering::Relaxed)
            || self.htpasswd.is_some()
            || !self.foreign.is_empty()
            || self.ldap.is_some()
            || self.certificates
    }

    /// Tells whether there are accounts or tokens as rows.
    pub fn set_rows(&self, rows: bool) {
        self.rows.store(rows, Ordering::Relaxed);
    }

    /// Our own tokens.
    pub fn bearer(&self) -> &Bearer {
        &self.bearer
    }

    /// Whether the htpasswd file has this name.
    pub fn has_htpasswd_name(&self, name: &str) -> bool {
        self.htpasswd.as_ref().is_some_and(|file| file.has(name))
    }

    /// Reads the files again if they have changed.
    pub fn reload(&self) {
        if let Some(htpasswd) = &self.htpasswd {
            htpasswd.reload();
        }
        if let Some(ldap) = &self.ldap {
            ldap.reload();
        }
    }

    /// Says who is calling.
    ///
    /// Where nobody can be somebody a header means nothing and everybody is anonymous, as clients send what they remember.
    ///
    /// # Errors
    /// Credentials that are nobody's: never taken for an anonymous caller, also where anonymous callers may read (N-3).
    pub async fn identify(&self, asking: &Asking<'_>) -> Result<Identity, AuthError> {
        self.admit(asking.address)?;
        if !self.has_accounts() {
            return Ok(Identity::anonymous());
        }
        match Presented::read(asking.authorization) {
            Presented::Nobody => self.silently(asking).await,
            Presented::Malformed => Err(AuthError::Refused),
            Presented::Basic(credentials) => self.basic(credentials, asking).await,
            Presented::Bearer(token) => self.token(&token, asking).await,
        }
    }

    /// N-9: whether this address is served at all.
    ///
    /// # Errors
    /// It is not.
    pub fn admit(&self, address: IpAddr) -> Result<(), AuthError> {
        if self.addresses.admits(address) { Ok(()) } else { Err(AuthError::Address) }
    }

    /// What comes with the connection or the browser.
    async fn silently(&self, asking: &Asking<'_>) -> Result<Identity, AuthError> {
        if let Some(cookie) = asking.session
            && let Some((identity, _)) = self.session(cookie).await?
        {
            return Ok(identity);
        }
        match asking.certificate {
            Some(user) => self.certificate(user).await,
            None => Ok(Identity::anonymous()),
        }
    }

    /// Begins a web session, or hands out a refresh token for `service`: the secret, shown once, and when it ends.
    ///
    /// # Errors
    /// The database does not answer, or the system has no random numbers.
    pub async fn begin(
        &self,
        kind: LoginKind,
        identity: &Identity,
        service: &str,
        lifetime: Duration,
    ) -> Result<(String, Timestamp), AuthError> {
        let prefix = match kind {
            LoginKind::Refresh => secret::REFRESH_PREFIX,
            LoginKind::Session => secret::SESSION_PREFIX,
        };
        let (secret, hash) = secret::new_secret(prefix).map_err(|_| AuthError::Unavailable("the system"))?;
        let payload = Payload { service: service.to_owned(), login: login_of(identity) };
        let payload = serde_json::to_string(&payload).map_err(|_| AuthError::Refused)?;
        let created = Timestamp::now();
        let expires =
            Timestamp(created.0.saturating_add(i64::try_from(lifetime.as_micros()).unwrap_or(i64::MAX)));
        let login = Login {
            kind,
            hash,
            subject: identity.subject.clone(),
            payload,
            token: identity.token,
            created,
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

    /// Whose a name and password are, or a token in the place of the password, as in a Basic header.
    ///
    /// # Errors
    /// Nobody's.
    pub async fn login(
        &self,
        name: &str,
        password: &str,
        asking: &Asking<'_>,
    ) -> Result<Identity, AuthError> {
        if !self.has_accounts() || name.is_empty() {
            return Err(AuthError::Refused);
        }
        let credentials = Credentials { name: name.to_owned(), password: password.as_bytes().to_vec() };
        self.basic(credentials, asking).await
    }

    /// Who a login belongs to that was made before: what rows know is read anew, what others said then is as it was.
    async fn again(&self, login: &Login, credential: Credential) -> Result<Option<Identity>, AuthError> {
        let Ok(Payload { login: said, .. }) = serde_json::from_str(&login.payload) else { return Ok(None) };
        let source = Source::named(&said.method).unwrap_or(Source::Nobody);
        if source == Source::Account {
            let account = self.account(login.subject.as_str()).await?;
            let Some(account) = account.filter(|account| !account.disabled) else { return Ok(None) };
            let Some(identity) = of_account(&account, credential) else { return Ok(None) };
            let mut known = identity.known_parts();
            known.bounds.scopes = said.scopes;
            known.token = login.token;
            return Ok(Some(Identity::known(known)));
        }
        if source == Source::Htpasswd
            && !self.htpasswd.as_ref().is_some_and(|file| file.has(login.subject.as_str()))
        {
            return Ok(None);
        }
        let claims = bearer::Claims { subject: login.subject.to_string(), login: said, ..Default::default() };
        Ok(of_claims(&claims, credential, None))
    }

    async fn account(&self, name: &str) -> Result<Option<Arc<Account>>, AuthError> {
        self.lookup.account(name).await.map_err(|_| DATABASE)
    }

    /// N-6: an account of that name, or else the holder of the certificate.
    async fn certificate(&self, user: &str) -> Result<Identity, AuthError> {
        match self.account(user).await? {
            Some(account) if account.name == user => match account.disabled {
                true => Err(AuthError::Refused),
                false => of_account(&account, Credential::Certificate).ok_or(AuthError::Refused),
            },
            _ => {
                Ok(Identity::plain(Subject::certificate(user), Source::Certificate, Credential::Certificate))
            }
        }
    }

    /// A-23, N-3: name and password; else the password is a token, under any name. N-10: who fails too often waits.
    async fn basic(&self, credentials: Credentials, asking: &Asking<'_>) -> Result<Identity, AuthError> {
        let (name, address) = (credentials.name.clone(), asking.address);
        self.not_waiting(&name, address)?;
        let found = self.recognise(credentials, asking).await;
        match &found {
            Ok(_) => self.failures.succeeded(&name, address),
            Err(AuthError::Refused | AuthError::BadToken(_) | AuthError::NoToken) => {
                self.failures.failed(&name, address, Instant::now());
            }
            Err(_) => {}
        }
        found
    }

    fn not_waiting(&self, name: &str, address: IpAddr) -> Result<(), AuthError> {
        self.failures
            .check(name, address, Instant::now())
            .map_err(|wait| AuthError::Wait(wait.seconds().max(1)))
    }

    async fn recognise(&self, credentials: Credentials, asking: &Asking<'_>) -> Result<Identity, AuthError> {
        // No password of an account begins as tokens do, so looking for a token first changes nothing but the time.
        if let Some(token) = self.stored_token(&credentials.password).await? {
            return self.of_token(&token).await;
        }
        if let Ok(text) = std::str::from_utf8(&credentials.password)
            && self.foreign.concerns(text)
        {
            return self.foreign(text).await;
        }
        if credentials.name.is_empty() {
            return Err(AuthError::Refused);
        }
        self.password(credentials, asking.address).await
    }

    /// A token in a Bearer header: a personal or robot token, one that we signed, or a foreign one.
    async fn token(&self, token: &str, asking: &Asking<'_>) -> Result<Identity, AuthError> {
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
        let identity =
            identity.get_or_init(|| of_claims(claims, Credential::Bearer, Some(claims.access.clone())));
        identity.clone().ok_or(AuthError::BadToken(TokenError::Claims))
    }

    async fn stored_token(&self, secret: &[u8]) -> Result<Option<Arc<Token>>, AuthError> {
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
    async fn is_good(&self, token: &Token) -> Result<bool, AuthError> {
        if token.expires.is_some_and(|end| end <= Timestamp::now()) {
            return Ok(false);
        }
        match token.subject.account_name() {
            Some(owner) => Ok(self.account(owner).await?.is_some_and(|owner| !owner.disabled)),
            None => Ok(token.subject.robot_name().is_some()),
        }
    }

    async fn of_token(&self, token: &Token) -> Result<Identity, AuthError> {
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

    async fn foreign(&self, token: &str) -> Result<Identity, AuthError> {
        let found = self.foreign.identify(token, Timestamp::now()).await.map_err(|error| match error {
            ForeignError::BadToken(error) => AuthError::BadToken(error),
            ForeignError::Unavailable { .. } => AuthError::Unavailable("the issuer of the token"),
        })?;
        of_foreign(found).ok_or(AuthError::BadToken(TokenError::Claims))
    }

    /// A name and a password. Names that are nobody's take as long as those of accounts.
    async fn password(&self, credentials: Credentials, address: IpAddr) -> Result<Identity, AuthError> {
        let account = self.account(&credentials.name).await?;
        let listed = self.htpasswd.as_ref().map(|file| file.hash_of(&credentials.name));
        let (verifier, identity) = match (&account, &listed) {
            (Some(account), _) => (
                account.password.clone().unwrap_or_default(),
                (!account.disabled).then(|| of_account(account, Credential::Password)).flatten(),
            ),
            (None, Some(hash)) if hash.is_real() => {
                let subject = Subject::account(&credentials.name).ok();
                (
                    hash.text().to_owned(),
                    subject.map(|subject| Identity::plain(subject, Source::Htpasswd, Credential::Password)),
                )
            }
            _ => (String::new(), None),
        };
        if let Some(identity) = &identity
            && !verifier.is_empty()
            && self.remember.knows(&verifier, &credentials, Stays::WhileUsed).is_some()
        {
            return Ok(identity.clone());
        }
        let local = account.is_some() || listed.as_ref().is_some_and(htpasswd::Hash::is_real);
        if !local && let Some(ldap) = &self.ldap {
            return self.directory(ldap, credentials, address).await;
        }
        let _place = self.waiting.enter(address).ok_or(AuthError::Busy)?;
        // The semaphore is never closed; if it were, refusing is the safe answer.
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| AuthError::Refused)?;
        if let Some(identity) = &identity
            && !verifier.is_empty()
            && self.remember.knows(&verifier, &credentials, Stays::WhileUsed).is_some()
        {
            return Ok(identity.clone());
        }
        // Many may have waited in line while the first of them failed.
        self.not_waiting(&credentials.name, address)?;
        let rows = self.rows.load(Ordering::Relaxed);
        let check = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request: a client that hangs up does not make room for another check.
            let _permit = permit;
            // Each name is held against one hash of each kind that is in force, its own or nobody's.
            let stored = account.as_ref().and_then(|account| account.password.as_deref());
            let of_row =
                rows && password::verify(&credentials.password, stored.unwrap_or_else(|| password::nobody()));
            let of_file = listed.is_some_and(|hash| hash.verify(&credentials.password));
            let good = if account.is_some() { of_row && stored.is_some() } else { of_file };
            (credentials, good)
        });
        let (credentials, good) = check.await.map_err(|_| AuthError::Refused)?;
        let identity = identity.filter(|_| good).ok_or(AuthError::Refused)?;
        self.remember.learn(&verifier, &credentials, Arc::from([]));
        Ok(identity)
    }
}

/// What a refresh token or session keeps beside whose it is.
#[derive(Serialize, Deserialize)]
struct Payload {
    service: String,
    login: bearer::Login,
}

impl Auth {
    /// Somebody who has no account here. The directory is asked again every minute: it knows when somebody leaves a group.
    async fn directory(
        &self,
        ldap: &Ldap,
        credentials: Credentials,
        address: IpAddr,
    ) -> Result<Identity, AuthError> {
        let known = self.remember.knows(DIRECTORY, &credentials, Stays::AMinute);
        let person = match known {
            Some(said) => said,
            None => {
                let _place = self.waiting.enter(address).ok_or(AuthError::Busy)?;
                let found = ldap.check(&credentials.name, &credentials.password).await;
                let found = found.map_err(|_| AuthError::Unavailable("the directory"))?;
                let Person { name, groups } = found.ok_or(AuthError::Refused)?;
                let said: Arc<[String]> = std::iter::once(name).chain(groups).collect();
                self.remember.learn(DIRECTORY, &credentials, Arc::clone(&said));
                said
            }
        };
        let (name, groups) = person.split_first().ok_or(AuthError::Refused)?;
        let mut identity =
            Identity::plain(Subject::ldap(name), Source::Ldap, Credential::Password).known_parts();
        identity.groups = groups.to_vec();
        Ok(Identity::known(identity))
    }
}

/// What passwords of the directory are remembered under.
const DIRECTORY: &str = "ldap";

const DATABASE: AuthError = AuthError::Unavailable("the database");

fn of_account(account: &Account, credential: Credential) -> Option<Identity> {
    let subject = Subject::account(&account.name).ok()?;
    let mut known = Identity::plain(subject, Source::Account, credential).known_parts();
    known.groups.clone_from(&account.groups);
    known.admin = account.admin;
    Some(Identity::known(known))
}

/// Who a token of ours names; `access` is what it is for.
fn of_claims(
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
        scopes: match identity.source {
            Source::Robot => Some(identity.own.clone()),
            _ => identity.bounds.scopes.clone(),
        },
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
