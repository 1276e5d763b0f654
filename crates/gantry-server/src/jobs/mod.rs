//! Work that takes long and goes on after a restart, one piece after the other.
//!
//! What is to be done is a row ([`gantry_storage::Job`]), so it survives whatever becomes of the process; how far it came is noted
//! now and then, and each kind of job can begin again with what is left. There is one kind: moving a namespace to another
//! storage ([`crate::registry::Moving`]). Not here: what must happen now and then by itself (sweeps, checks); that needs no row.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_oci::RepoName;
use gantry_storage::failpoint::{self, Point};
use gantry_storage::{Job, JobState, StorageError};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::registry::{Move, Moving, Registry, RegistryError};

/// The kind of job that moves a namespace.
pub const MOVE: &str = "move";

/// How often progress is noted.
const NOTE: Duration = Duration::from_secs(1);
/// The longest pause between two steps, so that others have the writer and the disks too.
const PAUSE: Duration = Duration::from_millis(50);
/// How soon after a failure a job is tried again: at first, and at last.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Failures in a row after which a job is given up, unless they are such as pass.
const FAILURES: u32 = 10;
/// How long at most until rows are looked at again.
const IDLE: Duration = Duration::from_secs(60);

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such storage.
    #[error("there is no storage `{0}`")]
    UnknownStorage(String),
    /// Not the beginning of names.
    #[error("`{0}` is no prefix of repositories: expected whole components, such as `team/app`")]
    Prefix(String),
    /// Pushes would go on going elsewhere.
    #[error(
        "the namespace of `{prefix}` is in the storage `{now}`: give it the storage `{to}` first, then move what is there"
    )]
    Elsewhere {
        /// What was to be moved.
        prefix: String,
        /// Where pushes go.
        now: String,
        /// Where it was to be moved.
        to: String,
    },
    /// The store failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// Its number.
    pub id: u64,
    /// `move`
    pub kind: String,
    /// `waiting`, `running`, `done` or `failed`.
    pub state: String,
    /// Which repositories it is about.
    pub prefix: String,
    /// The storage they go to.
    pub to: String,
    /// Blobs of repositories that are in their place.
    pub done: u64,
    /// All that were to be moved; `None`: not counted yet.
    pub total: Option<u64>,
    /// Blobs of repositories that could not be moved.
    pub left: u64,
    /// Bytes that were copied.
    pub bytes: u64,
    /// How often it was begun.
    pub attempts: u64,
    /// When it was ordered, in seconds since 1970.
    pub created: i64,
    /// When it was last noted, likewise.
    pub updated: i64,
    /// What last stood in its way.
    pub error: Option<String>,
}

/// What a move's row says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct MoveOrder {
    prefix: String,
    to: String,
}

/// The jobs of one registry.
pub struct Jobs {
    registry: Arc<Registry>,
    ordered: Notify,
}

/// What came of working on a job.
enum Outcome {
    Ended,
    /// It has to be tried again, after so long.
    Again(Duration),
}

impl Jobs {
    /// Nothing is worked on before [`Jobs::run`].
    #[must_use]
    pub fn new(registry: Arc<Registry>) -> Self {
        Self { registry, ordered: Notify::new() }
    }

    /// Orders that what lies at and below `prefix` (the empty text: everything) goes to the storage `to`, where the namespace must be
    /// already. What is ordered twice is done once. The answer is the job's number.
    ///
    /// # Errors
    /// What cannot be done, and a store that failed.
    pub async fn start_move(&self, prefix: &str, to: &str) -> Result<u64, JobError> {
        let storages = self.registry.storages();
        let target = storages.named(to).ok_or_else(|| JobError::UnknownStorage(to.to_owned()))?;
        if !prefix.is_empty() {
            let repo: RepoName = prefix.parse().map_err(|_| JobError::Prefix(prefix.to_owned()))?;
            let now = self.registry.storage_of(&repo)?;
            if now.id != target.id {
                let (prefix, now, to) = (prefix.to_owned(), now.name.to_string(), to.to_owned());
                return Err(JobError::Elsewhere { prefix, now, to });
            }
        }
        let order = MoveOrder { prefix: prefix.to_owned(), to: to.to_owned() };
        let payload = serde_json::to_string(&order).unwrap_or_default();
        let id = self.registry.meta().add_job(MOVE, &payload).await?;
        self.ordered.notify_one();
        Ok(id)
    }

