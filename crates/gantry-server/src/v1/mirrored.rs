//! `[v1.mirror]`: what is missing in a mirrored repository is looked for at its source (docs/v1.md, "Mirror").
//!
//! The rights are those of the repository here: nothing is fetched for anybody who may not read it. Of images whose repository nobody
//! named none is fetched, unless a list of tags or images said before where they are.

use std::collections::BTreeMap;

use bytes::Bytes;
use gantry_oci::access::Action;
use gantry_oci::v1::{ImageId, ImagePart, Request, V1Name};
use gantry_oci::{Digest, RepoName};
use gantry_storage::ImageState;
use http::{HeaderValue, StatusCode, header};

use super::{Context, images, json};
use crate::app::App;
use crate::auth::Identity;
use crate::http::blob::coming;
use crate::http::legacy::Failure;
use crate::http::reply::{self, Response};
use crate::http::{Body, conditional};
use crate::registry::{ImageError, RegistryError};
use crate::upstream::{Mirror, MirrorError, MirrorLayer, Order};

/// Refuses to change what is somebody else's. `told`: the repository of the caller's token or cookie.
pub(super) fn check_push(app: &App, request: &Request, told: Option<&V1Name>) -> Result<(), Failure> {
    let Some(mirror) = &app.mirror else { return Ok(()) };
    let name = match request {
        Request::PutRepository(name) | Request::PutImages(name) | Request::PutTag(name, _) => Some(name),
        Request::PutImage { .. } => told,
        _ => None,
    };
    match name.is_some_and(|name| mirror.has(name)) {
        true => Err(Failure::Said(
            StatusCode::FORBIDDEN,
            "This repository is a mirror of another registry's: push there",
        )),
        false => Ok(()),
    }
}

/// What to order of a repository, which the caller may read; `None`: it is not mirrored.
fn order<'a>(cx: &Context<'a>, repo: &RepoName) -> Option<(&'a Mirror, Order)> {
    let name = V1Name::from(repo.clone());
    let mirror = cx.app.mirror.as_ref().filter(|mirror| mirror.has(&name))?;
    // Nobody in particular moves the tags.
    let locks = cx.caller.rules.locks(&Identity::anonymous(), repo.as_str());
    Some((mirror, Order { repo: repo.clone(), name, locks }))
}

/// The repository of an image when neither token nor cookie says it. `here`: where it was found on this server.
///
/// Ids are what somebody chose, at the source too. So all repositories there that are known to have it, and that the caller may read,
/// must have the same image, or none is given.
pub(super) async fn place(
    cx: &Context<'_>,
    id: &ImageId,
    here: Result<RepoName, Failure>,
) -> Result<RepoName, Failure> {
    let Some(mirror) = cx.app.mirror.as_ref().filter(|_| cx.caller.repository.is_none()) else { return here };
    let mut places: Vec<RepoName> = here.as_ref().ok().cloned().into_iter().collect();
    let Some(named) = mirror.repositories_of(id) else { return Err(ImageError::Unknown.into()) };
    for name in named {
        if let Ok(repo) = cx.caller.repository(cx.app, &name, Action::Pull).await
            && !places.contains(&repo)
        {
            places.push(repo);
        }
    }
    if let [_, _, ..] = places[..] {
        let mut known: Option<(Bytes, Digest)> = None;
        for repo in &places {
            match content(cx, repo, id).await {
                // It is gone from there, or nobody can say now.
                None => {}
                Some((json, Some(payload)))
                    if known.as_ref().is_none_or(|known| *known == (json.clone(), payload)) =>
                {
                    known = Some((json, payload));
                }
                Some(_) => return Err(ImageError::Unknown.into()),
            }
        }
    }
    places.into_iter().next().map_or(here, Ok)
}

/// Which image an id is in a repository: its JSON, and the checksum of that and the layer, where it is known.
async fn content(cx: &Context<'_>, repo: &RepoName, id: &ImageId) -> Option<(Bytes, Option<Digest>)> {
    match cx.app.registry.image(repo, id).await {
        Ok(image) if image.state == ImageState::Complete => {
            let content = image.layer.as_ref().and_then(|layer| layer.content.as_ref());
            Some((image.json.clone(), content.map(|content| content.payload)))
        }
        _ => {
            let (mirror, order) = order(cx, repo)?;
            let described = mirror.described(&order, id).await.ok()?;
            Some((described.json.clone(), described.payload))
        }
    }
}

