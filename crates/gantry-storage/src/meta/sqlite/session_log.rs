//! What upload sessions said last, until a commit has it: survives `kill -9`, not a power cut.
//!
//! Rows of sessions wait for company (`lazy`), and a client is answered meanwhile. So that a killed process loses none of them, each
//! row is first appended here: one `write(2)`, no fsync, since the page cache outlives the process. After a start the rows
//! are read back and wait for their commit as before. A power cut is another matter: then the file may be older than the database, or
//! torn, and could bring back what has ended; so it names the boot that wrote it, and another boot does not read it.
//!
//! ```text
//! <database>-sessions     magic, boot id; then records: length, check, kind, session [, row]
//! ```
//!
//! The file stays small: when it has grown it is written anew with the rows that still wait, under another name, and renamed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use gantry_oci::{RepoName, UploadId};

use super::value::{algorithm_from_number, algorithm_to_number};
use crate::clock::Timestamp;
use crate::failpoint::{self, Point};
use crate::meta::UploadRow;
use crate::meta::storages::StorageId;

const MAGIC: &[u8; 8] = b"GNTRSES1";

/// Beyond this many bytes the file is written anew.
const LONG: u64 = 1 << 20;

/// Room that a new file reserves, so that a disk that fills up does not lose what sessions say.
const RESERVED: u64 = 2 * LONG;

/// What a record says of its session.
const SAVED_WITHOUT_STORAGE: u8 = 1; // Of a time when there was one storage only.
const SAVED: u8 = 3;
const ENDED: u8 = 2;

/// Where Linux tells one boot from another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file, open for appending.
pub(super) struct SessionLog {
    path: PathBuf,
    file: File,
    boot: String,
    length: u64,
    /// Beyond this it is written anew.
    long: u64,
    /// Sessions that have a record here, so that their end needs one.
    named: HashSet<UploadId>,
}

impl SessionLog {
    /// Reads what an earlier process of this boot left, and begins anew with it.
    pub(super) fn open(database: &Path) -> io::Result<(SessionLog, Vec<UploadRow>)> {
        let mut path = database.as_os_str().to_owned();
        path.push("-sessions");
        let path = PathBuf::from(path);
        let boot = std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let rows = match std::fs::read(&path) {
            Ok(bytes) => replay(&bytes, &boot),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (file, length, named) = write_anew(&path, &boot, &rows)?;
        Ok((SessionLog { path, file, boot, length, long: LONG, named }, rows))
    }

    /// Notes where a session stands.
    pub(super) fn saved(&mut self, row: &UploadRow) -> io::Result<()> {
        let mut record = Vec::with_capacity(512 + row.buffered.as_ref().map_or(0, Bytes::len));
        encode(&mut record, row);
        self.append(&record)?;
        self.named.insert(row.id);
        Ok(())
    }

    /// Notes that sessions have ended, of those that it knows.
    pub(super) fn ended(&mut self, ids: impl Iterator<Item = UploadId>) {
        let mut records = Vec::new();
        for id in ids.filter(|id| self.named.remove(id)) {
            framed(&mut records, |body| {
                body.push(ENDED);
                body.extend_from_slice(id.to_string().as_bytes());
            });
        }
        // Without it a session may come back after a crash, with nothing that its client could not have sent again.
        if !records.is_empty()
            && let Err(error) = self.append(&records)
        {
            tracing::warn!(%error, "the end of an upload session could not be noted");
        }
    }

    /// Whether it should be written anew.
    pub(super) fn is_long(&self) -> bool {
        self.length > self.long
    }

    /// Forgets everything but these rows.
    pub(super) fn restart(&mut self, rows: &[UploadRow]) {
        match write_anew(&self.path, &self.boot, rows) {
            Ok((file, length, named)) => {
                (self.file, self.length, self.named) = (file, length, named);
                // When much waits, not every group pays for a new file.
                self.long = LONG.max(2 * length);
            }
            Err(error) => {
                tracing::warn!(%error, "the log of upload sessions could not be written anew; it goes on growing");
                self.long = self.length.saturating_mul(2);
            }
        }
    }

    fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let outcome = failpoint::hit(Point::SessionNoting)
            .and_then(|()| self.file.write_all_at(records, self.length))
            .and_then(|()| failpoint::hit(Point::SessionNoted));
        match outcome {
            Ok(()) => self.length += records.len() as u64,
            // A part of it may be there.
            Err(_) => drop(self.file.set_len(self.length)),
        }
        outcome
    }
}

