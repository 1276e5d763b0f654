//! The keys that our own bearer tokens are signed with. Private halves never come this way.

use gantry_storage::meta::access::SigningKey;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json};
use crate::http::{Problem, Response};

/// A signing key.
#[derive(Serialize, ToSchema)]
pub(super) struct Key {
    /// RFC 7638 thumbprint.
    kid: String,
    /// `ES256` or `EdDSA`.
    algorithm: String,
    #[schema(format = "date-time")]
    created: String,
    /// When another took its place; null: tokens are signed with it.
    #[schema(format = "date-time")]
    retired: Option<String>,
}

/// The signing keys, the oldest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Keys {
    keys: Vec<Key>,
}

impl From<&SigningKey> for Key {
    fn from(key: &SigningKey) -> Self {
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm.clone(),
            created: key.created.to_string(),
            retired: key.retired.map(|at| at.to_string()),
        }
    }
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let keys = call.meta().signing_keys().await?;
    json(StatusCode::OK, &Keys { keys: keys.iter().map(Key::from).collect() })
}

pub(super) async fn rotate(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let rotated = call.app.access.rotate(call.audit("")).await;
    if let Err(error) = rotated {
        tracing::error!(request = call.request_id.as_str(), %error, "the signing key was not rotated: {error}");
        return Err(Problem::Internal("the signing key was not rotated"));
    }
    // The new key signs from here on.
    call.app.access.rules().await?;
    let keys = call.meta().signing_keys().await?;
    let key = keys.iter().rfind(|key| key.retired.is_none());
    json(StatusCode::OK, &Key::from(key.ok_or(Problem::Internal("there is no signing key"))?))
}
