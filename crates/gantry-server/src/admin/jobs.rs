//! Work that takes long: what there is, and how far it came.

use gantry_storage::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json, listed};
use crate::http::{Problem, Response};
use crate::jobs::{JobError, JobReport};

/// A job.
#[derive(Serialize, ToSchema)]
pub(super) struct Job {
    id: u64,
    /// What it does: `move`.
    kind: String,
    /// `waiting`, `running`, `done` or `failed`.
    state: String,
    /// How far it came.
    done: u64,
    /// Of how much, as far as that is known.
    total: Option<u64>,
    /// How often it was begun.
    attempts: u64,
    /// What last stood in its way.
    error: Option<String>,
    #[schema(format = "date-time")]
    created: String,
    #[schema(format = "date-time")]
    updated: String,
    /// What is to be done, in the words of its kind.
    #[schema(value_type = Object)]
    detail: serde_json::Value,
}

/// A page of jobs.
#[derive(Serialize, ToSchema)]
pub(super) struct Jobs {
    jobs: Vec<Job>,
    /// `before` of the next page.
    next: Option<String>,
}

impl From<JobReport> for Job {
    fn from(job: JobReport) -> Self {
        let moment = |seconds: i64| Timestamp(seconds.saturating_mul(1_000_000)).to_string();
        Self {
            id: job.id,
            kind: job.kind,
            state: job.state,
            done: job.done,
            total: job.total,
            attempts: job.attempts,
            error: job.error,
            created: moment(job.created),
            updated: moment(job.updated),
            detail: serde_json::json!({
                "prefix": job.prefix, "to": job.to, "left": job.left, "bytes": job.bytes,
            }),
        }
    }
}

fn failed(error: JobError) -> Problem {
    match error {
        JobError::Storage(error) => error.into(),
        error => Problem::Invalid(error.to_string()),
    }
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let before = call.query.parse::<u64>("before", "a number")?;
    let mut found = call.app.jobs(before, limit + 1).await.map_err(failed)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|job| job.id.to_string());
    let jobs = Jobs { jobs: found.into_iter().map(Job::from).collect(), next: next.clone() };
    listed(call, &jobs, "before", next.as_deref())
}

pub(super) async fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let id: u64 = call.argument.parse().map_err(|_| Problem::NotFound("job"))?;
    let found = call.app.jobs(Some(id.saturating_add(1)), 1).await.map_err(failed)?;
    let job = found.into_iter().find(|job| job.id == id).ok_or(Problem::NotFound("job"))?;
    json(StatusCode::OK, &Job::from(job))
}
