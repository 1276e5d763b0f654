//! A client that sends what it is told, no more: no redirects, no retries, no decompression.
//!
//! Whatever is answered is held to what every answer must keep ([`Answer::check`]), so that each test checks it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::Answer;
use super::tls::{Authority, ClientCertificate};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Longer than any answer takes; a test that hangs is a test that failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client of one server, with what all its requests carry. Clones share the connections.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    /// A socket of this machine in the place of the address.
    socket: Option<PathBuf>,
    tls: Option<TlsConnector>,
    http2: bool,
    headers: HeaderMap,
    /// Whether answers are those of the registry, which have more to keep than the operator's.
    registry: bool,
    /// Whether answers are held to anything at all: those of other people's programs are not.
    ours: bool,
    idle: Arc<Mutex<Vec<Sender>>>,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Sender {
    async fn ready(&mut self) -> bool {
        match self {
            Sender::Http1(sender) => sender.ready().await.is_ok(),
            Sender::Http2(sender) => sender.ready().await.is_ok(),
        }
    }

    async fn send(&mut self, request: Request<Body>) -> hyper::Result<http::Response<Incoming>> {
        match self {
            Sender::Http1(sender) => sender.send_request(request).await,
            Sender::Http2(sender) => sender.send_request(request).await,
        }
    }
}

impl Client {
    /// A client of this address, which is a server's or that of a proxy before it.
    pub(crate) fn new(address: SocketAddr, tls: Option<&Authority>) -> Self {
        let tls = tls.map(|authority| authority.connector(&["http/1.1"]));
        Self {
            address,
            socket: None,
            tls,
            http2: false,
            headers: HeaderMap::new(),
            registry: true,
            ours: true,
            idle: Arc::default(),
        }
    }

    /// The same for the operator's address.
    pub(super) fn of_operator(self) -> Self {
        Self { registry: false, ..self }
    }

    /// The same for somebody else's registry.
    pub(crate) fn of_another(self) -> Self {
        Self { ours: false, ..self }
    }

    /// The same by the control socket of a data directory.
    pub(super) fn by_socket(self, data: &Path) -> Self {
        Self { socket: Some(data.join("gantry.sock")), tls: None, ..self }
    }

    /// The same over HTTP/2: with prior knowledge, or as ALPN says when `authority` is given.
    pub(crate) fn http2(&self, authority: Option<&Authority>) -> Self {
        let tls = authority.map(|authority| authority.connector(&["h2"]));
        Self { tls, http2: true, idle: Arc::default(), ..self.clone() }
    }

    /// The same with a certificate, over connections of its own.
    pub(crate) fn showing(&self, server: &Authority, certificate: &ClientCertificate) -> Self {
        let alpn = if self.http2 { "h2" } else { "http/1.1" };
        let tls = Some(server.connector_as(&[alpn], Some(certificate)));
        Self { tls, idle: Arc::default(), ..self.clone() }
    }

    /// The same with this header on every request.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut client = self.clone();
        client.headers.append(name_of(name), value_of(value));
        client
    }

    /// Host and port, as they stand in `Host`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The same without credentials.
    pub(crate) fn nobody(&self) -> Self {
        let mut client = self.clone();
        client.headers.remove(header::AUTHORIZATION);
        client
    }

    /// The same with these credentials on every request.
    pub(crate) fn basic(&self, name: &str, password: &str) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.with("authorization", &format!("Basic {encoded}"))
    }

    pub(crate) fn get(&self, target: &str) -> Call {
        self.call("GET", target)
    }

    pub(crate) fn head(&self, target: &str) -> Call {
        self.call("HEAD", target)
    }

    pub(crate) fn post(&self, target: &str) -> Call {
        self.call("POST", target)
    }

    pub(crate) fn put(&self, target: &str, body: impl Into<Bytes>) -> Call {
        self.call("PUT", target).body(body)
    }

    pub(crate) fn patch(&self, target: &str, body: impl Into<Bytes>) -> Call {
        self.call("PATCH", target).body(body)
    }

    pub(crate) fn delete(&self, target: &str) -> Call {
        self.call("DELETE", target)
    }

    /// Any method on any path with its query.
    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        Call {
            client: self.clone(),
            method: Method::from_bytes(method.as_bytes()).expect("a method"),
            target: target.to_owned(),
            headers: self.headers.clone(),
            body: Full::default().map_err(|never| match never {}).boxed_unsync(),
        }
    }

    async fn connect(&self) -> Result<Sender, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot connect: {error}");
        if let Some(socket) = &self.socket {
            let stream = UnixStream::connect(socket).await.map_err(|error| failed(&error))?;
            return self.speak(TokioIo::new(stream)).await;
        }
        let stream = TcpStream::connect(self.address).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        match &self.tls {
            None => self.speak(TokioIo::new(stream)).await,
            Some(tls) => {
                let name = ServerName::IpAddress(self.address.ip().into());
                let stream = tls.connect(name, stream).await.map_err(|error| failed(&error))?;
                self.speak(TokioIo::new(stream)).await
            }
        }
    }

    async fn speak<I>(&self, io: I) -> Result<Sender, String>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        if self.http2 {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(1 << 20)
                .handshake(io)
                .await
                .map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok(Sender::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(io).await.map_err(|error| error.to_string())?;
            tokio::spawn(connection);
            Ok(Sender::Http1(sender))
        }
    }

    /// A connection, and whether it was used before.
    async fn take(&self) -> Result<(Sender, bool), String> {
        let idle = || self.idle.lock().expect("idle connections").pop();
        while let Some(mut sender) = idle() {
            if sender.ready().await {
                return Ok((sender, true));
            }
        }
        let mut sender = self.connect().await?;
        sender.ready().await;
        Ok((sender, false))
    }

    fn give_back(&self, sender: Sender) {
        self.idle.lock().expect("idle connections").push(sender);
    }
}

