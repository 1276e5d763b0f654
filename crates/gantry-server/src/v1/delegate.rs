//! `[v1.index]`: another server says who may do what (docs/v1.md, "Delegation").
//!
//! Requests for an Index are handed on to it, so that clients may begin here or there. A token of its making says for which repository
//! it is and what for, and whether it is genuine is asked of it ([`crate::upstream`]). Rights of this server's own accounts, public
//! namespaces, addresses and certificates count beside that as ever.

use gantry_oci::RepoName;
use gantry_oci::access::{Access, Action, Subject, Visibility};
use gantry_oci::v1::{Authorization, ImageId, Request, TokenAccess, TokenFields, V1Name};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::Context;
use super::token::{self, ENDPOINTS};
use crate::app::App;
use crate::auth::{Asking, AuthError, Bounds, Credential, Identity, Known, Source};
use crate::http::legacy::Failure;
use crate::http::reply::{self, value};
use crate::http::{Body, Met, Peer, RequestBody, Response, asking, met_as};
use crate::registry::{ImageError, RegistryError};
use crate::upstream::{INDEX_BODY_MAX, Index, IndexError};

/// What clients read from the Index has no business in caches.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A token that the Index made.
pub(super) struct ForeignToken {
    /// As it was shown.
    authorization: HeaderValue,
    /// As it names its repository.
    repository: V1Name,
}

/// Whether a request is for the Index, and not for the registry. The two share an address for the deletion of a repository: the
/// registry takes tokens for it, and the Index what gets one.
pub(super) fn is_for_index(request: &Request, parts: &Parts) -> bool {
    match request {
        Request::Login
        | Request::SignUp
        | Request::ChangeUser { .. }
        | Request::PutRepository(_)
        | Request::GetImages(_)
        | Request::PutImages(_)
        | Request::DeleteImages(_)
        | Request::Authorize(_)
        | Request::LayerAccess(..) => true,
        Request::DeleteRepository(_) => {
            let shown = parts.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
            !matches!(Authorization::parse(shown), Authorization::Token(_))
        }
        Request::Ping
        | Request::Search(_)
        | Request::GetImage { .. }
        | Request::PutImage { .. }
        | Request::ListTags(_)
        | Request::GetTag(..)
        | Request::PutTag(..)
        | Request::DeleteTag(..)
        | Request::TagInfo(..)
        | Request::GetProperties(_)
        | Request::PutProperties(_) => false,
    }
}

/// Hands a request on to the Index. Who asks is its matter, but for the address and how often.
pub(super) async fn relay(
    app: &App,
    index: &Index,
    (peer, parts): (&Peer, &Parts),
    request: &Request,
    body: RequestBody,
    met: &mut Met,
) -> Result<Response, Failure> {
    let nobody = Asking { authorization: None, ..asking(app, peer, parts, None, "") };
    let found = app.access.auth.identify(&nobody).await;
    met_as(app, &nobody, token::OFFERED, found, met)?;
    let body = body.collect(INDEX_BODY_MAX as u64).await?;
    let path = parts.uri.path_and_query().map_or(parts.uri.path(), |path| path.as_str());
    let answered = index.relay(parts.method.clone(), path, &parts.headers, body).await?;
    let mut response = match answered.status {
        StatusCode::NO_CONTENT => reply::empty(StatusCode::NO_CONTENT),
        status => reply::reply(status, Body::whole(answered.body)),
    };
    let headers = response.headers_mut();
    headers.extend(answered.headers);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    // Images are here, whatever the Index says of where they are.
    if answered.status.is_success() && request.repository().is_some() {
        headers.insert(ENDPOINTS, value(super::endpoints(app, peer, parts)));
    }
    Ok(response)
}

/// Somebody with a token of the Index, and the repository that it is for, as V2 has it.
pub(super) async fn by_token(
    app: &App,
    index: &Index,
    (peer, parts): (&Peer, &Parts),
    fields: &TokenFields,
    met: &mut Met,
) -> Result<(Identity, RepoName, ForeignToken), Failure> {
    let asking = asking(app, peer, parts, None, "");
    let shown = parts.headers.get(header::AUTHORIZATION).cloned();
    let authorization = shown.ok_or(Failure::Unauthorized)?;
    let granted = match app.access.auth.admit(asking.address) {
        Ok(()) => index.granted(&authorization, &fields.repository).await.map_err(of_index),
        Err(error) => Err(error),
    };
    let repository = spelling(app, &fields.repository).await?;
    let identity = granted.map(|_| identity(index, &repository, fields.access));
    let identity = met_as(app, &asking, token::OFFERED, identity, met)?;
    Ok((identity, repository, ForeignToken { authorization, repository: fields.repository.clone() }))
}

/// The way to write the name that is there; as the token has it when neither is.
async fn spelling(app: &App, name: &V1Name) -> Result<RepoName, Failure> {
    let (written, meta) = (name.written(), app.registry.meta());
    if let Some(other) = name.other()
        && !meta.repository_exists(written).await.map_err(RegistryError::Storage)?
        && meta.repository_exists(&other).await.map_err(RegistryError::Storage)?
    {
        return Ok(other);
    }
    Ok(written.clone())
}

/// Somebody whom the Index knows; who that is it does not say. What the token allows is all that it may, beside what everybody may.
fn identity(index: &Index, repository: &RepoName, access: TokenAccess) -> Identity {
    let actions = token::actions(access).iter().map(|action: &Action| action.as_str().to_owned()).collect();
    let access = Access { kind: "repository".to_owned(), name: repository.to_string(), actions };
    Identity::known(Known {
        bounds: Bounds { scopes: None, access: Some(vec![access]), alone: true },
        ..Identity::plain(Subject::issuer(index.url(), ""), Source::Issuer, Credential::Bearer).known_parts()
    })
}

fn of_index(error: IndexError) -> AuthError {
    match error {
        IndexError::Refused => AuthError::Refused,
        IndexError::Unavailable => AuthError::Unavailable("the Index that decides for this registry"),
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        Failure::Auth(of_index(error))
    }
}

/// Refuses to begin an image that the Index was not told of (V-3): a push says first what it will bring.
pub(super) async fn check_owned(cx: &Context<'_>, id: &ImageId) -> Result<(), Failure> {
    let (Some(index), Some(token)) = (&cx.app.index, &cx.caller.foreign) else { return Ok(()) };
    match index.owns(&token.authorization, &token.repository, id).await? {
        true => Ok(()),
        false => Err(Failure::Said(StatusCode::BAD_REQUEST, "This image does not belong to the repository")),
    }
}

/// Asks about each image of a private repository, where the Index wants that.
pub(super) async fn check_layer(cx: &Context<'_>, repo: &RepoName, id: &ImageId) -> Result<(), Failure> {
    let (Some(index), Some(token)) = (&cx.app.index, &cx.caller.foreign) else { return Ok(()) };
    let private = || cx.caller.rules.namespace_of(repo.as_str()).visibility == Visibility::Private;
    if !index.wants_layers()
        || !private()
        || index.may_read_layer(&token.authorization, &token.repository, id).await?
    {
        return Ok(());
    }
    Err(ImageError::Unknown.into())
}
