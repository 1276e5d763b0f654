//! What goes on on a connection: whether requests are under way, how many there were, since when it is idle, and how far the
//! other end has come with reading.
//!
//! In HTTP/1.1 what the socket takes is what is read. In HTTP/2 the socket also takes pings and settings, and the bytes of
//! answers wait in h2 for as long as their streams are not read. So each piece of an answer is followed until hyper lets go of
//! it: in HTTP/2 to see that the other end reads, in HTTP/1.1 to hold little for one that does not.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::file::Files;
use crate::http::Outlet;

/// One connection's activity, shared by those who watch it.
pub(super) struct Activity {
    born: Instant,
    begun: AtomicUsize,
    under_way: AtomicUsize,
    /// Milliseconds since `born` at which the last request ended.
    ended: AtomicU64,
    /// Requests whose answer is being sent.
    sending: AtomicUsize,
    /// Bytes that the socket has taken.
    written: AtomicU64,
    http2: AtomicBool,
    /// Bytes of answers that HTTP/2 has sent, or given up with their stream.
    taken: AtomicU64,
    /// Bytes of an HTTP/1.1 answer that have been handed over and are not yet written, and who waits to hand over more.
    unsent: AtomicUsize,
    waiting: AtomicWaker,
    ambiguous: AtomicBool,
    /// Files on their way, where the kernel can send them to this connection.
    files: Option<Arc<Files>>,
}

/// In HTTP/1.1 there is room for another piece of an answer while less than this waits to be written.
const UNSENT: usize = 32 << 10;

/// Streams of a connection that may have large pieces of their answers under way ...
const LARGE_STREAMS: usize = 2;
/// ... of so many bytes for each step of progress ...
const LARGE_PIECE: usize = 64 << 10;
/// ... and what each of them gets when there are more, so that a client that reads none of them holds little.
const SMALL_PIECE: usize = 16 << 10;

impl Activity {
    /// `sends_files`: as HTTP/1.1 the connection can leave files to the kernel.
    pub(super) fn new(sends_files: bool) -> Arc<Self> {
        Arc::new(Self {
            born: Instant::now(),
            begun: AtomicUsize::new(0),
            under_way: AtomicUsize::new(0),
            ended: AtomicU64::new(0),
            sending: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            http2: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            unsent: AtomicUsize::new(0),
            waiting: AtomicWaker::new(),
            ambiguous: AtomicBool::new(false),
            files: sends_files.then(Arc::default),
        })
    }

    /// Counts a request, which is under way until what this returns is dropped.
    pub(super) fn begin(this: &Arc<Self>) -> Arc<Busy> {
        this.begun.fetch_add(1, Ordering::AcqRel);
        this.under_way.fetch_add(1, Ordering::AcqRel);
        Arc::new(Busy { activity: Arc::clone(this), sending: AtomicBool::new(false) })
    }

    /// Files on their way, if this connection can send them.
    pub(super) fn files(&self) -> Option<&Files> {
        self.files.as_deref()
    }

    /// Notes that the connection speaks HTTP/2.
    pub(super) fn is_http2(&self) {
        self.http2.store(true, Ordering::Release);
    }

    /// Notes that the head of the next request says in two ways where its body ends.
    pub(super) fn is_ambiguous(&self) {
        self.ambiguous.store(true, Ordering::Release);
    }

    /// Notes bytes that the socket has taken.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that the other end has taken so far, if there are answers for it to read.
    pub(super) fn read_while_sending(&self) -> Option<u64> {
        let read = if self.http2.load(Ordering::Acquire) { &self.taken } else { &self.written };
        (self.sending.load(Ordering::Acquire) > 0).then(|| read.load(Ordering::Relaxed))
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

    /// Whether the request's head says in two ways where its body ends.
    pub(super) fn is_ambiguous(&self) -> bool {
        self.activity.ambiguous.load(Ordering::Acquire)
    }
}

impl Outlet for Busy {
    fn piece(&self) -> usize {
        match self.activity.http2.load(Ordering::Acquire) {
            false => usize::MAX,
            true if self.activity.sending.load(Ordering::Acquire) <= LARGE_STREAMS => LARGE_PIECE,
            true => SMALL_PIECE,
        }
    }

    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let full = || self.activity.unsent.load(Ordering::Acquire) >= UNSENT;
        if full() {
            self.activity.waiting.register(cx.waker());
            // It may have been written meanwhile.
            if full() {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    fn sends_files(&self) -> bool {
        self.activity.files.is_some() && !self.activity.http2.load(Ordering::Acquire)
    }

    fn send_file(self: Arc<Self>, file: Arc<File>, offset: u64, length: usize) -> Bytes {
        match &self.activity.files {
            Some(files) => Arc::clone(files).queue(file, offset, length, Arc::clone(&self)),
            None => Bytes::new(),
        }
    }

    fn hand_over(self: Arc<Self>, bytes: Bytes, last: bool) -> Bytes {
        let http2 = self.activity.http2.load(Ordering::Acquire);
        if !http2 && last {
            return bytes;
        }
        if !http2 {
            self.activity.unsent.fetch_add(bytes.len(), Ordering::AcqRel);
        }
        Bytes::from_owner(Followed { bytes, http2, busy: self })
    }
}

/// A piece of an answer until hyper lets go of it; the request is under way so long.
struct Followed {
    bytes: Bytes,
    http2: bool,
    busy: Arc<Busy>,
}

impl AsRef<[u8]> for Followed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let activity = &self.busy.activity;
        if self.http2 {
            activity.taken.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
        } else {
            activity.unsent.fetch_sub(self.bytes.len(), Ordering::AcqRel);
            activity.waiting.wake();
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
