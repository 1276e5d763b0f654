//! A layer on its way from the source: read once, kept in a spool, and read from there by everybody who waits for it, each at
//! its own pace, and by the store.
//!
//! The last byte is given away only when all of them are known to be right: a client must not take wrong bytes for the end of a layer.
//! Whether the store keeps them is another matter, for which no client waits.

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Algorithm, Digest, Hasher};
use gantry_storage::{BlobHandle, BlobStream, Identity, StorageError};
use reqwest::Response;
use tokio::sync::watch;
use tokio::time::timeout;

use super::MirrorError;
use super::source::Described;
use super::spool::Spool;
use crate::auth::fetch::causes;
use crate::registry::{BodyError, ByteSource};

/// The longest time for one layer, however fast its bytes come.
const LAYER_TIME: Duration = Duration::from_secs(6 * 3600);
/// Bytes that are read from the spool at once.
const PIECE: u64 = 256 << 10;
/// Layers up to this size are awaited whole: then what is wrong with them can still be said.
pub(super) const SMALL: u64 = 64 << 10;

/// How far it has come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The length that the source announced, once it has begun.
    pub(super) begun: Option<Option<u64>>,
    /// Bytes in the spool.
    received: u64,
    /// All of them are there, and right; or why not.
    pub(super) whole: Option<Result<(), MirrorError>>,
    /// What became of storing it.
    pub(super) stored: Option<Result<(), MirrorError>>,
}

/// One layer.
pub(super) struct Fill {
    /// The image and what is below it.
    pub(super) chain: Vec<ImageId>,
    progress: watch::Sender<Progress>,
    /// There from [`Progress::begun`] on.
    spool: OnceLock<Spool>,
}

impl Fill {
    pub(super) fn new(chain: Vec<ImageId>) -> Arc<Self> {
        let (progress, _) = watch::channel(Progress::default());
        Arc::new(Self { chain, progress, spool: OnceLock::new() })
    }

    /// Waits for a step.
    pub(super) async fn until(&self, step: impl FnMut(&Progress) -> bool) -> Result<Progress, MirrorError> {
        let mut watching = self.progress.subscribe();
        let progress = watching.wait_for(step).await.map(|progress| progress.clone());
        progress.map_err(|_| MirrorError::Unavailable("a task ended early".into()))
    }

    /// Says what became of storing it, once. Nobody waits for more after this.
    pub(super) fn ended(&self, stored: Result<(), MirrorError>) {
        self.progress.send_if_modified(|progress| {
            if progress.stored.is_some() {
                return false;
            }
            if progress.whole.is_none() {
                progress.whole = Some(stored.clone());
            }
            progress.stored = Some(stored);
            true
        });
    }

    /// Reads the layer, whose answer has begun, to its end. Gives the checksum of JSON and layer.
    pub(super) async fn pump(
        &self,
        response: Response,
        described: &Described,
        spool: Spool,
        patience: Duration,
        largest: Option<u64>,
    ) -> Result<Digest, MirrorError> {
        let announced = response.content_length();
        let told = |what: &str| MirrorError::Unavailable(what.into());
        if let (Some(length), Some(size)) = (announced, described.size)
            && length != size
        {
            return Err(told("announces a layer of another size than it said before"));
        }
        let announced = announced.or(described.size);
        if largest.is_some_and(|largest| announced.is_some_and(|length| length > largest)) {
            return Err(told("has a layer that is larger than limits.upload"));
        }
        let largest = announced.or(largest).unwrap_or(u64::MAX);
        let _ = self.spool.set(spool.clone());
        self.progress.send_modify(|progress| progress.begun = Some(announced));
        let read = self.read(response, described, &spool, patience, largest);
        let read =
            timeout(LAYER_TIME, read).await.unwrap_or_else(|_| Err(told("takes too long for a layer")));
        let whole = read.and_then(|(received, sum)| match (announced, &described.payload) {
            (Some(length), _) if length != received => Err(told("broke off in the middle of a layer")),
            (_, Some(said)) if *said != sum => Err(told("has a layer that its checksum does not fit")),
            _ => Ok(sum),
        });
        let end = whole.as_ref().map(drop).map_err(Clone::clone);
        self.progress.send_modify(|progress| progress.whole = Some(end));
        whole
    }

