//! Upload sessions (end-4 to end-6, end-13, end-14).
//!
//! A session lives in this process while it moves and in a row while it rests, so that it survives a restart. One
//! request writes to it at a time. Writing goes on in a task of its own: a client that hangs up in the middle loses
//! nothing that arrived.

mod housekeeping;
mod session;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use gantry_oci::{Algorithm, ContentRange, Digest, Hasher, RepoName, UploadId};
use gantry_storage::failpoint::Point;
use gantry_storage::{BlobContent, MetaStore, NewBlob, Storage, StorageError, StorageId, Terms, UploadRow};
use tokio::sync::OwnedMutexGuard;

use super::locks::{DigestLocks, Locks};
use super::placement::Places;
use super::{ByteSource, Limits, RegistryError, Result, in_own_task, pass};
use session::{Before, Data, Session, Sink};

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The session.
    pub upload: UploadId,
    /// Bytes that it holds.
    pub offset: u64,
}

/// What a push in one request came to.
#[derive(Debug)]
pub enum Started {
    /// The blob is there.
    Stored,
    /// Nothing came with the request: a session waits for the bytes.
    Waiting(Progress),
}

/// The sessions of one registry.
#[derive(Clone)]
pub struct Uploads(Arc<Inner>);

struct Inner {
    meta: Arc<dyn MetaStore>,
    places: Places,
    locks: Arc<DigestLocks>,
    promises: Terms,
    inline_limit: usize,
    size_limit: Option<u64>,
    expiry: Duration,
    /// Sessions that rest, and whose bytes this process wrote itself: it need not read them again to believe their row.
    /// (A clock would not do: after a power cut it may have gone back.)
    resting: Mutex<HashSet<UploadId>>,
    sessions: Mutex<HashMap<UploadId, Arc<Session>>>,
    /// Sessions that are being brought back.
    waking: Locks<UploadId>,
}

/// What a request says about the piece that it carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Piece {
    /// `Content-Range`, when it was sent.
    pub range: Option<ContentRange>,
    /// `Content-Length`, when it was sent.
    pub length: Option<u64>,
}

/// What follows when a piece has been received.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Answer,
    Finish,
}

impl Uploads {
    pub(super) fn new(
        meta: Arc<dyn MetaStore>,
        places: Places,
        locks: Arc<DigestLocks>,
        limits: &Limits,
    ) -> Self {
        Self(Arc::new(Inner {
            meta,
            places,
            locks,
            promises: limits.promises,
            inline_limit: limits.inline_blob,
            size_limit: limits.upload,
            expiry: limits.upload_expiry,
            resting: Mutex::default(),
            sessions: Mutex::default(),
            waking: Locks::default(),
        }))
    }

    /// Sessions that this process holds.
    pub fn open(&self) -> u64 {
        self.0.lock_sessions().len() as u64
    }

    /// Repositories with a session that this process holds, among them those that have no row.
    pub(super) fn repositories(&self) -> BTreeSet<RepoName> {
        self.0.lock_sessions().values().map(|session| session.repo.clone()).collect()
    }

    /// Begins a session (end-4a). `algorithm` is the one that the blob will be known by, as far as the client says. Its bytes go to the
    /// storage that is the repository's now, whatever becomes of that meanwhile.
    ///
    /// # Errors
    /// The store failed: there is no session.
    pub fn start(&self, repo: &RepoName, owner: &str, algorithm: Option<Algorithm>) -> Result<Progress> {
        pass(Point::UploadStarting)?;
        let session = self.0.begin(repo, owner, algorithm.unwrap_or(Algorithm::Sha256))?;
        // Nobody else knows the session yet, so its lock is free.
        if let Ok(data) = session.data.try_lock()
            && let Err(error) = session.save(&data, &self.0.sink(true))
        {
            self.0.lock_sessions().remove(&session.id);
            return Err(error);
        }
        pass(Point::UploadStarted)?;
        Ok(Progress { upload: session.id, offset: 0 })
    }

