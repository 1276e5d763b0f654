//! References: a tag or a digest within a repository, and the form that people type (G-4).

use std::fmt;
use std::str::FromStr;

use crate::{Digest, DigestError, NameError, RepoName, Tag, TagError};

/// What a manifest is asked by. Text with a colon is a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// By a name that can move.
    Tag(Tag),
    /// By its content.
    Digest(Digest),
}

/// Text that is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// It has a colon, but is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// It has no colon, but is no tag.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.contains(':') { Ok(Self::Digest(text.parse()?)) } else { Ok(Self::Tag(text.parse()?)) }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reference::Tag(tag) => tag.fmt(f),
            Reference::Digest(digest) => digest.fmt(f),
        }
    }
}

/// An image as people name it: `[host[:port]/]name[:tag][@digest]`.
///
/// What is not written is not made up here: which host, which tag and which prefix of a name are meant by default is for
/// the program that asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    /// The registry.
    pub host: Option<Host>,
    /// The repository.
    pub name: RepoName,
    /// The tag.
    pub tag: Option<Tag>,
    /// The digest; it counts, where there is a tag as well.
    pub digest: Option<Digest>,
}

/// Text that does not name an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageReferenceError {
    /// The first component looks like a host and is none.
    #[error("invalid host: {0}")]
    Host(#[from] HostError),
    /// The name.
    #[error("invalid repository name: {0}")]
    Name(#[from] NameError),
    /// What is behind the last colon.
    #[error("invalid tag: {0}")]
    Tag(#[from] TagError),
    /// What is behind the `@`.
    #[error("invalid digest: {0}")]
    Digest(#[from] DigestError),
}

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, ImageReferenceError> {
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest.parse()?)),
            None => (text, None),
        };
        let (host, text) = match text.split_once('/') {
            Some((host, text)) if is_like_host(host) => (Some(host.parse()?), text),
            _ => (None, text),
        };
        let (name, tag) = match text.split_once(':') {
            Some((name, tag)) => (name, Some(tag.parse()?)),
            None => (text, None),
        };
        Ok(Self { host, name: name.parse()?, tag, digest })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        self.name.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// The address of a registry as it stands in front of a name: `host[:port]`, which nobody can take for the first component
/// of the name, because it has a dot, a colon or a capital, or is `localhost`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(Box<str>);

/// Text that is not such an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a domain name with a dot, `localhost` or an IP address, and perhaps a colon and a port")]
pub struct HostError;

impl Host {
    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (is_ipv6(address), None),
            Some((address, rest)) => (is_ipv6(address), Some(rest.strip_prefix(':').unwrap_or_default())),
            None => match text.split_once(':') {
                Some((host, port)) => (is_domain(host), Some(port)),
                None => (is_domain(text), None),
            },
        };
        let is_port =
            |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
        let good = host && port.is_none_or(is_port) && is_like_host(text);
        if good { Ok(Self(text.into())) } else { Err(HostError) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The rule by which all clients tell hosts from names.
fn is_like_host(component: &str) -> bool {
    component == "localhost"
        || component.bytes().any(|byte| byte == b'.' || byte == b':' || byte.is_ascii_uppercase())
}

fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.split('.').all(label)
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}
