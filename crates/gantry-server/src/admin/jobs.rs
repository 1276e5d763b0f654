//! Work that takes long: what there is, and how far it came.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json, listed};
use crate::http::{Problem, Response};

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

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    call.query.limit()?;
    call.query.parse::<u64>("before", "a number")?;
    listed(call, &Jobs { jobs: Vec::new(), next: None }, "before", None)
}

pub(super) async fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let _: u64 = call.argument.parse().map_err(|_| Problem::NotFound("job"))?;
    json(StatusCode::NOT_FOUND, &()).and(Err(Problem::NotFound("job")))
}
