//! The control socket: how commands on the same machine talk to the server that owns a data directory.
//!
//! `gantry.sock` in the data directory, mode 0600: whoever may open it may also change the files beside it, so it asks for no
//! password. Long work (`/sweep`, `/verify`) is answered by JSON lines, sent as it goes on; `/api/` is the admin API with the rights
//! of a server admin. Not for clients, and not for the network.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gantry_storage::StorageError;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::handler;
use crate::admin;
use crate::app::App;
use crate::http::{Body, RequestBody, RequestId, Response};
use crate::jobs::JobReport;
use crate::registry::verify::Event;
use crate::registry::{ByteSource, SweepItem, SweepReport};

/// Commands served at once.
const CONNECTIONS: usize = 16;
/// Jobs told at once.
const JOBS: usize = 100;
/// Items on their way to a command.
const WAITING: usize = 64;

type Answer = http::Response<UnsyncBoxBody<Bytes, StorageError>>;

/// One line of an answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Something that the sweep looked at.
    Swept(SweepItem),
    /// What the sweep came to: the last line.
    Sweep(SweepReport),
    /// What a check of everything tells; the last one says so.
    Verify(Event),
    /// A job that goes on by itself.
    Job(JobReport),
    /// It failed: the last line.
    Error(String),
}

/// Where the socket of a data directory is.
#[must_use]
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("gantry.sock")
}

