//! Upload rows that may wait for somebody else's commit.
//!
//! A session's row changes with every request of an upload, and each new row replaces the one before. So a row waits here a
//! moment: a later row of the same session takes its place, the end of the session takes it away, and what is left
//! rides with a commit that happens anyway, or gets one of its own after [`LATEST`]. A small push thus costs one commit.
//!
//! Before that it is in the sessions' log (`session_log`), where it outlives the process.
//!
//! While a row is being written it stays visible, so that a reader of this process never sees the session go back.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gantry_oci::UploadId;

use super::session_log::SessionLog;
use crate::meta::UploadRow;

/// A row younger than this does not ride along: it will likely be replaced or taken away.
const RIDE_AFTER: Duration = Duration::from_millis(10);

/// The longest that a row waits. It survives `kill -9` meanwhile; only a power cut takes it. So this is longer than most uploads
/// last, and a push of one large blob costs one commit.
const LATEST: Duration = Duration::from_secs(2);

/// Rows that may wait so long. More are written at once: they take memory, and room in the log.
const MANY: usize = 256;

/// After a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// Rows kept while the database refuses writes. Beyond that sessions fall back to the row they had.
const KEPT_IN_FAILURE: usize = 4096;

/// A row and since when it waits.
#[derive(Clone)]
pub(super) struct Waiting {
    row: UploadRow,
    since: Instant,
}

impl Waiting {
    pub(super) fn row(&self) -> &UploadRow {
        &self.row
    }
}

#[derive(Default)]
struct Rows {
    waiting: HashMap<UploadId, Waiting>,
    /// Taken by the writer: being written, or about to be removed with the session.
    taken: HashMap<UploadId, Waiting>,
    /// The oldest row's time, or earlier.
    oldest: Option<Instant>,
    /// Nothing is tried before.
    not_before: Option<Instant>,
    /// Where rows survive `kill -9` meanwhile.
    log: Option<SessionLog>,
}

/// The waiting rows. Shared by callers, readers and the writer.
#[derive(Default)]
pub(super) struct LazyUploads(Mutex<Rows>);

impl LazyUploads {
    /// Goes on with the rows that a killed process left in its log.
    pub(super) fn with_log(log: SessionLog, left: Vec<UploadRow>) -> LazyUploads {
        let lazy = LazyUploads::default();
        let now = Instant::now();
        let mut rows = lazy.lock();
        rows.oldest = (!left.is_empty()).then_some(now);
        rows.waiting = left.into_iter().map(|row| (row.id, Waiting { row, since: now })).collect();
        rows.log = Some(log);
        drop(rows);
        lazy
    }

    /// The process ends in good order: what was committed needs no log.
    pub(super) fn fold_away(&self) {
        let mut rows = self.lock();
        if let Rows { log: Some(log), waiting, .. } = &mut *rows
            && waiting.is_empty()
        {
            log.restart(&[]);
        }
    }

    /// These sessions have ended, durably.
    pub(super) fn ended(&self, ids: impl Iterator<Item = UploadId>) {
        if let Some(log) = &mut self.lock().log {
            log.ended(ids);
        }
    }

    /// Adds or replaces a row. True: the writer must be told, because it may be asleep. With it comes whether the row survives
    /// `kill -9` already.
    pub(super) fn save(&self, row: UploadRow) -> (bool, io::Result<()>) {
        let mut rows = self.lock();
        let now = Instant::now();
        // A session that is used all the time must not put off its row for ever.
        let since = rows.waiting.get(&row.id).map_or(now, |waiting| waiting.since);
        let wake = rows.oldest.is_none() || rows.waiting.len() == MANY;
        rows.oldest.get_or_insert(since);
        let logged = rows.log.as_mut().map_or(Ok(()), |log| log.saved(&row));
        rows.waiting.insert(row.id, Waiting { row, since });
        (wake, logged)
    }

    /// The newest row of a session, if it is not known to be in the database.
    pub(super) fn get(&self, id: &UploadId) -> Option<UploadRow> {
        let rows = self.lock();
        rows.waiting.get(id).or_else(|| rows.taken.get(id)).map(|waiting| waiting.row.clone())
    }

