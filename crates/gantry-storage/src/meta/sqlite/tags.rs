//! Tags.

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName, Tag};
use rusqlite::{Connection, OptionalExtension};

use super::cache::Key;
use super::value::{DigestColumn, ImageColumn, integer, parsed};
use super::writer::Batch;
use super::{failure, manifests, repos};
use crate::failpoint::Point;
use crate::meta::Deleted;
use crate::meta::access::{LockedTag, TagLocks};

pub(super) const PAGE: &str =
    "SELECT name FROM tags WHERE repository = ?1 AND name > ?2 ORDER BY name LIMIT ?3";
pub(super) const TARGET: &str = "SELECT manifest FROM tags WHERE repository = ?1 AND name = ?2";
pub(super) const OF_MANIFEST: &str = "SELECT name FROM tags WHERE manifest = ?1";
/// Tags of whatever needs a blob or manifest, and of what needs that. Each step walks an index; only the few that were found are gone
/// through themselves.
const ABOVE: &str = "
    WITH RECURSIVE above (manifest) AS (
        SELECT manifest FROM manifest_refs WHERE repository = ?1 AND digest = ?2
        UNION
        SELECT r.manifest FROM above a JOIN manifests m ON m.id = a.manifest
            JOIN manifest_refs r ON r.repository = m.repository AND r.digest = m.digest AND r.kind = 2
    )
    SELECT t.name FROM above a JOIN tags t ON t.manifest = a.manifest";

pub(super) fn page(
    connection: &Connection,
    repo: &RepoName,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Option<Vec<String>>> {
    let Some(repository) = repos::id(connection, repo)? else { return Ok(None) };
    connection
        .prepare_cached(PAGE)?
        .query_map((repository, after, integer(limit)), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()
        .map(Some)
}

/// Points a tag at a manifest, and says under which image's id v1 knows it, and what client said so; a tag that stays where it is keeps the one it has.
pub(super) fn set(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    tag: &Tag,
    manifest: i64,
    by_v1: Option<(&ImageId, &str)>,
    now: i64,
) -> rusqlite::Result<()> {
    let before = target(batch.connection, repository, tag)?;
    batch
        .connection
        .prepare_cached(
            "INSERT INTO tags (repository, name, manifest, updated, image, agent, viewed) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)
             ON CONFLICT (repository, name) DO UPDATE SET
                 manifest = excluded.manifest, updated = excluded.updated, viewed = 0,
                 image = coalesce(excluded.image, iif(manifest = excluded.manifest, image, NULL)),
                 agent = iif(excluded.image IS NULL AND manifest = excluded.manifest, agent, excluded.agent)",
        )?
        .execute((
            repository,
            tag.as_str(),
            manifest,
            now,
            by_v1.map(|(image, _)| ImageColumn(*image)),
            by_v1.map(|(_, agent)| agent),
        ))?;
    failure::hit(Point::TagSet)?;
    batch.touch(Key::Tag(repo.clone(), tag.as_str().into()));
    match before {
        Some(before) if before != manifest => manifests::date(batch, repo, repository, before),
        _ => Ok(()),
    }
}

fn target(connection: &Connection, repository: i64, tag: &Tag) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(TARGET)?.query_row((repository, tag.as_str()), |row| row.get(0)).optional()
}

pub(super) fn delete(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    tag: &Tag,
    locks: &TagLocks,
) -> rusqlite::Result<Deleted> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(Deleted::Unknown) };
    let Some(manifest) = target(batch.connection, repository, tag)? else { return Ok(Deleted::Unknown) };
    if let Some(locked) = locks.locked(tag) {
        return Ok(Deleted::Locked(locked));
    }
    batch
        .connection
        .prepare_cached("DELETE FROM tags WHERE repository = ?1 AND name = ?2")?
        .execute((repository, tag.as_str()))?;
    failure::hit(Point::TagDeleted)?;
    batch.touch(Key::Tag(repo.clone(), tag.as_str().into()));
    manifests::date(batch, repo, repository, manifest)?;
    Ok(Deleted::Done)
}

/// The first of these tags that points to something else than `manifest`, and is held there.
pub(super) fn held_elsewhere(
    connection: &Connection,
    repository: i64,
    tags: &[Tag],
    manifest: Option<i64>,
    locks: &TagLocks,
) -> rusqlite::Result<Option<LockedTag>> {
    for tag in tags {
        if let Some(locked) = locks.locked(tag)
            && target(connection, repository, tag)?.is_some_and(|now| Some(now) != manifest)
        {
            return Ok(Some(locked));
        }
    }
    Ok(None)
}

/// The first of a manifest's tags that is held.
pub(super) fn held_on(
    connection: &Connection,
    manifest: i64,
    locks: &TagLocks,
) -> rusqlite::Result<Option<LockedTag>> {
    if locks.0.is_empty() {
        return Ok(None);
    }
    first_held(&mut connection.prepare_cached(OF_MANIFEST)?.query([manifest])?, locks)
}

/// The first of a repository's tags that is held.
pub(super) fn held_at_all(
    connection: &Connection,
    repository: i64,
    locks: &TagLocks,
) -> rusqlite::Result<Option<LockedTag>> {
    if locks.0.is_empty() {
        return Ok(None);
    }
    first_held(&mut connection.prepare_cached(PAGE)?.query((repository, "", i64::MAX))?, locks)
}

/// The first held tag of an image or index that would be broken without this blob or manifest.
pub(super) fn held_above(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
    locks: &TagLocks,
) -> rusqlite::Result<Option<LockedTag>> {
    if locks.0.is_empty() {
        return Ok(None);
    }
    let mut statement = connection.prepare_cached(ABOVE)?;
    first_held(&mut statement.query((repository, DigestColumn(*digest)))?, locks)
}

fn first_held(rows: &mut rusqlite::Rows<'_>, locks: &TagLocks) -> rusqlite::Result<Option<LockedTag>> {
    while let Some(row) = rows.next()? {
        let locked = locks.locked(&parsed(row, 0)?);
        if locked.is_some() {
            return Ok(locked);
        }
    }
    Ok(None)
}

/// Notes that every tag of a manifest answers differently from now on.
pub(super) fn touch_all(batch: &mut Batch<'_>, repo: &RepoName, manifest: i64) -> rusqlite::Result<()> {
    let names: Vec<String> = batch
        .connection
        .prepare_cached(OF_MANIFEST)?
        .query_map([manifest], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for name in names {
        batch.touch(Key::Tag(repo.clone(), name.into()));
    }
    Ok(())
}
