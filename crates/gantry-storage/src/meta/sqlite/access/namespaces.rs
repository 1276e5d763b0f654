//! Namespaces.

use rusqlite::Connection;

use super::{list, list_text, time};
use crate::meta::access::{Changed, Namespace};
use crate::meta::sqlite::value::parsed;
use crate::meta::sqlite::writer::Batch;

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<Namespace>> {
    connection
        .prepare_cached(
            "SELECT prefix, storage, visibility, immutable, protected, description, created
             FROM namespaces ORDER BY prefix",
        )?
        .query_map([], |row| {
            Ok(Namespace {
                prefix: row.get(0)?,
                storage: row.get(1)?,
                visibility: parsed(row, 2)?,
                immutable: list(row, 3)?,
                protected: list(row, 4)?,
                description: row.get(5)?,
                created: time(row, 6)?,
            })
        })?
        .collect()
}

pub(super) fn create(batch: &mut Batch<'_>, namespace: &Namespace) -> rusqlite::Result<Changed> {
    let written = batch
        .connection
        .prepare_cached(
            "INSERT INTO namespaces (prefix, storage, visibility, immutable, protected, description, created)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
        )?
        .execute((
            &namespace.prefix,
            &namespace.storage,
            namespace.visibility.as_str(),
            list_text(&namespace.immutable)?,
            list_text(&namespace.protected)?,
            &namespace.description,
            namespace.created.0,
        ))?;
    Ok(if written > 0 { Changed::Done } else { Changed::Exists })
}

/// Changes all but when it was made.
pub(super) fn replace(batch: &mut Batch<'_>, namespace: &Namespace) -> rusqlite::Result<Changed> {
    let written = batch
        .connection
        .prepare_cached(
            "UPDATE namespaces SET storage = ?2, visibility = ?3, immutable = ?4, protected = ?5, description = ?6
             WHERE prefix = ?1",
        )?
        .execute((
            &namespace.prefix,
            &namespace.storage,
            namespace.visibility.as_str(),
            list_text(&namespace.immutable)?,
            list_text(&namespace.protected)?,
            &namespace.description,
        ))?;
    Ok(if written > 0 { Changed::Done } else { Changed::Unknown })
}

pub(super) fn remove(batch: &mut Batch<'_>, prefix: &str) -> rusqlite::Result<Changed> {
    let removed =
        batch.connection.prepare_cached("DELETE FROM namespaces WHERE prefix = ?1")?.execute([prefix])?;
    Ok(if removed > 0 { Changed::Done } else { Changed::Unknown })
}
