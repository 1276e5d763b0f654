//! Storages: where bytes are kept, how full it is, and whether it works.

use std::time::Instant;

use bytes::Bytes;
use gantry_oci::{Algorithm, Hasher, UploadId};
use gantry_storage::{Storage as Place, StorageError};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rights::Permit;
use super::{Call, json};
use crate::http::{Problem, Response};
use crate::jobs::JobError;
use crate::registry::RegistryError;

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
    /// Blobs that are kept there. Small ones are in the database and counted nowhere.
    blobs: u64,
    /// Bytes of these.
    bytes: u64,
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
    let usage = call.meta().usage().await?;
    let rows_written = call.meta().read_only().is_none();
    let mut storages = Vec::new();
    for place in call.app.registry.storages().iter() {
        // A disk that does not answer keeps nobody from the others.
        let space = place.blobs.space().await.ok().flatten();
        let used = usage.iter().find(|usage| usage.storage == place.id);
        storages.push(Storage {
            name: place.name.to_string(),
            kind: "local",
            path: call.app.config.storage_path(&place.name).display().to_string(),
            default: &*place.name == DEFAULT,
            free_bytes: space.map(|space| space.free),
            total_bytes: space.map(|space| space.total),
            blobs: used.map_or(0, |used| used.blobs),
            bytes: used.map_or(0, |used| used.bytes),
            writable: rows_written && place.blobs.read_only().is_none(),
        });
    }
    json(StatusCode::OK, &Storages { storages })
}

pub(super) async fn check(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let place = call.app.registry.storages().named(&call.argument).ok_or(Problem::NotFound("storage"))?;
    let begun = Instant::now();
    let error = match probe(place).await {
        Ok(true) => None,
        Ok(false) => Some("other bytes were read than were written".to_owned()),
        Err(error) => {
            tracing::warn!(request = call.request_id.as_str(), storage = &*place.name, %error, "a storage failed its check");
            Some(error.to_string())
        }
    };
    call.app.audit(call.audit(&*place.name));
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let told = Check { name: place.name.to_string(), ok: error.is_none(), error, milliseconds };
    json(StatusCode::OK, &told)
}

/// Bytes of a probe.
const PROBE: usize = 64 << 10;

/// Writes, reads and removes as an upload does that is given up: whatever a crash leaves of it goes at the next start, and neither
/// the sweep nor a check ever takes it for a blob.
async fn probe(place: &Place) -> Result<bool, StorageError> {
    let id = Uuid::new_v4();
    let upload = UploadId::from_uuid(id);
    let mut bytes = id.as_bytes().repeat(PROBE / 16);
    bytes.truncate(PROBE);
    let written = async {
        let mut staged = place.blobs.stage(&upload, 0, Hasher::new(Algorithm::Sha256)).await?;
        staged.append(vec![Bytes::from(bytes)]).await?;
        staged.flush().await?;
        let expected = staged.hasher().clone().finish();
        drop(staged);
        let read = place.blobs.hash_staged(&upload, PROBE as u64, Algorithm::Sha256).await?;
        Ok(read.is_some_and(|read| read.finish() == expected))
    };
    let written = written.await;
    place.blobs.discard(&upload).await?;
    written
}

/// Whether a namespace can be bound to it.
pub(super) fn must_exist(call: &Call<'_>, name: &str) -> Result<(), Problem> {
    match call.app.registry.storages().named(name) {
        Some(_) => Ok(()),
        None => Err(Problem::Invalid("`storage` names none that the configuration has".to_owned())),
    }
}

/// Begins to move what is below a prefix; the number of the job.
pub(super) async fn begin_move(call: &Call<'_>, prefix: &str, to: &str) -> Result<Option<u64>, Problem> {
    match call.app.start_move(prefix, to).await {
        Ok(id) => Ok(Some(id)),
        Err(JobError::Storage(error) | JobError::Registry(RegistryError::Storage(error))) => {
            Err(error.into())
        }
        Err(error) => Err(Problem::Conflict { name: "move", detail: error.to_string() }),
    }
}
