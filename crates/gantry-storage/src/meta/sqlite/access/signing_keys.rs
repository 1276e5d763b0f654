//! Keys that tokens are signed with. Their order is that of their numbers, because clocks jump.

use rusqlite::Connection;

use super::{optional_time, time};
use crate::clock::Timestamp;
use crate::meta::access::{Changed, SigningKey};
use crate::meta::sqlite::writer::Batch;

pub(super) fn all(connection: &Connection) -> rusqlite::Result<Vec<SigningKey>> {
    connection
        .prepare_cached("SELECT kid, algorithm, created, retired, private FROM signing_keys ORDER BY id")?
        .query_map([], |row| {
            Ok(SigningKey {
                kid: row.get(0)?,
                algorithm: row.get(1)?,
                created: time(row, 2)?,
                retired: optional_time(row, 3)?,
                private: row.get(4)?,
            })
        })?
        .collect()
}

pub(super) fn rotate(batch: &mut Batch<'_>, key: &SigningKey) -> rusqlite::Result<Changed> {
    batch
        .connection
        .prepare_cached("UPDATE signing_keys SET retired = ?1 WHERE retired IS NULL")?
        .execute([key.created.0])?;
    batch
        .connection
        .prepare_cached(
            "INSERT INTO signing_keys (kid, algorithm, created, private) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((&key.kid, &key.algorithm, key.created.0, &key.private))?;
    Ok(Changed::Done)
}

pub(super) fn remove_retired(batch: &mut Batch<'_>, before: Timestamp) -> rusqlite::Result<()> {
    let removed = batch
        .connection
        .prepare_cached("DELETE FROM signing_keys WHERE retired < ?1")?
        .execute([before.0])?;
    if removed > 0 {
        batch.access_changed();
    }
    Ok(())
}
