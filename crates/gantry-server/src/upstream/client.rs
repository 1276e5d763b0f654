//! Requests to one other server: an Index, or a registry.
//!
//! What answers may be slow, large, or somebody else. So everything has a bound, nothing of the environment is asked (no proxy), and a
//! redirect is followed only where that is said, and never to another host.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::time::timeout;

use super::OpenUpstreamError;
use crate::auth::fetch::{FetcherError, causes, client, redirect};

/// Why there is no answer, for the log. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct AskError(pub(super) String);

/// What becomes of redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Redirects {
    /// They are answers like others.
    Shown,
    /// They are followed on the same host.
    Followed,
}

/// One other server.
#[derive(Clone, Debug)]
pub(super) struct Remote {
    client: Client,
    base: Url,
    timeout: Duration,
}

/// An answer that was read whole.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Remote {
    /// The server at `url`, which was checked with the configuration.
    pub(super) fn open(
        key: &'static str,
        url: &str,
        ca: Option<&Path>,
        timeout: Duration,
        redirects: Redirects,
    ) -> Result<Self, OpenUpstreamError> {
        let base = Url::parse(url).map_err(|_| OpenUpstreamError::Address(key))?;
        let plain = base.scheme() == "http";
        let builder = || {
            let policy = match redirects {
                Redirects::Shown => Policy::none(),
                Redirects::Followed => Policy::custom(redirect),
            };
            let builder = Client::builder()
                .no_proxy()
                .http1_only()
                .connect_timeout(timeout)
                .redirect(policy)
                .pool_idle_timeout(IDLE)
                .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")));
            // Without TLS nobody's certificates are needed.
            if plain { builder.tls_certs_only([]) } else { builder }
        };
        let client = client(ca.filter(|_| !plain), builder)
            .map_err(|source: FetcherError| OpenUpstreamError::Client { key, what: source.to_string() })?;
        Ok(Self { client, base, timeout })
    }

    /// The same way of asking, for another host and port of the same scheme.
    pub(super) fn at(&self, authority: &str) -> Option<Self> {
        let base = Url::parse(&format!("{}://{authority}", self.base.scheme())).ok()?;
        let plain = base.path() == "/" && base.query().is_none() && base.username().is_empty();
        (plain && base.password().is_none()).then(|| Self { base, ..self.clone() })
    }

    /// Its host, without the port.
    pub(super) fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// How long an answer and each next piece of it may take.
    pub(super) fn patience(&self) -> Duration {
        self.timeout
    }

    /// Asks, and gives the answer when its head is there. `path` begins with a slash, and is taken as it is or not at all.
    pub(super) async fn begin(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, AskError> {
        let base = self.base.as_str().trim_end_matches('/');
        let text = format!("{base}{path}");
        let url = Url::parse(&text).map_err(|_| AskError("is asked for what is no address".to_owned()))?;
        if url.as_str() != text || url.origin() != self.base.origin() {
            return Err(AskError("is asked for an address that would be another one".to_owned()));
        }
        let mut request = self.client.request(method.clone(), url).headers(headers);
        // A length is said for what has a body by its nature, so that no server waits for more.
        if !body.is_empty() || method == Method::PUT || method == Method::POST {
            request = request.body(body);
        }
        match timeout(self.timeout, request.send()).await {
            Ok(sent) => sent.map_err(|error| AskError(format!("cannot be asked: {}", causes(&error)))),
            Err(_) => Err(AskError("did not answer in time".to_owned())),
        }
    }

    /// Asks, and reads the whole answer, at most `most` bytes of it, in the time for one answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        most: usize,
    ) -> Result<Answer, AskError> {
        let asking = async {
            let mut response = self.begin(method, path, headers, body).await?;
            let too_long = || AskError(format!("answered more than {most} bytes"));
            if response.content_length().is_some_and(|length| length > most as u64) {
                return Err(too_long());
            }
            let mut body = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| AskError(causes(&error)))? {
                if body.len() + chunk.len() > most {
                    return Err(too_long());
                }
                body.extend_from_slice(&chunk);
            }
            let status = response.status();
            let headers = std::mem::take(response.headers_mut());
            Ok(Answer { status, headers, body: body.freeze() })
        };
        match timeout(self.timeout, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError("did not answer in time".to_owned())),
        }
    }

    /// A GET of a document, with these credentials.
    pub(super) async fn get(
        &self,
        path: &str,
        authorization: Option<&HeaderValue>,
        most: usize,
    ) -> Result<Answer, AskError> {
        self.ask(Method::GET, path, questions(authorization), Bytes::new(), most).await
    }
}

/// The headers of a question.
pub(super) fn questions(authorization: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(authorization) = authorization {
        let mut authorization = authorization.clone();
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
    }
    headers
}

/// How long connections are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
