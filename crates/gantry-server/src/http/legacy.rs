//! The one place where failures of the v1 API become answers: `{"error": "text"}`. Some texts are compared by clients.

use gantry_oci::v1::RequestError;

use super::{Door, RequestId, Response};
use crate::auth::AuthError;
use crate::policy::Denied;
use crate::registry::RegistryError;

/// Any failure of a v1 request.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Credentials that are nobody's, or cannot be checked.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// Nobody asks for what only somebody may, or the token is none, or not for this: 401 with a challenge.
    #[error("Requires authorization")]
    Unauthorized,
    /// Somebody who may not: 403.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The registry could not.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A status and a text: what is said in one place only.
    #[error("{1}")]
    Said(http::StatusCode, &'static str),
}

/// The answer for a failure.
pub(crate) fn render(_failure: &Failure, _id: &RequestId, _door: &Door) -> Response {
    todo!()
}
