//! One upload session: where its bytes are, and how far their hash has come.
//!
//! A small upload stays in memory (and in its row); the first piece that does not fit moves it to staged bytes in the
//! blob store. The hash always covers exactly the bytes that are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use gantry_oci::{Algorithm, Digest, Hasher, RepoName, UploadId};
use gantry_storage::{MetaStore, StagedBlob, Storage, StorageError, StoreClock, Timestamp, UploadRow};
use tokio::sync::{Mutex, Notify};

use super::super::locks::Publishing;
use super::super::{ByteSource, RegistryError, Result};

/// Pieces below this many bytes are gathered before they are handed on.
const CRUMB: usize = 4 << 10;
/// So many bytes of them.
const CRUMBS: usize = 64 << 10;
/// A client that sends nothing for so long gets what it has sent written down: nobody knows how long its piece would have to be
/// kept in memory.
const PAUSE: Duration = Duration::from_millis(20);
/// Within a long request the session's row is brought up to date every so many bytes.
const CHECKPOINT: u64 = 64 << 20;

/// A session that this process holds.
pub(super) struct Session {
    pub(super) id: UploadId,
    pub(super) repo: RepoName,
    /// Where its bytes go, from its beginning to its end.
    pub(super) storage: Storage,
    /// Who began it; nobody else sees it.
    pub(super) owner: String,
    pub(super) started: Timestamp,
    clock: StoreClock,
    /// Bytes that are really kept; readable while a request is writing.
    pub(super) offset: AtomicU64,
    /// When it last moved, in microseconds.
    touched: AtomicI64,
    cancelled: Cancellation,
    pub(super) data: Arc<Mutex<Data>>,
}

#[derive(Default)]
struct Cancellation {
    happened: AtomicBool,
    wake: Notify,
}

impl Cancellation {
    async fn happens(&self) {
        let wake = self.wake.notified();
        if !self.happened.load(Ordering::Acquire) {
            wake.await;
        }
    }
}

/// The bytes of a session.
pub(super) enum Data {
    /// In memory.
    Buffered { algorithm: Algorithm, bytes: BytesMut },
    /// In the blob store. The writer is there while a request is writing, or was cut off while it did; so is the head: bytes that
    /// were in memory, and go back there when the disk does not take them.
    Staged { hasher: Hasher, offset: u64, writer: Option<Box<dyn StagedBlob>>, head: Option<Bytes> },
    /// In the blob store under their digest, but the row that says so was not committed. Until it is, nobody takes them away.
    Published { digest: Digest, size: u64, location: Option<String>, _hold: Publishing },
    /// Finished or cancelled.
    Closed,
}

impl Data {
    pub(super) fn len(&self) -> u64 {
        match self {
            Data::Buffered { bytes, .. } => bytes.len() as u64,
            Data::Staged { offset, writer, .. } => writer.as_ref().map_or(*offset, |writer| writer.offset()),
            Data::Published { size, .. } => *size,
            Data::Closed => 0,
        }
    }

    /// What the bytes so far are known by. No request must be writing.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Data::Buffered { algorithm, bytes } => Digest::of(*algorithm, bytes),
            Data::Staged { hasher, .. } => hasher.finish(),
            Data::Published { digest, .. } => *digest,
            Data::Closed => Digest::sha256(b""),
        }
    }

    /// Ends the writing of a request: waits for what is in flight and takes over offset and hash.
    pub(super) async fn settle(&mut self) -> Result<(), StorageError> {
        let Data::Staged { hasher, offset, writer, head } = self else { return Ok(()) };
        let Some(mut open) = writer.take() else { return Ok(()) };
        let flushed = open.flush().await;
        *offset = open.offset();
        *hasher = open.hasher().clone();
        if let Some(head) = head.take().filter(|head| *offset < head.len() as u64) {
            *self = Data::Buffered { algorithm: hasher.algorithm(), bytes: BytesMut::from(&head[..]) };
        }
        flushed
    }
}

/// Where a session stood before a piece.
pub(super) enum Before {
    /// These bytes were in memory.
    Buffered { algorithm: Algorithm, bytes: Bytes },
    /// So many were in the blob store.
    Staged { hasher: Hasher, offset: u64 },
}