    /// Jobs numbered below `before`, the newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self, before: Option<u64>, limit: usize) -> Result<Vec<JobReport>, JobError> {
        Ok(self.registry.meta().jobs(before, limit).await?.iter().map(report).collect())
    }

    /// Works on what is ordered, for ever; what was under way when the process ended comes first.
    pub async fn run(&self) {
        let mut failures = HashMap::new();
        loop {
            let mut pause = None;
            let mut after = 0;
            // Each in its turn, so that one that has to wait for room does not keep the others.
            loop {
                let job = match self.registry.meta().next_job(after).await {
                    Ok(Some(job)) => job,
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(target: "jobs", %error, "jobs could not be read; it is tried again");
                        pause = Some(RETRY.1);
                        break;
                    }
                };
                after = job.id;
                let failed = failures.entry(job.id).or_insert(0);
                match self.work(job, failed).await {
                    Outcome::Ended => drop(failures.remove(&after)),
                    Outcome::Again(wait) => {
                        pause = Some(pause.map_or(wait, |pause: Duration| pause.min(wait)));
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(pause.unwrap_or(IDLE)) => {}
                () = self.ordered.notified() => {}
            }
        }
    }

    /// One job, to its end or to what stands in its way.
    async fn work(&self, mut job: Job, failures: &mut u32) -> Outcome {
        let Some((order, mut moving)) = self.read(&job) else {
            job.state = JobState::Failed;
            job.error =
                Some("this gantry does not know what is to be done, or the storage is gone".to_owned());
            return self.end(&job).await;
        };
        job.state = JobState::Running;
        job.attempts += 1;
        let begun = moving.done;
        let result = self.go_through(&mut job, &order, &mut moving).await;
        job.progress = serde_json::to_string(&moving).unwrap_or_default();
        let Err(error) = result else {
            let Moving { done, left, bytes, .. } = moving;
            tracing::info!(
                target: "jobs",
                "moved {:?} to the storage {}: {done} blobs of repositories, {bytes} bytes copied, {left} left",
                order.prefix, order.to.name
            );
            job.state = if left == 0 { JobState::Done } else { JobState::Failed };
            job.error =
                moving.why.map(|why| format!("{left} blobs of repositories could not be moved: {why}"));
            return self.end(&job).await;
        };
        let passes = matches!(
            error,
            RegistryError::Storage(
                StorageError::Full { .. } | StorageError::Unavailable { .. } | StorageError::ReadOnly { .. }
            )
        );
        *failures = if moving.done > begun { 1 } else { *failures + 1 };
        job.error = Some(error.to_string());
        if !passes && *failures >= FAILURES {
            tracing::error!(target: "jobs", job = job.id, %error, "a job failed {failures} times and is given up");
            job.state = JobState::Failed;
            return self.end(&job).await;
        }
        tracing::warn!(target: "jobs", job = job.id, %error, "a job was interrupted; it is tried again");
        job.state = JobState::Waiting;
        // When not even that can be written, the row says `running`, which comes to the same.
        let _ = self.registry.meta().save_job(&job).await;
        Outcome::Again(RETRY.0.saturating_mul(1 << (*failures).min(10)).min(RETRY.1))
    }

    async fn go_through(
        &self,
        job: &mut Job,
        order: &Move,
        moving: &mut Moving,
    ) -> Result<(), RegistryError> {
        self.registry.begin_move(order, moving).await?;
        self.note(job, moving).await?;
        pass(Point::JobBegun)?;
        let mut noted = Instant::now();
        loop {
            let started = Instant::now();
            if !self.registry.go_on_moving(order, moving).await? {
                break;
            }
            if noted.elapsed() >= NOTE {
                self.note(job, moving).await?;
                noted = Instant::now();
            }
            tokio::time::sleep(started.elapsed().min(PAUSE)).await;
        }
        pass(Point::JobEnding)
    }

    async fn note(&self, job: &mut Job, moving: &Moving) -> Result<(), RegistryError> {
        job.progress = serde_json::to_string(moving).unwrap_or_default();
        self.registry.meta().save_job(job).await?;
        Ok(())
    }

    async fn end(&self, job: &Job) -> Outcome {
        match self.registry.meta().save_job(job).await {
            Ok(_) => Outcome::Ended,
            Err(error) => {
                tracing::warn!(target: "jobs", job = job.id, %error, "the end of a job could not be noted");
                Outcome::Again(RETRY.1)
            }
        }
    }

    /// What the row orders, and how far it came.
    fn read(&self, job: &Job) -> Option<(Move, Moving)> {
        let order: MoveOrder = serde_json::from_str(&job.payload).ok().filter(|_| job.kind == MOVE)?;
        let to = self.registry.storages().named(&order.to)?.clone();
        Some((Move { prefix: order.prefix, to }, progress(job)))
    }
}

fn progress(job: &Job) -> Moving {
    serde_json::from_str(&job.progress).unwrap_or_default()
}

fn report(job: &Job) -> JobReport {
    let order: MoveOrder = serde_json::from_str(&job.payload).unwrap_or_default();
    let Moving { done, total, left, bytes, .. } = progress(job);
    JobReport {
        id: job.id,
        kind: job.kind.clone(),
        state: job.state.as_str().to_owned(),
        prefix: order.prefix,
        to: order.to,
        done,
        total,
        left,
        bytes,
        attempts: job.attempts,
        created: job.created.0 / 1_000_000,
        updated: job.updated.0 / 1_000_000,
        error: job.error.clone(),
    }
}

/// Passes a failpoint.
fn pass(point: Point) -> Result<(), RegistryError> {
    failpoint::hit(point).map_err(|error| StorageError::from_io("going on at a failpoint", error).into())
}