    /// Stores a blob that comes whole in one request (end-4b).
    ///
    /// # Errors
    /// The bytes are not those of the digest or too many, did not arrive, or the store failed: nothing stays.
    pub async fn store(
        &self,
        repo: &RepoName,
        owner: &str,
        digest: Digest,
        length: Option<u64>,
        mut body: ByteSource,
    ) -> Result<Started> {
        self.0.check_size(0, length)?;
        let session = self.0.begin(repo, owner, digest.algorithm())?;
        let inner = Arc::clone(&self.0);
        in_own_task(async move {
            let sink = inner.sink(false);
            let mut data = session.data_handle().lock_owned().await;
            let received = session.receive(&mut data, &mut body, &sink).await;
            if matches!(received, Ok(0)) && digest != Digest::of(digest.algorithm(), b"") {
                session.save(&data, &inner.sink(true))?;
                return Ok(Started::Waiting(Progress { upload: session.id, offset: 0 }));
            }
            inner.keep(&session, &mut data, (length, received), Some(digest)).await?;
            Ok(Started::Stored)
        })
        .await
    }

    /// Stores whatever comes in one request, and tells what it is known by and how many bytes it has.
    ///
    /// # Errors
    /// The bytes are too many, did not arrive, or the store failed: nothing stays.
    pub async fn store_unnamed(
        &self,
        repo: &RepoName,
        owner: &str,
        length: Option<u64>,
        mut body: ByteSource,
    ) -> Result<(Digest, u64)> {
        self.0.check_size(0, length)?;
        let session = self.0.begin(repo, owner, Algorithm::Sha256)?;
        let inner = Arc::clone(&self.0);
        in_own_task(async move {
            let sink = inner.sink(false);
            let mut data = session.data_handle().lock_owned().await;
            let received = session.receive(&mut data, &mut body, &sink).await;
            inner.keep(&session, &mut data, (length, received), None).await
        })
        .await
    }

    /// Where a session stands (end-13).
    ///
    /// # Errors
    /// No such session here, or the store failed.
    pub async fn progress(&self, repo: &RepoName, owner: &str, upload: UploadId) -> Result<Progress> {
        let session = self.0.find(repo, owner, upload).await?;
        Ok(Progress { upload, offset: session.offset.load(Ordering::Acquire) })
    }

    /// Appends a piece (end-5).
    ///
    /// # Errors
    /// No such session here; the piece does not begin where the session stands, or is not as long as it says (nothing of it is
    /// kept); the body broke off (what came is kept); the store failed.
    pub async fn append(
        &self,
        repo: &RepoName,
        owner: &str,
        upload: UploadId,
        piece: Piece,
        mut body: ByteSource,
    ) -> Result<Progress> {
        let session = self.0.find(repo, owner, upload).await?;
        let inner = Arc::clone(&self.0);
        in_own_task(async move {
            let mut data = inner.claim(&session, piece).await?;
            inner.receive(&session, &mut data, piece, &mut body, Then::Answer).await?;
            Ok(Progress { upload, offset: data.len() })
        })
        .await
    }

    /// Appends the last piece, if there is one, and stores the blob (end-6). When this returns, it survives a power cut.
    ///
    /// # Errors
    /// As for [`Self::append`]; or the bytes are not those of the digest, and the session goes on.
    pub async fn complete(
        &self,
        repo: &RepoName,
        owner: &str,
        upload: UploadId,
        piece: Piece,
        mut body: ByteSource,
        digest: Digest,
    ) -> Result<()> {
        let session = self.0.find(repo, owner, upload).await?;
        let inner = Arc::clone(&self.0);
        in_own_task(async move {
            let mut data = inner.claim(&session, piece).await?;
            let finished = match inner.receive(&session, &mut data, piece, &mut body, Then::Finish).await {
                Ok(()) => inner.finish(&session, &mut data, digest).await,
                Err(error) => Err(error),
            };
            if finished.is_err() {
                // The session goes on, with what came last. What went wrong first is what the client should hear.
                let _ = session.save(&data, &inner.sink(true));
            }
            finished
        })
        .await
    }

    /// Ends a session and frees its bytes (end-14).
    ///
    /// # Errors
    /// No such session here, or the store failed.
    pub async fn cancel(&self, repo: &RepoName, owner: &str, upload: UploadId) -> Result<()> {
        let session = self.0.find(repo, owner, upload).await?;
        session.cancel();
        let inner = Arc::clone(&self.0);
        in_own_task(async move {
            let mut data = session.data_handle().lock_owned().await;
            if matches!(*data, Data::Closed) {
                return Err(RegistryError::UploadUnknown(upload));
            }
            match inner.close(&session, &mut data).await? {
                None => Ok(()),
                Some(error) => Err(error.into()),
            }
        })
        .await
    }
}

fn check_length(announced: Option<u64>, received: u64) -> Result<()> {
    match announced {
        Some(announced) if announced != received => Err(RegistryError::SizeInvalid { announced, received }),
        _ => Ok(()),
    }
}

