//! `/v1/images/ID/...`: one image, which is JSON, a layer, and what is below it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use gantry_oci::access::Action;
use gantry_oci::v1::{Checksums, EMPTY_LAYER, ImageId, ImagePart, RequestError};
use gantry_oci::{Digest, RepoName};
use gantry_storage::{BlobContent, StoredBlob, StoredImage, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Context, delegate, done, mirrored};
use crate::auth::{Credential, Identity};
use crate::http::blob::{Unserved, serve};
use crate::http::legacy::Failure;
use crate::http::reply::{self, Response, digest_value, empty};
use crate::http::{Body, RequestBody, conditional};
use crate::registry::{Blob, ImageError, RegistryError};

/// The largest JSON of an image, in bytes. Clients hold it in memory, and so does the store.
const JSON_MAX: u64 = 4 << 20;

/// `X-Docker-Size`: bytes of the layer, as they are sent.
const SIZE: HeaderName = HeaderName::from_static("x-docker-size");
/// `X-Docker-Checksum`
const CHECKSUM: HeaderName = HeaderName::from_static("x-docker-checksum");
/// `X-Docker-Checksum-Payload`
const CHECKSUM_PAYLOAD: HeaderName = HeaderName::from_static("x-docker-checksum-payload");
/// The same, as it was called before.
const PAYLOAD_CHECKSUM: HeaderName = HeaderName::from_static("x-docker-payload-checksum");

/// GET and HEAD of what is short.
pub(super) async fn get(cx: &Context<'_>, id: &ImageId, part: ImagePart) -> Result<Response, Failure> {
    let repo = place(cx, id).await?;
    delegate::check_layer(cx, &repo, id).await?;
    let image = match cx.app.registry.whole_image(&repo, id, cx.asked()).await {
        Ok(image) => image,
        Err(missing) => match mirrored::get(cx, &repo, id, part, missing).await? {
            Some(mut response) => {
                keep(cx, &repo, response.headers_mut());
                return Ok(response);
            }
            None => cx.app.registry.whole_image(&repo, id, cx.asked()).await?,
        },
    };
    let mut response = if conditional::unchanged_since(&cx.parts.headers) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let body = match part {
            ImagePart::Json => Body::whole(image.json.clone()),
            ImagePart::Ancestry => Body::whole(ancestry(&image)),
            ImagePart::Files => Body::whole(cx.app.registry.image_files(&repo, id).await?),
            ImagePart::Diff => Body::whole(cx.app.registry.image_diff(&repo, id).await?),
            ImagePart::Layer | ImagePart::Checksum => return Err(RequestError::NotFound.into()),
        };
        let mut response = reply::reply(StatusCode::OK, body);
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    };
    if part == ImagePart::Json {
        measure(response.headers_mut(), &image);
    }
    keep(cx, &repo, response.headers_mut());
    Ok(response)
}

/// The repository in which an image is looked for.
async fn place(cx: &Context<'_>, id: &ImageId) -> Result<RepoName, Failure> {
    let here = cx.caller.reads(cx.app, id).await;
    mirrored::place(cx, id, here).await
}

/// What a client learns of the layer before it asks for it.
fn measure(headers: &mut HeaderMap, image: &StoredImage) {
    let Some(layer) = &image.layer else { return };
    // Of the layer of a derived image only its digest is known.
    measured(headers, layer.size, layer.content.as_ref().map(|content| &content.payload));
}

pub(super) fn measured(headers: &mut HeaderMap, size: u64, payload: Option<&Digest>) {
    headers.insert(SIZE, size.into());
    if let Some(payload) = payload {
        let payload = digest_value(payload);
        headers.insert(CHECKSUM, payload.clone());
        headers.insert(CHECKSUM_PAYLOAD, payload);
    }
}

/// A JSON array: the image first, its base last.
fn ancestry(image: &StoredImage) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(image.ancestry.len() * 67 + 2);
    let mut before: &[u8] = b"[\"";
    for id in &image.ancestry {
        text.extend_from_slice(before);
        for byte in id.bytes() {
            text.push(DIGITS[usize::from(byte >> 4)]);
            text.push(DIGITS[usize::from(byte & 15)]);
        }
        before = b"\",\"";
    }
    text.extend_from_slice(b"\"]");
    text
}

