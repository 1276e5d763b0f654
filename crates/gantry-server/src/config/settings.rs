//! The first stage of configuration: what was written, with a default for every key.
//!
//! One struct for each table of `gantry.example.toml`, in the same order. Nothing here is interpreted;
//! [`super::Config`] is the second stage.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use gantry_oci::access::{TagPattern, Visibility};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::sources::{AddressRules, CertificateAccounts, ClientCertificates, Ldap, MethodRole};
use super::tokens::{Issuer, Oidc};
use super::v1::V1;
use super::value::{Address, ByteSize, Limit, OptionalAddress, OptionalSpan, Rate, Span, StorageName};

/// A table of the file: its keys with their defaults, and nothing else.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty = $default:expr),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        #[cfg(test)]
        impl $crate::config::tests::Keys for $name {
            fn keys(path: &str, found: &mut Vec<String>) {
                $(<$type as $crate::config::tests::Keys>::keys(&format!("{path}.{}", stringify!($field)), found);)*
            }
        }
    };
}
pub(super) use table;

table! {
    /// The whole file.
    Settings {
        /// `[server]`
        server: Server = Server::default(),
        /// `[operator]`
        operator: Operator = Operator::default(),
        /// `[log]`
        log: Log = Log::default(),
        /// `[metadata]`
        metadata: Metadata = Metadata::default(),
        /// `[storage]`
        storage: Storage = Storage::default(),
        /// `[[namespace]]`
        namespace: Vec<NamespaceEntry> = Vec::new(),
        /// `[auth]`
        auth: Auth = Auth::default(),
        /// `[registry]`
        registry: Registry = Registry::default(),
        /// `[limits]`
        limits: Limits = Limits::default(),
        /// `[v1]`
        v1: V1 = V1::default(),
        /// `[sweep]`
        sweep: Sweep = Sweep::default(),
        /// `[verify]`
        verify: Verify = Verify::default(),
        /// `[audit]`
        audit: Audit = Audit::default(),
    }
}

impl Settings {
    /// The tables in which `other` differs in something that is only read at the start.
    pub(crate) fn other_tables(&self, other: &Settings) -> Vec<String> {
        let fixed = |settings: &Settings| {
            let mut same = settings.clone();
            same.namespace = Vec::new();
            same.auth.anonymous = None;
            same.auth.htpasswd.role = MethodRole::None;
            same.auth.ldap.role = MethodRole::None;
            same.auth.client_certificates.role = MethodRole::None;
            same.registry.delete = Vec::new();
            same.log.level = LogLevel::Info;
            toml::Table::try_from(same).unwrap_or_default()
        };
        let (now, then) = (fixed(self), fixed(other));
        let names: BTreeSet<&String> = now.keys().chain(then.keys()).collect();
        let differs = |name: &&&String| now.get(name.as_str()) != then.get(name.as_str());
        names.iter().filter(differs).map(|name| format!("[{name}]")).collect()
    }
}

table! {
    /// `[server]`: the address that clients talk to.
    Server {
        /// Where the registry listens.
        listen: Address = Address(([127, 0, 0, 1], 5000).into()),
        /// The URL by which clients reach the registry, when it is not the one they ask for.
        public_url: Option<String> = None,
        /// Addresses whose forwarding headers (and PROXY protocol) are believed.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// Whether trusted proxies speak the PROXY protocol (version 1 or 2) first.
        proxy_protocol: bool = false,
        /// How long requests under way may take after SIGTERM.
        shutdown_grace: Span = Span(std::time::Duration::from_secs(30)),
        /// `[server.tls]`
        tls: Tls = Tls::default(),
    }
}