/// The server's end.
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Takes the place of what a server that was killed has left: the directory's lock says that there is no other.
    pub(super) fn bind(data_dir: &Path) -> io::Result<Self> {
        let path = socket_path(data_dir);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = short(data_dir, |path| UnixListener::bind(path))?;
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until dropped.
    pub(super) async fn serve(self, app: Arc<App>) {
        let mut open = JoinSet::new();
        loop {
            let accepted = self.listener.accept().await;
            while open.try_join_next().is_some() {}
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            };
            if open.len() >= CONNECTIONS {
                continue;
            }
            let app = Arc::clone(&app);
            open.spawn(async move {
                let service = service_fn(|request| {
                    let app = &app;
                    async move { Ok::<_, std::convert::Infallible>(route(app, request).await) }
                });
                // The command may hang up whenever it likes.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A socket's address has room for about a hundred bytes; a data directory's path may be longer. So it is reached through
/// the open directory.
fn short<T>(data_dir: &Path, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let directory = std::fs::File::open(data_dir)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    with(&socket_path(Path::new(&format!("/proc/self/fd/{number}"))))
}

async fn route(app: &Arc<App>, request: http::Request<Incoming>) -> Answer {
    if admin::concerns(request.uri().path()) {
        return api(app, request).await;
    }
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/sweep") => {
            let dry_run = request.uri().query() == Some("dry-run");
            sweep(Arc::clone(app), dry_run)
        }
        (&Method::POST, "/verify") => {
            let repair = request.uri().query() == Some("repair");
            verify(Arc::clone(app), repair)
        }
        (&Method::POST, "/move") => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            start_move(Arc::clone(app), query)
        }
        (&Method::POST, "/jobs") => jobs(Arc::clone(app)),
        _ => {
            let line = format!("{}\n", serde_json::json!({ "error": "there is no such command" }));
            answer(
                StatusCode::NOT_FOUND,
                Full::new(Bytes::from(line)).map_err(|never| match never {}).boxed_unsync(),
            )
        }
    }
}

/// The admin API, as on the registry's address.
async fn api(app: &App, request: http::Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    let body = RequestBody::new(
        body,
        app.config.settings.limits.body_timeout.0,
        parts.headers.contains_key(header::EXPECT),
        app.metrics.bytes_in.clone(),
    );
    admin_api(app, &parts, body.into_source()).await.map(BodyExt::boxed_unsync)
}

/// The same for who has the store open himself.
pub(crate) async fn admin_api(app: &App, parts: &http::request::Parts, body: ByteSource) -> Response {
    let id = RequestId::new(app.next_request_id());
    let mut response = admin::handle(app, admin::Gate::Operator, parts, body, &id).await;
    handler::stamp(&mut response, &id);
    if parts.method == Method::HEAD {
        *response.body_mut() = Body::empty();
    }
    response
}

/// Runs to its end also when the command goes away: it can be asked for again, but not half.
fn sweep(app: Arc<App>, dry_run: bool) -> Answer {
    let (lines, body) = lines();
    tokio::spawn(async move {
        let (items, mut incoming) = mpsc::channel(WAITING);
        let forward = async {
            while let Some(item) = incoming.recv().await {
                let _ = lines.send(Line::Swept(item)).await;
            }
        };
        let work = async move { app.sweep(dry_run, Some(&items)).await };
        let (result, ()) = tokio::join!(work, forward);
        let last = result.map_or_else(|error| Line::Error(error.to_string()), Line::Sweep);
        let _ = lines.send(last).await;
    });
    answer(StatusCode::OK, body)
}

/// Ends when the command goes away: it may read for hours, and what it found and did is done.
fn verify(app: Arc<App>, repair: bool) -> Answer {
    let (lines, body) = lines();
    tokio::spawn(async move {
        let (events, mut incoming) = mpsc::channel(WAITING);
        let work = app.registry.verify(repair, events);
        let forward = async {
            while let Some(event) = incoming.recv().await {
                if lines.send(Line::Verify(event)).await.is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = async { tokio::join!(work, forward); } => {}
            () = lines.closed() => {}
        }
    });
    answer(StatusCode::OK, body)
}

/// Orders a move and tells the job. Prefixes and names of storages need no escapes.
fn start_move(app: Arc<App>, query: String) -> Answer {
    let (lines, body) = lines();
    tokio::spawn(async move {
        let field = |key: &str| {
            let mut fields = query.split('&').filter_map(|field| field.split_once('='));
            fields.find(|(name, _)| *name == key).map_or("", |(_, value)| value)
        };
        let line = match app.start_move(field("prefix"), field("to")).await {
            Ok(id) => app.jobs(Some(id.saturating_add(1)), 1).await.map(|jobs| jobs.into_iter().next()),
            Err(error) => Err(error),
        };
        let line = match line {
            Ok(Some(job)) => Line::Job(job),
            Ok(None) => Line::Error("the job is not there any more".to_owned()),
            Err(error) => Line::Error(error.to_string()),
        };
        let _ = lines.send(line).await;
    });
    answer(StatusCode::OK, body)
}

/// Tells the newest jobs, the newest first.
fn jobs(app: Arc<App>) -> Answer {
    let (lines, body) = lines();
    tokio::spawn(async move {
        match app.jobs(None, JOBS).await {
            Ok(jobs) => {
                for job in jobs {
                    if lines.send(Line::Job(job)).await.is_err() {
                        return;
                    }
                }
            }
            Err(error) => drop(lines.send(Line::Error(error.to_string())).await),
        }
    });
    answer(StatusCode::OK, body)
}

/// An answer's body, and the end that lines are put in.
fn lines() -> (mpsc::Sender<Line>, UnsyncBoxBody<Bytes, StorageError>) {
    let (sender, receiver) = mpsc::channel::<Line>(WAITING);
    let stream = futures_util::stream::unfold(receiver, async |mut receiver| {
        let line = receiver.recv().await?;
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        Some((Ok(Frame::data(Bytes::from(text))), receiver))
    });
    (sender, StreamBody::new(stream).boxed_unsync())
}

fn answer(status: StatusCode, body: UnsyncBoxBody<Bytes, StorageError>) -> Answer {
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    answer
}

/// A connection to the server that owns the data directory. `None`: no server does.
pub(crate) fn connect(data_dir: &Path) -> io::Result<Option<UnixStream>> {
    let connected = match short(data_dir, |path| std::os::unix::net::UnixStream::connect(path)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        other => other?,
    };
    connected.set_nonblocking(true)?;
    UnixStream::from_std(connected).map(Some)
}

/// Gives a command to the server that owns the data directory. False: no server does. `tell` gets each line; it ends with
/// the answer.
///
/// # Errors
/// The server cannot be reached or understood.
pub async fn ask(data_dir: &Path, command: &str, mut tell: impl FnMut(Line)) -> io::Result<bool> {
    let Some(stream) = connect(data_dir)? else { return Ok(false) };
    let mut stream = BufReader::new(stream);
    // HTTP/1.0: the answer ends with the connection, and needs no unframing.
    stream.write_all(format!("POST /{command} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    while stream.read_line(&mut text).await? > 0 {
        if text.starts_with('{') {
            tell(serde_json::from_str(&text).map_err(io::Error::other)?);
        }
        text.clear();
    }
    Ok(true)
}
