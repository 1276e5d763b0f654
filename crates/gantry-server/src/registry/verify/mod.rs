//! Whether what is stored is still what was pushed.
//!
//! Bytes are read again from time to time (`pass`), when somebody pulls a whole blob that was not read for long (`pull`), and when
//! the operator asks (`full`). What is wrong is hidden, so that clients upload it again, and its file is moved aside; a push of
//! the same bytes makes it whole for every repository. Nothing is removed here.
//!
//! All of this goes on beside pushes, deletes and sweeps. So before anything is done a finding is looked at once more, while
//! nobody pushes or removes the same digest: a blob that has gone is no damage, bytes that were stored anew are left alone, and
//! what somebody is pushing at this moment heals by itself. The row is hidden before the file moves.
//!
//! A disk that fails to read is not bit rot: the bytes may well be right. It is told, and nothing is hidden.

mod full;
mod pass;
mod pull;
mod report;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_oci::Digest;
use gantry_storage::failpoint::Point;
use gantry_storage::meta::verify::{BlobRow, BlobState, RowBytes};
use gantry_storage::{
    Damaged, Hashed, Identity, MetaStore, Pace, StorageError, StorageId, Storages, Timestamp,
};

use super::locks::{DigestLocks, Removing};
use super::{Result, in_own_task, pass};

pub use report::{Action, Event, Finding, Kind, Report, Stage};

/// How often everything is read again, and how fast.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How old a check may become; `None`: nothing is checked by itself.
    pub interval: Option<Duration>,
    /// Bytes that the background reads in a second.
    pub rate: u64,
}

/// The checks of one registry. A clone is another handle to the same.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    meta: Arc<dyn MetaStore>,
    storages: Storages,
    locks: Arc<DigestLocks>,
    interval: Option<Duration>,
    pace: Pace,
    bytes: AtomicU64,
    damage: AtomicU64,
    /// At the last measurement.
    damaged_now: Mutex<Damaged>,
    /// Found right by a pull, not written down yet.
    noted: Mutex<Vec<(StorageId, Digest)>>,
}

/// Counters since start, and how much is damaged.
#[derive(Clone, Copy, Debug, Default)]
pub struct VerifyReadings {
    /// Bytes that were read to be checked.
    pub bytes: u64,
    /// Blobs and manifests that were found damaged.
    pub damage: u64,
    /// What is damaged at the last measurement.
    pub damaged: Damaged,
}

/// A blob by the storage that has its bytes, and its digest.
type Place = (StorageId, Digest);

/// What is wrong with a blob's bytes in the blob store.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    kind: Kind,
    detail: String,
    /// The bytes that are meant; `None`: there are none.
    seen: Option<Identity>,
}

/// What a look at a blob came to.
enum Verdict {
    Whole,
    Wrong(Wrong),
    /// The disk does not give it.
    Unreadable(String),
}

/// What was done about wrong bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condemned {
    /// Hidden, and moved aside if there was something to move.
    Hidden { moved: bool, known: bool },
    /// The row has gone, or other bytes are stored by now or just being stored.
    Passed,
}

impl Verifier {
    pub(super) fn new(
        meta: Arc<dyn MetaStore>,
        storages: Storages,
        locks: Arc<DigestLocks>,
        schedule: Schedule,
    ) -> Self {
        Self(Arc::new(Inner {
            meta,
            storages,
            locks,
            interval: schedule.interval,
            pace: Pace::new(Some(schedule.rate)),
            bytes: AtomicU64::new(0),
            damage: AtomicU64::new(0),
            damaged_now: Mutex::default(),
            noted: Mutex::default(),
        }))
    }

