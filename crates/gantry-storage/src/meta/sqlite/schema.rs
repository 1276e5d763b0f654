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
use crate::clock::Timestamp;
use crate::failpoint::Point;

/// Marks a SQLite file as Gantry's: "GNTR".
pub(super) const APPLICATION_ID: i64 = 0x474E_5452;

/// What each version adds to the one before; the first makes version 1.
const MIGRATIONS: &[&str] = &[V1, V2, V3, V4, V5, V6, V7];

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

/// What the sweep needs to find candidates by walking an index. Dates of links and idle manifests are the store's own time
/// ([`crate::clock::StoreClock`]), which begins as the wall clock's time of the first start.
const V2: &str = "
-- Who names a digest in a repository is asked as often as what a manifest names.
CREATE TABLE edges (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest     BLOB NOT NULL,
    kind       INTEGER NOT NULL,
    manifest   INTEGER NOT NULL REFERENCES manifests (id),
    PRIMARY KEY (repository, digest, kind, manifest)
) STRICT, WITHOUT ROWID;
INSERT INTO edges (repository, digest, kind, manifest)
    SELECT m.repository, e.digest, e.kind, e.manifest FROM manifest_refs e JOIN manifests m ON m.id = e.manifest;
DROP TABLE manifest_refs;
ALTER TABLE edges RENAME TO manifest_refs;
CREATE INDEX manifest_refs_by_manifest ON manifest_refs (manifest);

-- NULL: a manifest of the repository names the blob. Else: since when a client was last told that it is there.
ALTER TABLE repository_blobs ADD COLUMN unreferenced_since INTEGER;
UPDATE repository_blobs SET unreferenced_since = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    WHERE NOT EXISTS (SELECT 1 FROM blobs b JOIN manifest_refs e
        ON e.repository = repository_blobs.repository AND e.digest = b.digest AND e.kind = 1
        WHERE b.id = repository_blobs.blob);
CREATE INDEX repository_blobs_unreferenced ON repository_blobs (unreferenced_since)
    WHERE unreferenced_since IS NOT NULL;

-- Manifests that refer to nothing and that neither a tag nor an index names.
CREATE TABLE idle_manifests (
    manifest INTEGER PRIMARY KEY REFERENCES manifests (id),
    since    INTEGER NOT NULL
) STRICT;
CREATE INDEX idle_manifests_by_since ON idle_manifests (since);
INSERT INTO idle_manifests (manifest, since)
    SELECT m.id, CAST(unixepoch('subsec') * 1000000 AS INTEGER) FROM manifests m
    WHERE m.subject IS NULL
      AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.manifest = m.id)
      AND NOT EXISTS (SELECT 1 FROM manifest_refs e
          WHERE e.repository = m.repository AND e.digest = m.digest AND e.kind = 2);

-- Manifests that were deleted while others referred to them.
CREATE TABLE deleted_subjects (
    repository INTEGER NOT NULL REFERENCES repositories (id),
    digest     BLOB NOT NULL,
    since      INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_subjects_by_since ON deleted_subjects (since);

-- Bytes in the blob store whose row is gone: still to be removed.
CREATE TABLE freed_blobs (
    id       INTEGER PRIMARY KEY,
    digest   BLOB NOT NULL,
    size     INTEGER NOT NULL,
    location TEXT
) STRICT;
INSERT INTO freed_blobs (digest, size, location)
    SELECT digest, size, location FROM blobs
    WHERE content IS NULL AND NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.blob = blobs.id);
DELETE FROM blobs WHERE NOT EXISTS (SELECT 1 FROM repository_blobs l WHERE l.blob = blobs.id);

CREATE INDEX uploads_by_repository ON uploads (repository);
";

/// When bytes were last found right, and since when they are known to be wrong. What is damaged is not there for clients.
const V3: &str = "
ALTER TABLE blobs ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0;    -- the store's own time; 0: never
ALTER TABLE blobs ADD COLUMN damaged_at INTEGER;
CREATE INDEX blobs_by_verified ON blobs (verified_at) WHERE damaged_at IS NULL;
CREATE INDEX blobs_damaged ON blobs (damaged_at) WHERE damaged_at IS NOT NULL;
ALTER TABLE manifests ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE manifests ADD COLUMN damaged_at INTEGER;
CREATE INDEX manifests_by_verified ON manifests (verified_at) WHERE damaged_at IS NULL;
CREATE INDEX manifests_damaged ON manifests (damaged_at) WHERE damaged_at IS NOT NULL;
";

