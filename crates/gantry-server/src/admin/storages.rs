//! Storages: where bytes are kept, how full it is, and whether it works.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json};
use crate::http::{Problem, Response};

/// The name of the storage that is always there.
pub(super) const DEFAULT: &str = "default";

/// A storage.
#[derive(Serialize, ToSchema)]
pub(super) struct Storage {
    name: String,
    /// `local`: a directory.
    kind: &'static str,
    /// The directory.
    path: String,
    /// Whether bytes go there where no namespace says otherwise.
    default: bool,
    /// Space that is left; null: it does not say.
    free_bytes: Option<u64>,
    /// Space in all.
    total_bytes: Option<u64>,
    /// Blobs that are kept there; null: they are not counted one by one.
    blobs: Option<u64>,
    /// Bytes of these.
    bytes: Option<u64>,
    /// Whether it takes writes.
    writable: bool,
}

/// All storages.
#[derive(Serialize, ToSchema)]
pub(super) struct Storages {
    storages: Vec<Storage>,
}

/// What became of a probe.
#[derive(Serialize, ToSchema)]
pub(super) struct Check {
    name: String,
    /// Whether it was written, read and removed.
    ok: bool,
    /// What went wrong.
    error: Option<String>,
    /// How long it took.
    milliseconds: u64,
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let store = call.app.registry.blob_store();
    let space = store.space().await?;
    let path = call.app.config.settings.storage.default.local.path.as_ref();
    let storage = Storage {
        name: DEFAULT.to_owned(),
        kind: "local",
        path: path.unwrap_or(&call.app.config.data_dir).display().to_string(),
        default: true,
        free_bytes: space.map(|space| space.free),
        total_bytes: space.map(|space| space.total),
        blobs: None,
        bytes: None,
        writable: store.read_only().is_none() && call.meta().read_only().is_none(),
    };
    json(StatusCode::OK, &Storages { storages: vec![storage] })
}

pub(super) async fn check(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    must_be(&call.argument)?;
    Err(Problem::Internal("not there yet"))
}

fn must_be(name: &str) -> Result<(), Problem> {
    if name == DEFAULT { Ok(()) } else { Err(Problem::NotFound("storage")) }
}

/// Whether a namespace can be bound to it.
pub(super) fn must_exist(_: &Call<'_>, name: &str) -> Result<(), Problem> {
    must_be(name).map_err(|_| Problem::Invalid("`storage` names none that the configuration has".to_owned()))
}

/// Begins to move what is below a prefix; the number of the job.
pub(super) async fn begin_move(_: &Call<'_>, _: &str, _: &str) -> Result<Option<u64>, Problem> {
    Ok(None)
}
