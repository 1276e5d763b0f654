//! Who may do what, kept up to date: the chain of identity, and the rules that are compiled from the file and from rows.
//!
//! Changes of rows act on the next request: the store counts them, and whoever asks for the rules gets those of the count.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use gantry_oci::access::Role;
use gantry_storage::meta::access::{AuditEntry, Changed, NewAccount, SigningKey};
use gantry_storage::{MetaStore, Storages, Timestamp};
use tokio::sync::Mutex;

use super::AppError;
use crate::auth::bearer::{Bearer, KeyAlgorithm, Keys, SigningKeyRow, generate};
use crate::auth::foreign::Foreign;
use crate::auth::pace::Pace;
use crate::auth::{Addresses, Auth, AuthOpenError, AuthParts, Ldap, Source, password};
use crate::config::{Anonymous, Config, ConfigError, NamespaceEntry, WrittenGrant};
use crate::policy::{GrantRule, NamespaceParts, Origin, Parts, Rules};
use crate::registry::Prefixes;

/// The name of the account that `GANTRY_ADMIN_PASSWORD_FILE` makes.
const FIRST_ADMIN: &str = "admin";

/// How long after it was retired a key is kept: no token lives that long.
const KEY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Entries of the audit log that go in one transaction.
const TRIMMED: usize = 1_000;

/// Who is calling, and what they may do.
pub(crate) struct Access {
    /// Who is calling.
    pub(crate) auth: Auth,
    /// How often callers may ask.
    pub(crate) pace: Pace,
    meta: Arc<dyn MetaStore>,
    /// What the configuration says.
    written: ArcSwap<Parts>,
    rules: ArcSwap<Rules>,
    /// What the namespaces say of where pushes go.
    placement: (Arc<Prefixes>, Storages),
    /// The count of changes that `rules` is made from.
    generation: AtomicU64,
    compiling: Mutex<()>,
    /// A change of a namespace reads its row and writes it again; two at once must not undo each other.
    pub(crate) changing_namespace: Mutex<()>,
}

impl Access {
    /// Opens the sources of identity and compiles the rules; on the first start makes a signing key and, if asked to, an admin.
    ///
    /// # Errors
    /// A source does not open, or the server would stand open to the network although nobody said so.
    pub(super) async fn open(
        config: &Config,
        meta: Arc<dyn MetaStore>,
        placement: (Arc<Prefixes>, Storages),
    ) -> Result<Self, AppError> {
        let settings = &config.settings.auth;
        let foreign = Foreign::open(&settings.issuer, &settings.oidc).map_err(AuthOpenError::from)?;
        let issuer = config.token_issuer();
        let bearer = Bearer::new(issuer, settings.token_lifetime.0, Keys::default());
        let auth = Auth::open(AuthParts {
            meta: Arc::clone(&meta),
            htpasswd: settings.htpasswd.file.clone(),
            foreign,
            bearer,
            ldap: config.ldap.as_ref().map(Ldap::open).transpose().map_err(AuthOpenError::from)?,
            certificates: settings.client_certificates.user.is_some(),
            index: config.v1_enabled() && config.settings.v1.index.url.is_some(),
            addresses: Addresses::new(&settings.addresses),
        })?;
        if let Some(file) = &config.admin_password_file {
            first_admin(&*meta, file).await?;
        }
        let limits = &config.settings.limits;
        let access = Self {
            auth,
            pace: Pace::new(limits.requests_per_second.0, limits.burst.0),
            meta,
            rules: ArcSwap::from_pointee(Rules::new(written(config))),
            written: ArcSwap::from_pointee(written(config)),
            placement,
            generation: AtomicU64::new(u64::MAX),
            compiling: Mutex::default(),
            changing_namespace: Mutex::default(),
        };
        access.signing_key().await?;
        let rules = access.rules().await.map_err(|error| AppError::Access(error.to_string()))?;
        closed_door(config, config.listen(), rules.has_accounts())?;
        Ok(access)
    }

    /// The rules as of now.
    ///
    /// # Errors
    /// They have changed, and the database does not say how.
    pub(crate) async fn rules(&self) -> gantry_storage::Result<Arc<Rules>> {
        if self.generation.load(Ordering::Acquire) == self.meta.access_generation() {
            return Ok(self.rules.load_full());
        }
        let _one = self.compiling.lock().await;
        // Before the rows are read: what changes meanwhile makes another count.
        let generation = self.meta.access_generation();
        if self.generation.load(Ordering::Acquire) != generation {
            self.compile().await?;
            self.generation.store(generation, Ordering::Release);
        }
        Ok(self.rules.load_full())
    }

