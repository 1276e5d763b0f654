//! The admin API for commands on the same machine, which may open the data directory: by the control socket of the server that owns
//! it, or, when there is none, on the store itself.
//!
//! Whoever may open the directory may do everything in it, so nobody is asked for a password. This is no way in for anything else.

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use gantry_storage::StorageError;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;

use crate::app::{App, AppError};
use crate::config::Config;
use crate::serve::control;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The address cannot be one.
    #[error("`{0}` is not an address of the admin API")]
    Address(String),
    /// There is a server, but it does not let itself be asked.
    #[error("asking the server of {data_dir} (only the user who runs it may, and root): {source}")]
    Socket {
        /// The data directory.
        data_dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is neither a server nor a store.
    #[error("there is no registry in {data_dir}: {database} is missing")]
    NoStore {
        /// The data directory.
        data_dir: PathBuf,
        /// The file.
        database: PathBuf,
    },
    /// The store does not open.
    #[error(transparent)]
    App(#[from] AppError),
    /// The answer did not come whole.
    #[error("the answer broke off: {0}")]
    Answer(String),
}

/// Asks the admin API with the rights of a server admin: the running server, else the stopped one's store.
///
/// A store that is not there comes into being by `POST /api/users` alone, since a server may need its first account before it can
/// start; by anything else it would be a typing error in the directory's name.
///
/// # Errors
/// There was no answer. Refusals and failures are answers, with their status.
pub async fn call(
    config: &Config,
    method: Method,
    path_and_query: &str,
    body: Option<Bytes>,
) -> Result<(StatusCode, HeaderMap, Bytes), LocalError> {
    let wrong = || LocalError::Address(path_and_query.to_owned());
    let mut request = http::Request::new(body.clone().unwrap_or_default());
    *request.method_mut() = method;
    *request.uri_mut() = path_and_query.parse().map_err(|_| wrong())?;
    if !crate::admin::concerns(request.uri().path()) || request.uri().authority().is_some() {
        return Err(wrong());
    }
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    if body.is_some() {
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    send(config, request).await
}

/// The same with headers of one's own, such as `Accept`.
///
/// # Errors
/// See [`call`].
pub async fn send(
    config: &Config,
    request: http::Request<Bytes>,
) -> Result<(StatusCode, HeaderMap, Bytes), LocalError> {
    let data_dir = &config.data_dir;
    let failed = |source| LocalError::Socket { data_dir: data_dir.clone(), source };
    match control::connect(data_dir).map_err(failed)? {
        Some(stream) => ask(stream, request).await.map_err(|error| failed(io::Error::other(error))),
        None => here(config, request).await,
    }
}

async fn ask(
    stream: tokio::net::UnixStream,
    request: http::Request<Bytes>,
) -> hyper::Result<(StatusCode, HeaderMap, Bytes)> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
        Ok((parts.status, parts.headers, body.collect().await?.to_bytes()))
    };
    // The connection is driven as long as somebody waits for the answer.
    let (answer, _) = tokio::join!(answer, connection);
    answer
}

/// On a store that no server has open.
async fn here(
    config: &Config,
    request: http::Request<Bytes>,
) -> Result<(StatusCode, HeaderMap, Bytes), LocalError> {
    let (parts, body): (Parts, Bytes) = request.into_parts();
    let first_account = parts.method == Method::POST && parts.uri.path() == "/api/users";
    let inside = config.data_dir.join("gantry.db");
    let database = config.settings.metadata.sqlite.path.as_ref().unwrap_or(&inside);
    if !database.exists() && !first_account {
        return Err(LocalError::NoStore { data_dir: config.data_dir.clone(), database: database.clone() });
    }
    // Nothing listens here, so nothing can stand open to the network.
    let mut config = config.clone();
    config.settings.server.listen.0 = ([127, 0, 0, 1], 0).into();
    let app = App::open(config).await?;
    let source = Box::pin(futures_util::stream::iter([Ok(body)]));
    let (parts, body) = control::admin_api(&app, &parts, source).await.into_parts();
    let body = body.collect().await.map_err(|error: StorageError| LocalError::Answer(error.to_string()));
    app.close().await;
    Ok((parts.status, parts.headers, body?.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn config(data_dir: PathBuf) -> Config {
        Config::new(Settings::default(), data_dir).unwrap()
    }

    /// Without any server: the first account makes the store, and everything else needs one.
    #[tokio::test]
    async fn a_stopped_store_is_administered() {
        let dir = tempfile::TempDir::new().unwrap();
        let config = config(dir.path().join("data"));
        let get = async |path: &str| call(&config, Method::GET, path, None).await;
        assert!(matches!(get("/api/users").await, Err(LocalError::NoStore { .. })));
        assert!(!config.data_dir.exists());
        for path in ["/v2/", "users", "http://evil.example/api/users", "/apix"] {
            assert!(matches!(get(path).await, Err(LocalError::Address(_))), "{path}");
        }
        let body = Bytes::from(r#"{"name":"root","admin":true,"password":"correct horse 1"}"#);
        let (status, headers, made) = call(&config, Method::POST, "/api/users", Some(body)).await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{made:?}");
        assert!(headers.contains_key("x-request-id"));
        let (status, _, users) = get("/api/users?n=1").await.unwrap();
        let users: serde_json::Value = serde_json::from_slice(&users).unwrap();
        assert!(status == StatusCode::OK && users["users"][0]["name"] == "root", "{users}");
        let (status, headers, _) = call(&config, Method::DELETE, "/api/users/root", None).await.unwrap();
        assert_eq!(
            (status, &headers[header::CONTENT_TYPE]),
            (StatusCode::CONFLICT, &HeaderValue::from_static("application/problem+json"))
        );
        let mut lines = http::Request::new(Bytes::new());
        *lines.uri_mut() = "/api/audit".parse().unwrap();
        lines.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/x-ndjson"));
        let (_, _, log) = send(&config, lines).await.unwrap();
        let log = String::from_utf8(log.to_vec()).unwrap();
        assert!(
            log.lines().count() >= 3 && log.contains("last admin") && log.contains("\"operator\""),
            "{log}"
        );
    }
}
