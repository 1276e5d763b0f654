//! Grants.

use rusqlite::Connection;

use super::{subject, subject_text, time};
use crate::meta::access::{Changed, Grant, NewGrant};
use crate::meta::sqlite::value::parsed;
use crate::meta::sqlite::writer::Batch;

pub(super) const SAME: &str = "SELECT 1 FROM grants WHERE subject = ?1 AND role = ?2 AND pattern = ?3";

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Grant>> {
    connection
        .prepare_cached("SELECT id, subject, role, pattern, created_by, created FROM grants ORDER BY id")?
        .query_map([], |row| {
            Ok(Grant {
                id: row.get(0)?,
                subject: subject(row, 1)?,
                role: parsed(row, 2)?,
                pattern: parsed(row, 3)?,
                created_by: subject(row, 4)?,
                created: time(row, 5)?,
            })
        })?
        .collect()
}

pub(super) fn add(batch: &mut Batch<'_>, grant: &NewGrant) -> rusqlite::Result<Changed> {
    let subject = subject_text(&grant.subject)?;
    let same = (subject, grant.role.as_str(), grant.pattern.as_str());
    if batch.connection.prepare_cached(SAME)?.exists(same)? {
        return Ok(Changed::Exists);
    }
    batch
        .connection
        .prepare_cached(
            "INSERT INTO grants (subject, role, pattern, created_by, created) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((same.0, same.1, same.2, subject_text(&grant.created_by)?, grant.created.0))?;
    Ok(Changed::Done)
}

pub(super) fn remove(batch: &mut Batch<'_>, id: i64) -> rusqlite::Result<Changed> {
    let removed = batch.connection.prepare_cached("DELETE FROM grants WHERE id = ?1")?.execute([id])?;
    Ok(if removed > 0 { Changed::Done } else { Changed::Unknown })
}
