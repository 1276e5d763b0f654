//! Checks: what is due, what is damaged, what is whole again.
//!
//! The state of a row changes only through the writer, like everything that a cache may hold. Bytes in rows are hashed when
//! they are read into a cache, so that a flipped bit in the database never leaves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};

use super::cache::{Key, KeyRef};
use super::value::{DigestColumn, integer, parsed, unsigned};
use super::writer::Batch;
use super::{SqliteMeta, repos, tags};
use crate::clock::Timestamp;
use crate::error::{Result, StorageError};
use crate::meta::verify::{
    BlobRow, BlobState, COUNTED, Damaged, DanglingEdge, ManifestRow, Row, RowBytes, VerifyRows, Walk,
};
use crate::meta::{BlobContent, MetaStore as _, NewBlob, NewManifest, StoredBlob, StoredManifest};

pub(super) const BLOBS_ALL: &str = "SELECT id, verified_at, digest, size, location, damaged_at, content
     FROM blobs WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const BLOBS_DUE: &str = "SELECT id, verified_at, digest, size, location, damaged_at, content
     FROM blobs WHERE damaged_at IS NULL AND verified_at < ?1 AND (verified_at, id) > (?2, ?3)
     ORDER BY verified_at, id LIMIT ?4";
pub(super) const BLOB_STATE: &str =
    "SELECT size, location, content IS NOT NULL, damaged_at FROM blobs WHERE digest = ?1";
pub(super) const HOLDERS: &str = "SELECT r.name
     FROM blobs b CROSS JOIN repository_blobs l CROSS JOIN repositories r
     WHERE b.digest = ?1 AND l.blob = b.id AND r.id = l.repository LIMIT ?2";
pub(super) const MANIFESTS_ALL: &str =
    "SELECT m.id, m.verified_at, r.name, m.digest, m.size, m.damaged_at, m.content
     FROM manifests m LEFT JOIN repositories r ON r.id = m.repository WHERE m.id > ?1 ORDER BY m.id LIMIT ?2";
pub(super) const MANIFESTS_DUE: &str =
    "SELECT m.id, m.verified_at, r.name, m.digest, m.size, m.damaged_at, m.content
     FROM manifests m LEFT JOIN repositories r ON r.id = m.repository
     WHERE m.damaged_at IS NULL AND m.verified_at < ?1 AND (m.verified_at, m.id) > (?2, ?3)
     ORDER BY m.verified_at, m.id LIMIT ?4";
pub(super) const MANIFEST_WHOLE: &str =
    "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2 AND damaged_at IS NULL";
pub(super) const DAMAGED_BLOBS: &str =
    "SELECT count(*) FROM (SELECT 1 FROM blobs WHERE damaged_at > 0 LIMIT ?1)";
pub(super) const DAMAGED_MANIFESTS: &str =
    "SELECT count(*) FROM (SELECT 1 FROM manifests WHERE damaged_at > 0 LIMIT ?1)";

const DANGLING: &str = "SELECT r.name, m.digest, e.kind, e.digest
     FROM manifest_refs e CROSS JOIN manifests m CROSS JOIN repositories r
     WHERE e.manifest BETWEEN ?1 AND ?2 AND m.id = e.manifest AND r.id = m.repository
       AND CASE e.kind
           WHEN 1 THEN NOT EXISTS (SELECT 1 FROM blobs b CROSS JOIN repository_blobs l
                                   WHERE b.digest = e.digest AND l.repository = m.repository AND l.blob = b.id)
           ELSE NOT EXISTS (SELECT 1 FROM manifests c WHERE c.repository = m.repository AND c.digest = e.digest)
           END
     LIMIT ?3";

const KIND_MANIFEST: i64 = 2;

const READING: &str = "reading a row";

/// What was read for a cache, hashed.
pub(super) enum Read<T> {
    Whole(T),
    Damaged(Digest),
}

