//! Small documents from elsewhere: the keys of token issuers, and the documents that say where those are.
//!
//! What answers may be slow, large, or somebody else: so everything has a bound, a redirect never leaves the host that was
//! configured, and plain `http` is for this machine alone. No proxy of the environment is asked: what is configured is what is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Certificate, Client, ClientBuilder, StatusCode, Url};

use crate::config::web_address;

/// The largest document, in bytes.
pub(super) const DOCUMENT_MAX: usize = 1 << 20;
/// The longest time for one document.
const TIMEOUT: Duration = Duration::from_secs(5);
const REDIRECTS: usize = 3;

/// Why there is no document, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FetchError(pub(crate) String);

/// Why nothing can be fetched at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetcherError {
    /// The file with certificates.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not PEM.
    #[error("{}: expected certificates in PEM", .0.display())]
    Certificates(PathBuf),
    /// No certificates on this system.
    #[error(
        "no HTTPS client could be made (are there certificates on this system? `ca` can name others): {0}"
    )]
    Client(reqwest::Error),
}

/// Fetches documents.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(Client);

impl Fetcher {
    /// Trusts the certificates of a file, else those of the system.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, FetcherError> {
        let builder = || {
            Client::builder()
                .no_proxy()
                .timeout(TIMEOUT)
                .connect_timeout(TIMEOUT)
                .redirect(Policy::custom(redirect))
                .pool_max_idle_per_host(0)
                .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        };
        client(ca, builder).map(Self)
    }

    /// For addresses on this machine alone, without HTTPS: needs no certificates.
    pub(super) fn plain() -> Result<Self, FetcherError> {
        let builder = Client::builder().no_proxy().timeout(TIMEOUT).redirect(Policy::custom(redirect));
        builder.tls_certs_only([]).pool_max_idle_per_host(0).build().map(Self).map_err(FetcherError::Client)
    }

    /// The document at an address, which is checked here once more: it may have come out of another document.
    pub(super) async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let url = web_address(url).map_err(|what| FetchError(format!("{url}: {what}")))?;
        self.read(url.clone()).await.map_err(|what| FetchError(format!("{url}: {what}")))
    }

    async fn read(&self, url: Url) -> Result<Vec<u8>, String> {
        let request = self.0.get(url).header("accept", "application/json");
        let mut response = request.send().await.map_err(|error| causes(&error))?;
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()));
        }
        let too_long = || format!("is larger than {DOCUMENT_MAX} bytes");
        if response.content_length().is_some_and(|length| length > DOCUMENT_MAX as u64) {
            return Err(too_long());
        }
        let mut document = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| causes(&error))? {
            if document.len() + chunk.len() > DOCUMENT_MAX {
                return Err(too_long());
            }
            document.extend_from_slice(&chunk);
        }
        Ok(document)
    }
}

/// A client that trusts the certificates of a file, else those of the system.
pub(crate) fn client(ca: Option<&Path>, builder: impl Fn() -> ClientBuilder) -> Result<Client, FetcherError> {
    let Some(path) = ca else {
        return builder().build().map_err(FetcherError::Client);
    };
    let pem =
        std::fs::read(path).map_err(|source| FetcherError::Unreadable { path: path.to_owned(), source })?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(FetcherError::Certificates(path.to_owned()));
    }
    let built = builder().tls_certs_only(certificates).build();
    built.map_err(|_| FetcherError::Certificates(path.to_owned()))
}

/// Follows a redirect a few times, as long as it stays with the host that was asked.
pub(crate) fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let origin =
        |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port_or_known_default());
    let stays = attempt.previous().first().is_some_and(|first| origin(first) == origin(attempt.url()));
    if !stays {
        attempt.error(FetchError("redirects to another host".to_owned()))
    } else if attempt.previous().len() > REDIRECTS {
        attempt.error(FetchError("redirects too often".to_owned()))
    } else {
        attempt.follow()
    }
}

/// An error of the client hides what happened in its sources.
pub(crate) fn causes(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    match () {
        () if error.is_timeout() => "did not answer in time".to_owned(),
        () if text.is_empty() => error.to_string(),
        () => text,
    }
}
