//! What a check of everything stored asks of the bytes.
//!
//! Bytes that are wrong are moved aside and never removed: somebody may still make something of them. Which bytes are meant is
//! said by an [`Identity`], so that what was stored anew under the same digest meanwhile stays where it is.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gantry_oci::{Algorithm, Digest};
use tokio::time::Instant;

use crate::clock::Timestamp;
use crate::error::Result;

/// The part of [`crate::BlobStore`] that serves checks.
#[async_trait]
pub trait VerifyBytes {
    /// Whether the medium is the store's own: on an empty mount point every blob would seem lost.
    async fn is_at_home(&self) -> Result<bool>;

    /// Whether another program keeps its own records of what is stored here, so that bytes without a row may be its.
    async fn is_shared(&self) -> Result<bool>;

    /// Reads and hashes all of a blob's bytes, as fast as `pace` lets it, and without pushing out what others have cached.
    /// A failing disk is an error.
    async fn hash(&self, digest: &Digest, location: Option<&str>, pace: &Pace) -> Result<Hashed>;

    /// Which bytes are stored under this digest; `None`: none.
    async fn identity(&self, digest: &Digest, location: Option<&str>) -> Result<Option<Identity>>;

    /// Moves these bytes aside. False: they are not there any more, or others are. The caller makes sure that nobody stores the
    /// digest anew at the same time.
    async fn set_aside(&self, digest: &Digest, location: Option<&str>, identity: Identity) -> Result<bool>;

    /// What is stored below the first two digits `shard` of an algorithm's digests. For finding what no row knows; no request is ever
    /// answered by it.
    async fn list(&self, algorithm: Algorithm, shard: u8) -> Result<Vec<Found>>;
}

/// Names certain bytes: others under the same digest have another one, as long as these are open or stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity(pub(crate) u64, pub(crate) u64);

impl Identity {
    /// Of bytes that are stored nowhere yet.
    #[must_use]
    pub fn of_nothing_stored() -> Self {
        Self(u64::MAX, u64::MAX)
    }
}

/// What a check of a blob's bytes found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hashed {
    /// There are none.
    Missing,
    /// These.
    Bytes {
        /// What they are the bytes of.
        actual: Digest,
        /// How many they are.
        size: u64,
        /// Which they are.
        identity: Identity,
    },
}

/// Something in the blob store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its path below the store's root.
    pub path: String,
    /// What it is stored as; `None`: it is not named like a blob.
    pub blob: Option<(Digest, Identity)>,
    /// In bytes.
    pub size: u64,
    /// When it last changed, name and place included.
    pub changed: Timestamp,
}

/// How fast checks may read.
#[derive(Debug)]
pub struct Pace {
    /// In bytes.
    per_second: Option<u64>,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many bytes in a second; `None`: as fast as it goes.
    #[must_use]
    pub fn new(per_second: Option<u64>) -> Pace {
        Pace { per_second, next: Mutex::default() }
    }

    /// Accounts for bytes that were read, and waits until more may be.
    pub async fn spend(&self, bytes: u64) {
        let Some(rate) = self.per_second else { return };
        let cost = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let until = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not used is not saved up.
            let until = next.map_or_else(Instant::now, |next| next.max(Instant::now())) + cost;
            *next = Some(until);
            until
        };
        tokio::time::sleep_until(until).await;
    }
}