    /// Takes what another reading of the configuration says of access into force.
    pub(super) fn rewrite(&self, config: &Config) {
        self.written.store(Arc::new(written(config)));
        // No count is this one, so the next request compiles anew.
        self.generation.store(u64::MAX, Ordering::Release);
    }

    /// See [`super::App::tidy_access`].
    pub(super) async fn tidy(&self, keep: Option<Duration>) -> gantry_storage::Result<()> {
        let now = Timestamp::now();
        self.meta.remove_expired(now).await?;
        self.meta.remove_retired_keys(now.minus(KEY_KEPT)).await?;
        let Some(keep) = keep else { return Ok(()) };
        while self.meta.trim_audit(now.minus(keep), TRIMMED).await? == TRIMMED as u64 {}
        Ok(())
    }

    async fn compile(&self) -> gantry_storage::Result<()> {
        self.auth.set_rows(self.meta.has_accounts().await?);
        let keys = self.meta.signing_keys().await?;
        let keys: Vec<SigningKeyRow> = keys.into_iter().filter_map(key_of_row).collect();
        match Keys::from_rows(&keys) {
            Ok(keys) => self.auth.bearer().replace(keys),
            Err(error) => {
                tracing::error!(%error, "a signing key cannot be used; those read before stay in force");
            }
        }
        let mut parts = Parts::clone(&self.written.load());
        parts.accounts = self.auth.has_accounts();
        parts.namespaces.extend(self.meta.namespaces().await?.into_iter().map(|row| NamespaceParts {
            prefix: row.prefix,
            storage: row.storage,
            visibility: Some(row.visibility),
            immutable: row.immutable,
            protected: row.protected,
            description: row.description,
            origin: Origin::Row,
        }));
        parts.grants.extend(self.meta.grants().await?.into_iter().map(|row| GrantRule {
            subject: row.subject,
            role: row.role,
            pattern: row.pattern,
            origin: Origin::Row,
        }));
        let rules = Rules::new(parts);
        let (placement, storages) = &self.placement;
        let named = rules.namespaces();
        placement.replace(storages, named.iter().map(|one| (one.prefix.as_str(), one.storage.as_str())));
        self.rules.store(Arc::new(rules));
        Ok(())
    }

    /// Makes the first signing key.
    async fn signing_key(&self) -> Result<(), AppError> {
        let failed = |error: &dyn std::fmt::Display| AppError::Access(format!("the signing keys: {error}"));
        let keys = self.meta.signing_keys().await.map_err(|error| failed(&error))?;
        if keys.iter().any(|key| key.retired.is_none()) {
            return Ok(());
        }
        let entry = AuditEntry { action: "key.create".to_owned(), ..by_the_system() };
        self.rotate(entry).await.map_err(|error| failed(&error))
    }

    /// Signs with a new key from now on; the old ones are published until their last token has ended (N-12).
    ///
    /// # Errors
    /// There is no randomness, or the database failed.
    pub(crate) async fn rotate(&self, audit: AuditEntry) -> Result<(), AppError> {
        let failed = |error: &dyn std::fmt::Display| AppError::Access(format!("a signing key: {error}"));
        let key = generate(KeyAlgorithm::Es256, Timestamp::now()).map_err(|error| failed(&error))?;
        let row = SigningKey {
            kid: key.kid,
            algorithm: key.algorithm.to_string(),
            private: key.private,
            created: key.created,
            retired: None,
        };
        let audit = AuditEntry { object: row.kid.clone(), ..audit };
        self.meta.rotate_signing_key(row, audit).await.map_err(|error| failed(&error))
    }
}

/// What the configuration says of who may do what.
fn written(config: &Config) -> Parts {
    Parts {
        anonymous: without_credentials(config),
        accounts: false,
        delete: config.settings.registry.delete.clone(),
        namespaces: config.settings.namespace.iter().map(namespace_of_file).collect(),
        grants: config.grants.iter().map(grant_of_file).collect(),
        source_roles: source_roles(&config.settings.auth),
    }
}

/// What callers without credentials may do. Where it is not written, only a server on a loopback address stands open while it has no
/// accounts: one that the network reaches began with accounts, and must not open because the last of them was removed.
fn without_credentials(config: &Config) -> Option<Anonymous> {
    config.settings.auth.anonymous.or((!config.listen().ip().is_loopback()).then_some(Anonymous::None))
}

