//! Checks: what is due, what is damaged, what is whole again.
//!
//! The state of a row changes only through the writer, like everything that a cache may hold. Bytes in rows are hashed when
//! they are read into a cache, so that a flipped bit in the database never leaves it.

pub(super) mod walk;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, OptionalExtension, Row as SqlRow};

use self::walk::Abandoned;
use super::cache::{Key, KeyRef};
use super::value::{DigestColumn, integer, name, unsigned};
use super::writer::Batch;
use super::{SqliteMeta, blobs, referrers, repos, tags};
use crate::clock::Timestamp;
use crate::error::{Result, StorageError};
use crate::meta::storages::StorageId;
use crate::meta::verify::{
    BlobRow, BlobState, COUNTED, Damaged, DanglingEdge, ManifestRow, Row, VerifyRows, Walk,
};
use crate::meta::{BlobContent, MetaStore as _, NewBlob, NewManifest, StoredBlob, StoredManifest};

pub(super) const BLOB_STATE: &str =
    "SELECT size, location, damaged_at FROM blobs WHERE digest = ?1 AND storage = ?2";
pub(super) const HOLDERS: &str = "SELECT r.name
     FROM blobs b CROSS JOIN repository_blobs l CROSS JOIN repositories r
     WHERE b.digest = ?1 AND b.storage = ?2 AND l.blob = b.id AND r.id = l.repository LIMIT ?3";
/// Damaged, and made right by a push into one storage (the second parameter; 0: into the row, which is right everywhere).
pub(super) const HEALED: &str = "SELECT id, storage FROM blobs
     WHERE digest = ?1 AND damaged_at IS NOT NULL AND storage <> ?2 AND (storage = 0 OR ?2 = 0)";
pub(super) const MANIFEST_WHOLE: &str =
    "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?2 AND damaged_at IS NULL";
pub(super) const DAMAGED_BLOBS: &str = "SELECT 1 FROM blobs WHERE damaged_at > 0 LIMIT ?1";
pub(super) const DAMAGED_MANIFESTS: &str = "SELECT 1 FROM manifests WHERE damaged_at > 0 LIMIT ?1";

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
                let state = self.blob_state(StorageId::ROWS, &digest).await?;
                let whole = state.is_some_and(|state| state.damaged_at.is_none());
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
        BlobContent::Stored { location, .. } => (location.as_deref(), None),
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

