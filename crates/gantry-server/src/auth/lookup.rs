//! Accounts and tokens by what callers show, read once for each generation of the rows.
//!
//! A pull asks for the same account dozens of times. What was read stays good until any row of access changes, which the store
//! counts; nothing is kept of names and tokens that are nobody's, so that inventing them fills nothing.

use std::hash::Hash;
use std::sync::Arc;

use gantry_storage::meta::access::{Account, SecretHash, Token};
use gantry_storage::{MetaStore, Result};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use uuid::Uuid;

/// Accounts, and tokens, that are kept.
const KEPT: usize = 4096;

type Dated<T> = (u64, Arc<T>);

/// Reads, and keeps for a while.
pub(super) struct Lookup {
    meta: Arc<dyn MetaStore>,
    accounts: Cache<Box<str>, Dated<Account>>,
    tokens: Cache<SecretHash, Dated<Token>>,
    /// The same by what bearer tokens name them by.
    by_id: Cache<Uuid, Dated<Token>>,
}

impl Lookup {
    pub(super) fn new(meta: Arc<dyn MetaStore>) -> Self {
        Self { meta, accounts: Cache::new(KEPT), tokens: Cache::new(KEPT), by_id: Cache::new(KEPT) }
    }

    pub(super) fn meta(&self) -> &Arc<dyn MetaStore> {
        &self.meta
    }

    pub(super) async fn account(&self, name: &str) -> Result<Option<Arc<Account>>> {
        // Before the read: a change during it makes the answer old.
        let generation = self.meta.access_generation();
        if let Some(account) = fresh(&self.accounts, name, generation) {
            return Ok(Some(account));
        }
        let account = self.meta.account(name).await?;
        if let Some(account) = &account {
            self.accounts.insert(name.into(), (generation, Arc::clone(account)));
        }
        Ok(account)
    }

    pub(super) async fn token(&self, hash: &SecretHash) -> Result<Option<Arc<Token>>> {
        let generation = self.meta.access_generation();
        if let Some(token) = fresh(&self.tokens, hash, generation) {
            return Ok(Some(token));
        }
        let token = self.meta.token_by_hash(hash).await?;
        if let Some(token) = &token {
            self.tokens.insert(*hash, (generation, Arc::clone(token)));
        }
        Ok(token)
    }

    pub(super) async fn token_by_id(&self, id: Uuid) -> Result<Option<Arc<Token>>> {
        let generation = self.meta.access_generation();
        if let Some(token) = fresh(&self.by_id, &id, generation) {
            return Ok(Some(token));
        }
        let token = self.meta.token(id).await?;
        if let Some(token) = &token {
            self.by_id.insert(id, (generation, Arc::clone(token)));
        }
        Ok(token)
    }
}

fn fresh<K, Q, T>(cache: &Cache<K, Dated<T>>, key: &Q, generation: u64) -> Option<Arc<T>>
where
    K: Eq + Hash,
    Q: Hash + Equivalent<K> + ?Sized,
{
    cache.get(key).filter(|(of, _)| *of == generation).map(|(_, value)| value)
}
