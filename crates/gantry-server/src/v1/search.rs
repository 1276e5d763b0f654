//! `/v1/search`

use gantry_oci::Tag;
use gantry_oci::v1::{ImageId, ImagePart, SearchQuery, V1Name};

use super::Context;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};

pub(super) async fn search(_cx: &Context<'_>, _query: SearchQuery) -> Result<Response, Failure> {
    todo!()
}
