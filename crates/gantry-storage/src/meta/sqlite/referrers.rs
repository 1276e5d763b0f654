//! Who refers to a manifest: read by pages, and answered from memory as long as nothing changes.
//!
//! What is kept is the first page without filter, which clients ask for all the time, of a repository that is there; a page without
//! entries too, since most manifests have no referrers and clients ask all the same. Every write of a manifest that has a subject
//! touches the list of that subject.

use std::sync::Arc;

use gantry_oci::{Digest, RepoName};
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::cache::{Key, KeyRef, Value};
use super::value::{DigestColumn, integer, unsigned};
use super::writer::Batch;
use super::{SqliteMeta, repos};
use crate::error::Result;
use crate::meta::{Annotations, Referrer, ReferrersPage};

// What is damaged is looked up along its own index, where there is next to nothing: the column itself lies behind the manifest's bytes,
// which may be many pages.
pub(super) const PAGE: &str = "SELECT id, digest, size, media_type, artifact_type, annotations FROM manifests
     WHERE repository = ?1 AND subject = ?2 AND id > ?3
       AND id NOT IN (SELECT id FROM manifests WHERE damaged_at > 0) ORDER BY id LIMIT ?4";
pub(super) const OF_TYPE: &str = "SELECT id FROM manifests
     WHERE repository = ?1 AND subject = ?2 AND artifact_type = ?3 AND id > ?4
       AND id NOT IN (SELECT id FROM manifests WHERE damaged_at > 0) ORDER BY id LIMIT ?5";
pub(super) const ONE: &str =
    "SELECT id, digest, size, media_type, artifact_type, annotations FROM manifests WHERE id = ?1";
pub(super) const SUBJECT: &str = "SELECT subject FROM manifests WHERE id = ?1";

impl SqliteMeta {
    pub(super) async fn page_of_referrers(
        &self,
        repo: &RepoName,
        subject: &Digest,
        artifact_types: &[String],
        after: u64,
        limit: usize,
    ) -> Result<Arc<ReferrersPage>> {
        let ask = KeyRef::Referrers(repo.as_str(), subject);
        let known = self.shared.cache.answer(ask, |value| match value {
            Value::Referrers { page, limit: kept } => from_memory(&page, kept, artifact_types, after, limit),
            Value::Manifest(_) | Value::Blob(_) | Value::Image(_) | Value::Homes { .. } => None,
        });
        if let Some(page) = known {
            return Ok(page);
        }
        // A page that was kept could not answer only because it is shorter than this one, or because this is not a first page.
        let keep = artifact_types.is_empty() && after == 0;
        let ticket = if keep { self.shared.cache.begin_read(ask) } else { None };
        let (name, subject, artifact_types) = (repo.clone(), *subject, artifact_types.to_vec());
        let found = self
            .readers
            .read("listing referrers", move |c| page(c, &name, &subject, &artifact_types, after, limit))
            .await?;
        let Some(page) = found.map(Arc::new) else { return Ok(Arc::default()) };
        if let Some(ticket) = ticket {
            let value = Value::Referrers { page: Arc::clone(&page), limit };
            self.shared.cache.end_read(ticket, Key::Referrers(repo.clone(), subject), value);
        }
        Ok(page)
    }
}

/// The answer out of the first page, which was read with the limit `kept`.
fn from_memory(
    page: &Arc<ReferrersPage>,
    kept: usize,
    artifact_types: &[String],
    after: u64,
    limit: usize,
) -> Option<Arc<ReferrersPage>> {
    let first = artifact_types.is_empty() && after == 0;
    if page.more && !(first && limit <= kept) {
        return None;
    }
    // A page shorter than its limit was cut by its size, and would be so again.
    if first && limit >= page.referrers.len() {
        return Some(Arc::clone(page));
    }
    Some(Arc::new(page.narrowed(artifact_types, after, limit)))
}

/// `None`: the repository is unknown.
fn page(
    connection: &Connection,
    repo: &RepoName,
    subject: &Digest,
    artifact_types: &[String],
    after: u64,
    limit: usize,
) -> rusqlite::Result<Option<ReferrersPage>> {
    let Some(repository) = repos::id(connection, repo)? else { return Ok(None) };
    let (subject, after, one_more) = (DigestColumn(*subject), integer(after), limit.saturating_add(1));
    if artifact_types.is_empty() {
        let mut all = connection.prepare_cached(PAGE)?;
        let rows = all.query_map((repository, subject, after, integer(one_more)), referrer)?;
        return ReferrersPage::cut(rows, limit).map(Some);
    }
    // Each type has its own walk along the index, so that a rare type among many others costs no more than a frequent one.
    let mut ids: Vec<i64> = Vec::new();
    for artifact_type in artifact_types {
        let mut of_type = connection.prepare_cached(OF_TYPE)?;
        let rows = of_type
            .query_map((repository, subject, artifact_type, after, integer(one_more)), |row| row.get(0))?;
        for id in rows {
            ids.push(id?);
        }
        ids.sort_unstable();
        ids.dedup();
        ids.truncate(one_more);
    }
    let mut one = connection.prepare_cached(ONE)?;
    let rows = ids.into_iter().filter_map(|id| one.query_row([id], referrer).optional().transpose());
    ReferrersPage::cut(rows, limit).map(Some)
}

fn referrer(row: &Row<'_>) -> rusqlite::Result<Referrer> {
    let annotations = row
        .get_ref(5)?
        .as_str_or_null()?
        .map(Annotations::parse)
        .transpose()
        .map_err(|error| Error::FromSqlConversionFailure(5, Type::Text, Box::new(error)))?;
    Ok(Referrer {
        cursor: unsigned(row, 0)?,
        digest: row.get::<_, DigestColumn>(1)?.0,
        size: unsigned(row, 2)?,
        media_type: row.get(3)?,
        artifact_type: row.get(4)?,
        annotations,
    })
}

/// Notes that the list in which this manifest stands answers differently from now on, if there is one. To be called before the row
/// goes.
pub(super) fn touch_list_with(batch: &mut Batch<'_>, repo: &RepoName, manifest: i64) -> rusqlite::Result<()> {
    let subject: Option<Option<DigestColumn>> =
        batch.connection.prepare_cached(SUBJECT)?.query_row([manifest], |row| row.get(0)).optional()?;
    if let Some(DigestColumn(subject)) = subject.flatten() {
        batch.touch(Key::Referrers(repo.clone(), subject));
    }
    Ok(())
}
