//! The Docker Registry API v1 and its Index, on the same repositories as V2.
//!
//! `handle` is the whole path of a request: parse it into a value, find out who asks ([`caller`]), decide in which repository and
//! whether, act, render. Failures become answers in [`crate::http::legacy`]. Images are [`crate::registry`]'s matter.

mod caller;
mod delegate;
mod images;
mod index;
mod mirrored;
mod properties;
mod repositories;
mod search;
mod token;
mod users;

use gantry_oci::v1::{Endpoint, ImagePart, Request, RequestError, is_v1};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::app::App;
use crate::http::audit::{About, Asked};
use crate::http::legacy::{self, Failure};
use crate::http::{
    Door, Met, Peer, RequestBody, RequestId, Response, agent, asked_host, host_and_port, reply,
};
use crate::registry;
use caller::Caller;

/// What handlers know of a request beside the [`Request`] itself.
struct Context<'a> {
    app: &'a App,
    peer: &'a Peer,
    parts: &'a Parts,
    id: &'a RequestId,
    caller: Caller,
    /// The method is HEAD: the answer's body is not sent.
    head: bool,
}

impl Context<'_> {
    /// What the client does with an image that it asks for.
    fn asked(&self) -> registry::Asked {
        if self.head { registry::Asked::WhetherItIsThere } else { registry::Asked::ToRead }
    }

    /// The name under which the caller owns what it has begun; empty for nobody in particular.
    fn owner(&self) -> &str {
        let identity = &self.caller.identity;
        if identity.is_anonymous() { "" } else { identity.subject.as_str() }
    }

    /// The text of a header, when it is there and is text.
    fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok()
    }
}

/// `X-Docker-Registry-Version`: of the last registry that spoke v1 alone. Clients of old look whether it is there.
const REGISTRY_VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-docker-registry-version"), HeaderValue::from_static("0.9.1"));

/// Whether this server answers v1 to this request at all: it is switched on, and the host that was asked is one that does.
pub(crate) fn is_mine(app: &App, peer: &Peer, parts: &Parts) -> bool {
    if !is_v1(parts.uri.path()) || !app.config.v1_enabled() {
        return false;
    }
    let settings = &app.config.settings.v1;
    settings.hosts.is_empty()
        || asked_host(peer, parts)
            .is_some_and(|host| among(&settings.hosts, &host) || among(&settings.only_hosts, &host))
}

/// Whether the host that was asked answers v1 and hides V2.
pub(crate) fn hides_v2(app: &App, peer: &Peer, parts: &Parts) -> bool {
    let hosts = &app.config.settings.v1.only_hosts;
    !hosts.is_empty()
        && app.config.v1_enabled()
        && asked_host(peer, parts).is_some_and(|host| among(hosts, &host))
}

/// Where the images are, in the words of the Index: one host. A host that was named for v1 is told as it was asked, since that of
/// `server.public_url` need not answer v1 at all.
fn endpoints(app: &App, peer: &Peer, parts: &Parts) -> String {
    let settings = &app.config.settings.v1;
    let is_named = asked_host(peer, parts)
        .is_some_and(|host| among(&settings.hosts, &host) || among(&settings.only_hosts, &host));
    let asked = is_named.then(|| host_and_port(peer, parts)).flatten();
    asked.unwrap_or_else(|| Door::of(&app.config, peer, parts).service)
}

/// Whether a host name, in lower case, is one of these.
fn among(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|one| one.eq_ignore_ascii_case(host))
}

/// Answers a request below `/v1/`, and says which row of the table it belongs to.
pub(crate) async fn handle(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    body: RequestBody,
    request_id: &RequestId,
) -> (Option<Endpoint>, Response) {
    let parse = || Request::parse(&parts.method, parts.uri.path(), parts.uri.query());
    let request = parse();
    let endpoint = request.as_ref().ok().map(Request::endpoint);
    app.metrics.v1_request(agent::client(&parts.headers));
    let mut met = Met::default();
    let answered = answer(app, (peer, parts, request_id), request, body, &mut met).await;
    // Of what was only read nothing is told.
    let told = answered.is_err() || !parts.method.is_safe();
    let asked = told.then(|| parse().ok()).flatten();
    let about = About {
        app,
        peer,
        parts,
        id: request_id,
        identity: met.identity.as_ref(),
        request: asked.as_ref().map(Asked::V1),
    };
    let mut response = match answered {
        Ok(response) => {
            about.done();
            response
        }
        Err(failure) => {
            about.refused(&failure);
            legacy::render(&failure, request_id, &Door::of(&app.config, peer, parts))
        }
    };
    met.stamp(response.headers_mut());
    stamp(response.headers_mut());
    (endpoint, response)
}

/// The headers of every answer.
fn stamp(headers: &mut HeaderMap) {
    let (name, version) = REGISTRY_VERSION;
    headers.insert(name, version);
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::EXPIRES, HeaderValue::from_static("-1"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    }
}

