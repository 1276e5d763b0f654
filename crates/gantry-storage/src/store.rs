//! Both halves opened together, owned by one process.
//!
//! ```text
//! <data dir>                  created when missing
//! ├── gantry.lock             locked as long as the store is open; holds the process id
//! ├── gantry.db (-wal, -shm)  the rows, with the store's id
//! └── gantry.store, uploads, docker/...   the blob root (or elsewhere): see blobs/key.rs; the marker holds the same id
//! <data dir>.gantry           a note outside, so that an empty mount point is not taken for a new store
//! ```
//!
//! A registry that starts on the wrong disk answers 404 for everything and accepts pushes that vanish when the right disk
//! comes back. So rows, bytes and directory must agree on the store's id, and what does not fit is refused with a message that
//! says what to do. All checks together read a few pages and a few small files, however big the store is.

mod guard;
mod named;

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::guard::{Found, Lock};
use crate::blobs::BlobStore;
use crate::blobs::key::Key;
use crate::blobs::local::LocalBlobs;
use crate::blobs::storages::{Storage, Storages};
use crate::error::StorageError;
use crate::failpoint::{self, Point};
use crate::health::Health;
use crate::meta::MetaStore;
use crate::meta::sqlite::{ExaminedDatabase, OpenDatabaseError, SqliteMeta};
use crate::meta::storages::StorageId;

/// Where a store lies and how much it may use.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The directory that one process owns.
    pub data_dir: PathBuf,
    /// The database file; `None`: `gantry.db` in the data directory.
    pub sqlite_path: Option<PathBuf>,
    /// The blob root of the storage `default`; `None`: the data directory itself.
    pub blob_path: Option<PathBuf>,
    /// Other storages: their names and directories.
    pub storages: BTreeMap<String, PathBuf>,
    /// Blobs up to this many bytes are kept in their row (16 KiB is a good value).
    pub inline_limit: usize,
    /// Memory for cached manifests, links and lists of referrers, in bytes; 0: none.
    pub cache_bytes: u64,
}

/// An open store. Holds the lock as long as it lives.
pub struct Store {
    /// The rows.
    pub meta: Arc<dyn MetaStore>,
    /// The bytes of the storage `default`.
    pub blobs: Arc<dyn BlobStore>,
    /// All storages, `default` among them.
    pub storages: Storages,
    /// Blobs up to this many bytes belong in their row.
    pub inline_limit: usize,
    id: String,
    sqlite: Arc<SqliteMeta>,
    local: LocalBlobs,
    _lock: Arc<File>,
}

impl Store {
    /// Opens a store, making what is missing.
    ///
    /// # Errors
    /// [`OpenError`]: each message says what to do.
    pub async fn open(config: StoreConfig) -> Result<Store, OpenError> {
        tokio::task::spawn_blocking(move || open(&config)).await.unwrap_or_else(|_| {
            let message = String::from("the program is shutting down");
            Err(OpenError::Storage(StorageError::Unavailable { during: "opening the store", message }))
        })
    }

    /// What names this store for ever.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The engine itself, for what the trait does not have.
    #[must_use]
    pub fn sqlite(&self) -> &Arc<SqliteMeta> {
        &self.sqlite
    }

    /// The blob store itself, for what the trait does not have.
    #[must_use]
    pub fn local(&self) -> &LocalBlobs {
        &self.local
    }

    /// Writes what is pending, folds the log into the database and releases the directory. Whoever still holds `meta` can
    /// read, and is refused writes.
    pub async fn close(self) {
        self.sqlite.close().await;
    }
}

