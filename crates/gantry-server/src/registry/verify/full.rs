//! The check that an operator asks for: everything that is stored, in both directions.
//!
//! From the rows to the bytes (is every blob and manifest there and whole?) and from the bytes to the rows (does somebody
//! know this file?). It only tells, unless it is asked to repair; then what is wrong is hidden and moved aside, and what was
//! marked as damaged and is right again is shown again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_oci::{Algorithm, Digest};
use gantry_storage::blobs::verify::Found;
use gantry_storage::meta::verify::{BlobRow, ManifestRow, Row, RowBytes, Walk};
use gantry_storage::{Pace, Storage, StorageError, StorageId};
use tokio::sync::mpsc;

use super::pass::Right;
use super::{
    Action, Condemned, Event, Finding, Inner, Kind, Place, Report, Result, Stage, Verdict, Wrong, stored,
};
use crate::registry::{Registry, RegistryError, Uploads};

/// Rows in a page.
const PAGE: usize = 64;
/// Lines that the database may say about itself.
const STRUCTURE: usize = 100;
/// Dangling edges told for each page of manifests.
const EDGES: usize = 100;
/// How often it tells where it stands.
const PROGRESS: Duration = Duration::from_millis(500);

impl Registry {
    /// Checks everything, and tells `events` what it finds; the last one is [`Event::Done`] or [`Event::Failed`]. Ends early when
    /// nobody listens any more.
    pub async fn verify(&self, repair: bool, events: mpsc::Sender<Event>) {
        let checks = &self.verifier.0;
        let report = Report { repair, ..Report::default() };
        let mut full = Full {
            checks,
            uploads: &self.uploads,
            report,
            events,
            told: Instant::now(),
            expiry: self.limits.upload_expiry,
        };
        let last = match full.run().await {
            Ok(()) => Event::Done(full.report),
            Err(Stop::Failed(error)) => Event::Failed { message: error.to_string() },
            Err(Stop::NobodyListens) => return,
        };
        // Nobody may be there to hear it.
        let _ = full.events.send(last).await;
    }
}

/// Why a check ends early.
enum Stop {
    Failed(RegistryError),
    NobodyListens,
}

impl From<RegistryError> for Stop {
    fn from(error: RegistryError) -> Self {
        Self::Failed(error)
    }
}

impl From<StorageError> for Stop {
    fn from(error: StorageError) -> Self {
        Self::Failed(error.into())
    }
}

struct Full<'a> {
    checks: &'a Arc<Inner>,
    uploads: &'a Uploads,
    report: Report,
    events: mpsc::Sender<Event>,
    told: Instant,
    expiry: Duration,
}

