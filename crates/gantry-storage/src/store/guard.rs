//! The small files around a store: the lock, the marker at the blob root, the note beside the data directory.
//!
//! All of them are written whole under another name and renamed, so that none is ever half there; only the lock file is written in
//! place, because its identity is what is locked.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::failpoint::{self, Point};

/// What a marker or note file holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No such file.
    Nothing,
    /// A store's id, and the name of its storage where that is told.
    Id(String, Option<String>),
    /// Something that is no id.
    Nonsense,
}

/// The second line of a marker begins with it.
const STORAGE: &str = "storage ";

/// What a marker says.
pub(super) fn marker_text(id: &str, storage: &str) -> String {
    format!(
        "{id}\n{STORAGE}{storage}\nThe blobs in this directory belong to the Gantry store with this id. Do not remove this file.\n"
    )
}

/// Reads the id from the first line of a marker or note.
pub(super) fn read_id(path: &Path) -> io::Result<Found> {
    let mut text = String::new();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        other => other?,
    };
    if let Err(error) = file.take(4096).read_to_string(&mut text) {
        return if error.kind() == io::ErrorKind::InvalidData { Ok(Found::Nonsense) } else { Err(error) };
    }
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim();
    let storage = lines.next().and_then(|line| line.strip_prefix(STORAGE)).map(|name| name.trim().to_owned());
    Ok(match uuid::Uuid::try_parse(first) {
        Ok(id) => Found::Id(id.to_string(), storage),
        Err(_) => Found::Nonsense,
    })
}

/// Writes a small file durably, whole or not at all.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    failpoint::hit(Point::SmallFileWritten)?;
    file.sync_all()?;
    failpoint::hit(Point::SmallFileSynced)?;
    std::fs::rename(&temporary, path)?;
    failpoint::hit(Point::SmallFileRenamed)?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

/// What came of trying to lock.
pub(super) enum Lock {
    /// It is ours until the file is closed.
    Ours(File),
    /// Another process has it; its id, when the file tells.
    Taken(Option<u32>),
}

/// Locks the file, made when missing, and writes this process's id into it.
pub(super) fn lock(path: &Path) -> io::Result<Lock> {
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            // For the message only.
            let _ = file.take(64).read_to_string(&mut text);
            return Ok(Lock::Taken(text.trim().parse().ok()));
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Also the first proof that the directory can be written to.
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())?;
    Ok(Lock::Ours(file))
}

/// Whether the directory holds nothing but what a fresh file system has.
pub(super) fn is_empty(directory: &Path) -> io::Result<bool> {
    for entry in std::fs::read_dir(directory)? {
        if entry?.file_name() != "lost+found" {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the note for a data directory lies: beside it. `None`: it has no beside (a root).
pub(super) fn note_path(data_dir: &Path) -> Option<PathBuf> {
    let mut name = data_dir.file_name()?.to_owned();
    name.push(".gantry");
    Some(data_dir.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_lies_beside_the_directory() {
        assert_eq!(note_path(Path::new("/srv/registry")), Some(PathBuf::from("/srv/registry.gantry")));
        assert_eq!(note_path(Path::new("/srv/v1.2")), Some(PathBuf::from("/srv/v1.2.gantry")));
        assert_eq!(note_path(Path::new("/")), None);
    }
}