/// Everything that opening does. Blocks; reads a few pages and small files, however big the store is.
fn open(config: &StoreConfig) -> Result<Store, OpenError> {
    let (data_dir, existed) = make_data_dir(&config.data_dir)?;
    let note = guard::note_path(&data_dir);
    if existed {
        refuse_empty_mount(&data_dir, note.as_deref())?;
    }
    let lock = take_lock(&data_dir)?;
    let pass = |point| failpoint::hit(point).map_err(|error| path_error(&data_dir, error));
    pass(Point::StoreLocked)?;
    let blob_root = config.blob_path.clone().unwrap_or_else(|| data_dir.clone());
    std::fs::create_dir_all(&blob_root).map_err(|error| path_error(&blob_root, error))?;
    let database = config.sqlite_path.clone().unwrap_or_else(|| data_dir.join("gantry.db"));

    let marker = blob_root.join(Key::Marker.to_string());
    let found = guard::read_id(&marker).map_err(|error| path_error(&marker, error))?;
    let is_new = std::fs::metadata(&database).map_or(true, |metadata| metadata.len() == 0);
    if is_new {
        // Before a database is made, which would hide that there was none.
        refuse_lost_database(&blob_root, &database, &found)?;
    }
    let failed = |error| database_error(&database, error);
    let mut examined = ExaminedDatabase::open(&database).map_err(failed)?;
    pass(Point::StoreExamined)?;
    let id = match examined.store_id() {
        Some(id) => {
            let id = id.to_owned();
            check_marker(&blob_root, &database, &id, &found, examined.marker_written())?;
            id
        }
        None => {
            refuse_lost_database(&blob_root, &database, &found)?;
            uuid::Uuid::new_v4().to_string()
        }
    };
    examined.prepare(&id).map_err(failed)?;
    if is_new {
        sync_parent(&database)?;
    }
    pass(Point::StorePrepared)?;
    if found == Found::Nothing {
        let text = guard::marker_text(&id, named::DEFAULT);
        guard::write_whole(&marker, &text).map_err(|error| path_error(&marker, error))?;
    }
    pass(Point::StoreMarked)?;
    if !examined.marker_written() {
        examined.note_marker().map_err(failed)?;
    }
    pass(Point::StoreNoted)?;
    if let Some(note) = note {
        write_note(&note, &data_dir, &id);
    }

    let health = Health::default();
    let local =
        LocalBlobs::open_with(&blob_root, health.clone()).map_err(|error| path_error(&blob_root, error))?;
    let others = named::open(config, &blob_root, &database, &id, &mut examined)?;
    pass(Point::StoreTreeMade)?;
    let sqlite =
        Arc::new(examined.start(config.cache_bytes, Some(Arc::clone(&lock)), health).map_err(failed)?);
    Ok(Store {
        meta: Arc::clone(&sqlite) as Arc<dyn MetaStore>,
        storages: Storages::new(
            Storage { id: StorageId::DEFAULT, name: named::DEFAULT.into(), blobs: Arc::new(local.clone()) },
            others,
        ),
        blobs: Arc::new(local.clone()),
        inline_limit: config.inline_limit,
        id,
        sqlite,
        local,
        _lock: lock,
    })
}

/// The data directory by its full name, made when missing; whether it was there before.
fn make_data_dir(data_dir: &Path) -> Result<(PathBuf, bool), OpenError> {
    let existed = data_dir.exists();
    if !existed {
        // Rows will hold secrets one day: for the owner only.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .map_err(|error| path_error(data_dir, error))?;
    }
    let full = data_dir.canonicalize().map_err(|error| path_error(data_dir, error))?;
    if !full.is_dir() {
        return Err(path_error(&full, io::ErrorKind::NotADirectory.into()));
    }
    if !existed {
        failpoint::hit(Point::StoreDirectoryMade).map_err(|error| path_error(&full, error))?;
        sync_parent(&full)?;
    }
    Ok((full, existed))
}

fn refuse_empty_mount(data_dir: &Path, note: Option<&Path>) -> Result<(), OpenError> {
    let Some(note) = note else { return Ok(()) };
    if !guard::is_empty(data_dir).map_err(|error| path_error(data_dir, error))? {
        return Ok(());
    }
    let id = match guard::read_id(note) {
        Ok(Found::Nothing) => return Ok(()),
        Ok(Found::Id(id, _)) => id,
        Ok(Found::Nonsense) => return Err(OpenError::BadMarker { path: note.display().to_string() }),
        Err(error) => return Err(path_error(note, error)),
    };
    Err(OpenError::EmptyMount {
        data_dir: data_dir.display().to_string(),
        id,
        note: note.display().to_string(),
    })
}

fn take_lock(data_dir: &Path) -> Result<Arc<File>, OpenError> {
    let path = data_dir.join("gantry.lock");
    match guard::lock(&path).map_err(|error| path_error(&path, error))? {
        Lock::Ours(file) => Ok(Arc::new(file)),
        Lock::Taken(pid) => Err(OpenError::InUse { data_dir: data_dir.display().to_string(), pid }),
    }
}

