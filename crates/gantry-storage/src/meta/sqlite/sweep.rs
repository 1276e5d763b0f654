//! What may go: finding candidates by their dates, and deciding about them with the facts of one transaction.
//!
//! A candidate is found by a reader and decided about by the writer, which reads every fact again: between the two a push may
//! have named it, or a client may have been told that it is there.

use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, OptionalExtension, Row};

use super::cache::Key;
use super::value::{DigestColumn, integer, name, unsigned};
use super::writer::Batch;
use super::{blobs, failure, images, manifests, repos, uploads};
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::lease::{LinkFacts, ManifestFacts, Verdict};
use crate::meta::access::TagLocks;
use crate::meta::storages::StorageId;
use crate::meta::{Candidate, CandidateKind, Cursor, Deleted, DeletedSubject, FreedBlob, Sweep, Swept};

pub(super) const LINKS: &str = "SELECT l.unreferenced_since, l.repository, l.blob, r.name, b.digest, b.size
     FROM repository_blobs l CROSS JOIN repositories r CROSS JOIN blobs b
     WHERE l.unreferenced_since <= ?1 AND (l.unreferenced_since, l.repository, l.blob) > (?2, ?3, ?4)
       AND r.id = l.repository AND b.id = l.blob
     ORDER BY l.unreferenced_since, l.repository, l.blob LIMIT ?5";
pub(super) const IDLE: &str = "SELECT i.since, i.manifest, r.name, m.digest, m.size
     FROM idle_manifests i CROSS JOIN manifests m CROSS JOIN repositories r
     WHERE i.since <= ?1 AND (i.since, i.manifest) > (?2, ?3) AND m.id = i.manifest AND r.id = m.repository
     ORDER BY i.since, i.manifest LIMIT ?4";
pub(super) const SUBJECTS: &str = "SELECT s.since, s.repository, r.name, s.digest
     FROM deleted_subjects s CROSS JOIN repositories r
     WHERE s.since <= ?1 AND (s.since, s.repository, s.digest) > (?2, ?3, ?4) AND r.id = s.repository
     ORDER BY s.since, s.repository, s.digest LIMIT ?5";
pub(super) const ORPHANS: &str = "SELECT m.id, m.digest, m.size FROM manifests m
     WHERE m.repository = ?1 AND m.subject = ?2 AND m.id > ?3 ORDER BY m.id LIMIT ?4";
pub(super) const LINK_DATE: &str = "SELECT l.unreferenced_since FROM blobs b CROSS JOIN repository_blobs l
     WHERE b.digest = ?2 AND l.repository = ?1 AND l.blob = b.id";
pub(super) const IDLE_DATE: &str = "SELECT since FROM idle_manifests WHERE manifest = ?1";
pub(super) const SUBJECT_DATE: &str =
    "SELECT since FROM deleted_subjects WHERE repository = ?1 AND digest = ?2";
pub(super) const FREED: &str =
    "SELECT id, digest, size, location, storage FROM freed_blobs WHERE id > ?1 ORDER BY id LIMIT ?2";