/// Hashes a manifest that was read.
pub(super) fn manifest_read(manifest: StoredManifest) -> Read<StoredManifest> {
    if is_whole(&manifest.digest, &manifest.bytes) {
        Read::Whole(manifest)
    } else {
        Read::Damaged(manifest.digest)
    }
}

/// Hashes a blob that was read, if its bytes are in the row.
pub(super) fn blob_read(blob: StoredBlob) -> Read<StoredBlob> {
    match &blob.content {
        BlobContent::Inline(bytes) if !is_whole(&blob.digest, bytes) => Read::Damaged(blob.digest),
        _ => Read::Whole(blob),
    }
}

fn is_whole(digest: &Digest, bytes: &[u8]) -> bool {
    Digest::of(digest.algorithm(), bytes) == *digest
}

impl SqliteMeta {
    /// The manifest, unless it is damaged: then nobody sees it from now on.
    pub(super) async fn only_whole_manifest(
        &self,
        repo: &RepoName,
        found: Option<Read<StoredManifest>>,
    ) -> Result<Option<Arc<StoredManifest>>> {
        match found {
            None => Ok(None),
            Some(Read::Whole(manifest)) => Ok(Some(Arc::new(manifest))),
            Some(Read::Damaged(digest)) => {
                if self.hide_manifest(repo, &digest).await? {
                    self.met_damage("manifest", &digest);
                    return Ok(None);
                }
                let repo = repo.clone();
                let whole = self.readers.read(READING, move |c| {
                    repos::id(c, &repo)?
                        .map_or(Ok(false), |repository| manifest_is_whole(c, repository, &digest))
                });
                changed(whole.await?, &digest).map(|()| None)
            }
        }
    }

    /// The blob, unless its row is damaged: then nobody sees it from now on.
    pub(super) async fn only_whole_blob(
        &self,
        found: Option<Read<StoredBlob>>,
    ) -> Result<Option<Arc<StoredBlob>>> {
        match found {
            None => Ok(None),
            Some(Read::Whole(blob)) => Ok(Some(Arc::new(blob))),
            Some(Read::Damaged(digest)) => {
                if self.hide_inline_blob(&digest).await? {
                    self.met_damage("blob", &digest);
                    return Ok(None);
                }
                let whole = self.blob_state(&digest).await?.is_some_and(|state| state.damaged_at.is_none());
                changed(whole, &digest).map(|()| None)
            }
        }
    }

    fn met_damage(&self, what: &str, digest: &Digest) {
        self.damage_met.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            %digest,
            "the bytes of {what} {digest} in the database are damaged: it is not found from now on, and a new push heals it"
        );
    }
}

/// What was found damaged and is not hidden by us: by somebody else, or it was stored anew and is to be read again.
fn changed(whole: bool, digest: &Digest) -> Result<()> {
    if !whole {
        return Ok(());
    }
    let message = format!("{digest} was stored anew while it was read");
    Err(StorageError::Unavailable { during: READING, message })
}

/// A push of a blob that has a row: what was damaged is whole, and bytes in the row are written again when they are not the
/// same. Bytes in the blob store were published anew just now.
pub(super) fn heal_blob(batch: &Batch<'_>, id: i64, blob: &NewBlob) -> rusqlite::Result<()> {
    let (location, content) = match &blob.content {
        BlobContent::Inline(bytes) => (None, Some(bytes.as_ref())),
        BlobContent::Stored { location } => (location.as_deref(), None),
    };
    batch
        .connection
        .prepare_cached(
            "UPDATE blobs SET size = ?2, location = ?3, content = ?4, damaged_at = NULL, verified_at = ?5
             WHERE id = ?1 AND (damaged_at IS NOT NULL OR (content IS NOT NULL AND ?4 IS NOT NULL AND content <> ?4))",
        )?
        .execute((id, integer(blob.size), location, content, batch.now.0))
        .map(drop)
}

