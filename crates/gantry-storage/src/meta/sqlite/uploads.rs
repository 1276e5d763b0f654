//! Upload sessions.

use std::collections::HashSet;

use bytes::Bytes;
use gantry_oci::{Digest, Hasher, RepoName, UploadId};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::value::{algorithm_from_number, algorithm_to_number, integer, name, parsed, unsigned};
use super::writer::Batch;
use crate::clock::Timestamp;
use crate::meta::UploadRow;
use crate::meta::storages::StorageId;

pub(super) const GET: &str =
    "SELECT id, repository, owner, algorithm, received, started, touched, hash_state, buffered, storage
     FROM uploads WHERE id = ?1";
pub(super) const EXPIRED: &str =
    "SELECT id, repository, owner, algorithm, received, started, touched, hash_state, buffered, storage
     FROM uploads WHERE touched < ?1 ORDER BY touched LIMIT ?2";

pub(super) const UNDER_WAY: &str = "SELECT 1 FROM uploads WHERE repository = ?1 LIMIT 1";

/// Whether a session of this repository has a row.
pub(super) fn under_way(connection: &Connection, repo: &RepoName) -> rusqlite::Result<bool> {
    connection.prepare_cached(UNDER_WAY)?.exists([repo.as_str()])
}

pub(super) fn get(connection: &Connection, id: &UploadId) -> rusqlite::Result<Option<UploadRow>> {
    connection.prepare_cached(GET)?.query_row([id.to_string()], upload).optional()
}

pub(super) fn expired(
    connection: &Connection,
    touched_before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<UploadRow>> {
    connection.prepare_cached(EXPIRED)?.query_map((touched_before.0, integer(limit)), upload)?.collect()
}

/// What the bytes of each session with bytes in the blob store come to.
pub(super) fn digests(connection: &Connection) -> rusqlite::Result<HashSet<Digest>> {
    connection
        .prepare_cached("SELECT algorithm, hash_state FROM uploads WHERE buffered IS NULL")?
        .query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))?
        .filter_map(|row| {
            row.map(|(algorithm, state)| {
                let hasher = Hasher::restore(algorithm_from_number(algorithm)?, &state)?;
                Some(hasher.finish())
            })
            .transpose()
        })
        .collect()
}

/// How many there are. Walks them all: for the start only.
pub(super) fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("SELECT count(*) FROM uploads", [], |row| row.get(0))
}

pub(super) fn save(batch: &mut Batch<'_>, upload: &UploadRow) -> rusqlite::Result<()> {
    let id = upload.id.to_string();
    let buffered = upload.buffered.as_deref();
    let changed = batch
        .connection
        .prepare_cached(
            "UPDATE uploads SET algorithm = ?2, received = ?3, touched = ?4, hash_state = ?5, buffered = ?6 WHERE id = ?1",
        )?
        .execute((
            &id,
            algorithm_to_number(upload.algorithm),
            integer(upload.offset),
            upload.touched.0,
            &upload.hash_state,
            buffered,
        ))?;
    if changed > 0 {
        return Ok(());
    }
    batch
        .connection
        .prepare_cached(
            "INSERT INTO uploads
                (id, repository, owner, algorithm, received, started, touched, hash_state, buffered, storage)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            &id,
            upload.repo.as_str(),
            &upload.owner,
            algorithm_to_number(upload.algorithm),
            integer(upload.offset),
            upload.started.0,
            upload.touched.0,
            &upload.hash_state,
            buffered,
            upload.storage.0,
        ))?;
    batch.count_uploads(1);
    Ok(())
}

pub(super) fn delete(batch: &mut Batch<'_>, id: &UploadId) -> rusqlite::Result<bool> {
    let deleted =
        batch.connection.prepare_cached("DELETE FROM uploads WHERE id = ?1")?.execute([id.to_string()])?;
    batch.count_uploads(-integer(deleted));
    Ok(deleted > 0)
}

fn upload(row: &Row<'_>) -> rusqlite::Result<UploadRow> {
    let algorithm: i64 = row.get(3)?;
    Ok(UploadRow {
        id: parsed(row, 0)?,
        repo: name(row, 1)?,
        owner: row.get(2)?,
        storage: StorageId(row.get(9)?),
        algorithm: algorithm_from_number(algorithm).ok_or(Error::IntegralValueOutOfRange(3, algorithm))?,
        offset: unsigned(row, 4)?,
        started: Timestamp(row.get(5)?),
        touched: Timestamp(row.get(6)?),
        hash_state: row.get(7)?,
        buffered: row.get::<_, Option<Vec<u8>>>(8)?.map(Bytes::from),
    })
}
