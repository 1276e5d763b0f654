//! Blobs, and the links through which repositories see them.

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, OptionalExtension, Row};

use super::cache::Key;
use super::value::{DigestColumn, integer, name, unsigned};
use super::writer::Batch;
use super::{failure, manifests, repos, sweep, uploads, verify};
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::lease;
use crate::meta::storages::StorageId;
use crate::meta::{BlobContent, NewBlob, StoredBlob};

pub(super) const LINKED: &str =
    "SELECT b.size, b.location, b.content, l.unreferenced_since, b.verified_at, b.storage
     FROM repositories r CROSS JOIN blobs b CROSS JOIN repository_blobs l
     WHERE r.name = ?1 AND b.digest = ?2 AND b.damaged_at IS NULL AND l.repository = r.id AND l.blob = b.id";
pub(super) const ONE: &str = "SELECT size, location, content, NULL, verified_at, storage FROM blobs
     WHERE digest = ?1 AND storage = ?2 AND damaged_at IS NULL";
pub(super) const IS_LINKED: &str = "SELECT 1 FROM blobs b CROSS JOIN repository_blobs l
     WHERE b.digest = ?2 AND b.damaged_at IS NULL AND l.repository = ?1 AND l.blob = b.id";
pub(super) const HOLDERS: &str = "SELECT r.name
     FROM blobs b CROSS JOIN repository_blobs l CROSS JOIN repositories r
     WHERE b.digest = ?1 AND b.damaged_at IS NULL AND l.blob = b.id AND r.id = l.repository AND r.name < '~' LIMIT ?2";
pub(super) const ID: &str = "SELECT id FROM blobs WHERE digest = ?1 AND storage = ?2";
pub(super) const WHOLE: &str =
    "SELECT id FROM blobs WHERE digest = ?1 AND storage = ?2 AND damaged_at IS NULL";
pub(super) const HELD: &str =
    "SELECT b.id, b.storage, b.damaged_at IS NULL FROM blobs b CROSS JOIN repository_blobs l
     WHERE b.digest = ?2 AND l.repository = ?1 AND l.blob = b.id";
pub(super) const LINKS: &str = "SELECT 1 FROM repository_blobs WHERE blob = ?1 LIMIT ?2";
pub(super) const PROMISED: &str = "SELECT l.blob, b.digest FROM repository_blobs l CROSS JOIN blobs b
     WHERE l.repository = ?1 AND l.unreferenced_since >= ?2 AND b.id = l.blob";

pub(super) fn get(
    connection: &Connection,
    repo: &RepoName,
    digest: &Digest,
) -> rusqlite::Result<Option<StoredBlob>> {
    connection
        .prepare_cached(LINKED)?
        .query_row((repo.as_str(), DigestColumn(*digest)), |row| stored(row, digest))
        .optional()
}

