//! Checking blobs' files: hashing them, telling which file it was, moving one aside, listing them.
//!
//! A check reads much and needs nothing of it twice, so it gives pages back to the kernel that were not in the page cache
//! before, and leaves those that were to the readers who brought them there.

use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use async_trait::async_trait;
use gantry_oci::{Algorithm, Digest, Hasher};
use rustix::fs::{Advice, CWD, RenameFlags};
use rustix::io::{Errno, ReadWriteFlags};

use super::publish::make_durable_directory;
use super::{Inner, LocalBlobs, hop, read, refuse_location};
use crate::blobs::key::Key;
use crate::blobs::verify::{Found, Hashed, Identity, Pace, VerifyBytes};
use crate::clock::Timestamp;
use crate::error::{Result, StorageError};

const HASHING: &str = "checking a blob";
const SETTING_ASIDE: &str = "moving a damaged file aside";
const LISTING: &str = "listing blobs";

/// Read and hashed in one hop to a blocking thread.
const PIECE: usize = 1 << 20;

/// Copies of one digest's bytes that are kept aside.
const KEPT: u32 = 100;

pub(super) fn identity(metadata: &Metadata) -> Identity {
    Identity(metadata.dev(), metadata.ino())
}

/// A file that is being hashed.
struct Checking {
    file: File,
    hasher: Hasher,
    buffer: Vec<u8>,
    position: u64,
}

impl Checking {
    /// Hashes the next piece; how long it was. 0: the end.
    fn piece(&mut self) -> io::Result<u64> {
        let (count, cached) = self.read()?;
        self.hasher.update(self.buffer.get(..count).unwrap_or_default());
        if let Some(length) = NonZeroU64::new(count as u64)
            && !cached
        {
            // Advice only.
            let _ = rustix::fs::fadvise(&self.file, self.position, Some(length), Advice::DontNeed);
        }
        self.position += count as u64;
        Ok(count as u64)
    }

