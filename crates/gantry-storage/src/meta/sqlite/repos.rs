//! Repositories.

use gantry_oci::RepoName;
use rusqlite::{Connection, OptionalExtension, Row};

use super::cache::Key;
use super::value::{DigestColumn, ImageColumn, integer};
use super::writer::Batch;
use super::{failure, tags};
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::meta::Deleted;
use crate::meta::access::TagLocks;

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

/// What is asked of a repository before it is emptied: whatever is answered from memory, and changes.
const TAGS: &str = "SELECT name FROM tags WHERE repository = ?1";
const MANIFESTS: &str = "SELECT digest FROM manifests WHERE repository = ?1";
const SUBJECTS: &str = "SELECT DISTINCT subject FROM manifests WHERE repository = ?1 AND subject IS NOT NULL";
const IMAGES: &str = "SELECT image FROM v1_images WHERE repository = ?1";
const NAMED: &str = "SELECT b.digest FROM repository_blobs l CROSS JOIN blobs b
     WHERE l.repository = ?1 AND l.unreferenced_since IS NULL AND b.id = l.blob";

/// In an order in which no reference leads nowhere.
const EMPTY: [&str; 7] = [
    "DELETE FROM tags WHERE repository = ?1",
    "DELETE FROM v1_views WHERE manifest IN (SELECT id FROM manifests WHERE repository = ?1)",
    "DELETE FROM v1_images WHERE repository = ?1",
    "DELETE FROM manifest_refs WHERE repository = ?1",
    "DELETE FROM idle_manifests WHERE manifest IN (SELECT id FROM manifests WHERE repository = ?1)",
    "DELETE FROM manifests WHERE repository = ?1",
    "DELETE FROM deleted_subjects WHERE repository = ?1",
];
#[cfg(test)]
pub(super) const EMPTYING: [&str; 13] = [
    HAS_SOMETHING,
    TAGS,
    MANIFESTS,
    SUBJECTS,
    IMAGES,
    NAMED,
    EMPTY[0],
    EMPTY[1],
    EMPTY[2],
    EMPTY[3],
    EMPTY[4],
    EMPTY[5],
    EMPTY[6],
];

const HAS_SOMETHING: &str = "SELECT 1 FROM manifests WHERE repository = ?1
     UNION ALL SELECT 1 FROM v1_images WHERE repository = ?1 LIMIT 1";

/// Whether there is a manifest or an image. Blobs alone are no repository that anybody could speak of.
pub(super) fn has_something(connection: &Connection, repository: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached(HAS_SOMETHING)?.exists([repository])
}

/// All that tags and manifests say goes at once; [`Deleted::Unknown`] when there is nothing of the kind. The repository and its blobs stay, as after the deletion of its last manifest: somebody
/// may be pushing to it.
pub(super) fn empty(batch: &mut Batch<'_>, repo: &RepoName, locks: &TagLocks) -> rusqlite::Result<Deleted> {
    let Some(repository) = id(batch.connection, repo)? else { return Ok(Deleted::Unknown) };
    if !has_something(batch.connection, repository)? {
        return Ok(Deleted::Unknown);
    }
    if let Some(locked) = tags::held_at_all(batch.connection, repository, locks)? {
        return Ok(Deleted::Locked(locked));
    }
    let name = |row: &Row<'_>| row.get(0).map(|tag: String| Key::Tag(repo.clone(), tag.into()));
    let digest = |row: &Row<'_>| row.get(0).map(|DigestColumn(digest)| digest);
    touch(batch, TAGS, repository, name)?;
    touch(batch, MANIFESTS, repository, |row| Ok(Key::Manifest(repo.clone(), digest(row)?)))?;
    touch(batch, SUBJECTS, repository, |row| Ok(Key::Referrers(repo.clone(), digest(row)?)))?;
    touch(batch, NAMED, repository, |row| Ok(Key::Blob(repo.clone(), digest(row)?)))?;
    touch(batch, IMAGES, repository, |row| {
        row.get(0).map(|ImageColumn(image)| Key::Image(repo.clone(), image))
    })?;
    for sql in EMPTY {
        batch.connection.prepare_cached(sql)?.execute([repository])?;
        failure::hit(Point::RepositoryEmptying)?;
    }
    batch
        .connection
        .prepare_cached(
            "UPDATE repository_blobs SET unreferenced_since = ?2 WHERE repository = ?1 AND unreferenced_since IS NULL",
        )?
        .execute((repository, batch.now.0))?;
    Ok(Deleted::Done)
}

fn touch(
    batch: &mut Batch<'_>,
    sql: &str,
    repository: i64,
    key: impl Fn(&Row<'_>) -> rusqlite::Result<Key>,
) -> rusqlite::Result<()> {
    let mut statement = batch.connection.prepare_cached(sql)?;
    let keys: Vec<Key> = statement.query_map([repository], key)?.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    keys.into_iter().for_each(|key| batch.touch(key));
    Ok(())
}
