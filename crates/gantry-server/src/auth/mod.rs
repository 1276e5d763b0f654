//! Who is calling.
//!
//! Reads credentials and says who they belong to. What that caller may do is [`crate::policy`]'s business.
//! Several methods are in force at once; [`Auth::identify`] is the chain in which they are asked. A name belongs to the first that
//! knows it: accounts (rows), then the htpasswd file, then the directory.

pub mod accounts;
mod addresses;
mod basic;
pub mod bearer;
mod certificate;
mod failures;
pub(crate) mod fetch;
pub mod foreign;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod htpasswd;
mod identity;
mod jwt;
mod ldap;
mod logins;
mod lookup;
mod names;
pub mod pace;
pub mod password;
mod passwords;
mod remember;
pub mod secret;
mod sign_ups;
mod stored;
mod v1;
mod waiting;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gantry_oci::access::Subject;
use gantry_storage::MetaStore;
use gantry_storage::meta::access::Account;
use tokio::sync::Semaphore;

pub use addresses::Addresses;
pub use basic::{Credentials, Presented};
use bearer::Bearer;
pub use certificate::{CertificateName, UnfitCertificate};
pub use failures::{Failures, Wait};
use foreign::{Foreign, ForeignOpenError};
pub use htpasswd::{Htpasswd, HtpasswdError};
pub use identity::{Bounds, Credential, Identity, Known, Source};
pub use jwt::TokenError;
pub use ldap::{Ldap, OpenLdapError, Person, Unavailable};
pub use logins::login_of;
use lookup::Lookup;
use pace::Standing;
use remember::Remember;
use sign_ups::SignUps;
pub use v1::V1Token;
use waiting::Waiting;
pub use waiting::network;

/// Credentials that are nobody's, or cannot be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Wrong name or password, or a scheme that is not spoken.
    #[error("the credentials are not valid")]
    Refused,
    /// The right name and password of an account that is nobody for now.
    #[error("the credentials are not valid")]
    Disabled,
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
    /// More accounts than one address may make, or all of them together.
    #[error("too many new accounts; try again in {0} seconds")]
    SignUps(u64),
    /// Too many checks for one address at once.
    #[error("too many logins from this address at once; try again")]
    Busy,
}

impl AuthError {
    /// One word, as a label of a counter.
    pub fn reason(&self) -> &'static str {
        match self {
            AuthError::Refused | AuthError::Disabled => "credentials",
            AuthError::BadToken(error) => error.reason(),
            AuthError::NoToken => "token",
            AuthError::Address => "address",
            AuthError::Wait(_) | AuthError::SignUps(_) | AuthError::Busy => "too_many",
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
    /// Whether the Index of `[v1.index]` vouches for anybody.
    pub index: bool,
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
    index: bool,
    addresses: Addresses,
    failures: Failures,
    /// Whether there are accounts or tokens as rows.
    rows: AtomicBool,
    remember: Remember,
    checks: Arc<Semaphore>,
    waiting: Waiting,
    sign_ups: SignUps,
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
            index: parts.index,
            addresses: parts.addresses,
            failures: Failures::default(),
            rows: AtomicBool::new(false),
            remember: Remember::new(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Waiting::default(),
            sign_ups: SignUps::new(),
        })
    }

    /// Whether anybody can be somebody.
    pub fn has_accounts(&self) -> bool {
        self.rows.load(Ordering::Relaxed)
            || self.htpasswd.is_some()
            || !self.foreign.is_empty()
            || self.ldap.is_some()
            || self.certificates
            || self.index
    }

    /// Tells whether there are accounts or tokens as rows. A door that was closed stays closed while the server runs: that the
    /// last account is removed, or the last robot's token ends, is nobody's word that everybody may do everything.
    pub fn set_rows(&self, rows: bool) {
        self.rows.fetch_or(rows, Ordering::Relaxed);
    }

    /// Whether there have been accounts or tokens as rows since the start.
    pub fn has_rows(&self) -> bool {
        self.rows.load(Ordering::Relaxed)
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
}

const DATABASE: AuthError = AuthError::Unavailable("the database");

fn of_account(account: &Account, credential: Credential) -> Option<Identity> {
    let subject = Subject::account(&account.name).ok()?;
    let mut known = Identity::plain(subject, Source::Account, credential).known_parts();
    known.groups.clone_from(&account.groups);
    known.admin = account.admin;
    known.made = Some(account.created);
    Some(Identity::known(known))
}
