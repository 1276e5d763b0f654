//! Rows of the search, and the list of repositories whose row may be out of date.
//!
//! A search goes through the whole table, which is why it holds what a search looks at and nothing else.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use gantry_oci::RepoName;
use memchr::memmem::Finder;
use rusqlite::{Connection, OptionalExtension};

use super::cache::Key;
use super::value::{DigestColumn, integer, unsigned};
use super::writer::Batch;
use super::{SqliteMeta, repos};
use crate::error::Result;
use crate::meta::search::{
    Description, Found, FoundRepository, Outdated, OutdatedRows, Search, SearchRows, Source,
};

/// Repositories that are remembered one by one; with more, all of them are looked at.
const LIST_MAX: usize = 10_000;

pub(super) const WALK: &str = "SELECT id, name FROM repositories WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const LATEST: &str = "SELECT m.id, m.digest FROM tags t CROSS JOIN manifests m
     WHERE t.repository = ?1 AND t.name = 'latest' AND m.id = t.manifest";
/// Goes through all tags of the repository.
const NEWEST: &str = "SELECT m.id, m.digest
     FROM (SELECT manifest, max(updated) FROM tags WHERE repository = ?1) t CROSS JOIN manifests m
     WHERE m.id = t.manifest";
pub(super) const DESCRIBED_BY: &str = "SELECT manifest FROM search_rows WHERE repository = ?1";
/// All of it, in the order of the results.
const ALL: &str = "SELECT name, description, folded FROM search_rows ORDER BY number";

/// Repositories that are looked at together on the way through all of them, when there is nothing to describe.
const STEP: usize = 4096;

/// Where a walk through all repositories stands that nobody has begun.
const NOT_BEGUN: i64 = -1;

/// What may have changed since its row was made.
pub(super) struct Changes(Mutex<List>);

#[derive(Default)]
struct List {
    queue: VecDeque<RepoName>,
    queued: HashSet<RepoName>,
    /// The number of the last repository that was looked at on the way through all of them.
    walked: Option<i64>,
}

impl Changes {
    /// Of a process that has just begun: nobody knows what changed.
    pub(super) fn unknown() -> Changes {
        Changes(Mutex::new(List::unknown()))
    }

    /// Notes what a commit changed. Before anybody is told of the commit.
    pub(super) fn note(&self, keys: &[Key]) {
        let mut list = None;
        for key in keys {
            // Whatever sets, moves or removes a tag says so to the cache.
            if let Key::Tag(repo, _) = key {
                list.get_or_insert_with(|| self.lock()).add(repo);
            }
        }
    }

    fn take(&self, limit: usize) -> (Vec<RepoName>, Option<i64>) {
        let mut list = self.lock();
        let count = list.queue.len().min(limit);
        let taken: Vec<RepoName> = list.queue.drain(..count).collect();
        for repo in &taken {
            list.queued.remove(repo);
        }
        if taken.len() < limit && list.walked == Some(NOT_BEGUN) {
            list.walked = Some(0);
        }
        (taken, list.walked)
    }

    /// Goes on from `before` to `after`, unless the walk began anew meanwhile.
    fn walked(&self, before: i64, after: Option<i64>) {
        let mut list = self.lock();
        if list.walked == Some(before) {
            list.walked = after;
        }
    }

