//! A short memory of good passwords.
//!
//! A check costs tens of milliseconds by design, and a pull makes dozens of requests. So a good answer is kept for a minute
//! under a keyed hash: neither the password nor anything that it could be guessed from is kept. What the password was checked
//! against is part of what is hashed, so that a changed password is unknown at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::basic::Credentials;

const KEPT: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;

/// Good credentials of the last minute.
pub(super) struct Remember {
    key: [u8; 32],
    known: Mutex<HashMap<[u8; 32], Known>>,
}

#[derive(Clone)]
struct Known {
    since: Instant,
    /// What was said of them then.
    said: Arc<[String]>,
}

/// Whether use prolongs what is known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stays {
    /// A busy client is not sent back into the line every minute: what it was checked against is compared each time.
    WhileUsed,
    /// Somebody else knows whether it still holds: asked again every minute.
    AMinute,
}

impl Remember {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        for half in key.chunks_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self { key, known: Mutex::default() }
    }

    /// What was said of these credentials, if they were good against `verifier` a moment ago.
    pub(super) fn knows(
        &self,
        verifier: &str,
        credentials: &Credentials,
        stays: Stays,
    ) -> Option<Arc<[String]>> {
        let hash = self.hash(verifier, credentials);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_mut(&hash).filter(|known| known.since.elapsed() < KEPT)?;
        if stays == Stays::WhileUsed {
            known.since = Instant::now();
        }
        Some(Arc::clone(&known.said))
    }

    /// Keeps credentials that were just found to be good.
    pub(super) fn learn(&self, verifier: &str, credentials: &Credentials, said: Arc<[String]>) {
        let hash = self.hash(verifier, credentials);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, known| known.since.elapsed() < KEPT);
        }
        if known.len() < MOST {
            known.insert(hash, Known { since: Instant::now(), said });
        }
    }

    /// The key stands before and behind, so that neither end can be extended; lengths keep the fields apart.
    fn hash(&self, verifier: &str, credentials: &Credentials) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        for field in [verifier.as_bytes(), credentials.name.as_bytes()] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        hash.update(&credentials.password);
        hash.update(self.key);
        hash.finalize().into()
    }
}
