//! Work that takes long: what there is, and how far it came.

use gantry_storage::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, input, json, listed};
use crate::http::{Problem, Response};
use crate::jobs::{JobError, JobReport};
use crate::registry::RegistryError;

/// A job.
#[derive(Serialize, ToSchema)]
pub(super) struct Job {
    id: u64,
    /// What it does: `move`.
    kind: String,
    /// `waiting`, `running`, `done` or `failed`.
    state: String,
    /// Blobs of repositories that are in their place.
    done: u64,
    /// Of how many; null: not counted yet.
    total: Option<u64>,
    /// How often it was begun.
    attempts: u64,
    /// What last stood in its way.
    error: Option<String>,
    #[schema(format = "date-time")]
    created: String,
    #[schema(format = "date-time")]
    updated: String,
    detail: Detail,
}

/// What is to be done, and what came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Detail {
    /// Of the repositories that move; `/` is everything.
    prefix: String,
    /// The storage that they go to.
    to: String,
    /// Blobs that could not be moved.
    left: u64,
    /// Bytes that were copied.
    bytes: u64,
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
            detail: Detail {
                prefix: if job.prefix.is_empty() { "/".to_owned() } else { job.prefix },
                to: job.to,
                left: job.left,
                bytes: job.bytes,
            },
        }
    }
}

async fn reports(call: &Call<'_>, before: Option<u64>, limit: usize) -> Result<Vec<JobReport>, Problem> {
    call.app.jobs(before, limit).await.map_err(|error| match error {
        JobError::Storage(error) | JobError::Registry(RegistryError::Storage(error)) => error.into(),
        _ => Problem::Internal("jobs cannot be read"),
    })
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let mut jobs = reports(call, call.query.number("before")?, limit + 1).await?;
    let next = input::cut(&mut jobs, limit, |job| job.id.to_string());
    let jobs = jobs.into_iter().map(Job::from).collect();
    listed(call, &Jobs { jobs, next: next.clone() }, "before", next.as_deref())
}

pub(super) async fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let unknown = || Problem::NotFound("job");
    let id: u64 = call.argument.parse().map_err(|_| unknown())?;
    let found = reports(call, Some(id.saturating_add(1)), 1).await?.into_iter().next();
    json(StatusCode::OK, &Job::from(found.filter(|job| job.id == id).ok_or_else(unknown)?))
}
