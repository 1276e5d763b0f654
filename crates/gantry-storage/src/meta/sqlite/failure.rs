//! From SQLite's error codes to what a caller can do about them.

use rusqlite::ffi;
use rusqlite::{Error, ErrorCode};

use crate::error::StorageError;
use crate::failpoint::{self, Point};

/// Sorts an error of SQLite.
pub(super) fn sort(during: &'static str, error: &Error) -> StorageError {
    let (code, extended) = match error {
        Error::SqliteFailure(failure, _) => (failure.code, failure.extended_code),
        Error::FromSqlConversionFailure(..)
        | Error::InvalidColumnType(..)
        | Error::IntegralValueOutOfRange(..) => {
            return StorageError::Corrupt {
                what: format!("a row that cannot be read while {during}: {error}"),
            };
        }
        _ => return StorageError::Database { during, message: error.to_string() },
    };
    match code {
        ErrorCode::DiskFull => StorageError::Full { during },
        // The shared memory file of the log cannot grow: the disk is full, but this code does not say so.
        ErrorCode::SystemIoFailure if extended == ffi::SQLITE_IOERR_SHMSIZE => StorageError::Full { during },
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::OutOfMemory
        | ErrorCode::CannotOpen => StorageError::Unavailable { during, message: error.to_string() },
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StorageError::Corrupt { what: format!("the database, noticed while {during}: {error}") }
        }
        ErrorCode::ReadOnly => {
            StorageError::ReadOnly { reason: format!("the database refused {during}: {error}") }
        }
        ErrorCode::SystemIoFailure => {
            StorageError::Io { during, source: std::io::Error::other(error.to_string()) }
        }
        _ => StorageError::Database { during, message: error.to_string() },
    }
}

/// Passes a failpoint inside of the engine.
pub(super) fn hit(point: Point) -> rusqlite::Result<()> {
    failpoint::hit(point).map_err(|error| {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let code = if full { ffi::SQLITE_FULL } else { ffi::SQLITE_IOERR_FSYNC };
        Error::SqliteFailure(ffi::Error::new(code), Some(error.to_string()))
    })
}

/// Whether the disk failed to keep what was written, after which nothing that it acknowledges can be trusted. A failing
/// read is not one, nor are locks and shared memory.
pub(super) fn lost_a_write(error: &Error) -> bool {
    let Error::SqliteFailure(failure, _) = error else { return false };
    failure.code == ErrorCode::SystemIoFailure
        && matches!(
            failure.extended_code,
            ffi::SQLITE_IOERR
                | ffi::SQLITE_IOERR_WRITE
                | ffi::SQLITE_IOERR_FSYNC
                | ffi::SQLITE_IOERR_DIR_FSYNC
                | ffi::SQLITE_IOERR_TRUNCATE
                | ffi::SQLITE_IOERR_CLOSE
        )
}

/// A used-up quota arrives as a general write error, which asking the file system again can tell apart. A failed fsync is never
/// excused.
pub(super) fn may_be_a_quota(error: &Error) -> bool {
    matches!(error, Error::SqliteFailure(failure, _) if failure.extended_code == ffi::SQLITE_IOERR_WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(extended: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(extended), None)
    }

    #[test]
    fn codes_are_sorted_by_what_can_be_done() {
        assert!(matches!(sort("testing", &failure(ffi::SQLITE_FULL)), StorageError::Full { .. }));
        assert!(matches!(sort("testing", &failure(ffi::SQLITE_BUSY)), StorageError::Unavailable { .. }));
        assert!(matches!(sort("testing", &failure(ffi::SQLITE_CORRUPT)), StorageError::Corrupt { .. }));
        assert!(matches!(sort("testing", &failure(ffi::SQLITE_IOERR_FSYNC)), StorageError::Io { .. }));
        assert!(lost_a_write(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(lost_a_write(&failure(ffi::SQLITE_IOERR_WRITE)));
        assert!(!lost_a_write(&failure(ffi::SQLITE_IOERR_READ)));
        assert!(!lost_a_write(&failure(ffi::SQLITE_FULL)));
    }
}
