//! What can go wrong below the registry.
//!
//! Each variant is a decision that a caller can take: make room (`Full`), wait for the operator (`ReadOnly`), try again
//! soon (`Unavailable`), raise an alarm (`Corrupt`), log and give up (`Io`, `Database`). Messages are for the operator's
//! log; none of them is fit for a client, because they name files.

use std::io;

/// A result of this crate.
pub type Result<T, E = StorageError> = std::result::Result<T, E>;

/// Why the storage could not do what it was asked. After any of these nothing is half done.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// No room, no inodes or no quota left. Passes by itself once there is room again.
    #[error("no space left while {during}")]
    Full {
        /// What was being done.
        during: &'static str,
    },
    /// Writes are refused until the program is started again, because the disk failed to keep an earlier one.
    #[error("storage is read-only: {reason}")]
    ReadOnly {
        /// The failure that led to it.
        reason: String,
    },
    /// It cannot be done now; later it may well work.
    #[error("storage is unavailable while {during}: {message}")]
    Unavailable {
        /// What was being done.
        during: &'static str,
        /// What stands in the way.
        message: String,
    },
    /// What is stored contradicts itself.
    #[error("stored data is damaged: {what}")]
    Corrupt {
        /// What is wrong, and where.
        what: String,
    },
    /// The operating system refused a file operation.
    #[error("input/output error while {during}: {source}")]
    Io {
        /// What was being done.
        during: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// The database refused a statement for any other reason.
    #[error("database error while {during}: {message}")]
    Database {
        /// What was being done.
        during: &'static str,
        /// The database's own words.
        message: String,
    },
}

impl StorageError {
    /// Sorts an error of the operating system by what its caller can do about it.
    #[must_use]
    pub fn from_io(during: &'static str, source: io::Error) -> StorageError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageError::Full { during },
            io::ErrorKind::ReadOnlyFilesystem => {
                StorageError::ReadOnly { reason: format!("the file system refused {during}: {source}") }
            }
            _ if is_out_of_handles(&source) => {
                StorageError::Unavailable { during, message: format!("no file handle left: {source}") }
            }
            _ => StorageError::Io { during, source },
        }
    }

    /// The same error for another reader: one failed transaction answers many operations.
    #[must_use]
    pub fn duplicate(&self) -> StorageError {
        match self {
            StorageError::Full { during } => StorageError::Full { during },
            StorageError::ReadOnly { reason } => StorageError::ReadOnly { reason: reason.clone() },
            StorageError::Unavailable { during, message } => {
                StorageError::Unavailable { during, message: message.clone() }
            }
            StorageError::Corrupt { what } => StorageError::Corrupt { what: what.clone() },
            StorageError::Io { during, source } => {
                StorageError::Io { during, source: io::Error::new(source.kind(), source.to_string()) }
            }
            StorageError::Database { during, message } => {
                StorageError::Database { during, message: message.clone() }
            }
        }
    }
}

/// Too many open files, in this process or on this machine: passes when connections close.
fn is_out_of_handles(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(rustix::io::Errno::MFILE.raw_os_error())
        || code == Some(rustix::io::Errno::NFILE.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_are_sorted_by_what_can_be_done() {
        let sorted = |code| StorageError::from_io("testing", io::Error::from_raw_os_error(code));
        assert!(matches!(sorted(28), StorageError::Full { .. }), "ENOSPC");
        assert!(matches!(sorted(122), StorageError::Full { .. }), "EDQUOT");
        assert!(matches!(sorted(30), StorageError::ReadOnly { .. }), "EROFS");
        assert!(matches!(sorted(24), StorageError::Unavailable { .. }), "EMFILE");
        assert!(matches!(sorted(5), StorageError::Io { .. }), "EIO");
    }
}