pub(super) fn candidates(
    connection: &Connection,
    kind: CandidateKind,
    cutoff: Timestamp,
    after: Option<&Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<Candidate>> {
    let (since, major) = after.map_or((i64::MIN, i64::MIN), |cursor| (cursor.since, cursor.major));
    let minor = after.map_or(i64::MIN, |cursor| number_of(&cursor.minor));
    match kind {
        CandidateKind::Link => connection
            .prepare_cached(LINKS)?
            .query_map((cutoff.0, since, major, minor, integer(limit)), |row| {
                let (since, repository, blob): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(Candidate {
                    kind,
                    repo: name(row, 3)?,
                    digest: row.get::<_, DigestColumn>(4)?.0,
                    size: unsigned(row, 5)?,
                    since: Timestamp(since),
                    subject: None,
                    cursor: Cursor { since, major: repository, minor: blob.to_be_bytes().to_vec() },
                })
            })?
            .collect(),
        CandidateKind::Manifest => connection
            .prepare_cached(IDLE)?
            .query_map((cutoff.0, since, major, integer(limit)), |row| {
                let (since, manifest): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok(Candidate {
                    kind,
                    repo: name(row, 2)?,
                    digest: row.get::<_, DigestColumn>(3)?.0,
                    size: unsigned(row, 4)?,
                    since: Timestamp(since),
                    subject: None,
                    cursor: Cursor { since, major: manifest, minor: Vec::new() },
                })
            })?
            .collect(),
        CandidateKind::Image => images::candidates(connection, cutoff, (since, major), limit),
        // Found by way of their subjects.
        CandidateKind::Referrer => Ok(Vec::new()),
    }
}

fn number_of(minor: &[u8]) -> i64 {
    minor.try_into().map_or(i64::MIN, i64::from_be_bytes)
}

pub(super) fn deleted_subjects(
    connection: &Connection,
    cutoff: Timestamp,
    after: Option<&Cursor>,
    limit: usize,
) -> rusqlite::Result<Vec<DeletedSubject>> {
    let (since, major) = after.map_or((i64::MIN, i64::MIN), |cursor| (cursor.since, cursor.major));
    let minor: &[u8] = after.map_or(&[], |cursor| &cursor.minor);
    let read = |row: &Row<'_>| {
        let (since, repository): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(DeletedSubject {
            repo: name(row, 2)?,
            digest: row.get::<_, DigestColumn>(3)?.0,
            since: Timestamp(since),
            cursor: Cursor { since, major: repository, minor: row.get(3)? },
        })
    };
    connection
        .prepare_cached(SUBJECTS)?
        .query_map((cutoff.0, since, major, minor, integer(limit)), read)?
        .collect()
}

