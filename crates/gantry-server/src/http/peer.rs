//! Who is at the other end of a connection, and whom a trusted proxy speaks for.
//!
//! Forwarding headers are believed only when the connection comes from an address of `server.trusted_proxies`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gantry_storage::Timestamp;
use http::HeaderMap;
use ipnet::IpNet;

use crate::auth::CertificateName;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its address: of the socket, or what a trusted proxy said by the PROXY protocol.
    pub(crate) address: SocketAddr,
    /// Whether its forwarding headers are believed.
    pub(crate) trusted: bool,
    /// The certificate that it has shown, if that names anybody.
    pub(crate) certificate: Option<Arc<CertificateName>>,
}

/// Whether an address belongs to one of the networks. An IPv4 address in IPv6 clothes counts as what it is.
fn trusts(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

impl Peer {
    /// An end that has shown no certificate.
    pub(crate) fn new(address: SocketAddr, trusted: &[IpNet]) -> Self {
        Self { address, trusted: trusts(trusted, address.ip()), certificate: None }
    }

    /// The name in its certificate, while that lasts. A proxy's is not the name of those for whom it speaks.
    pub(crate) fn certificate_user(&self) -> Option<&str> {
        if self.trusted {
            return None;
        }
        // Connections live long, and the handshake looked at the dates once.
        let certificate = self.certificate.as_ref()?;
        certificate.user().filter(|_| !certificate.is_over(Timestamp::now()))
    }

    /// The address of the client: the peer's, or behind trusted proxies the rightmost that is not one of theirs.
    pub(crate) fn client(&self, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
        let own = self.address.ip().to_canonical();
        if !self.trusted {
            return own;
        }
        let forwarded = forwarded_for(headers);
        let mut addresses = forwarded.iter().rev();
        let mut last = own;
        loop {
            match addresses.next() {
                Some(Some(address)) if trusts(trusted, *address) => last = *address,
                Some(Some(address)) => return *address,
                // Not an address (`unknown`, a hidden name): the proxy that said so is all we know.
                Some(None) | None => return last,
            }
        }
    }
}

/// The chain of client addresses that proxies wrote down, first hop first: `X-Forwarded-For`, or `Forwarded` (RFC 7239).
fn forwarded_for(headers: &HeaderMap) -> Vec<Option<IpAddr>> {
    let list = |name: &str| -> Vec<String> {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(|item| item.trim().to_owned()).collect()
    };
    // Most proxies write X-Forwarded-For and hand a client's own Forwarded through, so the former decides.
    let forwarded_for = list("x-forwarded-for");
    if !forwarded_for.is_empty() {
        return forwarded_for.iter().map(|item| address(item)).collect();
    }
    let parameter = |element: &String| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case("for").then(|| address(value.trim_matches('"'))).flatten()
        })
    };
    list("forwarded").iter().map(parameter).collect()
}

/// An address with or without brackets and port.
fn address(text: &str) -> Option<IpAddr> {
    let ip = text.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()));
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    ip.ok().or_else(bracketed).map(|ip| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted_peer: bool, header: &str, value: &str) -> String {
        let address = "10.0.0.1:1234".parse().unwrap();
        let peer = Peer { address, trusted: trusted_peer, certificate: None };
        let name: http::HeaderName = header.parse().unwrap();
        let headers = HeaderMap::from_iter([(name, value.parse().unwrap())]);
        peer.client(&headers, &["10.0.0.0/8".parse().unwrap()]).to_string()
    }

    /// T44
    #[test]
    fn only_trusted_peers_speak_for_others() {
        assert_eq!(client(false, "x-forwarded-for", "192.0.2.7"), "10.0.0.1");
        assert_eq!(client(true, "x-forwarded-for", "192.0.2.7"), "192.0.2.7");
        assert_eq!(client(true, "x-forwarded-for", "6.6.6.6, 192.0.2.7, 10.0.0.9"), "192.0.2.7");
        assert_eq!(client(true, "x-forwarded-for", "10.0.0.9"), "10.0.0.9");
        assert_eq!(client(true, "x-forwarded-for", "nonsense"), "10.0.0.1");
        assert_eq!(client(true, "forwarded", "for=\"[2001:db8::1]:4711\";proto=https"), "2001:db8::1");
        assert_eq!(client(true, "forwarded", "for=192.0.2.60;proto=http, for=10.9.9.9"), "192.0.2.60");
        assert_eq!(client(true, "forwarded", "for=unknown"), "10.0.0.1");
    }
}
