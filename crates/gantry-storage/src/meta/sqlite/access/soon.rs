//! What may wait for company: entries of the audit log, and the times at which tokens were used.
//!
//! They ride with a commit that happens anyway, or get one of their own after [`LATEST`]. Unlike the rows of upload sessions (`lazy`)
//! they are in memory only meanwhile: a crash costs what was done in the last two seconds its entry. Both queues are
//! bounded; what finds no place is dropped and counted, and the log says how many.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use uuid::Uuid;

use super::{audit, tokens};
use crate::clock::Timestamp;
use crate::meta::access::AuditEntry;

/// Entries, and tokens, that wait at most.
const PLACES: usize = 10_000;

/// What one transaction takes along. It holds up those who wait for that transaction.
const MANY: usize = 1_000;

/// What is younger does not ride along: a few in one transaction touch fewer pages than each in its own.
const RIDE_AFTER: Duration = Duration::from_millis(100);

/// The longest that anything waits.
const LATEST: Duration = Duration::from_secs(2);

/// After a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// Uses of a token closer together than this are one: 60 s in microseconds.
const ONE_USE: u64 = 60_000_000;

#[derive(Default)]
struct Notes {
    entries: VecDeque<AuditEntry>,
    uses: HashMap<Uuid, Timestamp>,
    /// The last use of a token that was taken in.
    noted: HashMap<Uuid, Timestamp>,
    /// Entries that found no place and are not told of, and when the last of them came.
    dropped: Option<(u64, Timestamp)>,
    /// Entries that are being written keep their places, so that they can come back.
    taken: usize,
    /// Since when the oldest waits, or earlier.
    oldest: Option<Instant>,
    /// Nothing is tried before.
    not_before: Option<Instant>,
    /// It was said that the store takes no entries any more.
    told: bool,
}

/// The queues. Shared by callers and the writer.
#[derive(Default)]
pub(in super::super) struct Soon(Mutex<Notes>);

/// What a transaction writes.
#[derive(Default)]
pub(in super::super) struct Taken {
    entries: Vec<AuditEntry>,
    uses: Vec<(Uuid, Timestamp)>,
    dropped: Option<(u64, Timestamp)>,
}

impl Taken {
    pub(in super::super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.uses.is_empty() && self.dropped.is_none()
    }

    /// Writes all of it.
    pub(in super::super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.entries.iter().try_for_each(|entry| audit::insert(connection, entry))?;
        self.uses.iter().try_for_each(|(id, at)| tokens::used(connection, *id, *at))?;
        self.about_dropped().map_or(Ok(()), |entry| audit::insert(connection, &entry))
    }

    /// The entry that says how many were dropped.
    fn about_dropped(&self) -> Option<AuditEntry> {
        self.dropped.map(|(count, at)| AuditEntry {
            at,
            action: String::from("audit.dropped"),
            object: count.to_string(),
            reason: format!("{count} entries were dropped: too many waited to be written"),
            ..AuditEntry::default()
        })
    }
}

impl Soon {
    /// Takes an entry in. The first answer: there was a place. The second: the writer must be told, because it may be asleep.
    pub(in super::super) fn audit(&self, entry: AuditEntry) -> (bool, bool) {
        let mut notes = self.lock();
        if notes.entries.len() + notes.taken >= PLACES {
            notes.note_dropped(1, entry.at);
            return (false, false);
        }
        notes.entries.push_back(entry);
        let wake = notes.oldest.is_none() || notes.entries.len() == MANY;
        notes.oldest.get_or_insert_with(Instant::now);
        (true, wake)
    }

