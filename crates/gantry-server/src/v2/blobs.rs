//! Blobs: end-2, end-10, with ranges of one part and of many.

use gantry_oci::{Digest, RepoName};
use http::{HeaderValue, header};

use super::Context;
use super::manifests::accepted_delete;
use crate::http::ApiError;
use crate::http::blob::{Unserved, serve};
use crate::http::reply::Response;

/// GET and HEAD.
pub(super) async fn get(cx: &Context<'_>, name: &RepoName, digest: &Digest) -> Result<Response, ApiError> {
    let registry = &cx.app.registry;
    let blob = registry.blob(name, digest, cx.asked()).await?;
    let mut response = match serve(registry, name, &blob, cx.headers, cx.head).await {
        Ok(response) => response,
        Err(Unserved::Registry(error)) => return Err(error.into()),
        Err(Unserved::Outside { size }) => return Err(ApiError::RangeNotSatisfiable { size }),
        // clients ask for fewer ranges after a 400, and give up after a 416.
        Err(Unserved::TooManyRanges) => return Err(ApiError::TooManyRanges),
    };
    // Content under a digest never changes; `private` because a shared cache does not know who may read it.
    let forever = HeaderValue::from_static("private, max-age=31536000");
    response.headers_mut().insert(header::CACHE_CONTROL, forever);
    Ok(response)
}

/// DELETE.
pub(super) async fn delete(cx: &Context<'_>, name: &RepoName, digest: &Digest) -> Result<Response, ApiError> {
    cx.app.registry.delete_blob(name, digest, &cx.caller.locks(name)).await?;
    Ok(accepted_delete(Some(digest)))
}
