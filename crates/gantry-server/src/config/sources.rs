//! The tables of accounts that Gantry does not keep itself (LDAP, client certificates), and of addresses, with what they mean.
//!
//! As everywhere in configuration there are two stages: the tables hold what was written, [`LdapServer`] is what it means.

use std::path::PathBuf;
use std::time::Duration;

use gantry_oci::access::Role;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::settings::table;
use super::value::Span;
use super::{ConfigError, wrong};

table! {
    /// `[auth.ldap]`: accounts and groups of a directory.
    Ldap {
        /// `ldap://HOST[:PORT]` or `ldaps://HOST[:PORT]`.
        url: Option<String> = None,
        /// Whether an `ldap://` connection is encrypted before anything is said on it.
        start_tls: bool = false,
        /// Whether passwords may cross the network unencrypted.
        allow_plain: bool = false,
        /// The authorities that sign the directory's certificate, PEM; by default those of the system.
        ca: Option<PathBuf> = None,
        /// Who searches; without it searches are anonymous.
        bind_dn: Option<String> = None,
        /// That account's password.
        bind_password: Option<Secret> = None,
        /// Below which entry users are looked for.
        user_base: Option<String> = None,
        /// Which entry is the user's; `{}` is the name that was given.
        user_filter: String = "(uid={})".to_owned(),
        /// Which attribute of the entry is the user's name here.
        user_attribute: String = "uid".to_owned(),
        /// Below which entry groups are looked for; without it there are none, unless `member_of` is set.
        group_base: Option<String> = None,
        /// Which groups are the user's; `{dn}` is the DN of the entry, `{}` the name.
        group_filter: String = "(member={dn})".to_owned(),
        /// Which attribute of a group is its name.
        group_attribute: String = "cn".to_owned(),
        /// The attribute of the user's entry that lists the DNs of the groups, in place of a search.
        member_of: Option<String> = None,
        /// The longest that a login may take.
        timeout: Span = Span(Duration::from_secs(5)),
        /// The role that these accounts have everywhere.
        role: MethodRole = MethodRole::None,
    }
}

table! {
    /// `[auth.client_certificates]`: accounts by the certificate that a client shows.
    CertificateAccounts {
        /// Which part of the certificate is the name; unset: certificates name nobody.
        user: Option<CertificateUser> = None,
        /// The role that these accounts have everywhere.
        role: MethodRole = MethodRole::None,
    }
}

table! {
    /// `[auth.addresses]`: from where anything may be asked.
    AddressRules {
        /// The networks that may; empty: all.
        allow: Vec<IpNet> = Vec::new(),
        /// The networks that may not, whatever `allow` says.
        deny: Vec<IpNet> = Vec::new(),
    }
}

/// What the accounts of a method may do everywhere, beside what they are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MethodRole {
    /// Nothing.
    None,
    /// Pull.
    Pull,
    /// And push.
    Push,
    /// And delete.
    Delete,
    /// And grant.
    Admin,
}

impl MethodRole {
    /// The role, if there is one.
    #[must_use]
    pub fn role(self) -> Option<Role> {
        match self {
            MethodRole::None => None,
            MethodRole::Pull => Some(Role::Pull),
            MethodRole::Push => Some(Role::Push),
            MethodRole::Delete => Some(Role::Delete),
            MethodRole::Admin => Some(Role::Admin),
        }
    }
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked.
    Off,
    /// Those that have one; a wrong one ends the handshake.
    Optional,
    /// All of them; none or a wrong one ends the handshake.
    Required,
}

/// The part of a certificate that is its owner's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateUser {
    /// The common name of the subject.
    Cn,
    /// The first DNS name or e-mail address of the subject's alternative names.
    San,
    /// The SPIFFE ID.
    Spiffe,
}

