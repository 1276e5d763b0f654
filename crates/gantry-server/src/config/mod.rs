//! Configuration: a file, the environment and the command line become one value that is already valid.
//!
//! Two stages. [`Settings`] is what was written, every key with its default. [`Config`] is what it means:
//! defaults that depend on each other are decided, and what cannot work is refused here, with a message that
//! says what to do. Nothing reads the environment later.

mod load;
mod namespaces;
mod secret;
mod settings;
mod sources;
mod tokens;
mod v1;
mod v1_rules;
mod value;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use load::{ConfigError, Sources, admin_password_file, arm_failpoints, environment, load};
pub use namespaces::WrittenGrant;
pub use secret::{Secret, SecretError};
pub use settings::{
    Alpn, Anonymous, Auth as AuthSettings, Deletable, LogFormat, LogLevel, NamespaceEntry, Settings,
    Tls as TlsSettings, TlsVersion,
};
pub use sources::{AddressRules, CertificateUser, ClientCertificates, LdapGroups, LdapServer, MethodRole};
pub use tokens::{Issuer as IssuerSettings, Oidc as OidcSettings, OidcRule};
pub(crate) use tokens::{is_url, web_address};
pub use v1::{V1 as V1Settings, V1Index, V1Mirror};
pub use v1_rules::V1_LIFETIMES;
pub use value::{ByteSize, Limit, OptionalAddress, OptionalSpan, Rate, Span, StorageName, Texts};

/// The commented example file: every key with its default.
pub const EXAMPLE: &str = include_str!("../../../../gantry.example.toml");

/// What a server needs to know, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Everything that was written or left at its default.
    pub settings: Settings,
    /// Where data lives.
    pub data_dir: PathBuf,
    /// The directories of the storages beside `default`, by name.
    pub storages: BTreeMap<String, PathBuf>,
    /// The grants of `[[namespace]]` tables.
    pub grants: Vec<WrittenGrant>,
    /// The file with the password of the first account: see [`admin_password_file`].
    pub admin_password_file: Option<PathBuf>,
    /// The certificate and key, when the registry speaks TLS.
    pub tls: Option<TlsFiles>,
    /// The directory that knows accounts and groups.
    pub ldap: Option<LdapServer>,
    /// The path under which a proxy publishes the registry (from `server.public_url`), without a slash at its end.
    pub base_path: String,
}

/// The files of `[server.tls]`.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// The authorities of clients, PEM, and whether all clients need a certificate; `None`: nobody is asked for one.
    pub clients: Option<(PathBuf, Demand)>,
}

/// How much a client's certificate is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Who has none may go on.
    Optional,
    /// Who has none may not.
    Required,
}

impl Config {
    /// Decides what `settings` mean.
    ///
    /// # Errors
    /// Settings that contradict each other.
    pub fn new(settings: Settings, data_dir: PathBuf) -> Result<Self, ConfigError> {
        let tls = match (&settings.server.tls.certificate, &settings.server.tls.key) {
            (Some(certificate), Some(key)) => {
                let tls = &settings.server.tls;
                let clients = match (&tls.client_ca, tls.client_certificates) {
                    (None, _) | (_, ClientCertificates::Off) => None,
                    (Some(ca), ClientCertificates::Optional) => Some((ca.clone(), Demand::Optional)),
                    (Some(ca), ClientCertificates::Required) => Some((ca.clone(), Demand::Required)),
                };
                Some(TlsFiles { certificate: certificate.clone(), key: key.clone(), clients })
            }
            (None, None) => None,
            (Some(_), None) => {
                return Err(wrong("server.tls.key", "is missing: the certificate needs its key"));
            }
            (None, Some(_)) => {
                return Err(wrong("server.tls.certificate", "is missing: the key needs its certificate"));
            }
        };
        sources::check_certificates(&settings)?;
        let ldap = LdapServer::new(&settings.auth.ldap)?;
        if settings.server.tls.alpn.is_empty() {
            return Err(wrong("server.tls.alpn", "is empty: expected \"h2\", \"http/1.1\" or both"));
        }
        if settings.server.proxy_protocol && settings.server.trusted_proxies.is_empty() {
            return Err(wrong(
                "server.proxy_protocol",
                "needs server.trusted_proxies: only they are believed",
            ));
        }
        let base_path = match &settings.server.public_url {
            Some(url) => base_path(url)?,
            None => String::new(),
        };
        v1_rules::check(&settings)?;
        for media_type in &settings.registry.manifest_types {
            if gantry_oci::media_type::essence(media_type) != Some(media_type.as_str()) {
                return Err(wrong(
                    "registry.manifest_types",
                    &format!("holds `{media_type}`: expected `type/subtype`"),
                ));
            }
        }
        let limits = &settings.limits;
        if limits.manifest.0 == 0 || limits.manifest.0 > 64 << 20 {
            return Err(wrong(
                "limits.manifest",
                "is out of range: expected at most 64MiB, and more than nothing",
            ));
        }
        if limits.inline_blob.0 > 1 << 20 {
            return Err(wrong("limits.inline_blob", "is out of range: expected at most 1MiB"));
        }
        if limits.burst.0.is_some() && limits.requests_per_second.0.is_none() {
            return Err(wrong(
                "limits.burst",
                "is set and limits.requests_per_second is not: nothing is counted",
            ));
        }
        for (key, value) in [
            ("limits.connections", limits.connections),
            ("limits.tags_page", limits.tags_page),
            ("limits.catalog_page", limits.catalog_page),
            ("limits.referrers_page", limits.referrers_page),
        ] {
            if value == 0 {
                return Err(wrong(key, "is 0: expected at least 1"));
            }
        }
        for (key, value) in [
            ("limits.header_timeout", limits.header_timeout),
            ("limits.idle_timeout", limits.idle_timeout),
            ("limits.body_timeout", limits.body_timeout),
            ("sweep.upload_expiry", settings.sweep.upload_expiry),
        ] {
            if value.0 < Duration::from_millis(100) {
                return Err(wrong(key, "is too short: expected at least 100ms"));
            }
        }
        check_sweep(&settings.sweep)?;
        tokens::check(&settings.auth, token_issuer(&settings))?;
        v1::check(&settings.v1)?;
        if settings.verify.interval.0.is_some_and(|interval| interval < Duration::from_millis(100)) {
            return Err(wrong("verify.interval", "is too short: expected at least 100ms, or \"off\""));
        }
        if settings.verify.rate.0 == 0 {
            return Err(wrong(
                "verify.rate",
                "is 0: expected at least one byte; verify.interval = \"off\" ends checks",
            ));
        }
        let storages = storages(&settings)?;
        let grants = namespaces::check(&settings)?;
        Ok(Self { settings, data_dir, storages, grants, admin_password_file: None, tls, ldap, base_path })
    }