/// All tags, those of the source over those that are here alone.
pub(super) async fn tags(cx: &Context<'_>, repo: &RepoName) -> Result<Vec<(String, ImageId)>, Failure> {
    let here = cx.app.registry.image_tags(repo).await;
    let Some((mirror, order)) = order(cx, repo) else { return Ok(here?) };
    let there = match mirror.tags(&order).await {
        Ok(there) => there,
        Err(MirrorError::Missing) => return Ok(here?),
        Err(error) => return here.map_err(|here| unless_missing(here, &error)),
    };
    let mut all: BTreeMap<String, ImageId> = match here {
        Ok(here) => here.into_iter().collect(),
        Err(error) if is_missing(&error) => BTreeMap::new(),
        Err(error) => return Err(error.into()),
    };
    all.extend(there.iter().map(|(tag, id)| (tag.to_string(), *id)));
    Ok(all.into_iter().collect())
}

/// One of them.
pub(super) async fn tag(
    cx: &Context<'_>,
    repo: &RepoName,
    tag: &gantry_oci::Tag,
) -> Result<ImageId, Failure> {
    let failure = match order(cx, repo) {
        None => None,
        Some((mirror, order)) => match mirror.tags(&order).await {
            Ok(there) => match there.iter().find(|(name, _)| name == tag) {
                Some((_, id)) => return Ok(*id),
                None => None,
            },
            Err(MirrorError::Missing) => None,
            Err(error) => Some(error),
        },
    };
    let here = cx.app.registry.image_of_tag(repo, tag).await;
    match failure {
        None => Ok(here?),
        Some(failure) => here.map_err(|here| unless_missing(here, &failure)),
    }
}

/// JSON or ancestry of an image that is not here; `None`: it is here by now, since what was asked for is made of its layer.
pub(super) async fn get(
    cx: &Context<'_>,
    repo: &RepoName,
    id: &ImageId,
    part: ImagePart,
    missing: RegistryError,
) -> Result<Option<Response>, Failure> {
    let Some((mirror, order)) = order(cx, repo).filter(|_| is_missing(&missing)) else {
        return Err(missing.into());
    };
    let mut response = match part {
        ImagePart::Json => {
            let described = mirror.described(&order, id).await?;
            let mut response = reply::reply(StatusCode::OK, Body::whole(described.json.clone()));
            if let Some(size) = described.size {
                images::measured(response.headers_mut(), size, described.payload.as_ref());
            }
            response
        }
        ImagePart::Ancestry => json(&&*mirror.chain(&order, id).await?)?,
        ImagePart::Layer | ImagePart::Checksum | ImagePart::Files | ImagePart::Diff => {
            mirror.store(&order, id).await?;
            return Ok(None);
        }
    };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Some(response))
}

/// The layer of an image that is not here; `None`: it is here by now.
pub(super) async fn layer(
    cx: &Context<'_>,
    repo: &RepoName,
    id: &ImageId,
    missing: RegistryError,
) -> Result<Option<Response>, Failure> {
    let Some((mirror, order)) = order(cx, repo).filter(|_| is_missing(&missing)) else {
        return Err(missing.into());
    };
    let headers = &cx.parts.headers;
    if conditional::unchanged_since(headers) {
        mirror.described(&order, id).await?;
        return Ok(Some(reply::empty(StatusCode::NOT_MODIFIED)));
    }
    if cx.head
        && let Some(size) = mirror.described(&order, id).await?.size
    {
        return images::served(coming(None, size, headers)).map(Some);
    }
    match mirror.layer(&order, id).await? {
        MirrorLayer::Coming(bytes, size) => {
            images::served(coming(Some(&bytes).filter(|_| !cx.head), size, headers)).map(Some)
        }
        MirrorLayer::Here => Ok(None),
    }
}

/// Whether something is not here, or not yet whole.
fn is_missing(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::NameUnknown(_)
            | RegistryError::ManifestUnknown { .. }
            | RegistryError::BlobUnknown { .. }
            | RegistryError::Image(
                ImageError::Unknown
                    | ImageError::InProgress
                    | ImageError::TagUnknown
                    | ImageError::RepositoryUnknown
            )
    )
}

/// That something is not here says little while its source is silent.
fn unless_missing(here: RegistryError, there: &MirrorError) -> Failure {
    if is_missing(&here) { there.clone().into() } else { here.into() }
}

impl From<MirrorError> for Failure {
    fn from(error: MirrorError) -> Self {
        let text = match error {
            MirrorError::Missing => return ImageError::Unknown.into(),
            MirrorError::Unavailable(_) => {
                "The registry that this one mirrors does not answer as it should; try again"
            }
            MirrorError::Spool(_) | MirrorError::Store(_) => "What was fetched could not be kept; try again",
        };
        Failure::Said(StatusCode::SERVICE_UNAVAILABLE, text)
    }
}
