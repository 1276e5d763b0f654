//! `/v1/users/`: login, and accounts where the operator opens that.

use gantry_oci::Tag;
use gantry_oci::v1::{ImageId, ImagePart, SearchQuery, V1Name};

use super::Context;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};

pub(super) fn login(_cx: &Context<'_>) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn sign_up(_cx: &Context<'_>, _body: RequestBody) -> Result<Response, Failure> {
    todo!()
}

pub(super) async fn change(_cx: &Context<'_>, _name: &str, _body: RequestBody) -> Result<Response, Failure> {
    todo!()
}
