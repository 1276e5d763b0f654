//! Stores for tests, in directories that go away with them.

use std::path::{Path, PathBuf};

use gantry_storage::{Store, StoreConfig};

/// A directory that goes away with the test.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// A new one.
    pub(crate) fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("gantry-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).expect("a directory");
        Scratch(path)
    }

    /// A store in it.
    pub(crate) fn config(&self) -> StoreConfig {
        config(&self.0.join("data"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A store in this directory.
pub(crate) fn config(data_dir: &Path) -> StoreConfig {
    StoreConfig {
        data_dir: data_dir.to_owned(),
        sqlite_path: None,
        blob_path: None,
        storages: std::collections::BTreeMap::new(),
        inline_limit: 16 << 10,
        cache_bytes: 16 << 20,
    }
}

/// Opens it.
pub(crate) async fn open(config: &StoreConfig) -> Store {
    match Store::open(config.clone()).await {
        Ok(store) => store,
        Err(error) => panic!("{error}"),
    }
}