/// Whoever links a damaged row of the same digest gets the one that is right by now.
pub(super) fn heal_others(
    batch: &mut Batch<'_>,
    digest: &Digest,
    right: i64,
    storage: StorageId,
) -> rusqlite::Result<()> {
    let damaged: Vec<(i64, i64)> = batch
        .connection
        .prepare_cached(HEALED)?
        .query_map((DigestColumn(*digest), storage.0), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    for (id, storage) in damaged {
        touch_holders(batch, StorageId(storage), digest)?;
        batch
            .connection
            .prepare_cached("UPDATE repository_blobs SET blob = ?2 WHERE blob = ?1")?
            .execute((id, right))?;
        blobs::free_unheld(batch.connection, id)?;
    }
    Ok(())
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
        referrers::touch_list_with(batch, &manifest.repo, id)?;
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
fn touch_holders(batch: &mut Batch<'_>, storage: StorageId, digest: &Digest) -> rusqlite::Result<()> {
    for repo in holders(batch.connection, storage, digest, usize::MAX)? {
        batch.touch(Key::Blob(repo, *digest));
    }
    Ok(())
}

fn holders(
    connection: &Connection,
    storage: StorageId,
    digest: &Digest,
    limit: usize,
) -> rusqlite::Result<Vec<RepoName>> {
    connection
        .prepare_cached(HOLDERS)?
        .query_map((DigestColumn(*digest), storage.0, integer(limit)), |row| name(row, 0))?
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
    referrers::touch_list_with(batch, repo, id)?;
    Ok(changed > 0)
}

fn note_verified(
    batch: &mut Batch<'_>,
    blobs: &[(StorageId, Digest)],
    manifests: &[i64],
) -> rusqlite::Result<()> {
    let now = batch.now.0;
    // No cache is told: a blob may have very many holders, and nobody is answered wrongly by a record that knows of an older
    // check only.
    for (storage, digest) in blobs {
        batch
            .connection
            .prepare_cached(
                "UPDATE blobs SET verified_at = ?2 WHERE digest = ?1 AND storage = ?3 AND damaged_at IS NULL",
            )?
            .execute((DigestColumn(*digest), now, storage.0))?;
    }
    for id in manifests {
        batch
            .connection
            .prepare_cached("UPDATE manifests SET verified_at = ?2 WHERE id = ?1 AND damaged_at IS NULL")?
            .execute((id, now))?;
    }
    Ok(())
}

fn state(row: &SqlRow<'_>) -> rusqlite::Result<BlobState> {
    Ok(BlobState {
        size: unsigned(row, 0)?,
        location: row.get(1)?,
        damaged_at: row.get::<_, Option<i64>>(2)?.map(Timestamp),
    })
}

#[async_trait]
impl VerifyRows for SqliteMeta {
    async fn blobs_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<BlobRow>>> {
        self.readers.read("checking blobs", move |c| walk::blobs(c, walk, limit)).await
    }

    async fn manifests_to_verify(&self, walk: Walk, limit: usize) -> Result<Vec<Row<ManifestRow>>> {
        self.readers.read("checking manifests", move |c| walk::manifests(c, walk, limit)).await
    }

    async fn reread_blob(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Arc<StoredBlob>>> {
        self.shared.cache.forget(KeyRef::Blob(repo.as_str(), digest));
        self.blob(repo, digest).await
    }

    async fn blob_state(&self, storage: StorageId, digest: &Digest) -> Result<Option<BlobState>> {
        let digest = DigestColumn(*digest);
        self.readers
            .read("reading a blob's row", move |c| {
                c.prepare_cached(BLOB_STATE)?.query_row((digest, storage.0), state).optional()
            })
            .await
    }

    async fn hide_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer
            .run("marking a blob as damaged", None, move |batch| {
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE blobs SET damaged_at = ?2
                         WHERE digest = ?1 AND storage = ?3 AND damaged_at IS NULL AND content IS NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0, storage.0))?;
                touch_holders(batch, storage, &digest)?;
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
                    .prepare_cached("SELECT content FROM blobs WHERE digest = ?1 AND storage = 0")?
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
                        "UPDATE blobs SET damaged_at = ?2 WHERE digest = ?1 AND storage = 0 AND damaged_at IS NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0))?;
                touch_holders(batch, StorageId::ROWS, &digest)?;
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

    async fn show_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.writer
            .run("marking a blob as whole", None, move |batch| {
                let changed = batch
                    .connection
                    .prepare_cached(
                        "UPDATE blobs SET damaged_at = NULL, verified_at = ?2
                         WHERE digest = ?1 AND storage = ?3 AND damaged_at IS NOT NULL",
                    )?
                    .execute((DigestColumn(digest), batch.now.0, storage.0))?;
                touch_holders(batch, storage, &digest)?;
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

    async fn note_verified(&self, blobs: Vec<(StorageId, Digest)>, manifests: Vec<i64>) -> Result<()> {
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
                let count = |sql| {
                    let mut found = c.prepare_cached(sql)?;
                    let rows = found.query_map([integer(COUNTED)], |_| Ok(()))?;
                    rows.into_iter().try_fold(0, |count, row| row.map(|()| count + 1))
                };
                let (blobs, manifests) = (count(DAMAGED_BLOBS)?, count(DAMAGED_MANIFESTS)?);
                Ok(Damaged { blobs, manifests })
            })
            .await
    }

    async fn stored_blobs(&self, storage: StorageId, digests: Vec<Digest>) -> Result<Vec<bool>> {
        self.readers
            .read("looking for blobs", move |c| {
                let mut one = c.prepare_cached(blobs::ID)?;
                digests.into_iter().map(|digest| one.exists((DigestColumn(digest), storage.0))).collect()
            })
            .await
    }

    async fn blob_holders(&self, storage: StorageId, digest: &Digest, limit: usize) -> Result<Vec<RepoName>> {
        let digest = *digest;
        self.readers.read("looking for a blob's holders", move |c| holders(c, storage, &digest, limit)).await
    }

    async fn dangling_edges(&self, first: i64, last: i64, limit: usize) -> Result<Vec<DanglingEdge>> {
        self.readers
            .read("checking what manifests name", move |c| walk::dangling(c, first, last, limit))
            .await
    }

    async fn check_structure(&self, limit: usize) -> Result<Vec<String>> {
        let abandoned = Abandoned::default();
        let flag = abandoned.flag();
        self.readers.read("checking the database", move |c| walk::structure(c, limit, flag)).await
    }
}
