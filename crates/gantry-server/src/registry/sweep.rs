//! Freeing what nothing names any more, while everything else goes on.
//!
//! Candidates come from rows with an old date, never from listing the store. Each is decided about in the transaction that
//! removes it ([`gantry_storage::lease`] decides); then, when that is durable, its file goes. Batches are small and
//! followed by a pause as long as they took, so that the writer always has time for requests. A sweep that is cut short
//! leaves nothing behind that the next one does not find.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use gantry_storage::failpoint::Point;
use gantry_storage::{
    Candidate, CandidateKind, DeletedSubject, FreedBlob, StorageError, Sweep, Terms, Verdict,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::SendTimeoutError;

use super::{Registry, Result, pass};

/// Candidates decided about in one transaction.
const BATCH: usize = 64;
/// The same for images, with each of which a chain may go.
const IMAGES: usize = 8;
/// Files removed between two syncs of their directories.
const FILES: usize = 512;
/// The longest pause after a batch.
const PAUSE: Duration = Duration::from_millis(50);

/// How long a sweep waits for somebody who reads what it tells, while others wait for the sweep.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that the sweep looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepItem {
    /// What it is.
    pub kind: Swept,
    /// Where it is.
    pub repository: String,
    /// Its digest; of an image its id, as a digest.
    pub digest: String,
    /// In bytes.
    pub size: u64,
    /// For how long nothing has named it, in seconds.
    pub idle_seconds: u64,
    /// What became of it.
    pub fate: Fate,
    /// Why.
    pub reason: String,
}

/// Kinds of things that a sweep removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Swept {
    /// A manifest that neither a tag nor an index named.
    Manifest,
    /// A manifest whose subject was deleted.
    Referrer,
    /// A blob in a repository of which no manifest and no image named it; another repository may have it still.
    Link,
    /// An image of v1 that no manifest and no other image needed.
    Image,
}

impl Swept {
    /// As metrics and people call it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Swept::Manifest => "manifest",
            Swept::Referrer => "referrer",
            Swept::Link => "blob",
            Swept::Image => "image",
        }
    }
}

/// What becomes of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is gone.
    Removed,
    /// It would be, had this not been a dry run.
    WouldGo,
    /// It stays.
    Kept,
}

/// What a sweep did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Manifests removed that neither a tag nor an index named.
    pub manifests: u64,
    /// Manifests removed whose subject was deleted.
    pub referrers: u64,
    /// Images of v1 removed that no manifest and no other image needed.
    #[serde(default)]
    pub images: u64,
    /// Blobs taken out of a repository.
    pub links: u64,
    /// Of these: blobs that no other repository has, so that their bytes go.
    pub blobs: u64,
    /// Their bytes, and those of the manifests.
    pub bytes: u64,
    /// Files removed, those included whose blobs clients deleted.
    pub files: u64,
    /// Candidates that stay, by reason.
    pub kept: BTreeMap<String, u64>,
    /// How long it took, in milliseconds.
    pub milliseconds: u64,
}

/// What one sweep carries along.
struct Run<'a> {
    registry: &'a Registry,
    tell: Option<&'a Sender<SweepItem>>,
    report: SweepReport,
}

impl Registry {
    /// Removes what nothing has named for longer than the terms, and tells what. With `dry_run`: only tells. A second sweep
    /// waits for the first.
    ///
    /// # Errors
    /// The store failed; what was removed before stays removed.
    pub async fn sweep(&self, dry_run: bool, tell: Option<&Sender<SweepItem>>) -> Result<SweepReport> {
        // A dry run only reads, for as long as somebody takes to read what it tells.
        let _alone = if dry_run { None } else { Some(self.sweeping.lock().await) };
        let started = Instant::now();
        // Sessions that have no row yet get one, which the transactions see.
        if !dry_run {
            self.meta.flush().await?;
        }
        let mut run = Run { registry: self, tell, report: SweepReport { dry_run, ..SweepReport::default() } };
        run.referrers().await?;
        if let Some(terms) = self.limits.untagged {
            run.dated(CandidateKind::Manifest, terms).await?;
        }
        // With them goes what keeps their layers, whose own date begins then.
        run.dated(CandidateKind::Image, self.limits.promises).await?;
        run.dated(CandidateKind::Link, self.limits.promises).await?;
        run.files().await?;
        let mut report = run.report;
        report.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(report)
    }
}