impl Full<'_> {
    async fn run(&mut self) -> Result<(), Stop> {
        self.database().await?;
        self.blobs().await?;
        self.manifests().await?;
        self.files().await?;
        self.leftovers().await
    }

    async fn tell(&mut self, finding: Finding) -> Result<(), Stop> {
        if finding.kind.is_damage() {
            self.report.damage += 1;
            let repaired = [Action::Hidden, Action::Quarantined, Action::Healed];
            self.report.repaired += u64::from(repaired.contains(&finding.action));
        } else {
            self.report.notes += 1;
        }
        self.events.send(Event::Finding(finding)).await.map_err(|_| Stop::NobodyListens)
    }

    async fn progress(&mut self, stage: Stage, done: u64) -> Result<(), Stop> {
        if self.told.elapsed() < PROGRESS {
            return Ok(());
        }
        self.told = Instant::now();
        let event = Event::Progress { stage, done, bytes: self.report.bytes };
        self.events.send(event).await.map_err(|_| Stop::NobodyListens)
    }

    /// A page of rows; damage of the database is told, and ends the walk.
    async fn page<T>(
        &mut self,
        what: &str,
        page: gantry_storage::Result<Vec<Row<T>>>,
    ) -> Result<Vec<Row<T>>, Stop> {
        match page {
            Ok(rows) => Ok(rows),
            Err(error @ (StorageError::Corrupt { .. } | StorageError::Io { .. })) => {
                self.tell(Finding {
                    kind: Kind::Database,
                    subject: what.to_owned(),
                    detail: format!("the rest cannot be read: {error}"),
                    repositories: Vec::new(),
                    action: Action::Reported,
                })
                .await?;
                Ok(Vec::new())
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn bad_row(&mut self, what: &str, id: i64, error: &str) -> Result<(), Stop> {
        self.tell(Finding {
            kind: Kind::Row,
            subject: format!("{what} {id}"),
            detail: error.to_owned(),
            repositories: Vec::new(),
            action: Action::Reported,
        })
        .await
    }

    async fn database(&mut self) -> Result<(), Stop> {
        let lines = match self.checks.meta.check_structure(STRUCTURE).await {
            Ok(lines) => lines,
            Err(error @ (StorageError::Corrupt { .. } | StorageError::Io { .. })) => vec![error.to_string()],
            Err(error) => return Err(error.into()),
        };
        for detail in lines {
            let subject = "gantry.db".to_owned();
            let repositories = Vec::new();
            let kind = Kind::Database;
            self.tell(Finding { kind, subject, detail, repositories, action: Action::Reported }).await?;
        }
        self.progress(Stage::Database, 1).await
    }

    async fn blobs(&mut self) -> Result<(), Stop> {
        let mut right = Right::default();
        let mut walk = Walk::EVERYTHING;
        loop {
            let page = self.checks.meta.blobs_to_verify(walk, PAGE).await;
            let rows = self.page("blobs", page).await?;
            let Some(last) = rows.last() else { break };
            walk = walk.behind(last.verified_at, last.id);
            for row in &rows {
                self.report.blobs += 1;
                match &row.content {
                    Ok(blob) => {
                        right.blobs.extend(self.blob(blob).await?.then_some((blob.storage, blob.digest)));
                    }
                    Err(error) => self.bad_row("blob", row.id, error).await?,
                }
                self.progress(Stage::Blobs, self.report.blobs).await?;
            }
            self.checks.write_down_many(&mut right).await;
        }
        self.checks.write_down(&mut right).await;
        Ok(())
    }

    /// Whether the blob is right.
    async fn blob(&mut self, blob: &BlobRow) -> Result<bool, Stop> {
        let Some(location) = stored(blob) else { return self.inline_blob(blob).await };
        let verdict = self.checks.examine(blob, location, &Pace::new(None)).await?;
        let place = (blob.storage, blob.digest);
        match verdict {
            Verdict::Whole => {
                self.report.bytes += blob.size;
                if blob.damaged_at.is_some() {
                    self.right_again(place).await?;
                }
                Ok(true)
            }
            Verdict::Wrong(wrong) => self.wrong(place, wrong).await.map(|()| false),
            Verdict::Unreadable(detail) => {
                let repositories = self.checks.holders(place).await?;
                let (kind, subject) = (Kind::BlobUnreadable, blob.digest.to_string());
                let detail = format!(
                    "{detail}{}; the bytes may be right, so nothing is done",
                    self.within(blob.storage)
                );
                self.tell(Finding { kind, subject, detail, repositories, action: Action::Kept }).await?;
                Ok(false)
            }
        }
    }

    async fn wrong(&mut self, place: Place, wrong: Wrong) -> Result<(), Stop> {
        let action = if self.report.repair {
            match self.checks.condemn(place, &wrong).await? {
                Condemned::Passed => return Ok(()),
                Condemned::Hidden { moved: true, .. } => Action::Quarantined,
                Condemned::Hidden { known: true, .. } => Action::Kept,
                Condemned::Hidden { .. } => Action::Hidden,
            }
        } else {
            match self.checks.confirm(place, &wrong).await? {
                None => return Ok(()),
                Some(_) => Action::Reported,
            }
        };
        let Wrong { kind, mut detail, .. } = wrong;
        detail.push_str(&self.within(place.0));
        if action == Action::Kept {
            detail.push_str("; known already, waiting for a push that heals it");
        }
        let repositories = self.checks.holders(place).await?;
        self.tell(Finding { kind, subject: place.1.to_string(), detail, repositories, action }).await
    }

    /// Where something is, for people who have more than one storage.
    fn within(&self, storage: StorageId) -> String {
        match storage {
            StorageId::DEFAULT | StorageId::ROWS => String::new(),
            other => format!(" (storage {})", self.checks.name(other)),
        }
    }

    async fn inline_blob(&mut self, blob: &BlobRow) -> Result<bool, Stop> {
        let RowBytes::Inline { whole } = blob.bytes else { return Ok(false) };
        self.report.bytes += blob.size;
        let (place, digest) = ((blob.storage, blob.digest), &blob.digest);
        if whole {
            if blob.damaged_at.is_some() {
                self.right_again(place).await?;
            }
            return Ok(true);
        }
        let hidden = self.report.repair && self.checks.meta.hide_inline_blob(digest).await?;
        if hidden {
            self.checks.damaged_row("blob", digest);
        } else if self.report.repair && blob.damaged_at.is_none() {
            // Stored anew meanwhile.
            return Ok(false);
        }
        let repositories = self.checks.holders(place).await?;
        let (kind, subject) = (Kind::BlobDamaged, digest.to_string());
        let detail = "the bytes in the database are others".to_owned();
        let action = self.row_action(hidden);
        self.tell(Finding { kind, subject, detail, repositories, action }).await?;
        Ok(false)
    }

    fn row_action(&self, hidden: bool) -> Action {
        match (self.report.repair, hidden) {
            (false, _) => Action::Reported,
            (true, true) => Action::Hidden,
            (true, false) => Action::Kept,
        }
    }

    /// A blob that is marked as damaged, and whose bytes are right.
    async fn right_again(&mut self, place: Place) -> Result<(), Stop> {
        let (storage, digest) = (place.0, &place.1);
        let Some(state) = self.checks.meta.blob_state(storage, digest).await? else { return Ok(()) };
        if state.damaged_at.is_none() {
            return Ok(());
        }
        let action = if !self.report.repair {
            Action::Reported
        } else if self.checks.meta.show_blob(storage, digest).await? {
            Action::Healed
        } else {
            return Ok(());
        };
        let repositories = self.checks.holders(place).await?;
        let (kind, subject) = (Kind::BlobDamaged, digest.to_string());
        let detail = "marked as damaged, and its bytes are right again".to_owned();
        self.tell(Finding { kind, subject, detail, repositories, action }).await
    }

    async fn manifests(&mut self) -> Result<(), Stop> {
        let mut right = Right::default();
        let mut walk = Walk::EVERYTHING;
        loop {
            let page = self.checks.meta.manifests_to_verify(walk, PAGE).await;
            let rows = self.page("manifests", page).await?;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { break };
            let edges = self.checks.meta.dangling_edges(first.id, last.id, EDGES).await;
            walk = walk.behind(last.verified_at, last.id);
            for row in &rows {
                self.report.manifests += 1;
                match &row.content {
                    Ok(manifest) => right.manifests.extend(self.manifest(manifest).await?.then_some(row.id)),
                    Err(error) => self.bad_row("manifest", row.id, error).await?,
                }
            }
            for edge in edges.unwrap_or_default() {
                let what = if edge.is_manifest { "manifest" } else { "blob" };
                self.tell(Finding {
                    kind: Kind::DanglingReference,
                    subject: edge.manifest.to_string(),
                    detail: format!("names the {what} {}, which is not in its repository", edge.target),
                    repositories: vec![edge.repo.to_string()],
                    action: Action::Reported,
                })
                .await?;
            }
            self.checks.write_down_many(&mut right).await;
            self.progress(Stage::Manifests, self.report.manifests).await?;
        }
        self.checks.write_down(&mut right).await;
        Ok(())
    }

    /// Whether the manifest is right.
    async fn manifest(&mut self, manifest: &ManifestRow) -> Result<bool, Stop> {
        self.report.bytes += manifest.size;
        let (repo, digest) = (&manifest.repo, &manifest.digest);
        let known = manifest.damaged_at.is_some();
        if manifest.whole && !known {
            return Ok(true);
        }
        let (action, detail) = if manifest.whole {
            let healed = self.report.repair && self.checks.meta.show_manifest(repo, digest).await?;
            let action = if healed { Action::Healed } else { Action::Reported };
            (action, "marked as damaged, and its bytes are right again")
        } else {
            let hidden = self.report.repair && self.checks.meta.hide_manifest(repo, digest).await?;
            if hidden {
                self.checks.damaged_row("manifest", digest);
            } else if self.report.repair && !known {
                return Ok(false);
            }
            (self.row_action(hidden), "the bytes in the database are others")
        };
        self.tell(Finding {
            kind: Kind::ManifestDamaged,
            subject: digest.to_string(),
            detail: detail.to_owned(),
            repositories: vec![repo.to_string()],
            action,
        })
        .await?;
        Ok(manifest.whole)
    }

    /// From the files to the rows.
    async fn files(&mut self) -> Result<(), Stop> {
        let storages = self.checks.storages.clone();
        for storage in storages.iter() {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for shard in 0..=u8::MAX {
                    let found = storage.blobs.list(algorithm, shard).await?;
                    for some in found.chunks(PAGE) {
                        self.some_files(storage, some).await?;
                    }
                    self.progress(Stage::Files, self.report.files).await?;
                }
            }
        }
        Ok(())
    }

    async fn some_files(&mut self, storage: &Storage, found: &[Found]) -> Result<(), Stop> {
        let digests: Vec<Digest> =
            found.iter().filter_map(|file| file.blob.map(|(digest, _)| digest)).collect();
        let mut known = self.checks.meta.stored_blobs(storage.id, digests).await?.into_iter();
        for file in found {
            self.report.files += 1;
            let finding = if file.blob.is_none() {
                let detail = "not named like a blob; it is left alone".to_owned();
                Finding {
                    kind: Kind::OddFile,
                    subject: path_in(storage, &file.path),
                    detail,
                    repositories: Vec::new(),
                    action: Action::Kept,
                }
            } else if known.next().unwrap_or(true) {
                continue;
            } else {
                match self.unknown_file(storage, file).await? {
                    Some(finding) => finding,
                    None => continue,
                }
            };
            self.tell(finding).await?;
        }
        Ok(())
    }

    /// A file that no row knew: what a crash left between the bytes and the row, or what a push is about to make a row for.
    async fn unknown_file(&self, storage: &Storage, file: &Found) -> Result<Option<Finding>, Stop> {
        let Some((digest, identity)) = file.blob else { return Ok(None) };
        // Held by whoever stands between the bytes and their row. So the row is looked at once more while it is ours.
        let alone = self.checks.locks.try_removing(&digest);
        let rows = self.checks.meta.stored_blobs(storage.id, vec![digest]).await?;
        if rows.first().copied().unwrap_or(true) {
            return Ok(None);
        }
        let mut detail = format!("no row knows its {} bytes", file.size);
        let mut action = Action::Reported;
        match alone {
            _ if self.checks.meta.upload_digests().await?.contains(&digest) => {
                detail.push_str("; an upload session goes on with them");
                action = Action::Kept;
            }
            None => {
                detail.push_str("; a push of it is under way");
                action = Action::Kept;
            }
            Some(_) if storage.blobs.is_shared().await? => {
                detail.push_str(
                    "; it may belong to a Distribution registry: docker/registry/v2/repositories is there",
                );
                action = Action::Kept;
            }
            Some(alone) if self.report.repair => {
                if !self.checks.set_aside_unknown((storage.id, digest), identity, alone).await? {
                    return Ok(None);
                }
                action = Action::Quarantined;
            }
            Some(_) => {}
        }
        let subject = path_in(storage, &file.path);
        Ok(Some(Finding { kind: Kind::UnknownFile, subject, detail, repositories: Vec::new(), action }))
    }

    async fn leftovers(&mut self) -> Result<(), Stop> {
        let storages = self.checks.storages.clone();
        for storage in storages.iter() {
            for staged in storage.blobs.staged().await? {
                if self.uploads.holds(&staged.upload)
                    || self.checks.meta.upload(&staged.upload).await?.is_some()
                {
                    continue;
                }
                self.tell(Finding {
                    kind: Kind::UploadLeftover,
                    subject: path_in(storage, &format!("uploads/{}", staged.upload)),
                    detail: format!(
                        "{} bytes of no upload session; a running server removes them when they are {} s old",
                        staged.size,
                        self.expiry.as_secs()
                    ),
                    repositories: Vec::new(),
                    action: Action::Kept,
                })
                .await?;
            }
        }
        self.progress(Stage::Uploads, 1).await
    }
}

/// A path below a storage's directory, for people.
fn path_in(storage: &Storage, path: &str) -> String {
    match storage.id {
        StorageId::DEFAULT => path.to_owned(),
        _ => format!("{}:{path}", storage.name),
    }
}
