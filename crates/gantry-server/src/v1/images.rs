//! `/v1/images/ID/...`

use gantry_oci::Tag;
use gantry_oci::v1::{ImageId, ImagePart, SearchQuery, V1Name};

use super::Context;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};

pub(super) async fn get(_cx: &Context<'_>, _id: &ImageId, _part: ImagePart) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn layer(_cx: &Context<'_>, _id: &ImageId) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn put(
    _cx: &Context<'_>,
    _id: &ImageId,
    _part: ImagePart,
    _body: RequestBody,
) -> Result<Response, Failure> {
    todo!()
}
