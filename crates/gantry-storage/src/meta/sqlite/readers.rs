//! Reading connections: a few, opened when first needed, used on the runtime's blocking threads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Semaphore;

use super::failure;
use crate::error::{Result, StorageError};

/// The pool. A connection that met a failing disk or a damaged page is not used again.
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Readers {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Readers {
            path: path.to_owned(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new((2 * processors).clamp(4, 16))),
        }
    }

    /// Runs `work` with a connection of its own. It sees every commit that was acknowledged before.
    pub(super) async fn read<T, F>(self: &Arc<Self>, during: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StorageError::Unavailable { during, message: String::from("the store is closed") };
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let readers = Arc::clone(self);
        let outcome = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = match readers.take() {
                Some(connection) => connection,
                None => readers.open()?,
            };
            let outcome = work(&connection);
            if !outcome.as_ref().is_err_and(is_fatal) {
                readers.give_back(connection);
            }
            outcome
        });
        match outcome.await {
            Ok(outcome) => outcome.map_err(|error| failure::sort(during, &error)),
            Err(_) => Err(closed()),
        }
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(super::BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(super::STATEMENTS);
        connection.pragma_update(None, "cache_size", super::READER_CACHE_KIB)?;
        Ok(connection)
    }

    fn take(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn give_back(&self, connection: Connection) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

fn is_fatal(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::SystemIoFailure
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::CannotOpen
        )
    )
}