/// Who there is and what they may do. Times are the machine's clock.
const V4: &str = "
-- `member_of`, `scopes`, `immutable` and `protected` are JSON arrays of text.
CREATE TABLE accounts (
    name             TEXT PRIMARY KEY,
    email            TEXT,
    password         TEXT,                      -- PHC string
    admin            INTEGER NOT NULL,
    disabled         INTEGER NOT NULL,
    created          INTEGER NOT NULL,
    password_changed INTEGER NOT NULL,
    member_of        TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX accounts_by_name ON accounts (name COLLATE NOCASE);
CREATE UNIQUE INDEX accounts_by_email ON accounts (email COLLATE NOCASE) WHERE email IS NOT NULL;
CREATE INDEX accounts_enabled_admins ON accounts (name) WHERE admin = 1 AND disabled = 0;

-- Ids and hashes are bytes; secrets themselves are nowhere.
CREATE TABLE access_tokens (
    id         BLOB PRIMARY KEY,
    hash       BLOB NOT NULL UNIQUE,
    subject    TEXT NOT NULL,
    name       TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER,
    last_used  INTEGER,
    scopes     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_by_subject ON access_tokens (subject, id);
CREATE INDEX access_tokens_by_expires ON access_tokens (expires) WHERE expires IS NOT NULL;

-- Kind 1 a refresh token, 2 a web session.
CREATE TABLE logins (
    kind    INTEGER NOT NULL,
    hash    BLOB NOT NULL,
    subject TEXT NOT NULL,
    token   BLOB,                               -- the access token by which the login was made
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    payload TEXT NOT NULL,
    PRIMARY KEY (kind, hash)
) STRICT, WITHOUT ROWID;
CREATE INDEX logins_by_subject ON logins (subject);
CREATE INDEX logins_by_token ON logins (token) WHERE token IS NOT NULL;
CREATE INDEX logins_by_expires ON logins (expires);

-- Numbers are never used twice, so that a removal that comes late removes nothing else.
CREATE TABLE grants (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    subject    TEXT NOT NULL,
    role       TEXT NOT NULL,
    pattern    TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created    INTEGER NOT NULL,
    UNIQUE (subject, role, pattern)
) STRICT;

CREATE TABLE namespaces (
    prefix      TEXT PRIMARY KEY,
    storage     TEXT NOT NULL,
    visibility  TEXT NOT NULL,
    immutable   TEXT NOT NULL,
    protected   TEXT NOT NULL,
    description TEXT NOT NULL,
    created     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kid       TEXT NOT NULL UNIQUE,
    algorithm TEXT NOT NULL,
    created   INTEGER NOT NULL,
    retired   INTEGER,
    private   BLOB NOT NULL                     -- PKCS#8
) STRICT;

-- An index without more ends in the id, so each of them is also in the order of the pages.
CREATE TABLE audit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    subject    TEXT NOT NULL,
    address    TEXT NOT NULL,
    action     TEXT NOT NULL,
    object     TEXT NOT NULL,
    repository TEXT NOT NULL,
    allowed    INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    request    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_at ON audit (at);
CREATE INDEX audit_by_subject ON audit (subject);
CREATE INDEX audit_by_action ON audit (action);
CREATE INDEX audit_by_repository ON audit (repository) WHERE repository <> '';
CREATE INDEX audit_refused ON audit (allowed) WHERE allowed = 0;
";

/// Bytes lie in several storages: a blob has a row for each that has its bytes, and one more (storage 0) when the bytes are in the row.
/// A repository still has one link at most for each digest. And work that goes on after a restart.
const V5: &str = "
CREATE TABLE storages (
    id   INTEGER PRIMARY KEY AUTOINCREMENT,     -- never used twice
    name TEXT NOT NULL UNIQUE                   -- as the configuration has it
) STRICT;
INSERT INTO storages (id, name) VALUES (0, ''), (1, 'default');

-- A constraint cannot be changed in place.
CREATE TABLE blobs_anew (
    id          INTEGER PRIMARY KEY,
    digest      BLOB NOT NULL,
    storage     INTEGER NOT NULL REFERENCES storages (id),      -- 0: the bytes are here, in `content`
    size        INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    verified_at INTEGER NOT NULL,               -- the store's own time; 0: never
    damaged_at  INTEGER,
    location    TEXT,                           -- in the blob store; NULL: derived from the digest
    content     BLOB,                           -- the bytes themselves when they are few
    UNIQUE (digest, storage)
) STRICT;
INSERT INTO blobs_anew (id, digest, storage, size, created, verified_at, damaged_at, location, content)
    SELECT id, digest, content IS NULL, size, created, verified_at, damaged_at, location, content FROM blobs;
DROP TABLE blobs;
ALTER TABLE blobs_anew RENAME TO blobs;
CREATE INDEX blobs_by_verified ON blobs (verified_at) WHERE damaged_at IS NULL;
CREATE INDEX blobs_damaged ON blobs (damaged_at) WHERE damaged_at IS NOT NULL;
CREATE INDEX blobs_by_storage ON blobs (storage) WHERE storage > 1;

-- No number is used twice: whoever dealt with an entry forgets that one and no later one.
CREATE TABLE freed_anew (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    digest   BLOB NOT NULL,
    storage  INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    location TEXT
) STRICT;
INSERT INTO freed_anew (id, digest, storage, size, location) SELECT id, digest, 1, size, location FROM freed_blobs;
DROP TABLE freed_blobs;
ALTER TABLE freed_anew RENAME TO freed_blobs;
CREATE INDEX freed_blobs_by_digest ON freed_blobs (digest, storage);

ALTER TABLE uploads ADD COLUMN storage INTEGER NOT NULL DEFAULT 1;

CREATE TABLE jobs (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    payload  TEXT NOT NULL,                     -- what is to be done, JSON
    state    TEXT NOT NULL,                     -- waiting, running, done, failed
    progress TEXT NOT NULL,                     -- how far it came, JSON
    attempts INTEGER NOT NULL,
    created  INTEGER NOT NULL,
    updated  INTEGER NOT NULL,
    error    TEXT                               -- what last stood in the way
) STRICT;
CREATE INDEX jobs_open ON jobs (id) WHERE state IN ('waiting', 'running');
";

/// Images of the v1 API. Ids of images are their 32 bytes.
const V6: &str = "
-- One row for what was pushed under an id, and one for what is derived of a manifest under the same. Numbers rise and are never used
-- twice: an image that is begun anew gets a new one.
CREATE TABLE v1_images (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    repository  INTEGER NOT NULL REFERENCES repositories (id),
    image       BLOB NOT NULL,
    derived     INTEGER NOT NULL,
    state       INTEGER NOT NULL,               -- 0 described, 1 with a layer, 2 complete
    parent      BLOB,
    layer       BLOB,
    size        INTEGER,                        -- of the layer
    compression INTEGER,
    diff_id     BLOB,
    payload     BLOB,
    idle_since  INTEGER,                        -- NULL: a view or another image holds it
    ancestry    BLOB NOT NULL,                  -- itself first, one after the other
    json        BLOB NOT NULL,
    UNIQUE (repository, image, derived)
) STRICT;
CREATE INDEX v1_images_by_image ON v1_images (image, repository);
CREATE INDEX v1_images_by_parent ON v1_images (repository, parent) WHERE parent IS NOT NULL;
CREATE INDEX v1_images_by_layer ON v1_images (repository, layer) WHERE layer IS NOT NULL;
CREATE INDEX v1_images_idle ON v1_images (idle_since) WHERE idle_since IS NOT NULL;

-- A manifest and the chain below an image are the same thing. The lowest number counts where there are several, and is 0.
CREATE TABLE v1_views (
    manifest   INTEGER NOT NULL REFERENCES manifests (id),
    number     INTEGER NOT NULL,
    repository INTEGER NOT NULL REFERENCES repositories (id),
    top        BLOB,                            -- NULL: the manifest is no image
    PRIMARY KEY (manifest, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX v1_views_by_top ON v1_views (repository, top) WHERE top IS NOT NULL;

-- The id under which v1 set the tag; gone when somebody moves it. And whether the manifest has been looked at since the tag was set.
ALTER TABLE tags ADD COLUMN image BLOB;
-- What the client that did so said it was.
ALTER TABLE tags ADD COLUMN agent TEXT;
ALTER TABLE tags ADD COLUMN viewed INTEGER NOT NULL DEFAULT 0;
CREATE INDEX tags_not_viewed ON tags (repository, manifest) WHERE viewed = 0;
";

/// What a search goes through: repositories that have a tag.
const V7: &str = "
CREATE TABLE search_rows (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,      -- the order of what is found: what is new comes last
    repository  INTEGER NOT NULL UNIQUE REFERENCES repositories (id) ON DELETE CASCADE,
    manifest    INTEGER,                        -- whose description it is, there or gone; NULL: it could not be read
    name        TEXT NOT NULL,                  -- of the repository, so that a search reads this table alone
    description TEXT NOT NULL,
    folded      TEXT                            -- the description in lower case, where that is another text
) STRICT;
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
    // A table that others refer to can be made anew only while references are not looked at. That cannot be said within a
    // transaction.
    connection.pragma_update(None, "foreign_keys", false)?;
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
    connection.pragma_update(None, "foreign_keys", true)
}

/// Reads a row of the settings table.
pub(super) fn setting(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    use rusqlite::OptionalExtension;
    connection.query_row("SELECT value FROM settings WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// The store's own time when it was last saved.
pub(super) fn clock(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    Ok(setting(connection, CLOCK)?.and_then(|text| text.parse().ok()).map(Timestamp))
}

/// Saves the store's own time.
pub(super) fn save_clock(connection: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    set_setting(connection, CLOCK, &now.0.to_string())
}

const CLOCK: &str = "clock";

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
    fn blobs_of_one_storage_become_blobs_of_the_default_storage_and_of_the_rows() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        for sql in [V1, V2, V3] {
            connection.execute_batch(sql).expect("an old schema");
        }
        connection
            .execute_batch(
                "INSERT INTO repositories (id, name, created) VALUES (1, 'a/b', 0);
                 INSERT INTO blobs (id, digest, size, created, location, content, verified_at, damaged_at) VALUES
                     (1, x'01', 5, 6, NULL, NULL, 7, NULL), (2, x'02', 1, 6, NULL, x'ff', 8, 9);
                 INSERT INTO repository_blobs (repository, blob) VALUES (1, 1), (1, 2);
                 INSERT INTO freed_blobs (digest, size) VALUES (x'03', 1);",
            )
            .expect("rows");
        migrate(&mut connection, 3).expect("migrates");
        let rows: Vec<String> = connection
            .prepare(
                "SELECT concat_ws(' ', id, storage, size, created, verified_at, ifnull(damaged_at, '-'), ifnull(hex(content), '-'))
                 FROM blobs ORDER BY id",
            )
            .expect("prepared")
            .query_map([], |row| row.get(0))
            .expect("readable")
            .collect::<rusqlite::Result<_>>()
            .expect("rows");
        assert_eq!(rows, ["1 1 5 6 7 - ", "2 0 1 6 8 9 FF"]);
        let storage: i64 =
            connection.query_row("SELECT storage FROM freed_blobs", [], |row| row.get(0)).expect("a row");
        assert_eq!(storage, 1);
        let broken =
            connection.prepare("PRAGMA foreign_key_check").expect("prepared").exists([]).expect("done");
        assert!(!broken, "every reference leads somewhere");
        connection.execute("DELETE FROM blobs WHERE id = 1", []).expect_err("references are looked at again");
    }

    #[test]
    fn hot_questions_walk_an_index() {
        let mut connection = Connection::open_in_memory().expect("a database in memory");
        migrate(&mut connection, 0).expect("migrates");
        for sql in super::super::HOT_SQL
            .iter()
            .chain(super::super::access::HOT_SQL)
            .chain(super::super::images::HOT_SQL)
            .chain(&super::super::repos::EMPTYING)
        {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect(sql);
            let parameters = vec![rusqlite::types::Null; statement.parameter_count()];
            let plan: Vec<String> = statement
                .query_map(rusqlite::params_from_iter(parameters), |row| row.get(3))
                .expect(sql)
                .map(|line| line.expect("a line"))
                .collect();
            for line in plan {
                // What is answered by other queries alone is a row of no table.
                let scans = line.starts_with("SCAN") && line != "SCAN CONSTANT ROW";
                assert!(!scans && !line.contains("TEMP B-TREE"), "{sql}\n{line}");
            }
        }
    }
}
