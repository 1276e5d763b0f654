//! `[v1]`: the Docker Registry API v1, which is on loopback addresses by itself and elsewhere when it is asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gantry_oci::v1::Platform;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use super::settings::table;
use super::value::Span;

table! {
    /// `[v1]`
    V1 {
        /// Whether it is served. Unset: on a loopback address.
        enabled: Option<bool> = None,
        /// The host names (without port) that answer v1; none: all.
        hosts: Vec<String> = Vec::new(),
        /// Host names that answer v1 and hide V2, for clients that push by V2 as soon as they see it (Docker 1.5 to 1.9).
        only_hosts: Vec<String> = Vec::new(),
        /// What `X-Docker-Registry-Standalone` says: whether clients send passwords instead of tokens.
        standalone: bool = false,
        /// Whether pushing is possible by v1.
        push: bool = true,
        /// Whether pulling is possible by v1.
        pull: bool = true,
        /// Whether searching is possible.
        search: bool = true,
        /// How long v1 tokens count.
        token_lifetime: Span = Span(Duration::from_secs(3600)),
        /// Whether `docker login` makes accounts for names that nobody has.
        sign_up: bool = false,
        /// The platform of an index that v1 clients get.
        default_platform: PlatformName = PlatformName::default(),
        /// Whether V2 finds `foo` as `library/foo` and the other way round, when only one of them is there, for reading.
        library_alias: bool = true,
        /// Whether Docker 1.5 to 1.9 are sent from V2 manifests that they cannot read to v1.
        old_docker: bool = true,
        /// `[v1.index]`
        index: V1Index = V1Index::default(),
        /// `[v1.mirror]`
        mirror: V1Mirror = V1Mirror::default(),
    }
}

table! {
    /// `[v1.index]`: an external Index that says who may do what.
    V1Index {
        /// Its address, such as `https://index.example.com`; unset: this server is its own Index.
        url: Option<String> = None,
        /// The authority of its certificate, PEM; unset: those of the system.
        ca: Option<PathBuf> = None,
        /// How long to wait for it.
        timeout: Span = Span(Duration::from_secs(5)),
        /// How long what it said of a token counts without asking again.
        cache: Span = Span(Duration::from_secs(60)),
        /// Whether it is asked about each layer of private repositories (`layer/ID/access`).
        layer_access: bool = false,
    }
}

table! {
    /// `[v1.mirror]`: another v1 registry, from which is fetched what is missing.
    V1Mirror {
        /// The registry, such as `https://registry.example.com`; unset: nothing is mirrored.
        source: Option<String> = None,
        /// Its Index; unset: the registry itself.
        index: Option<String> = None,
        /// The authority of their certificates, PEM; unset: those of the system.
        ca: Option<PathBuf> = None,
        /// The account there; unset: none.
        username: Option<String> = None,
        /// Its password.
        password: Option<Secret> = None,
        /// Repositories that are mirrored, as patterns; none: all.
        repositories: Vec<String> = Vec::new(),
        /// How long to wait for an answer to begin, and for the next bytes.
        timeout: Span = Span(Duration::from_secs(30)),
        /// How long a tag that was fetched counts without asking again.
        tags: Span = Span(Duration::from_secs(300)),
    }
}

/// `os/architecture`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlatformName(pub Platform);

impl Default for PlatformName {
    fn default() -> Self {
        Self(Platform { os: "linux".to_owned(), architecture: "amd64".to_owned() })
    }
}

impl FromStr for PlatformName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('/') {
            Some((os, architecture))
                if !os.is_empty() && !architecture.is_empty() && !architecture.contains('/') =>
            {
                Ok(Self(Platform { os: os.to_owned(), architecture: architecture.to_owned() }))
            }
            _ => Err(format!("`{text}` is not a platform: expected one such as \"linux/amd64\"")),
        }
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0.os, self.0.architecture)
    }
}
