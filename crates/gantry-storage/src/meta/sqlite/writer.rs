//! The one writer: a thread that owns the one writing connection and groups what waits into transactions.
//!
//! Each operation runs in a savepoint of its own, so that one that fails leaves its neighbours alone, and is answered only after
//! the COMMIT of the whole group. Nobody waits for a group to fill: while one group is being made durable the next gathers,
//! so the busier the registry, the larger the groups.
//!
//! A commit that the disk failed to keep makes the store read-only for good: after a failed fsync the system may drop the
//! data and report success the next time, so no retry is trusted. A full disk is no such failure, and passes.
//!
//! The log is folded into the database (a checkpoint) here and not inside of COMMIT, where SQLite would swallow its errors.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use gantry_oci::UploadId;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::access::{Soon, Taken};
use super::cache::ExactCache;
use super::lazy::{LazyUploads, Waiting};
pub(super) use super::operation::Batch;
use super::operation::{Operation, Pending, stopped};
use super::search::Changes;
use super::{failure, schema, uploads};
use crate::clock::{StoreClock, Timestamp};
use crate::error::{Result, StorageError};
use crate::failpoint::Point;
use crate::health::Health;
use crate::meta::GROUP_SIZE_BUCKETS;

/// Operations in one transaction at most.
const GROUP: usize = 256;

/// How often the store's time is saved while there are commits. So much of it a crash takes back.
const SAVE_CLOCK: Duration = Duration::from_secs(10);

/// Pages in the log after which it is folded into the database: 16 MiB. In a large store each commit touches other pages, so a longer
/// log lets more commits share the writing of one; reading it back after a crash takes milliseconds.
const CHECKPOINT_PAGES: i32 = 4 * 1024;

/// Pages in the log after which readers are waited for, so that it starts from its beginning again: 64 MiB.
const RESTART_PAGES: i32 = 16 * 1024;

thread_local! {
    /// Pages in the log after this thread's last commit.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

enum Message {
    Run(Box<dyn Operation>),
    /// A row waits: look at the deadline.
    Wake,
    /// Write all waiting rows now.
    Flush(oneshot::Sender<Result<()>>),
    /// Fold the log away and end.
    Stop(oneshot::Sender<()>),
}

/// What callers, metrics and the writer share.
pub(super) struct Shared {
    pub(super) clock: StoreClock,
    pub(super) cache: ExactCache,
    pub(super) lazy: LazyUploads,
    /// Entries of the audit log, and uses of tokens, that wait.
    pub(super) soon: Soon,
    /// Repositories that a search has to look at anew.
    pub(super) changes: Changes,
    /// See [`crate::meta::access::AccessRows::access_generation`].
    pub(super) access_generation: AtomicU64,
    pub(super) health: Health,
    pub(super) commits: AtomicU64,
    pub(super) operations: AtomicU64,
    pub(super) group_sizes: [AtomicU64; 9],
    pub(super) uploads_open: AtomicI64,
    /// For tests: the next commit fails as if the disk had failed.
    pub(super) break_next_commit: AtomicBool,
}

impl Shared {
    /// Forgets what waits for a log that cannot be written any more, and says so once.
    fn give_up_notes(&self) {
        if self.soon.close() {
            tracing::warn!("the store is read-only: nothing is written to the audit log from now on");
        }
    }

    /// When the writer must act at the latest, without being asked.
    fn deadline(&self) -> Option<Instant> {
        [self.lazy.deadline(), self.soon.deadline()].into_iter().flatten().min()
    }
}

/// The callers' end. Dropping it ends the thread after what was sent is done.
pub(super) struct Writer {
    sender: Option<Sender<Message>>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

impl Writer {
    /// Starts the thread. `keep` is held until the thread ends.
    pub(super) fn start(
        connection: Connection,
        shared: Arc<Shared>,
        keep: Option<Arc<std::fs::File>>,
        database: PathBuf,
    ) -> std::io::Result<Writer> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let inner = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(String::from("gantry-writer")).spawn(move || {
            let mut state = State {
                connection,
                shared: inner,
                database,
                checkpoint_at: CHECKPOINT_PAGES,
                clock_saved: Cell::new(None),
            };
            state.serve(&receiver);
            drop(state);
            drop(keep);
        })?;
        Ok(Writer { sender: Some(sender), thread: Some(thread), shared })
    }

    /// Runs `work` in a transaction and answers when it is durable. The work goes on when the caller goes away.
    pub(super) async fn run<T, F>(&self, during: &'static str, ends: Option<UploadId>, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Batch<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        if let Some(reason) = self.shared.health.read_only() {
            return Err(StorageError::ReadOnly { reason });
        }
        let (reply, answer) = oneshot::channel();
        self.send(Message::Run(Box::new(Pending::new(during, ends, work, reply))));
        answer.await.unwrap_or_else(|_| Err(stopped(during)))
    }

    /// See [`crate::MetaStore::save_upload_soon`].
    pub(super) fn save_soon(&self, row: crate::meta::UploadRow) -> Result<()> {
        let (wake, logged) = self.shared.lazy.save(row);
        if wake {
            self.send(Message::Wake);
        }
        logged.map_err(|error| StorageError::from_io("noting an upload session", error))
    }

    /// See [`crate::meta::access::AccessRows::audit_soon`].
    pub(super) fn audit_soon(&self, entry: crate::meta::access::AuditEntry) -> bool {
        if self.shared.health.read_only().is_some() {
            self.shared.give_up_notes();
            return false;
        }
        let (taken, wake) = self.shared.soon.audit(entry);
        if wake {
            self.send(Message::Wake);
        }
        taken
    }

    /// See [`crate::meta::access::AccessRows::token_used_soon`].
    pub(super) fn token_used_soon(&self, id: uuid::Uuid, at: Timestamp) {
        if self.shared.health.read_only().is_none() && self.shared.soon.used(id, at) {
            self.send(Message::Wake);
        }
    }

    /// Writes what waits.
    pub(super) async fn flush(&self) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Flush(reply));
        answer.await.unwrap_or_else(|_| Err(stopped("flushing")))
    }

    /// Writes what waits, folds the log into the database and ends the thread.
    pub(super) async fn stop(&self) {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Stop(reply));
        // An error means that the thread has ended already.
        let _ = answer.await;
    }

    fn send(&self, message: Message) {
        if let Some(sender) = &self.sender {
            // When the thread has ended the message is dropped, and with it the reply's sender: the asker learns of it.
            let _ = sender.send(message);
        }
    }
}

