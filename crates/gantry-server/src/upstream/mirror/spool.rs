//! A file without a name, for bytes that come in at one pace and are read at others. Nothing is left of it when the process ends,
//! however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{Mode, OFlags};

/// The file.
#[derive(Clone, Debug)]
pub(super) struct Spool(Arc<File>);

impl Spool {
    /// Makes one on the file system of a directory.
    pub(super) async fn make(directory: &Path) -> io::Result<Self> {
        let directory = directory.to_owned();
        blocking(move || nameless(&directory)).await.map(|file| Self(Arc::new(file)))
    }

    /// Writes at an offset.
    pub(super) async fn write(&self, bytes: Bytes, offset: u64) -> io::Result<()> {
        let file = Arc::clone(&self.0);
        blocking(move || file.write_all_at(&bytes, offset)).await
    }

    /// Reads exactly so many bytes, which must be there.
    pub(super) async fn read(&self, length: usize, offset: u64) -> io::Result<Bytes> {
        let file = Arc::clone(&self.0);
        blocking(move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(bytes.into())
        })
        .await
    }
}

fn nameless(directory: &Path) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system can.
        Err(_) => {
            let path = directory.join(format!("spool-{}", uuid::Uuid::new_v4()));
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            std::fs::remove_file(&path)?;
            Ok(file)
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("a task ended early")))
}
