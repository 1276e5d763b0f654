//! Lists: the catalog, tags (end-8), referrers (end-12), and the extensions that there are.

use bytes::Bytes;
use gantry_oci::{Digest, Page, RepoName, Request, media_type};
use gantry_storage::Referrer;
use gantry_storage::meta::Annotations;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::value::RawValue;

use super::Context;
use crate::http::reply::{self, Response, json, value};
use crate::http::{ApiError, Body};

/// Bytes of JSON from something that always is JSON.
fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}

/// `GET /v2/_catalog`: what the caller may find there.
pub(super) async fn catalog(cx: &Context<'_>, page: Page) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Catalog<'a> {
        repositories: &'a [String],
    }
    let below = cx.caller.listed_below();
    let lists = |name: &str| cx.caller.lists(name);
    let listing = cx.app.registry.catalog(&page, below.as_deref(), lists).await?;
    let mut response =
        json(StatusCode::OK, "application/json", to_json(&Catalog { repositories: &listing.entries }));
    if listing.more {
        let page = Page { n: Some(listing.size), last: listing.entries.last().cloned() };
        link(cx, &mut response, &Request::Catalog { page });
    }
    Ok(response)
}

/// `GET /v2/<name>/tags/list`
pub(super) async fn tags(cx: &Context<'_>, name: RepoName, page: Page) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Tags<'a> {
        name: &'a str,
        tags: &'a [String],
    }
    let listing = cx.app.registry.tags(&name, &page).await?;
    let document = Tags { name: name.as_str(), tags: &listing.entries };
    let mut response = json(StatusCode::OK, "application/json", to_json(&document));
    if listing.more {
        let page = Page { n: Some(listing.size), last: listing.entries.last().cloned() };
        link(cx, &mut response, &Request::ListTags { name, page });
    }
    Ok(response)
}

/// A referrers request, taken apart.
pub(super) struct ReferrersOf {
    pub(super) name: RepoName,
    pub(super) digest: Digest,
    pub(super) artifact_types: Vec<String>,
    pub(super) after: Option<u64>,
    pub(super) n: Option<usize>,
}

/// `GET /v2/<name>/referrers/<digest>`
pub(super) async fn referrers(cx: &Context<'_>, of: ReferrersOf) -> Result<Response, ApiError> {
    let registry = &cx.app.registry;
    let page = registry.referrers(&of.name, &of.digest, &of.artifact_types, of.after, of.n).await?;
    // The store keeps pages that are asked for all the time, and with them what was made of them.
    let document = page.rendered.get_or_init(|| index_of(&page.referrers)).clone();
    let mut response = reply::reply(StatusCode::OK, Body::whole(document));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type::OCI_INDEX));
    if !of.artifact_types.is_empty() {
        headers.insert(reply::OCI_FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    if page.more {
        let after = page.referrers.last().map(|referrer| referrer.cursor);
        let ReferrersOf { name, digest, artifact_types, n, .. } = of;
        link(cx, &mut response, &Request::Referrers { name, digest, artifact_types, after, n });
    }
    Ok(response)
}

/// The document: an image index.
fn index_of(referrers: &[Referrer]) -> Bytes {
    let manifests = referrers.iter().map(Descriptor::from).collect();
    let index = Index { schema_version: 2, media_type: media_type::OCI_INDEX, manifests };
    // No larger than it is: it may be kept, and a buffer that grew has room to spare.
    Bytes::from(to_json(&index).into_boxed_slice())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'a str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<&'a RawValue>,
}

impl<'a> From<&'a Referrer> for Descriptor<'a> {
    fn from(referrer: &'a Referrer) -> Self {
        Self {
            media_type: &referrer.media_type,
            digest: referrer.digest,
            size: referrer.size,
            artifact_type: referrer.artifact_type.as_deref(),
            annotations: referrer.annotations.as_ref().map(Annotations::json),
        }
    }
}

/// `GET /v2/_oci/ext/discover` and `GET /v2/<name>/_oci/ext/discover` (E-14.6)
pub(super) fn extensions() -> Response {
    let document = serde_json::json!({
        "extensions": [{
            "name": "_catalog",
            "url": "https://distribution.github.io/distribution/spec/api/#listing-repositories",
            "description": "Names of repositories, in pages",
            "endpoints": ["/v2/_catalog"],
        }],
    });
    json(StatusCode::OK, "application/json", to_json(&document))
}

/// E-11.5: where the next page is. Relative to the host, so that it holds behind any proxy.
fn link(cx: &Context<'_>, response: &mut Response, next: &Request) {
    response.headers_mut().insert(header::LINK, value(format!("<{}>; rel=\"next\"", cx.path(next))));
}
