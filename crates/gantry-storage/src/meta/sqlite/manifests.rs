//! Manifests and their edges. Lists of referrers are read in `referrers`.

use bytes::Bytes;
use gantry_oci::{Digest, Reference, RepoName};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::cache::Key;
use super::value::{DigestColumn, integer};
use super::writer::Batch;
use super::{blobs, failure, images, referrers, repos, sweep, tags, verify};
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::meta::access::TagLocks;
use crate::meta::{Deleted, NewManifest, PutManifest, StoredManifest};

pub(super) const BY_TAG: &str = "SELECT m.digest, m.media_type, m.content, NULL
     FROM repositories r CROSS JOIN tags t CROSS JOIN manifests m
     WHERE r.name = ?1 AND t.repository = r.id AND t.name = ?2 AND m.id = t.manifest AND m.damaged_at IS NULL";
pub(super) const BY_DIGEST: &str = "SELECT m.digest, m.media_type, m.content, i.since
     FROM repositories r CROSS JOIN manifests m LEFT JOIN idle_manifests i ON i.manifest = m.id
     WHERE r.name = ?1 AND m.repository = r.id AND m.digest = ?2 AND m.damaged_at IS NULL";
pub(super) const EXISTING: &str =
    "SELECT id, media_type FROM manifests WHERE repository = ?1 AND digest = ?2";
pub(super) const NAMES: &str =
    "SELECT 1 FROM manifest_refs WHERE repository = ?1 AND digest = ?2 AND kind = ?3 LIMIT 1";
pub(super) const IS_TAGGED: &str = "SELECT 1 FROM tags WHERE manifest = ?1 LIMIT 1";
pub(super) const REFERS: &str = "SELECT 1 FROM manifests WHERE repository = ?1 AND subject = ?2 LIMIT 1";
pub(super) const EDGES: &str = "SELECT kind, digest FROM manifest_refs WHERE manifest = ?1";
pub(super) const HEAD: &str = "SELECT digest, subject FROM manifests WHERE id = ?1";

const KIND_BLOB: i64 = 1;
const KIND_MANIFEST: i64 = 2;

pub(super) fn get(
    connection: &Connection,
    repo: &RepoName,
    reference: &Reference,
) -> rusqlite::Result<Option<StoredManifest>> {
    let read = |row: &Row<'_>| {
        Ok(StoredManifest {
            digest: row.get::<_, DigestColumn>(0)?.0,
            media_type: row.get(1)?,
            bytes: Bytes::from(row.get::<_, Vec<u8>>(2)?),
            idle_since: row.get::<_, Option<i64>>(3)?.map(Timestamp),
        })
    };
    match reference {
        Reference::Tag(tag) => {
            connection.prepare_cached(BY_TAG)?.query_row((repo.as_str(), tag.as_str()), read)
        }
        Reference::Digest(digest) => {
            connection.prepare_cached(BY_DIGEST)?.query_row((repo.as_str(), DigestColumn(*digest)), read)
        }
    }
    .optional()
}

/// What the manifest needs and the repository does not have.
pub(super) fn missing(connection: &Connection, manifest: &NewManifest) -> rusqlite::Result<Vec<Digest>> {
    let mut missing = Vec::new();
    if manifest.allow_missing {
        return Ok(missing);
    }
    let repository = repos::id(connection, &manifest.repo)?;
    for digest in &manifest.blobs {
        let there = match repository {
            Some(repository) => blobs::is_linked(connection, repository, digest)?,
            None => false,
        };
        if !there {
            missing.push(*digest);
        }
    }
    for digest in &manifest.manifests {
        let there = match repository {
            Some(repository) => verify::manifest_is_whole(connection, repository, digest)?,
            None => false,
        };
        // A manifest that lists itself is refused like any other that is not there: no digest contains itself.
        if !there {
            missing.push(*digest);
        }
    }
    Ok(missing)
}

