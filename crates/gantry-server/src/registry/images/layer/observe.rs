//! What manifests and checksums have to know of a layer, while it arrives.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;

use bytes::{Bytes, BytesMut};
use flate2::write::MultiGzDecoder;
use futures_util::StreamExt as _;
use gantry_oci::{Algorithm, Digest};
use gantry_storage::Compression;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;

use super::super::super::{ByteSource, RegistryError, Result};
use super::unpack::{MAGIC, is_bomb, sniff};

/// Bytes that are gathered before a thread looks at them.
const BATCH: usize = 64 << 10;

/// Batches that are looked at at once, of all layers: each is one processor's work, and may be much when it unpacks to much.
static AT_ONCE: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, usize::from)));

/// A body that is looked at on its way.
pub(in super::super) struct Observed(Arc<Mutex<Batches>>);

/// What was seen.
pub(in super::super) struct Seen {
    /// `sha256(json "\n" layer)`
    pub(in super::super) payload: Digest,
    /// As far as it could be told without reading anything again.
    pub(in super::super) compression: Compression,
    /// Of the plain tar, where that is known by now.
    pub(in super::super) diff_id: Option<Digest>,
}

impl Observed {
    /// Looks at the body of the layer of an image with this JSON. The body that comes back is to be read instead.
    pub(in super::super) fn new(json: &[u8], body: ByteSource) -> (Self, ByteSource) {
        let batches =
            Batches { gathered: BytesMut::new(), at_work: Work::Waiting(Box::new(Observer::new(json))) };
        let batches = Arc::new(Mutex::new(batches));
        let observed = Self(Arc::clone(&batches));
        let body = body.then(move |piece| {
            let batches = Arc::clone(&batches);
            async move {
                if let Ok(piece) = &piece {
                    batches.lock().await.take(piece).await;
                }
                piece
            }
        });
        (observed, Box::pin(body))
    }

    /// After the whole body.
    pub(in super::super) async fn finish(self) -> Result<Seen> {
        let mut batches = self.0.lock().await;
        batches.go_on().await;
        let observer =
            batches.rest().await.ok_or(RegistryError::Internal("a layer could not be looked at"))?;
        tokio::task::spawn_blocking(move || observer.finish())
            .await
            .map_err(|_| RegistryError::Internal("a layer could not be looked at"))
    }
}

struct Batches {
    gathered: BytesMut,
    at_work: Work,
}

enum Work {
    Waiting(Box<Observer>),
    Looking(JoinHandle<Box<Observer>>),
    /// It panicked.
    Lost,
}

impl Batches {
    async fn take(&mut self, piece: &Bytes) {
        // Copied: a small piece may be a corner of a large buffer.
        self.gathered.extend_from_slice(piece);
        if self.gathered.len() >= BATCH {
            self.go_on().await;
        }
    }

    /// Hands over what was gathered, after what was handed over before.
    async fn go_on(&mut self) {
        // A permit first: whoever waits may go away, and the observer must not go with it.
        let Ok(permit) = AT_ONCE.acquire().await else { return };
        let batch = self.gathered.split().freeze();
        let Some(mut observer) = self.rest().await else { return };
        self.at_work = Work::Looking(tokio::task::spawn_blocking(move || {
            observer.update(&batch);
            drop(permit);
            observer
        }));
    }

    async fn rest(&mut self) -> Option<Box<Observer>> {
        // Left as it is while waiting: whoever waits may go away.
        if let Work::Looking(handle) = &mut self.at_work {
            self.at_work = handle.await.map_or(Work::Lost, Work::Waiting);
        }
        match std::mem::replace(&mut self.at_work, Work::Lost) {
            Work::Waiting(observer) => Some(observer),
            _ => None,
        }
    }
}

struct Observer {
    payload: Sha256,
    state: State,
}

enum State {
    /// The first bytes have not come yet.
    Beginning(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Plain>>),
    /// Nothing more is to be learned on the way.
    Known(Compression),
}

impl Observer {
    fn new(json: &[u8]) -> Self {
        let mut payload = Sha256::new_with_prefix(json);
        payload.update(b"\n");
        Self { payload, state: State::Beginning(Vec::new()) }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.payload.update(bytes);
        if let State::Beginning(first) = &mut self.state {
            first.extend_from_slice(bytes);
            if first.len() < MAGIC {
                return;
            }
            let first = std::mem::take(first);
            self.begin(&first);
        } else {
            self.unpack(bytes);
        }
    }

    fn begin(&mut self, first: &[u8]) {
        self.state = match sniff(first) {
            Compression::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(Plain::default()))),
            other => State::Known(other),
        };
        self.unpack(first);
    }

    fn unpack(&mut self, bytes: &[u8]) {
        let State::Gzip(decoder) = &mut self.state else { return };
        decoder.get_mut().packed += bytes.len() as u64;
        if decoder.write_all(bytes).is_err() {
            self.state = State::Known(Compression::Opaque);
        }
    }

    fn finish(mut self) -> Seen {
        if let State::Beginning(first) = &mut self.state {
            let first = std::mem::take(first);
            self.begin(&first);
        }
        let (compression, diff_id) = match self.state {
            State::Gzip(decoder) => match decoder.finish() {
                Ok(plain) => (Compression::Gzip, digest(plain.hash)),
                Err(_) => (Compression::Opaque, None),
            },
            State::Known(compression) => (compression, None),
            State::Beginning(_) => (Compression::None, None),
        };
        let payload = digest(self.payload).unwrap_or_else(|| Digest::sha256(b""));
        Seen { payload, compression, diff_id }
    }
}

fn digest(hash: Sha256) -> Option<Digest> {
    Digest::from_bytes(Algorithm::Sha256, &hash.finalize())
}

/// Where a plain tar goes: it is only hashed.
#[derive(Default)]
struct Plain {
    hash: Sha256,
    size: u64,
    packed: u64,
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.size += bytes.len() as u64;
        if is_bomb(self.size, self.packed) {
            return Err(io::Error::other("it would unpack to too much"));
        }
        self.hash.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
