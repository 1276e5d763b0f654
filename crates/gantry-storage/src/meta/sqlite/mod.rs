//! The embedded engine: one SQLite file in WAL mode.
//!
//! One thread writes and groups commits (`writer`), a few connections read (`readers`), exact caches answer what is asked all
//! the time (`cache`), and upload rows wait a moment for company (`lazy`). The other modules hold the statements, one
//! module for each kind of row.
//!
//! Not here: waiting for other processes. One process owns the data directory; a person's `sqlite3` shell may read, and may
//! hold the writer up for a moment.

mod access;
mod blobs;
mod cache;
mod failure;
mod images;
mod jobs;
mod lazy;
mod manifests;
mod operation;
mod readers;
mod referrers;
mod repos;
mod schema;
mod search;
mod session_log;
mod storages;
mod sweep;
mod tags;
mod uploads;
mod value;
mod verify;
mod writer;

#[cfg(test)]
mod stress;

use std::collections::HashSet;
use std::fs::{File, OpenOptions, Permissions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gantry_oci::{Digest, Reference, RepoName, Tag, UploadId};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use self::cache::{ExactCache, Key, KeyRef, Value};
use self::lazy::LazyUploads;
use self::readers::Readers;
use self::session_log::SessionLog;
use self::writer::{Shared, Writer};
use super::access::TagLocks;
use super::storages::StorageId;
use super::{
    Candidate, CandidateKind, Cursor, Deleted, DeletedSubject, FreedBlob, MetaStats, MetaStore, NewBlob,
    NewManifest, PutManifest, ReferrersPage, StoredBlob, StoredManifest, Sweep, Swept, UploadRow,
};
use crate::clock::{StoreClock, Timestamp};
use crate::error::{Result, StorageError};
use crate::health::Health;

/// How long a statement waits for another process's lock. Twice this is what a request waits at the worst: the group
/// before its own, and its own.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Prepared statements kept by each connection: more than there are.
const STATEMENTS: usize = 256;

/// Negative: KiB of pages that a connection keeps.
const READER_CACHE_KIB: i64 = -1024;
const WRITER_CACHE_KIB: i64 = -4096;

/// A manifest with more edges than this is checked on a reading connection first, so that a list of invented digests does not hold
/// up the writer.
const MANY_EDGES: usize = 256;

/// The statements on the hot paths; a test looks at their query plans.
#[cfg(test)]
const HOT_SQL: &[&str] = &[
    repos::CATALOG,
    repos::ID,
    tags::PAGE,
    tags::OF_MANIFEST,
    manifests::BY_TAG,
    manifests::BY_DIGEST,
    manifests::EXISTING,
    referrers::PAGE,
    referrers::OF_TYPE,
    referrers::ONE,
    referrers::SUBJECT,
    blobs::LINKED,
    blobs::ONE,
    blobs::WHOLE,
    blobs::HELD,
    blobs::IS_LINKED,
    blobs::HOLDERS,
    blobs::ID,
    blobs::LINKS,
    blobs::PROMISED,
    manifests::NAMES,
    manifests::IS_TAGGED,
    manifests::REFERS,
    manifests::EDGES,
    manifests::HEAD,
    tags::TARGET,
    search::WALK,
    search::LATEST,
    search::DESCRIBED_BY,
    sweep::LINKS,
    sweep::IDLE,
    sweep::SUBJECTS,
    sweep::ORPHANS,
    sweep::LINK_DATE,
    sweep::IDLE_DATE,
    sweep::SUBJECT_DATE,
    sweep::FREED,
    uploads::GET,
    uploads::EXPIRED,
    uploads::UNDER_WAY,
    verify::walk::BLOBS_ALL,
    verify::walk::BLOBS_DUE,
    verify::BLOB_STATE,
    verify::HOLDERS,
    verify::HEALED,
    storages::LINKS,
    storages::REPOSITORIES,
    storages::BLOBS,
    jobs::NEXT,
    jobs::PAGE,
    verify::walk::MANIFESTS_ALL,
    verify::walk::MANIFESTS_DUE,
    verify::MANIFEST_WHOLE,
    verify::DAMAGED_BLOBS,
    verify::DAMAGED_MANIFESTS,
];

/// Why a database file was not opened.
#[derive(Debug)]
pub(crate) enum OpenDatabaseError {
    /// It is something else.
    NotOurs(String),
    /// A later version made it.
    Newer { found: i64, known: i64 },
    /// Its pages contradict each other.
    Corrupt(String),
    /// Anything else.
    Storage(StorageError),
}

impl From<rusqlite::Error> for OpenDatabaseError {
    fn from(error: rusqlite::Error) -> OpenDatabaseError {
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => OpenDatabaseError::NotOurs(String::from("not a SQLite file")),
            Some(ErrorCode::DatabaseCorrupt) => OpenDatabaseError::Corrupt(error.to_string()),
            _ => OpenDatabaseError::Storage(failure::sort("opening the database", &error)),
        }
    }
}

