//! A blob's file goes, after its row.
//!
//! The other way round there would be a moment in which a row promises bytes that are gone. Readers that have the file open
//! read on to its end.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;

use gantry_oci::Digest;

use super::Inner;
use crate::blobs::key::Key;
use crate::error::{Result, StorageError};

const DURING: &str = "removing a blob";

/// Blocks. False: there was no file.
pub(super) fn remove(inner: &Inner, digest: Digest) -> Result<bool> {
    let existed = match std::fs::remove_file(inner.path(Key::Blob(digest))) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(StorageError::from_io(DURING, error)),
    };
    // What else may lie in the directory is not ours: then it stays.
    let _ = std::fs::remove_dir(inner.path(Key::BlobDirectory(digest)));
    Ok(existed)
}

/// Blocks. Each directory above is synced once; a shard that is not there needs none.
pub(super) fn settle(inner: &Inner, digests: &[Digest]) -> Result<()> {
    let shards: BTreeSet<_> = digests.iter().map(|digest| inner.path(Key::Shard(*digest))).collect();
    for shard in shards {
        match File::open(&shard).and_then(|directory| directory.sync_all()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StorageError::from_io(DURING, error));
            }
            _ => {}
        }
    }
    Ok(())
}
