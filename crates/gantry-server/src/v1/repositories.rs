//! Tags of repositories, and repositories as a whole.

use gantry_oci::access::Action;
use gantry_oci::v1::{ImageId, V1Name};
use gantry_oci::{Reference, Tag};
use gantry_storage::{TagSet, Timestamp};
use http::StatusCode;
use serde::{Serialize, Serializer};

use super::{Context, done, json, mirrored};
use crate::config::Deletable;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response, agent};
use crate::registry::{ImageError, RegistryError};

/// The largest body here, in bytes: an id, or a word.
const BODY_MAX: u64 = 4 << 10;

pub(super) const INVALID_DATA: Failure = Failure::Said(StatusCode::BAD_REQUEST, "Invalid data");

/// A list of pairs as an object, in their order.
struct Object<'a>(&'a [(String, ImageId)]);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(tag, id)| (tag, id)))
    }
}

/// GET of all tags: an object.
pub(super) async fn tags(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Pull).await?;
    json(&Object(&mirrored::tags(cx, &repo).await?))
}

/// GET of a tag: the id of its image.
pub(super) async fn tag(cx: &Context<'_>, name: &V1Name, tag: &Tag) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Pull).await?;
    json(&mirrored::tag(cx, &repo, tag).await?)
}

/// PUT of a tag: from now on others see the image.
pub(super) async fn put_tag(
    cx: &Context<'_>,
    name: &V1Name,
    tag: Tag,
    body: RequestBody,
) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Push).await?;
    let text: String = read(body).await?;
    if text.is_empty() {
        return Err(INVALID_DATA);
    }
    let id: ImageId = text.parse().map_err(|_| ImageError::Unknown)?;
    let sources = cx.caller.sources();
    let locks = cx.caller.rules.locks(&cx.caller.identity, repo.as_str());
    let agent = agent::kept(&cx.parts.headers);
    cx.app.registry.tag_image_by(agent, &repo, tag, &id, sources, locks).await?;
    Ok(done())
}

/// A body of JSON, whatever the request says that it is.
pub(super) async fn read<T: serde::de::DeserializeOwned>(body: RequestBody) -> Result<T, Failure> {
    let bytes = body.collect(BODY_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|_| INVALID_DATA)
}

/// DELETE of a tag.
pub(super) async fn delete_tag(cx: &Context<'_>, name: &V1Name, tag: &Tag) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Delete).await?;
    cx.caller.rules.deletes(Deletable::Tag)?;
    let locks = cx.caller.rules.locks(&cx.caller.identity, repo.as_str());
    let reference = Reference::Tag(tag.clone());
    match cx.app.registry.delete_manifest(&repo, &reference, &locks).await {
        Err(RegistryError::ManifestUnknown { .. } | RegistryError::NameUnknown(_)) => {
            Err(Failure::NoTag(tag.clone()))
        }
        deleted => Ok(deleted.map(|()| done())?),
    }
}

/// DELETE of a repository, with everything in it.
pub(super) async fn delete(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Delete).await?;
    cx.caller.rules.deletes(Deletable::Tag)?;
    cx.caller.rules.deletes(Deletable::Manifest)?;
    let locks = cx.caller.rules.locks(&cx.caller.identity, repo.as_str());
    cx.app.registry.delete_repository(&repo, &locks).await?;
    Ok(done())
}

/// What pushed a tag, as far as it said what it was.
#[derive(Serialize)]
struct TagInfo<'a> {
    /// When, in seconds since 1970.
    last_update: Option<i64>,
    docker_version: Option<&'a str>,
    docker_go_version: Option<&'a str>,
    arch: &'a str,
    os: &'a str,
    kernel: Option<&'a str>,
}

/// GET of what is known of a push; of a tag that is not there it is nothing, and no failure.
pub(super) async fn info(cx: &Context<'_>, name: &V1Name, tag: &Tag) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Pull).await?;
    let registry = &cx.app.registry;
    // What is no image for v1 is no tag for it either.
    let set = match registry.image_of_tag(&repo, tag).await {
        Ok(_) => registry.tag_set(&repo, tag).await,
        Err(error) => Err(error),
    };
    let (at, agent) = match set {
        Ok(TagSet { at, agent }) => (Some(at), agent),
        Err(RegistryError::Image(_) | RegistryError::NameUnknown(_)) => (None, String::new()),
        Err(error) => return Err(error.into()),
    };
    json(&TagInfo {
        last_update: at.map(Timestamp::as_unix_seconds),
        docker_version: agent::word(&agent, "docker"),
        docker_go_version: agent::word(&agent, "go"),
        arch: agent::word(&agent, "arch").unwrap_or("amd64"),
        os: agent::word(&agent, "os").unwrap_or("linux"),
        kernel: agent::word(&agent, "kernel"),
    })
}
