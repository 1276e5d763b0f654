//! Which storages there are, and links that go over from one to another.

use async_trait::async_trait;
use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, Row};

use super::value::{DigestColumn, integer, unsigned};
use super::writer::Batch;
use super::{ExaminedDatabase, OpenDatabaseError, SqliteMeta, blobs, failure, repos, verify};
use crate::error::Result;
use crate::failpoint::Point;
use crate::meta::storages::{Link, LinkCursor, LinksPage, Relink, Relinked, StorageId, StorageRows, Usage};
use crate::meta::{BlobContent, NewBlob};

/// The index holds named storages only: of `default` nobody asks.
pub(super) const BLOBS: &str = "SELECT 1 FROM blobs WHERE storage = ?1 AND storage > 1 LIMIT ?2";
pub(super) const REPOSITORIES: &str =
    "SELECT id, name FROM repositories WHERE name >= ?1 AND name < ?2 ORDER BY name LIMIT ?3";
pub(super) const LINKS: &str =
    "SELECT l.blob, b.digest, b.size, b.storage, b.location, b.damaged_at IS NOT NULL
     FROM repository_blobs l CROSS JOIN blobs b
     WHERE l.repository = ?1 AND l.blob > ?2 AND b.id = l.blob ORDER BY l.blob LIMIT ?3";

/// Repositories that one page looks into.
const REPOSITORIES_PER_PAGE: usize = 256;

/// Blobs beyond this number are not counted one by one.
const COUNTED: u64 = 1_000_000;

/// A storage that the rows know.
pub(crate) struct StorageRow {
    pub(crate) id: StorageId,
    pub(crate) name: String,
}

impl ExaminedDatabase {
    /// Every storage that ever was configured and is not forgotten, `default` among them.
    pub(crate) fn storages(&self) -> Result<Vec<StorageRow>, OpenDatabaseError> {
        let mut all = self.connection.prepare("SELECT id, name FROM storages WHERE id > 0 ORDER BY id")?;
        let rows = all
            .query_map([], |row| Ok(StorageRow { id: StorageId(row.get(0)?), name: row.get(1)? }))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(rows)
    }

    /// Blobs whose bytes are in a named storage, counted up to a million.
    pub(crate) fn blobs_in(&self, storage: StorageId) -> Result<u64, OpenDatabaseError> {
        let mut blobs = self.connection.prepare(BLOBS)?;
        let blobs = blobs.query_map((storage.0, integer(COUNTED)), |_| Ok(()))?;
        Ok(blobs.into_iter().try_fold(0, |count, blob| blob.map(|()| count + 1))?)
    }

    /// Whether a named storage has any blob.
    pub(crate) fn is_used(&self, storage: StorageId) -> Result<bool, OpenDatabaseError> {
        Ok(self.connection.prepare(BLOBS)?.exists((storage.0, 1))?)
    }

    /// The number of a storage, drawn when it is new.
    pub(crate) fn storage_id(&mut self, name: &str) -> Result<StorageId, OpenDatabaseError> {
        self.connection.execute("INSERT OR IGNORE INTO storages (name) VALUES (?1)", [name])?;
        let id =
            self.connection.query_row("SELECT id FROM storages WHERE name = ?1", [name], |row| row.get(0))?;
        Ok(StorageId(id))
    }

    /// Forgets a storage that has no blobs: with it go uploads under way in it, and the notes of files that are still to be
    /// removed. The answer is how many these are.
    pub(crate) fn forget_storage(&mut self, storage: StorageId) -> Result<usize, OpenDatabaseError> {
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM uploads WHERE storage = ?1", [storage.0])?;
        let files = transaction.execute("DELETE FROM freed_blobs WHERE storage = ?1", [storage.0])?;
        transaction.execute("DELETE FROM storages WHERE id = ?1 AND id > 1", [storage.0])?;
        transaction.commit()?;
        Ok(files)
    }
}

#[async_trait]
impl StorageRows for SqliteMeta {
    async fn links_below(&self, prefix: &str, after: Option<LinkCursor>, limit: usize) -> Result<LinksPage> {
        let prefix = prefix.to_owned();
        self.readers
            .read("looking through repositories", move |c| links_below(c, &prefix, after, limit))
            .await
    }

    async fn relink(&self, links: Vec<Relink>) -> Result<Relinked> {
        self.writer.run("moving blobs", None, move |batch| relink(batch, &links)).await
    }

    async fn has_blob(&self, storage: StorageId, digest: &Digest) -> Result<bool> {
        let digest = *digest;
        self.readers
            .read("reading a blob's row", move |c| Ok(blobs::whole(c, storage, &digest)?.is_some()))
            .await
    }

