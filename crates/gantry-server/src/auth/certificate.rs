//! The name in a client's certificate.
//!
//! Whether a certificate is good (who signed it, what for, until when) has been decided by the handshake; here it is only read. Once
//! for each connection. A certificate without a name that fits is nobody's, and says so in the log: it is never
//! somebody's for something similar.

use gantry_storage::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::names;
use crate::config::CertificateUser;

/// Whose certificate a client has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateName {
    user: Option<String>,
    expires: Timestamp,
}

/// Why a certificate names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitCertificate {
    /// It is no certificate.
    #[error("it cannot be read")]
    Unreadable,
    /// It has no such name.
    #[error("it has no name of the kind that auth.client_certificates.user asks for")]
    Missing,
    /// It has several, where there may be one.
    #[error("it has more than one name of the kind that auth.client_certificates.user asks for")]
    Several,
    /// It has one that cannot be a name here.
    #[error("its name is empty, too long, or has blanks or other characters that names do not have")]
    Unfit,
}

impl CertificateName {
    /// Reads the certificate (DER) that a client has shown; without `user` it names nobody.
    ///
    /// # Errors
    /// It has no name that fits.
    pub fn read(certificate: &[u8], user: Option<CertificateUser>) -> Result<Self, UnfitCertificate> {
        let (_, certificate) =
            X509Certificate::from_der(certificate).map_err(|_| UnfitCertificate::Unreadable)?;
        let until = certificate.validity().not_after.timestamp();
        let name = |user| match user {
            CertificateUser::Cn => common_name(&certificate),
            CertificateUser::San => alternative_name(&certificate),
            CertificateUser::Spiffe => spiffe_id(&certificate),
        };
        Ok(Self { user: user.map(name).transpose()?, expires: Timestamp(until.saturating_mul(1_000_000)) })
    }

    /// The name: an account's, if there is one of that name, else the subject `cert:NAME`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Whether it has expired since the handshake.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now > self.expires
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Result<String, UnfitCertificate> {
    let subject = certificate.subject();
    let mut names = subject.iter_common_name();
    match (names.next(), names.next()) {
        (None, _) => Err(UnfitCertificate::Missing),
        (Some(name), None) => fitting(name.as_str().map_err(|_| UnfitCertificate::Unfit)?),
        (Some(_), Some(_)) => Err(UnfitCertificate::Several),
    }
}

fn alternative_name(certificate: &X509Certificate<'_>) -> Result<String, UnfitCertificate> {
    let first = alternative_names(certificate)?.iter().find_map(|name| match name {
        // Hosts have no case.
        GeneralName::DNSName(host) => Some(host.to_ascii_lowercase()),
        GeneralName::RFC822Name(address) => Some((*address).to_owned()),
        _ => None,
    });
    fitting(&first.ok_or(UnfitCertificate::Missing)?)
}

/// The SPIFFE ID of an X.509-SVID: the only URI, `spiffe://TRUST-DOMAIN/PATH`.
fn spiffe_id(certificate: &X509Certificate<'_>) -> Result<String, UnfitCertificate> {
    let mut uris = alternative_names(certificate)?.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let uri = match (uris.next(), uris.next()) {
        (None, _) => return Err(UnfitCertificate::Missing),
        (Some(uri), None) => uri,
        (Some(_), Some(_)) => return Err(UnfitCertificate::Several),
    };
    let rest = uri.strip_prefix("spiffe://").ok_or(UnfitCertificate::Missing)?;
    let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let in_domain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(in_path);
    let fits = uri.len() <= names::LONGEST
        && !domain.is_empty()
        && domain.bytes().all(in_domain)
        && path.is_none_or(|path| path.split('/').all(is_segment));
    if fits { Ok(uri.to_owned()) } else { Err(UnfitCertificate::Unfit) }
}

fn alternative_names<'a>(
    certificate: &'a X509Certificate<'_>,
) -> Result<&'a [GeneralName<'a>], UnfitCertificate> {
    match certificate.subject_alternative_name() {
        Ok(Some(names)) => Ok(&names.value.general_names),
        Ok(None) => Err(UnfitCertificate::Missing),
        Err(_) => Err(UnfitCertificate::Unreadable),
    }
}