pub(super) fn put(batch: &mut Batch<'_>, manifest: &NewManifest) -> rusqlite::Result<PutManifest> {
    let missing = missing(batch.connection, manifest)?;
    if !missing.is_empty() {
        return Ok(PutManifest::Missing(missing));
    }
    if let Some(image) = &manifest.image
        && !images::is_complete(batch.connection, &manifest.repo, image)?
    {
        return Ok(PutManifest::NoImage);
    }
    let now = Timestamp::now().0;
    let repository = repos::id_or_new(batch, &manifest.repo)?;
    let existing = existing(batch.connection, repository, &manifest.digest)?;
    let number = existing.as_ref().map(|(id, _)| *id);
    // A tag that is held points to something, so the repository is not new.
    if let Some(locked) =
        tags::held_elsewhere(batch.connection, repository, &manifest.tags, number, &manifest.locks)?
    {
        return Ok(PutManifest::Locked(locked));
    }
    let id = match existing {
        Some((id, media_type)) => {
            verify::heal_manifest(batch, id, manifest)?;
            // The same bytes may be pushed under another media type: the last one counts, for its tags too.
            if media_type != manifest.media_type {
                batch
                    .connection
                    .prepare_cached("UPDATE manifests SET media_type = ?2, artifact_type = ?3 WHERE id = ?1")?
                    .execute((id, &manifest.media_type, &manifest.artifact_type))?;
                put_edges(batch, id, repository, manifest)?;
                batch.touch(Key::Manifest(manifest.repo.clone(), manifest.digest));
                tags::touch_all(batch, &manifest.repo, id)?;
                referrers::touch_list_with(batch, &manifest.repo, id)?;
            }
            id
        }
        None => {
            let id = insert(batch, repository, manifest, now)?;
            failure::hit(Point::ManifestRow)?;
            put_edges(batch, id, repository, manifest)?;
            failure::hit(Point::ManifestEdges)?;
            batch.touch(Key::Manifest(manifest.repo.clone(), manifest.digest));
            referrers::touch_list_with(batch, &manifest.repo, id)?;
            id
        }
    };
    if let Some(subject) = &manifest.subject {
        // Whoever pushes a referrer may be about to push its subject again.
        sweep::renew_subject(batch, repository, subject)?;
    }
    let by_v1 = manifest.image.as_ref().map(|image| (image, manifest.agent.as_str()));
    for tag in &manifest.tags {
        tags::set(batch, &manifest.repo, repository, tag, id, by_v1, now)?;
    }
    if let Some(image) = &manifest.image {
        images::add_view(batch, &manifest.repo, repository, id, image)?;
    }
    date(batch, &manifest.repo, repository, id)?;
    Ok(PutManifest::Stored)
}

/// Dates a manifest anew: now when neither a tag nor an index names it and it refers to nothing, else not at all.
pub(super) fn date(batch: &mut Batch<'_>, repo: &RepoName, repository: i64, id: i64) -> rusqlite::Result<()> {
    let connection = batch.connection;
    let (digest, subject): (DigestColumn, Option<DigestColumn>) =
        connection.prepare_cached(HEAD)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let idle =
        subject.is_none() && !is_tagged(connection, id)? && !is_listed(connection, repository, &digest.0)?;
    let changed = if idle {
        connection
            .prepare_cached(
                "INSERT INTO idle_manifests (manifest, since) VALUES (?1, ?2)
                 ON CONFLICT (manifest) DO UPDATE SET since = excluded.since",
            )?
            .execute((id, batch.now.0))?
    } else {
        connection.prepare_cached("DELETE FROM idle_manifests WHERE manifest = ?1")?.execute([id])?
    };
    if changed > 0 {
        batch.touch(Key::Manifest(repo.clone(), digest.0));
    }
    Ok(())
}

/// Whether a manifest or an image of the repository names this blob.
pub(super) fn names_blob(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached(NAMES)?.exists((repository, DigestColumn(*digest), KIND_BLOB))?
        || images::names_layer(connection, repository, digest)?)
}

/// Whether an index of the repository lists this manifest.
pub(super) fn is_listed(connection: &Connection, repository: i64, digest: &Digest) -> rusqlite::Result<bool> {
    connection.prepare_cached(NAMES)?.exists((repository, DigestColumn(*digest), KIND_MANIFEST))
}

pub(super) fn is_tagged(connection: &Connection, id: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached(IS_TAGGED)?.exists([id])
}

pub(super) fn idle_since(connection: &Connection, id: i64) -> rusqlite::Result<Option<i64>> {
    connection.prepare_cached(sweep::IDLE_DATE)?.query_row([id], |row| row.get(0)).optional()
}

