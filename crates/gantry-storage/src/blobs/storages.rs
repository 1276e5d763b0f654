//! The storages of one store, by number and by name. Opened once; what is configured anew takes a restart.

use std::sync::Arc;

use super::BlobStore;
use crate::error::{Result, StorageError};
use crate::meta::storages::StorageId;

/// A place for bytes with a name.
#[derive(Clone)]
pub struct Storage {
    /// As rows know it.
    pub id: StorageId,
    /// As the configuration knows it.
    pub name: Arc<str>,
    /// The bytes.
    pub blobs: Arc<dyn BlobStore>,
}

/// All of them. A clone is the same.
#[derive(Clone)]
pub struct Storages(Arc<Inner>);

struct Inner {
    default: Storage,
    others: Vec<Storage>,
}

impl Storages {
    pub(crate) fn new(default: Storage, others: Vec<Storage>) -> Storages {
        Storages(Arc::new(Inner { default, others }))
    }

    /// The one that is always there.
    #[must_use]
    pub fn default_storage(&self) -> &Storage {
        &self.0.default
    }

    /// All of them, `default` first, then by name.
    pub fn iter(&self) -> impl Iterator<Item = &Storage> {
        std::iter::once(&self.0.default).chain(&self.0.others)
    }

    /// By number.
    #[must_use]
    pub fn get(&self, id: StorageId) -> Option<&Storage> {
        self.iter().find(|storage| storage.id == id)
    }

    /// By name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Storage> {
        self.iter().find(|storage| *storage.name == *name)
    }

    /// The blob store of a number that a row gave.
    ///
    /// # Errors
    /// The store was opened with every storage that has blobs: a row that names another is damaged.
    pub fn blobs(&self, id: StorageId) -> Result<&Arc<dyn BlobStore>> {
        self.get(id).map(|storage| &storage.blobs).ok_or_else(|| StorageError::Corrupt {
            what: format!("a row names the storage number {}, which is not there", id.0),
        })
    }

    /// Why one of them refuses writes, with its name; `None` while all is well.
    #[must_use]
    pub fn read_only(&self) -> Option<String> {
        self.iter().find_map(|storage| {
            let reason = storage.blobs.read_only()?;
            Some(match storage.id {
                StorageId::DEFAULT => reason,
                _ => format!("storage {}: {reason}", storage.name),
            })
        })
    }
}
