//! A connection whose other end must get on with it.
//!
//! A client that sends half of a request's head, or asks for a blob and then reads nothing, would hold its place for ever.
//! (Silence in the middle of a request's body is noticed where the body is read.) Timers exist only while something is late:
//! a connection that works costs nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::activity::Activity;
use super::file::SendFile;
use super::sniff::Sniffer;

/// Fails reads when a request's head takes too long, and writes that make no progress.
pub(super) struct Watched<S> {
    inner: S,
    activity: Arc<Activity>,
    head_timeout: Duration,
    write_timeout: Duration,
    /// What the first bytes told; HTTP/2 has its own pings, and heads that mix with other frames.
    version: Version,
    coming: Coming,
    head: Option<Head>,
    late: Option<Pin<Box<Sleep>>>,
    stalled: Option<Pin<Box<Sleep>>>,
}

/// What the connection speaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    /// So many bytes of the preface of HTTP/2 have come, and nothing else: it may still be a head.
    Unknown(usize),
    Http1,
    Http2,
}

/// What HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Version {
    /// With these bytes, which came next. They may come one by one.
    fn after(self, bytes: &[u8]) -> Self {
        let Version::Unknown(before) = self else { return self };
        let expected = PREFACE.get(before..).unwrap_or_default();
        let length = expected.len().min(bytes.len());
        match bytes.get(..length) == expected.get(..length) {
            true if length == expected.len() => Version::Http2,
            true => Version::Unknown(before + length),
            false => Version::Http1,
        }
    }
}

/// A head of which some bytes have come.
struct Head {
    deadline: Instant,
    /// Requests before it.
    after: usize,
    sniffer: Sniffer,
}

/// The most bytes of an HTTP/1.1 body that are taken at once, after so many have come. hyper doubles its buffer after a read that
/// fills it, and keeps the buffer for as long as the connection is open: what never fills 8 KiB leaves it at that. Many small
/// pieces cost time, so the longer a body is, the larger they get; pages without bytes cost nothing.
const AT_ONCE: [(usize, usize); 3] = [(0, (8 << 10) - 1), (128 << 10, (16 << 10) - 1), (1 << 20, 48 << 10)];

/// How much of a request's body has come.
#[derive(Default)]
struct Coming {
    /// Requests that had begun.
    begun: usize,
    bytes: usize,
}

impl<S> Watched<S> {
    pub(super) fn new(
        inner: S,
        activity: Arc<Activity>,
        head_timeout: Duration,
        write_timeout: Duration,
    ) -> Self {
        let (head, late, stalled) = (None, None, None);
        Self {
            inner,
            activity,
            head_timeout,
            write_timeout,
            version: Version::Unknown(0),
            coming: Coming::default(),
            head,
            late,
            stalled,
        }
    }

    /// Notes that bytes have come: of a new head, when no request is under way.
    fn arrived(&mut self, bytes: &[u8]) {
        if self.version == Version::Http2 {
            return;
        }
        self.version = self.version.after(bytes);
        if self.version == Version::Http2 {
            self.activity.is_http2();
            (self.head, self.late) = (None, None);
            return;
        }
        let after = self.activity.begun();
        let known = self.head.as_ref().is_some_and(|head| head.after == after);
        if !known {
            self.late = None;
            self.head = self.activity.idle_since().map(|_| Head {
                deadline: Instant::now() + self.head_timeout,
                after,
                sniffer: Sniffer::new(),
            });
        }
        if let Some(head) = &mut self.head
            && head.sniffer.sees_both(bytes)
        {
            self.activity.is_ambiguous();
        }
    }

    /// The most bytes to read now.
    fn read_at_once(&mut self) -> usize {
        if self.version != Version::Http1 || self.activity.idle_since().is_some() {
            return usize::MAX;
        }
        let begun = self.activity.begun();
        if self.coming.begun != begun {
            self.coming = Coming { begun, bytes: 0 };
        }
        let come = self.coming.bytes;
        AT_ONCE.iter().rev().find(|(after, _)| come >= *after).map_or(usize::MAX, |(_, at_once)| *at_once)
    }

    /// Whether a head that has begun is late.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        match &self.head {
            Some(head) if head.after == self.activity.begun() => {
                let deadline = head.deadline;
                let late = self.late.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                late.as_mut().poll(cx).is_ready()
            }
            _ => {
                self.head = None;
                self.late = None;
                false
            }
        }
    }

    fn note_written(&self, poll: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = poll {
            self.activity.wrote(*bytes);
        }
    }

    fn watch_write<T>(&mut self, cx: &mut Context<'_>, poll: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.stalled = None;
            return poll;
        }
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client stopped reading")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let limit = self.read_at_once();
        let poll = if into.remaining() > limit {
            let mut part = ReadBuf::new(into.initialize_unfilled_to(limit));
            let poll = Pin::new(&mut self.inner).poll_read(cx, &mut part);
            let length = part.filled().len();
            into.advance(length);
            self.coming.bytes = self.coming.bytes.saturating_add(length);
            poll
        } else {
            Pin::new(&mut self.inner).poll_read(cx, into)
        };
        match &poll {
            Poll::Ready(Ok(())) => {
                if let Some(bytes) = into.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
                    self.arrived(bytes);
                }
                poll
            }
            Poll::Pending if self.is_late(cx) => Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the head of a request took too long",
            ))),
            _ => poll,
        }
    }
}

impl<S: SendFile + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        let poll = match this.activity.files() {
            Some(files) => files.poll_write(inner, cx, bytes),
            None => inner.poll_write_vectored(cx, bytes),
        };
        self.note_written(&poll);
        self.watch_write(cx, poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch_write(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.watch_write(cx, poll)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preface_may_come_in_pieces() {
        for cut in 0..PREFACE.len() {
            let (first, second) = PREFACE.split_at(cut);
            assert!(Version::Unknown(0).after(first).after(second) == Version::Http2, "{cut}");
            assert!(Version::Unknown(0).after(first) == Version::Unknown(cut), "{cut}");
            assert!(Version::Unknown(0).after(first).after(b"x") == Version::Http1, "{cut}");
        }
        let more = [PREFACE, b"\0\0\0"].concat();
        assert!(Version::Unknown(0).after(&more) == Version::Http2);
        assert!(Version::Unknown(0).after(b"PUT / HTTP/1.1\r\n").after(PREFACE) == Version::Http1);
    }
}