/// Sees to it that a database is for its owner, and perhaps a group, alone: whoever reads the keys in it is whoever they like. The
/// directory may have been made by somebody else, and stand open.
fn private(path: &Path) {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if made.is_err()
        && let Ok(found) = std::fs::metadata(path)
        && found.permissions().mode() & OTHERS != 0
        && let Err(error) =
            std::fs::set_permissions(path, Permissions::from_mode(found.mode() & !OTHERS & MODE))
    {
        tracing::warn!(%error, path = %path.display(), "everybody on this machine may read the database, and the keys in it");
    }
}

/// What others than the owner and the group may do.
const OTHERS: u32 = 0o007;
/// Permissions within a mode.
const MODE: u32 = 0o7777;

/// An open database that has been looked at, and not yet changed.
pub(crate) struct ExaminedDatabase {
    connection: Connection,
    path: PathBuf,
    version: i64,
    store_id: Option<String>,
    marker_written: bool,
}

impl ExaminedDatabase {
    /// Opens the file (made when missing) and finds out what it is. Reads a few pages, however large it is.
    pub(crate) fn open(path: &Path) -> Result<ExaminedDatabase, OpenDatabaseError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        // SQLite gives the files beside it the same permissions.
        private(path);
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let version = schema::version(&connection)?;
        let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let has_tables = connection.prepare("SELECT 1 FROM sqlite_schema LIMIT 1")?.exists([])?;
        if has_tables && application != schema::APPLICATION_ID {
            return Err(OpenDatabaseError::NotOurs(String::from("a SQLite database of another program")));
        }
        if version > schema::newest() {
            return Err(OpenDatabaseError::Newer { found: version, known: schema::newest() });
        }
        let (store_id, marker_written) = if version > 0 {
            (
                schema::setting(&connection, "store_id")?,
                schema::setting(&connection, "marker_written")?.is_some(),
            )
        } else {
            (None, false)
        };
        Ok(ExaminedDatabase { connection, path: path.to_owned(), version, store_id, marker_written })
    }

    /// The store that the database belongs to; `None`: it is new.
    pub(crate) fn store_id(&self) -> Option<&str> {
        self.store_id.as_deref()
    }

    /// Whether the blob root got its marker. False after a crash in the middle of the first start.
    pub(crate) fn marker_written(&self) -> bool {
        self.marker_written
    }

    /// Brings the schema up to date and gives a new database its id, durably.
    pub(crate) fn prepare(&mut self, store_id: &str) -> Result<(), OpenDatabaseError> {
        let connection = &mut self.connection;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        // A log that once grew long gives its room back.
        connection.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
        // What a savepoint may have to undo is kept in memory, not in temporary files.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "cache_size", WRITER_CACHE_KIB)?;
        schema::migrate(connection, self.version)?;
        if self.store_id.is_none() {
            schema::set_setting(connection, "store_id", store_id)?;
            self.store_id = Some(store_id.to_owned());
        }
        Ok(())
    }

    /// Remembers that the blob root has its marker, so that from now on a missing one means a missing disk.
    pub(crate) fn note_marker(&mut self) -> Result<(), OpenDatabaseError> {
        schema::set_setting(&self.connection, "marker_written", "1")?;
        self.marker_written = true;
        Ok(())
    }

    /// Starts the engine. `keep` is held until the last write is done.
    pub(crate) fn start(
        self,
        cache_bytes: u64,
        keep: Option<Arc<File>>,
        health: Health,
    ) -> Result<SqliteMeta, OpenDatabaseError> {
        let open = uploads::count(&self.connection)?;
        let saved = schema::clock(&self.connection)?;
        let clock = StoreClock::resume(saved);
        if saved.is_none() {
            // A migration may have dated things by the wall clock: from now on they go by this one, also after a crash.
            schema::save_clock(&self.connection, clock.now())?;
        }
        let (log, left) = SessionLog::open(&self.path).map_err(|error| {
            OpenDatabaseError::Storage(StorageError::from_io("reading the log of upload sessions", error))
        })?;
        let shared = Arc::new(Shared {
            clock,
            cache: ExactCache::new(cache_bytes),
            lazy: LazyUploads::with_log(log, left),
            soon: access::Soon::default(),
            changes: search::Changes::unknown(),
            access_generation: AtomicU64::new(0),
            health,
            commits: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            group_sizes: Default::default(),
            uploads_open: AtomicI64::new(open),
            break_next_commit: false.into(),
        });
        let writer = Writer::start(self.connection, Arc::clone(&shared), keep, self.path.clone()).map_err(
            |error| OpenDatabaseError::Storage(StorageError::from_io("starting the writer", error)),
        )?;
        let readers = Arc::new(Readers::new(&self.path));
        Ok(SqliteMeta { writer, readers, shared, path: self.path, damage_met: AtomicU64::new(0) })
    }
}

