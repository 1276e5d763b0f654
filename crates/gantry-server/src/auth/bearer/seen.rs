//! Tokens whose signature was found to be right: a pull shows the same one a dozen times, and each look costs a tenth of a
//! millisecond.
//!
//! Kept under the SHA-256 of the whole token, so that nothing else is ever taken for it. Only the signature is remembered: time,
//! audience and whether the key still counts are looked at on every request.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::Verified;

/// Bytes of tokens that are remembered, in about that much memory.
const BYTES: u64 = 8 << 20;

type Hash = [u8; 32];

/// The length of the token stands in for the size of what was in it.
#[derive(Clone)]
struct Length;

impl Weighter<Hash, (Arc<Verified>, usize)> for Length {
    fn weight(&self, _: &Hash, (_, length): &(Arc<Verified>, usize)) -> u64 {
        *length as u64 + 256
    }
}

/// Tokens seen before.
pub(super) struct Seen(Cache<Hash, (Arc<Verified>, usize), Length>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(BYTES as usize / 1024, BYTES, Length))
    }

    pub(super) fn hash(token: &str) -> Hash {
        Sha256::digest(token.as_bytes()).into()
    }

    pub(super) fn get(&self, hash: &Hash) -> Option<Arc<Verified>> {
        self.0.get(hash).map(|(known, _)| known)
    }

    pub(super) fn insert(&self, hash: Hash, verified: &Arc<Verified>, length: usize) {
        self.0.insert(hash, (Arc::clone(verified), length));
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