/// Writes a whole file and puts it in its place. Without fsync: a power cut makes it void anyway.
fn write_anew(path: &Path, boot: &str, rows: &[UploadRow]) -> io::Result<(File, u64, HashSet<UploadId>)> {
    let mut bytes = header(boot);
    for row in rows {
        encode(&mut bytes, row);
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let file = File::create(&temporary)?;
    // Where it cannot be done, a full disk is felt here as everywhere.
    let _ = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::KEEP_SIZE, 0, RESERVED);
    file.write_all_at(&bytes, 0)?;
    failpoint::hit(Point::SessionsAnew)?;
    std::fs::rename(&temporary, path)?;
    Ok((file, bytes.len() as u64, rows.iter().map(|row| row.id).collect()))
}

fn header(boot: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    framed(&mut bytes, |body| body.extend_from_slice(boot.as_bytes()));
    bytes
}

fn encode(into: &mut Vec<u8>, row: &UploadRow) {
    framed(into, |body| {
        body.push(SAVED);
        body.extend_from_slice(row.id.to_string().as_bytes());
        for number in [
            i64::from(algorithm_to_number(row.algorithm)),
            row.offset.cast_signed(),
            row.started.0,
            row.touched.0,
            row.storage.0,
        ] {
            body.extend_from_slice(&number.to_le_bytes());
        }
        let buffered = row.buffered.as_deref();
        body.push(u8::from(buffered.is_some()));
        for part in [row.repo.as_str().as_bytes(), row.owner.as_bytes(), &row.hash_state] {
            body.extend_from_slice(&(part.len() as u32).to_le_bytes());
            body.extend_from_slice(part);
        }
        body.extend_from_slice(buffered.unwrap_or_default());
    });
}

/// A record: the length of its body, a check of the body's beginning, the body.
fn framed(into: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[0; 12]);
    fill(into);
    let body = into.get(start + 12..).unwrap_or_default();
    let (length, check) = ((body.len() as u32).to_le_bytes(), check(body).to_le_bytes());
    into.splice(start..start + 12, length.into_iter().chain(check));
}

/// FNV-1a of what is no client's bytes: those are checked against their digest in the end.
fn check(body: &[u8]) -> u64 {
    let seed = 0xCBF2_9CE4_8422_2325 ^ body.len() as u64;
    body.iter().take(512).fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}

/// The newest row of each session that has not ended. What cannot be read ends the log.
fn replay(bytes: &[u8], boot: &str) -> Vec<UploadRow> {
    let mut rest = bytes.strip_prefix(MAGIC).unwrap_or_default();
    if boot.is_empty() || record(&mut rest) != Some(boot.as_bytes()) {
        return Vec::new();
    }
    let mut rows: HashMap<UploadId, UploadRow> = HashMap::new();
    while let Some(mut body) = record(&mut rest) {
        let Some((kind, id)) = head(&mut body) else { break };
        if kind == ENDED {
            rows.remove(&id);
        } else if let Some(row) = decode(kind, id, body) {
            rows.insert(id, row);
        }
    }
    rows.into_values().collect()
}

fn record<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(array(rest)?) as usize;
    let expected = u64::from_le_bytes(array(rest)?);
    let body = take(rest, length)?;
    (check(body) == expected).then_some(body)
}

