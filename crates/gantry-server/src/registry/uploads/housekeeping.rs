//! What happens to sessions that nobody touches: they rest, then they expire, and what a crash left goes.

use std::sync::Arc;
use std::time::Duration;

use gantry_oci::{Hasher, UploadId};
use gantry_storage::Timestamp;
use gantry_storage::failpoint::Point;

use super::super::pass;
use super::{Data, Result, Uploads};

/// A session that has not moved for this long is kept as a row only.
const REST_AFTER: Duration = Duration::from_secs(10);
/// Resting sessions whose bytes are believed without reading them again.
const REMEMBERED: usize = 100_000;
/// Rows that are looked at in one round.
const ROUND: usize = 200;

impl Uploads {
    /// How often [`Self::tidy`] should run.
    pub fn tidy_interval(&self) -> Duration {
        (self.0.expiry / 4).clamp(Duration::from_millis(100), Duration::from_secs(15))
    }

    /// Lets idle sessions rest and ends expired ones. A session that a request is writing to is left alone.
    ///
    /// # Errors
    /// The store failed; the next round goes on where this one ended.
    pub async fn tidy(&self) -> Result<()> {
        let expired = self.0.meta.now().minus(self.0.expiry);
        for row in self.0.meta.expired_uploads(expired, ROUND).await? {
            let held = self.0.lock_sessions().get(&row.id).cloned();
            let Some(session) = held else {
                self.0.lock_resting().remove(&row.id);
                pass(Point::UploadClosing)?;
                let Some(storage) = self.0.places.storages.get(row.storage) else {
                    self.0.meta.delete_upload(&row.id).await?;
                    continue;
                };
                storage.blobs.discard(&row.id).await?;
                // A crash may have left them published, without a row.
                let hasher =
                    Hasher::restore(row.algorithm, &row.hash_state).filter(|_| row.buffered.is_none());
                if let Some(hasher) = hasher {
                    self.0.leave(storage.id, &hasher.finish(), row.offset, None).await?;
                }
                pass(Point::UploadDiscarded)?;
                self.0.meta.delete_upload(&row.id).await?;
                pass(Point::UploadClosed)?;
                tracing::info!(upload = %row.id, repository = %row.repo, "upload session expired");
                continue;
            };
            // Only a session that nobody is writing to, and whose row is not merely behind.
            if let Ok(mut data) = session.data.try_lock()
                && session.touched() < expired
            {
                self.0.close(&session, &mut data).await?;
                tracing::info!(upload = %row.id, repository = %row.repo, "upload session expired");
            }
        }
        self.rest();
        Ok(())
    }

    /// Whether this process holds the session.
    pub(in crate::registry) fn holds(&self, upload: &UploadId) -> bool {
        self.0.lock_sessions().contains_key(upload)
    }

    /// Forgets idle sessions that a row can bring back.
    fn rest(&self) {
        let idle = self.0.meta.now().minus(REST_AFTER);
        let mut resting = self.0.lock_resting();
        self.0.lock_sessions().retain(|id, session| {
            let unused = Arc::strong_count(session) == 1 && session.touched() < idle;
            // Published bytes have no row that could bring them back, and a session that has ended while its row could not
            // be removed must not come back from it: both stay.
            let can_rest = |data: &Data| matches!(data, Data::Buffered { .. } | Data::Staged { .. });
            let rests = unused && session.data.try_lock().is_ok_and(|data| can_rest(&data));
            // Those that are too many to remember are read again when they wake.
            if rests && resting.len() < REMEMBERED {
                resting.insert(*id);
            }
            !rests
        });
    }

    /// Frees staged bytes that no session knows, left by a crash between two steps.
    ///
    /// # Errors
    /// The store failed.
    pub async fn clear_orphans(&self) -> Result<()> {
        let old = Timestamp::now().minus(self.0.expiry);
        for storage in self.0.places.storages.iter() {
            for staged in storage.blobs.staged().await? {
                let held = self.0.lock_sessions().contains_key(&staged.upload);
                if held || staged.modified > old || self.0.meta.upload(&staged.upload).await?.is_some() {
                    continue;
                }
                storage.blobs.discard(&staged.upload).await?;
                tracing::info!(upload = %staged.upload, bytes = staged.size, "freed bytes that no upload session knows");
            }
        }
        Ok(())
    }
}