/// The roles that methods give.
fn source_roles(auth: &crate::config::AuthSettings) -> Vec<(Source, Role, &'static str)> {
    let given = [
        (Source::Htpasswd, auth.htpasswd.role.role(), "auth.htpasswd.role"),
        (Source::Ldap, auth.ldap.role.role(), "auth.ldap.role"),
        (Source::Certificate, auth.client_certificates.role.role(), "auth.client_certificates.role"),
    ];
    given.into_iter().filter_map(|(source, role, key)| Some((source, role?, key))).collect()
}

fn namespace_of_file(entry: &NamespaceEntry) -> NamespaceParts {
    NamespaceParts {
        prefix: entry.prefix.clone(),
        storage: entry.storage.to_string(),
        visibility: entry.visibility,
        immutable: entry.tags.immutable.clone(),
        protected: entry.tags.protected.clone(),
        description: entry.description.clone(),
        origin: Origin::File,
    }
}

fn grant_of_file(grant: &WrittenGrant) -> GrantRule {
    let WrittenGrant { subject, role, pattern } = grant.clone();
    GrantRule { subject, role, pattern, origin: Origin::File }
}

fn key_of_row(row: SigningKey) -> Option<SigningKeyRow> {
    let algorithm = match row.algorithm.parse() {
        Ok(algorithm) => algorithm,
        Err(error) => {
            tracing::error!(kid = row.kid, %error, "a signing key is left out");
            return None;
        }
    };
    Some(SigningKeyRow {
        kid: row.kid,
        algorithm,
        private: row.private,
        created: row.created,
        retired: row.retired,
    })
}

fn by_the_system() -> AuditEntry {
    AuditEntry { at: Timestamp::now(), subject: "system".to_owned(), allowed: true, ..AuditEntry::default() }
}

/// Refuses to stand open to the network when nobody said so. `listen`: where the server listens, whatever another reading of the
/// configuration says; `accounts`: whether rows have any.
pub(super) fn closed_door(config: &Config, listen: SocketAddr, accounts: bool) -> Result<(), ConfigError> {
    let somebody = accounts || config.has_methods() || config.admin_password_file.is_some();
    match somebody || config.settings.auth.anonymous.is_some() || listen.ip().is_loopback() {
        true => Ok(()),
        false => Err(ConfigError::OpenDoor(listen)),
    }
}

/// N-1: an admin for a server that has nobody yet.
async fn first_admin(meta: &dyn MetaStore, file: &Path) -> Result<(), AppError> {
    let failed = |error: &dyn std::fmt::Display| {
        AppError::Access(format!("GANTRY_ADMIN_PASSWORD_FILE ({}): {error}", file.display()))
    };
    if meta.account(FIRST_ADMIN).await.map_err(|error| failed(&error))?.is_some() {
        return Ok(());
    }
    let text = std::fs::read_to_string(file).map_err(|error| failed(&error))?;
    let password =
        text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    let account = NewAccount {
        name: FIRST_ADMIN.to_owned(),
        email: None,
        password: Some(password::hash_password(password).map_err(|error| failed(&error))?),
        admin: true,
        groups: Vec::new(),
        created: Timestamp::now(),
    };
    let entry =
        AuditEntry { action: "user.create".to_owned(), object: FIRST_ADMIN.to_owned(), ..by_the_system() };
    match meta.create_account(account, entry).await.map_err(|error| failed(&error))? {
        Changed::Done => tracing::info!("made the account `{FIRST_ADMIN}`, a server admin"),
        outcome => tracing::warn!(?outcome, "the account `{FIRST_ADMIN}` was not made"),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn a_server_that_the_network_reaches_does_not_open_with_its_last_account() {
        for (listen, written_anonymous, open) in [
            ("127.0.0.1:5000", None, true),
            ("[::1]:5000", None, true),
            ("0.0.0.0:5000", None, false),
            ("192.0.2.1:5000", None, false),
            ("0.0.0.0:5000", Some(Anonymous::Write), true),
            ("127.0.0.1:5000", Some(Anonymous::Read), false),
        ] {
            let mut settings = Settings::default();
            settings.server.listen = listen.parse().expect("an address");
            settings.auth.anonymous = written_anonymous;
            let config = Config::new(settings, "data".into()).expect("a configuration");
            assert_eq!(Rules::new(written(&config)).is_open(), open, "{listen} {written_anonymous:?}");
        }
    }
}