pub(super) fn orphaned_referrers(
    connection: &Connection,
    subject: &DeletedSubject,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Candidate>> {
    let Some(repository) = repos::id(connection, &subject.repo)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(ORPHANS)?
        .query_map((repository, DigestColumn(subject.digest), integer(after), integer(limit)), |row| {
            Ok(Candidate {
                kind: CandidateKind::Referrer,
                repo: subject.repo.clone(),
                digest: row.get::<_, DigestColumn>(1)?.0,
                size: unsigned(row, 2)?,
                since: subject.since,
                subject: Some(subject.digest),
                cursor: Cursor { since: subject.since.0, major: row.get(0)?, minor: Vec::new() },
            })
        })?
        .collect()
}

pub(super) fn freed(connection: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<FreedBlob>> {
    connection
        .prepare_cached(FREED)?
        .query_map((integer(after), integer(limit)), |row| {
            Ok(FreedBlob {
                number: unsigned(row, 0)?,
                storage: StorageId(row.get(4)?),
                digest: row.get::<_, DigestColumn>(1)?.0,
                size: unsigned(row, 2)?,
                location: row.get(3)?,
            })
        })?
        .collect()
}

/// What would become of the candidates.
pub(super) fn judge(connection: &Connection, sweep: &Sweep, now: Timestamp) -> rusqlite::Result<Vec<Swept>> {
    let mut judged = Vec::with_capacity(sweep.candidates.len());
    for candidate in &sweep.candidates {
        let swept = judge_one(connection, sweep, candidate, now)?;
        let mut below = Vec::new();
        if swept.verdict == Verdict::Remove
            && candidate.kind == CandidateKind::Image
            && let Some(repository) = repos::id(connection, &candidate.repo)?
        {
            below = images::below(connection, repository, candidate)?;
        }
        judged.push(swept);
        judged.extend(below.into_iter().map(with_it));
    }
    Ok(judged)
}

/// What goes with an image that goes.
fn with_it(candidate: Candidate) -> Swept {
    Swept { candidate, verdict: Verdict::Remove, frees: true }
}

/// Judges and removes.
pub(super) fn run(batch: &mut Batch<'_>, sweep: &Sweep) -> rusqlite::Result<Vec<Swept>> {
    let now = batch.now;
    let mut done = Vec::with_capacity(sweep.candidates.len());
    for candidate in &sweep.candidates {
        let mut swept = judge_one(batch.connection, sweep, candidate, now)?;
        let mut below = Vec::new();
        if swept.verdict == Verdict::Remove {
            let removed = match candidate.kind {
                CandidateKind::Link => blobs::unlink(batch, &candidate.repo, &candidate.digest)?,
                CandidateKind::Manifest | CandidateKind::Referrer => {
                    manifests::delete(batch, &candidate.repo, &candidate.digest, &TagLocks::default())?
                        == Deleted::Done
                }
                CandidateKind::Image => {
                    let repository = repos::id(batch.connection, &candidate.repo)?;
                    if let Some(repository) = repository {
                        below = images::remove_idle(batch, repository, candidate)?;
                    }
                    repository.is_some()
                }
            };
            swept.frees &= removed;
            failure::hit(Point::LapsedRemoved)?;
        }
        done.push(swept);
        done.extend(below.into_iter().map(with_it));
    }
    Ok(done)
}

fn judge_one(
    connection: &Connection,
    sweep: &Sweep,
    candidate: &Candidate,
    now: Timestamp,
) -> rusqlite::Result<Swept> {
    let repository = repos::id(connection, &candidate.repo)?;
    let uploading =
        sweep.uploading.contains(&candidate.repo) || uploads::under_way(connection, &candidate.repo)?;
    let (verdict, frees) = match (repository, candidate.kind) {
        (None, _) => (sweep.terms.link(GONE, now), false),
        (Some(repository), CandidateKind::Link) => {
            let facts = link_facts(connection, repository, &candidate.digest, uploading)?;
            let last = match blobs::held(connection, repository, &candidate.digest)? {
                Some(held) => blobs::links(connection, held.id, 2)? == 1,
                None => false,
            };
            (sweep.terms.link(facts, now), last)
        }
        (Some(repository), CandidateKind::Manifest | CandidateKind::Referrer) => {
            match manifest_facts(connection, repository, candidate, uploading)? {
                Some(facts) => (sweep.terms.manifest(facts, now), true),
                None => (sweep.terms.link(GONE, now), false),
            }
        }
        (Some(repository), CandidateKind::Image) => {
            match images::facts(connection, repository, candidate, uploading)? {
                Some(facts) => (sweep.terms.image(facts, now), true),
                None => (sweep.terms.link(GONE, now), false),
            }
        }
    };
    Ok(Swept { candidate: candidate.clone(), verdict, frees })
}

/// Of what somebody else removed meanwhile: nothing is left to do.
const GONE: LinkFacts = LinkFacts { unreferenced_since: None, referenced: false, uploading: false };

fn link_facts(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
    uploading: bool,
) -> rusqlite::Result<LinkFacts> {
    let date: Option<Option<i64>> = connection
        .prepare_cached(LINK_DATE)?
        .query_row((repository, DigestColumn(*digest)), |row| row.get(0))
        .optional()?;
    Ok(LinkFacts {
        unreferenced_since: date.flatten().map(Timestamp),
        referenced: manifests::names_blob(connection, repository, digest)?,
        uploading,
    })
}

fn manifest_facts(
    connection: &Connection,
    repository: i64,
    candidate: &Candidate,
    uploading: bool,
) -> rusqlite::Result<Option<ManifestFacts>> {
    let Some(id) = manifests::id(connection, repository, &candidate.digest)? else { return Ok(None) };
    let (date, subject_there) = match &candidate.subject {
        Some(subject) => (
            subject_date(connection, repository, subject)?,
            manifests::id(connection, repository, subject)?.is_some(),
        ),
        None => (manifests::idle_since(connection, id)?, false),
    };
    Ok(Some(ManifestFacts {
        idle_since: date.map(Timestamp),
        tagged: manifests::is_tagged(connection, id)?,
        listed: manifests::is_listed(connection, repository, &candidate.digest)?,
        subject_there,
        uploading,
    }))
}

fn subject_date(connection: &Connection, repository: i64, digest: &Digest) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(SUBJECT_DATE)?
        .query_row((repository, DigestColumn(*digest)), |row| row.get(0))
        .optional()
}

/// Remembers that a manifest went that others refer to.
pub(super) fn note_subject(batch: &Batch<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO deleted_subjects (repository, digest, since) VALUES (?1, ?2, ?3)
             ON CONFLICT (repository, digest) DO UPDATE SET since = excluded.since",
        )?
        .execute((repository, DigestColumn(*digest), batch.now.0))
        .map(drop)
}

