//! Reading the bytes of a stored layer on a blocking thread.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use gantry_oci::{Digest, RepoName};
use gantry_storage::{BlobStream, StorageError};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::super::super::{BodyError, ByteSource, Registry, RegistryError, Result};
use super::super::ImageError;

/// Where a failure of the store waits that the reader could only tell as one of its own.
type Failure = Arc<Mutex<Option<StorageError>>>;

impl Registry {
    /// Reads a layer of the repository on a thread of its own, when one of `permits` is free. The work ends early when nobody waits
    /// for it any more.
    ///
    /// # Errors
    /// The layer is not there, or the store failed. What is wrong with its contents is the work's own matter.
    pub(in super::super) async fn read_layer<T: Send + 'static>(
        &self,
        repo: &RepoName,
        layer: &Digest,
        permits: &Arc<Semaphore>,
        work: impl FnOnce(LayerReader) -> T + Send + 'static,
    ) -> Result<T> {
        let ended = |_| RegistryError::Internal("a layer could not be read");
        let permit =
            Arc::clone(permits).acquire_owned().await.map_err(|_| RegistryError::Internal("closed"))?;
        let blob = self.meta.blob(repo, layer).await?.ok_or(ImageError::Unknown)?;
        let stream = self.open_whole_blob(repo, &blob).await?.read(0..blob.size);
        let failure = Failure::default();
        let wanted = Arc::new(());
        let reader = LayerReader {
            stream,
            piece: Bytes::new(),
            runtime: Handle::current(),
            failure: Arc::clone(&failure),
            wanted: Arc::downgrade(&wanted),
        };
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(reader)
        })
        .await
        .map_err(ended);
        drop(wanted);
        match take(&failure) {
            Some(error) => Err(error.into()),
            None => worked,
        }
    }
}

fn take(failure: &Failure) -> Option<StorageError> {
    failure.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The bytes of a layer, for code that waits for them.
pub(in super::super) struct LayerReader {
    stream: BlobStream,
    piece: Bytes,
    runtime: Handle,
    failure: Failure,
    wanted: Weak<()>,
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.wanted.strong_count() == 0 {
                return Err(io::Error::other("nobody waits for it"));
            }
            match self.runtime.block_on(self.stream.next()) {
                Some(Ok(piece)) => self.piece = piece,
                None => return Ok(0),
                Some(Err(error)) => {
                    self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    return Err(io::Error::other("the store failed"));
                }
            }
        }
        let length = self.piece.len().min(buffer.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// The bytes of a blob as a body, to be stored elsewhere.
pub(in super::super) fn body_of(stream: BlobStream) -> ByteSource {
    Box::pin(stream.map(|piece| piece.map_err(|error| BodyError::Broken(error.to_string()))))
}
