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

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::blobs::BlobStore;
use crate::error::StorageError;
use crate::meta::MetaStore;

/// Where a store lies and how much it may use.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The directory that one process owns.
    pub data_dir: PathBuf,
    /// The database file; `None`: `gantry.db` in the data directory.
    pub sqlite_path: Option<PathBuf>,
    /// The blob root; `None`: the data directory itself.
    pub blob_path: Option<PathBuf>,
    /// Blobs up to this many bytes are kept in their row (16 KiB is a good value).
    pub inline_limit: usize,
    /// Memory for cached manifests and links, in bytes; 0: none.
    pub cache_bytes: u64,
}

/// An open store. Holds the lock as long as it lives.
pub struct Store {
    /// The rows.
    pub meta: Arc<dyn MetaStore>,
    /// The bytes.
    pub blobs: Arc<dyn BlobStore>,
    /// Blobs up to this many bytes belong in their row.
    pub inline_limit: usize,
}

impl Store {
    /// Opens a store, making what is missing.
    ///
    /// # Errors
    /// [`OpenError`]: each message says what to do.
    pub async fn open(config: StoreConfig) -> Result<Store, OpenError> {
        let _ = config;
        Err(OpenError::Storage(StorageError::Unavailable { during: "opening", message: String::from("not built yet") }))
    }

    /// Writes what is pending, folds the log into the database and releases the directory.
    pub async fn close(self) {}
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
    /// The marker or a note cannot be understood.
    #[error("{path} should hold the id of a store, but does not: restore it from a backup, or write the right id into it.")]
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
