//! Tags and properties of repositories.

use gantry_oci::Tag;
use gantry_oci::v1::{ImageId, ImagePart, SearchQuery, V1Name};

use super::Context;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};

pub(super) async fn tags(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn tag(_cx: &Context<'_>, _name: &V1Name, _tag: &Tag) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn put_tag(
    _cx: &Context<'_>,
    _name: &V1Name,
    _tag: Tag,
    _body: RequestBody,
) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn delete_tag(_cx: &Context<'_>, _name: &V1Name, _tag: &Tag) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn delete(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn info(_cx: &Context<'_>, _name: &V1Name, _tag: &Tag) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn properties(_cx: &Context<'_>, _name: &V1Name) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn put_properties(
    _cx: &Context<'_>,
    _name: &V1Name,
    _body: RequestBody,
) -> Result<Response, Failure> {
    todo!()
}