/// A directory, checked.
#[derive(Clone, Debug)]
pub struct LdapServer {
    /// Scheme, host and port.
    pub url: String,
    /// Whether StartTLS comes first.
    pub start_tls: bool,
    /// Whether the connection is encrypted, in either way.
    pub encrypted: bool,
    /// The authorities that sign its certificate; `None`: those of the system.
    pub ca: Option<PathBuf>,
    /// Who searches: DN and password; `None`: nobody in particular.
    pub searcher: Option<(String, Secret)>,
    /// See [`Ldap`].
    pub user_base: String,
    /// See [`Ldap`].
    pub user_filter: String,
    /// See [`Ldap`].
    pub user_attribute: String,
    /// Where groups come from.
    pub groups: LdapGroups,
    /// The longest that a login may take.
    pub timeout: Duration,
}

/// Where the groups of a user come from.
#[derive(Clone, Debug)]
pub enum LdapGroups {
    /// There are none.
    None,
    /// A search; fields as in [`Ldap`].
    Search {
        /// `group_base`
        base: String,
        /// `group_filter`
        filter: String,
        /// `group_attribute`
        attribute: String,
    },
    /// An attribute of the user's entry.
    Listed {
        /// `member_of`
        attribute: String,
        /// `group_base`: groups elsewhere do not count.
        below: Option<String>,
        /// `group_attribute`: the part of the DN that is the name.
        name: String,
    },
}

impl LdapServer {
    /// What the table means; `None`: there is no directory.
    pub(super) fn new(ldap: &Ldap) -> Result<Option<Self>, ConfigError> {
        let Some(url) = &ldap.url else {
            return match &ldap.user_base {
                Some(_) => Err(wrong("auth.ldap.url", "is missing: auth.ldap.user_base needs a server")),
                None => Ok(None),
            };
        };
        let address = Address::parse(url)?;
        if address.tls && ldap.start_tls {
            return Err(wrong("auth.ldap.start_tls", "is for ldap:// only: ldaps:// is encrypted anyway"));
        }
        let encrypted = address.tls || ldap.start_tls;
        if !encrypted && !address.loopback && !ldap.allow_plain {
            return Err(wrong(
                "auth.ldap.url",
                &format!(
                    "is `{url}`: passwords would cross the network unencrypted. Expected ldaps://, or \
                     auth.ldap.start_tls = true, or, if this is what you want, auth.ldap.allow_plain = true"
                ),
            ));
        }
        if encrypted && address.host.starts_with('[') {
            return Err(wrong("auth.ldap.url", "names an IPv6 address: TLS needs the name of the host"));
        }
        if ldap.ca.is_some() && !encrypted {
            return Err(wrong("auth.ldap.ca", "means nothing without TLS: expected ldaps:// or start_tls"));
        }
        let searcher = match (&ldap.bind_dn, &ldap.bind_password) {
            (Some(dn), Some(password)) if !dn.is_empty() => Some((dn.clone(), password.clone())),
            (None, None) => None,
            (None, Some(_)) => return Err(wrong("auth.ldap.bind_dn", "is missing: the password needs it")),
            _ => return Err(wrong("auth.ldap.bind_password", "is missing: auth.ldap.bind_dn needs it")),
        };
        let Some(user_base) = ldap.user_base.clone() else {
            return Err(wrong("auth.ldap.user_base", "is missing: expected the DN below which users are"));
        };
        check_filter("auth.ldap.user_filter", &ldap.user_filter, &["{}"])?;
        check_attribute("auth.ldap.user_attribute", &ldap.user_attribute)?;
        check_attribute("auth.ldap.group_attribute", &ldap.group_attribute)?;
        let groups = match (&ldap.member_of, &ldap.group_base) {
            (Some(attribute), below) => {
                check_attribute("auth.ldap.member_of", attribute)?;
                LdapGroups::Listed {
                    attribute: attribute.clone(),
                    below: below.clone(),
                    name: ldap.group_attribute.clone(),
                }
            }
            (None, Some(base)) => {
                check_filter("auth.ldap.group_filter", &ldap.group_filter, &["{}", "{dn}"])?;
                LdapGroups::Search {
                    base: base.clone(),
                    filter: ldap.group_filter.clone(),
                    attribute: ldap.group_attribute.clone(),
                }
            }
            (None, None) => LdapGroups::None,
        };
        if !(Duration::from_millis(100)..=Duration::from_secs(60)).contains(&ldap.timeout.0) {
            return Err(wrong("auth.ldap.timeout", "is out of range: expected 100ms to 1m"));
        }
        Ok(Some(Self {
            url: address.url(),
            start_tls: ldap.start_tls,
            encrypted,
            ca: ldap.ca.clone(),
            searcher,
            user_base,
            user_filter: ldap.user_filter.clone(),
            user_attribute: ldap.user_attribute.clone(),
            groups,
            timeout: ldap.timeout.0,
        }))
    }
}