impl Before {
    /// `None` when there is nothing to go back to. No request must be writing.
    pub(super) fn of(data: &Data) -> Option<Self> {
        match data {
            Data::Buffered { algorithm, bytes } => {
                Some(Self::Buffered { algorithm: *algorithm, bytes: Bytes::copy_from_slice(bytes) })
            }
            Data::Staged { hasher, offset, .. } => {
                Some(Self::Staged { hasher: hasher.clone(), offset: *offset })
            }
            Data::Published { .. } | Data::Closed => None,
        }
    }
}

/// What limits the bytes of a session, and where they go.
pub(super) struct Sink<'a> {
    pub(super) meta: &'a dyn MetaStore,
    /// Bytes that may be kept in memory.
    pub(super) inline_limit: usize,
    /// Bytes that a blob may have.
    pub(super) size_limit: Option<u64>,
    /// Whether the session has a row that follows it.
    pub(super) persistent: bool,
}

impl Session {
    pub(super) fn new(
        id: UploadId,
        (repo, storage): (RepoName, Storage),
        owner: String,
        data: Data,
        started: Timestamp,
        clock: StoreClock,
    ) -> Self {
        Self {
            id,
            repo,
            storage,
            owner,
            started,
            clock,
            offset: AtomicU64::new(data.len()),
            touched: AtomicI64::new(clock.now().0),
            cancelled: Cancellation::default(),
            data: Arc::new(Mutex::new(data)),
        }
    }

    /// The bytes, to be locked for longer than a borrow lasts.
    pub(super) fn data_handle(&self) -> Arc<Mutex<Data>> {
        Arc::clone(&self.data)
    }

    /// Tells a request that is writing to stop, also one that waits for its client.
    pub(super) fn cancel(&self) {
        self.cancelled.happened.store(true, Ordering::Release);
        self.cancelled.wake.notify_waiters();
    }