/// A blob root with an owner, and no database: the database is elsewhere.
fn refuse_lost_database(blob_root: &Path, database: &Path, found: &Found) -> Result<(), OpenError> {
    match found {
        Found::Nothing => Ok(()),
        Found::Id(found, _) => Err(OpenError::DatabaseMissing {
            blob_root: blob_root.display().to_string(),
            database: database.display().to_string(),
            found: found.clone(),
        }),
        Found::Nonsense => Err(bad_marker(blob_root)),
    }
}

fn check_marker(
    blob_root: &Path,
    database: &Path,
    id: &str,
    found: &Found,
    marker_written: bool,
) -> Result<(), OpenError> {
    let (blob_root_text, database) = (blob_root.display().to_string(), database.display().to_string());
    match found {
        Found::Id(found, storage) if found == id => {
            named::check_name(blob_root, named::DEFAULT, storage.as_deref())
        }
        Found::Id(found, _) => Err(OpenError::ForeignBlobs {
            blob_root: blob_root_text,
            database,
            id: id.to_owned(),
            found: found.clone(),
        }),
        // The first start was cut short between the database and the marker.
        Found::Nothing if !marker_written => Ok(()),
        Found::Nothing => {
            Err(OpenError::MarkerMissing { blob_root: blob_root_text, database, id: id.to_owned() })
        }
        Found::Nonsense => Err(bad_marker(blob_root)),
    }
}

fn bad_marker(blob_root: &Path) -> OpenError {
    OpenError::BadMarker { path: blob_root.join(Key::Marker.to_string()).display().to_string() }
}

/// Leaves word outside of the data directory. Where that cannot be done an empty mount point is not noticed.
fn write_note(note: &Path, data_dir: &Path, id: &str) {
    if guard::read_id(note).is_ok_and(|found| found == Found::Id(id.to_owned(), None)) {
        return;
    }
    let text = format!(
        "{id}\nThe directory {} holds the Gantry store with this id. While this note is here, Gantry does not take\n\
         that directory for a new store when it is empty, because then its volume is probably not mounted.\n",
        data_dir.display()
    );
    if let Err(error) = guard::write_whole(note, &text) {
        tracing::debug!(%error, note = %note.display(), "no note beside the data directory");
    }
}

fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(parent).and_then(|directory| directory.sync_all()).map_err(|error| path_error(parent, error))
}

fn path_error(path: &Path, source: io::Error) -> OpenError {
    let path = path.display().to_string();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            OpenError::NotWritable { path, source }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { path },
        _ => OpenError::Io { path, source },
    }
}

fn database_error(database: &Path, error: OpenDatabaseError) -> OpenError {
    let path = database.display().to_string();
    match error {
        OpenDatabaseError::NotOurs(what) => OpenError::NotOurs { database: path, what },
        OpenDatabaseError::Newer { found, known } => OpenError::NewerSchema { database: path, found, known },
        OpenDatabaseError::Corrupt(what) => OpenError::Corrupt { database: path, what },
        OpenDatabaseError::Storage(StorageError::Full { .. }) => OpenError::Full { path },
        OpenDatabaseError::Storage(StorageError::Io { source, .. }) => path_error(database, source),
        OpenDatabaseError::Storage(StorageError::ReadOnly { reason }) => {
            OpenError::NotWritable { path, source: io::Error::new(io::ErrorKind::PermissionDenied, reason) }
        }
        OpenDatabaseError::Storage(other) => OpenError::Storage(other),
    }
}

