//! The operator's address: metrics and health, for machines that watch and not for clients.

use std::collections::VecDeque;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use super::handler::{health, stamp};
use crate::app::App;
use crate::http::reply::{self, Response};
use crate::http::{ApiError, Body, Door, RequestId, error};

/// Connections of the operator open at once. One more ends the oldest: watchers come again, and a place that somebody holds who
/// says nothing must not keep them out.
const CONNECTIONS: usize = 64;
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Serves until dropped.
pub(super) async fn serve(app: Arc<App>, listener: TcpListener) {
    let mut open = JoinSet::new();
    let mut oldest_first = VecDeque::new();
    loop {
        let accepted = listener.accept().await;
        while open.try_join_next().is_some() {}
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        oldest_first.retain(|connection: &AbortHandle| !connection.is_finished());
        if oldest_first.len() >= CONNECTIONS
            && let Some(oldest) = oldest_first.pop_front()
        {
            oldest.abort();
        }
        let app = Arc::clone(&app);
        oldest_first.push_back(open.spawn(async move {
            let service = service_fn(|request| {
                let app = Arc::clone(&app);
                async move { Ok::<_, std::convert::Infallible>(answer(&app, &request).await) }
            });
            let mut builder = hyper::server::conn::http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(app.config.settings.limits.header_timeout.0);
            // The watcher may hang up whenever it likes.
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }));
    }
}

async fn answer(app: &App, request: &http::Request<Incoming>) -> Response {
    let id = RequestId::new(app.next_request_id());
    let mut response = route(app, request, &id).await;
    stamp(&mut response, &id);
    response
}

async fn route(app: &App, request: &http::Request<Incoming>, id: &RequestId) -> Response {
    let path = request.uri().path();
    if path == "/metrics" && matches!(*request.method(), Method::GET | Method::HEAD) {
        app.measure_space().await;
        app.measure_damage().await;
        let mut response = reply::reply(StatusCode::OK, Body::whole(app.metrics.render()));
        response.headers_mut().insert(header::CONTENT_TYPE, OPENMETRICS);
        return response;
    }
    health(app, request.method(), path)
        .await
        .unwrap_or_else(|| error::render(&ApiError::NotFound, id, None, &Door::default()))
}