    /// Takes the use of a token in. True: the writer must be told.
    pub(in super::super) fn used(&self, id: Uuid, at: Timestamp) -> bool {
        let mut notes = self.lock();
        if notes.noted.get(&id).is_some_and(|noted| noted.0.abs_diff(at.0) < ONE_USE) {
            return false;
        }
        if notes.noted.len() >= PLACES && !notes.noted.contains_key(&id) {
            notes.noted.retain(|_, noted| noted.0.abs_diff(at.0) < ONE_USE);
            if notes.noted.len() >= PLACES {
                return false;
            }
        }
        notes.noted.insert(id, at);
        if notes.uses.len() >= PLACES && !notes.uses.contains_key(&id) {
            return false;
        }
        notes.uses.insert(id, at);
        let wake = notes.oldest.is_none();
        notes.oldest.get_or_insert_with(Instant::now);
        wake
    }

    /// When the writer must act at the latest.
    pub(in super::super) fn deadline(&self) -> Option<Instant> {
        let notes = self.lock();
        let oldest = notes.oldest?;
        let due = if notes.entries.len() >= MANY { oldest } else { oldest + LATEST };
        Some(notes.not_before.map_or(due, |not_before| due.max(not_before)))
    }

    /// Takes what is to be written now. `all`: whatever waits. `company`: there is a transaction anyway.
    pub(in super::super) fn take(&self, all: bool, company: bool) -> Taken {
        let mut notes = self.lock();
        let Some(oldest) = notes.oldest else { return Taken::default() };
        let now = Instant::now();
        let age = now.saturating_duration_since(oldest);
        let due = age >= LATEST || notes.entries.len() >= MANY || (company && age >= RIDE_AFTER);
        let too_early = notes.not_before.is_some_and(|not_before| now < not_before);
        if !all && (too_early || !due) {
            return Taken::default();
        }
        let most = if all { PLACES } else { MANY };
        let count = most.min(notes.entries.len());
        let entries: Vec<AuditEntry> = notes.entries.drain(..count).collect();
        let ids: Vec<Uuid> = notes.uses.keys().take(most).copied().collect();
        let uses = ids.into_iter().filter_map(|id| notes.uses.remove_entry(&id)).collect();
        notes.taken = entries.len();
        let rest = notes.entries.len();
        if rest == 0 && notes.uses.is_empty() {
            notes.oldest = None;
        }
        // Told when there is room again, so that one burst is one entry.
        let dropped = if rest < PLACES / 2 { notes.dropped.take() } else { None };
        Taken { entries, uses, dropped }
    }

    /// What was taken is durable.
    pub(in super::super) fn written(&self) {
        let mut notes = self.lock();
        notes.taken = 0;
        notes.not_before = None;
    }

    /// What was taken was not written, and waits again.
    pub(in super::super) fn restore(&self, taken: Taken) {
        let mut notes = self.lock();
        let now = Instant::now();
        notes.taken = 0;
        if !taken.is_empty() {
            notes.oldest = Some(now);
            notes.not_before = Some(now + RETRY);
        }
        if let Some((count, at)) = taken.dropped {
            notes.note_dropped(count, at);
        }
        for entry in taken.entries.into_iter().rev() {
            notes.entries.push_front(entry);
        }
        for (id, at) in taken.uses {
            if notes.uses.len() < PLACES {
                notes.uses.entry(id).or_insert(at);
            }
        }
    }

    /// What was taken cannot be written, whatever is tried: it is dropped and counted.
    pub(in super::super) fn refuse(&self, taken: &Taken) {
        let mut notes = self.lock();
        notes.taken = 0;
        let counts = [taken.dropped, taken.entries.last().map(|last| (taken.entries.len() as u64, last.at))];
        for (count, at) in counts.into_iter().flatten() {
            notes.note_dropped(count, at);
        }
    }

    /// The store takes no writes any more: forgets everything. True: that is to be told, because it is the first time.
    pub(in super::super) fn close(&self) -> bool {
        let mut notes = self.lock();
        let told = notes.told;
        *notes = Notes { told: true, ..Notes::default() };
        !told
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes {
    fn note_dropped(&mut self, count: u64, at: Timestamp) {
        let before = self.dropped.map_or(0, |(count, _)| count);
        self.dropped = Some((before + count, at));
    }
}