table! {
    /// `[server.tls]`: HTTPS, when both files are named.
    Tls {
        /// The certificate chain, PEM, leaf first.
        certificate: Option<PathBuf> = None,
        /// The private key, PEM.
        key: Option<PathBuf> = None,
        /// The oldest version that is spoken.
        minimum_version: TlsVersion = TlsVersion::Tls12,
        /// The protocols that are offered, most wanted first.
        alpn: Vec<Alpn> = vec![Alpn::H2, Alpn::Http11],
        /// The authorities whose certificates clients may show, PEM.
        client_ca: Option<PathBuf> = None,
        /// Whether clients show certificates.
        client_certificates: ClientCertificates = ClientCertificates::Off,
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum TlsVersion {
    /// TLS 1.2
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    Tls13,
}

/// A protocol that TLS can negotiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Alpn {
    /// HTTP/2
    #[serde(rename = "h2")]
    H2,
    /// HTTP/1.1
    #[serde(rename = "http/1.1")]
    Http11,
}

table! {
    /// `[operator]`: the address for metrics and health, not for clients.
    Operator {
        /// Where it listens; `off` closes it.
        listen: OptionalAddress = OptionalAddress(Some(([127, 0, 0, 1], 5001).into())),
    }
}

table! {
    /// `[log]`: what is written to standard error.
    Log {
        /// `human` or `json`.
        format: LogFormat = LogFormat::Human,
        /// The least important level that is written.
        level: LogLevel = LogLevel::Info,
        /// Whether each request gets a line.
        access: bool = true,
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For reading.
    Human,
    /// One JSON object each.
    Json,
}

/// How important a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only what needs somebody.
    Error,
    /// And what may soon.
    Warn,
    /// And what happened.
    Info,
    /// And how.
    Debug,
    /// And everything.
    Trace,
}

table! {
    /// `[metadata]`: where relations are kept.
    Metadata {
        /// `[metadata.sqlite]`
        sqlite: Sqlite = Sqlite::default(),
    }
}

table! {
    /// `[metadata.sqlite]`: the embedded database.
    Sqlite {
        /// The file; by default `gantry.db` in the data directory.
        path: Option<PathBuf> = None,
    }
}

/// `[storage]`: where bytes are kept, by name. `default` is always there.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(from = "BTreeMap<StorageName, StorageEntry>")]
pub struct Storage(pub BTreeMap<StorageName, StorageEntry>);

impl From<BTreeMap<StorageName, StorageEntry>> for Storage {
    fn from(mut written: BTreeMap<StorageName, StorageEntry>) -> Self {
        written.entry(StorageName::default()).or_default();
        Self(written)
    }
}

impl Default for Storage {
    fn default() -> Self {
        Self::from(BTreeMap::new())
    }
}

#[cfg(test)]
impl super::tests::Keys for Storage {
    fn keys(path: &str, found: &mut Vec<String>) {
        StorageEntry::keys(&format!("{path}.default"), found);
    }
}

table! {
    /// `[storage.NAME]`: one place for bytes.
    StorageEntry {
        /// `[storage.NAME.local]`
        local: Local = Local::default(),
    }
}

table! {
    /// `[storage.NAME.local]`: a directory in the layout of the Distribution registry.
    Local {
        /// The directory; of `default`, the data directory if it is not written.
        path: Option<PathBuf> = None,
    }
}

table! {
    /// `[[namespace]]`: what holds for the repositories below a prefix.
    NamespaceEntry {
        /// Whole components: `team` covers `team` and `team/app`. The empty text is everything.
        prefix: String = String::new(),
        /// Where pushes go.
        storage: StorageName = StorageName::default(),
        /// Who sees it without a right; unset: as what stands around it.
        visibility: Option<Visibility> = None,
        /// Rights: `SUBJECT ROLE`, on the prefix, or `SUBJECT ROLE PATTERN` on a part of it.
        grants: Vec<String> = Vec::new(),
        /// `[namespace.tags]`
        tags: TagRules = TagRules::default(),
        /// For people.
        description: String = String::new(),
    }
}

table! {
    /// `[namespace.tags]`: tags that stay.
    TagRules {
        /// Tags that cannot be moved or removed, by anybody.
        immutable: Vec<TagPattern> = Vec::new(),
        /// Tags that only an admin moves or removes.
        protected: Vec<TagPattern> = Vec::new(),
    }
}

table! {
    /// `[auth]`: who callers are.
    Auth {
        /// What callers without credentials may do. Unset: nothing when accounts exist, everything on a loopback address without.
        anonymous: Option<Anonymous> = None,
        /// How long the bearer tokens of this server count.
        token_lifetime: Span = Span(std::time::Duration::from_secs(300)),
        /// How long its refresh tokens count.
        refresh_lifetime: Span = Span(std::time::Duration::from_secs(90 * 24 * 3600)),
        /// Where clients get bearer tokens, when it is not `/v2/token` of this server.
        realm: Option<String> = None,
        /// `[auth.htpasswd]`
        htpasswd: Htpasswd = Htpasswd::default(),
        /// `[auth.ldap]`
        ldap: Ldap = Ldap::default(),
        /// `[auth.client_certificates]`
        client_certificates: CertificateAccounts = CertificateAccounts::default(),
        /// `[auth.addresses]`
        addresses: AddressRules = AddressRules::default(),
        /// `[[auth.issuer]]`
        issuer: Vec<Issuer> = Vec::new(),
        /// `[[auth.oidc]]`
        oidc: Vec<Oidc> = Vec::new(),
    }
}

/// What callers without credentials may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Nothing.
    None,
    /// Pull.
    Read,
    /// Pull, push and delete.
    Write,
}

