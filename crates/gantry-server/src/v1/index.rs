//! The Index: what a push begins and ends with, what a pull begins with, and tokens.

use gantry_oci::Tag;
use gantry_oci::v1::{ImageId, ImagePart, SearchQuery, V1Name};

use super::Context;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};

pub(super) fn ping(_app: &crate::app::App) -> Response {
    todo!()
}

pub(super) async fn put_repository(
    _cx: &Context<'_>,
    _name: &V1Name,
    _body: RequestBody,
) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn images(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn put_images(
    _cx: &Context<'_>,
    _name: &V1Name,
    _body: RequestBody,
) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn delete_images(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn authorize(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn layer_access(
    _cx: &Context<'_>,
    _name: &V1Name,
    _id: &ImageId,
) -> Result<Response, Failure> {
    todo!()
}
