//! The Docker Registry HTTP API V2 and OCI Distribution API.
//!
//! `handle` is the whole path of a request: parse it into a value, find out who asks, decide, act, render. The handlers
//! beside this file each take what was decided and turn the registry's answer into headers and bytes.

mod alias;
mod blobs;
mod lists;
mod manifests;
mod uploads;

use gantry_oci::{Endpoint, Request, RequestError, classify};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::app::App;
use crate::http::audit::{About, Asked as Wanted};
use crate::http::{ApiError, Door, Met, Peer, RequestBody, RequestId, Response, error, identify, reply};
use crate::policy::{self, Caller, Permit};
use crate::registry::{Asked, RegistryError};

/// What handlers know of a request beside the [`Request`] itself.
struct Context<'a> {
    app: &'a App,
    caller: Caller,
    headers: &'a HeaderMap,
    /// The method is HEAD: the answer's body is not sent.
    head: bool,
}

impl Context<'_> {
    /// The path of a request as the client must write it, for `Location` and `Link`.
    fn path(&self, request: &Request) -> String {
        format!("{}{}", self.app.config.base_path, request.path_and_query())
    }

    /// What the client does with a blob or manifest that it asks for.
    fn asked(&self) -> Asked {
        if self.head { Asked::WhetherItIsThere } else { Asked::ToRead }
    }

    /// The text of a header, when it is there and is text.
    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Content-Length`, when it is there.
    fn content_length(&self) -> Option<u64> {
        self.header(header::CONTENT_LENGTH)?.parse().ok()
    }
}

/// Answers a request below `/v2/`, and says which row of the table it belongs to.
pub(crate) async fn handle(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    body: RequestBody,
    request_id: &RequestId,
) -> (Option<Endpoint>, Response) {
    let path = parts.uri.path();
    let request = Request::parse(&parts.method, path, parts.uri.query());
    let endpoint = request.as_ref().map_or_else(|_| classify(path), |request| Some(request.endpoint()));
    let mut met = Met::default();
    let answered = answer(app, peer, parts, request, body, &mut met).await;
    // Of what was only read nothing is told.
    let told = answered.is_err() || !parts.method.is_safe();
    let asked = told.then(|| Request::parse(&parts.method, path, parts.uri.query()).ok()).flatten();
    let about = About {
        app,
        peer,
        parts,
        id: request_id,
        identity: met.identity.as_ref(),
        request: asked.as_ref().map(Wanted::V2),
    };
    let mut response = match answered {
        Ok(response) => {
            about.done();
            response
        }
        Err(failure) => {
            about.refused(&failure);
            let scopes = asked.as_ref().map(policy::scopes_of).unwrap_or_default();
            // A failed upload request tells where the session can go on: at the address that was just asked.
            let location = format!("{}{path}", app.config.base_path);
            error::render(
                &failure,
                request_id,
                Some(&location),
                &Door { scopes, ..Door::of(&app.config, peer, parts) },
            )
        }
    };
    met.stamp(response.headers_mut());
    response.headers_mut().insert(reply::API_VERSION, HeaderValue::from_static("registry/2.0"));
    (endpoint, response)
}

/// What is wrong with a request is told after it is known who asks.
async fn answer(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    request: Result<Request, RequestError>,
    body: RequestBody,
    met: &mut Met,
) -> Result<Response, ApiError> {
    let identity = identify(app, peer, parts, met).await?;
    let rules = app.access.rules().await.map_err(RegistryError::Storage)?;
    let permit = policy::decide(identity, request?, &rules)?;
    match dispatch(app, permit, parts, body).await {
        Err(ApiError::Registry(RegistryError::NameUnknown(name))) if parts.method.is_safe() => {
            let other = met.identity.clone().zip(alias::of(app, parts, &name));
            let permit =
                other.and_then(|(identity, request)| policy::decide_instead(identity, request, &rules));
            let unknown = ApiError::Registry(RegistryError::NameUnknown(name));
            let Some(permit) = permit else { return Err(unknown) };
            match Box::pin(dispatch(app, permit, parts, RequestBody::none())).await {
                Err(ApiError::Registry(RegistryError::NameUnknown(_))) => Err(unknown),
                answered => answered,
            }
        }
        answered => answered,
    }
}

async fn dispatch(app: &App, permit: Permit, parts: &Parts, body: RequestBody) -> Result<Response, ApiError> {
    let (request, caller) = permit.redeem();
    let cx = Context { app, caller, headers: &parts.headers, head: parts.method == http::Method::HEAD };
    match request {
        Request::Version => Ok(reply::json(StatusCode::OK, "application/json", b"{}".to_vec())),
        Request::Extensions { .. } => Ok(lists::extensions()),
        Request::Catalog { page } => lists::catalog(&cx, page).await,
        Request::ListTags { name, page } => lists::tags(&cx, name, page).await,
        Request::Referrers { name, digest, artifact_types, after, n } => {
            lists::referrers(&cx, lists::ReferrersOf { name, digest, artifact_types, after, n }).await
        }
        Request::GetManifest { name, reference } => manifests::get(&cx, &name, &reference).await,
        Request::PutManifest { name, reference, tags } => {
            plain_body(&cx)?;
            Box::pin(manifests::put(&cx, name, reference, tags, body)).await
        }
        Request::DeleteManifest { name, reference } => manifests::delete(&cx, &name, &reference).await,
        Request::GetBlob { name, digest } => blobs::get(&cx, &name, &digest).await,
        Request::DeleteBlob { name, digest } => blobs::delete(&cx, &name, &digest).await,
        Request::StartUpload { name, digest, algorithm, mount } => {
            plain_body(&cx)?;
            Box::pin(uploads::start(&cx, uploads::Start { name, digest, algorithm, mount }, body)).await
        }
        Request::GetUpload { name, id } => uploads::status(&cx, name, id).await,
        Request::PatchUpload { name, id } => {
            plain_body(&cx)?;
            Box::pin(uploads::append(&cx, name, id, body)).await
        }
        Request::PutUpload { name, id, digest } => {
            plain_body(&cx)?;
            Box::pin(uploads::complete(&cx, name, id, digest, body)).await
        }
        Request::DeleteUpload { name, id } => uploads::cancel(&cx, &name, id).await,
    }
}

/// Bodies are stored as they come, so a coding around them is refused rather than stored or undone.
fn plain_body(cx: &Context<'_>) -> Result<(), ApiError> {
    match cx.headers.get(header::CONTENT_ENCODING) {
        Some(coding) if coding != "identity" => Err(ApiError::ContentEncoded),
        _ => Ok(()),
    }
}