    async fn usage(&self) -> Result<Vec<Usage>> {
        self.readers.read("counting blobs", usage).await
    }
}

fn usage(connection: &Connection) -> rusqlite::Result<Vec<Usage>> {
    let mut counts =
        connection.prepare_cached("SELECT storage, COUNT(*), TOTAL(size) FROM blobs GROUP BY storage")?;
    let rows = counts.query_map((), |row| {
        let (storage, blobs, bytes): (i64, i64, f64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of sizes")]
        let bytes = bytes as u64;
        Ok(Usage { storage: StorageId(storage), blobs: blobs.unsigned_abs(), bytes })
    })?;
    rows.collect()
}

fn links_below(
    connection: &Connection,
    prefix: &str,
    after: Option<LinkCursor>,
    limit: usize,
) -> rusqlite::Result<LinksPage> {
    // '0' follows '/': between the two lie all names below the prefix, and some beside it.
    let end = if prefix.is_empty() { String::from("\u{10FFFF}") } else { format!("{prefix}0") };
    let (first, mut behind) = after.map_or_else(|| (prefix.to_owned(), 0), |after| (after.repo, after.blob));
    let repositories: Vec<(i64, String)> = connection
        .prepare_cached(REPOSITORIES)?
        .query_map((&first, &end, integer(REPOSITORIES_PER_PAGE)), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let whole_page = repositories.len() == REPOSITORIES_PER_PAGE;
    let mut page = LinksPage::default();
    for (id, name) in repositories {
        // A place within a repository that is not the first of this page is of no meaning.
        let from = if name == first { std::mem::take(&mut behind) } else { 0 };
        page.next = Some(LinkCursor { repo: name.clone(), blob: i64::MAX });
        let Some(repo) = below(prefix, &name) else { continue };
        let mut links = connection.prepare_cached(LINKS)?;
        let mut rows = links.query((id, from, integer(limit - page.links.len())))?;
        while let Some(row) = rows.next()? {
            page.next = Some(LinkCursor { repo: name.clone(), blob: row.get(0)? });
            page.links.push(link(row, &repo)?);
        }
        if page.links.len() >= limit {
            return Ok(page);
        }
        page.next = Some(LinkCursor { repo: name, blob: i64::MAX });
    }
    if !whole_page {
        page.next = None;
    }
    Ok(page)
}

/// The repository, if it is at the prefix or below it.
fn below(prefix: &str, name: &str) -> Option<RepoName> {
    let rest = name.strip_prefix(prefix)?;
    (prefix.is_empty() || rest.is_empty() || rest.starts_with('/'))
        .then(|| RepoName::stored(name).ok())
        .flatten()
}

fn link(row: &Row<'_>, repo: &RepoName) -> rusqlite::Result<Link> {
    Ok(Link {
        repo: repo.clone(),
        digest: row.get::<_, DigestColumn>(1)?.0,
        size: unsigned(row, 2)?,
        storage: StorageId(row.get(3)?),
        location: row.get(4)?,
        damaged: row.get(5)?,
    })
}

fn relink(batch: &mut Batch<'_>, links: &[Relink]) -> rusqlite::Result<Relinked> {
    let mut done = Relinked::default();
    for one in links {
        if go_over(batch, one)? {
            done.moved += 1;
        } else {
            done.changed += 1;
        }
        failure::hit(Point::JobRelinked)?;
    }
    Ok(done)
}

/// Whether the link was still as it had been read.
fn go_over(batch: &mut Batch<'_>, Relink { link, to, location, copied }: &Relink) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, &link.repo)? else { return Ok(false) };
    let held = blobs::held(batch.connection, repository, &link.digest)?;
    let Some(held) = held.filter(|held| held.storage == link.storage) else { return Ok(false) };
    let content = BlobContent::Stored { storage: *to, location: location.clone() };
    let (repo, digest, size) = (link.repo.clone(), link.digest, link.size);
    let new = NewBlob { repo, digest, size, content, upload: None, displaces: true, renew_from: None };
    let id = match blobs::id(batch.connection, *to, &link.digest)? {
        Some(id) if *copied => {
            verify::heal_blob(batch, id, &new)?;
            id
        }
        None if *copied => blobs::insert(batch, &new)?,
        // It was there and whole when somebody looked.
        _ => match blobs::whole(batch.connection, *to, &link.digest)? {
            Some(id) => id,
            None => return Ok(false),
        },
    };
    if *copied {
        // They belong to somebody now.
        batch
            .connection
            .prepare_cached("DELETE FROM freed_blobs WHERE digest = ?1 AND storage = ?2")?
            .execute((DigestColumn(link.digest), to.0))?;
    }
    blobs::relink(batch, &link.repo, repository, &link.digest, (held.id, id))?;
    Ok(true)
}
