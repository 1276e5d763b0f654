//! What goes on on a connection: whether requests are under way, how many there were, and since when it is idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// One connection's activity, shared by those who watch it.
pub(super) struct Activity {
    born: Instant,
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// Milliseconds since `born` at which the last request ended.
    ended: AtomicU64,
    /// Requests whose answer is being sent.
    sending: AtomicUsize,
    /// Bytes that the other end has taken.
    written: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            begun: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            written: AtomicU64::new(0),
        })
    }

    /// Counts a request, which is under way until what this returns is dropped.
    pub(super) fn begin(this: &Arc<Self>) -> Arc<Busy> {
        this.begun.fetch_add(1, Ordering::AcqRel);
        this.under_way.fetch_add(1, Ordering::AcqRel);
        Arc::new(Busy { activity: Arc::clone(this), sending: AtomicBool::new(false) })
    }

    /// Notes bytes that the other end has taken.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that the other end has taken so far, if there are answers for it to read.
    pub(super) fn written_while_sending(&self) -> Option<u64> {
        (self.sending.load(Ordering::Acquire) > 0).then(|| self.written.load(Ordering::Relaxed))
    }

    /// Requests that have begun so far.
    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::Acquire)
    }

    /// Since when no request is under way; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.under_way.load(Ordering::Acquire) == 0;
        idle.then(|| self.born + Duration::from_millis(self.ended.load(Ordering::Acquire)))
    }
}

/// A request under way.
pub(super) struct Busy {
    activity: Arc<Activity>,
    sending: AtomicBool,
}

impl Busy {
    /// Notes that the answer is there, and is the other end's to read.
    pub(super) fn sends(&self) {
        if !self.sending.swap(true, Ordering::AcqRel) {
            self.activity.sending.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let activity = &self.activity;
        let now = u64::try_from(activity.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        activity.ended.store(now, Ordering::Release);
        if self.sending.load(Ordering::Acquire) {
            activity.sending.fetch_sub(1, Ordering::AcqRel);
        }
        activity.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}
