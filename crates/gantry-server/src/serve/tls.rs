//! TLS, with a certificate that can be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{Alpn, TlsFiles, TlsSettings, TlsVersion};

/// Why certificate and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not readable, or holds nothing of its kind.
    #[error("{key}: {}: {message}", path.display())]
    File {
        /// The configuration key that names the file.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// Certificate and key do not belong together, or are of an unknown kind.
    #[error("server.tls: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The server's side of TLS.
pub(super) struct Tls {
    files: TlsFiles,
    seen: Mutex<Option<Stamps>>,
    current: Arc<Current>,
    acceptor: TlsAcceptor,
}

type Stamps = [Option<SystemTime>; 2];

impl Tls {
    pub(super) fn open(files: &TlsFiles, settings: &TlsSettings) -> Result<Self, TlsError> {
        let stamps = stamps(files);
        let current = Arc::new(Current(ArcSwap::from_pointee(read(files)?)));
        let versions: &[_] = match settings.minimum_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = settings
            .alpn
            .iter()
            .map(|protocol| match protocol {
                Alpn::H2 => b"h2".to_vec(),
                Alpn::Http11 => b"http/1.1".to_vec(),
            })
            .collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { files: files.clone(), seen: Mutex::new(Some(stamps)), current, acceptor })
    }

    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Takes a changed certificate into use; one that cannot be used is reported, and the old one stays.
    pub(super) fn reload(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        if *seen == Some(now) {
            return;
        }
        *seen = Some(now);
        match read(&self.files) {
            Ok(key) => {
                self.current.0.store(Arc::new(key));
                tracing::info!(certificate = %self.files.certificate.display(), "took the new certificate into use");
            }
            Err(error) => {
                tracing::error!(%error, "the new certificate cannot be used; the old one stays in use");
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> Stamps {
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).and_then(|file| file.modified()).ok())
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |key, path: &Path, message: String| TlsError::File { key, path: path.to_owned(), message };
    let certificate = |message| wrong("server.tls.certificate", &files.certificate, message);
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| certificate(error.to_string()))?;
    if chain.is_empty() {
        return Err(certificate("no certificate in it (expected PEM)".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong("server.tls.key", &files.key, error.to_string()))?;
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

/// The certificate that is in use.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}
