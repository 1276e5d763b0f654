//! The Index: what a push begins and ends with, what a pull begins with, and tokens.
//!
//! Which images belong to a repository is not kept apart: it is what its tags lead to. So what a client lists is read and checked,
//! and forgotten.

use std::collections::HashSet;

use gantry_oci::access::Action;
use gantry_oci::v1::{ImageId, TokenAccess, V1Name};
use gantry_storage::ImageState;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;

use super::{Context, mirrored, token};
use crate::app::App;
use crate::http::legacy::Failure;
use crate::http::reply::{self, json};
use crate::http::{RequestBody, Response};
use crate::registry::{ImageError, RegistryError};

/// Whether clients send passwords with every request instead of tokens.
const STANDALONE: HeaderName = HeaderName::from_static("x-docker-registry-standalone");
/// The longest list of images that is read, in bytes. A push of all tags of a repository names all their images.
const LIST_MAX: u64 = 4 << 20;
/// Images that are listed at most. Clients take the images of a tag from its chain.
const LISTED: usize = 10_000;

/// What every client asks first, with or without credentials.
pub(super) fn ping(app: &App) -> Response {
    let mut response = json(StatusCode::OK, "application/json", b"{}".to_vec());
    let standalone = if app.config.settings.v1.standalone { "true" } else { "false" };
    response.headers_mut().insert(STANDALONE, HeaderValue::from_static(standalone));
    response
}

/// The beginning of a push.
pub(super) async fn put_repository(
    cx: &Context<'_>,
    name: &V1Name,
    body: RequestBody,
) -> Result<Response, Failure> {
    let repository = listed(cx, name, body).await?;
    let mut response = json(StatusCode::OK, "application/json", b"\"\"".to_vec());
    token::stamp(cx, &repository, TokenAccess::Write, &mut response)?;
    Ok(response)
}

/// The end of a push.
pub(super) async fn put_images(
    cx: &Context<'_>,
    name: &V1Name,
    body: RequestBody,
) -> Result<Response, Failure> {
    let repository = listed(cx, name, body).await?;
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    token::stamp(cx, &repository, TokenAccess::Write, &mut response)?;
    Ok(response)
}

/// One image of a list. What else stands there (a tag, a checksum) says nothing that the images do not say themselves.
#[derive(Deserialize)]
struct Listed {
    id: String,
}

/// Checks a list of images for a repository that the caller may push to, and says which one that is.
async fn listed(cx: &Context<'_>, name: &V1Name, body: RequestBody) -> Result<V1Name, Failure> {
    let repository = cx.caller.repository(cx.app, name, Action::Push).await?;
    let body = body.collect(LIST_MAX).await?;
    let invalid = Failure::Said(StatusCode::BAD_REQUEST, "Invalid data");
    let list: Vec<Listed> = match serde_json::from_slice(&body) {
        Ok(list) => list,
        Err(error) if error.is_data() => return Err(invalid),
        Err(_) => return Err(Failure::Said(StatusCode::BAD_REQUEST, "Error Decoding JSON")),
    };
    match list.iter().all(|listed| listed.id.parse::<ImageId>().is_ok()) {
        true => Ok(repository.into()),
        false => Err(invalid),
    }
}

/// The beginning of a pull: the images below all tags.
pub(super) async fn images(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    let repository = cx.caller.repository(cx.app, name, Action::Pull).await?;
    let registry = &cx.app.registry;
    let none = || Failure::Said(StatusCode::NOT_FOUND, "images not found");
    let tags = match mirrored::tags(cx, &repository).await {
        Ok(tags) if tags.is_empty() => return Err(none()),
        Ok(tags) => tags,
        Err(Failure::Registry(
            RegistryError::Image(ImageError::RepositoryUnknown | ImageError::Unknown)
            | RegistryError::NameUnknown(_),
        )) => return Err(none()),
        Err(error) => return Err(error),
    };
    let (mut seen, mut ids, mut tops) = (HashSet::new(), Vec::new(), HashSet::new());
    for (_, top) in tags {
        if ids.len() >= LISTED || !tops.insert(top) {
            continue;
        }
        match registry.image(&repository, &top).await {
            Ok(image) => ids.extend(image.ancestry.iter().copied().filter(|id| seen.insert(*id))),
            // Gone since it was listed, or still elsewhere: then what it stands on is not known yet.
            Err(RegistryError::Image(_) | RegistryError::NameUnknown(_)) => {
                ids.extend(Some(top).filter(|id| cx.app.mirror.is_some() && seen.insert(*id)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    ids.truncate(LISTED);
    let list: Vec<_> = ids.iter().map(|id| serde_json::json!({ "id": id })).collect();
    let body = serde_json::to_vec(&list).unwrap_or_default();
    let mut response = json(StatusCode::OK, "application/json", body);
    token::stamp(cx, &repository.into(), TokenAccess::Read, &mut response)?;
    Ok(response)
}

/// Removes nothing: images go with the tags that lead to them. It is how a client asks for a token to delete with.
pub(super) async fn delete_images(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    let repository = cx.caller.repository(cx.app, name, Action::Delete).await?;
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    token::stamp(cx, &repository.into(), TokenAccess::Delete, &mut response)?;
    Ok(response)
}

/// Whether the token that a registry shows is one of ours for this repository.
pub(super) async fn authorize(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    match cx.caller.repository(cx.app, name, Action::Pull).await {
        Ok(_) => Ok(ok()),
        Err(failure @ Failure::Registry(RegistryError::Storage(_))) => Err(failure),
        Err(_) => Err(Failure::Said(StatusCode::FORBIDDEN, "Permission denied")),
    }
}

/// Whether the caller may read an image of a repository: what a registry asks its Index.
pub(super) async fn layer_access(cx: &Context<'_>, name: &V1Name, id: &ImageId) -> Result<Response, Failure> {
    let access = match cx.caller.repository(cx.app, name, Action::Pull).await {
        Ok(repository) => match cx.app.registry.image(&repository, id).await {
            Ok(image) => image.state == ImageState::Complete,
            Err(RegistryError::Image(_) | RegistryError::NameUnknown(_)) => false,
            Err(error) => return Err(error.into()),
        },
        Err(failure @ (Failure::Unauthorized | Failure::Registry(RegistryError::Storage(_)))) => {
            return Err(failure);
        }
        Err(_) => false,
    };
    let body = serde_json::json!({ "access": access });
    Ok(json(StatusCode::OK, "application/json", body.to_string().into_bytes()))
}

/// `"OK"`
pub(super) fn ok() -> Response {
    let mut response = json(StatusCode::OK, "application/json", b"\"OK\"".to_vec());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}
