//! What [`crate::fuzzing`] opens of tokens, at one moment and with keys made for it, and of names from elsewhere.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_storage::Timestamp;

use super::bearer::{Bearer, Claims, KeyAlgorithm, Keys, generate};
use super::foreign;
use super::jwt::Token;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
const AUDIENCE: &str = "registry.example.com";

/// EdDSA: the only one of which a second signature over the same would be a find.
static BEARER: LazyLock<Option<(Bearer, String)>> = LazyLock::new(|| {
    let row = generate(KeyAlgorithm::EdDsa, NOW).ok()?;
    let bearer = Bearer::new("gantry", Duration::from_secs(300), Keys::from_rows([&row]).ok()?);
    let claims = Claims { subject: "alice".to_owned(), audience: AUDIENCE.to_owned(), ..Claims::default() };
    let token = bearer.sign(&claims, NOW).ok()?.token;
    Some((bearer, token))
});

pub(crate) fn good_token() -> &'static str {
    BEARER.as_ref().map_or("", |(_, token)| token)
}

pub(crate) fn token_counts(text: &str) -> bool {
    if let Ok(token) = Token::parse(text) {
        foreign::look_at(token);
    }
    BEARER.as_ref().is_some_and(|(bearer, _)| bearer.verify(text, AUDIENCE, NOW).is_ok())
}

pub(crate) fn key_set(document: &[u8]) -> Vec<(String, String)> {
    foreign::key_set(document)
}

pub(crate) fn chain(bundle: &[u8], chain: &[&[u8]]) -> bool {
    let x5c: Vec<String> = chain.iter().map(|der| STANDARD.encode(der)).collect();
    foreign::chain(bundle, &x5c, NOW)
}

/// A name in its place in a filter, and whether that is a filter.
pub(crate) fn filter(filter: &str, name: &str) -> (String, bool) {
    let filled = super::ldap::text::fill(filter, &ldap3::ldap_escape(name), &ldap3::ldap_escape(name));
    let good = ldap3::parse_filter(&filled).is_ok();
    (filled, good)
}

pub(crate) fn group(dn: &str, below: Option<&str>) -> Option<String> {
    super::ldap::text::name_of_group(dn, below, "cn")
}

pub(crate) fn certificate_names(certificate: &[u8]) -> Vec<String> {
    use crate::config::CertificateUser::{Cn, San, Spiffe};
    let name = |user| super::CertificateName::read(certificate, Some(user)).ok();
    [Cn, San, Spiffe].into_iter().filter_map(name).filter_map(|name| name.user().map(str::to_owned)).collect()
}