    async fn read(
        &self,
        mut response: Response,
        described: &Described,
        spool: &Spool,
        patience: Duration,
        largest: u64,
    ) -> Result<(u64, Digest), MirrorError> {
        let told = |what: &str| MirrorError::Unavailable(what.into());
        let mut sum = Hasher::new(Algorithm::Sha256);
        sum.update(&described.json);
        sum.update(b"\n");
        let mut received = 0;
        loop {
            let chunk = match timeout(patience, response.chunk()).await {
                Err(_) => return Err(told("stopped in the middle of a layer")),
                Ok(Err(error)) => return Err(told(&causes(&error))),
                Ok(Ok(None)) => return Ok((received, sum.finish())),
                Ok(Ok(Some(chunk))) => chunk,
            };
            let after = received + chunk.len() as u64;
            if after > largest {
                return Err(told("sends more of a layer than there should be"));
            }
            sum.update(&chunk);
            spool
                .write(chunk, received)
                .await
                .map_err(|error| MirrorError::Spool(error.to_string().into()))?;
            received = after;
            self.progress.send_modify(|progress| progress.received = received);
        }
    }

    /// The bytes as the store takes them: an error at their end, when they are not right.
    pub(super) fn as_source(self: &Arc<Self>) -> ByteSource {
        let reader = Reader { fill: Arc::clone(self), at: 0, end: u64::MAX };
        Box::pin(futures_util::stream::unfold(Some(reader), async |reader| {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
                Ok(None) => None,
                Err(error) => Some((Err(BodyError::Broken(error.to_string())), None)),
            }
        }))
    }
}

/// A layer on its way, with a length that is known.
pub(super) struct Filling {
    pub(super) fill: Arc<Fill>,
    pub(super) size: u64,
}

impl BlobHandle for Filling {
    fn size(&self) -> u64 {
        self.size
    }

    fn identity(&self) -> Identity {
        Identity::of_nothing_stored()
    }

    fn read(&self, range: Range<u64>) -> BlobStream {
        let end = range.end.min(self.size);
        let reader = Reader { fill: Arc::clone(&self.fill), at: range.start.min(end), end };
        Box::pin(futures_util::stream::unfold(Some(reader), async |reader| {
            let mut reader = reader?;
            match reader.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(reader))),
                Ok(None) if reader.at == reader.end => None,
                Ok(None) => Some((Err(broken("it is shorter than was announced".to_owned())), None)),
                Err(error) => Some((Err(broken(error.to_string())), None)),
            }
        }))
    }
}

fn broken(message: String) -> StorageError {
    StorageError::Unavailable { during: "fetching a layer from the mirrored registry", message }
}

/// Somebody who reads along.
struct Reader {
    fill: Arc<Fill>,
    at: u64,
    end: u64,
}

impl Reader {
    /// The next bytes; `None`: that was all.
    async fn next(&mut self) -> Result<Option<Bytes>, MirrorError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let at = self.at;
        let progress = self.fill.until(|progress| progress.whole.is_some() || progress.shown() > at).await?;
        if let Some(Err(error)) = progress.whole {
            return Err(error);
        }
        let until = progress.shown().min(self.end).min(at + PIECE);
        if until == at {
            return Ok(None);
        }
        let Some(spool) = self.fill.spool.get() else { return Ok(None) };
        let length = usize::try_from(until - at).unwrap_or(usize::MAX);
        let bytes = spool.read(length, at).await;
        let bytes = bytes.map_err(|error| MirrorError::Spool(error.to_string().into()))?;
        self.at = until;
        Ok(Some(bytes))
    }
}

impl Progress {
    /// How many bytes came; `None`: none had to.
    pub(super) fn received(&self) -> Option<u64> {
        self.begun.map(|_| self.received)
    }

    /// How many bytes may be given away.
    fn shown(&self) -> u64 {
        match (&self.whole, self.begun) {
            (Some(Ok(())), _) => self.received,
            (None, Some(Some(length))) => self.received.min(length.saturating_sub(1)),
            // Of what has no known end any byte may be the last.
            _ => self.received.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_byte_waits_for_the_checksum() {
        let progress =
            |received, length, whole| Progress { begun: Some(length), received, whole, stored: None };
        assert_eq!(progress(10, Some(100), None).shown(), 10);
        assert_eq!(progress(100, Some(100), None).shown(), 99);
        assert_eq!(progress(100, None, None).shown(), 99);
        assert_eq!(progress(0, None, None).shown(), 0);
        assert_eq!(progress(100, Some(100), Some(Ok(()))).shown(), 100);
    }
}
