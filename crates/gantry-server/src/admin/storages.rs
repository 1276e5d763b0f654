//! Storages: where bytes are kept, how full it is, and whether it works.

use std::time::Instant;

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher, UploadId};
use gantry_storage::{BlobStore, StorageError};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::rights::Permit;
use super::{Call, json};
use crate::http::{Problem, Response};
use crate::jobs::JobError;

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
    let usage = call.meta().usage().await?;
    let mut storages = Vec::new();
    for storage in call.app.registry.storages().iter() {
        let space = storage.blobs.space().await?;
        let used = usage.iter().find(|usage| usage.storage == storage.id);
        storages.push(Storage {
            name: storage.name.to_string(),
            kind: "local",
            path: call.app.config.storage_path(&storage.name).display().to_string(),
            default: &*storage.name == DEFAULT,
            free_bytes: space.map(|space| space.free),
            total_bytes: space.map(|space| space.total),
            blobs: Some(used.map_or(0, |used| used.blobs)),
            bytes: Some(used.map_or(0, |used| used.bytes)),
            writable: storage.blobs.read_only().is_none() && call.meta().read_only().is_none(),
        });
    }
    json(StatusCode::OK, &Storages { storages })
}

pub(super) async fn check(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let storage = call.app.registry.storages().named(&call.argument).ok_or(Problem::NotFound("storage"))?;
    let started = Instant::now();
    let error = probe(&*storage.blobs).await.err().map(|error| {
        // What the system says names files; the caller is a server admin.
        tracing::warn!(storage = %storage.name, %error, "a probe of the storage failed");
        error.to_string()
    });
    let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    json(StatusCode::OK, &Check { name: storage.name.to_string(), ok: error.is_none(), error, milliseconds })
}

/// Stages a few bytes as an upload would, reads them back and takes them away.
async fn probe(blobs: &dyn BlobStore) -> gantry_storage::Result<()> {
    const PROBE: &[u8] = b"gantry was here";
    let id = UploadId::from_uuid(Uuid::new_v4());
    let hasher = Hasher::new(Algorithm::Sha256);
    let written = async {
        let mut staged = blobs.stage(&id, 0, hasher).await?;
        staged.append(vec![Bytes::from_static(PROBE)]).await?;
        staged.flush().await?;
        drop(staged);
        let read = blobs.hash_staged(&id, PROBE.len() as u64, Algorithm::Sha256).await?;
        let same = read.is_some_and(|hasher| hasher.finish() == Digest::of(Algorithm::Sha256, PROBE));
        if same {
            Ok(())
        } else {
            Err(StorageError::Corrupt {
                what: "the probe was read back otherwise than it was written".to_owned(),
            })
        }
    };
    let result = written.await;
    blobs.discard(&id).await?;
    result
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
    // The namespace says already where pushes go; the rules have to know.
    call.app.access.rules().await?;
    match call.app.start_move(prefix, to).await {
        Ok(id) => Ok(Some(id)),
        Err(JobError::Storage(error)) => Err(error.into()),
        Err(error) => Err(Problem::Invalid(error.to_string())),
    }
}
