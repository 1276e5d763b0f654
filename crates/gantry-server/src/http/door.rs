//! The address by which a client came in: what it asked, or what a trusted proxy says that it asked.

use gantry_oci::access::Scope;
use http::request::Parts;
use http::{HeaderMap, header};

use super::Peer;
use crate::config::Config;

/// Where a client came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Door {
    /// Scheme, host and base path, without a slash at the end.
    pub(crate) base: String,
    /// Where tokens are to be had (A-28: on the host and port that the client asked).
    pub(crate) realm: String,
    /// Who checks them: the host, with its port (N-11).
    pub(crate) service: String,
    /// What a token must be for.
    pub(crate) scopes: Vec<Scope>,
}

impl Door {
    /// `server.public_url` where it is set; else what the client asked, which only a trusted proxy may say otherwise.
    pub(crate) fn of(config: &Config, peer: &Peer, parts: &Parts) -> Self {
        let base = match &config.settings.server.public_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => asked(config, peer, parts),
        };
        let authority = base.split_once("://").map_or(base.as_str(), |(_, rest)| rest);
        let service = authority.split('/').next().unwrap_or_default().to_owned();
        let realm = config.settings.auth.realm.clone().unwrap_or_else(|| format!("{base}/v2/token"));
        Self { realm, base, service, scopes: Vec::new() }
    }
}

fn asked(config: &Config, peer: &Peer, parts: &Parts) -> String {
    let own_scheme = if config.tls.is_some() { "https" } else { "http" };
    let forwarded = |what: &str| peer.trusted.then(|| said(&parts.headers, what)).flatten();
    let scheme = forwarded("proto").filter(|scheme| scheme == "http" || scheme == "https");
    let host = host_and_port(peer, parts).unwrap_or_else(|| "localhost".to_owned());
    format!("{}://{host}{}", scheme.as_deref().unwrap_or(own_scheme), config.base_path)
}

/// The host that the client asked, which only a trusted proxy may say otherwise: without port, in lower case.
pub(crate) fn asked_host(peer: &Peer, parts: &Parts) -> Option<String> {
    let host = host_and_port(peer, parts)?;
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split(':').next().unwrap_or_default(),
    };
    Some(name.trim_end_matches('.').to_ascii_lowercase())
}

/// The same with the port, if the client said one, as it was written.
pub(crate) fn host_and_port(peer: &Peer, parts: &Parts) -> Option<String> {
    let forwarded = peer.trusted.then(|| said(&parts.headers, "host")).flatten();
    let host = forwarded.or_else(|| {
        let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).map(str::to_owned);
        host.or_else(|| parts.uri.authority().map(ToString::to_string))
    });
    host.filter(|host| is_host(host))
}

/// What a proxy says: `X-Forwarded-Proto`, `X-Forwarded-Host`, or `Forwarded` (RFC 7239); the first hop's word.
fn said(headers: &HeaderMap, what: &str) -> Option<String> {
    let plain = headers.get(format!("x-forwarded-{what}")).and_then(|value| value.to_str().ok());
    if let Some(value) = plain {
        return value.split(',').next().map(|value| value.trim().to_owned());
    }
    let forwarded = headers.get("forwarded").and_then(|value| value.to_str().ok())?;
    forwarded.split(',').next()?.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case(what).then(|| value.trim_matches('"').to_owned())
    })
}

/// A name or address, with or without a port. Whatever else a client writes into `Host` is not repeated.
fn is_host(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    !text.is_empty() && text.len() <= 255 && text.bytes().all(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_are_repeated() {
        assert!(is_host("registry.example:5000") && is_host("[::1]:5000"));
        for text in ["", "a b", "a\"b", "a/b", "a,b", "<a>"] {
            assert!(!is_host(text), "{text}");
        }
    }

    #[test]
    fn a_host_is_known_without_its_port() {
        let peer = Peer::new("192.0.2.1:1".parse().unwrap(), &[]);
        let host = |text: &str| {
            let request = http::Request::builder().header("host", text).body(()).unwrap();
            asked_host(&peer, &request.into_parts().0)
        };
        for (text, name) in [
            ("Registry.Example:5000", "registry.example"),
            ("registry.example.", "registry.example"),
            ("[2001:DB8::1]:5000", "2001:db8::1"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(host(text).as_deref(), Some(name), "{text}");
        }
        assert_eq!(host("a/b"), None);
    }

    #[test]
    fn the_first_hop_says_what_was_asked() {
        let headers = |name: &str, value: &str| {
            HeaderMap::from_iter([(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())])
        };
        assert_eq!(said(&headers("x-forwarded-proto", "https, http"), "proto").as_deref(), Some("https"));
        let forwarded = headers("forwarded", "for=1.2.3.4;proto=https;host=\"r.example:8443\", for=5.6.7.8");
        assert_eq!(said(&forwarded, "host").as_deref(), Some("r.example:8443"));
        assert_eq!(said(&forwarded, "proto").as_deref(), Some("https"));
    }
}
