//! Which storage a repository's pushes go to.
//!
//! Asked when an upload begins and when a blob is mounted, and by nobody who reads: where bytes are is said by the link that leads to
//! them. So the answer may change at any time, and what was stored before stays where it is until it is moved.

use std::sync::Arc;

use arc_swap::ArcSwap;
use gantry_oci::RepoName;
use gantry_storage::{Storage, StorageId, Storages};

use super::{RegistryError, Result};

/// Who knows.
pub trait Placement: Send + Sync + 'static {
    /// The storage for what is pushed to this repository from now on.
    fn storage_of(&self, repo: &RepoName) -> StorageId;
}

/// The storages, and who knows which one is whose.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) storages: Storages,
    pub(super) placement: Arc<dyn Placement>,
}

impl Places {
    /// Where what is pushed to this repository goes.
    pub(super) fn of(&self, repo: &RepoName) -> Result<&Storage> {
        let id = self.placement.storage_of(repo);
        self.storages.get(id).ok_or(RegistryError::Internal("a namespace lies in a storage that is not open"))
    }
}

/// By prefixes of whole components; the longest that fits decides, and `default` where none does.
#[derive(Debug, Default)]
pub struct Prefixes(ArcSwap<Vec<(String, StorageId)>>);

impl Prefixes {
    /// Prefixes and names of storages; of two with one prefix the first counts. What belongs in a storage that is not there cannot be
    /// pushed: it must not go to another one.
    pub fn new<'a>(storages: &Storages, named: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let prefixes = Self::default();
        prefixes.replace(storages, named);
        prefixes
    }

    /// Takes others into force.
    pub fn replace<'a>(&self, storages: &Storages, named: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let number = |(prefix, name): (&str, &str)| Some((prefix.to_owned(), storages.named(name)?.id));
        let mut prefixes: Vec<_> = named.into_iter().filter_map(number).collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self.0.store(Arc::new(prefixes));
    }
}

impl Placement for Prefixes {
    fn storage_of(&self, repo: &RepoName) -> StorageId {
        let fits = |prefix: &str| {
            prefix.is_empty()
                || repo
                    .as_str()
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let prefixes = self.0.load();
        prefixes.iter().find(|(prefix, _)| fits(prefix)).map_or(StorageId::DEFAULT, |(_, storage)| *storage)
    }
}
