//! A short memory of good passwords.
//!
//! A check costs tens of milliseconds by design, and a pull makes dozens of requests. So a good answer is kept for
//! a minute after its last use under a keyed hash: neither the password nor anything that it could be guessed from is kept.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::basic::Credentials;

const KEPT: Duration = Duration::from_secs(60);
const MOST: usize = 10_000;

/// Good credentials of the last minute.
pub(super) struct Remember {
    key: [u8; 32],
    known: Mutex<HashMap<[u8; 32], Instant>>,
}

impl Remember {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        for half in key.chunks_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Self { key, known: Mutex::default() }
    }

    /// Whether these credentials were good a moment ago, for the same generation of accounts.
    pub(super) fn knows(&self, generation: u64, credentials: &Credentials) -> bool {
        let hash = self.hash(generation, credentials);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(&hash).filter(|since| since.elapsed() < KEPT) {
            // What is used stays known: a busy client is not sent back into the line every minute.
            Some(since) => {
                *since = Instant::now();
                true
            }
            None => false,
        }
    }

    /// Keeps credentials that were just found to be good.
    pub(super) fn learn(&self, generation: u64, credentials: &Credentials) {
        let hash = self.hash(generation, credentials);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, since| since.elapsed() < KEPT);
        }
        if known.len() < MOST {
            known.insert(hash, Instant::now());
        }
    }

    /// The key stands before and behind, so that neither end can be extended; lengths keep the fields apart.
    fn hash(&self, generation: u64, credentials: &Credentials) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(generation.to_le_bytes());
        hash.update((credentials.name.len() as u64).to_le_bytes());
        hash.update(credentials.name.as_bytes());
        hash.update(&credentials.password);
        hash.update(self.key);
        hash.finalize().into()
    }
}
