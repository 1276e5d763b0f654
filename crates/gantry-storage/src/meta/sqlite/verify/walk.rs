//! Walks over all rows: what is to be checked next, what leads nowhere, what the database says about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row as SqlRow};

use super::super::value::{DigestColumn, integer, name, unsigned};
use super::is_whole;
use crate::clock::Timestamp;
use crate::meta::storages::StorageId;
use crate::meta::verify::{BlobRow, DanglingEdge, ManifestRow, Row, RowBytes, Walk};

pub(in crate::meta::sqlite) const BLOBS_ALL: &str =
    "SELECT id, verified_at, digest, size, location, damaged_at, content, storage
     FROM blobs WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(in crate::meta::sqlite) const BLOBS_DUE: &str =
    "SELECT id, verified_at, digest, size, location, damaged_at, content, storage
     FROM blobs WHERE damaged_at IS NULL AND verified_at < ?1 AND (verified_at, id) > (?2, ?3)
     ORDER BY verified_at, id LIMIT ?4";
pub(in crate::meta::sqlite) const MANIFESTS_ALL: &str =
    "SELECT m.id, m.verified_at, r.name, m.digest, m.size, m.damaged_at, m.content
     FROM manifests m LEFT JOIN repositories r ON r.id = m.repository WHERE m.id > ?1 ORDER BY m.id LIMIT ?2";
pub(in crate::meta::sqlite) const MANIFESTS_DUE: &str =
    "SELECT m.id, m.verified_at, r.name, m.digest, m.size, m.damaged_at, m.content
     FROM manifests m LEFT JOIN repositories r ON r.id = m.repository
     WHERE m.damaged_at IS NULL AND m.verified_at < ?1 AND (m.verified_at, m.id) > (?2, ?3)
     ORDER BY m.verified_at, m.id LIMIT ?4";

const DANGLING: &str = "SELECT r.name, m.digest, e.kind, e.digest
     FROM manifest_refs e CROSS JOIN manifests m CROSS JOIN repositories r
     WHERE e.manifest BETWEEN ?1 AND ?2 AND m.id = e.manifest AND r.id = m.repository
       AND CASE e.kind
           WHEN 1 THEN NOT EXISTS (SELECT 1 FROM blobs b CROSS JOIN repository_blobs l
                                   WHERE b.digest = e.digest AND l.repository = m.repository AND l.blob = b.id)
           ELSE NOT EXISTS (SELECT 1 FROM manifests c WHERE c.repository = m.repository AND c.digest = e.digest)
           END
     LIMIT ?3";

const KIND_MANIFEST: i64 = 2;

/// A page of blobs.
pub(super) fn blobs(c: &Connection, walk: Walk, limit: usize) -> rusqlite::Result<Vec<Row<BlobRow>>> {
    page(c, [BLOBS_ALL, BLOBS_DUE], walk, limit, blob_row)
}

/// A page of manifests.
pub(super) fn manifests(c: &Connection, walk: Walk, limit: usize) -> rusqlite::Result<Vec<Row<ManifestRow>>> {
    page(c, [MANIFESTS_ALL, MANIFESTS_DUE], walk, limit, manifest_row)
}

/// Edges of these manifests that lead to nothing.
pub(super) fn dangling(
    connection: &Connection,
    first: i64,
    last: i64,
    limit: usize,
) -> rusqlite::Result<Vec<DanglingEdge>> {
    connection
        .prepare_cached(DANGLING)?
        .query_map((first, last, integer(limit)), |row| {
            Ok(DanglingEdge {
                repo: name(row, 0)?,
                manifest: row.get::<_, DigestColumn>(1)?.0,
                is_manifest: row.get::<_, i64>(2)? == KIND_MANIFEST,
                target: row.get::<_, DigestColumn>(3)?.0,
            })
        })?
        .collect()
}

/// Reads one page of a walk; a row that cannot be understood is told, and does not hide its neighbours.
fn page<T>(
    connection: &Connection,
    sql: [&str; 2],
    walk: Walk,
    limit: usize,
    read: impl Fn(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<Row<T>>> {
    let one = |row: &SqlRow<'_>| {
        Ok(Row {
            id: row.get(0)?,
            verified_at: Timestamp(row.get(1)?),
            content: read(row).map_err(|error| error.to_string()),
        })
    };
    let [all, due] = sql;
    match walk {
        Walk::All { after } => {
            connection.prepare_cached(all)?.query_map((after, integer(limit)), one)?.collect()
        }
        Walk::Due { before, after: (verified_at, id) } => connection
            .prepare_cached(due)?
            .query_map((before.0, verified_at.0, id, integer(limit)), one)?
            .collect(),
    }
}

fn blob_row(row: &SqlRow<'_>) -> rusqlite::Result<BlobRow> {
    let digest = row.get::<_, DigestColumn>(2)?.0;
    let size = unsigned(row, 3)?;
    let bytes = match row.get_ref(6)? {
        ValueRef::Null => RowBytes::Stored { location: row.get(4)? },
        content => {
            let content = content.as_blob()?;
            RowBytes::Inline { whole: content.len() as u64 == size && is_whole(&digest, content) }
        }
    };
    let storage = StorageId(row.get(7)?);
    Ok(BlobRow { storage, digest, size, damaged_at: row.get::<_, Option<i64>>(5)?.map(Timestamp), bytes })
}

fn manifest_row(row: &SqlRow<'_>) -> rusqlite::Result<ManifestRow> {
    let digest = row.get::<_, DigestColumn>(3)?.0;
    let content = row.get_ref(6)?.as_blob()?;
    Ok(ManifestRow {
        repo: name(row, 2)?,
        digest,
        size: unsigned(row, 4)?,
        damaged_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        whole: is_whole(&digest, content),
    })
}

/// Steps of SQLite's between two looks at whether anybody still waits.
const OPERATIONS: i32 = 10_000;

/// Says so once the asker has gone, so that a check of a large database does not hold up the end of the program.
#[derive(Default)]
pub(super) struct Abandoned(Arc<AtomicBool>);

impl Abandoned {
    /// For the one who works.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the database says about itself, unless it is abandoned.
pub(super) fn structure(
    connection: &Connection,
    limit: usize,
    abandoned: Arc<AtomicBool>,
) -> rusqlite::Result<Vec<String>> {
    connection.progress_handler(OPERATIONS, Some(move || abandoned.load(Ordering::Relaxed)))?;
    let outcome = look_at_structure(connection, limit);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    outcome
}

fn look_at_structure(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<String>> {
    let mut lines: Vec<String> = connection
        .prepare(&format!("PRAGMA integrity_check({limit})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    lines.retain(|line| line != "ok");
    if !lines.is_empty() {
        // What rows of damaged pages say is of no interest.
        return Ok(lines);
    }
    let mut broken = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = broken.query([])?;
    while let Some(row) = rows.next()? {
        if lines.len() >= limit {
            break;
        }
        let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let id = id.map_or_else(String::new, |id| format!(" {id}"));
        lines.push(format!("row{id} of {table} names a row of {parent} that is not there"));
    }
    Ok(lines)
}