    /// The next bytes, and whether the page cache had them.
    fn read(&mut self) -> io::Result<(usize, bool)> {
        loop {
            let mut room = [io::IoSliceMut::new(&mut self.buffer)];
            match rustix::io::preadv2(&self.file, &mut room, self.position, ReadWriteFlags::NOWAIT) {
                Ok(count) => return Ok((count, true)),
                Err(Errno::INTR) => {}
                // Not in the cache, or the file system cannot tell.
                Err(_) => break,
            }
        }
        loop {
            match rustix::io::pread(&self.file, &mut self.buffer, self.position) {
                Ok(count) => return Ok((count, false)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn state(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Blocks.
fn set_aside(inner: &Inner, digest: Digest, wanted: Identity) -> Result<bool> {
    let fail = |error: io::Error| StorageError::from_io(SETTING_ASIDE, error);
    let aside = inner.path(Key::QuarantineOf(digest.algorithm()));
    make_durable_directory(&inner.root, &aside).map_err(fail)?;
    let path = inner.path(Key::Blob(digest));
    match state(&path).map_err(fail)? {
        Some(found) if identity(&found) == wanted => {}
        _ => return Ok(false),
    }
    for copy in 0..KEPT {
        let to = inner.path(Key::Quarantine(digest, copy));
        match rustix::fs::renameat_with(CWD, &path, CWD, &to, RenameFlags::NOREPLACE) {
            Ok(()) => {
                File::open(&aside).and_then(|directory| directory.sync_all()).map_err(fail)?;
                return Ok(true);
            }
            Err(Errno::EXIST) => {}
            // The file system cannot do it in one step; nobody else moves files there.
            Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => {
                std::fs::rename(&path, &to).map_err(fail)?;
                return Ok(true);
            }
            Err(error) => return Err(fail(error.into())),
        }
    }
    let what = format!("{KEPT} copies of blob {digest} were moved aside already; remove some of them");
    Err(StorageError::Corrupt { what })
}

/// Blocks.
fn list(inner: &Inner, algorithm: Algorithm, shard: u8) -> Result<Vec<Found>> {
    let fail = |error: io::Error| StorageError::from_io(LISTING, error);
    let below = format!("{}/{shard:02x}", Key::Algorithm(algorithm));
    let entries = match std::fs::read_dir(inner.root.join(&below)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fail)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(fail)?.file_name();
        let digest = name.to_str().and_then(|name| {
            let digest: Digest = format!("{}:{name}", algorithm.as_str()).parse().ok()?;
            name.starts_with(&format!("{shard:02x}")).then_some(digest)
        });
        let path = match digest {
            Some(_) => format!("{below}/{}/data", name.to_string_lossy()),
            None => format!("{below}/{}", name.to_string_lossy()),
        };
        // A directory without a file is what a cut publish leaves; the next one uses it.
        let Some(metadata) = state(&inner.root.join(&path)).map_err(fail)? else { continue };
        let blob = digest.filter(|_| metadata.is_file()).map(|digest| (digest, identity(&metadata)));
        let changed = metadata.ctime().saturating_mul(1_000_000).saturating_add(metadata.ctime_nsec() / 1000);
        found.push(Found { path, blob, size: metadata.len(), changed: Timestamp(changed) });
    }
    Ok(found)
}

#[async_trait]
impl VerifyBytes for LocalBlobs {
    async fn is_at_home(&self) -> Result<bool> {
        self.blocking("looking for the store's marker", |inner| {
            let marker = state(&inner.path(Key::Marker))
                .map_err(|error| StorageError::from_io("looking for the store's marker", error))?;
            Ok(marker.is_some())
        })
        .await
    }

    async fn is_shared(&self) -> Result<bool> {
        const DURING: &str = "looking for the records of another registry";
        self.blocking(DURING, |inner| {
            let records = state(&inner.path(Key::ForeignRecords));
            Ok(records.map_err(|error| StorageError::from_io(DURING, error))?.is_some())
        })
        .await
    }

    async fn hash(&self, digest: &Digest, location: Option<&str>, pace: &Pace) -> Result<Hashed> {
        refuse_location(digest, location)?;
        let digest = *digest;
        let opened = self.blocking(HASHING, move |inner| read::open(inner, digest)).await?;
        let Some(file) = opened else { return Ok(Hashed::Missing) };
        let fail = |error: io::Error| StorageError::from_io(HASHING, error);
        let identity = identity(&file.metadata().map_err(fail)?);
        // Without it the kernel would read ahead, and its pages would look like those of other readers.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::Random);
        let hasher = Hasher::new(digest.algorithm());
        let mut checking = Checking { file, hasher, buffer: vec![0; PIECE], position: 0 };
        loop {
            let (back, outcome) = hop(HASHING, move || {
                let outcome = checking.piece();
                Ok((checking, outcome))
            })
            .await?;
            checking = back;
            match outcome.map_err(fail)? {
                0 => break,
                count => pace.spend(count).await,
            }
        }
        Ok(Hashed::Bytes { actual: checking.hasher.finish(), size: checking.position, identity })
    }

    async fn identity(&self, digest: &Digest, location: Option<&str>) -> Result<Option<Identity>> {
        refuse_location(digest, location)?;
        let digest = *digest;
        self.blocking(HASHING, move |inner| {
            let found = state(&inner.path(Key::Blob(digest)));
            Ok(found.map_err(|error| StorageError::from_io(HASHING, error))?.as_ref().map(identity))
        })
        .await
    }

    async fn set_aside(&self, digest: &Digest, location: Option<&str>, wanted: Identity) -> Result<bool> {
        refuse_location(digest, location)?;
        let digest = *digest;
        self.blocking(SETTING_ASIDE, move |inner| set_aside(inner, digest, wanted)).await
    }

    async fn list(&self, algorithm: Algorithm, shard: u8) -> Result<Vec<Found>> {
        self.blocking(LISTING, move |inner| list(inner, algorithm, shard)).await
    }
}