/// A manifest's number.
pub(super) fn id(connection: &Connection, repository: i64, digest: &Digest) -> rusqlite::Result<Option<i64>> {
    Ok(existing(connection, repository, digest)?.map(|(id, _)| id))
}

fn insert(batch: &Batch<'_>, repository: i64, manifest: &NewManifest, now: i64) -> rusqlite::Result<i64> {
    let annotations = match manifest.subject {
        Some(_) if !manifest.annotations.is_empty() => Some(
            serde_json::to_string(&manifest.annotations)
                .map_err(|e| Error::ToSqlConversionFailure(Box::new(e)))?,
        ),
        _ => None,
    };
    batch
        .connection
        .prepare_cached(
            "INSERT INTO manifests
                (repository, digest, size, created, media_type, artifact_type, subject, annotations, content, verified_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        )?
        .query_row(
            (
                repository,
                DigestColumn(manifest.digest),
                integer(manifest.bytes.len()),
                now,
                &manifest.media_type,
                &manifest.artifact_type,
                manifest.subject.map(DigestColumn),
                annotations,
                manifest.bytes.as_ref(),
                batch.now.0,
            ),
            |row| row.get(0),
        )
}

/// Writes what the manifest names, which has no date from then on.
fn put_edges(
    batch: &mut Batch<'_>,
    id: i64,
    repository: i64,
    manifest: &NewManifest,
) -> rusqlite::Result<()> {
    let edges = manifest.blobs.iter().map(|digest| (KIND_BLOB, digest));
    for (kind, digest) in edges.chain(manifest.manifests.iter().map(|digest| (KIND_MANIFEST, digest))) {
        batch
            .connection
            .prepare_cached(
                "INSERT INTO manifest_refs (repository, digest, kind, manifest) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute((repository, DigestColumn(*digest), kind, id))?;
        date_named(batch, &manifest.repo, repository, kind, digest)?;
    }
    Ok(())
}

/// Dates what an edge leads to, after the edge was written or removed.
fn date_named(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    kind: i64,
    digest: &Digest,
) -> rusqlite::Result<()> {
    if kind == KIND_BLOB {
        return blobs::date_link(batch, repo, repository, digest);
    }
    match id(batch.connection, repository, digest)? {
        Some(child) => date(batch, repo, repository, child),
        None => Ok(()),
    }
}

pub(super) fn delete(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    digest: &Digest,
    locks: &TagLocks,
) -> rusqlite::Result<Deleted> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(Deleted::Unknown) };
    let Some((id, _)) = existing(batch.connection, repository, digest)? else { return Ok(Deleted::Unknown) };
    let held = match tags::held_on(batch.connection, id, locks)? {
        None => tags::held_above(batch.connection, repository, digest, locks)?,
        held => held,
    };
    if let Some(locked) = held {
        return Ok(Deleted::Locked(locked));
    }
    tags::touch_all(batch, repo, id)?;
    referrers::touch_list_with(batch, repo, id)?;
    let edges: Vec<(i64, DigestColumn)> = batch
        .connection
        .prepare_cached(EDGES)?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    batch.connection.prepare_cached("DELETE FROM tags WHERE manifest = ?1")?.execute([id])?;
    failure::hit(Point::ManifestUntagged)?;
    let tops = images::remove_views(batch.connection, id)?;
    for sql in [
        "DELETE FROM manifest_refs WHERE manifest = ?1",
        "DELETE FROM idle_manifests WHERE manifest = ?1",
        "DELETE FROM manifests WHERE id = ?1",
    ] {
        batch.connection.prepare_cached(sql)?.execute([id])?;
    }
    failure::hit(Point::ManifestDeleted)?;
    batch.touch(Key::Manifest(repo.clone(), *digest));
    for (kind, named) in edges {
        date_named(batch, repo, repository, kind, &named.0)?;
    }
    for top in tops {
        images::settle(batch, repo, repository, &top, batch.now)?;
    }
    if batch.connection.prepare_cached(REFERS)?.exists((repository, DigestColumn(*digest)))? {
        sweep::note_subject(batch, repository, digest)?;
    }
    Ok(Deleted::Done)
}

/// A manifest's number and media type.
fn existing(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<Option<(i64, String)>> {
    connection
        .prepare_cached(EXISTING)?
        .query_row((repository, DigestColumn(*digest)), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
}
