//! Bytes of a file that the kernel sends itself, from the page cache to the socket (`sendfile`).
//!
//! hyper has no such bodies. So a stretch of nothing stands for the bytes on their way through hyper, and the connection, which
//! sees what is about to be written, knows it by its address and has the kernel send the file's bytes in its place. A
//! stretch that goes away before its bytes were sent has been copied by somebody: then the connection is cut before
//! anything of that copy can be written.
//!
//! Only for HTTP/1.1 without TLS: elsewhere bytes are framed or encrypted on the way.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// The most bytes of a file in one stretch.
pub(super) const STRETCH: usize = crate::http::body::FILE_PIECE;

/// What stands for bytes of files. Nobody reads it, so it is never in memory.
static NOTHING: [u8; STRETCH] = [0; STRETCH];

/// Whether this is a stretch of nothing.
pub(super) fn stands_for_a_file(bytes: &[u8]) -> bool {
    NOTHING.as_ptr_range().contains(&bytes.as_ptr())
}

/// Files on their way through one connection, in the order in which they are to be sent.
#[derive(Default)]
pub(super) struct Files {
    queue: Mutex<VecDeque<Arc<Stretch>>>,
    spoilt: AtomicBool,
}

struct Stretch {
    file: Arc<File>,
    offset: u64,
    length: usize,
    sent: AtomicUsize,
}

impl Stretch {
    fn left(&self) -> usize {
        self.length - self.sent.load(Ordering::Acquire).min(self.length)
    }
}

/// What hyper holds of a stretch, with what has to live as long.
struct Held<T> {
    stretch: Arc<Stretch>,
    files: Arc<Files>,
    _with: T,
}

impl<T> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        &NOTHING[..self.stretch.length]
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        if self.stretch.left() > 0 {
            self.files.spoilt.store(true, Ordering::Release);
        }
    }
}

impl Files {
    /// What stands for `length` bytes (at most [`STRETCH`]) of a file, which must be handed to this connection next.
    pub(super) fn queue<T: Send + 'static>(
        self: &Arc<Self>,
        file: Arc<File>,
        offset: u64,
        length: usize,
        with: T,
    ) -> Bytes {
        let stretch =
            Arc::new(Stretch { file, offset, length: length.min(STRETCH), sent: AtomicUsize::new(0) });
        self.lock().push_back(Arc::clone(&stretch));
        Bytes::from_owner(Held { stretch, files: Arc::clone(self), _with: with })
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Stretch>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what comes first of `buffers`, which may stand for files.
    pub(super) fn poll_write<S: SendFile + Unpin>(
        &self,
        mut to: Pin<&mut S>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.spoilt.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::Error::other("bytes that stand for a file were copied")));
        }
        let plain = buffers.iter().take_while(|buffer| !stands_for_a_file(buffer)).count();
        if plain > 0 || buffers.is_empty() {
            return to.poll_write_vectored(cx, &buffers[..plain]);
        }
        let Some(stretch) = self.lock().front().cloned() else {
            return Poll::Ready(Err(io::Error::other("a file that is not to be sent")));
        };
        let length = stretch.left().min(buffers[0].len());
        let offset = stretch.offset + (stretch.length - stretch.left()) as u64;
        let sent = ready!(to.as_mut().poll_send_file(cx, &stretch.file, offset, length))?;
        if sent == 0 {
            // The client must not take what is missing for the end of the blob.
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a blob's file ended early",
            )));
        }
        stretch.sent.fetch_add(sent, Ordering::AcqRel);
        if stretch.left() == 0 {
            self.lock().pop_front();
        }
        Poll::Ready(Ok(sent))
    }
}

/// A connection's stream, which may be one that the kernel can write to itself.
pub(super) trait SendFile: tokio::io::AsyncWrite {
    /// Whether it is.
    const SENDS_FILES: bool;

    /// Has the kernel send up to `length` bytes from `offset` on.
    fn poll_send_file(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>>;
}

impl SendFile for TcpStream {
    const SENDS_FILES: bool = true;

    fn poll_send_file(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_write_ready(cx))?;
            let mut offset = offset;
            let sent = self.try_io(Interest::WRITABLE, || {
                rustix::fs::sendfile(&*self, file, Some(&mut offset), length).map_err(io::Error::from)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl SendFile for tokio_rustls::server::TlsStream<TcpStream> {
    const SENDS_FILES: bool = false;

    fn poll_send_file(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &File,
        _: u64,
        _: usize,
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use futures_util::future::poll_fn;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let connect = TcpStream::connect(listener.local_addr().expect("an address"));
        let (near, far) = tokio::join!(connect, listener.accept());
        (near.expect("connected"), far.expect("accepted").0)
    }

    fn file(content: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(content).expect("written");
        Arc::new(file)
    }

    #[tokio::test]
    async fn the_file_is_sent_in_place_of_what_stands_for_it() {
        let (mut near, mut far) = pair().await;
        let files = Arc::new(Files::default());
        let content: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
        let file = file(&content);
        let expected: Vec<u8> = b"head"
            .iter()
            .chain(&content[7..500_007])
            .chain(b"between")
            .chain(&content[..9])
            .copied()
            .collect();
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            far.read_to_end(&mut got).await.expect("all of it");
            got
        });
        let mut queue = VecDeque::from([
            Bytes::from_static(b"head"),
            files.queue(Arc::clone(&file), 7, 500_000, ()),
            Bytes::from_static(b"between"),
            files.queue(file, 0, 9, ()),
        ]);
        while !queue.is_empty() {
            let slices: Vec<_> = queue.iter().map(|bytes| IoSlice::new(bytes)).collect();
            let mut wrote =
                poll_fn(|cx| files.poll_write(Pin::new(&mut near), cx, &slices)).await.expect("written");
            while wrote > 0 {
                let front = queue.front_mut().expect("something was written");
                let part = wrote.min(front.len());
                bytes::Buf::advance(front, part);
                wrote -= part;
                if front.is_empty() {
                    queue.pop_front();
                }
            }
        }
        drop(near);
        assert!(reading.await.expect("read") == expected);
    }

    #[tokio::test]
    async fn a_copy_of_what_stands_for_a_file_is_never_written() {
        let (mut near, _far) = pair().await;
        let files = Arc::new(Files::default());
        let copy = files.queue(file(b"some bytes"), 0, 10, ()).to_vec();
        let written = poll_fn(|cx| files.poll_write(Pin::new(&mut near), cx, &[IoSlice::new(&copy)])).await;
        assert!(written.is_err());
    }

    #[tokio::test]
    async fn a_file_that_ends_early_ends_the_connection() {
        let (mut near, _far) = pair().await;
        let files = Arc::new(Files::default());
        let bytes = files.queue(file(b"short"), 5, 10, ());
        let written = poll_fn(|cx| files.poll_write(Pin::new(&mut near), cx, &[IoSlice::new(&bytes)])).await;
        assert_eq!(written.expect_err("an error").kind(), io::ErrorKind::UnexpectedEof);
    }
}