    /// Whether it was ended without a blob, or is about to be.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.happened.load(Ordering::Acquire)
    }

    pub(super) fn touch(&self) {
        self.touched.store(self.clock.now().0, Ordering::Relaxed);
    }

    pub(super) fn touched(&self) -> Timestamp {
        Timestamp(self.touched.load(Ordering::Relaxed))
    }

    /// Appends a body to the session's bytes.
    ///
    /// What arrived before a failure is kept, and the offset says how much that is.
    ///
    /// # Errors
    /// The body broke off, is too large, or the store failed; the session goes on in each case.
    pub(super) async fn receive(
        &self,
        data: &mut Data,
        body: &mut ByteSource,
        sink: &Sink<'_>,
    ) -> Result<u64> {
        let mut crumbs = BytesMut::new();
        let received = self.pump(data, &mut crumbs, body, sink).await;
        // What came before the body broke off is kept to the last byte. (After a failure to store there are no crumbs.)
        let kept = self.append_crumbs(data, &mut crumbs).await;
        let was_staged = matches!(data, Data::Staged { .. });
        let settled = data.settle().await;
        self.publish_offset(data);
        if was_staged && matches!(data, Data::Buffered { .. }) {
            // Back in memory: the file has nothing that counts.
            let _ = self.storage.blobs.discard(&self.id).await;
        }
        let received = received?;
        kept?;
        settled?;
        Ok(received)
    }

    /// `crumbs`: small pieces that have come and are not yet handed on.
    async fn pump(
        &self,
        data: &mut Data,
        crumbs: &mut BytesMut,
        body: &mut ByteSource,
        sink: &Sink<'_>,
    ) -> Result<u64> {
        let before = data.len();
        let mut total = before;
        let mut checkpoint = before + CHECKPOINT;
        let mut cancelled = std::pin::pin!(self.cancelled.happens());
        loop {
            let piece = tokio::select! {
                biased;
                () = &mut cancelled => return Err(RegistryError::UploadUnknown(self.id)),
                piece = self.next_piece(data, crumbs, body) => piece?,
            };
            let Some(piece) = piece else { break };
            total += piece.len() as u64;
            if let Some(limit) = sink.size_limit.filter(|limit| total > *limit) {
                return Err(RegistryError::TooLarge { limit });
            }
            match data {
                Data::Buffered { bytes, .. } if total <= sink.inline_limit as u64 => {
                    bytes.extend_from_slice(&piece);
                    continue;
                }
                // Kept one by one, crumbs would cost many times their size.
                _ if piece.len() < CRUMB => crumbs.extend_from_slice(&piece),
                _ => {
                    self.append_crumbs(data, crumbs).await?;
                    self.append(data, piece).await?;
                }
            }
            if crumbs.len() >= CRUMBS {
                self.append_crumbs(data, crumbs).await?;
            }
            if total >= checkpoint {
                checkpoint = total + CHECKPOINT;
                self.append_crumbs(data, crumbs).await?;
                data.settle().await?;
                self.publish_offset(data);
                self.save(data, sink)?;
            }
        }
        Ok(total - before)
    }

    /// Waits for the next piece of a body, and if that takes long, brings to rest what came before.
    async fn next_piece(
        &self,
        data: &mut Data,
        crumbs: &mut BytesMut,
        body: &mut ByteSource,
    ) -> Result<Option<Bytes>> {
        let piece = match tokio::time::timeout(PAUSE, body.next()).await {
            Ok(piece) => piece,
            Err(_) => {
                self.append_crumbs(data, crumbs).await?;
                if let Data::Staged { writer: Some(writer), .. } = data {
                    writer.flush().await?;
                }
                // Gathering has left room for more.
                *crumbs = BytesMut::new();
                body.next().await
            }
        };
        Ok(piece.transpose()?)
    }

    async fn append_crumbs(&self, data: &mut Data, crumbs: &mut BytesMut) -> Result<()> {
        if crumbs.is_empty() { Ok(()) } else { self.append(data, crumbs.split().freeze()).await }
    }

    /// Hands a piece to staged bytes, which begin here with what was in memory.
    async fn append(&self, data: &mut Data, piece: Bytes) -> Result<()> {
        self.touch();
        let mut pieces = vec![piece];
        if let Data::Buffered { algorithm, bytes } = data {
            let head = (!bytes.is_empty()).then(|| bytes.clone().freeze());
            pieces.splice(0..0, head.clone());
            let hasher = Hasher::new(*algorithm);
            let writer = self.storage.blobs.stage(&self.id, 0, hasher.clone()).await?;
            *data = Data::Staged { hasher, offset: 0, writer: Some(writer), head };
        }
        let Data::Staged { hasher, offset, writer, .. } = data else {
            return Err(RegistryError::UploadUnknown(self.id));
        };
        let writer = match writer {
            Some(writer) => writer,
            None => writer.insert(self.storage.blobs.stage(&self.id, *offset, hasher.clone()).await?),
        };
        writer.append(pieces).await?;
        Ok(())
    }

    /// Goes back to where the session stood before a piece that was not what it claimed to be.
    pub(super) async fn go_back(&self, data: &mut Data, before: Before) -> Result<()> {
        let staged = matches!(data, Data::Staged { .. });
        *data = match before {
            Before::Buffered { algorithm, bytes } => {
                if staged {
                    self.storage.blobs.discard(&self.id).await?;
                }
                Data::Buffered { algorithm, bytes: BytesMut::from(&bytes[..]) }
            }
            // What lies behind is cut off by whoever goes on.
            Before::Staged { hasher, offset } => Data::Staged { hasher, offset, writer: None, head: None },
        };
        self.publish_offset(data);
        Ok(())
    }

    fn publish_offset(&self, data: &Data) {
        self.touch();
        self.offset.store(data.len(), Ordering::Release);
    }

    /// Brings the session's row up to date, with the next group commit.
    ///
    /// # Errors
    /// The row would not survive a crash, so what it says must not be promised.
    pub(super) fn save(&self, data: &Data, sink: &Sink<'_>) -> Result<()> {
        if !sink.persistent {
            return Ok(());
        }
        let (algorithm, hash_state, buffered) = match data {
            Data::Buffered { algorithm, bytes } => {
                (*algorithm, Vec::new(), Some(Bytes::copy_from_slice(bytes)))
            }
            Data::Staged { hasher, .. } => (hasher.algorithm(), hasher.save(), None),
            Data::Published { .. } | Data::Closed => return Ok(()),
        };
        let row = UploadRow {
            id: self.id,
            repo: self.repo.clone(),
            owner: self.owner.clone(),
            storage: self.storage.id,
            algorithm,
            offset: data.len(),
            hash_state,
            buffered,
            started: self.started,
            touched: self.touched(),
        };
        Ok(sink.meta.save_upload_soon(row)?)
    }
}