table! {
    /// `[auth.htpasswd]`: accounts in a file of `name:bcrypt-hash` lines.
    Htpasswd {
        /// The file.
        file: Option<PathBuf> = None,
        /// The role that these accounts have everywhere.
        role: MethodRole = MethodRole::Delete,
    }
}

table! {
    /// `[registry]`: what is accepted.
    Registry {
        /// Whether an index may be pushed before (or without) the manifests that it lists.
        sparse_index: bool = false,
        /// Whether an image may be pushed before (or without) the blobs that it names.
        sparse_image: bool = false,
        /// Manifest media types accepted beside the four of Docker and OCI.
        manifest_types: Vec<String> = Vec::new(),
        /// What may be deleted.
        delete: Vec<Deletable> = vec![Deletable::Tag, Deletable::Manifest, Deletable::Blob],
    }
}

/// A kind of thing that clients can delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deletable {
    /// Tags.
    Tag,
    /// Manifests.
    Manifest,
    /// Blobs.
    Blob,
}

table! {
    /// `[limits]`: how much is too much.
    Limits {
        /// The largest manifest.
        manifest: ByteSize = ByteSize(4 << 20),
        /// The largest blob.
        upload: Limit = Limit(None),
        /// Blobs up to this size live in the database.
        inline_blob: ByteSize = ByteSize(16 << 10),
        /// Memory for cached manifests, blob records and lists of referrers.
        cache: ByteSize = ByteSize(16 << 20),
        /// Connections open at once.
        connections: usize = 10_000,
        /// The longest wait for the head of a request.
        header_timeout: Span = Span(std::time::Duration::from_secs(15)),
        /// The longest silence between requests on a connection.
        idle_timeout: Span = Span(std::time::Duration::from_secs(60)),
        /// The longest silence within a request or an answer.
        body_timeout: Span = Span(std::time::Duration::from_secs(60)),
        /// Requests in a second that a caller (an account, else an address) may make in the long run; `off`: any number.
        requests_per_second: Rate = Rate(None),
        /// Requests that a caller may make at once; `off`: as many as in a second.
        burst: Rate = Rate(None),
        /// Tags in one page.
        tags_page: usize = 10_000,
        /// Repositories in one page.
        catalog_page: usize = 1_000,
        /// Referrers in one page.
        referrers_page: usize = 1_000,
    }
}

table! {
    /// `[sweep]`: what goes by itself.
    Sweep {
        /// How often what nothing names is removed; `off`: only by `gantry sweep`.
        interval: OptionalSpan = OptionalSpan(Some(std::time::Duration::from_secs(3600))),
        /// How long a client may rely on having been told that a blob or manifest is there.
        grace: Span = Span(std::time::Duration::from_secs(24 * 3600)),
        /// How long manifests stay that neither a tag nor an index names; `off`: for good.
        untagged: OptionalSpan = OptionalSpan(None),
        /// How long an upload session without activity is kept.
        upload_expiry: Span = Span(std::time::Duration::from_secs(24 * 3600)),
    }
}

table! {
    /// `[verify]`: reading again what is stored.
    Verify {
        /// How old the last check of a blob or manifest may become; `off`: nothing is checked by itself.
        interval: OptionalSpan = OptionalSpan(Some(std::time::Duration::from_secs(7 * 24 * 3600))),
        /// Bytes in a second that checking in the background reads at most.
        rate: ByteSize = ByteSize(32 << 20),
    }
}

table! {
    /// `[audit]`: who did what.
    Audit {
        /// How long entries are kept; `off`: for good.
        keep: OptionalSpan = OptionalSpan(Some(std::time::Duration::from_secs(90 * 24 * 3600))),
    }
}