/// The headers of what stays as it is. Which image an id is depends on who asks, so what is kept is kept for the same credentials; by
/// all only where nobody has to be anybody.
fn keep(cx: &Context<'_>, repo: &RepoName, headers: &mut HeaderMap) {
    const YEAR: Duration = Duration::from_secs(31_536_000);
    let caller = &cx.caller;
    // What is given to a caller who shows nothing is given to everybody.
    let shows_nothing = caller.identity.is_anonymous() && caller.identity.credential == Credential::Nothing;
    let public = shows_nothing && caller.foreign.is_none() && !repo.is_staging()
        || caller.rules.right(&Identity::anonymous(), repo.as_str(), Action::Pull).is_ok();
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static(match public {
            true => "public, max-age=31536000",
            false => "private, max-age=31536000",
        }),
    );
    headers.insert(header::VARY, HeaderValue::from_static("Accept, Authorization, Cookie"));
    headers.insert(header::LAST_MODIFIED, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    let now = Duration::from_secs(u64::try_from(Timestamp::now().as_unix_seconds()).unwrap_or(0));
    headers.insert(header::EXPIRES, reply::value(httpdate::fmt_http_date(UNIX_EPOCH + now + YEAR)));
}

/// GET and HEAD of the layer: the bytes as they were pushed.
pub(super) async fn layer(cx: &Context<'_>, id: &ImageId) -> Result<Response, Failure> {
    let registry = &cx.app.registry;
    let repo = place(cx, id).await?;
    delegate::check_layer(cx, &repo, id).await?;
    let image = match registry.whole_image(&repo, id, cx.asked()).await {
        Ok(image) => image,
        Err(missing) => match mirrored::layer(cx, &repo, id, missing).await? {
            Some(mut response) => {
                keep(cx, &repo, response.headers_mut());
                return Ok(response);
            }
            None => registry.whole_image(&repo, id, cx.asked()).await?,
        },
    };
    let digest = image.layer.as_ref().ok_or(ImageError::Unknown)?.digest;
    let mut response = if conditional::unchanged_since(&cx.parts.headers) {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let blob = match registry.blob(&repo, &digest, cx.asked()).await {
            Err(RegistryError::BlobUnknown { .. }) if digest == Digest::sha256(&EMPTY_LAYER) => {
                empty_layer(digest)
            }
            found => found?,
        };
        bytes(cx, &repo, &blob).await?
    };
    // What comes after the end is of this request alone.
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        keep(cx, &repo, response.headers_mut());
    }
    Ok(response)
}

/// The layer of images that have none, where nobody has pushed it.
fn empty_layer(digest: Digest) -> Blob {
    Arc::new(StoredBlob {
        digest,
        size: EMPTY_LAYER.len() as u64,
        content: BlobContent::Inline(bytes::Bytes::from_static(&EMPTY_LAYER)),
        unreferenced_since: None,
        verified_at: Timestamp::default(),
    })
}

async fn bytes(cx: &Context<'_>, repo: &RepoName, blob: &Blob) -> Result<Response, Failure> {
    served(serve(&cx.app.registry, repo, blob, &cx.parts.headers, cx.head).await)
}

/// What is not served, in the words of v1.
pub(super) fn served(outcome: Result<Response, Unserved>) -> Result<Response, Failure> {
    match outcome {
        Ok(response) => Ok(response),
        Err(Unserved::Registry(error)) => Err(error.into()),
        // A client that has everything asks for what comes after the end, and takes a body for a failure (V-5.2).
        Err(Unserved::Outside { size }) => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(header::CONTENT_RANGE, reply::value(format!("bytes */{size}")));
            Ok(response)
        }
        Err(Unserved::TooManyRanges) => {
            Err(Failure::Said(StatusCode::BAD_REQUEST, "Too many ranges in one request"))
        }
    }
}

/// PUT: a step of a push.
pub(super) async fn put(
    cx: &Context<'_>,
    id: &ImageId,
    part: ImagePart,
    body: RequestBody,
) -> Result<Response, Failure> {
    let registry = &cx.app.registry;
    let repo = cx.caller.writes()?;
    match part {
        ImagePart::Json => {
            delegate::check_owned(cx, id).await?;
            let json = body.collect(JSON_MAX).await?;
            let sources = cx.caller.sources();
            registry.begin_image(&repo, id, json, sources).await?;
        }
        ImagePart::Layer => {
            let length = cx.header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
            registry.put_image_layer(&repo, cx.owner(), id, length, body.into_source()).await?;
        }
        ImagePart::Checksum => {
            let payload = cx.header(CHECKSUM_PAYLOAD).or_else(|| cx.header(PAYLOAD_CHECKSUM));
            let checksums = Checksums::parse(cx.header(CHECKSUM), payload);
            registry.complete_image(&repo, id, &checksums).await?;
        }
        ImagePart::Ancestry | ImagePart::Files | ImagePart::Diff => {
            return Err(RequestError::NotFound.into());
        }
    }
    Ok(done())
}
