//! Running a server: sockets, connections, signals, and what goes on in the background.

mod activity;
mod background;
mod connection;
pub mod control;
mod file;
mod greeting;
mod handler;
mod io;
mod operator;
mod proxy;
mod sniff;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::app::{App, AppError};
use crate::config::{Config, ConfigError};

pub use greeting::Greeting;
#[cfg(feature = "fuzzing")]
pub(crate) use proxy::read as read_proxy_header;
pub use tls::TlsError;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A part of it did not open.
    #[error(transparent)]
    App(#[from] AppError),
    /// The certificate or key does not do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address is not to be had.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key that names it.
        key: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

/// Serves until SIGTERM or SIGINT, then lets requests under way finish. `greet` is called once it is ready, `reread` at each SIGHUP.
///
/// # Errors
/// The server did not start.
pub async fn serve(
    config: Config,
    reread: impl Fn() -> Result<Config, ConfigError>,
    greet: impl FnOnce(&Greeting),
) -> Result<(), ServeError> {
    let tls =
        config.tls.as_ref().map(|files| tls::Tls::open(files, &config.settings.server.tls)).transpose()?;
    // Before an address is taken: whether it may be, the accounts say.
    let app = Arc::new(App::open(config).await?);
    let registry = bind(app.config.listen(), "server.listen")?;
    let operator = match app.config.settings.operator.listen.0 {
        Some(address) => Some(bind(address, "operator.listen")?),
        None => None,
    };
    let mut signals = Signals::new()?;
    let (stop, stopping) = watch::channel(false);

    let rules = app.access.rules().await.map_err(|error| AppError::Access(error.to_string()))?;
    let greeting =
        Greeting::new(&app.config, &rules, local(&registry)?, operator.as_ref().map(local).transpose()?);
    let tls = tls.map(Arc::new);
    let mut tasks = background::spawn(&app, tls.clone());
    if let Some(operator) = operator {
        tasks.spawn(operator::serve(Arc::clone(&app), operator));
    }
    match control::Control::bind(&app.config.data_dir) {
        Ok(control) => {
            tasks.spawn(control.serve(Arc::clone(&app)));
        }
        Err(error) => {
            tracing::warn!(%error, "no control socket: `gantry sweep` and `gantry verify` cannot talk to this server");
        }
    }
    let accepting = tokio::spawn(connection::accept(Arc::clone(&app), registry, tls.clone(), stopping));
    greet(&greeting);
    tracing::info!(address = %greeting.registry, "serving");

    while let Signal::Reload = signals.next().await {
        tracing::info!("reloading the certificate, the accounts and the configuration");
        background::reload(&app, tls.as_deref()).await;
        reconfigure(&app, reread()).await;
    }
    tracing::info!("stopping: no new connections, requests under way may finish");
    app.draining.store(true, Ordering::Relaxed);
    // The accept loop holds the other end; when it is gone there is nobody to tell.
    let _ = stop.send(true);
    if let Err(error) = accepting.await {
        tracing::error!(%error, "the accept loop failed");
    }
    tasks.shutdown().await;
    match Arc::try_unwrap(app) {
        Ok(app) => app.close().await,
        // A task outlived the grace period: the store closes as after a crash, which it is made for.
        Err(app) => drop(app.registry.meta().flush().await),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Takes a new reading of the configuration into force as far as that goes, and says what it did not take.
async fn reconfigure(app: &App, reread: Result<Config, ConfigError>) {
    let taken = match reread {
        Ok(config) => app.rewrite(&config).await,
        Err(error) => Err(error.into()),
    };
    match taken {
        Ok(waiting) if waiting.is_empty() => tracing::info!("the configuration is in force"),
        Ok(waiting) => tracing::warn!(
            tables = waiting.join(", "),
            "the configuration is in force, but for changes in these tables, which wait for a restart"
        ),
        Err(error) => {
            tracing::error!(%error, "the configuration was not reloaded; the old one stays in force");
        }
    }
}

/// Connections that wait to be accepted (the system may allow fewer): who finds no place waits for a second and more.
const BACKLOG: u32 = 4096;

fn bind(address: SocketAddr, key: &'static str) -> Result<TcpListener, ServeError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| ServeError::Listen { address, key, source })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, ServeError> {
    listener.local_addr().map_err(|source| ServeError::System { what: "the address of a socket", source })
}

enum Signal {
    Reload,
    Stop,
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, ServeError> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen =
            |kind| signal(kind).map_err(|source| ServeError::System { what: "signal handlers", source });
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}
