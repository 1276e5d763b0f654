//! The audit log.
//!
//! A page is read along the index that narrows most, from the newest entry back, and whatever else is asked is checked entry by
//! entry. A pattern of repositories or a family of actions is many keys of one index: the newest of each key are merged.

use gantry_oci::access::RepoPattern;
use rusqlite::{Connection, OptionalExtension, Row, ToSql};

use super::time;
use crate::clock::Timestamp;
use crate::meta::access::{AuditEntry, AuditFilter, AuditRow};
use crate::meta::sqlite::value::integer;
use crate::meta::sqlite::writer::Batch;

macro_rules! walk {
    ($condition:literal) => {
        concat!(
            "SELECT id, at, subject, address, action, object, repository, allowed, reason, request FROM audit ",
            $condition,
            " AND id < ?1 AND id >= ?2 ORDER BY id DESC"
        )
    };
}

pub(super) const BY_ID: &str = walk!("WHERE ?3 IS NULL");
pub(super) const BY_SUBJECT: &str = walk!("INDEXED BY audit_by_subject WHERE subject = ?3");
pub(super) const BY_REPOSITORY: &str =
    walk!("INDEXED BY audit_by_repository WHERE repository <> '' AND repository = ?3");
pub(super) const BY_ACTION: &str = walk!("INDEXED BY audit_by_action WHERE action = ?3");
pub(super) const REFUSED: &str = walk!("INDEXED BY audit_refused WHERE ?3 IS NULL AND allowed = 0");
pub(super) const NEXT_REPOSITORY: &str =
    "SELECT repository FROM audit WHERE repository <> '' AND repository > ?1 ORDER BY repository LIMIT 1";
pub(super) const NEXT_ACTION: &str = "SELECT action FROM audit WHERE action > ?1 ORDER BY action LIMIT 1";
pub(super) const FIRST_SINCE: &str = "SELECT min(id) FROM audit INDEXED BY audit_by_at WHERE at >= ?1";
pub(super) const TRIM: &str =
    "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 ORDER BY at LIMIT ?2)";

pub(super) fn insert(connection: &Connection, entry: &AuditEntry) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO audit (at, subject, address, action, object, repository, allowed, reason, request)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            entry.at.0,
            &entry.subject,
            &entry.address,
            &entry.action,
            &entry.object,
            &entry.repository,
            entry.allowed,
            &entry.reason,
            &entry.request,
        ))
        .map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    let entry = AuditEntry {
        at: time(row, 1)?,
        subject: row.get(2)?,
        address: row.get(3)?,
        action: row.get(4)?,
        object: row.get(5)?,
        repository: row.get(6)?,
        allowed: row.get(7)?,
        reason: row.get(8)?,
        request: row.get(9)?,
    };
    Ok(AuditRow { id: row.get(0)?, entry })
}

/// Whether a row is wanted, without copying its texts.
fn fits(row: &Row<'_>, filter: &AuditFilter) -> rusqlite::Result<bool> {
    let text = |column: usize| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
    let (at, allowed) = (time(row, 1)?, row.get::<_, bool>(7)?);
    Ok(filter.since.is_none_or(|since| at >= since)
        && filter.allowed.is_none_or(|wanted| wanted == allowed)
        && match &filter.subject {
            Some(subject) => text(2)? == subject,
            None => true,
        }
        && match &filter.action {
            Some(family) => is_of(text(4)?, family),
            None => true,
        }
        && match &filter.repository {
            Some(pattern) => is_about(text(6)?, pattern),
            None => true,
        })
}

/// `user` is the family of `user.create` and of itself.
fn is_of(action: &str, family: &str) -> bool {
    action.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn is_about(repository: &str, pattern: &RepoPattern) -> bool {
    !repository.is_empty() && pattern.matches(repository)
}

/// What a page still takes: entries below `before`, from `first` on, the newest `limit` of them.
struct Page {
    before: i64,
    first: i64,
    limit: usize,
    rows: Vec<AuditRow>,
}

impl Page {
    /// Adds what stands under one key of an index.
    fn add(
        &mut self,
        connection: &Connection,
        sql: &str,
        key: impl ToSql,
        filter: &AuditFilter,
    ) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query((self.before, self.first, key))?;
        let before = self.rows.len();
        while self.rows.len() - before < self.limit
            && let Some(row) = found.next()?
        {
            if fits(row, filter)? {
                self.rows.push(read(row)?);
            }
        }
        self.rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        self.rows.truncate(self.limit);
        if self.rows.len() == self.limit
            && let Some(last) = self.rows.last()
        {
            // Older ones of other keys have no place any more.
            self.first = last.id;
        }
        Ok(())
    }
}

pub(super) fn page(
    connection: &Connection,
    filter: &AuditFilter,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<AuditRow>> {
    let first = match filter.since {
        // Numbers rise with time only about, because clocks jump: so no entry of the period is before this one.
        Some(since) => {
            let first: Option<i64> =
                connection.prepare_cached(FIRST_SINCE)?.query_row([since.0], |row| row.get(0))?;
            let Some(first) = first else { return Ok(Vec::new()) };
            first
        }
        None => 0,
    };
    let mut page = Page { before: before.unwrap_or(i64::MAX), first, limit, rows: Vec::new() };
    if limit == 0 {
        return Ok(page.rows);
    }
    let nothing = None::<i64>;
    let everywhere = RepoPattern::everything();
    if let Some(subject) = &filter.subject {
        page.add(connection, BY_SUBJECT, subject, filter)?;
    } else if let Some(pattern) = filter.repository.as_ref().filter(|pattern| **pattern != everywhere) {
        let prefix = pattern.literal_prefix();
        let mut next = if prefix.is_empty() { None } else { Some(prefix.to_owned()) };
        // The prefix itself, then every name behind it as long as they begin with it.
        if let Some(name) = &next
            && pattern.matches(name)
        {
            page.add(connection, BY_REPOSITORY, name, filter)?;
        }
        loop {
            let after = next.as_deref().unwrap_or_default();
            let Some(name) = following(connection, NEXT_REPOSITORY, after)? else { break };
            if !name.starts_with(prefix) {
                break;
            }
            if pattern.matches(&name) {
                page.add(connection, BY_REPOSITORY, &name, filter)?;
            }
            next = Some(name);
        }
    } else if let Some(family) = &filter.action {
        page.add(connection, BY_ACTION, family, filter)?;
        let mut last = format!("{family}.");
        while let Some(action) = following(connection, NEXT_ACTION, &last)? {
            if !is_of(&action, family) {
                break;
            }
            page.add(connection, BY_ACTION, &action, filter)?;
            last = action;
        }
    } else if filter.allowed == Some(false) {
        page.add(connection, REFUSED, nothing, filter)?;
    } else {
        page.add(connection, BY_ID, nothing, filter)?;
    }
    Ok(page.rows)
}

/// The next key of an index.
fn following(connection: &Connection, sql: &str, after: &str) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached(sql)?.query_row([after], |row| row.get(0)).optional()
}

pub(super) fn trim(batch: &mut Batch<'_>, older_than: Timestamp, limit: usize) -> rusqlite::Result<u64> {
    let removed = batch.connection.prepare_cached(TRIM)?.execute((older_than.0, integer(limit)))?;
    Ok(u64::try_from(removed).unwrap_or(u64::MAX))
}