struct Address {
    tls: bool,
    host: String,
    port: Option<u16>,
    loopback: bool,
}

impl Address {
    fn parse(url: &str) -> Result<Self, ConfigError> {
        let expected = || {
            wrong(
                "auth.ldap.url",
                &format!("is `{url}`: expected an URL such as \"ldaps://ldap.example.com\""),
            )
        };
        let parsed: http::Uri = url.parse().map_err(|_| expected())?;
        let tls = match parsed.scheme_str() {
            Some("ldap") => false,
            Some("ldaps") => true,
            _ => return Err(expected()),
        };
        let authority = parsed.authority().ok_or_else(expected)?;
        let host = authority.host().to_owned();
        let bare = matches!(parsed.path(), "" | "/") && parsed.query().is_none();
        if host.is_empty() || !bare || authority.as_str().contains('@') {
            return Err(expected());
        }
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        let loopback = host.eq_ignore_ascii_case("localhost") || ip.is_ok_and(|ip| ip.is_loopback());
        Ok(Self { tls, host, port: authority.port_u16(), loopback })
    }

    fn url(&self) -> String {
        let scheme = if self.tls { "ldaps" } else { "ldap" };
        let port = self.port.unwrap_or(if self.tls { 636 } else { 389 });
        format!("{scheme}://{}:{port}", self.host)
    }
}

/// A filter is tried with something in its places, so that a mistake is told at start and not at the first login.
fn check_filter(key: &'static str, filter: &str, places: &[&str]) -> Result<(), ConfigError> {
    if !places.iter().any(|place| filter.contains(place)) {
        return Err(wrong(key, &format!("is `{filter}`: expected {} in it", places.join(" or "))));
    }
    let filled = places.iter().fold(filter.to_owned(), |filter, place| filter.replace(place, "x"));
    match ldap3::parse_filter(&filled) {
        Ok(_) => Ok(()),
        Err(()) => Err(wrong(key, &format!("is `{filter}`: expected a filter such as (uid={{}})"))),
    }
}

fn check_attribute(key: &'static str, attribute: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    match !attribute.is_empty() && attribute.bytes().all(fits) {
        true => Ok(()),
        false => Err(wrong(key, &format!("is `{attribute}`: expected the name of an attribute"))),
    }
}

/// Certificates that are asked for need an authority, and names from certificates need certificates.
pub(super) fn check_certificates(settings: &super::Settings) -> Result<(), ConfigError> {
    let tls = &settings.server.tls;
    match (tls.client_certificates, &tls.client_ca) {
        (ClientCertificates::Off, None) => {}
        (ClientCertificates::Off, Some(_)) => {
            return Err(wrong(
                "server.tls.client_certificates",
                "is off, although server.tls.client_ca is set: expected \"optional\" or \"required\"",
            ));
        }
        (_, None) => {
            return Err(wrong("server.tls.client_ca", "is missing: who signs the clients' certificates?"));
        }
        (_, Some(_)) if tls.certificate.is_none() => {
            return Err(wrong("server.tls.certificate", "is missing: client certificates need TLS"));
        }
        (_, Some(_)) => {}
    }
    if settings.auth.client_certificates.user.is_some() && tls.client_certificates == ClientCertificates::Off
    {
        return Err(wrong(
            "auth.client_certificates.user",
            "needs server.tls.client_certificates = \"optional\" or \"required\"",
        ));
    }
    Ok(())
}