fn head(body: &mut &[u8]) -> Option<(u8, UploadId)> {
    let [kind] = array(body)?;
    let id = std::str::from_utf8(take(body, 36)?).ok()?.parse().ok()?;
    Some((kind, id))
}

fn decode(kind: u8, id: UploadId, mut body: &[u8]) -> Option<UploadRow> {
    let mut number = || array(&mut body).map(i64::from_le_bytes);
    let (algorithm, offset, started, touched) = (number()?, number()?, number()?, number()?);
    let storage = match kind {
        SAVED => StorageId(number()?),
        SAVED_WITHOUT_STORAGE => StorageId::DEFAULT,
        _ => return None,
    };
    let [buffered] = array(&mut body)?;
    let mut part = || {
        let length = u32::from_le_bytes(array(&mut body)?) as usize;
        take(&mut body, length)
    };
    let (repo, owner, hash_state) = (part()?, part()?, part()?.to_vec());
    Some(UploadRow {
        id,
        repo: RepoName::stored(std::str::from_utf8(repo).ok()?).ok()?,
        owner: std::str::from_utf8(owner).ok()?.to_owned(),
        storage,
        algorithm: algorithm_from_number(algorithm)?,
        offset: offset.cast_unsigned(),
        hash_state,
        buffered: (buffered == 1).then(|| Bytes::copy_from_slice(body)),
        started: Timestamp(started),
        touched: Timestamp(touched),
    })
}

fn take<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(taken)
}

fn array<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = from.split_first_chunk()?;
    *from = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_oci::Algorithm;

    fn row(last: char, offset: u64, buffered: Option<&'static [u8]>) -> UploadRow {
        UploadRow {
            id: format!("0f8fad5b-d9cb-469f-a165-70867728950{last}").parse().expect("an id"),
            repo: "a/b".parse().expect("a name"),
            owner: String::from("alice"),
            storage: StorageId(7),
            algorithm: Algorithm::Sha512,
            offset,
            hash_state: vec![7; 200],
            buffered: buffered.map(Bytes::from_static),
            started: Timestamp(-5),
            touched: Timestamp(9),
        }
    }

    fn sorted(mut rows: Vec<UploadRow>) -> Vec<UploadRow> {
        rows.sort_by_key(|row| row.id.to_string());
        rows
    }

    #[test]
    fn the_newest_row_of_each_open_session_comes_back() {
        let dir = std::env::temp_dir().join(format!("gantry-session-log-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).expect("a directory");
        let database = dir.join("gantry.db");
        let (mut log, rows) = SessionLog::open(&database).expect("a log");
        assert!(rows.is_empty());
        for row in
            [row('1', 1, Some(b"x")), row('2', 0, Some(b"")), row('1', 20_000, None), row('3', 3, None)]
        {
            log.saved(&row).expect("noted");
        }
        log.ended([row('3', 3, None).id, row('4', 4, None).id].into_iter());
        let expected = vec![row('1', 20_000, None), row('2', 0, Some(b""))];
        // Twice, since opening writes it anew.
        for _ in 0..2 {
            let (_, rows) = SessionLog::open(&database).expect("a log");
            assert_eq!(sorted(rows), expected);
        }
        let (mut log, _) = SessionLog::open(&database).expect("a log");
        log.restart(&[row('2', 5, Some(b"12345"))]);
        log.ended([row('1', 1, None).id].into_iter());
        let path = dir.join("gantry.db-sessions");
        let whole = std::fs::read(&path).expect("the file");
        assert_eq!(replay(&whole, &log.boot), [row('2', 5, Some(b"12345"))]);
        assert_eq!(replay(&whole, "another boot"), [], "a power cut makes it void");
        for end in 0..whole.len() {
            assert!(replay(&whole[..end], &log.boot).is_empty(), "a torn record is none");
        }
        std::fs::remove_dir_all(&dir).expect("removed");
    }
}
