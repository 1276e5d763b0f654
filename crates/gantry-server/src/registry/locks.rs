//! Who works on the bytes of a digest.
//!
//! Bytes get their name before their row is committed, and lose it after their row is gone. In between, only these locks tell a
//! push of a digest from the removal of the same digest's old bytes: pushes share one, a removal needs it alone, and takes
//! it only when nobody has it. One process owns a data directory, so locks in memory are enough.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gantry_oci::Digest;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Held from before the bytes get their name until their row is committed.
pub(super) type Publishing = OwnedRwLockReadGuard<()>;

/// Held from the look at the row until the bytes are gone.
pub(super) type Removing = OwnedRwLockWriteGuard<()>;

/// A lock for each digest that somebody works on.
pub(super) type DigestLocks = Locks<Digest>;

/// A lock for each thing that somebody works on.
pub(super) struct Locks<K>(Mutex<HashMap<K, Weak<RwLock<()>>>>);

impl<K> Default for Locks<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl DigestLocks {
    /// Waits until nobody removes the digest's bytes.
    pub(super) async fn publishing(&self, digest: &Digest) -> Publishing {
        self.lock(digest).read_owned().await
    }

    /// `None`: somebody publishes them.
    pub(super) fn try_removing(&self, digest: &Digest) -> Option<Removing> {
        self.lock(digest).try_write_owned().ok()
    }
}

impl<K: Copy + Eq + Hash> Locks<K> {
    /// Waits until nobody else has it.
    pub(super) async fn alone(&self, key: &K) -> OwnedRwLockWriteGuard<()> {
        self.lock(key).write_owned().await
    }

    fn lock(&self, key: &K) -> Arc<RwLock<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(key).and_then(Weak::upgrade) {
            return lock;
        }
        // Amortised: the map at most doubles between two clearings.
        if locks.len() == locks.capacity() {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(RwLock::new(()));
        locks.insert(*key, Arc::downgrade(&lock));
        lock
    }
}