/// A push of a manifest that has a row: its bytes are written again when they are not the same, and it is whole.
pub(super) fn heal_manifest(batch: &mut Batch<'_>, id: i64, manifest: &NewManifest) -> rusqlite::Result<()> {
    let healed = batch
        .connection
        .prepare_cached(
            "UPDATE manifests SET size = ?2, content = ?3, damaged_at = NULL, verified_at = ?4
             WHERE id = ?1 AND (damaged_at IS NOT NULL OR content <> ?3)",
        )?
        .execute((id, integer(manifest.bytes.len()), manifest.bytes.as_ref(), batch.now.0))?;
    if healed > 0 {
        batch.touch(Key::Manifest(manifest.repo.clone(), manifest.digest));
        tags::touch_all(batch, &manifest.repo, id)?;
    }
    Ok(())
}

/// Whether the repository has this manifest, undamaged.
pub(super) fn manifest_is_whole(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    connection.prepare_cached(MANIFEST_WHOLE)?.exists((repository, DigestColumn(*digest)))
}

/// Notes that a blob answers differently from now on, wherever it is linked.
fn touch_holders(batch: &mut Batch<'_>, digest: &Digest) -> rusqlite::Result<()> {
    for repo in holders(batch.connection, digest, usize::MAX)? {
        batch.touch(Key::Blob(repo, *digest));
    }
    Ok(())
}

fn holders(connection: &Connection, digest: &Digest, limit: usize) -> rusqlite::Result<Vec<RepoName>> {
    connection
        .prepare_cached(HOLDERS)?
        .query_map((DigestColumn(*digest), integer(limit)), |row| parsed(row, 0))?
        .collect()
}

/// Sets or clears a manifest's mark, if its bytes are wrong or right.
fn mark_manifest(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    digest: &Digest,
    damaged: bool,
) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let found: Option<(i64, bool)> = batch
        .connection
        .prepare_cached("SELECT id, content FROM manifests WHERE repository = ?1 AND digest = ?2")?
        .query_row((repository, DigestColumn(*digest)), |row| {
            Ok((row.get(0)?, is_whole(digest, row.get_ref(1)?.as_blob()?)))
        })
        .optional()?;
    let Some((id, whole)) = found else { return Ok(false) };
    if whole == damaged {
        return Ok(false);
    }
    let changed = batch
        .connection
        .prepare_cached(
            "UPDATE manifests SET damaged_at = ?2, verified_at = ?3 WHERE id = ?1 AND (damaged_at IS NULL) = (?2 IS NOT NULL)",
        )?
        .execute((id, damaged.then_some(batch.now.0), batch.now.0))?;
    batch.touch(Key::Manifest(repo.clone(), *digest));
    tags::touch_all(batch, repo, id)?;
    Ok(changed > 0)
}

fn note_verified(batch: &mut Batch<'_>, blobs: &[Digest], manifests: &[i64]) -> rusqlite::Result<()> {
    let now = batch.now.0;
    // No cache is told: a blob may have very many holders, and nobody is answered wrongly by a record that knows of an older
    // check only.
    for digest in blobs {
        batch
            .connection
            .prepare_cached("UPDATE blobs SET verified_at = ?2 WHERE digest = ?1 AND damaged_at IS NULL")?
            .execute((DigestColumn(*digest), now))?;
    }
    for id in manifests {
        batch
            .connection
            .prepare_cached("UPDATE manifests SET verified_at = ?2 WHERE id = ?1 AND damaged_at IS NULL")?
            .execute((id, now))?;
    }
    Ok(())
}

