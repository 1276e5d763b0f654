//! Blobs, and the links through which repositories see them.

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, OptionalExtension, Row};

use super::cache::Key;
use super::value::{DigestColumn, integer, parsed, unsigned};
use super::writer::Batch;
use super::{failure, repos, uploads};
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::meta::{BlobContent, NewBlob, StoredBlob};

pub(super) const LINKED: &str = "SELECT b.size, b.location, b.content
     FROM repositories r CROSS JOIN blobs b CROSS JOIN repository_blobs l
     WHERE r.name = ?1 AND b.digest = ?2 AND l.repository = r.id AND l.blob = b.id";
pub(super) const ANY: &str = "SELECT size, location, content FROM blobs WHERE digest = ?1";
pub(super) const IS_LINKED: &str = "SELECT 1 FROM blobs b CROSS JOIN repository_blobs l
     WHERE b.digest = ?2 AND l.repository = ?1 AND l.blob = b.id";
pub(super) const HOLDERS: &str = "SELECT r.name
     FROM blobs b CROSS JOIN repository_blobs l CROSS JOIN repositories r
     WHERE b.digest = ?1 AND l.blob = b.id AND r.id = l.repository LIMIT ?2";
pub(super) const ID: &str = "SELECT id FROM blobs WHERE digest = ?1";

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

pub(super) fn any(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<StoredBlob>> {
    connection.prepare_cached(ANY)?.query_row([DigestColumn(*digest)], |row| stored(row, digest)).optional()
}

fn stored(row: &Row<'_>, digest: &Digest) -> rusqlite::Result<StoredBlob> {
    let content = match row.get::<_, Option<Vec<u8>>>(2)? {
        Some(bytes) => BlobContent::Inline(Bytes::from(bytes)),
        None => BlobContent::Stored { location: row.get(1)? },
    };
    Ok(StoredBlob { digest: *digest, size: unsigned(row, 0)?, content })
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
        .query_map((DigestColumn(*digest), integer(limit)), |row| parsed(row, 0))?
        .collect()
}

pub(super) fn put(batch: &mut Batch<'_>, blob: &NewBlob) -> rusqlite::Result<()> {
    let id = match id(batch.connection, &blob.digest)? {
        Some(id) => id,
        None => insert(batch.connection, blob)?,
    };
    failure::hit(Point::BlobRow)?;
    let repository = repos::id_or_new(batch, &blob.repo)?;
    link(batch, &blob.repo, repository, &blob.digest, id)?;
    failure::hit(Point::BlobLinked)?;
    if let Some(upload) = &blob.upload {
        uploads::delete(batch, upload)?;
    }
    Ok(())
}

fn insert(connection: &Connection, blob: &NewBlob) -> rusqlite::Result<i64> {
    let (location, content) = match &blob.content {
        BlobContent::Inline(bytes) => (None, Some(bytes.as_ref())),
        BlobContent::Stored { location } => (location.as_deref(), None),
    };
    connection
        .prepare_cached(
            "INSERT INTO blobs (digest, size, created, location, content) VALUES (?1, ?2, ?3, ?4, ?5) RETURNING id",
        )?
        .query_row((DigestColumn(blob.digest), integer(blob.size), Timestamp::now().0, location, content), |row| {
            row.get(0)
        })
}

pub(super) fn mount(
    batch: &mut Batch<'_>,
    digest: &Digest,
    from: &RepoName,
    to: &RepoName,
) -> rusqlite::Result<bool> {
    let Some(source) = repos::id(batch.connection, from)? else { return Ok(false) };
    if !is_linked(batch.connection, source, digest)? {
        return Ok(false);
    }
    let Some(id) = id(batch.connection, digest)? else { return Ok(false) };
    let repository = repos::id_or_new(batch, to)?;
    link(batch, to, repository, digest, id)?;
    failure::hit(Point::BlobMounted)?;
    Ok(true)
}

pub(super) fn unlink(batch: &mut Batch<'_>, repo: &RepoName, digest: &Digest) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let Some(id) = id(batch.connection, digest)? else { return Ok(false) };
    let deleted = batch
        .connection
        .prepare_cached("DELETE FROM repository_blobs WHERE repository = ?1 AND blob = ?2")?
        .execute((repository, id))?;
    failure::hit(Point::BlobUnlinked)?;
    batch.touch(Key::Blob(repo.clone(), *digest));
    Ok(deleted > 0)
}

fn link(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    digest: &Digest,
    blob: i64,
) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO repository_blobs (repository, blob) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        )?
        .execute((repository, blob))?;
    batch.touch(Key::Blob(repo.clone(), *digest));
    Ok(())
}

fn id(connection: &Connection, digest: &Digest) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(ID)?.query_row([DigestColumn(*digest)], |row| row.get(0)).optional()
}
