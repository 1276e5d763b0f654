//! The storages beside `default`: each a directory with a marker of its own.
//!
//! Guarded like the data directory. The marker is durable before the first blob can be, so a storage that has blobs and whose
//! directory lacks the marker is not mounted; and what rows need and the configuration does not name is no store to start with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::guard::{self, Found};
use super::{OpenError, StoreConfig, bad_marker, database_error, path_error};
use crate::blobs::key::Key;
use crate::blobs::local::LocalBlobs;
use crate::blobs::storages::Storage;
use crate::health::Health;
use crate::meta::sqlite::ExaminedDatabase;

/// The storage that is always there.
pub(super) const DEFAULT: &str = "default";

/// Opens all of them, making what is missing.
pub(super) fn open(
    config: &StoreConfig,
    default_root: &Path,
    database: &Path,
    id: &str,
    examined: &mut ExaminedDatabase,
) -> Result<Vec<Storage>, OpenError> {
    let failed = |error| database_error(database, error);
    look_for_unconfigured(config, database, examined)?;
    let mut taken = vec![(DEFAULT, full(default_root)?)];
    let mut roots = Vec::new();
    for (name, path) in &config.storages {
        let storage = examined.storage_id(name).map_err(failed)?;
        let used = examined.is_used(storage).map_err(failed)?;
        let missing = || OpenError::MarkerMissing {
            blob_root: path.display().to_string(),
            database: database.display().to_string(),
            id: id.to_owned(),
        };
        if !path.exists() {
            if used {
                return Err(missing());
            }
            std::fs::create_dir_all(path).map_err(|error| path_error(path, error))?;
        }
        let root = full(path)?;
        if let Some((first, _)) = taken.iter().find(|(_, other)| *other == root) {
            let (first, second) = ((*first).to_owned(), name.clone());
            return Err(OpenError::SameDirectory { path: root.display().to_string(), first, second });
        }
        let marker = root.join(Key::Marker.to_string());
        let is_new = match guard::read_id(&marker).map_err(|error| path_error(&marker, error))? {
            Found::Id(found, storage) if found == id => {
                check_name(&root, name, storage.as_deref())?;
                false
            }
            Found::Id(found, _) => {
                return Err(OpenError::ForeignBlobs {
                    blob_root: root.display().to_string(),
                    database: database.display().to_string(),
                    id: id.to_owned(),
                    found,
                });
            }
            Found::Nonsense => return Err(bad_marker(&root)),
            Found::Nothing if used => return Err(missing()),
            Found::Nothing => true,
        };
        taken.push((name, root.clone()));
        roots.push((name, storage, root, is_new));
    }
    // Nothing is marked before everything fits.
    let mut storages = Vec::new();
    for (name, id_of_storage, root, is_new) in roots {
        if is_new {
            let marker = root.join(Key::Marker.to_string());
            guard::write_whole(&marker, &guard::marker_text(id, name))
                .map_err(|error| path_error(&marker, error))?;
        }
        // A disk of its own, which fails alone.
        let blobs =
            LocalBlobs::open_with(&root, Health::default()).map_err(|error| path_error(&root, error))?;
        storages.push(Storage { id: id_of_storage, name: name.as_str().into(), blobs: Arc::new(blobs) });
    }
    Ok(storages)
}

/// What the configuration left out is refused when rows need it, and else forgotten.
fn look_for_unconfigured(
    config: &StoreConfig,
    database: &Path,
    examined: &mut ExaminedDatabase,
) -> Result<(), OpenError> {
    let failed = |error| database_error(database, error);
    for known in examined.storages().map_err(failed)? {
        if known.name == DEFAULT || config.storages.contains_key(&known.name) {
            continue;
        }
        let blobs = examined.blobs_in(known.id).map_err(failed)?;
        if blobs > 0 {
            return Err(OpenError::StorageNotConfigured { name: known.name, blobs });
        }
        let files = examined.forget_storage(known.id).map_err(failed)?;
        tracing::warn!(
            storage = known.name,
            "the storage {} is not configured any more and has no blobs: it is forgotten; {files} files that were still to be \
             removed stay in its directory",
            known.name
        );
    }
    Ok(())
}

/// Whether a directory is that of the storage for which it is configured. A marker that does not say is believed.
pub(super) fn check_name(root: &Path, name: &str, found: Option<&str>) -> Result<(), OpenError> {
    match found {
        Some(found) if found != name => Err(OpenError::OtherStorage {
            path: root.display().to_string(),
            name: name.to_owned(),
            found: found.to_owned(),
        }),
        _ => Ok(()),
    }
}

fn full(path: &Path) -> Result<PathBuf, OpenError> {
    let full = path.canonicalize().map_err(|error| path_error(path, error))?;
    if full.is_dir() { Ok(full) } else { Err(path_error(&full, io::ErrorKind::NotADirectory.into())) }
}
