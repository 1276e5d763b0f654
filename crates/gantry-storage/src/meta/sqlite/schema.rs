//! The tables, as numbered migrations.
//!
//! `user_version` counts the migrations that a database has seen. A migration is never edited once released; the next
//! change is the next number. Each runs in a transaction of its own together with the new `user_version`, so that a crash
//! leaves the database at one version or the other.
//!
//! How the tables stay flat at any size: every question is answered by walking an index from a key, every page by its last
//! key, and nothing counts or skips rows. Large values are the last column, so that reading the others does not
//! touch them.

use rusqlite::{Connection, TransactionBehavior};

use super::failure;
use crate::failpoint::Point;

/// Marks a SQLite file as Gantry's: "GNTR".
pub(super) const APPLICATION_ID: i64 = 0x474E_5452;

/// What each version adds to the one before; the first makes version 1.
const MIGRATIONS: &[&str] = &[V1];

const V1: &str = "
CREATE TABLE settings (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE repositories (
    id      INTEGER PRIMARY KEY,
    name    TEXT NOT NULL UNIQUE,               -- byte order (BINARY) is the order of the catalog
    created INTEGER NOT NULL                    -- UTC microseconds, as all times
) STRICT;

-- Digests are one byte for the algorithm (1 sha256, 2 sha512) and the hash itself.
CREATE TABLE blobs (
    id       INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL UNIQUE,
    size     INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    location TEXT,                              -- in the blob store; NULL: derived from the digest
    content  BLOB                               -- the bytes themselves when they are few
) STRICT;

-- A blob is readable in a repository only through its row here.
CREATE TABLE repository_blobs (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    blob       INTEGER NOT NULL REFERENCES blobs (id),
    PRIMARY KEY (repository, blob)
) STRICT, WITHOUT ROWID;
CREATE INDEX repository_blobs_by_blob ON repository_blobs (blob, repository);

-- The id is the order of the referrers list, so it is never used twice.
CREATE TABLE manifests (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    repository    INTEGER NOT NULL REFERENCES repositories (id),
    digest        BLOB NOT NULL,
    size          INTEGER NOT NULL,
    created       INTEGER NOT NULL,
    media_type    TEXT NOT NULL,
    artifact_type TEXT,
    subject       BLOB,
    annotations   TEXT,                         -- a JSON object, only where there is a subject to list them for
    content       BLOB NOT NULL,                -- the exact bytes that were pushed
    UNIQUE (repository, digest)
) STRICT;
CREATE INDEX manifests_by_subject ON manifests (repository, subject) WHERE subject IS NOT NULL;
CREATE INDEX manifests_by_subject_and_type ON manifests (repository, subject, artifact_type) WHERE subject IS NOT NULL;

-- What a manifest needs: kind 1 a blob, 2 a child manifest.
CREATE TABLE manifest_refs (
    manifest INTEGER NOT NULL REFERENCES manifests (id),
    kind     INTEGER NOT NULL,
    digest   BLOB NOT NULL,
    PRIMARY KEY (manifest, kind, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE tags (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    name       TEXT NOT NULL,
    manifest   INTEGER NOT NULL REFERENCES manifests (id),
    updated    INTEGER NOT NULL,
    PRIMARY KEY (repository, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_manifest ON tags (manifest);

CREATE TABLE uploads (
    id         TEXT PRIMARY KEY,
    repository TEXT NOT NULL,                   -- by name: the repository comes into being with its first blob
    owner      TEXT NOT NULL,
    algorithm  INTEGER NOT NULL,
    received   INTEGER NOT NULL,                -- bytes
    started    INTEGER NOT NULL,
    touched    INTEGER NOT NULL,
    hash_state BLOB NOT NULL,
    buffered   BLOB
) STRICT;
CREATE INDEX uploads_by_touched ON uploads (touched);
";

/// The newest schema version that this program knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The database's schema version; 0: nothing there yet.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Brings the database from `from` to the newest version.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    for (number, migration) in (1_i64..).zip(MIGRATIONS) {
        if number <= from {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        failure::hit(Point::MigrationBegun)?;
        transaction.execute_batch(migration)?;
        failure::hit(Point::MigrationApplied)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        failure::hit(Point::MigrationVersioned)?;
        transaction.commit()?;
        failure::hit(Point::MigrationCommitted)?;
    }
    Ok(())
}

/// Reads a row of the settings table.
pub(super) fn setting(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    use rusqlite::OptionalExtension;
    connection.query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Writes a row of the settings table.
pub(super) fn set_setting(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO settings (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_migrates_to_the_newest() {
        for start in 0..=newest() {
            let mut connection = Connection::open_in_memory().expect("a database in memory");
            let known: Vec<_> = MIGRATIONS.iter().take(usize::try_from(start).expect("small")).collect();
            for sql in known {
                connection.execute_batch(sql).expect("an old schema");
            }
            migrate(&mut connection, start).expect("migrates");
            assert_eq!(
                version(&connection).expect("a version"),
                if start == newest() { 0 } else { newest() }
            );
            set_setting(&connection, "a", "b").expect("a usable table");
            assert_eq!(setting(&connection, "a").expect("readable").as_deref(), Some("b"));
        }
    }

    #[test]
    fn hot_questions_walk_an_index() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        migrate(&mut connection, 0).expect("migrates");
        for sql in super::super::HOT_SQL {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
            let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
                .expect(sql)
                .map(|line| line.expect("a line"))
                .collect();
            for line in plan {
                assert!(!line.starts_with("SCAN") && !line.contains("TEMP B-TREE"), "{sql}\n{line}");
            }
        }
    }
}
