//! One write: what it works with, and how it waits for its turn and its commit.

use gantry_oci::UploadId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::cache::Key;
use crate::clock::Timestamp;
use crate::error::{Result, StorageError};

/// What an operation works with: the connection, inside of the transaction, and notes about what it touches.
pub(super) struct Batch<'a> {
    pub(super) connection: &'a Connection,
    /// The store's time, the same for the whole transaction.
    pub(super) now: Timestamp,
    keys: Vec<Key>,
    uploads_delta: i64,
    access_changed: bool,
}

/// What a batch has noted, to go back to when an operation fails.
pub(super) struct Mark(usize, i64, bool);

impl<'a> Batch<'a> {
    pub(super) fn new(connection: &'a Connection, now: Timestamp) -> Batch<'a> {
        Batch { connection, now, keys: Vec::new(), uploads_delta: 0, access_changed: false }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark(self.keys.len(), self.uploads_delta, self.access_changed)
    }

    /// Forgets what was noted since.
    pub(super) fn back_to(&mut self, mark: &Mark) {
        self.keys.truncate(mark.0);
        self.uploads_delta = mark.1;
        self.access_changed = mark.2;
    }

    /// Answers that change with this transaction.
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// By how many the upload sessions change.
    pub(super) fn uploads_delta(&self) -> i64 {
        self.uploads_delta
    }

    /// Whether it changes who may do what.
    pub(super) fn changes_access(&self) -> bool {
        self.access_changed
    }

    /// Notes that the answer for this key changes with this transaction.
    pub(super) fn touch(&mut self, key: Key) {
        if let Key::Image(_, image) = &key {
            self.keys.push(Key::Homes(*image));
        }
        self.keys.push(key);
    }

    /// Notes a change of who may do what.
    pub(super) fn access_changed(&mut self) {
        self.access_changed = true;
    }

    /// Notes a change in the number of upload sessions.
    pub(super) fn count_uploads(&mut self, delta: i64) {
        self.uploads_delta += delta;
    }
}

/// An operation that waits for its turn and then for its commit.
pub(super) trait Operation: Send {
    /// The session that this operation ends.
    fn ends(&self) -> Option<UploadId>;
    /// Does the work, remembers the outcome.
    fn run(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()>;
    /// Answers, after the transaction's end.
    fn answer(self: Box<Self>, failed: Option<StorageError>);
}

pub(super) struct Pending<T, F> {
    during: &'static str,
    ends: Option<UploadId>,
    work: Option<F>,
    outcome: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Pending<T, F> {
    pub(super) fn new(
        during: &'static str,
        ends: Option<UploadId>,
        work: F,
        reply: oneshot::Sender<Result<T>>,
    ) -> Pending<T, F> {
        Pending { during, ends, work: Some(work), outcome: None, reply }
    }
}

impl<T, F> Operation for Pending<T, F>
where
    T: Send,
    F: FnOnce(&mut Batch<'_>) -> rusqlite::Result<T> + Send,
{
    fn ends(&self) -> Option<UploadId> {
        self.ends
    }

    fn run(&mut self, batch: &mut Batch<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.outcome = Some(work(batch)?);
        }
        Ok(())
    }

    fn answer(self: Box<Self>, failed: Option<StorageError>) {
        let answer = match (failed, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => Ok(outcome),
            (None, None) => Err(stopped(self.during)),
        };
        // The asker may have gone; what was committed stays.
        let _ = self.reply.send(answer);
    }
}

/// The store is closed.
pub(super) fn stopped(during: &'static str) -> StorageError {
    StorageError::Unavailable { during, message: String::from("the store is closed") }
}
