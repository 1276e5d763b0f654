//! Other people's servers: what they are asked is noted, what they say is the test's to choose, and they can be away, silent, and liars.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::{HeaderMap, Method, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Question {
    /// A header's text; empty when there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// What is answered.
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: UnsyncBoxBody<Bytes, io::Error>,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Reply {
        let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
        Reply { status, headers: Vec::new(), body }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply::new(status, body.to_string()).with("content-type", "application/json")
    }

    /// A body that comes bit by bit; an error cuts the connection.
    pub(crate) fn stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Reply {
        let body = StreamBody::new(stream.map_ok(Frame::data)).boxed_unsync();
        Reply { status: 200, headers: Vec::new(), body }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Reply {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a server is today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It answers.
    Well,
    /// It takes questions and says nothing.
    Silent,
    /// It closes connections as they come.
    Away,
}

type Answers = dyn Fn(&Question) -> Reply + Send + Sync;
type Lies = dyn Fn(&Question) -> Option<Reply> + Send + Sync;

/// A server, as long as the test runs.
pub(crate) struct Other {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    answers: Box<Answers>,
    lies: Mutex<Option<Box<Lies>>>,
    mood: watch::Sender<Mood>,
    asked: Mutex<Vec<Question>>,
}

impl Other {
    /// Starts one.
    pub(crate) async fn start(answers: impl Fn(&Question) -> Reply + Send + Sync + 'static) -> Other {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
        let address = listener.local_addr().expect("its address");
        let (mood, _) = watch::channel(Mood::Well);
        let state = Arc::new(State {
            answers: Box::new(answers),
            lies: Mutex::default(),
            mood,
            asked: Mutex::default(),
        });
        let own = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if *own.mood.borrow() == Mood::Away {
                    continue;
                }
                let state = Arc::clone(&own);
                tokio::spawn(async move {
                    let mut mood = state.mood.subscribe();
                    let service = service_fn(|request| Arc::clone(&state).answer(request));
                    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                    tokio::select! {
                        _ = connection => {}
                        _ = mood.wait_for(|mood| *mood == Mood::Away) => {}
                    }
                });
            }
        });
        Other { address, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn is(&self, mood: Mood) {
        self.state.mood.send_replace(mood);
    }

    /// From now on says this instead, where it says anything.
    pub(crate) fn lies(&self, lies: impl Fn(&Question) -> Option<Reply> + Send + Sync + 'static) {
        *self.state.lies.lock().expect("lies") = Some(Box::new(lies));
    }

    /// Says the truth again.
    pub(crate) fn is_honest(&self) {
        *self.state.lies.lock().expect("lies") = None;
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Question> {
        self.state.asked.lock().expect("what was asked").clone()
    }

    /// How often it was asked for a path that ends like this.
    pub(crate) fn asked_for(&self, method: &str, end: &str) -> usize {
        let asked = self.asked();
        asked.iter().filter(|question| question.method == method && question.path.ends_with(end)).count()
    }
}

impl State {
    async fn answer(
        self: Arc<Self>,
        request: http::Request<hyper::body::Incoming>,
    ) -> Result<Response<UnsyncBoxBody<Bytes, io::Error>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let question = Question { method: parts.method, path, headers: parts.headers, body };
        self.asked.lock().expect("what was asked").push(question.clone());
        if *self.mood.borrow() == Mood::Silent {
            let mut mood = self.mood.subscribe();
            let _ = mood.wait_for(|mood| *mood != Mood::Silent).await;
        }
        let lie = self.lies.lock().expect("lies").as_ref().and_then(|lies| lies(&question));
        let Reply { status, headers, body } = lie.unwrap_or_else(|| (self.answers)(&question));
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        Ok(response.body(body).expect("an answer"))
    }
}
