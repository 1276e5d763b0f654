//! Bodies: of answers, whose length is always known, and of requests, which may stop coming.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use gantry_storage::{BlobStream, StorageError};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use crate::registry::{BlobBytes, BodyError, ByteSource};

/// The body of an answer.
pub(crate) struct Body {
    source: Source,
    /// Bytes that are still to come.
    left: u64,
    watch: Option<Watch>,
}

/// Who wants to know about the bytes of an answer.
struct Watch {
    /// Counts the bytes that go out.
    sent: Counter,
    /// Held until the last byte is gone: the connection is busy so long.
    _busy: Arc<dyn Send + Sync>,
}

enum Source {
    Empty,
    Whole(Bytes),
    Stream(BlobStream),
    Parts { blob: BlobBytes, parts: VecDeque<Part>, open: Option<BlobStream> },
}

/// A part of a `multipart/byteranges` body.
pub(crate) enum Part {
    /// Boundaries and headers.
    Text(Bytes),
    /// Bytes of the blob.
    Range(Range<u64>),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self { source: Source::Empty, left: 0, watch: None }
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { left: bytes.len() as u64, source: Source::Whole(bytes), watch: None }
    }

    /// The bytes of `range` of a blob.
    pub(crate) fn blob(blob: &BlobBytes, range: Range<u64>) -> Self {
        let left = range.end.saturating_sub(range.start);
        match blob {
            BlobBytes::Inline(bytes) if left == bytes.len() as u64 => Self::whole(bytes.clone()),
            _ => Self { source: Source::Stream(blob.read(range)), left, watch: None },
        }
    }

    /// Several ranges of a blob with text between them.
    pub(crate) fn parts(blob: BlobBytes, parts: VecDeque<Part>) -> Self {
        let left = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len() as u64,
                Part::Range(range) => range.end - range.start,
            })
            .sum();
        Self { source: Source::Parts { blob, parts, open: None }, left, watch: None }
    }

    /// The body's length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// Counts the bytes as they go out, and keeps `busy` until the last of them or the end of the connection.
    pub(crate) fn watched(mut self, sent: Counter, busy: Arc<dyn Send + Sync>) -> Self {
        self.watch = Some(Watch { sent, _busy: busy });
        self
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        let item = match &mut self.source {
            Source::Empty => None,
            Source::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                self.source = Source::Empty;
                Some(Ok(bytes)).filter(|piece| !matches!(piece, Ok(bytes) if bytes.is_empty()))
            }
            Source::Stream(stream) => ready!(stream.as_mut().poll_next(cx)),
            Source::Parts { blob, parts, open } => loop {
                if let Some(stream) = open {
                    match ready!(stream.as_mut().poll_next(cx)) {
                        Some(item) => break Some(item),
                        None => *open = None,
                    }
                }
                match parts.pop_front() {
                    Some(Part::Text(text)) => break Some(Ok(text)),
                    Some(Part::Range(range)) => *open = Some(blob.read(range)),
                    None => break None,
                }
            },
        };
        match item {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                if let Some(watch) = &self.watch {
                    watch.sent.inc_by(bytes.len() as u64);
                }
                if self.left == 0 {
                    self.watch = None;
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            // The connection is cut: the client must not take this for the end of the blob.
            Some(Err(error)) => {
                tracing::error!(%error, left = self.left, "reading a blob failed in the middle of an answer");
                Poll::Ready(Some(Err(error)))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.source, Source::Empty) || self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of a request, as a stream that fails after too long a silence.
///
/// Nothing is read before somebody asks, so that `Expect: 100-continue` is only answered then. When it is dropped before
/// its end, a bounded rest is read and thrown away: a client that is still sending would otherwise see its connection
/// reset in place of our answer.
pub(crate) struct RequestBody {
    incoming: Option<Incoming>,
    /// The client sends, or will send without being asked to.
    flowing: bool,
    /// The longest silence.
    timeout: Duration,
    deadline: Option<Pin<Box<Sleep>>>,
    received: Counter,
}

impl RequestBody {
    /// `expects_continue`: the client waits to be asked for the body.
    /// `received` counts the bytes.
    pub(crate) fn new(
        incoming: Incoming,
        timeout: Duration,
        expects_continue: bool,
        received: Counter,
    ) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Self { incoming, flowing: !expects_continue, timeout, deadline: None, received }
    }

    /// The body as the registry takes it.
    pub(crate) fn into_source(self) -> ByteSource {
        Box::pin(self)
    }
}

impl Stream for RequestBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        this.flowing = true;
        loop {
            let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
            match Pin::new(incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.deadline = None;
                    if let Ok(bytes) = frame.into_data() {
                        this.received.inc_by(bytes.len() as u64);
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    this.incoming = None;
                    return Poll::Ready(Some(Err(BodyError::Broken(error.to_string()))));
                }
                Poll::Ready(None) => {
                    this.incoming = None;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let timeout = this.timeout;
                    let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
                    ready!(deadline.as_mut().poll(cx));
                    this.incoming = None;
                    return Poll::Ready(Some(Err(BodyError::Timeout(timeout.as_secs()))));
                }
            }
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(incoming) = self.incoming.take()
            && self.flowing
        {
            drain(incoming);
        }
    }
}

/// Bytes of an unwanted body that are read all the same.
const DRAIN_BYTES: u64 = 8 << 20;
/// Time that this may take.
const DRAIN_TIME: Duration = Duration::from_secs(3);

fn drain(mut incoming: Incoming) {
    if incoming.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let deadline = Instant::now() + DRAIN_TIME;
        let mut read = 0;
        while read < DRAIN_BYTES {
            let next = std::future::poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx));
            match tokio::time::timeout_at(deadline, next).await {
                Ok(Some(Ok(frame))) => read += frame.data_ref().map_or(0, |data| data.len() as u64),
                _ => break,
            }
        }
    });
}
