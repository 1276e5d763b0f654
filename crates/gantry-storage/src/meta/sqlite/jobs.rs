//! Rows of work that goes on after a restart.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row};

use super::value::{integer, unsigned};
use super::writer::Batch;
use super::{SqliteMeta, failure};
use crate::clock::Timestamp;
use crate::error::Result;
use crate::failpoint::Point;
use crate::meta::jobs::{ENDED_JOBS, Job, JobRows, JobState};

pub(super) const PAGE: &str = "SELECT id, kind, payload, state, progress, attempts, created, updated, error
     FROM jobs WHERE id < ?1 ORDER BY id DESC LIMIT ?2";
pub(super) const NEXT: &str = "SELECT id, kind, payload, state, progress, attempts, created, updated, error
     FROM jobs WHERE id > ?1 AND state IN ('waiting', 'running') ORDER BY id LIMIT 1";
pub(super) const SAME: &str = "SELECT id FROM jobs INDEXED BY jobs_open
     WHERE state IN ('waiting', 'running') AND kind = ?1 AND payload = ?2 ORDER BY id LIMIT 1";

#[async_trait]
impl JobRows for SqliteMeta {
    async fn add_job(&self, kind: &str, payload: &str) -> Result<u64> {
        let (kind, payload) = (kind.to_owned(), payload.to_owned());
        self.writer.run("ordering a job", None, move |batch| add(batch, &kind, &payload)).await
    }

    async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<Job>> {
        let before = before.map_or(i64::MAX, integer);
        self.readers.read("listing jobs", move |c| page(c, before, limit)).await
    }

    async fn next_job(&self, after: u64) -> Result<Option<Job>> {
        self.readers
            .read("looking for a job", move |c| {
                c.prepare_cached(NEXT)?.query_row([integer(after)], job).optional()
            })
            .await
    }

    async fn save_job(&self, job: &Job) -> Result<bool> {
        let job = job.clone();
        self.writer.run("noting a job", None, move |batch| save(batch, &job)).await
    }
}

fn page(connection: &Connection, before: i64, limit: usize) -> rusqlite::Result<Vec<Job>> {
    connection.prepare_cached(PAGE)?.query_map((before, integer(limit)), job)?.collect()
}

fn add(batch: &mut Batch<'_>, kind: &str, payload: &str) -> rusqlite::Result<u64> {
    let open = batch
        .connection
        .prepare_cached(SAME)?
        .query_row((kind, payload), |row| unsigned(row, 0))
        .optional()?;
    if let Some(open) = open {
        return Ok(open);
    }
    let id = batch
        .connection
        .prepare_cached(
            "INSERT INTO jobs (kind, payload, state, progress, attempts, created, updated)
             VALUES (?1, ?2, 'waiting', '', 0, ?3, ?3) RETURNING id",
        )?
        .query_row((kind, payload, Timestamp::now().0), |row| unsigned(row, 0))?;
    batch
        .connection
        .prepare_cached("DELETE FROM jobs WHERE id < ?1 AND state NOT IN ('waiting', 'running')")?
        .execute([integer(id) - integer(ENDED_JOBS)])?;
    failure::hit(Point::JobOrdered)?;
    Ok(id)
}

fn save(batch: &mut Batch<'_>, job: &Job) -> rusqlite::Result<bool> {
    let changed = batch
        .connection
        .prepare_cached(
            "UPDATE jobs SET state = ?2, progress = ?3, attempts = ?4, error = ?5, updated = ?6 WHERE id = ?1",
        )?
        .execute((
            integer(job.id),
            job.state.as_str(),
            &job.progress,
            integer(job.attempts),
            job.error.as_deref(),
            Timestamp::now().0,
        ))?;
    failure::hit(Point::JobNoted)?;
    Ok(changed > 0)
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let state: String = row.get(3)?;
    Ok(Job {
        id: unsigned(row, 0)?,
        kind: row.get(1)?,
        payload: row.get(2)?,
        // Of a later version, perhaps: not ours to go on with.
        state: JobState::ALL.into_iter().find(|known| known.as_str() == state).unwrap_or(JobState::Failed),
        progress: row.get(4)?,
        attempts: unsigned(row, 5)?,
        created: Timestamp(row.get(6)?),
        updated: Timestamp(row.get(7)?),
        error: row.get(8)?,
    })
}
