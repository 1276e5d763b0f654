//! Who is calling.
//!
//! Reads credentials and says who they belong to. What that caller may do is [`crate::policy`]'s business.
//! Today there are two kinds of caller: nobody in particular, and an account of the htpasswd file. More methods join
//! as further sources in [`Auth::identify`].

mod addresses;
mod basic;
mod certificate;
mod failures;
mod htpasswd;
mod ldap;
mod names;
mod remember;
mod waiting;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;

pub use addresses::Addresses;
pub use basic::{Credentials, Presented};
pub use certificate::{CertificateName, UnfitCertificate};
pub use failures::{Failures, Wait};
pub use htpasswd::{Htpasswd, HtpasswdError};
pub use ldap::{Ldap, OpenLdapError, Person, Unavailable};
use remember::Remember;
use waiting::Waiting;

/// Who is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    Anonymous,
    /// An account, by name.
    Account(Arc<str>),
}

impl Identity {
    /// The name under which the caller owns things; empty for anonymous.
    pub fn subject(&self) -> &str {
        match self {
            Identity::Anonymous => "",
            Identity::Account(name) => name,
        }
    }
}

/// Credentials that are nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Wrong name or password, a scheme that is not spoken, or no credentials in the header at all.
    #[error("the credentials are not valid")]
    Refused,
    /// Too many checks for one address at once.
    #[error("too many logins from this address at once; try again")]
    Busy,
}

/// All sources of identity.
pub struct Auth {
    htpasswd: Option<Htpasswd>,
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
    pub fn open(htpasswd: Option<PathBuf>) -> Result<Self, HtpasswdError> {
        Ok(Self {
            htpasswd: htpasswd.map(Htpasswd::open).transpose()?,
            remember: Remember::new(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Waiting::default(),
        })
    }

    /// Whether any account can exist.
    pub fn has_accounts(&self) -> bool {
        self.htpasswd.is_some()
    }

    /// Reads the files again if they have changed.
    pub fn reload(&self) {
        if let Some(htpasswd) = &self.htpasswd {
            htpasswd.reload();
        }
    }

    /// Says whose credentials an `Authorization` header carries (RFC 7617).
    ///
    /// Without accounts a header means nothing and everybody is anonymous, as clients send what they remember.
    ///
    /// # Errors
    /// Credentials that are nobody's: never taken for an anonymous caller, also where anonymous callers may read.
    pub async fn identify(
        &self,
        authorization: Option<&http::HeaderValue>,
        client: IpAddr,
    ) -> Result<Identity, AuthError> {
        let (Some(htpasswd), Some(header)) = (&self.htpasswd, authorization) else {
            return Ok(Identity::Anonymous);
        };
        let credentials = Credentials::parse(header.as_bytes()).ok_or(AuthError::Refused)?;
        let generation = htpasswd.generation();
        if self.remember.knows(generation, &credentials) {
            return Ok(Identity::Account(credentials.name.as_str().into()));
        }
        let _place = self.waiting.enter(client).ok_or(AuthError::Busy)?;
        // The semaphore is never closed; if it were, refusing is the safe answer.
        let permit = Arc::clone(&self.checks).acquire_owned().await.map_err(|_| AuthError::Refused)?;
        if self.remember.knows(generation, &credentials) {
            return Ok(Identity::Account(credentials.name.as_str().into()));
        }
        let hash = htpasswd.hash_of(&credentials.name);
        let (credentials, good) = tokio::task::spawn_blocking(move || {
            // Held by the work and not by the request: a client that hangs up does not make room for another check.
            let _permit = permit;
            let good = hash.verify(&credentials.password);
            (credentials, good)
        })
        .await
        .map_err(|_| AuthError::Refused)?;
        if !good {
            return Err(AuthError::Refused);
        }
        self.remember.learn(generation, &credentials);
        Ok(Identity::Account(credentials.name.as_str().into()))
    }
}