impl Inner {
    fn lock_sessions(&self) -> std::sync::MutexGuard<'_, HashMap<UploadId, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_resting(&self) -> std::sync::MutexGuard<'_, HashSet<UploadId>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sink(&self, persistent: bool) -> Sink<'_> {
        Sink { meta: &*self.meta, inline_limit: self.inline_limit, size_limit: self.size_limit, persistent }
    }

    fn begin(&self, repo: &RepoName, owner: &str, algorithm: Algorithm) -> Result<Arc<Session>> {
        let id = UploadId::from_uuid(uuid::Uuid::new_v4());
        let data = Data::Buffered { algorithm, bytes: BytesMut::new() };
        let clock = self.meta.clock();
        let place = (repo.clone(), self.places.of(repo)?.clone());
        let session = Arc::new(Session::new(id, place, owner.to_owned(), data, clock.now(), clock));
        self.lock_sessions().insert(id, Arc::clone(&session));
        Ok(session)
    }

    /// The session, from memory or from its row. Of another repository or owner: not there.
    async fn find(self: &Arc<Self>, repo: &RepoName, owner: &str, upload: UploadId) -> Result<Arc<Session>> {
        let held = self.lock_sessions().get(&upload).cloned();
        let session = match held {
            Some(session) => session,
            None => {
                let inner = Arc::clone(self);
                in_own_task(async move { inner.wake(upload).await }).await?
            }
        };
        if session.repo != *repo || session.owner != owner || session.is_cancelled() {
            return Err(RegistryError::UploadUnknown(upload));
        }
        Ok(session)
    }

    /// Brings a resting session back from its row. Its bytes may have to be read again: whoever else asks waits for that rather
    /// than doing it too.
    async fn wake(&self, upload: UploadId) -> Result<Arc<Session>> {
        let _alone = self.waking.alone(&upload).await;
        if let Some(held) = self.lock_sessions().get(&upload).cloned() {
            return Ok(held);
        }
        let unknown = RegistryError::UploadUnknown(upload);
        let Some(row) = self.meta.upload(&upload).await? else { return Err(unknown) };
        let Some(storage) = self.places.storages.get(row.storage).cloned() else {
            tracing::warn!(%upload, "the storage of an upload session is not configured any more; it cannot go on");
            self.meta.delete_upload(&upload).await?;
            return Err(unknown);
        };
        let Some(data) = self.restore(&row, &storage).await? else {
            // After a power cut the staged bytes may be fewer than the row says, or others.
            tracing::warn!(upload = %upload, offset = row.offset, "the bytes of an upload session are gone; it cannot go on");
            storage.blobs.discard(&upload).await?;
            self.meta.delete_upload(&upload).await?;
            return Err(unknown);
        };
        let session = Arc::new(Session::new(
            upload,
            (row.repo, storage),
            row.owner,
            data,
            row.started,
            self.meta.clock(),
        ));
        let mut locked = session.data_handle().lock_owned().await;
        // Another request may have been faster: one session, one lock.
        let held = Arc::clone(self.lock_sessions().entry(upload).or_insert_with(|| Arc::clone(&session)));
        if !Arc::ptr_eq(&held, &session) {
            return Ok(held);
        }
        // And another may have ended the session while its bytes were looked at: rows go before their place in the map.
        match self.meta.upload(&upload).await {
            Ok(Some(_)) => Ok(session),
            gone => {
                *locked = Data::Closed;
                self.lock_sessions().remove(&upload);
                Err(gone.map_or_else(RegistryError::from, |_| unknown))
            }
        }
    }

    /// The bytes that a row speaks of, or `None` when they are not there as it says.
    async fn restore(&self, row: &UploadRow, storage: &Storage) -> Result<Option<Data>> {
        if let Some(buffered) = &row.buffered {
            return Ok(Some(Data::Buffered {
                algorithm: row.algorithm,
                bytes: BytesMut::from(&buffered[..]),
            }));
        }
        let saved = Hasher::restore(row.algorithm, &row.hash_state);
        let own = self.lock_resting().remove(&row.id);
        if let Some(hasher) = saved.clone().filter(|_| own) {
            return Ok(Some(Data::Staged { hasher, offset: row.offset, writer: None, head: None }));
        }
        let Some(hasher) = storage.blobs.hash_staged(&row.id, row.offset, row.algorithm).await? else {
            // A crash between publishing the bytes and their row leaves them under the digest that the row's hash comes to.
            let Some(digest) = saved.map(|hasher| hasher.finish()) else { return Ok(None) };
            let hold = self.locks.publishing(&digest).await;
            let found = storage.blobs.confirm(&digest, row.offset).await?;
            return Ok(found.map(|location| Data::Published {
                digest,
                size: row.offset,
                location,
                _hold: hold,
            }));
        };
        let same = saved.is_none_or(|saved| saved.finish() == hasher.finish());
        Ok(same.then_some(Data::Staged { hasher, offset: row.offset, writer: None, head: None }))
    }

    /// Takes the session for one request, when the piece begins where the session stands.
    async fn claim(&self, session: &Arc<Session>, piece: Piece) -> Result<OwnedMutexGuard<Data>> {
        let out_of_order = |offset| RegistryError::UploadOutOfOrder { upload: session.id, offset };
        let Ok(mut data) = session.data_handle().try_lock_owned() else {
            return Err(out_of_order(session.offset.load(Ordering::Acquire)));
        };
        data.settle().await?;
        if matches!(*data, Data::Closed) {
            return Err(RegistryError::UploadUnknown(session.id));
        }
        let offset = data.len();
        self.check_size(offset, piece.length)?;
        match piece.range {
            Some(range) if range.start != offset => Err(out_of_order(offset)),
            Some(range) => {
                check_length(Some(range.len()), piece.length.unwrap_or(range.len())).map(|()| data)
            }
            None => Ok(data),
        }
    }

    /// Refuses what is announced as too large before any of it is read.
    fn check_size(&self, offset: u64, length: Option<u64>) -> Result<()> {
        match (self.size_limit, length) {
            (Some(limit), Some(length)) if offset.saturating_add(length) > limit => {
                Err(RegistryError::TooLarge { limit })
            }
            _ => Ok(()),
        }
    }

    async fn receive(
        &self,
        session: &Session,
        data: &mut Data,
        piece: Piece,
        body: &mut ByteSource,
        then: Then,
    ) -> Result<()> {
        let sink = self.sink(true);
        pass(Point::UploadReceiving)?;
        let from = data.len();
        // Only a body without a length can turn out to be other than its range.
        let claimed = piece.range.filter(|_| piece.length.is_none());
        let before = claimed.and_then(|_| Before::of(data));
        let received = session.receive(data, body, &sink).await;
        let whole = match &received {
            Ok(received) => check_length(piece.length.or(piece.range.map(|range| range.len())), *received),
            Err(_) => Ok(()),
        };
        // Small bytes that are about to become a blob are confirmed by that or not at all. Of staged ones the row must know all
        // before they are published: see `restore`.
        let in_hand = received.is_ok()
            && whole.is_ok()
            && then == Then::Finish
            && matches!(data, Data::Buffered { .. });
        if let (Err(_), Some(before)) = (&whole, before) {
            session.go_back(data, before).await?;
            session.save(data, &sink)?;
        } else if data.len() != from && !in_hand {
            session.save(data, &sink)?;
        }
        pass(Point::UploadSaved)?;
        received?;
        whole
    }

    /// Makes a blob of all that came in one request, or lets go of it. `expected`: the digest that it must have.
    async fn keep(
        &self,
        session: &Session,
        data: &mut Data,
        (announced, received): (Option<u64>, Result<u64>),
        expected: Option<Digest>,
    ) -> Result<(Digest, u64)> {
        let kept = match received.and_then(|received| check_length(announced, received).map(|()| received)) {
            Ok(size) => {
                let digest = expected.unwrap_or_else(|| data.digest());
                self.finish(session, data, digest).await.map(|()| (digest, size))
            }
            Err(error) => Err(error),
        };
        if kept.is_err() {
            self.close(session, data).await?;
        }
        kept
    }

    /// Checks the digest and makes the blob of the session's bytes.
    async fn finish(&self, session: &Session, data: &mut Data, digest: Digest) -> Result<()> {
        let size = data.len();
        let actual = match data {
            Data::Buffered { bytes, .. } => Digest::of(digest.algorithm(), bytes),
            Data::Staged { hasher, .. } if hasher.algorithm() == digest.algorithm() => hasher.finish(),
            // E-6.3: the algorithm is known only now, so the bytes are read once more.
            Data::Staged { hasher, offset, .. } => {
                match session.storage.blobs.hash_staged(&session.id, *offset, digest.algorithm()).await? {
                    Some(fresh) => *hasher = fresh,
                    None => return Err(RegistryError::Internal("staged bytes are missing")),
                }
                let actual = hasher.finish();
                // From here on the session is known by this algorithm, also after a crash (see `restore`).
                session.save(data, &self.sink(true))?;
                actual
            }
            Data::Published { digest, .. } => *digest,
            Data::Closed => return Err(RegistryError::UploadUnknown(session.id)),
        };
        if actual != digest {
            return Err(RegistryError::DigestMismatch { expected: digest, actual });
        }
        pass(Point::UploadChecked)?;
        let content = match data {
            Data::Buffered { bytes, .. } => BlobContent::Inline(bytes.clone().freeze()),
            Data::Published { location, .. } => {
                BlobContent::Stored { storage: session.storage.id, location: location.clone() }
            }
            Data::Staged { .. } | Data::Closed => match self.stored_already(session, &digest).await? {
                Some(content) => content,
                None => {
                    let hold = self.locks.publishing(&digest).await;
                    let location = session.storage.blobs.publish(&session.id, &digest, size).await?;
                    *data = Data::Published { digest, size, location: location.clone(), _hold: hold };
                    pass(Point::UploadPublished)?;
                    BlobContent::Stored { storage: session.storage.id, location }
                }
            },
        };
        let renew_from = self.promises.renew_with_upload(session.started, self.meta.now());
        let repo = session.repo.clone();
        let displaces = self.places.of(&repo)?.id == session.storage.id;
        let blob = NewBlob { repo, digest, size, content, upload: Some(session.id), displaces, renew_from };
        self.meta.put_blob(blob).await?;
        pass(Point::UploadStored)?;
        let staged = matches!(data, Data::Staged { .. });
        *data = Data::Closed;
        self.lock_sessions().remove(&session.id);
        if staged {
            session.storage.blobs.discard(&session.id).await?;
        }
        Ok(())
    }

    /// The same bytes, when their row holds them. Bytes in the blob store are published anew: that costs a rename, and heals
    /// a file that was lost or damaged.
    async fn stored_already(&self, session: &Session, digest: &Digest) -> Result<Option<BlobContent>> {
        let blob = self.meta.any_blob(session.storage.id, digest).await?;
        Ok(blob.map(|blob| blob.content.clone()).filter(|content| matches!(content, BlobContent::Inline(_))))
    }

    /// Leaves published bytes to the sweep, unless another push has given them a row. Where nothing can be written they stay, for
    /// `gantry verify` to find.
    async fn leave(
        &self,
        storage: StorageId,
        digest: &Digest,
        size: u64,
        location: Option<&str>,
    ) -> Result<()> {
        match self.meta.free_bytes(storage, digest, size, location).await {
            Err(error @ (StorageError::Full { .. } | StorageError::ReadOnly { .. })) => {
                tracing::warn!(%digest, %error, "bytes that belong to nobody could not be noted for the sweep");
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Ends a session without a blob: first its bytes go, which makes room also where the disk is too full for a row to
    /// change, then its row. It stays in the map until both are gone, so that nobody wakes it from its row meanwhile. The answer is
    /// what kept a row that alone could bring the session back after a restart.
    async fn close(&self, session: &Session, data: &mut Data) -> Result<Option<StorageError>> {
        pass(Point::UploadClosing)?;
        if let Err(error) = data.settle().await {
            tracing::debug!(upload = %session.id, %error, "the last bytes of a session that is closed were not written");
        }
        session.cancel();
        let ended = std::mem::replace(data, Data::Closed);
        let staged = matches!(ended, Data::Staged { .. });
        if staged {
            session.storage.blobs.discard(&session.id).await?;
        }
        if let Data::Published { digest, size, location, _hold } = ended {
            self.leave(session.storage.id, &digest, size, location.as_deref()).await?;
        }
        pass(Point::UploadDiscarded)?;
        match self.meta.delete_upload(&session.id).await {
            Ok(_) => {
                pass(Point::UploadClosed)?;
                self.lock_sessions().remove(&session.id);
                Ok(None)
            }
            // The row goes later, when it has expired; until then the map knows that the session has ended.
            Err(error @ (StorageError::Full { .. } | StorageError::ReadOnly { .. })) => {
                tracing::warn!(upload = %session.id, %error, "the row of a session that has ended could not be removed yet");
                Ok((!staged).then_some(error))
            }
            Err(error) => Err(error.into()),
        }
    }
}