/// Reads one page of a walk; a row that cannot be understood is told, and does not hide its neighbours.
fn page<T>(
    connection: &Connection,
    sql: [&str; 2],
    walk: Walk,
    limit: usize,
    read: impl Fn(&SqlRow<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<Row<T>>> {
    let one = |row: &SqlRow<'_>| {
        Ok(Row {
            id: row.get(0)?,
            verified_at: Timestamp(row.get(1)?),
            content: read(row).map_err(|error| error.to_string()),
        })
    };
    let [all, due] = sql;
    match walk {
        Walk::All { after } => {
            connection.prepare_cached(all)?.query_map((after, integer(limit)), one)?.collect()
        }
        Walk::Due { before, after: (verified_at, id) } => connection
            .prepare_cached(due)?
            .query_map((before.0, verified_at.0, id, integer(limit)), one)?
            .collect(),
    }
}

fn blob_row(row: &SqlRow<'_>) -> rusqlite::Result<BlobRow> {
    let digest = row.get::<_, DigestColumn>(2)?.0;
    let size = unsigned(row, 3)?;
    let bytes = match row.get_ref(6)? {
        ValueRef::Null => RowBytes::Stored { location: row.get(4)? },
        content => {
            let content = content.as_blob()?;
            RowBytes::Inline { whole: content.len() as u64 == size && is_whole(&digest, content) }
        }
    };
    Ok(BlobRow { digest, size, damaged_at: row.get::<_, Option<i64>>(5)?.map(Timestamp), bytes })
}

fn manifest_row(row: &SqlRow<'_>) -> rusqlite::Result<ManifestRow> {
    let digest = row.get::<_, DigestColumn>(3)?.0;
    let content = row.get_ref(6)?.as_blob()?;
    Ok(ManifestRow {
        repo: parsed(row, 2)?,
        digest,
        size: unsigned(row, 4)?,
        damaged_at: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        whole: is_whole(&digest, content),
    })
}

fn state(row: &SqlRow<'_>) -> rusqlite::Result<BlobState> {
    Ok(BlobState {
        size: unsigned(row, 0)?,
        location: row.get(1)?,
        inline: row.get(2)?,
        damaged_at: row.get::<_, Option<i64>>(3)?.map(Timestamp),
    })
}

/// Steps of SQLite's between two looks at whether anybody still waits.
const OPERATIONS: i32 = 10_000;

/// Says so once the asker has gone, so that a check of a large database does not hold up the end of the program.
#[derive(Default)]
struct Abandoned(Arc<AtomicBool>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn check_structure(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<String>> {
    let mut lines: Vec<String> = connection
        .prepare(&format!("PRAGMA integrity_check({limit})"))?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    lines.retain(|line| line != "ok");
    if !lines.is_empty() {
        // What rows of damaged pages say is of no interest.
        return Ok(lines);
    }
    let mut broken = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = broken.query([])?;
    while let Some(row) = rows.next()? {
        if lines.len() >= limit {
            break;
        }
        let (table, id, parent): (String, Option<i64>, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let id = id.map_or_else(String::new, |id| format!(" {id}"));
        lines.push(format!("row{id} of {table} names a row of {parent} that is not there"));
    }
    Ok(lines)
}

#[async_trait]
impl VerifyRows for SqliteMeta {
    async fn blobs_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<BlobRow>>> {
        self.readers
            .read("checking blobs", move |c| page(c, [BLOBS_ALL, BLOBS_DUE], walk, limit, blob_row))
            .await
    }

    async fn manifests_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<ManifestRow>>> {
        self.readers
            .read("checking manifests", move |c| {
                page(c, [MANIFESTS_ALL, MANIFESTS_DUE], walk, limit, manifest_row)
            })
            .await
    }

    async fn reread_blob(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Arc<StoredBlob>>> {
        self.shared.cache.forget(KeyRef::Blob(repo.as_str(), digest));
        self.blob(repo, digest).await
    }

    async fn blob_state(&self, digest: &Digest) -> Result<Option<BlobState>> {
        let digest = DigestColumn(*digest);
        self.readers
            .read("reading a blob's row", move |c| {
                c.prepare_cached(BLOB_STATE)?.query_row([digest], state).optional()
            })
            .await
    }

    async fn hide_blob(&self, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer
            .run("marking a blob as damaged", None, move |batch| {
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE blobs SET damaged_at = ?2 WHERE digest = ?1 AND damaged_at IS NULL AND content IS NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0))?;
                touch_holders(batch, &digest)?;
                Ok(changed > 0)
            })
            .await
    }

    async fn hide_inline_blob(&self, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer
            .run("marking a blob as damaged", None, move |batch| {
                let whole: Option<bool> = batch
                    .connection
                    .prepare_cached("SELECT content FROM blobs WHERE digest = ?1 AND content IS NOT NULL")?
                    .query_row([DigestColumn(digest)], |row| {
                        Ok(is_whole(&digest, row.get_ref(0)?.as_blob()?))
                    })
                    .optional()?;
                if whole != Some(false) {
                    return Ok(false);
                }
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE blobs SET damaged_at = ?2 WHERE digest = ?1 AND damaged_at IS NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0))?;
                touch_holders(batch, &digest)?;
                Ok(changed > 0)
            })
            .await
    }

    async fn hide_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), *digest);
        self.writer
            .run("marking a manifest as damaged", None, move |batch| {
                mark_manifest(batch, &repo, &digest, true)
            })
            .await
    }

    async fn show_blob(&self, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer
            .run("marking a blob as whole", None, move |batch| {
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE blobs SET damaged_at = NULL, verified_at = ?2
                         WHERE digest = ?1 AND damaged_at IS NOT NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0))?;
                touch_holders(batch, &digest)?;
                Ok(changed > 0)
            })
            .await
    }

    async fn show_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), *digest);
        self.writer
            .run("marking a manifest as whole", None, move |batch| {
                mark_manifest(batch, &repo, &digest, false)
            })
            .await
    }

    async fn note_verified(&self, blobs: Vec<Digest>, manifests: Vec<i64>) -> Result<()> {
        if blobs.is_empty() && manifests.is_empty() {
            return Ok(());
        }
        self.writer
            .run("noting what was checked", None, move |batch| note_verified(batch, &blobs, &manifests))
            .await
    }

    async fn damaged(&self) -> Result<Damaged> {
        self.readers
            .read("counting what is damaged", |c| {
                let blobs =
                    c.prepare_cached(DAMAGED_BLOBS)?.query_row([integer(COUNTED)], |row| unsigned(row, 0))?;
                let manifests = c
                    .prepare_cached(DAMAGED_MANIFESTS)?
                    .query_row([integer(COUNTED)], |row| unsigned(row, 0))?;
                Ok(Damaged { blobs, manifests })
            })
            .await
    }

    async fn stored_blobs(&self, digests: Vec<Digest>) -> Result<Vec<bool>> {
        self.readers
            .read("looking for blobs", move |c| {
                let mut one =
                    c.prepare_cached("SELECT 1 FROM blobs WHERE digest = ?1 AND content IS NULL")?;
                digests.into_iter().map(|digest| one.exists([DigestColumn(digest)])).collect()
            })
            .await
    }

    async fn blob_holders(&self, digest: &Digest, limit: usize) -> Result<Vec<RepoName>> {
        let digest = *digest;
        self.readers.read("looking for a blob's holders", move |c| holders(c, &digest, limit)).await
    }

    async fn dangling_edges(&self, first: i64, last: i64, limit: usize) -> Result<Vec<DanglingEdge>> {
        self.readers
            .read("checking what manifests name", move |c| {
                c.prepare_cached(DANGLING)?
                    .query_map((first, last, integer(limit)), |row| {
                        Ok(DanglingEdge {
                            repo: parsed(row, 0)?,
                            manifest: row.get::<_, DigestColumn>(1)?.0,
                            is_manifest: row.get::<_, i64>(2)? == KIND_MANIFEST,
                            target: row.get::<_, DigestColumn>(3)?.0,
                        })
                    })?
                    .collect()
            })
            .await
    }

    async fn check_structure(&self, limit: usize) -> Result<Vec<String>> {
        let abandoned = Abandoned::default();
        let asked = Arc::clone(&abandoned.0);
        self.readers
            .read("checking the database", move |c| {
                c.progress_handler(OPERATIONS, Some(move || asked.load(Ordering::Relaxed)))?;
                let outcome = check_structure(c, limit);
                c.progress_handler(0, None::<fn() -> bool>)?;
                outcome
            })
            .await
    }
}