impl Drop for Writer {
    /// Waits for the thread: at most for the groups that were sent before. The directory's lock goes with it.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A group that gathers.
#[derive(Default)]
struct Group {
    operations: Vec<Box<dyn Operation>>,
    flushes: Vec<oneshot::Sender<Result<()>>>,
    stop: Option<oneshot::Sender<()>>,
}

impl Group {
    fn add(&mut self, message: Message) {
        match message {
            Message::Run(operation) => self.operations.push(operation),
            Message::Wake => {}
            Message::Flush(reply) => self.flushes.push(reply),
            Message::Stop(reply) => self.stop = Some(reply),
        }
    }

    fn is_full(&self) -> bool {
        self.operations.len() >= GROUP || self.stop.is_some()
    }
}

/// The thread's side.
struct State {
    connection: Connection,
    shared: Arc<Shared>,
    database: PathBuf,
    /// The length of the log, in pages, that calls for the next checkpoint.
    checkpoint_at: i32,
    /// When the store's time was last saved.
    clock_saved: Cell<Option<Instant>>,
}

impl State {
    fn serve(&mut self, receiver: &Receiver<Message>) {
        self.connection.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(pages);
            Ok(())
        }));
        loop {
            let mut group = Group::default();
            let received = match self.shared.deadline() {
                Some(deadline) => receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let mut last = false;
            match received {
                Ok(message) => group.add(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => last = true,
            }
            while !group.is_full() {
                let Ok(message) = receiver.try_recv() else { break };
                group.add(message);
            }
            let stop = group.stop.take();
            last |= stop.is_some();
            self.commit_group(group, last);
            self.checkpoint();
            if let Some(reply) = stop {
                self.fold_away();
                let _ = reply.send(());
            }
            if last {
                return;
            }
        }
    }

    /// One group from first to last: rows that wait, then the operations, then the answers.
    fn commit_group(&mut self, group: Group, last: bool) {
        let Group { mut operations, flushes, .. } = group;
        // Rows of sessions that end in this group need not be written at all.
        let ended: Vec<Waiting> = operations
            .iter()
            .filter_map(|operation| operation.ends())
            .filter_map(|id| self.shared.lazy.take_ended(&id))
            .collect();
        let overdue = self.shared.lazy.deadline().is_some_and(|deadline| deadline <= Instant::now());
        let all = last || !flushes.is_empty();
        let due = self.shared.lazy.take_due(all || overdue);
        let mut notes = self.shared.soon.take(all, !operations.is_empty() || !due.is_empty());
        if operations.is_empty() && due.is_empty() && notes.is_empty() {
            for reply in flushes {
                let _ = reply.send(Ok(()));
            }
            return;
        }

        let mut failures: Vec<Option<StorageError>> = Vec::with_capacity(operations.len());
        let outcome = match self.shared.health.read_only() {
            Some(reason) => Err(StorageError::ReadOnly { reason }),
            None => self.transaction(&due, &mut notes, &mut operations, &mut failures),
        };
        match outcome {
            Ok(()) => {
                self.shared.soon.written();
                // However many notes rode along, they are one operation.
                let size = operations.len() + due.len() + usize::from(!notes.is_empty());
                self.count(u64::try_from(size).unwrap_or(u64::MAX));
                // A failed operation did not end its session.
                let failed_ends: Vec<UploadId> = operations
                    .iter()
                    .zip(&failures)
                    .filter(|(_, failure)| failure.is_some())
                    .filter_map(|(operation, _)| operation.ends())
                    .collect();
                let restore =
                    ended.into_iter().filter(|waiting| failed_ends.contains(&waiting.row().id)).collect();
                self.shared.lazy.settle(restore, false);
                let ended = operations.iter().zip(&failures).filter(|(_, failure)| failure.is_none());
                self.shared.lazy.ended(ended.filter_map(|(operation, _)| operation.ends()));
                for (operation, failure) in operations.into_iter().zip(failures) {
                    operation.answer(failure);
                    let _ = failure::hit(Point::GroupAnswered);
                }
                for reply in flushes {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                if operations.is_empty() && !notes.is_empty() {
                    tracing::warn!(%error, "entries of the audit log could not be written; trying again");
                }
                if self.shared.health.read_only().is_some() {
                    self.shared.give_up_notes();
                } else {
                    self.shared.soon.restore(notes);
                }
                if operations.is_empty() && !due.is_empty() {
                    tracing::warn!(%error, sessions = due.len(), "upload sessions could not be saved; trying again");
                }
                self.shared.lazy.settle(ended.into_iter().chain(due).collect(), true);
                for operation in operations {
                    operation.answer(Some(error.duplicate()));
                }
                for reply in flushes {
                    let _ = reply.send(Err(error.duplicate()));
                }
            }
        }
    }

    /// `Ok`: committed; `failures` has an entry for each operation. `Err`: nothing of the group happened.
    fn transaction(
        &self,
        due: &[Waiting],
        notes: &mut Taken,
        operations: &mut [Box<dyn Operation>],
        failures: &mut Vec<Option<StorageError>>,
    ) -> Result<()> {
        let connection = &self.connection;
        let now = self.shared.clock.now();
        let mut batch = Batch::new(connection, now);
        failure::hit(Point::GroupBegin)
            .and_then(|()| execute(connection, "BEGIN IMMEDIATE"))
            .map_err(|error| self.fail("beginning a transaction", &error))?;
        let saved = failure::hit(Point::GroupBegun)
            .and_then(|()| due.iter().try_for_each(|waiting| uploads::save(&mut batch, waiting.row())))
            .and_then(|()| failure::hit(Point::GroupSessions));
        if let Err(error) = saved {
            return Err(self.abandon("saving an upload session", &error));
        }
        self.write_notes(notes)?;
        for operation in operations {
            let before = batch.mark();
            let outcome = execute(connection, "SAVEPOINT operation")
                .and_then(|()| operation.run(&mut batch))
                .and_then(|()| execute(connection, "RELEASE operation"))
                .and_then(|()| failure::hit(Point::GroupOperation));
            let Err(error) = outcome else {
                failures.push(None);
                continue;
            };
            batch.back_to(&before);
            // Some errors (a full disk, a failing one) end the whole transaction, neighbours included.
            if connection.is_autocommit() || failure::lost_a_write(&error) {
                return Err(self.abandon("writing", &error));
            }
            execute(connection, "ROLLBACK TO operation")
                .and_then(|()| execute(connection, "RELEASE operation"))
                .map_err(|error| self.abandon("undoing an operation", &error))?;
            failures.push(Some(failure::sort("writing", &error)));
        }

        if self.clock_saved.get().is_none_or(|saved| saved.elapsed() >= SAVE_CLOCK) {
            schema::save_clock(connection, now).map_err(|error| self.abandon("saving the clock", &error))?;
            self.clock_saved.set(Some(Instant::now()));
        }

        self.shared.cache.mark(batch.keys());
        let committed = self.commit();
        self.shared.cache.unmark(batch.keys());
        committed.map_err(|error| self.abandon("committing", &error))?;
        self.shared.changes.note(batch.keys());
        self.shared.uploads_open.fetch_add(batch.uploads_delta(), Ordering::Relaxed);
        if batch.changes_access() {
            self.shared.access_generation.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    /// Writes what waited for company. Rows that the database refuses do not hold up the others for ever: they are dropped.
    fn write_notes(&self, notes: &mut Taken) -> Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        let connection = &self.connection;
        let write = || {
            execute(connection, "SAVEPOINT notes")?;
            notes.write(connection)?;
            execute(connection, "RELEASE notes")
        };
        let Err(error) = write() else { return Ok(()) };
        if connection.is_autocommit() || failure::lost_a_write(&error) {
            return Err(self.abandon("writing to the audit log", &error));
        }
        execute(connection, "ROLLBACK TO notes")
            .and_then(|()| execute(connection, "RELEASE notes"))
            .map_err(|error| self.abandon("undoing an operation", &error))?;
        tracing::error!(%error, "entries of the audit log could not be written, and are dropped");
        self.shared.soon.refuse(&std::mem::take(notes));
        Ok(())
    }

    fn commit(&self) -> rusqlite::Result<()> {
        if self.shared.break_next_commit.swap(false, Ordering::Relaxed) {
            let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
            return Err(rusqlite::Error::SqliteFailure(
                code,
                Some(String::from("disk I/O error (made by a test)")),
            ));
        }
        failure::hit(Point::GroupCommit)?;
        execute(&self.connection, "COMMIT")?;
        // Nothing can be taken back any more: only what ends or holds up the process makes sense here.
        let _ = failure::hit(Point::GroupCommitted);
        Ok(())
    }

    /// Undoes the transaction and says why.
    fn abandon(&self, during: &'static str, error: &rusqlite::Error) -> StorageError {
        if !self.connection.is_autocommit()
            && let Err(second) = execute(&self.connection, "ROLLBACK")
        {
            tracing::error!(error = %second, "undoing a transaction failed");
            // Better no writes than a transaction that never ends.
            self.shared.health.set_read_only(format!("a transaction could not be undone: {second}"));
        }
        self.fail(during, error)
    }

    fn fail(&self, during: &'static str, error: &rusqlite::Error) -> StorageError {
        if failure::lost_a_write(error) {
            if failure::may_be_a_quota(error) && self.disk_is_full() {
                return StorageError::Full { during };
            }
            let reason = format!("the disk failed to keep a database write ({error})");
            tracing::error!(%error, "the database is read-only from now on: the disk failed to keep a write");
            self.shared.health.set_read_only(reason.clone());
            return StorageError::ReadOnly { reason };
        }
        failure::sort(during, error)
    }

    /// A used-up quota reaches us as a general write error. Asking the file system again tells the two apart.
    fn disk_is_full(&self) -> bool {
        let probe = self.database.with_extension("probe");
        let outcome = std::fs::write(&probe, [0_u8; 64 * 1024]);
        let _ = std::fs::remove_file(&probe);
        outcome
            .is_err_and(|error| matches!(StorageError::from_io("probing", error), StorageError::Full { .. }))
    }

    fn count(&self, size: u64) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.shared.operations.fetch_add(size, Ordering::Relaxed);
        let bucket =
            GROUP_SIZE_BUCKETS.iter().position(|bound| size <= *bound).unwrap_or(GROUP_SIZE_BUCKETS.len());
        if let Some(bucket) = self.shared.group_sizes.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Folds the log into the database when it has grown long.
    fn checkpoint(&mut self) {
        let pages = LOG_PAGES.get();
        if pages < CHECKPOINT_PAGES {
            // The log began anew.
            self.checkpoint_at = CHECKPOINT_PAGES;
        }
        if pages < self.checkpoint_at || self.shared.health.read_only().is_some() {
            return;
        }
        // While somebody reads the old log it cannot begin anew, and grows; then not every commit pays for a checkpoint.
        self.checkpoint_at = pages.saturating_add(CHECKPOINT_PAGES);
        self.run_checkpoint(if pages < RESTART_PAGES { "PASSIVE" } else { "RESTART" });
    }

    /// At the end: the next start finds everything in one file.
    fn fold_away(&self) {
        if self.shared.health.read_only().is_none() {
            if let Err(error) = schema::save_clock(&self.connection, self.shared.clock.now()) {
                tracing::warn!(%error, "the store's time could not be saved; promises to clients hold a little longer");
            }
            self.run_checkpoint("TRUNCATE");
            self.shared.lazy.fold_away();
        }
    }

    fn run_checkpoint(&self, how: &str) {
        let outcome = failure::hit(Point::CheckpointBegin)
            .and_then(|()| {
                self.connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))
            })
            .and_then(|()| failure::hit(Point::CheckpointEnd));
        if let Err(error) = outcome {
            // A full disk or a busy reader passes; the log stays valid meanwhile.
            let error = self.fail("folding the log into the database", &error);
            tracing::warn!(%error, "a checkpoint failed");
        }
    }
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
