//! Tokens whose signature was found to be right: a pull shows the same one a dozen times, and each look costs a tenth of a
//! millisecond.
//!
//! Kept whole, and compared whole, so that nothing else is ever taken for one; by a hash of it, which would do as well, each request
//! would hash a kilobyte. Only the signature is remembered: time, audience and whether the key still counts are looked at on
//! every request.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Verified;

/// Bytes that tokens and what they say take, about.
const BYTES: u64 = 8 << 20;

/// The length of a token stands in for the size of what was in it, too.
#[derive(Clone)]
struct Length;

impl Weighter<Box<str>, Arc<Verified>> for Length {
    fn weight(&self, token: &Box<str>, _: &Arc<Verified>) -> u64 {
        2 * token.len() as u64 + 512
    }
}

/// Tokens seen before.
pub(super) struct Seen(Cache<Box<str>, Arc<Verified>, Length>);

impl Seen {
    pub(super) fn new() -> Self {
        Self(Cache::with_weighter(BYTES as usize / 2048, BYTES, Length))
    }

    pub(super) fn get(&self, token: &str) -> Option<Arc<Verified>> {
        self.0.get(token)
    }

    pub(super) fn insert(&self, token: &str, verified: &Arc<Verified>) {
        self.0.insert(token.into(), Arc::clone(verified));
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
