//! TLS, with a certificate and authorities of clients that can be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::{Alpn, Demand, TlsFiles, TlsSettings, TlsVersion};

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
    settings: TlsSettings,
    seen: Mutex<Stamps>,
    certificate: Arc<Current>,
    config: ArcSwap<ServerConfig>,
}

/// When files were changed: certificate and key, and the authorities of clients.
#[derive(PartialEq, Eq)]
struct Stamps {
    certificate: [Option<SystemTime>; 2],
    clients: Option<SystemTime>,
}

impl Tls {
    pub(super) fn open(files: &TlsFiles, settings: &TlsSettings) -> Result<Self, TlsError> {
        let stamps = stamps(files);
        let certificate = Arc::new(Current(ArcSwap::from_pointee(read(files)?)));
        let config = ArcSwap::from_pointee(config(files, settings, &certificate)?);
        let (files, settings) = (files.clone(), settings.clone());
        Ok(Self { files, settings, seen: Mutex::new(stamps), certificate, config })
    }

    /// What answers a handshake that begins now.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Takes a changed certificate and changed authorities of clients into use; what cannot be used is reported, and the old stays.
    pub(super) fn reload(&self) {
        let mut last = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = stamps(&self.files);
        let seen = std::mem::replace(&mut *last, now);
        let now = &*last;
        if seen.certificate != now.certificate {
            match read(&self.files) {
                Ok(key) => {
                    self.certificate.0.store(Arc::new(key));
                    tracing::info!(certificate = %self.files.certificate.display(), "took the new certificate into use");
                }
                Err(error) => {
                    tracing::error!(%error, "the new certificate cannot be used; the old one stays in use");
                }
            }
        }
        if seen.clients != now.clients {
            match config(&self.files, &self.settings, &self.certificate) {
                Ok(config) => {
                    self.config.store(Arc::new(config));
                    tracing::info!("took the new authorities of clients into use, for new connections");
                }
                Err(error) => {
                    tracing::error!(%error, "the new authorities of clients cannot be used; the old ones stay in use");
                }
            }
        }
    }
}

fn config(
    files: &TlsFiles,
    settings: &TlsSettings,
    certificate: &Arc<Current>,
) -> Result<ServerConfig, TlsError> {
    let versions: &[_] = match settings.minimum_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some((ca, demand)) => {
            let wrong = |message| TlsError::File { key: "server.tls.client_ca", path: ca.clone(), message };
            let mut roots = RootCertStore::empty();
            for authority in certificates(ca).map_err(wrong)? {
                roots.add(authority).map_err(|error| wrong(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match demand {
                Demand::Optional => verifier.allow_unauthenticated(),
                Demand::Required => verifier,
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(error.to_string()))?)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::clone(certificate) as Arc<dyn ResolvesServerCert>);
    if files.clients.is_some() {
        // A session that goes on where another ended brings that one's certificate along, and nobody looks at it again.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = settings
        .alpn
        .iter()
        .map(|protocol| match protocol {
            Alpn::H2 => b"h2".to_vec(),
            Alpn::Http11 => b"http/1.1".to_vec(),
        })
        .collect();
    Ok(config)
}

fn stamps(files: &TlsFiles) -> Stamps {
    let of = |path: &PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
    Stamps {
        certificate: [&files.certificate, &files.key].map(of),
        clients: files.clients.as_ref().and_then(|(ca, _)| of(ca)),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| error.to_string())?;
    match certificates.is_empty() {
        true => Err("no certificate in it (expected PEM)".to_owned()),
        false => Ok(certificates),
    }
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, TlsError> {
    let wrong = |key, path: &Path, message: String| TlsError::File { key, path: path.to_owned(), message };
    let chain = certificates(&files.certificate)
        .map_err(|message| wrong("server.tls.certificate", &files.certificate, message))?;
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