/// With its bytes in the row, or else in this storage.
pub(super) fn any(
    connection: &Connection,
    storage: StorageId,
    digest: &Digest,
) -> rusqlite::Result<Option<StoredBlob>> {
    for storage in [StorageId::ROWS, storage] {
        let found = connection
            .prepare_cached(ONE)?
            .query_row((DigestColumn(*digest), storage.0), |row| stored(row, digest))
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn stored(row: &Row<'_>, digest: &Digest) -> rusqlite::Result<StoredBlob> {
    let content = match row.get::<_, Option<Vec<u8>>>(2)? {
        Some(bytes) => BlobContent::Inline(Bytes::from(bytes)),
        None => BlobContent::Stored { storage: StorageId(row.get(5)?), location: row.get(1)? },
    };
    let unreferenced_since = row.get::<_, Option<i64>>(3)?.map(Timestamp);
    let verified_at = Timestamp(row.get(4)?);
    Ok(StoredBlob { digest: *digest, size: unsigned(row, 0)?, content, unreferenced_since, verified_at })
}

/// How many repositories hold this row, counted up to `limit`.
pub(super) fn links(connection: &Connection, blob: i64, limit: usize) -> rusqlite::Result<usize> {
    let mut links = connection.prepare_cached(LINKS)?;
    let links = links.query_map((blob, integer(limit)), |_| Ok(()))?;
    links.into_iter().try_fold(0, |count, link| link.map(|()| count + 1))
}

/// The row that a repository's link leads to.
pub(super) struct Held {
    pub(super) id: i64,
    pub(super) storage: StorageId,
    pub(super) whole: bool,
}

/// What the repository holds under this digest, damaged or not.
pub(super) fn held(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<Option<Held>> {
    connection
        .prepare_cached(HELD)?
        .query_row((repository, DigestColumn(*digest)), |row| {
            Ok(Held { id: row.get(0)?, storage: StorageId(row.get(1)?), whole: row.get(2)? })
        })
        .optional()
}

pub(super) fn is_linked(connection: &Connection, repository: i64, digest: &Digest) -> rusqlite::Result<bool> {
    connection.prepare_cached(IS_LINKED)?.exists((repository, DigestColumn(*digest)))
}

pub(super) fn holders(
    connection: &Connection,
    digest: &Digest,
    limit: usize,
) -> rusqlite::Result<Vec<RepoName>> {
    connection
        .prepare_cached(HOLDERS)?
        .query_map((DigestColumn(*digest), integer(limit)), |row| name(row, 0))?
        .collect()
}

pub(super) fn put(batch: &mut Batch<'_>, blob: &NewBlob) -> rusqlite::Result<()> {
    let id = match stays(batch, blob)? {
        Some(id) => id,
        None => row(batch, blob)?,
    };
    failure::hit(Point::BlobRow)?;
    let repository = repos::id_or_new(batch, &blob.repo)?;
    link(batch, &blob.repo, repository, &blob.digest, id)?;
    if let Some(from) = blob.renew_from {
        renew_all(batch, &blob.repo, repository, from)?;
    }
    failure::hit(Point::BlobLinked)?;
    if let Some(upload) = &blob.upload {
        uploads::delete(batch, upload)?;
    }
    Ok(())
}

/// The row of a pushed blob, made or healed.
fn row(batch: &mut Batch<'_>, blob: &NewBlob) -> rusqlite::Result<i64> {
    let storage = blob.content.storage();
    let id = match id(batch.connection, storage, &blob.digest)? {
        Some(id) => {
            verify::heal_blob(batch, id, blob)?;
            id
        }
        None => insert(batch, blob)?,
    };
    verify::heal_others(batch, &blob.digest, id, storage)?;
    Ok(id)
}

/// The row in another storage to which the repository's link leads and shall lead. The pushed bytes go then.
fn stays(batch: &Batch<'_>, blob: &NewBlob) -> rusqlite::Result<Option<i64>> {
    let BlobContent::Stored { storage, location } = &blob.content else { return Ok(None) };
    if blob.displaces {
        return Ok(None);
    }
    let Some(repository) = repos::id(batch.connection, &blob.repo)? else { return Ok(None) };
    let held = held(batch.connection, repository, &blob.digest)?;
    let Some(held) = held.filter(|held| held.whole && held.storage != *storage) else { return Ok(None) };
    sweep::free_bytes(batch, *storage, &blob.digest, blob.size, location.as_deref())?;
    Ok(Some(held.id))
}

/// What a long push was promised before holds on.
fn renew_all(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    from: Timestamp,
) -> rusqlite::Result<()> {
    let promised: Vec<(i64, DigestColumn)> = batch
        .connection
        .prepare_cached(PROMISED)?
        .query_map((repository, from.0), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (blob, digest) in promised {
        batch
            .connection
            .prepare_cached(
                "UPDATE repository_blobs SET unreferenced_since = ?3 WHERE repository = ?1 AND blob = ?2",
            )?
            .execute((repository, blob, batch.now.0))?;
        batch.touch(Key::Blob(repo.clone(), digest.0));
    }
    Ok(())
}

pub(super) fn insert(batch: &Batch<'_>, blob: &NewBlob) -> rusqlite::Result<i64> {
    let (location, content) = match &blob.content {
        BlobContent::Inline(bytes) => (None, Some(bytes.as_ref())),
        BlobContent::Stored { location, .. } => (location.as_deref(), None),
    };
    let storage = blob.content.storage().0;
    let (digest, size, created) = (DigestColumn(blob.digest), integer(blob.size), Timestamp::now().0);
    batch
        .connection
        .prepare_cached(
            "INSERT INTO blobs (digest, storage, size, created, location, content, verified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) RETURNING id",
        )?
        .query_row((digest, storage, size, created, location, content, batch.now.0), |row| row.get(0))
}

pub(super) fn mount(
    batch: &mut Batch<'_>,
    digest: &Digest,
    from: &RepoName,
    to: &RepoName,
    storage: StorageId,
) -> rusqlite::Result<bool> {
    let Some(source) = repos::id(batch.connection, from)? else { return Ok(false) };
    let Mountable::Row(id) = mountable(batch.connection, source, digest, storage)? else { return Ok(false) };
    let repository = repos::id_or_new(batch, to)?;
    link(batch, to, repository, digest, id)?;
    failure::hit(Point::BlobMounted)?;
    Ok(true)
}

/// Whether a repository's blob can be linked by another one.
pub(super) enum Mountable {
    /// By this row.
    Row(i64),
    /// The bytes are in another storage only.
    Elsewhere,
    /// The repository has it not.
    Missing,
}

/// Where the blob is that a repository holds, for another one whose bytes belong in `storage`.
pub(super) fn mountable(
    connection: &Connection,
    source: i64,
    digest: &Digest,
    storage: StorageId,
) -> rusqlite::Result<Mountable> {
    let held = held(connection, source, digest)?.filter(|held| held.whole);
    let Some(held) = held else { return Ok(Mountable::Missing) };
    if held.storage == storage || held.storage == StorageId::ROWS {
        return Ok(Mountable::Row(held.id));
    }
    // Other repositories may have the same bytes where they are wanted.
    Ok(whole(connection, storage, digest)?.map_or(Mountable::Elsewhere, Mountable::Row))
}

pub(super) fn unlink(batch: &mut Batch<'_>, repo: &RepoName, digest: &Digest) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let Some(Held { id, .. }) = held(batch.connection, repository, digest)? else { return Ok(false) };
    batch
        .connection
        .prepare_cached("DELETE FROM repository_blobs WHERE repository = ?1 AND blob = ?2")?
        .execute((repository, id))?;
    failure::hit(Point::BlobUnlinked)?;
    batch.touch(Key::Blob(repo.clone(), *digest));
    free_unheld(batch.connection, id)?;
    Ok(true)
}

/// Removes the row of a blob if no repository holds it; its file goes later, when that is durable.
pub(super) fn free_unheld(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    if links(connection, id, 1)? > 0 {
        return Ok(());
    }
    for sql in [
        "INSERT INTO freed_blobs (digest, size, location, storage)
            SELECT digest, size, location, storage FROM blobs WHERE id = ?1 AND content IS NULL",
        "DELETE FROM blobs WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([id])?;
    }
    failure::hit(Point::SweepFreed)
}

/// A manifest or image of the repository names the blob from now on (that is written), or does so no longer.
pub(super) fn date_link(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<()> {
    let named = manifests::names_blob(batch.connection, repository, digest)?;
    let date = lease::link_date(named, batch.now).map(|date| date.0);
    let changed = batch
        .connection
        .prepare_cached(
            "UPDATE repository_blobs SET unreferenced_since = ?3
             WHERE repository = ?1 AND blob IN (SELECT id FROM blobs WHERE digest = ?2)
               AND (unreferenced_since IS NULL) <> (?3 IS NULL)",
        )?
        .execute((repository, DigestColumn(*digest), date))?;
    if changed > 0 {
        batch.touch(Key::Blob(repo.clone(), *digest));
    }
    Ok(())
}

pub(super) fn link(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    digest: &Digest,
    blob: i64,
) -> rusqlite::Result<()> {
    if let Some(held) = held(batch.connection, repository, digest)?
        && held.id != blob
    {
        relink(batch, repo, repository, digest, (held.id, blob))?;
    }
    let named = manifests::names_blob(batch.connection, repository, digest)?;
    let date = lease::link_date(named, batch.now).map(|date| date.0);
    batch
        .connection
        .prepare_cached(
            "INSERT INTO repository_blobs (repository, blob, unreferenced_since) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, blob) DO UPDATE SET unreferenced_since = excluded.unreferenced_since
             WHERE unreferenced_since IS NOT NULL",
        )?
        .execute((repository, blob, date))?;
    batch.touch(Key::Blob(repo.clone(), *digest));
    Ok(())
}

/// A link goes over from one row of the digest to another; the first one goes if that was its last.
pub(super) fn relink(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    digest: &Digest,
    (from, to): (i64, i64),
) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached("UPDATE repository_blobs SET blob = ?3 WHERE repository = ?1 AND blob = ?2")?
        .execute((repository, from, to))?;
    batch.touch(Key::Blob(repo.clone(), *digest));
    free_unheld(batch.connection, from)
}

/// The number of a digest's row in a storage.
pub(super) fn id(
    connection: &Connection,
    storage: StorageId,
    digest: &Digest,
) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(ID)?.query_row((DigestColumn(*digest), storage.0), |row| row.get(0)).optional()
}

/// The same, undamaged.
pub(super) fn whole(
    connection: &Connection,
    storage: StorageId,
    digest: &Digest,
) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(WHOLE)?
        .query_row((DigestColumn(*digest), storage.0), |row| row.get(0))
        .optional()
}
