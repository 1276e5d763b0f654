//! Whether writes are still taken.
//!
//! A disk that failed to keep a write once is not trusted again by this process: a repeated fsync may report success for data
//! that is gone. So the way to read-only is one-way.

use std::sync::{Arc, OnceLock};

/// One store's health, shared by its halves: rows and bytes lie on disks that fail together more often than not, and nobody wants
/// to guess which writes are still kept. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health(Arc<OnceLock<String>>);

impl Health {
    /// Why writes are refused; `None` while all is well.
    pub(crate) fn read_only(&self) -> Option<String> {
        self.0.get().cloned()
    }

    /// Refuses writes from now on. The first reason stays.
    pub(crate) fn set_read_only(&self, reason: String) {
        let _ = self.0.set(reason);
    }
}