impl Run<'_> {
    /// What has a date of its own: links, manifests and images.
    async fn dated(&mut self, kind: CandidateKind, terms: Terms) -> Result<()> {
        let meta = &self.registry.meta;
        let cutoff = terms.cutoff(meta.now());
        let batch = if kind == CandidateKind::Image { IMAGES } else { BATCH };
        let mut after = None;
        loop {
            let page = meta.candidates(kind, cutoff, after, batch).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.cursor.clone());
            self.decide(page, terms).await?;
        }
    }

    /// The referrers of deleted subjects.
    async fn referrers(&mut self) -> Result<()> {
        let meta = &self.registry.meta;
        let terms = self.registry.limits.promises;
        let cutoff = terms.cutoff(meta.now());
        let mut after = None;
        loop {
            let subjects = meta.deleted_subjects(cutoff, after, BATCH).await?;
            let Some(last) = subjects.last() else { return Ok(()) };
            after = Some(last.cursor.clone());
            for subject in subjects {
                let settled = self.referrers_of(&subject, terms).await?;
                if settled && !self.report.dry_run {
                    pass(Point::LapsedSubject)?;
                    meta.forget_subject(&subject).await?;
                }
            }
        }
    }

    /// Says whether all that should go has gone.
    async fn referrers_of(&mut self, subject: &DeletedSubject, terms: Terms) -> Result<bool> {
        let (mut settled, mut after) = (true, 0);
        loop {
            let page = self.registry.meta.orphaned_referrers(subject, after, BATCH).await?;
            let Some(last) = page.last() else { return Ok(settled) };
            after = last.cursor.number();
            settled &= self.decide(page, terms).await?;
        }
    }

    /// One transaction. Says whether none of the candidates has to be looked at again.
    async fn decide(&mut self, candidates: Vec<Candidate>, terms: Terms) -> Result<bool> {
        let started = Instant::now();
        let uploading = self.registry.uploads.repositories();
        let dry_run = self.report.dry_run;
        let swept = self.registry.meta.sweep(Sweep { candidates, terms, uploading, dry_run }).await?;
        pass(Point::LapsedDecided)?;
        let now = self.registry.meta.now();
        let mut settled = true;
        for one in swept {
            let candidate = &one.candidate;
            let kind = match candidate.kind {
                CandidateKind::Link => Swept::Link,
                CandidateKind::Manifest => Swept::Manifest,
                CandidateKind::Referrer => Swept::Referrer,
                CandidateKind::Image => Swept::Image,
            };
            let (fate, reason) = match one.verdict {
                Verdict::Remove if dry_run => (Fate::WouldGo, why(candidate, one.frees)),
                Verdict::Remove => (Fate::Removed, why(candidate, one.frees)),
                Verdict::Keep(reason) => {
                    settled &= reason.is_final();
                    *self.report.kept.entry(reason.as_str().to_owned()).or_default() += 1;
                    (Fate::Kept, reason.as_str().to_owned())
                }
            };
            if fate != Fate::Kept {
                self.count(kind, candidate.size, one.frees);
            }
            let idle = now.0.saturating_sub(candidate.since.0) / 1_000_000;
            let item = SweepItem {
                kind,
                repository: candidate.repo.to_string(),
                digest: candidate.digest.to_string(),
                size: candidate.size,
                idle_seconds: u64::try_from(idle).unwrap_or(0),
                fate,
                reason,
            };
            if fate == Fate::Removed {
                tracing::info!(
                    target: "sweep",
                    repository = item.repository,
                    digest = item.digest,
                    bytes = item.size,
                    "removed {} {} from {}: {}",
                    kind.as_str(), item.digest, item.repository, item.reason
                );
            }
            if let Some(tell) = self.tell {
                // Whoever asked may have gone; the sweep goes on.
                if dry_run {
                    let _ = tell.send(item).await;
                } else if let Err(SendTimeoutError::Timeout(_)) = tell.send_timeout(item, PATIENCE).await {
                    tracing::warn!("nobody reads what the sweep tells; it goes on without telling");
                    self.tell = None;
                }
            }
        }
        if !dry_run {
            tokio::time::sleep(started.elapsed().min(PAUSE)).await;
        }
        Ok(settled)
    }

    fn count(&mut self, kind: Swept, size: u64, frees: bool) {
        let report = &mut self.report;
        match kind {
            Swept::Manifest => report.manifests += 1,
            Swept::Referrer => report.referrers += 1,
            Swept::Link => report.links += 1,
            Swept::Image => report.images += 1,
        }
        if frees {
            report.bytes += size;
            report.blobs += u64::from(kind == Swept::Link);
        }
    }

    /// Bytes whose rows are gone, by this sweep or because a client deleted them.
    async fn files(&mut self) -> Result<()> {
        let registry = self.registry;
        let mut after = 0;
        loop {
            let page = registry.meta.freed_blobs(after, FILES).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.number;
            if self.report.dry_run {
                self.report.files += page.len() as u64;
                continue;
            }
            let mut done = Vec::with_capacity(page.len());
            // Bytes that a crash left between their name and their row: their session goes on with them.
            let awaited = registry.meta.upload_digests().await?;
            for freed in page {
                if !awaited.contains(&freed.digest) && self.remove_file(&freed).await? {
                    done.push(freed);
                }
            }
            for storage in registry.storages().iter() {
                let here = done.iter().filter(|freed| freed.storage == storage.id);
                storage.blobs.settle_removed(here.map(|freed| freed.digest).collect()).await?;
            }
            pass(Point::SweepSettled)?;
            registry.meta.forget_freed(done).await?;
            pass(Point::SweepForgotten)?;
        }
    }

    /// Says whether this is over; `false`: somebody pushes these bytes at this moment.
    async fn remove_file(&mut self, freed: &FreedBlob) -> Result<bool> {
        let registry = self.registry;
        let Some(_alone) = registry.locks.try_removing(&freed.digest) else { return Ok(false) };
        let has_row = registry.meta.blob_state(freed.storage, &freed.digest).await?.is_some();
        if gantry_storage::lease::may_remove_file(has_row) {
            pass(Point::SweepLooked)?;
            let blobs = registry.storages().blobs(freed.storage)?;
            let existed = match blobs.remove(&freed.digest, freed.location.as_deref()).await {
                // One file that does not go, or one storage, must not keep the others.
                Err(error @ (StorageError::Io { .. } | StorageError::ReadOnly { .. })) => {
                    tracing::warn!(digest = %freed.digest, %error, "a file could not be removed; it is tried again");
                    return Ok(false);
                }
                other => other?,
            };
            pass(Point::SweepRemoved)?;
            self.report.files += u64::from(existed);
        }
        Ok(true)
    }
}

/// Why a candidate goes, in words.
fn why(candidate: &Candidate, frees: bool) -> String {
    match (candidate.kind, &candidate.subject) {
        (CandidateKind::Link, _) if frees => {
            "no manifest and no image of the repository names it, and no other repository has it: its bytes go".to_owned()
        }
        (CandidateKind::Link, _) => {
            "no manifest and no image of the repository names it; other repositories keep it".to_owned()
        }
        (CandidateKind::Referrer, Some(subject)) => format!("its subject {subject} was deleted"),
        (CandidateKind::Image, _) => "no manifest is made of it, and no other image stands on it".to_owned(),
        (CandidateKind::Manifest | CandidateKind::Referrer, _) => {
            "neither a tag nor an index names it".to_owned()
        }
    }
}