    /// When the writer must act at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let rows = self.lock();
        let due = if rows.waiting.len() > MANY { rows.oldest? } else { rows.oldest? + LATEST };
        Some(rows.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// Takes what is to be written now: all of it, or what waited long enough.
    pub(super) fn take_due(&self, all: bool) -> Vec<Waiting> {
        let mut rows = self.lock();
        let Some(oldest) = rows.oldest else { return Vec::new() };
        let now = Instant::now();
        let age = if all { Duration::ZERO } else { RIDE_AFTER };
        let too_early = rows.not_before.is_some_and(|not_before| now < not_before);
        if !all && (too_early || now.duration_since(oldest) < age) {
            return Vec::new();
        }
        let due: Vec<Waiting> = rows
            .waiting
            .values()
            .filter(|waiting| now.duration_since(waiting.since) >= age)
            .cloned()
            .collect();
        for waiting in &due {
            rows.waiting.remove(&waiting.row.id);
            rows.taken.insert(waiting.row.id, waiting.clone());
        }
        rows.oldest = rows.waiting.values().map(|waiting| waiting.since).min();
        due
    }

    /// Takes a row out of the way of its session's end.
    pub(super) fn take_ended(&self, id: &UploadId) -> Option<Waiting> {
        let mut rows = self.lock();
        let waiting = rows.waiting.remove(id)?;
        rows.taken.insert(*id, waiting.clone());
        if rows.waiting.is_empty() {
            rows.oldest = None;
        }
        Some(waiting)
    }

    /// The transaction is over. `restore`: rows that it did not write after all, and that wait again unless a newer row came.
    pub(super) fn settle(&self, restore: Vec<Waiting>, failed: bool) {
        let mut rows = self.lock();
        rows.taken.clear();
        rows.not_before = failed.then(|| Instant::now() + RETRY);
        for waiting in restore {
            if rows.waiting.len() >= KEPT_IN_FAILURE {
                break;
            }
            rows.oldest = Some(rows.oldest.map_or(waiting.since, |oldest| oldest.min(waiting.since)));
            rows.waiting.entry(waiting.row.id).or_insert(waiting);
        }
        // Nothing is taken now: what waits is all that the log must keep.
        let Rows { log: Some(log), waiting, .. } = &mut *rows else { return };
        if log.is_long() {
            let waiting: Vec<UploadRow> = waiting.values().map(|waiting| waiting.row.clone()).collect();
            log.restart(&waiting);
        }
    }

    /// Sessions that wait for their row to be written.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use gantry_oci::Algorithm;

    fn row(offset: u64) -> UploadRow {
        UploadRow {
            id: "0f8fad5b-d9cb-469f-a165-70867728950e".parse().expect("an id"),
            repo: "a/b".parse().expect("a name"),
            owner: String::new(),
            storage: crate::meta::storages::StorageId::DEFAULT,
            algorithm: Algorithm::Sha256,
            offset,
            hash_state: Vec::new(),
            buffered: None,
            started: Timestamp(0),
            touched: Timestamp(0),
        }
    }

    #[test]
    fn rows_coalesce_and_stay_visible_while_they_are_written() {
        let lazy = LazyUploads::default();
        let id = row(0).id;
        assert!(lazy.save(row(0)).0, "the first row wakes the writer");
        assert!(!lazy.save(row(1)).0);
        assert!(lazy.take_due(false).is_empty(), "too young to ride along");
        let due = lazy.take_due(true);
        assert_eq!(due.len(), 1);
        assert_eq!(lazy.get(&id).map(|row| row.offset), Some(1));
        assert!(lazy.deadline().is_none());
        assert!(lazy.save(row(2)).0, "the writer may have gone to sleep");
        lazy.settle(due, true);
        assert_eq!(lazy.get(&id).map(|row| row.offset), Some(2), "a restored row gives way to a newer one");
        assert!(lazy.take_ended(&id).is_some());
        assert_eq!(lazy.get(&id).map(|row| row.offset), Some(2));
        lazy.settle(Vec::new(), false);
        assert!(lazy.get(&id).is_none());
        assert_eq!(lazy.len(), 0);
    }
}
