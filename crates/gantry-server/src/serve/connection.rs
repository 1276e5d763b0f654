//! Connections: accepted up to a limit, spoken to in HTTP/1.1 or HTTP/2, closed when idle, drained at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::activity::Activity;
use super::file::SendFile;
use super::io::Watched;
use super::tls::Tls;
use super::{handler, proxy};
use crate::app::App;
use crate::auth::CertificateName;
use crate::http::Peer;

/// The longest request head, in bytes: thousands of ranges or a hundred tags fit (2.3 of the protocol reference).
const HEAD_MAX: usize = 64 << 10;
/// The most that hyper keeps of an HTTP/1.1 connection, in bytes; a request's head must fit. (What is read at once is less, see
/// `Watched`, and so is what waits to be written, see `Outlet::poll_room`.)
const READ_MAX: usize = HEAD_MAX;
/// What a connection says that finds all places taken.
const BUSY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n\
Connection: close\r\nContent-Length: 80\r\n\r\n\
{\"errors\":[{\"code\":\"UNAVAILABLE\",\"message\":\"too many connections; try again\"}]}\n";

/// Accepts connections until `stopping` turns true, then waits for those that are open, as long as the grace lasts.
pub(super) async fn accept(
    app: Arc<App>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    mut stopping: watch::Receiver<bool>,
) {
    let server = Arc::new(Server { builder: builder(), tls, stopping: stopping.clone(), app });
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        while open.try_join_next().is_some() {}
        match accepted {
            Ok((stream, address)) => {
                if open.len() >= server.app.config.settings.limits.connections {
                    server.app.metrics.connections_refused.inc();
                    refuse(stream, server.tls.is_some());
                    continue;
                }
                let server = Arc::clone(&server);
                open.spawn(async move {
                    let _open = Open::count(&server.app.metrics.connections);
                    let peer = Peer::new(address, server.app.config.trusted_proxies());
                    if let Err(end) = server.connection(stream, peer).await {
                        // How connections end is the client's affair; it is not worth a line unless one looks for it.
                        tracing::debug!(peer = %address, %end, "connection ended");
                    }
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly. Those that are open will close some.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let grace = server.app.config.settings.server.shutdown_grace.0;
    let drained = tokio::time::timeout(grace, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(
            connections = open.len(),
            "the grace period is over: cutting connections that are still busy"
        );
    }
    open.shutdown().await;
}

/// A connection in the gauge of those that are open, however it ends.
struct Open<'a>(&'a Gauge);

impl<'a> Open<'a> {
    fn count(gauge: &'a Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// One answer for a connection too many, in the clear; within TLS it would not be understood.
fn refuse(mut stream: TcpStream, tls: bool) {
    if !tls {
        tokio::spawn(async move {
            let answer = async {
                stream.write_all(BUSY).await?;
                stream.shutdown().await
            };
            // The client may be gone already.
            let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
        });
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // It would also end idle connections, and costs a timer for each request: `Watched` looks after slow heads.
        .header_read_timeout(None)
        // Never `pipeline_flush`: it lifts hyper's bound on what waits to be written, and a slow reader of a large
        // blob would have all of it in memory.
        // Pieces are written as they are: what stands for a file must not be copied (see `file`).
        .writev(true)
        .max_buf_size(READ_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        // Each stream of a client that does not read holds a piece of a blob and what waits to be sent; see `Outlet::piece`.
        .max_concurrent_streams(32)
        .max_send_buf_size(16 << 10)
        .max_header_list_size(HEAD_MAX as u32)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .max_frame_size(64 << 10)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

struct Server {
    app: Arc<App>,
    builder: Builder<TokioExecutor>,
    tls: Option<Arc<Tls>>,
    stopping: watch::Receiver<bool>,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Server {
    async fn connection(&self, mut stream: TcpStream, mut peer: Peer) -> Result<(), Failure> {
        let limits = &self.app.config.settings.limits;
        stream.set_nodelay(true)?;
        if self.app.config.settings.server.proxy_protocol && peer.trusted {
            let header = tokio::time::timeout(limits.header_timeout.0, proxy::read(&mut stream)).await??;
            if let Some(address) = header {
                peer = Peer::new(address, self.app.config.trusted_proxies());
            }
        }
        match &self.tls {
            // Boxed, so that a plain connection has no room for the state of a TLS handshake.
            None => Box::pin(self.speak(stream, peer)).await,
            Some(tls) => {
                let stream =
                    tokio::time::timeout(limits.header_timeout.0, Box::pin(tls.acceptor().accept(stream)))
                        .await??;
                peer.certificate = self.certificate(&stream, peer.address);
                Box::pin(self.speak(stream, peer)).await
            }
        }
    }

    /// Whose certificate the client has shown.
    fn certificate(&self, stream: &TlsStream<TcpStream>, peer: SocketAddr) -> Option<Arc<CertificateName>> {
        let leaf = stream.get_ref().1.peer_certificates()?.first()?;
        match CertificateName::read(leaf, self.app.config.settings.auth.client_certificates.user) {
            Ok(name) => Some(Arc::new(name)),
            Err(unfit) => {
                tracing::warn!(%peer, %unfit, "a client's certificate names nobody");
                None
            }
        }
    }

    async fn speak<S>(&self, stream: S, peer: Peer) -> Result<(), Failure>
    where
        S: AsyncRead + SendFile + Unpin + Send + 'static,
    {
        let limits = &self.app.config.settings.limits;
        let activity = Activity::new(S::SENDS_FILES);
        let app = Arc::clone(&self.app);
        let busy = Arc::clone(&activity);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            let peer = peer.clone();
            let busy = Activity::begin(&busy);
            async move { Ok::<_, std::convert::Infallible>(handler::handle(&app, &peer, request, busy).await) }
        });
        let stream = TokioIo::new(Watched::new(
            stream,
            Arc::clone(&activity),
            limits.header_timeout.0,
            limits.body_timeout.0,
        ));
        let connection = self.builder.serve_connection(stream, service);
        tokio::pin!(connection);
        let mut stopping = self.stopping.clone();
        let mut closing = false;
        // Told to go because nothing goes on.
        let mut told = false;
        let mut reader = Reader::default();
        // Until the first request has come the connection is not idle but late.
        let mut deadline = Instant::now() + limits.header_timeout.0;
        loop {
            tokio::select! {
                ended = connection.as_mut() => return ended,
                _ = stopping.wait_for(|stop| *stop), if !closing => {
                    closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = tokio::time::sleep_until(deadline) => {
                    let now = Instant::now();
                    deadline = now + limits.idle_timeout.0;
                    match activity.idle_since() {
                        // In HTTP/2 a client may answer pings for ever and leave the farewell unheard.
                        Some(_) if told => return Err("the client did not close an idle connection".into()),
                        Some(_) if closing => {}
                        Some(since) if activity.begun() > 0 && since + limits.idle_timeout.0 > now => {
                            deadline = since + limits.idle_timeout.0;
                        }
                        Some(_) => {
                            (closing, told) = (true, true);
                            deadline = now + limits.body_timeout.0;
                            connection.as_mut().graceful_shutdown();
                        }
                        None => {
                            if reader.stands_still(activity.read_while_sending(), now, limits.body_timeout.0) {
                                return Err("the client stopped reading".into());
                            }
                            deadline = deadline.min(now + limits.body_timeout.0 / 2);
                        }
                    }
                }
            }
        }
    }
}

/// Whether the other end reads what it asked for.
#[derive(Default)]
struct Reader {
    read: u64,
    since: Option<Instant>,
}

impl Reader {
    /// `read`: bytes read so far, when there is something to read.
    fn stands_still(&mut self, read: Option<u64>, now: Instant, timeout: Duration) -> bool {
        match (read, self.since) {
            (None, _) => {
                self.since = None;
                false
            }
            (Some(read), Some(since)) if read == self.read => now.duration_since(since) >= timeout,
            (Some(read), _) => {
                self.read = read;
                self.since = Some(now);
                false
            }
        }
    }
}
