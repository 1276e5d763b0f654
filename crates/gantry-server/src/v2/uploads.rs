//! Uploads: end-4 to end-6, end-11, end-13, end-14.

use gantry_oci::{
    Algorithm, ContentRange, Digest, Mount, MountSource, RepoName, Request, UploadId, UploadRange,
};
use http::{StatusCode, header};

use super::Context;
use crate::http::reply::{self, Response, digest_value, empty, value};
use crate::http::{ApiError, RequestBody};
use crate::registry::{Piece, Progress, Started};

/// A POST, taken apart.
pub(super) struct Start {
    pub(super) name: RepoName,
    pub(super) digest: Option<Digest>,
    pub(super) algorithm: Option<Algorithm>,
    pub(super) mount: Option<Mount>,
}

/// POST: a mount if one is asked for and can be had, a whole blob if one comes along, else a session.
pub(super) async fn start(cx: &Context<'_>, start: Start, body: RequestBody) -> Result<Response, ApiError> {
    let Start { name, digest, algorithm, mount } = start;
    let (registry, owner) = (&cx.app.registry, cx.caller.subject());
    if let Some(mount) = mount {
        if mounted(cx, &name, &mount).await? {
            return Ok(created(cx, name, mount.digest));
        }
    } else if let Some(digest) = digest {
        let stored =
            registry.uploads().store(&name, owner, digest, cx.content_length(), body.into_source()).await?;
        return Ok(match stored {
            Started::Stored => created(cx, name, digest),
            Started::Waiting(progress) => session(cx, StatusCode::ACCEPTED, name, progress),
        });
    }
    let progress = registry.uploads().start(&name, owner, algorithm)?;
    Ok(session(cx, StatusCode::ACCEPTED, name, progress))
}

/// E-9.2: whatever stands in the way of a mount, the answer is an upload session and not an error.
async fn mounted(cx: &Context<'_>, name: &RepoName, mount: &Mount) -> Result<bool, ApiError> {
    let from = match &mount.from {
        Some(MountSource::Invalid) => return Ok(false),
        Some(MountSource::Repository(from)) => Some(from),
        None => None,
    };
    Ok(cx.app.registry.mount_blob(name, &mount.digest, from, |source| cx.caller.may_pull(source)).await?)
}

/// GET and HEAD of a session.
pub(super) async fn status(cx: &Context<'_>, name: RepoName, id: UploadId) -> Result<Response, ApiError> {
    let progress = cx.app.registry.uploads().progress(&name, cx.caller.subject(), id).await?;
    Ok(session(cx, StatusCode::NO_CONTENT, name, progress))
}

/// PATCH.
pub(super) async fn append(
    cx: &Context<'_>,
    name: RepoName,
    id: UploadId,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let piece = piece(cx)?;
    let uploads = cx.app.registry.uploads();
    let progress = uploads.append(&name, cx.caller.subject(), id, piece, body.into_source()).await?;
    Ok(session(cx, StatusCode::ACCEPTED, name, progress))
}

/// PUT: the last piece, or none, and the digest of all.
pub(super) async fn complete(
    cx: &Context<'_>,
    name: RepoName,
    id: UploadId,
    digest: Digest,
    body: RequestBody,
) -> Result<Response, ApiError> {
    let piece = piece(cx)?;
    let uploads = cx.app.registry.uploads();
    uploads.complete(&name, cx.caller.subject(), id, piece, body.into_source(), digest).await?;
    Ok(created(cx, name, digest))
}

/// DELETE of a session.
pub(super) async fn cancel(cx: &Context<'_>, name: &RepoName, id: UploadId) -> Result<Response, ApiError> {
    cx.app.registry.uploads().cancel(name, cx.caller.subject(), id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// E-7.2, E-7.7: where the piece says that it belongs.
fn piece(cx: &Context<'_>) -> Result<Piece, ApiError> {
    let range = match cx.headers.get(header::CONTENT_RANGE) {
        None => None,
        Some(value) => {
            let text = value.to_str().map_err(|_| ApiError::ContentRangeInvalid)?;
            Some(text.parse::<ContentRange>().map_err(|_| ApiError::ContentRangeInvalid)?)
        }
    };
    Ok(Piece { range, length: cx.content_length() })
}

/// Where the session is and how far it has come.
fn session(cx: &Context<'_>, status: StatusCode, name: RepoName, progress: Progress) -> Response {
    let mut response = empty(status);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(cx.path(&Request::GetUpload { name, id: progress.upload })));
    headers.insert(header::RANGE, value(UploadRange(progress.offset).to_string()));
    headers.insert(reply::UPLOAD_UUID, value(progress.upload.to_string()));
    response
}

/// 201: the blob is there, and here is where.
fn created(cx: &Context<'_>, name: RepoName, digest: Digest) -> Response {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, value(cx.path(&Request::GetBlob { name, digest })));
    headers.insert(reply::CONTENT_DIGEST, digest_value(&digest));
    response
}
