//! The check that never ends: whatever was not read for `verify.interval` is read again, slowly.
//!
//! What comes next is asked of the rows, by small pages, the longest unread first; the store is never listed. What was found
//! right is written down many at a time.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_oci::Digest;
use gantry_storage::meta::verify::{BlobRow, ManifestRow, Row, RowBytes, Walk};
use gantry_storage::{StorageError, Timestamp};

use super::{Inner, Place, Result, Verdict, Verifier, stored};
use crate::registry::RegistryError;

/// Rows in a page.
const PAGE: usize = 64;
/// Rows noted in one commit.
const GROUP: usize = 512;
/// The longest time that the background's checks wait to be written down.
const LATEST: Duration = Duration::from_secs(30);
/// The longest time that a pull's check waits to be written down.
const NOTES: Duration = Duration::from_secs(1);
/// How long nothing is tried after the store failed.
const RETRY: Duration = Duration::from_secs(60);

impl Verifier {
    /// Checks what is due, for ever. Returns at once when nothing is checked by itself.
    pub async fn run(&self) {
        let Some(interval) = self.0.interval else { return };
        let pause = (interval / 20).clamp(Duration::from_millis(20), Duration::from_secs(3600));
        loop {
            if self.0.meta.read_only().is_some() {
                // What is found cannot be written down, and everything would be read again and again.
                tokio::time::sleep(RETRY).await;
                continue;
            }
            let pause = match self.0.pass(self.0.meta.now().minus(interval)).await {
                Ok(()) => pause,
                Err(error) => {
                    tracing::warn!(%error, "checking what is stored failed; it is tried again");
                    pause.max(RETRY)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Writes down what pulls found right, for ever.
    pub async fn keep_notes(&self) {
        loop {
            tokio::time::sleep(NOTES).await;
            let mut noted =
                std::mem::take(&mut *self.0.noted.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
            noted.sort_unstable_by_key(|(storage, digest)| (*storage, digest.to_string()));
            noted.dedup();
            self.0.write_down(&mut Right { blobs: noted, manifests: Vec::new() }).await;
        }
    }
}

/// What was found right and is not written down yet.
#[derive(Default)]
pub(super) struct Right {
    pub(super) blobs: Vec<Place>,
    pub(super) manifests: Vec<i64>,
}

impl Right {
    fn is_full(&self) -> bool {
        self.blobs.len() + self.manifests.len() >= GROUP
    }
}

impl Inner {
    /// Everything that was not checked since `before`.
    async fn pass(self: &Arc<Self>, before: Timestamp) -> Result<()> {
        let mut right = Right::default();
        let outcome = self.pass_rows(before, &mut right).await;
        self.write_down(&mut right).await;
        outcome
    }

    async fn pass_rows(self: &Arc<Self>, before: Timestamp, right: &mut Right) -> Result<()> {
        let mut noted = Instant::now();
        let mut walk = Walk::due(before);
        // Storages that do not answer, and what one of them said: the others are checked nevertheless.
        let (mut away, mut failed) = (HashSet::new(), None);
        loop {
            let rows = self.meta.blobs_to_verify(walk, PAGE).await?;
            let Some(last) = rows.last() else { break };
            walk = walk.behind(last.verified_at, last.id);
            for row in &rows {
                let storage = row.content.as_ref().ok().map(|blob| blob.storage);
                if storage.is_some_and(|storage| away.contains(&storage)) {
                    continue;
                }
                match (self.pass_blob(row).await, storage) {
                    (Ok(found), _) => right.blobs.extend(found),
                    (
                        Err(error @ RegistryError::Storage(StorageError::Unavailable { .. })),
                        Some(storage),
                    ) => {
                        away.insert(storage);
                        failed = Some(error);
                    }
                    (Err(error), _) => return Err(error),
                }
                if right.is_full() || noted.elapsed() > LATEST {
                    noted = Instant::now();
                    self.write_down(right).await;
                }
            }
        }
        let mut walk = Walk::due(before);
        loop {
            let rows = self.meta.manifests_to_verify(walk, PAGE).await?;
            let Some(last) = rows.last() else { return failed.map_or(Ok(()), Err) };
            walk = walk.behind(last.verified_at, last.id);
            for row in &rows {
                right.manifests.extend(self.pass_manifest(row).await?.then_some(row.id));
            }
            self.write_down_many(right).await;
        }
    }

    /// The blob's place, if it is right.
    async fn pass_blob(self: &Arc<Self>, row: &Row<BlobRow>) -> Result<Option<Place>> {
        let blob = match &row.content {
            Ok(blob) => blob,
            Err(error) => {
                tracing::error!(row = row.id, %error, "a row of the blobs cannot be read: the database is damaged");
                return Ok(None);
            }
        };
        let digest = blob.digest;
        if let RowBytes::Inline { whole } = blob.bytes {
            self.read_row(blob.size).await;
            if !whole && self.meta.hide_inline_blob(&digest).await? {
                self.damaged_row("blob", &digest);
            }
            return Ok(whole.then_some((blob.storage, digest)));
        }
        match self.examine(blob, stored(blob).flatten(), &self.pace).await? {
            Verdict::Whole => Ok(Some((blob.storage, digest))),
            Verdict::Wrong(wrong) => self.condemn((blob.storage, digest), &wrong).await.map(|_| None),
            Verdict::Unreadable(error) => {
                tracing::error!(%digest, %error, "the bytes of blob {digest} cannot be read; they are left as they are");
                Ok(None)
            }
        }
    }

    /// Whether the manifest is right.
    async fn pass_manifest(&self, row: &Row<ManifestRow>) -> Result<bool> {
        let manifest = match &row.content {
            Ok(manifest) => manifest,
            Err(error) => {
                tracing::error!(row = row.id, %error, "a row of the manifests cannot be read: the database is damaged");
                return Ok(false);
            }
        };
        self.read_row(manifest.size).await;
        if !manifest.whole && self.meta.hide_manifest(&manifest.repo, &manifest.digest).await? {
            self.damaged_row("manifest", &manifest.digest);
        }
        Ok(manifest.whole)
    }

    async fn read_row(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, std::sync::atomic::Ordering::Relaxed);
        self.pace.spend(bytes).await;
    }

    pub(super) fn damaged_row(&self, what: &str, digest: &Digest) {
        self.damage.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        tracing::error!(
            %digest,
            "the bytes of {what} {digest} in the database are damaged: it is not found from now on, and a new push heals it"
        );
    }

    /// Writes down what was found right, in one commit. Should that fail, it is only checked again sooner.
    pub(super) async fn write_down(&self, right: &mut Right) {
        let Right { blobs, manifests } = std::mem::take(right);
        if let Err(error) = self.meta.note_verified(blobs, manifests).await {
            tracing::debug!(%error, "what was checked could not be written down");
        }
    }

    /// The same, once it is worth a commit.
    pub(super) async fn write_down_many(&self, right: &mut Right) {
        if right.is_full() {
            self.write_down(right).await;
        }
    }
}