/// What is wrong with a request is told after it is known who asks.
async fn answer(
    app: &App,
    (peer, parts, id): (&Peer, &Parts, &RequestId),
    request: Result<Request, RequestError>,
    body: RequestBody,
    met: &mut Met,
) -> Result<Response, Failure> {
    if let Ok(Request::Ping) = request {
        return Ok(index::ping(app));
    }
    if let (Some(index), Ok(request)) = (&app.index, &request)
        && delegate::is_for_index(request, parts)
    {
        switched_on(app, request)?;
        plain_body(&parts.headers)?;
        mirrored::check_push(app, request, None)?;
        return Box::pin(delegate::relay(app, index, (peer, parts), request, body, met)).await;
    }
    let caller = Caller::of(app, peer, parts, met).await?;
    let request = request?;
    switched_on(app, &request)?;
    plain_body(&parts.headers)?;
    mirrored::check_push(app, &request, caller.repository.as_ref())?;
    let cx = Context { app, peer, parts, id, caller, head: parts.method == http::Method::HEAD };
    dispatch(&cx, request, body).await
}

/// Refuses what the operator has switched off (V-21).
fn switched_on(app: &App, request: &Request) -> Result<(), Failure> {
    let settings = &app.config.settings.v1;
    let (on, text) = match request {
        // podman goes on with the catalog after any failure; what is not there is not there.
        Request::Search(_) if settings.search => return Ok(()),
        Request::Search(_) => return Err(RequestError::NotFound.into()),
        Request::PutImage { .. }
        | Request::PutTag(..)
        | Request::DeleteTag(..)
        | Request::DeleteRepository(_)
        | Request::PutRepository(_)
        | Request::PutImages(_)
        | Request::DeleteImages(_)
        | Request::PutProperties(_) => (settings.push, "Pushing by v1 is switched off on this server"),
        // A push asks whether an image is there.
        Request::GetImage { part: ImagePart::Json, .. } => {
            (settings.pull || settings.push, "Pulling by v1 is switched off on this server")
        }
        Request::GetImage { .. } | Request::ListTags(_) | Request::GetTag(..) | Request::GetImages(_) => {
            (settings.pull, "Pulling by v1 is switched off on this server")
        }
        Request::Ping
        | Request::Login
        | Request::SignUp
        | Request::ChangeUser { .. }
        | Request::Authorize(_)
        | Request::LayerAccess(..)
        | Request::TagInfo(..)
        | Request::GetProperties(_) => return Ok(()),
    };
    if on { Ok(()) } else { Err(Failure::Said(StatusCode::FORBIDDEN, text)) }
}

/// Bodies are stored as they come, so a coding around them is refused rather than stored or undone.
fn plain_body(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get(header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(Failure::Said(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "A request body must come without Content-Encoding",
        )),
        _ => Ok(()),
    }
}

async fn dispatch(cx: &Context<'_>, request: Request, body: RequestBody) -> Result<Response, Failure> {
    match request {
        Request::Ping => Ok(index::ping(cx.app)),
        Request::Search(query) => search::search(cx, query).await,
        Request::Login => users::login(cx),
        Request::SignUp => Box::pin(users::sign_up(cx, body)).await,
        Request::ChangeUser { name } => Box::pin(users::change(cx, &name, body)).await,
        Request::GetImage { id, part } => match part {
            ImagePart::Layer => images::layer(cx, &id).await,
            part => images::get(cx, &id, part).await,
        },
        Request::PutImage { id, part } => Box::pin(images::put(cx, &id, part, body)).await,
        Request::ListTags(name) => repositories::tags(cx, &name).await,
        Request::GetTag(name, tag) => repositories::tag(cx, &name, &tag).await,
        Request::PutTag(name, tag) => Box::pin(repositories::put_tag(cx, &name, tag, body)).await,
        Request::DeleteTag(name, tag) => repositories::delete_tag(cx, &name, &tag).await,
        Request::DeleteRepository(name) => repositories::delete(cx, &name).await,
        Request::TagInfo(name, tag) => repositories::info(cx, &name, &tag).await,
        Request::GetProperties(name) => properties::get(cx, &name).await,
        Request::PutProperties(name) => Box::pin(properties::put(cx, &name, body)).await,
        Request::PutRepository(name) => Box::pin(index::put_repository(cx, &name, body)).await,
        Request::GetImages(name) => index::images(cx, &name).await,
        Request::PutImages(name) => Box::pin(index::put_images(cx, &name, body)).await,
        Request::DeleteImages(name) => index::delete_images(cx, &name).await,
        Request::Authorize(name) => index::authorize(cx, &name).await,
        Request::LayerAccess(name, id) => index::layer_access(cx, &name, &id).await,
    }
}

/// The answer to what was done: an empty string, as the documentation of v1 has it.
fn done() -> Response {
    reply::json(StatusCode::OK, "application/json", b"\"\"".to_vec())
}

/// An answer in JSON.
fn json(value: &impl serde::Serialize) -> Result<Response, Failure> {
    let body = serde_json::to_vec(value)
        .map_err(|_| registry::RegistryError::Internal("an answer cannot be written as JSON"))?;
    Ok(reply::json(StatusCode::OK, "application/json", body))
}