/// Why a store was not opened. The text is for the person at the keyboard.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{data_dir} is in use by another gantry process{}. Stop that process, or give this one another data directory.",
        pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    InUse {
        /// The data directory.
        data_dir: String,
        /// The other process, when the lock file tells.
        pid: Option<u32>,
    },
    /// The data directory held a store and is now empty.
    #[error(
        "{data_dir} is empty, but it held the store {id} before: is the volume mounted? Mount it and start again. To begin \
         anew with an empty registry, remove the note {note}."
    )]
    EmptyMount {
        /// The data directory.
        data_dir: String,
        /// The store that was here, by the note.
        id: String,
        /// The note's path.
        note: String,
    },
    /// The database expects a marker at the blob root, and there is none.
    #[error(
        "the blob directory {blob_root} lacks the marker file gantry.store of store {id}, to which the database {database} \
         belongs: is the disk mounted? If the blobs really are here, write `{id}` into {blob_root}/gantry.store."
    )]
    MarkerMissing {
        /// The blob root.
        blob_root: String,
        /// The database file.
        database: String,
        /// The database's store.
        id: String,
    },
    /// Database and blob root belong to different stores.
    #[error(
        "the database {database} belongs to store {id}, but the blob directory {blob_root} belongs to store {found}: these \
         two do not go together. Check the configured paths and mounts."
    )]
    ForeignBlobs {
        /// The blob root.
        blob_root: String,
        /// The database file.
        database: String,
        /// The database's store.
        id: String,
        /// The marker's store.
        found: String,
    },
    /// The blob root belongs to a store whose database is not there.
    #[error(
        "the blob directory {blob_root} belongs to store {found}, but there is no database at {database}: restore the database \
         from a backup or correct its path. To begin anew on these blobs, remove {blob_root}/gantry.store."
    )]
    DatabaseMissing {
        /// The blob root.
        blob_root: String,
        /// The database file.
        database: String,
        /// The marker's store.
        found: String,
    },
    /// Blobs lie in a storage that nobody configured.
    #[error(
        "the storage `{name}` is not configured, but {} blobs lie there: add\n    [storage.{name}.local]\n    path = \"...\"\nwith \
         its directory. To do without it, move its namespaces to another storage first.",
        if *blobs < 1_000_000 { blobs.to_string() } else { String::from("more than a million") }
    )]
    StorageNotConfigured {
        /// Its name.
        name: String,
        /// How many.
        blobs: u64,
    },
    /// The directory of a storage belongs to another storage of the same store.
    #[error(
        "the directory {path} is configured for the storage `{name}`, but its marker says that it is that of `{found}`: check the \
         configured paths and mounts."
    )]
    OtherStorage {
        /// The directory.
        path: String,
        /// What the configuration calls it.
        name: String,
        /// What the marker calls it.
        found: String,
    },
    /// Two storages in one directory.
    #[error(
        "the storages `{first}` and `{second}` are both configured to lie in {path}: give each a directory of its own."
    )]
    SameDirectory {
        /// The directory.
        path: String,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// The marker or a note cannot be understood.
    #[error(
        "{path} should hold the id of a store, but does not: restore it from a backup, or write the right id into it."
    )]
    BadMarker {
        /// The file.
        path: String,
    },
    /// The database was made by a later version.
    #[error(
        "the database {database} has schema version {found}, and this version of gantry knows versions up to {known}: it was \
         used by a newer gantry. Start that version, or restore a backup from before the upgrade."
    )]
    NewerSchema {
        /// The database file.
        database: String,
        /// The version in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A file, but not a database of Gantry's.
    #[error(
        "{database} is not a gantry database ({what}). Move it away if it is something else; if it was a gantry database it is \
         damaged: restore it from a backup."
    )]
    NotOurs {
        /// The database file.
        database: String,
        /// What it is instead.
        what: String,
    },
    /// The database is damaged.
    #[error(
        "the database {database} is damaged ({what}). Restore it from a backup, or try `sqlite3 {database} .recover` on a copy; \
         do not remove its -wal file."
    )]
    Corrupt {
        /// The database file.
        database: String,
        /// The database's own words.
        what: String,
    },
    /// No right to write there.
    #[error("cannot write to {path}: {source}. The data directory must belong to the user that runs gantry.")]
    NotWritable {
        /// What was to be written.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
    /// No room.
    #[error("no space left on the disk of {path}: make room and start again.")]
    Full {
        /// What was to be written.
        path: String,
    },
    /// Anything else.
    #[error("cannot open {path}: {source}")]
    Io {
        /// What was to be opened.
        path: String,
        /// The system's own words.
        source: io::Error,
    },
    /// The engine failed in another way.
    #[error("cannot open the store: {0}")]
    Storage(#[source] StorageError),
}
