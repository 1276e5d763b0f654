//! Which storage a repository's pushes go to: by the namespaces of the file and of rows, as of now.

use arc_swap::ArcSwap;
use gantry_oci::RepoName;
use gantry_storage::StorageId;

use crate::registry::{Placement, Prefixes};

/// What the registry asks. Before the rules are compiled for the first time everything is in `default`.
#[derive(Default)]
pub(super) struct Placing(ArcSwap<Prefixes>);

impl Placing {
    /// From now on.
    pub(super) fn store(&self, prefixes: Prefixes) {
        self.0.store(prefixes.into());
    }
}

impl Placement for Placing {
    fn storage_of(&self, repo: &RepoName) -> StorageId {
        self.0.load().storage_of(repo)
    }
}
