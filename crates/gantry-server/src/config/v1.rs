//! `[v1]`: the Docker Registry API v1, which is on loopback addresses by itself and elsewhere when it is asked for.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use gantry_oci::access::RepoPattern;
use gantry_oci::v1::Platform;
use serde::{Deserialize, Serialize};

use super::load::ConfigError;
use super::secret::Secret;
use super::settings::table;
use super::tokens::web_address;
use super::value::Span;
use super::wrong;

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

/// How long the word of an Index can count.
const CACHE_MAX: Duration = Duration::from_secs(3600);

/// Refuses what cannot work, or would send what is secret where anybody can read it.
pub(super) fn check(v1: &V1) -> Result<(), ConfigError> {
    let V1 { index, mirror, .. } = v1;
    check_server("v1.index.url", index.url.as_deref())?;
    check_server("v1.mirror.source", mirror.source.as_deref())?;
    check_server("v1.mirror.index", mirror.index.as_deref())?;
    for (key, timeout) in [("v1.index.timeout", index.timeout), ("v1.mirror.timeout", mirror.timeout)] {
        if timeout.0 < Duration::from_millis(100) {
            return Err(wrong(key, "is too short: expected at least 100ms"));
        }
    }
    if index.cache.0 > CACHE_MAX {
        return Err(wrong(
            "v1.index.cache",
            "is too long: expected at most 1h, since a token that was taken back counts as long",
        ));
    }
    if index.url.is_none() && (index.ca.is_some() || index.layer_access) {
        return Err(wrong("v1.index.url", "is missing: the other keys of v1.index need it"));
    }
    let written = mirror.index.is_some()
        || mirror.ca.is_some()
        || mirror.username.is_some()
        || mirror.password.is_some()
        || !mirror.repositories.is_empty();
    if mirror.source.is_none() && written {
        return Err(wrong("v1.mirror.source", "is missing: the other keys of v1.mirror need it"));
    }
    match (&mirror.username, &mirror.password) {
        (Some(name), Some(_)) if name.is_empty() || name.contains([':', '\n', '\r']) => {
            return Err(wrong("v1.mirror.username", "is empty, or holds a colon"));
        }
        (None, Some(_)) => return Err(wrong("v1.mirror.username", "is missing: the password needs it")),
        (Some(_), None) => return Err(wrong("v1.mirror.password", "is missing: the username needs it")),
        _ => {}
    }
    for pattern in &mirror.repositories {
        pattern
            .parse::<RepoPattern>()
            .map_err(|error| wrong("v1.mirror.repositories", &format!("holds `{pattern}`: {error}")))?;
    }
    Ok(())
}

/// Tokens and passwords go there, and images come from there that nothing else vouches for.
fn check_server(key: &'static str, url: Option<&str>) -> Result<(), ConfigError> {
    let Some(text) = url else { return Ok(()) };
    let is = |what: &str| wrong(key, &format!("is `{text}`: {what}"));
    let url = web_address(text).map_err(|what| match text.starts_with("http:") {
        true => is("expected https: without it anybody on the way reads tokens and changes images"),
        false => is(what),
    })?;
    match url.query().is_none()
        && url.fragment().is_none()
        && !url.path().trim_end_matches('/').ends_with("/v1")
    {
        true => Ok(()),
        false => Err(is("expected the address without `/v1`, such as \"https://index.example.com\"")),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let v1: V1 = toml::from_str(text).unwrap();
        check(&v1).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn other_servers_that_cannot_be_asked_safely_are_refused() {
        for good in [
            "",
            "[index]\nurl = 'https://index.example'\nca = 'x.pem'",
            "[index]\nurl = 'http://127.0.0.1:5001/'",
            "[mirror]\nsource = 'https://r.example/path'\nindex = 'http://localhost:1'\nrepositories = ['library/*', 'a']",
            "[mirror]\nsource = 'https://r.example'\nusername = 'm'\npassword = 'p'",
        ] {
            assert_eq!(told(good), "", "{good}");
        }
        for (text, key) in [
            ("[index]\nurl = 'index.example'", "v1.index.url"),
            ("[index]\nurl = 'http://index.example'", "expected https"),
            ("[index]\nurl = 'https://u:p@index.example'", "v1.index.url"),
            ("[index]\nurl = 'https://index.example/v1/'", "without `/v1`"),
            ("[index]\nurl = 'https://index.example?x'", "v1.index.url"),
            ("[index]\nca = 'x.pem'", "v1.index.url"),
            ("[index]\nlayer_access = true", "v1.index.url"),
            ("[index]\ncache = '2h'", "v1.index.cache"),
            ("[index]\ntimeout = '0s'", "v1.index.timeout"),
            ("[mirror]\ntimeout = '10ms'", "v1.mirror.timeout"),
            ("[mirror]\nindex = 'https://i.example'", "v1.mirror.source"),
            ("[mirror]\nsource = 'ftp://r.example'", "v1.mirror.source"),
            ("[mirror]\nsource = 'https://r.example'\npassword = 'p'", "v1.mirror.username"),
            ("[mirror]\nsource = 'https://r.example'\nusername = 'p'", "v1.mirror.password"),
            (
                "[mirror]\nsource = 'https://r.example'\nusername = 'a:b'\npassword = 'p'",
                "v1.mirror.username",
            ),
            ("[mirror]\nsource = 'https://r.example'\nrepositories = ['a//b']", "v1.mirror.repositories"),
        ] {
            let told = told(text);
            assert!(told.contains(key), "{text}: {told}");
        }
    }
}