fn fitting(name: &str) -> Result<String, UnfitCertificate> {
    if names::fits(name) { Ok(name.to_owned()) } else { Err(UnfitCertificate::Unfit) }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    /// The DER of a certificate with these common names and alternative names.
    fn certificate(common_names: &[&str], alternatives: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        for name in common_names {
            parameters.distinguished_name.push(DnType::CommonName, DnValue::Utf8String((*name).to_owned()));
        }
        parameters.subject_alt_names = alternatives;
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn read(certificate: &[u8], user: CertificateUser) -> Result<String, UnfitCertificate> {
        CertificateName::read(certificate, Some(user)).map(|name| name.user().unwrap().to_owned())
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    fn uri(name: &str) -> SanType {
        SanType::URI(name.try_into().unwrap())
    }

    /// N-6
    #[test]
    fn the_part_that_was_asked_for_is_the_name() {
        let mail = SanType::Rfc822Name("ann@example.com".try_into().unwrap());
        let id = "spiffe://example.org/ns/ci/sa/builder";
        let all = certificate(&["alice"], vec![uri(id), mail.clone(), dns("Host.Example.com")]);
        assert_eq!(read(&all, CertificateUser::Cn).as_deref(), Ok("alice"));
        assert_eq!(read(&all, CertificateUser::San).as_deref(), Ok("ann@example.com"));
        assert_eq!(read(&all, CertificateUser::Spiffe).as_deref(), Ok(id));
        let host = certificate(&[], vec![dns("Host.Example.com"), mail]);
        assert_eq!(read(&host, CertificateUser::San).as_deref(), Ok("host.example.com"));
        assert_eq!(CertificateName::read(&all, None).unwrap().user(), None, "unless nothing was asked for");
    }

    #[test]
    fn odd_names_are_nobodys() {
        for name in ["", " ", "alice smith", "admin:x", "alice\0.evil", "a\nb", "<b>", "*", &"x".repeat(256)]
        {
            let odd = certificate(&[name], Vec::new());
            assert_eq!(read(&odd, CertificateUser::Cn), Err(UnfitCertificate::Unfit), "{name:?}");
        }
        let none = certificate(&[], Vec::new());
        for user in [CertificateUser::Cn, CertificateUser::San, CertificateUser::Spiffe] {
            assert_eq!(read(&none, user), Err(UnfitCertificate::Missing));
        }
        let wildcard = certificate(&["alice"], vec![dns("*.example.com"), dns("good.example.com")]);
        assert_eq!(
            read(&wildcard, CertificateUser::San),
            Err(UnfitCertificate::Unfit),
            "the first is the name"
        );
        assert_eq!(CertificateName::read(b"nonsense", None), Err(UnfitCertificate::Unreadable));
    }

    #[test]
    fn a_spiffe_id_is_one_and_keeps_to_its_grammar() {
        for good in ["spiffe://example.org", "spiffe://a-b_c.1/x", "spiffe://example.org/A/b.c/..d"] {
            assert_eq!(
                read(&certificate(&[], vec![uri(good)]), CertificateUser::Spiffe).as_deref(),
                Ok(good)
            );
        }
        for bad in [
            "spiffe://",
            "spiffe:///x",
            "spiffe://example.org/",
            "spiffe://example.org//x",
            "spiffe://example.org/../x",
            "spiffe://Example.org/x",
            "spiffe://example.org:443/x",
            "spiffe://user@example.org/x",
            "spiffe://example.org/x?y",
            "spiffe://example.org/x#y",
            "spiffe://example.org/%2e",
            "spiffe://example.org/a b",
        ] {
            let odd = certificate(&["alice"], vec![uri(bad)]);
            assert_eq!(read(&odd, CertificateUser::Spiffe), Err(UnfitCertificate::Unfit), "{bad}");
        }
        let other = certificate(&["alice"], vec![uri("https://example.org/x")]);
        assert_eq!(read(&other, CertificateUser::Spiffe), Err(UnfitCertificate::Missing));
        let two = certificate(&[], vec![uri("spiffe://a/x"), uri("https://b/y")]);
        assert_eq!(read(&two, CertificateUser::Spiffe), Err(UnfitCertificate::Several));
    }

    #[test]
    fn two_common_names_are_no_name() {
        // rcgen keeps one value of a kind, so the second is put there by hand: in place of an organisation.
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "alice");
        parameters.distinguished_name.push(DnType::OrganizationName, "admin");
        let mut der = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let organisation = [0x06, 0x03, 0x55, 0x04, 0x0a];
        for at in 0..der.len() - organisation.len() {
            if der[at..].starts_with(&organisation) {
                der[at + 4] = 0x03;
            }
        }
        assert_eq!(read(&der, CertificateUser::Cn), Err(UnfitCertificate::Several));
    }

    #[test]
    fn it_is_over_when_it_expires() {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let der = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
        let name = CertificateName::read(&der, None).unwrap();
        let midnight = 1_893_456_000_000_000;
        assert!(!name.is_over(Timestamp(midnight)) && name.is_over(Timestamp(midnight + 1)));
    }
}
