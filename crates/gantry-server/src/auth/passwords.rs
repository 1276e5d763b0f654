//! Names and passwords: held against whoever knows the name first, slowly, few at once, and remembered for a minute.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use gantry_oci::access::Subject;

use super::remember::Stays;
use super::{
    Asking, Auth, AuthError, Credential, Credentials, Identity, Ldap, Person, Source, htpasswd, of_account,
    password, secret,
};

/// What passwords of the directory are remembered under.
const DIRECTORY: &str = "ldap";

impl Auth {
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
        self.admit(asking.address)?;
        if !self.has_accounts() {
            return Err(AuthError::Refused);
        }
        let credentials = Credentials { name: name.to_owned(), password: password.as_bytes().to_vec() };
        self.basic(credentials, asking).await
    }

    /// A-23, N-3: name and password; else the password is a token, under any name. N-10: who fails too often waits.
    pub(super) async fn basic(
        &self,
        credentials: Credentials,
        asking: &Asking<'_>,
    ) -> Result<Identity, AuthError> {
        let (name, address) = (credentials.name.clone(), asking.address);
        self.not_waiting(&name, address)?;
        let found = self.recognise(credentials, asking).await;
        match &found {
            // A token goes with any name: it says nothing about the password of this one.
            Ok(identity) if identity.credential == Credential::Password => {
                self.failures.succeeded(&name, address);
            }
            Ok(_) => {}
            Err(AuthError::Refused | AuthError::Disabled | AuthError::BadToken(_) | AuthError::NoToken) => {
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
        // What has the form of a token is no password, and nobody else is to see it.
        if secret::hash_of(secret::TOKEN_PREFIX, &credentials.password).is_some() {
            return Err(AuthError::Refused);
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

    /// A name and a password. Names that are nobody's take as long as those of accounts.
    async fn password(&self, credentials: Credentials, address: IpAddr) -> Result<Identity, AuthError> {
        let account = self.account(&credentials.name).await?;
        let disabled = account.as_ref().is_some_and(|account| account.disabled);
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
        if good && disabled {
            return Err(AuthError::Disabled);
        }
        let identity = identity.filter(|_| good).ok_or(AuthError::Refused)?;
        self.remember.learn(&verifier, &credentials, Arc::from([]));
        Ok(identity)
    }

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
