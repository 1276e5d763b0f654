//! A certificate authority that only tests trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The certificate of a client, and its key.
#[derive(Clone)]
pub(crate) struct ClientCertificate(Arc<(Certificate, KeyPair)>);

impl ClientCertificate {
    /// Writes both; the paths of certificate and key.
    pub(crate) fn write(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (certificate_file, key_file) = (dir.join("client.pem"), dir.join("client.key"));
        std::fs::write(&key_file, self.0.1.serialize_pem()).expect("the key file");
        std::fs::write(&certificate_file, self.0.0.pem()).expect("the certificate file");
        (certificate_file, key_file)
    }
}

/// Signs the certificates of servers and clients.
#[derive(Clone)]
pub(crate) struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "Gantry test authority");
        let key = KeyPair::generate().expect("a key");
        Self(Arc::new(CertifiedIssuer::self_signed(parameters, key).expect("an authority")))
    }

    /// Writes a new certificate for this machine and its key; the paths of both.
    pub(crate) fn write_certificate(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(names).expect("parameters");
        let certificate = parameters.signed_by(&key, &**self.0).expect("a certificate");
        let (certificate_file, key_file) = (dir.join("server.pem"), dir.join("server.key"));
        std::fs::write(&key_file, key.serialize_pem()).expect("the key file");
        std::fs::write(&certificate_file, certificate.pem()).expect("the certificate file");
        (certificate_file, key_file)
    }

    /// Its own certificate, PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Writes its own certificate.
    pub(crate) fn write(&self, file: &Path) -> PathBuf {
        std::fs::write(file, self.pem()).expect("the authority's file");
        file.to_owned()
    }

    /// A certificate for a client by this common name.
    pub(crate) fn client(&self, name: &str) -> ClientCertificate {
        self.sign(|parameters| {
            parameters.distinguished_name.push(DnType::CommonName, name);
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// A certificate that says what `change` says.
    pub(crate) fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
        parameters.distinguished_name = DistinguishedName::new();
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &**self.0).expect("a certificate");
        ClientCertificate(Arc::new((certificate, key)))
    }

    /// What a client needs to trust it, offering these protocols.
    pub(crate) fn connector(&self, alpn: &[&str]) -> TlsConnector {
        self.connector_as(alpn, None)
    }

    /// The same, showing a certificate.
    pub(crate) fn connector_as(&self, alpn: &[&str], client: Option<&ClientCertificate>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).expect("the authority's certificate");
        let config = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match client {
            None => config.with_no_client_auth(),
            Some(client) => {
                let (certificate, key) = &*client.0;
                let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
                config.with_client_auth_cert(vec![certificate.der().clone()], key).expect("a key that fits")
            }
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}