/// [`MetaStore`] on SQLite.
pub struct SqliteMeta {
    writer: Writer,
    readers: Arc<Readers>,
    shared: Arc<Shared>,
    path: PathBuf,
    damage_met: AtomicU64,
}

impl SqliteMeta {
    /// Writes what waits, folds the log into the database file and stops writing. Reads go on.
    pub(crate) async fn close(&self) {
        self.writer.stop().await;
    }

    /// For tests: the next commit fails as if the disk had not kept it.
    #[cfg(any(test, feature = "suite"))]
    pub fn break_next_commit(&self) {
        self.shared.break_next_commit.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl MetaStore for SqliteMeta {
    async fn catalog(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>> {
        let after = after.unwrap_or_default().to_owned();
        self.readers.read("listing repositories", move |c| repos::catalog(c, &after, limit)).await
    }

    async fn repository_exists(&self, repo: &RepoName) -> Result<bool> {
        let repo = repo.clone();
        self.readers.read("looking for a repository", move |c| Ok(repos::id(c, &repo)?.is_some())).await
    }

    async fn tags(&self, repo: &RepoName, after: Option<&str>, limit: usize) -> Result<Option<Vec<String>>> {
        let (repo, after) = (repo.clone(), after.unwrap_or_default().to_owned());
        self.readers.read("listing tags", move |c| tags::page(c, &repo, &after, limit)).await
    }

    async fn manifest(&self, repo: &RepoName, reference: &Reference) -> Result<Option<Arc<StoredManifest>>> {
        let ask = KeyRef::reference(repo, reference);
        if let Some(Value::Manifest(manifest)) = self.shared.cache.get(ask) {
            return Ok(Some(manifest));
        }
        let ticket = self.shared.cache.begin_read(ask);
        let key = Key::reference(repo, reference);
        let (name, reference) = (repo.clone(), reference.clone());
        let found = self
            .readers
            .read("reading a manifest", move |c| {
                Ok(manifests::get(c, &name, &reference)?.map(verify::manifest_read))
            })
            .await?;
        let found = self.only_whole_manifest(repo, found).await?;
        if let (Some(ticket), Some(manifest)) = (ticket, &found) {
            self.shared.cache.end_read(ticket, key, Value::Manifest(Arc::clone(manifest)));
        }
        Ok(found)
    }

    async fn put_manifest(&self, manifest: NewManifest) -> Result<PutManifest> {
        let manifest = Arc::new(manifest);
        if manifest.blobs.len() + manifest.manifests.len() > MANY_EDGES {
            let early = Arc::clone(&manifest);
            let missing =
                self.readers.read("checking a manifest", move |c| manifests::missing(c, &early)).await?;
            if !missing.is_empty() {
                return Ok(PutManifest::Missing(missing));
            }
        }
        self.writer.run("storing a manifest", None, move |batch| manifests::put(batch, &manifest)).await
    }

    async fn delete_tag(&self, repo: &RepoName, tag: &Tag, locks: &TagLocks) -> Result<Deleted> {
        let (repo, tag, locks) = (repo.clone(), tag.clone(), locks.clone());
        self.writer.run("deleting a tag", None, move |batch| tags::delete(batch, &repo, &tag, &locks)).await
    }

    async fn delete_repository(&self, repo: &RepoName, locks: &TagLocks) -> Result<Deleted> {
        let (repo, locks) = (repo.clone(), locks.clone());
        self.writer.run("deleting a repository", None, move |batch| repos::empty(batch, &repo, &locks)).await
    }

    async fn delete_manifest(&self, repo: &RepoName, digest: &Digest, locks: &TagLocks) -> Result<Deleted> {
        let (repo, digest, locks) = (repo.clone(), *digest, locks.clone());
        self.writer
            .run("deleting a manifest", None, move |batch| manifests::delete(batch, &repo, &digest, &locks))
            .await
    }

    async fn referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_types: &[String],
        after: Option<u64>,
        limit: usize,
    ) -> Result<Arc<ReferrersPage>> {
        self.page_of_referrers(repo, subject, artifact_types, after.unwrap_or(0), limit).await
    }

    async fn blob(&self, repo: &RepoName, digest: &Digest) -> Result<Option<Arc<StoredBlob>>> {
        let ask = KeyRef::Blob(repo.as_str(), digest);
        if let Some(Value::Blob(blob)) = self.shared.cache.get(ask) {
            return Ok(Some(blob));
        }
        let ticket = self.shared.cache.begin_read(ask);
        let (repo, digest) = (repo.clone(), *digest);
        let key = Key::Blob(repo.clone(), digest);
        let found = self
            .readers
            .read("reading a blob's row", move |c| Ok(blobs::get(c, &repo, &digest)?.map(verify::blob_read)))
            .await?;
        let found = self.only_whole_blob(found).await?;
        if let (Some(ticket), Some(blob)) = (ticket, &found) {
            self.shared.cache.end_read(ticket, key, Value::Blob(Arc::clone(blob)));
        }
        Ok(found)
    }

    async fn any_blob(&self, storage: StorageId, digest: &Digest) -> Result<Option<Arc<StoredBlob>>> {
        let digest = *digest;
        let found =
            self.readers
                .read("reading a blob's row", move |c| {
                    Ok(blobs::any(c, storage, &digest)?.map(verify::blob_read))
                })
                .await?;
        self.only_whole_blob(found).await
    }

    async fn repositories_with_blob(&self, digest: &Digest, limit: usize) -> Result<Vec<RepoName>> {
        let digest = *digest;
        self.readers.read("looking for a blob's holders", move |c| blobs::holders(c, &digest, limit)).await
    }

    async fn put_blob(&self, blob: NewBlob) -> Result<()> {
        self.writer.run("storing a blob's row", blob.upload, move |batch| blobs::put(batch, &blob)).await
    }

    async fn mount_blob(
        &self,
        digest: &Digest,
        from: &RepoName,
        to: &RepoName,
        storage: StorageId,
    ) -> Result<bool> {
        let (digest, from, to) = (*digest, from.clone(), to.clone());
        self.writer
            .run("mounting a blob", None, move |batch| blobs::mount(batch, &digest, &from, &to, storage))
            .await
    }

    async fn delete_blob(&self, repo: &RepoName, digest: &Digest, locks: &TagLocks) -> Result<Deleted> {
        let (repo, digest, locks) = (repo.clone(), *digest, locks.clone());
        self.writer
            .run("deleting a blob", None, move |batch| {
                if let Some(repository) = repos::id(batch.connection, &repo)?
                    && let Some(locked) = tags::held_above(batch.connection, repository, &digest, &locks)?
                {
                    return Ok(Deleted::Locked(locked));
                }
                Ok(match blobs::unlink(batch, &repo, &digest)? {
                    true => Deleted::Done,
                    false => Deleted::Unknown,
                })
            })
            .await
    }

    async fn unlink_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), *digest);
        self.writer
            .run("deleting a blob's link", None, move |batch| blobs::unlink(batch, &repo, &digest))
            .await
    }

    fn save_upload_soon(&self, upload: UploadRow) -> Result<()> {
        self.writer.save_soon(upload)
    }

    async fn upload(&self, id: &UploadId) -> Result<Option<UploadRow>> {
        if let Some(row) = self.shared.lazy.get(id) {
            return Ok(Some(row));
        }
        let id = *id;
        self.readers.read("reading an upload session", move |c| uploads::get(c, &id)).await
    }

    async fn delete_upload(&self, id: &UploadId) -> Result<bool> {
        let (id, shared) = (*id, Arc::clone(&self.shared));
        self.writer
            .run("ending an upload session", Some(id), move |batch| {
                let waiting = shared.lazy.get(&id).is_some();
                Ok(uploads::delete(batch, &id)? || waiting)
            })
            .await
    }

    async fn expired_uploads(&self, touched_before: Timestamp, limit: usize) -> Result<Vec<UploadRow>> {
        // A row that still waits may say that its session was used just now.
        self.flush().await?;
        self.readers
            .read("looking for old uploads", move |c| uploads::expired(c, touched_before, limit))
            .await
    }

    async fn upload_digests(&self) -> Result<HashSet<Digest>> {
        // Rows that a killed process left in its log count too.
        self.flush().await?;
        self.readers.read("looking for uploads", uploads::digests).await
    }

    fn clock(&self) -> StoreClock {
        self.shared.clock
    }

    async fn renew_blob(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), *digest);
        self.writer
            .run("renewing a promise", None, move |batch| sweep::renew_blob(batch, &repo, &digest))
            .await
    }

    async fn renew_manifest(&self, repo: &RepoName, digest: &Digest) -> Result<bool> {
        let (repo, digest) = (repo.clone(), *digest);
        self.writer
            .run("renewing a promise", None, move |batch| sweep::renew_manifest(batch, &repo, &digest))
            .await
    }

    async fn candidates(
        &self,
        kind: CandidateKind,
        cutoff: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        self.readers
            .read("looking for garbage", move |c| sweep::candidates(c, kind, cutoff, after.as_ref(), limit))
            .await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Vec<Swept>> {
        if sweep.dry_run {
            let now = self.now();
            return self.readers.read("looking for garbage", move |c| sweep::judge(c, &sweep, now)).await;
        }
        self.writer.run("sweeping", None, move |batch| sweep::run(batch, &sweep)).await
    }

    async fn deleted_subjects(
        &self,
        cutoff: Timestamp,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Vec<DeletedSubject>> {
        self.readers
            .read("looking for garbage", move |c| sweep::deleted_subjects(c, cutoff, after.as_ref(), limit))
            .await
    }

    async fn orphaned_referrers(
        &self,
        subject: &DeletedSubject,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Candidate>> {
        let subject = subject.clone();
        self.readers
            .read("looking for garbage", move |c| sweep::orphaned_referrers(c, &subject, after, limit))
            .await
    }

    async fn forget_subject(&self, subject: &DeletedSubject) -> Result<()> {
        let subject = subject.clone();
        self.writer.run("sweeping", None, move |batch| sweep::forget_subject(batch, &subject)).await
    }

    async fn freed_blobs(&self, after: u64, limit: usize) -> Result<Vec<FreedBlob>> {
        self.readers.read("looking for garbage", move |c| sweep::freed(c, after, limit)).await
    }

    async fn free_bytes(
        &self,
        storage: StorageId,
        digest: &Digest,
        size: u64,
        location: Option<&str>,
    ) -> Result<()> {
        let (digest, location) = (*digest, location.map(str::to_owned));
        self.writer
            .run("freeing bytes", None, move |batch| {
                sweep::free_bytes(batch, storage, &digest, size, location.as_deref())
            })
            .await
    }

    async fn forget_freed(&self, freed: Vec<FreedBlob>) -> Result<()> {
        self.writer.run("sweeping", None, move |batch| sweep::forget_freed(batch, &freed)).await
    }

    async fn flush(&self) -> Result<()> {
        self.writer.flush().await
    }

    fn read_only(&self) -> Option<String> {
        self.shared.health.read_only()
    }

    fn stats(&self) -> MetaStats {
        let shared = &self.shared;
        let [
            (manifest_hits, manifest_misses),
            (blob_hits, blob_misses),
            (referrers_hits, referrers_misses),
            (image_hits, image_misses),
        ] = shared.cache.counts();
        let mut log = self.path.as_os_str().to_owned();
        log.push("-wal");
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        MetaStats {
            commits: shared.commits.load(Ordering::Relaxed),
            operations: shared.operations.load(Ordering::Relaxed),
            group_sizes: shared.group_sizes.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            manifest_hits,
            manifest_misses,
            blob_hits,
            blob_misses,
            referrers_hits,
            referrers_misses,
            image_hits,
            image_misses,
            cache_bytes: shared.cache.bytes(),
            database_bytes: bytes(&self.path) + bytes(Path::new(&log)),
            uploads_open: u64::try_from(shared.uploads_open.load(Ordering::Relaxed)).unwrap_or(0),
            damage_met: self.damage_met.load(Ordering::Relaxed),
        }
    }
}
