//! A server by its URL: HTTPS, and the credentials that `gantry login` or docker or podman keep for it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Certificate, Method, Response, Url};

use super::Usage;
use super::client::Reply;
use super::credentials::{Credential, Files};
use crate::args::Trust;

/// An answer of the API is not longer.
const ANSWER: usize = 64 << 20;

pub(super) struct Remote {
    /// Without a slash at its end.
    base: String,
    host: String,
    http: reqwest::Client,
    credential: Option<Credential>,
}

impl Remote {
    pub(super) fn new(url: &str, trust: &Trust) -> anyhow::Result<Self> {
        let parsed = parse(url)?;
        if parsed.query().is_some() || parsed.fragment().is_some() {
            return Err(Usage::error(format!("`{url}`: expected https://HOST[:PORT]")));
        }
        let host = authority(&parsed);
        let credential = Files::new(trust).find(&host)?;
        let base = parsed.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, host, http: http(&parsed, trust.ca_file.as_deref())?, credential })
    }

    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The credentials that go with each request.
    pub(super) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// What to do about not being let in.
    pub(super) fn hint(&self) -> Option<String> {
        Some(match &self.credential {
            None => format!("there are no credentials for {0} here: `gantry login {0}`", self.host),
            Some(credential) => {
                format!("with the credentials of {} from {}", credential.user, credential.origin)
            }
        })
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        request = request.header(ACCEPT, "application/json, application/problem+json");
        if let Some(Credential { user, password, .. }) = &self.credential {
            request = request.basic_auth(user, Some(password));
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        // Its own text ends with the URL; the server is enough.
        let response = request.send().await.map_err(reqwest::Error::without_url);
        reply(response.with_context(|| self.base.clone())?).await
    }
}

/// A client for this server. Redirects are not followed: credentials go where they were meant to go.
pub(super) fn http(url: &Url, ca_file: Option<&Path>) -> anyhow::Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("gantry/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(120))
        .redirect(reqwest::redirect::Policy::none());
    if is_loopback(url) {
        builder = builder.no_proxy();
    }
    if let Some(file) = ca_file {
        let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
        let certificates =
            Certificate::from_pem_bundle(&pem).with_context(|| format!("{}: not PEM", file.display()))?;
        if certificates.is_empty() {
            bail!("{}: there is no certificate in it", file.display());
        }
        builder = builder.tls_certs_only(certificates);
    } else if url.scheme() == "http" {
        // Machines without any certificate of an authority, such as containers, need none for this.
        builder = builder.tls_certs_only([]);
    }
    builder.build().context("preparing HTTPS")
}

/// Reads an answer whole.
pub(super) async fn reply(mut response: Response) -> anyhow::Result<Reply> {
    let status = response.status();
    let request_id = response.headers().get("x-request-id");
    let request_id = request_id.and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(reqwest::Error::without_url)? {
        if body.len() + piece.len() > ANSWER {
            bail!("the answer is longer than {ANSWER} bytes");
        }
        body.extend_from_slice(&piece);
    }
    Ok(Reply { status, request_id, body })
}

/// A URL that credentials may be sent to.
pub(super) fn parse(text: &str) -> anyhow::Result<Url> {
    let Ok(url) = Url::parse(text) else {
        return Err(Usage::error(format!("`{text}` is no URL: expected https://HOST[:PORT]")));
    };
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none_or(str::is_empty) {
        return Err(Usage::error(format!("`{text}`: expected https://HOST[:PORT]")));
    }
    if !url.username().is_empty() || url.password().is_some() {
        // Not repeated here.
        return Err(Usage::error("credentials do not belong into a URL: `gantry login` keeps them"));
    }
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err(Usage::error(format!(
            "`{text}`: credentials go over https only, or to this machine itself"
        )));
    }
    Ok(url)
}

/// Host and port, as credential files name servers.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.map_or_else(|_| host == "localhost", |address| address.is_loopback())
}
