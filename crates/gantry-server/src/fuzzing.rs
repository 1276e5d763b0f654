//! Doors to the parsers of this crate that are nobody else's business, for the targets in `fuzz/`. Behind the feature `fuzzing`.

use std::net::{IpAddr, SocketAddr};

use futures_util::FutureExt as _;

/// Name and password of an `Authorization` header.
pub fn credentials(header: &[u8]) -> Option<(String, Vec<u8>)> {
    crate::auth::parse_basic(header)
}

/// The accounts in the text of an htpasswd file: names and hashes.
pub fn htpasswd(text: &str) -> Vec<(String, String)> {
    crate::auth::parse_htpasswd(text)
}

/// The client's address behind a trusted proxy, by these header lines.
pub fn client_address(peer: SocketAddr, headers: &http::HeaderMap, trusted: &[ipnet::IpNet]) -> IpAddr {
    crate::http::Peer { address: peer, trusted: true, certificate: None }.client(headers, trusted)
}

/// Whom the header of the PROXY protocol at the beginning of `bytes` speaks for, and how many bytes it takes; `None`: it is not
/// one.
pub fn proxy_header(bytes: &[u8]) -> Option<(Option<SocketAddr>, usize)> {
    let mut rest = bytes;
    let read = crate::serve::read_proxy_header(&mut rest).now_or_never()?;
    Some((read.ok()?, bytes.len() - rest.len()))
}

/// A token of this process that counts.
pub fn good_token() -> &'static str {
    crate::auth::fuzzing::good_token()
}

/// Whether a token counts where [`good_token`] does; foreign ones are looked at as well.
pub fn token_counts(token: &str) -> bool {
    crate::auth::fuzzing::token_counts(token)
}

/// The keys of a JSON Web Key Set that can verify tokens: the thumbprint of each, and the key in the form that this is made of.
pub fn key_set(document: &[u8]) -> Vec<(String, String)> {
    crate::auth::fuzzing::key_set(document)
}

/// Whether the first of these certificates (DER) leads to one of a bundle (PEM).
pub fn chain(bundle: &[u8], chain: &[&[u8]]) -> bool {
    crate::auth::fuzzing::chain(bundle, chain)
}

/// A name in its place in the filter of a directory, and whether that is a filter.
pub fn ldap_filter(filter: &str, name: &str) -> (String, bool) {
    crate::auth::fuzzing::filter(filter, name)
}

/// The name of a group of a directory by its DN, if it lies below that.
pub fn ldap_group(dn: &str, below: Option<&str>) -> Option<String> {
    crate::auth::fuzzing::group(dn, below)
}

/// The names in a client's certificate (DER), by each way to read them.
pub fn certificate_names(certificate: &[u8]) -> Vec<String> {
    crate::auth::fuzzing::certificate_names(certificate)
}
