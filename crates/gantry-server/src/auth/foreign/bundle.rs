//! Certificates of a token server: a bundle of trusted ones, and the chains in tokens (`x5c`) that must lead to one of them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_storage::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;

use super::super::jwt::{PublicKey, TokenError};

/// Certificates in one token that are looked at.
const CHAIN_MAX: usize = 8;

/// Trusted certificates.
#[derive(Clone, Default)]
pub(super) struct Bundle(Arc<Vec<CertificateDer<'static>>>);

impl Bundle {
    pub(super) fn read(pem: &[u8]) -> Result<Self, String> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<_, _>>()
            .map_err(|error| format!("is not PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("holds no certificate".to_owned());
        }
        for (place, certificate) in certificates.iter().enumerate() {
            X509Certificate::from_der(certificate)
                .map_err(|error| format!("certificate {}: {error}", place + 1))?;
        }
        Ok(Self(Arc::new(certificates)))
    }

    /// The keys of the certificates, each with the first and the last second of its time.
    pub(super) fn keys(&self) -> impl Iterator<Item = (PublicKey, RangeInclusive<i64>)> {
        self.0.iter().filter_map(|certificate| {
            let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
            let time = certificate.validity();
            let time = time.not_before.timestamp()..=time.not_after.timestamp();
            Some((PublicKey::from_spki(certificate.public_key()).ok()?, time))
        })
    }

    /// The key of the first certificate of a token, if that is one of the bundle or leads to one, and its time is now.
    pub(super) fn key_of_chain(&self, x5c: &[String], now: Timestamp) -> Result<PublicKey, TokenError> {
        if x5c.is_empty() || x5c.len() > CHAIN_MAX {
            return Err(TokenError::Header);
        }
        let chain: Vec<CertificateDer<'static>> = x5c
            .iter()
            .map(|text| STANDARD.decode(text).map(CertificateDer::from).map_err(|_| TokenError::Header))
            .collect::<Result<_, _>>()?;
        let (_, first) = X509Certificate::from_der(&chain[0]).map_err(|_| TokenError::Header)?;
        if !self.leads_here(&chain, &first, now) {
            return Err(TokenError::Certificate);
        }
        PublicKey::from_spki(first.public_key()).map_err(|_| TokenError::Certificate)
    }

    fn leads_here(
        &self,
        chain: &[CertificateDer<'static>],
        first: &X509Certificate<'_>,
        now: Timestamp,
    ) -> bool {
        if !is_valid(first, now) {
            return false;
        }
        // One of the bundle needs nobody to vouch for it, also when it is no authority or its own.
        if self.0.contains(&chain[0]) {
            return true;
        }
        // An authority whose time is over vouches for nobody; a chain that needs it does not hold.
        let roots = self.0.iter().filter(|root| {
            X509Certificate::from_der(root)
                .is_ok_and(|(_, root)| is_valid(&root, now) && may_sign_certificates(&root))
        });
        let anchors: Vec<TrustAnchor<'_>> =
            roots.filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
        let Ok(end) = EndEntityCert::try_from(&chain[0]) else { return false };
        let seconds = u64::try_from(now.as_unix_seconds()).unwrap_or_default();
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let algorithms = webpki::ALL_VERIFICATION_ALGS;
        end.verify_for_usage(algorithms, &anchors, &chain[1..], time, AnyUsage, None, None).is_ok()
    }
}

fn is_valid(certificate: &X509Certificate<'_>, now: Timestamp) -> bool {
    ASN1Time::from_timestamp(now.as_unix_seconds()).is_ok_and(|now| certificate.validity().is_valid_at(now))
}

/// A token server's own certificate in the bundle is trusted for its key, and not to make further certificates.
fn may_sign_certificates(certificate: &X509Certificate<'_>) -> bool {
    let authority = certificate.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    let usage = certificate.key_usage().ok().flatten();
    authority && usage.is_none_or(|usage| usage.value.key_cert_sign())
}

/// Certificates of token servers are made for nothing in particular: what they are for is said by whoever trusts them here.
struct AnyUsage;

impl ExtendedKeyUsageValidator for AnyUsage {
    fn validate(&self, _: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        Ok(())
    }
}
