//! Manifests: end-3, end-7, end-9.

use gantry_oci::{Digest, Reference, RepoName, Request, Tag};
use http::{HeaderValue, StatusCode, header};

use super::Context;
use crate::http::reply::{self, Response, digest_value, empty, value};
use crate::http::{ApiError, Body, RequestBody, agent, conditional};
use crate::registry::RegistryError;

/// GET and HEAD. The stored bytes under the stored type, whatever `Accept` says: digests must match.
pub(super) async fn get(
    cx: &Context<'_>,
    name: &RepoName,
    reference: &Reference,
) -> Result<Response, ApiError> {
    let manifest = cx.app.registry.manifest(name, reference, cx.asked()).await?;
    // It goes on with v1, where it finds an image that it can read.
    let v1 = &cx.app.config.settings.v1;
    if v1.old_docker && agent::cannot_read(cx.headers, &manifest.media_type) && cx.app.config.v1_enabled() {
        let (repo, reference) = (name.clone(), reference.clone());
        return Err(RegistryError::ManifestUnknown { repo, reference }.into());
    }
    let mut response = if conditional::not_modified(cx.headers, &manifest.digest) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let mut response = reply::reply(StatusCode::OK, Body::whole(manifest.bytes.clone()));
        response.headers_mut().insert(header::CONTENT_TYPE, value(&manifest.media_type));
        response
    };
    conditional::name_content(response.headers_mut(), &manifest.digest);
    Ok(response)
}

/// PUT, under a tag, or under a digest with any number of `?tag=`.
pub(super) async fn put(
    cx: &Context<'_>,
    name: RepoName,
    reference: Reference,
    tags: Vec<Tag>,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let limit = cx.app.registry.limits().manifest;
    if cx.content_length().is_some_and(|length| length > limit) {
        return Err(RegistryError::TooLarge { limit }.into());
    }
    let content_type = cx.header(header::CONTENT_TYPE);
    let registry = &cx.app.registry;
    let locks = cx.caller.locks(&name);
    let put = registry
        .put_manifest(&name, &reference, tags.clone(), locks, content_type, body.into_source())
        .await?;
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(
        header::LOCATION,
        value(cx.path(&Request::GetManifest { name, reference: Reference::Digest(put.digest) })),
    );
    headers.insert(reply::CONTENT_DIGEST, digest_value(&put.digest));
    if let Some(subject) = put.subject {
        headers.insert(reply::OCI_SUBJECT, digest_value(&subject));
    }
    if !tags.is_empty() {
        // One line: clients refuse answers with more than a hundred.
        headers.insert(reply::OCI_TAG, value(tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(", ")));
    }
    Ok(response)
}

/// DELETE of a tag, or of a manifest with its tags.
pub(super) async fn delete(
    cx: &Context<'_>,
    name: &RepoName,
    reference: &Reference,
) -> Result<Response, ApiError> {
    cx.app.registry.delete_manifest(name, reference, &cx.caller.locks(name)).await?;
    Ok(accepted_delete(match reference {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    }))
}

/// 202 on a delete, naming what went.
pub(super) fn accepted_delete(digest: Option<&Digest>) -> Response {
    let mut response = empty(StatusCode::ACCEPTED);
    if let Some(digest) = digest {
        response.headers_mut().insert(reply::CONTENT_DIGEST, digest_value(digest));
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