    /// Whether a method is configured by which callers can be somebody, beside accounts in the database.
    pub fn has_methods(&self) -> bool {
        let auth = &self.settings.auth;
        auth.htpasswd.file.is_some()
            || self.ldap.is_some()
            || auth.client_certificates.user.is_some()
            || !auth.issuer.is_empty()
            || !auth.oidc.is_empty()
            || (self.v1_enabled() && self.settings.v1.index.url.is_some())
    }

    /// Whether the v1 API is served: unless it is said, on a loopback address only.
    pub fn v1_enabled(&self) -> bool {
        self.settings.v1.enabled.unwrap_or_else(|| self.listen().ip().is_loopback())
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        let written = self.settings.metadata.sqlite.path.clone();
        written.unwrap_or_else(|| self.data_dir.join("gantry.db"))
    }

    /// The directory of a storage.
    pub fn storage_path(&self, name: &str) -> PathBuf {
        match self.storages.get(name) {
            Some(path) => path.clone(),
            None => self.default_storage().unwrap_or_else(|| self.data_dir.clone()),
        }
    }

    /// The directory of the storage `default`; `None`: the data directory.
    pub fn default_storage(&self) -> Option<PathBuf> {
        self.settings.storage.0.get(&StorageName::default()).and_then(|entry| entry.local.path.clone())
    }

    /// Where the registry listens.
    pub fn listen(&self) -> SocketAddr {
        self.settings.server.listen.0
    }

    /// What stands in `iss` of our own tokens.
    pub fn token_issuer(&self) -> &str {
        token_issuer(&self.settings)
    }

    /// Addresses whose forwarding headers are believed.
    pub fn trusted_proxies(&self) -> &[IpNet] {
        &self.settings.server.trusted_proxies
    }
}

/// What stands in `iss` of our own tokens.
fn token_issuer(settings: &Settings) -> &str {
    settings.server.public_url.as_deref().unwrap_or("gantry")
}

/// The directories of the storages beside `default`.
fn storages(settings: &Settings) -> Result<BTreeMap<String, PathBuf>, ConfigError> {
    let others = settings.storage.0.iter().filter(|(name, _)| **name != StorageName::default());
    others
        .map(|(name, entry)| match &entry.local.path {
            Some(path) => Ok((name.to_string(), path.clone())),
            None => Err(wrong(
                format!("storage.{name}.local.path"),
                "is missing: only the storage `default` has a directory of its own accord",
            )),
        })
        .collect()
}

/// A promise must outlive what relies on it.
fn check_sweep(sweep: &settings::Sweep) -> Result<(), ConfigError> {
    if sweep.grace < sweep.upload_expiry {
        let (grace, expiry) = (sweep.grace, sweep.upload_expiry);
        return Err(wrong(
            "sweep.grace",
            &format!(
                "is {grace}, shorter than sweep.upload_expiry ({expiry}): an upload may pause that long, and the blobs that \
                 were pushed before it must still be there for its manifest"
            ),
        ));
    }
    if sweep.interval.0.is_some_and(|interval| interval < Duration::from_millis(10)) {
        return Err(wrong("sweep.interval", "is too short: expected at least 10ms, or \"off\""));
    }
    if sweep.untagged.0.is_some_and(|untagged| untagged < sweep.grace.0) {
        return Err(wrong(
            "sweep.untagged",
            "is shorter than sweep.grace: an index may be pushed that long after its manifests",
        ));
    }
    Ok(())
}

fn wrong(key: impl Into<Cow<'static, str>>, what: &str) -> ConfigError {
    ConfigError::Value { key: key.into(), what: what.to_owned() }
}

/// The path of an absolute http(s) URL, without a slash at its end.
fn base_path(url: &str) -> Result<String, ConfigError> {
    let expected = || {
        wrong(
            "server.public_url",
            &format!("is `{url}`: expected an URL such as \"https://registry.example.com\""),
        )
    };
    let parsed: http::Uri = url.parse().map_err(|_| expected())?;
    if !matches!(parsed.scheme_str(), Some("http" | "https"))
        || parsed.host().is_none()
        || parsed.query().is_some()
    {
        return Err(expected());
    }
    Ok(parsed.path().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests;