/// A referrer came after its subject was deleted: what refers to that subject stays for another grace period.
pub(super) fn renew_subject(batch: &Batch<'_>, repository: i64, digest: &Digest) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached("UPDATE deleted_subjects SET since = ?3 WHERE repository = ?1 AND digest = ?2")?
        .execute((repository, DigestColumn(*digest), batch.now.0))
        .map(drop)
}

pub(super) fn forget_subject(batch: &Batch<'_>, subject: &DeletedSubject) -> rusqlite::Result<()> {
    let Some(repository) = repos::id(batch.connection, &subject.repo)? else { return Ok(()) };
    batch
        .connection
        .prepare_cached("DELETE FROM deleted_subjects WHERE repository = ?1 AND digest = ?2 AND since = ?3")?
        .execute((repository, DigestColumn(subject.digest), subject.since.0))
        .map(drop)
}

/// Notes bytes that no row has, so that the next sweep removes them.
pub(super) fn free_bytes(
    batch: &Batch<'_>,
    storage: StorageId,
    digest: &Digest,
    size: u64,
    location: Option<&str>,
) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO freed_blobs (digest, size, location, storage) SELECT ?1, ?2, ?3, ?4
             WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1 AND storage = ?4)",
        )?
        .execute((DigestColumn(*digest), integer(size), location, storage.0))
        .map(drop)
}

pub(super) fn forget_freed(batch: &Batch<'_>, freed: &[FreedBlob]) -> rusqlite::Result<()> {
    let mut delete = batch.connection.prepare_cached("DELETE FROM freed_blobs WHERE id = ?1")?;
    for freed in freed {
        delete.execute([integer(freed.number)])?;
    }
    Ok(())
}

pub(super) fn renew_blob(batch: &mut Batch<'_>, repo: &RepoName, digest: &Digest) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let renewed = batch
        .connection
        .prepare_cached(
            "UPDATE repository_blobs SET unreferenced_since = ?3
             WHERE repository = ?1 AND blob IN (SELECT id FROM blobs WHERE digest = ?2)
               AND unreferenced_since IS NOT NULL",
        )?
        .execute((repository, DigestColumn(*digest), batch.now.0))?;
    if renewed > 0 {
        failure::hit(Point::LapsedRenewed)?;
        batch.touch(Key::Blob(repo.clone(), *digest));
        return Ok(true);
    }
    // A manifest names it by now, or it is gone.
    blobs::is_linked(batch.connection, repository, digest)
}

pub(super) fn renew_manifest(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let Some(id) = manifests::id(batch.connection, repository, digest)? else { return Ok(false) };
    let renewed = batch
        .connection
        .prepare_cached("UPDATE idle_manifests SET since = ?2 WHERE manifest = ?1")?
        .execute((id, batch.now.0))?;
    if renewed > 0 {
        batch.touch(Key::Manifest(repo.clone(), *digest));
    }
    Ok(true)
}
