//! Bodies: of answers, whose length is always known, and of requests, which may stop coming.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use gantry_storage::{BlobStream, StorageError};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use tokio::time::{Instant, Sleep};

use crate::registry::{BlobBytes, BodyError, ByteSource, RegistryError};

/// Where the bytes of an answer go. It is held until the last of them is gone: the connection is busy so long.
pub(crate) trait Outlet: Send + Sync {
    /// The most bytes that may be handed over at once, now. What is handed over may have to wait in memory until the other end
    /// reads it.
    fn piece(&self) -> usize;

    /// Waits until so much of what was handed over is gone that there may be more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Whether bytes of files may be left to the kernel to send.
    fn sends_files(&self) -> bool;

    /// What stands for `length` bytes (at most [`FILE_PIECE`]) of a file on their way out. Only where [`Outlet::sends_files`].
    fn send_file(self: Arc<Self>, file: Arc<File>, offset: u64, length: usize) -> Bytes;

    /// Bytes on their way out, `last` when there are no more of them. What this returns is dropped when they are gone.
    fn hand_over(self: Arc<Self>, bytes: Bytes, last: bool) -> Bytes;
}

/// The body of an answer.
pub(crate) struct Body {
    source: Source,
    /// Bytes that have been read but not yet handed over.
    rest: Bytes,
    /// Bytes that are still to come.
    left: u64,
    watch: Option<Watch>,
}

/// Who wants to know about the bytes of an answer.
struct Watch {
    /// Counts the bytes that go out.
    sent: Counter,
    outlet: Arc<dyn Outlet>,
}

enum Source {
    Empty,
    Blob(Reading),
    Parts { blob: BlobBytes, parts: VecDeque<Part>, open: Option<Reading> },
}

/// A part of a `multipart/byteranges` body.
pub(crate) enum Part {
    /// Boundaries and headers.
    Text(Bytes),
    /// Bytes of the blob.
    Range(Range<u64>),
}

/// A range of a blob while it is read.
struct Reading {
    blob: BlobBytes,
    /// Not yet read.
    range: Range<u64>,
    stream: Option<BlobStream>,
    /// Where the stream ends.
    until: u64,
}

/// Bytes of a file that are left to the kernel at once.
pub(crate) const FILE_PIECE: usize = 2 << 20;

/// Bytes of a file that are read when the kernel does not have them in memory, before it is asked again.
const COLD_SPAN: usize = 1 << 20;

/// Pieces of this size and more are left to the store, which knows how to read fast.
const LARGE: usize = 64 << 10;

impl Reading {
    fn new(blob: BlobBytes, range: Range<u64>) -> Self {
        Self { blob, range, stream: None, until: 0 }
    }

    /// The next piece, sent by the kernel: when it is in memory, and large enough for that to be cheaper than reading.
    fn send(&mut self, outlet: &Arc<dyn Outlet>) -> Option<Bytes> {
        let Range { start, end } = self.range;
        let BlobBytes::Stored(handle) = &self.blob else { return None };
        if self.stream.is_some() || end.saturating_sub(start) < LARGE as u64 {
            return None;
        }
        let length = usize::try_from(end - start).unwrap_or(FILE_PIECE).min(FILE_PIECE);
        let file = handle.cached_file(start..start + length as u64)?;
        self.range.start += length as u64;
        Some(Arc::clone(outlet).send_file(file, start, length))
    }