/// A request that is sent when it is awaited.
#[must_use = "a request is sent when it is awaited"]
pub(crate) struct Call {
    client: Client,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Body,
}

impl Call {
    /// One more header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(name_of(name), value_of(value));
        self
    }

    /// The answer is none of the API that the path would say, and is not held to what that promises.
    pub(crate) fn of_another_api(mut self) -> Self {
        self.client.registry = false;
        self
    }

    /// A body of known length.
    pub(crate) fn body(mut self, bytes: impl Into<Bytes>) -> Self {
        self.body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
        self
    }

    /// A body of JSON.
    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// A body whose length is not announced: `Transfer-Encoding: chunked` in HTTP/1.1.
    pub(crate) fn chunked(self, bytes: impl Into<Bytes>) -> Self {
        let mut rest: Bytes = bytes.into();
        let pieces = std::iter::from_fn(move || {
            let piece = rest.split_to(rest.len().min(60_000));
            (!piece.is_empty()).then_some(piece)
        });
        self.stream(futures_util::stream::iter(pieces.map(Ok)))
    }

    /// A body that comes as the test lets it; an error cuts the connection.
    pub(crate) fn stream(
        mut self,
        stream: impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        use futures_util::TryStreamExt as _;
        self.body = StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync();
        self
    }

    /// Sends it; the error is a connection that failed before the whole answer was there.
    pub(crate) async fn try_send(self) -> Result<Answer, String> {
        let what = format!("{} {}", self.method, shown(&self.target));
        match tokio::time::timeout(PATIENCE, self.send()).await {
            Ok(result) => result.map_err(|error| format!("{what}: {error}")),
            Err(_) => Err(format!("{what}: no answer in {PATIENCE:?}")),
        }
    }

    async fn send(self) -> Result<Answer, String> {
        let what = format!("{} {}", self.method, shown(&self.target));
        let (method, in_v2) = (self.method.clone(), self.client.registry && is_v2(&self.target));
        let ours = self.client.ours;
        let (mut sender, _) = self.client.take().await?;
        let with_body = !self.body.is_end_stream();
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        let authority = self.client.address.to_string();
        let scheme = if self.client.tls.is_some() { "https" } else { "http" };
        let uri = if self.client.http2 {
            *request.version_mut() = Version::HTTP_2;
            format!("{scheme}://{authority}{}", self.target)
        } else {
            request.headers_mut().entry(header::HOST).or_insert(value_of(&authority));
            self.target
        };
        *request.uri_mut() = uri.parse::<Uri>().map_err(|error| format!("{uri}: {error}"))?;
        let response = sender.send(request).await.map_err(|error| chain(&error))?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| chain(&error))?.to_bytes();
        // A server that refuses a body may close the connection behind its answer.
        if !(with_body && parts.status.as_u16() >= 400) {
            self.client.give_back(sender);
        }
        let answer = Answer {
            what,
            method,
            version: parts.version,
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        };
        if ours {
            answer.check(in_v2);
        }
        Ok(answer)
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.try_send().await.expect("an answer") })
    }
}

fn is_v2(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path == "/v2" || path.starts_with("/v2/")
}

fn shown(target: &str) -> String {
    target.chars().take(300).collect()
}

fn chain(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn name_of(name: &str) -> HeaderName {
    name.parse().expect("a header name")
}

fn value_of(value: &str) -> HeaderValue {
    HeaderValue::from_bytes(value.as_bytes()).expect("a header value")
}

/// A body in the test's hands: what is sent into it goes out, and dropping the sender ends it.
pub(crate) fn pieces() -> (
    tokio::sync::mpsc::Sender<io::Result<Bytes>>,
    impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let next = |mut receiver: tokio::sync::mpsc::Receiver<_>| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    };
    (sender, futures_util::stream::unfold(receiver, next))
}
