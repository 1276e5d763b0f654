//! Images that nothing holds, for the sweep.
//!
//! What is idle is the top of a chain. When it goes, the next below it has nothing above it any more, and nobody was told anything
//! about that one later than about the top: so it goes in the same transaction, and so on down to what something else holds.

use gantry_oci::Digest;
use gantry_oci::v1::ImageId;
use rusqlite::Connection;

use super::super::value::{ImageColumn, integer, name, unsigned};
use super::super::writer::Batch;
use super::rows::{self, Head};
use crate::clock::Timestamp;
use crate::lease::ImageFacts;
use crate::meta::sweep::{Candidate, CandidateKind, Cursor};

pub(super) const IDLE: &str = "SELECT i.idle_since, i.id, r.name, i.image, length(i.json)
     FROM v1_images i CROSS JOIN repositories r
     WHERE i.idle_since <= ?1 AND (i.idle_since, i.id) > (?2, ?3) AND r.id = i.repository
     ORDER BY i.idle_since, i.id LIMIT ?4";
const CHILDREN: &str = "SELECT 1 FROM v1_images WHERE repository = ?1 AND parent = ?2 LIMIT 2";
const SIZE: &str = "SELECT length(json) FROM v1_images WHERE id = ?1";

pub(in super::super) fn candidates(
    connection: &Connection,
    cutoff: Timestamp,
    (since, number): (i64, i64),
    limit: usize,
) -> rusqlite::Result<Vec<Candidate>> {
    connection
        .prepare_cached(IDLE)?
        .query_map((cutoff.0, since, number, integer(limit)), |row| {
            let (since, number): (i64, i64) = (row.get(0)?, row.get(1)?);
            Ok(Candidate {
                kind: CandidateKind::Image,
                repo: name(row, 2)?,
                digest: named(&row.get::<_, ImageColumn>(3)?.0)?,
                size: unsigned(row, 4)?,
                since: Timestamp(since),
                subject: None,
                cursor: Cursor { since, major: number, minor: Vec::new() },
            })
        })?
        .collect()
}

/// Candidates name what they are by digests.
fn named(id: &ImageId) -> rusqlite::Result<Digest> {
    id.as_digest().ok_or(rusqlite::Error::InvalidQuery)
}

/// The other way round.
fn id(candidate: &Candidate) -> Option<ImageId> {
    candidate.digest.bytes().try_into().ok().map(ImageId::from_bytes)
}

/// The row that a candidate is.
fn native(connection: &Connection, repository: i64, id: &ImageId) -> rusqlite::Result<Option<Head>> {
    Ok(rows::heads(connection, repository, id)?.into_iter().find(|head| !head.derived))
}

/// `None`: it is gone.
pub(in super::super) fn facts(
    connection: &Connection,
    repository: i64,
    candidate: &Candidate,
    uploading: bool,
) -> rusqlite::Result<Option<ImageFacts>> {
    let Some(id) = id(candidate) else { return Ok(None) };
    let Some(head) = native(connection, repository, &id)? else { return Ok(None) };
    let held = rows::is_held(connection, repository, &id)?;
    Ok(Some(ImageFacts { idle_since: head.idle_since, held, uploading }))
}

/// What goes with a candidate that goes, itself not included, when nothing is changed: what stands on each of these is the one before.
pub(in super::super) fn below(
    connection: &Connection,
    repository: i64,
    candidate: &Candidate,
) -> rusqlite::Result<Vec<Candidate>> {
    let mut found = Vec::new();
    let Some(top) = id(candidate) else { return Ok(found) };
    let mut parent = native(connection, repository, &top)?.and_then(|head| head.parent);
    while let Some(id) = parent.take() {
        if is_held_twice(connection, repository, &id)? || super::views::is_top(connection, repository, &id)? {
            break;
        }
        let Some(head) = native(connection, repository, &id)? else { break };
        found.push(next(connection, candidate, &id, &head)?);
        parent = head.parent;
    }
    Ok(found)
}

/// Whether more than one image stands on it.
fn is_held_twice(connection: &Connection, repository: i64, id: &ImageId) -> rusqlite::Result<bool> {
    let mut children = connection.prepare_cached(CHILDREN)?;
    let mut children = children.query((repository, ImageColumn(*id)))?;
    Ok(children.next()?.is_some() && children.next()?.is_some())
}

/// Removes a candidate, and what is below it as long as nothing else holds that, which is the answer. The date of what goes is handed
/// down.
pub(in super::super) fn remove(
    batch: &mut Batch<'_>,
    repository: i64,
    candidate: &Candidate,
) -> rusqlite::Result<Vec<Candidate>> {
    let (repo, mut below) = (&candidate.repo, Vec::new());
    let Some(mut id) = id(candidate) else { return Ok(below) };
    while let Some(head) = native(batch.connection, repository, &id)? {
        let Some(since) = head.idle_since else { break };
        if id.as_digest() != Some(candidate.digest) {
            below.push(next(batch.connection, candidate, &id, &head)?);
        }
        rows::remove(batch, repo, repository, &id, &head)?;
        let Some(parent) = head.parent else { break };
        rows::settle(batch, repo, repository, &parent, since)?;
        id = parent;
    }
    Ok(below)
}

/// The next one below, as a candidate of the same date.
fn next(
    connection: &Connection,
    above: &Candidate,
    id: &ImageId,
    head: &Head,
) -> rusqlite::Result<Candidate> {
    let size = connection.prepare_cached(SIZE)?.query_row([head.number], |row| unsigned(row, 0))?;
    Ok(Candidate { digest: named(id)?, size, ..above.clone() })
}
