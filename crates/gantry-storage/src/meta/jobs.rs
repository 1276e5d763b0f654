//! Work that takes long, and that a restart must not end: one row for each piece.
//!
//! The rows know nothing of what is done: what is to be done and how far it came is JSON of whoever does it.

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::error::Result;

/// Jobs that have ended and are remembered.
pub const ENDED_JOBS: u64 = 1000;

/// The part of [`crate::MetaStore`] that remembers work.
#[async_trait]
pub trait JobRows {
    /// A new job, waiting. One that is open already with the same kind and payload is taken instead. The answer is its number.
    /// The oldest that have ended are forgotten, beyond [`ENDED_JOBS`].
    async fn add_job(&self, kind: &str, payload: &str) -> Result<u64>;

    /// Jobs numbered below `before`, the newest first, at most `limit`.
    async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>>;

    /// The oldest job numbered above `after` that waits, or was running when the process ended.
    async fn next_job(&self, after: u64) -> Result<Option<Job>>;

    /// Notes a job's state, progress, attempts and error. False: there is no such job.
    async fn save_job(&self, job: &Job) -> Result<bool>;
}

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// Who does it.
    pub kind: String,
    /// What is to be done, JSON.
    pub payload: String,
    /// Where it stands.
    pub state: JobState,
    /// How far it came, JSON; empty: not begun.
    pub progress: String,
    /// How often it was begun.
    pub attempts: u64,
    /// When it was ordered, UTC.
    pub created: Timestamp,
    /// When its row was last written, UTC.
    pub updated: Timestamp,
    /// What last stood in its way.
    pub error: Option<String>,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// Its turn has not come, or comes again.
    Waiting,
    /// It is worked on, or was when the process ended.
    Running,
    /// It has come to its end.
    Done,
    /// It was given up.
    Failed,
}

impl JobState {
    /// Every state.
    pub const ALL: [JobState; 4] = [JobState::Waiting, JobState::Running, JobState::Done, JobState::Failed];

    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobState::Waiting => "waiting",
            JobState::Running => "running",
            JobState::Done => "done",
            JobState::Failed => "failed",
        }
    }
}