    fn has_more(&self) -> bool {
        let list = self.lock();
        !list.queue.is_empty() || list.walked.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, List> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl List {
    fn unknown() -> List {
        List { walked: Some(NOT_BEGUN), ..List::default() }
    }

    fn add(&mut self, repo: &RepoName) {
        // Where all of them are still to be looked at there is no need to remember one.
        if self.walked == Some(NOT_BEGUN) || repo.is_staging() || self.queued.contains(repo) {
            return;
        }
        if self.queue.len() >= LIST_MAX {
            *self = List::unknown();
            return;
        }
        self.queued.insert(repo.clone());
        self.queue.push_back(repo.clone());
    }
}

#[async_trait]
impl SearchRows for SqliteMeta {
    async fn outdated(&self, limit: usize) -> Result<OutdatedRows> {
        let (taken, walked) = self.shared.changes.take(limit);
        if taken.is_empty() && walked.is_none() {
            return Ok(OutdatedRows::default());
        }
        let room = limit.saturating_sub(taken.len());
        let names = taken.clone();
        let read = self.readers.read("looking for changed repositories", move |c| {
            let mut rows = Vec::new();
            for repo in names {
                let number = repos::id(c, &repo)?;
                rows.extend(outdated(c, number, repo)?);
            }
            let walked = match walked {
                Some(after) if room > 0 => Some((after, walk(c, after, room, &mut rows)?)),
                _ => None,
            };
            Ok((rows, walked))
        });
        match read.await {
            Ok((rows, walked)) => {
                if let Some((before, after)) = walked {
                    self.shared.changes.walked(before, after);
                }
                Ok(OutdatedRows { rows, more: self.shared.changes.has_more() })
            }
            Err(error) => {
                let mut list = self.shared.changes.lock();
                taken.iter().for_each(|repo| list.add(repo));
                Err(error)
            }
        }
    }

    fn give_back(&self, outdated: &[Outdated]) {
        let mut list = self.shared.changes.lock();
        outdated.iter().for_each(|outdated| list.add(&outdated.repo));
    }

    async fn describe(&self, descriptions: Vec<Description>) -> Result<()> {
        if descriptions.is_empty() {
            return Ok(());
        }
        self.writer
            .run("describing repositories", None, move |batch| {
                descriptions.iter().try_for_each(|description| describe(batch, description))
            })
            .await
    }

    async fn search(&self, search: Search) -> Result<Found> {
        self.readers.read("searching", move |c| find(c, &search)).await
    }
}

/// Looks at the next repositories by number, until so many are outdated. The answer is where to go on; `None`: at the end.
fn walk(
    connection: &Connection,
    after: i64,
    limit: usize,
    rows: &mut Vec<Outdated>,
) -> rusqlite::Result<Option<i64>> {
    let full = rows.len().saturating_add(limit);
    let mut statement = connection.prepare_cached(WALK)?;
    let mut found = statement.query((after, integer(STEP)))?;
    let (mut seen, mut last) = (0, after);
    while let Some(row) = found.next()? {
        if rows.len() >= full {
            return Ok(Some(last));
        }
        seen += 1;
        last = row.get(0)?;
        // Staging places read as no name.
        if let Ok(repo) = row.get_ref(1)?.as_str()?.parse() {
            rows.extend(outdated(connection, Some(last), repo)?);
        }
    }
    Ok((seen == STEP).then_some(last))
}

fn outdated(
    connection: &Connection,
    number: Option<i64>,
    repo: RepoName,
) -> rusqlite::Result<Option<Outdated>> {
    // A row goes with its repository.
    let Some(number) = number else { return Ok(None) };
    let source = source(connection, number)?;
    let row: Option<Option<u64>> = connection
        .prepare_cached(DESCRIBED_BY)?
        .query_row([number], |row| row.get::<_, Option<i64>>(0)?.map(|_| unsigned(row, 0)).transpose())
        .optional()?;
    let is_right = match (row, source) {
        (None, None) => true,
        (Some(by), Some(source)) => by == Some(source.number),
        _ => false,
    };
    Ok((!is_right).then_some(Outdated { repo, source }))
}

/// The manifest that describes a repository.
fn source(connection: &Connection, repository: i64) -> rusqlite::Result<Option<Source>> {
    for sql in [LATEST, NEWEST] {
        let found = connection
            .prepare_cached(sql)?
            .query_row([repository], |row| {
                Ok(Source { number: unsigned(row, 0)?, digest: row.get::<_, DigestColumn>(1)?.0 })
            })
            .optional()?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn describe(batch: &mut Batch<'_>, description: &Description) -> rusqlite::Result<()> {
    let Description { of: Outdated { repo, source: by }, text } = description;
    let connection = batch.connection;
    let Some(repository) = repos::id(connection, repo)? else { return Ok(()) };
    if source(connection, repository)? != *by {
        // Whatever changed it noted so.
        return Ok(());
    }
    let Some(source) = by else {
        connection.prepare_cached("DELETE FROM search_rows WHERE repository = ?1")?.execute([repository])?;
        return Ok(());
    };
    let number = text.as_ref().map(|_| integer(source.number));
    let text = text.as_deref().unwrap_or_default();
    let folded = Some(text.to_lowercase()).filter(|folded| folded != text);
    connection
        .prepare_cached(
            "INSERT INTO search_rows (repository, manifest, name, description, folded) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (repository) DO UPDATE SET
                 manifest = excluded.manifest, description = excluded.description, folded = excluded.folded",
        )?
        .execute((repository, number, repo.as_str(), text, folded))?;
    Ok(())
}

fn find(connection: &Connection, search: &Search) -> rusqlite::Result<Found> {
    let term = Finder::new(&search.term);
    let view = search.view.as_ref();
    let mut statement = connection.prepare_cached(ALL)?;
    let mut rows = statement.query([])?;
    let mut found = Found::default();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?;
        let own = row.get_ref(1)?;
        let by_name = term.find(name.as_bytes()).is_some();
        let said = view.says(name);
        let fits = by_name
            || match said {
                Some(said) => said.fits,
                None => {
                    let folded = row.get_ref(2)?.as_bytes_or_null()?.unwrap_or(own.as_bytes()?);
                    term.find(folded).is_some()
                }
            };
        if !fits || !view.shows(name) {
            continue;
        }
        if found.total >= search.skip && found.results.len() < search.limit {
            let description = match said {
                Some(said) => said.text,
                None => own.as_str()?,
            };
            found
                .results
                .push(FoundRepository { name: name.to_owned(), description: description.to_owned() });
        }
        found.total += 1;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::Tag(format!("a/r{number}").parse().expect("a name"), "latest".into())
    }

    #[test]
    fn every_change_is_told_once_in_order() {
        let changes = Changes::unknown();
        changes.note(&[key(1)]);
        assert_eq!(changes.take(10), (Vec::new(), Some(0)), "all of them are looked at anyway");
        changes.note(&[key(1), key(2), key(1)]);
        changes.walked(0, None);
        let names =
            |(taken, _): (Vec<RepoName>, _)| taken.iter().map(RepoName::to_string).collect::<Vec<_>>();
        assert_eq!(names(changes.take(1)), ["a/r1"]);
        changes.note(&[key(1)]);
        assert_eq!(names(changes.take(10)), ["a/r2", "a/r1"]);
        assert!(!changes.has_more());
    }

    #[test]
    fn with_too_many_changes_all_repositories_are_looked_at_anew() {
        let changes = Changes::unknown();
        changes.take(1);
        changes.walked(0, Some(500));
        for number in 0..=LIST_MAX {
            changes.note(&[key(number)]);
        }
        // Whoever was on the way through them does not end it.
        changes.walked(500, None);
        assert_eq!(changes.take(10), (Vec::new(), Some(0)));
        changes.walked(0, None);
        assert!(!changes.has_more());
    }
}
