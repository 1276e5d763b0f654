//! Repositories.

use gantry_oci::RepoName;
use rusqlite::{Connection, OptionalExtension};

use super::value::integer;
use super::writer::Batch;
use crate::clock::Timestamp;

/// Staging places come after all names.
pub(super) const CATALOG: &str =
    "SELECT name FROM repositories WHERE name > ?1 AND name < '~' ORDER BY name LIMIT ?2";
pub(super) const ID: &str = "SELECT id FROM repositories WHERE name = ?1";

pub(super) fn catalog(connection: &Connection, after: &str, limit: usize) -> rusqlite::Result<Vec<String>> {
    connection.prepare_cached(CATALOG)?.query_map((after, integer(limit)), |row| row.get(0))?.collect()
}

/// The repository's number, if it exists.
pub(super) fn id(connection: &Connection, repo: &RepoName) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(ID)?.query_row([repo.as_str()], |row| row.get(0)).optional()
}

/// The repository's number; made when it does not exist.
pub(super) fn id_or_new(batch: &Batch<'_>, repo: &RepoName) -> rusqlite::Result<i64> {
    if let Some(id) = id(batch.connection, repo)? {
        return Ok(id);
    }
    batch
        .connection
        .prepare_cached("INSERT INTO repositories (name, created) VALUES (?1, ?2) RETURNING id")?
        .query_row((repo.as_str(), Timestamp::now().0), |row| row.get(0))
}