    /// The next piece, of a stream that ends after `span` bytes.
    fn poll(&mut self, cx: &mut Context<'_>, span: usize) -> Poll<Option<Result<Bytes, StorageError>>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None if self.range.is_empty() => return Poll::Ready(None),
            None => {
                let Range { start, end } = self.range;
                self.until = end.min(start.saturating_add(span as u64));
                self.stream.insert(self.blob.read(start..self.until))
            }
        };
        let item = ready!(stream.as_mut().poll_next(cx));
        match &item {
            Some(Ok(bytes)) => self.range.start += bytes.len() as u64,
            // Less than there should be: what is missing is told by `Body::left`.
            Some(Err(_)) | None => self.range.start = self.range.end,
        }
        if self.range.start >= self.until {
            self.stream = None;
        }
        Poll::Ready(item)
    }
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::whole(Bytes::new())
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let rest = bytes.into();
        Self { left: rest.len() as u64, source: Source::Empty, rest, watch: None }
    }

    /// The bytes of `range` of a blob.
    pub(crate) fn blob(blob: &BlobBytes, range: Range<u64>) -> Self {
        let left = range.end.saturating_sub(range.start);
        match blob {
            BlobBytes::Inline(bytes) if left == bytes.len() as u64 => Self::whole(bytes.clone()),
            _ => Self::from(Source::Blob(Reading::new(blob.clone(), range)), left),
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
        Self::from(Source::Parts { blob, parts, open: None }, left)
    }

    fn from(source: Source, left: u64) -> Self {
        Self { source, rest: Bytes::new(), left, watch: None }
    }

    /// The body's length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    /// Counts the bytes as they go out, by this way.
    pub(crate) fn watched(mut self, sent: Counter, outlet: Arc<dyn Outlet>) -> Self {
        self.watch = Some(Watch { sent, outlet });
        self
    }

    /// Counts bytes that go out now.
    fn goes(&mut self, bytes: Bytes) -> Bytes {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        if let Some(watch) = &self.watch {
            watch.sent.inc_by(bytes.len() as u64);
        }
        if self.left == 0 {
            self.watch = None;
        }
        bytes
    }

    /// The next piece as it comes from the source.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
        span: usize,
    ) -> Poll<Option<Result<Bytes, StorageError>>> {
        match &mut self.source {
            Source::Empty => Poll::Ready(None),
            Source::Blob(reading) => reading.poll(cx, span),
            Source::Parts { blob, parts, open } => loop {
                if let Some(reading) = open {
                    match ready!(reading.poll(cx, span)) {
                        Some(item) => return Poll::Ready(Some(item)),
                        None => *open = None,
                    }
                }
                match parts.pop_front() {
                    Some(Part::Text(text)) => return Poll::Ready(Some(Ok(text))),
                    Some(Part::Range(range)) => *open = Some(Reading::new(blob.clone(), range)),
                    None => return Poll::Ready(None),
                }
            },
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = StorageError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StorageError>>> {
        let this = &mut *self;
        let (limit, span) = match &this.watch {
            Some(watch) => {
                ready!(watch.outlet.poll_room(cx));
                if let (true, true, Source::Blob(reading)) =
                    (this.rest.is_empty(), watch.outlet.sends_files(), &mut this.source)
                    && let Some(bytes) = reading.send(&watch.outlet)
                {
                    return Poll::Ready(Some(Ok(Frame::data(this.goes(bytes)))));
                }
                match watch.outlet.piece() {
                    // A stream keeps pieces of its own size in memory: too large for such a limit.
                    limit if limit < LARGE => (limit, limit),
                    limit if watch.outlet.sends_files() => (limit, COLD_SPAN),
                    limit => (limit, usize::MAX),
                }
            }
            None => (usize::MAX, usize::MAX),
        };
        if this.rest.is_empty() {
            match ready!(this.poll_source(cx, span)) {
                Some(Ok(bytes)) => this.rest = bytes,
                // The connection is cut: the client must not take this for the end of the blob.
                Some(Err(error)) => {
                    tracing::error!(%error, left = this.left, "reading a blob failed in the middle of an answer");
                    return Poll::Ready(Some(Err(error)));
                }
                None => return Poll::Ready(None),
            }
        }
        let mut bytes = this.rest.split_to(this.rest.len().min(limit));
        if let Some(watch) = &this.watch {
            let last = this.left == bytes.len() as u64;
            bytes = Arc::clone(&watch.outlet).hand_over(bytes, last);
        }
        Poll::Ready(Some(Ok(Frame::data(this.goes(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
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

    /// No body.
    pub(crate) fn none() -> Self {
        let (timeout, received) = (Duration::ZERO, Counter::default());
        Self { incoming: None, flowing: false, timeout, deadline: None, received }
    }

    /// All of it, where it is small.
    pub(crate) async fn collect(mut self, limit: u64) -> Result<Bytes, RegistryError> {
        let announced = self.incoming.as_ref().and_then(|incoming| incoming.size_hint().exact());
        if announced.is_some_and(|announced| announced > limit) {
            return Err(RegistryError::TooLarge { limit });
        }
        let mut all = BytesMut::new();
        while let Some(piece) = std::future::poll_fn(|cx| Pin::new(&mut self).poll_next(cx)).await {
            let piece = piece?;
            if (all.len() + piece.len()) as u64 > limit {
                return Err(RegistryError::TooLarge { limit });
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
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