    /// For metrics.
    pub fn readings(&self) -> VerifyReadings {
        VerifyReadings {
            bytes: self.0.bytes.load(Ordering::Relaxed),
            damage: self.0.damage.load(Ordering::Relaxed) + self.0.meta.stats().damage_met,
            damaged: *self.0.damaged_now.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Counts what is damaged now.
    ///
    /// # Errors
    /// The store failed.
    pub async fn measure(&self) -> Result<Damaged> {
        let damaged = self.0.meta.damaged().await?;
        *self.0.damaged_now.lock().unwrap_or_else(PoisonError::into_inner) = damaged;
        Ok(damaged)
    }

    /// Bytes that should be there and are not, or not as many as they should be, noticed when somebody asked for them.
    pub(super) async fn lost(&self, storage: StorageId, digest: &Digest, size: u64) {
        if let Err(error) = self.look_for(storage, digest, size).await {
            tracing::warn!(%digest, %error, "looking for lost bytes failed");
        }
    }

    /// Bytes that somebody who read them all found to be those of another digest.
    pub(super) async fn wrong(&self, storage: StorageId, digest: Digest, actual: Digest, seen: Identity) {
        let detail = format!("the bytes are those of {actual}");
        let wrong = Wrong { kind: Kind::BlobDamaged, detail, seen: Some(seen) };
        if let Err(error) = self.0.condemn((storage, digest), &wrong).await {
            tracing::error!(%digest, %error, "blob {digest} is damaged and could not be hidden");
        }
    }

    async fn look_for(&self, storage: StorageId, digest: &Digest, size: u64) -> Result<()> {
        let Inner { meta, storages, .. } = &*self.0;
        let blobs = storages.blobs(storage)?;
        let Some(state) = meta.blob_state(storage, digest).await? else { return Ok(()) };
        let location = state.location.as_deref();
        let seen = blobs.identity(digest, location).await?;
        // Between the two looks it may have been stored anew.
        if state.size != size || blobs.open(digest, location, size).await?.is_some() {
            return Ok(());
        }
        self.0.check_home(storage).await?;
        let wrong = match seen {
            None => Wrong::missing(),
            Some(_) => Wrong {
                kind: Kind::BlobSize,
                detail: format!("the file has not the {size} bytes that it should have"),
                seen,
            },
        };
        self.0.condemn((storage, *digest), &wrong).await.map(drop)
    }
}

impl Wrong {
    fn missing() -> Self {
        Self { kind: Kind::BlobMissing, detail: "the file is missing".to_owned(), seen: None }
    }
}

impl Inner {
    /// An empty mount point in the place of the blob store must not condemn everything.
    async fn check_home(&self, storage: StorageId) -> Result<()> {
        if self.storages.blobs(storage)?.is_at_home().await? {
            return Ok(());
        }
        let message = format!(
            "the marker gantry.store of the storage {} is not there: is its disk mounted? Nothing is taken for lost",
            self.name(storage)
        );
        Err(StorageError::Unavailable { during: "looking at the blob store", message }.into())
    }

    /// Reads a blob's bytes in the blob store.
    async fn examine(&self, row: &BlobRow, location: Option<&str>, pace: &Pace) -> Result<Verdict> {
        let hashed = match self.storages.blobs(row.storage)?.hash(&row.digest, location, pace).await {
            Ok(hashed) => hashed,
            Err(error @ StorageError::Unavailable { .. }) => return Err(error.into()),
            Err(error) => return Ok(Verdict::Unreadable(error.to_string())),
        };
        let Hashed::Bytes { actual, size, identity } = hashed else {
            self.check_home(row.storage).await?;
            return Ok(Verdict::Wrong(Wrong::missing()));
        };
        self.bytes.fetch_add(size, Ordering::Relaxed);
        let seen = Some(identity);
        Ok(if size != row.size {
            let detail = format!("the file has {size} bytes and should have {}", row.size);
            Verdict::Wrong(Wrong { kind: Kind::BlobSize, detail, seen })
        } else if actual != row.digest {
            let detail = format!("the bytes are those of {actual}");
            Verdict::Wrong(Wrong { kind: Kind::BlobDamaged, detail, seen })
        } else {
            Verdict::Whole
        })
    }

    /// The row as it stands, if it still speaks of the bytes that were found wrong.
    async fn confirm(&self, (storage, digest): Place, wrong: &Wrong) -> Result<Option<BlobState>> {
        let Some(state) = self.meta.blob_state(storage, &digest).await? else { return Ok(None) };
        let blobs = self.storages.blobs(storage)?;
        let seen = blobs.identity(&digest, state.location.as_deref()).await?;
        Ok(Some(state).filter(|_| seen == wrong.seen))
    }

    /// Hides a blob whose bytes are wrong and moves them aside, unless they were stored anew meanwhile.
    async fn condemn(self: &Arc<Self>, place: Place, wrong: &Wrong) -> Result<Condemned> {
        let (this, wrong) = (Arc::clone(self), wrong.clone());
        in_own_task(async move { this.condemn_alone(place, &wrong).await }).await
    }

    async fn condemn_alone(&self, place: Place, wrong: &Wrong) -> Result<Condemned> {
        let (storage, digest) = (place.0, &place.1);
        let Some(_alone) = self.locks.try_removing(digest) else { return Ok(Condemned::Passed) };
        let Some(state) = self.confirm(place, wrong).await? else { return Ok(Condemned::Passed) };
        let known = state.damaged_at.is_some();
        if !known && !self.meta.hide_blob(storage, digest).await? {
            return Ok(Condemned::Passed);
        }
        if !known {
            self.damage.fetch_add(1, Ordering::Relaxed);
            let repositories = self.holders(place).await?;
            tracing::error!(
                %digest,
                ?repositories,
                storage = self.name(storage),
                "blob {digest} is damaged ({}): it is not found from now on, and a new push heals it",
                wrong.detail
            );
        }
        pass(Point::DamageMarked)?;
        let moved = match wrong.seen {
            Some(identity) => {
                self.storages.blobs(storage)?.set_aside(digest, state.location.as_deref(), identity).await?
            }
            None => false,
        };
        pass(Point::DamageAside)?;
        Ok(Condemned::Hidden { moved, known })
    }

    /// Moves aside a file that no row knows. The lock is held until that is done, whoever goes away meanwhile.
    async fn set_aside_unknown(
        &self,
        (storage, digest): Place,
        identity: Identity,
        alone: Removing,
    ) -> Result<bool> {
        let blobs = Arc::clone(self.storages.blobs(storage)?);
        in_own_task(async move {
            let moved = blobs.set_aside(&digest, None, identity).await?;
            drop(alone);
            Ok(moved)
        })
        .await
    }

    /// Some of the repositories that link a blob, for people.
    async fn holders(&self, (storage, digest): Place) -> Result<Vec<String>> {
        let holders = self.meta.blob_holders(storage, &digest, NAMED).await?;
        Ok(holders.iter().map(ToString::to_string).collect())
    }

    /// What people call a storage.
    fn name(&self, storage: StorageId) -> &str {
        self.storages.get(storage).map_or("", |storage| &storage.name)
    }

    fn note(&self, place: Place) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).push(place);
    }

    fn is_due(&self, verified_at: Timestamp) -> bool {
        self.interval.is_some_and(|interval| verified_at < self.meta.now().minus(interval))
    }
}

/// Repositories named beside a finding.
const NAMED: usize = 5;

/// The blob's place in the blob store, if its bytes are there.
fn stored(row: &BlobRow) -> Option<Option<&str>> {
    match &row.bytes {
        RowBytes::Stored { location } => Some(location.as_deref()),
        RowBytes::Inline { .. } => None,
    }
}
