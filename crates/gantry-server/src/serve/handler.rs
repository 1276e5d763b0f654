//! One request, from its head to the head of its answer: where it goes, its id, its log line, its numbers.

use std::sync::Arc;
use std::time::Instant;

use gantry_storage::Damaged;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::body::Incoming;

use super::activity::Busy;
use crate::app::{App, Ready};
use crate::auth::secret::redacted;
use crate::http::reply::{self, Response, json};
use crate::http::{ApiError, Body, Door, Peer, RequestBody, RequestId, error};
use crate::observe::{Outcome, Route};
use crate::{admin, token, v1, v2};

/// Answers a request of the registry's address.
pub(super) async fn handle(
    app: &App,
    peer: &Peer,
    request: http::Request<Incoming>,
    busy: Arc<Busy>,
) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let id = request_id(app, peer, &parts.headers);
    let path = parts.uri.path();
    let (route, response) = if let Err(error) = framed(&parts, &busy) {
        (None, error::render(&error, &id, None, &Door::of(&app.config, peer, &parts)))
    } else if token::is_mine(path) {
        let timeout = app.config.settings.limits.body_timeout.0;
        let body = RequestBody::new(body, timeout, false, app.metrics.bytes_in.clone());
        (None, Box::pin(token::handle(app, peer, &parts, body, &id)).await)
    } else if admin::concerns(path) {
        let expects_continue = parts.headers.contains_key(header::EXPECT);
        let timeout = app.config.settings.limits.body_timeout.0;
        let body = RequestBody::new(body, timeout, expects_continue, app.metrics.bytes_in.clone());
        let gate = admin::Gate::Network(peer);
        (None, Box::pin(admin::handle(app, gate, &parts, body.into_source(), &id)).await)
    } else if v1::is_mine(app, peer, &parts) {
        let expects_continue = parts.headers.contains_key(header::EXPECT);
        let timeout = app.config.settings.limits.body_timeout.0;
        let body = RequestBody::new(body, timeout, expects_continue, app.metrics.bytes_in.clone());
        let (endpoint, response) = Box::pin(v1::handle(app, peer, &parts, body, &id)).await;
        (endpoint.map(Route::V1), response)
    } else if gantry_oci::is_api(path) && !v1::hides_v2(app, peer, &parts) {
        let expects_continue = parts.headers.contains_key(header::EXPECT);
        let timeout = app.config.settings.limits.body_timeout.0;
        let body = RequestBody::new(body, timeout, expects_continue, app.metrics.bytes_in.clone());
        // Boxed: a connection keeps room for this function's state, also while it is idle.
        let (endpoint, response) = Box::pin(v2::handle(app, peer, &parts, body, &id)).await;
        (endpoint.map(Route::V2), response)
    } else {
        (
            None,
            health(app, &parts.method, path).await.unwrap_or_else(|| {
                error::render(&ApiError::NotFound, &id, None, &Door::of(&app.config, peer, &parts))
            }),
        )
    };
    let response = finish(app, response, &id, parts.method == Method::HEAD, busy);
    let elapsed = started.elapsed();
    let method = method_label(&parts.method);
    app.metrics.answered(&Outcome { route, method, status: response.status().as_u16(), elapsed });
    if app.config.settings.log.access {
        log(app, peer, &parts, route, &response, &id, elapsed.as_micros());
    }
    response
}

/// RFC 9112, 3.2 and 6.1: one end, one Host, and no transfer coding but `chunked`, which hyper has undone.
fn framed(parts: &http::request::Parts, busy: &Busy) -> Result<(), ApiError> {
    if busy.is_ambiguous() {
        return Err(ApiError::TwoEnds);
    }
    if parts.version != http::Version::HTTP_11 {
        return Ok(());
    }
    if parts.headers.get_all(header::HOST).iter().count() != 1 {
        return Err(ApiError::Host);
    }
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    match codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        true => Ok(()),
        false => Err(ApiError::TransferCoding),
    }
}

/// `/healthz` and `/readyz`, which both addresses answer; `None` for other paths.
pub(super) async fn health(app: &App, method: &Method, path: &str) -> Option<Response> {
    if path != "/healthz" && path != "/readyz" {
        return None;
    }
    if method != Method::GET && method != Method::HEAD {
        let mut response = reply::empty(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let (status, body) = match path {
        "/readyz" => match app.ready().await {
            Ok(Ready { free, damaged }) => {
                let here = free.first().and_then(|(_, free)| *free);
                let mut told = serde_json::json!({ "status": "ok", "disk_free_bytes": here });
                if free.len() > 1 {
                    let each = |(name, free): &(Arc<str>, Option<u64>)| {
                        (name.to_string(), serde_json::json!({ "disk_free_bytes": free }))
                    };
                    told["storages"] = free.iter().map(each).collect::<serde_json::Map<_, _>>().into();
                }
                if damaged != Damaged::default() {
                    told["damaged"] =
                        serde_json::json!({ "blobs": damaged.blobs, "manifests": damaged.manifests });
                }
                (StatusCode::OK, told)
            }
            Err(reason) => (
                StatusCode::SERVICE_UNAVAILABLE,
                serde_json::json!({ "status": "unavailable", "reason": reason }),
            ),
        },
        _ => (StatusCode::OK, serde_json::json!({ "status": "ok" })),
    };
    Some(json(status, "application/json", body.to_string().into_bytes()))
}

/// What every answer carries.
fn finish(app: &App, mut response: Response, id: &RequestId, head: bool, busy: Arc<Busy>) -> Response {
    stamp(&mut response, id);
    if head {
        *response.body_mut() = Body::empty();
        return response;
    }
    if response.body().len() > 0 {
        busy.sends();
    }
    response.map(|body| body.watched(app.metrics.bytes_out.clone(), busy))
}

/// The headers of every answer, of both addresses.
pub(super) fn stamp(response: &mut Response, id: &RequestId) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(reply::REQUEST_ID, id.value());
}

/// The id that a trusted proxy gave the request, or a new one.
fn request_id(app: &App, peer: &Peer, headers: &HeaderMap) -> RequestId {
    let given = peer.trusted.then(|| headers.get(reply::REQUEST_ID)).flatten();
    given.and_then(RequestId::given).unwrap_or_else(|| RequestId::new(app.next_request_id()))
}

/// Methods that exist; whatever else is sent must not become a label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

fn log(
    app: &App,
    peer: &Peer,
    parts: &http::request::Parts,
    route: Option<Route>,
    response: &Response,
    id: &RequestId,
    micros: u128,
) {
    let client = peer.client(&parts.headers, app.config.trusted_proxies());
    let agent = parts.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("-");
    let status = response.status().as_u16();
    let length = response.headers().get(header::CONTENT_LENGTH);
    let bytes: u64 = length.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or(0);
    tracing::info!(
        target: "access",
        request = id.as_str(),
        %client,
        certificate = peer.certificate_user(),
        method = %redacted(parts.method.as_str()),
        path = &*redacted(parts.uri.path()),
        route = route.map_or("other", Route::label),
        status,
        bytes,
        micros = u64::try_from(micros).unwrap_or(u64::MAX),
        agent = &*redacted(agent),
        "answered"
    );
}
