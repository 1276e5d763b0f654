//! The rows of images: the steps of a push, and what holds an image.
//!
//! An image is held by the images above it and by views. Nobody counts them: who adds or takes one of these calls [`settle`], which asks
//! the two indexes and brings the date in line, or, of a derived image, lets go at once.

use bytes::Bytes;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};
use rusqlite::{Connection, Error, OptionalExtension, Row};

use super::super::cache::Key;
use super::super::value::{DigestColumn, ImageColumn, integer, name, unsigned};
use super::super::writer::Batch;
use super::super::{blobs, failure, repos};
use super::views;
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::meta::images::{
    ANCESTRY_MAX, BeginImage, Compression, ImageLayer, ImageState, ImageStep, LayerContent, NewImage,
    StoredImage,
};

pub(super) const GET: &str =
    "SELECT i.id, i.derived, i.state, i.layer, i.size, i.compression, i.diff_id, i.payload, i.idle_since,
        i.ancestry, i.json
     FROM repositories r CROSS JOIN v1_images i
     WHERE r.name = ?1 AND i.repository = r.id AND i.image = ?2 ORDER BY i.derived DESC LIMIT 1";
pub(super) const HEADS: &str = "SELECT id, derived, state, parent, layer, idle_since FROM v1_images
     WHERE repository = ?1 AND image = ?2 ORDER BY derived DESC";
pub(super) const IS_PARENT: &str = "SELECT 1 FROM v1_images WHERE repository = ?1 AND parent = ?2 LIMIT 1";
pub(super) const NAMES: &str = "SELECT 1 FROM v1_images WHERE repository = ?1 AND layer = ?2 LIMIT 1";
/// Of an image that very many repositories have only some are found, so that the sorting has an end.
const REPOSITORIES: &str = "SELECT r.name FROM
        (SELECT DISTINCT repository FROM v1_images WHERE image = ?1 ORDER BY repository LIMIT 4096) i
     CROSS JOIN repositories r WHERE r.id = i.repository ORDER BY r.name LIMIT ?2";

/// Bytes of an id.
const ID: usize = 32;

/// A row without its content.
pub(super) struct Head {
    pub(super) number: i64,
    pub(super) derived: bool,
    pub(super) state: ImageState,
    pub(super) parent: Option<ImageId>,
    pub(super) layer: Option<Digest>,
    pub(super) idle_since: Option<Timestamp>,
}

pub(super) fn get(
    connection: &Connection,
    repo: &RepoName,
    id: &ImageId,
) -> rusqlite::Result<Option<StoredImage>> {
    connection
        .prepare_cached(GET)?
        .query_row((repo.as_str(), ImageColumn(*id)), |row| stored(row, id))
        .optional()
}

fn stored(row: &Row<'_>, id: &ImageId) -> rusqlite::Result<StoredImage> {
    let layer = match row.get::<_, Option<DigestColumn>>(3)? {
        None => None,
        Some(digest) => {
            Some(ImageLayer { digest: digest.0, size: unsigned(row, 4)?, content: content(row)? })
        }
    };
    Ok(StoredImage {
        id: *id,
        state: state(row, 2)?,
        derived: row.get(1)?,
        generation: unsigned(row, 0)?,
        json: Bytes::from(row.get::<_, Vec<u8>>(10)?),
        ancestry: ancestry_from_bytes(row.get_ref(9)?.as_blob()?),
        layer,
        idle_since: row.get::<_, Option<i64>>(8)?.map(Timestamp),
    })
}

fn content(row: &Row<'_>) -> rusqlite::Result<Option<LayerContent>> {
    let Some(compression) = row.get::<_, Option<i64>>(5)? else { return Ok(None) };
    let compression = COMPRESSIONS
        .get(usize::try_from(compression).unwrap_or(usize::MAX))
        .copied()
        .ok_or(Error::IntegralValueOutOfRange(5, compression))?;
    let (diff_id, payload) = (row.get::<_, DigestColumn>(6)?.0, row.get::<_, DigestColumn>(7)?.0);
    Ok(Some(LayerContent { compression, diff_id, payload }))
}

/// By their numbers in the rows.
const COMPRESSIONS: [Compression; 6] = [
    Compression::None,
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Xz,
    Compression::Zstd,
    Compression::Opaque,
];

fn compression_to_number(compression: Compression) -> i64 {
    match compression {
        Compression::None => 0,
        Compression::Gzip => 1,
        Compression::Bzip2 => 2,
        Compression::Xz => 3,
        Compression::Zstd => 4,
        Compression::Opaque => 5,
    }
}

const DESCRIBED: i64 = 0;
const WITH_LAYER: i64 = 1;
pub(super) const COMPLETE: i64 = 2;

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<ImageState> {
    match row.get(column)? {
        DESCRIBED => Ok(ImageState::Described),
        WITH_LAYER => Ok(ImageState::WithLayer),
        COMPLETE => Ok(ImageState::Complete),
        other => Err(Error::IntegralValueOutOfRange(column, other)),
    }
}

/// The chain that a row carries.
fn ancestry_from_bytes(bytes: &[u8]) -> Vec<ImageId> {
    let ids = bytes.chunks_exact(ID).filter_map(|id| id.try_into().ok());
    ids.map(ImageId::from_bytes).collect()
}

/// The chain of an image on top of this one.
pub(super) fn ancestry_to_bytes(id: &ImageId, below: &[ImageId]) -> Vec<u8> {
    std::iter::once(id).chain(below).flat_map(|id| *id.bytes()).collect()
}

/// What is there under an id, the derived one first.
pub(super) fn heads(connection: &Connection, repository: i64, id: &ImageId) -> rusqlite::Result<Vec<Head>> {
    let head = |row: &Row<'_>| {
        Ok(Head {
            number: row.get(0)?,
            derived: row.get(1)?,
            state: state(row, 2)?,
            parent: row.get::<_, Option<ImageColumn>>(3)?.map(|parent| parent.0),
            layer: row.get::<_, Option<DigestColumn>>(4)?.map(|layer| layer.0),
            idle_since: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        })
    };
    connection.prepare_cached(HEADS)?.query_map((repository, ImageColumn(*id)), head)?.collect()
}

/// The complete image that counts under an id.
pub(super) fn complete_head(
    connection: &Connection,
    repository: i64,
    id: &ImageId,
) -> rusqlite::Result<Option<Head>> {
    Ok(heads(connection, repository, id)?.into_iter().find(|head| head.state == ImageState::Complete))
}

/// The chain of a row.
pub(super) fn ancestry(connection: &Connection, number: i64) -> rusqlite::Result<Vec<ImageId>> {
    connection
        .prepare_cached("SELECT ancestry FROM v1_images WHERE id = ?1")?
        .query_row([number], |row| Ok(ancestry_from_bytes(row.get_ref(0)?.as_blob()?)))
}

pub(in super::super) fn is_complete(
    connection: &Connection,
    repo: &RepoName,
    id: &ImageId,
) -> rusqlite::Result<bool> {
    match repos::id(connection, repo)? {
        Some(repository) => Ok(complete_head(connection, repository, id)?.is_some()),
        None => Ok(false),
    }
}

/// Whether an image of the repository has this layer.
pub(in super::super) fn names_layer(
    connection: &Connection,
    repository: i64,
    digest: &Digest,
) -> rusqlite::Result<bool> {
    connection.prepare_cached(NAMES)?.exists((repository, DigestColumn(*digest)))
}

pub(super) fn repositories(
    connection: &Connection,
    id: &ImageId,
    limit: usize,
) -> rusqlite::Result<Vec<RepoName>> {
    connection
        .prepare_cached(REPOSITORIES)?
        .query_map((ImageColumn(*id), integer(limit)), |row| name(row, 0))?
        .collect()
}

pub(super) fn begin(batch: &mut Batch<'_>, image: &NewImage) -> rusqlite::Result<BeginImage> {
    let NewImage { repo, id, parent, json } = image;
    let known = repos::id(batch.connection, repo)?;
    let before = match known {
        Some(repository) => heads(batch.connection, repository, id)?,
        None => Vec::new(),
    };
    if before.iter().any(|head| head.state == ImageState::Complete) {
        return Ok(BeginImage::Exists);
    }
    let below = match (known, parent) {
        (_, None) => Vec::new(),
        (None, Some(_)) => return Ok(BeginImage::NoParent),
        (Some(repository), Some(parent)) => match complete_head(batch.connection, repository, parent)? {
            Some(parent) => ancestry(batch.connection, parent.number)?,
            None => return Ok(BeginImage::NoParent),
        },
    };
    if below.len() >= ANCESTRY_MAX {
        return Ok(BeginImage::TooDeep);
    }
    let repository = repos::id_or_new(batch, repo)?;
    for head in &before {
        remove(batch, repo, repository, id, head)?;
    }
    let number: i64 = batch
        .connection
        .prepare_cached(
            "INSERT INTO v1_images (repository, image, derived, state, parent, idle_since, ancestry, json)
             VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6, ?7) RETURNING id",
        )?
        .query_row(
            (
                repository,
                ImageColumn(*id),
                DESCRIBED,
                parent.map(ImageColumn),
                batch.now.0,
                ancestry_to_bytes(id, &below),
                json.as_ref(),
            ),
            |row| row.get(0),
        )?;
    failure::hit(Point::ImageBegun)?;
    batch.touch(Key::Image(repo.clone(), *id));
    for parent in before.iter().filter_map(|head| head.parent).chain(*parent) {
        settle(batch, repo, repository, &parent, batch.now)?;
    }
    Ok(BeginImage::Begun(number.unsigned_abs()))
}

/// The image that is being pushed, if this step of its push may be taken.
fn in_progress(
    connection: &Connection,
    repository: i64,
    id: &ImageId,
    generation: u64,
) -> rusqlite::Result<Result<Head, ImageStep>> {
    let heads = heads(connection, repository, id)?;
    if heads.iter().any(|head| head.state == ImageState::Complete) {
        return Ok(Err(ImageStep::Exists));
    }
    let Some(head) = heads.into_iter().next() else { return Ok(Err(ImageStep::Unknown)) };
    Ok(if head.number == integer(generation) { Ok(head) } else { Err(ImageStep::Stale) })
}

pub(super) fn put_layer(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    id: &ImageId,
    generation: u64,
    layer: &ImageLayer,
) -> rusqlite::Result<ImageStep> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(ImageStep::Unknown) };
    let head = match in_progress(batch.connection, repository, id, generation)? {
        Ok(head) => head,
        Err(step) => return Ok(step),
    };
    if !blobs::is_linked(batch.connection, repository, &layer.digest)? {
        return Ok(ImageStep::NoBlob);
    }
    let content = layer.content.as_ref();
    batch
        .connection
        .prepare_cached(
            "UPDATE v1_images SET state = ?2, layer = ?3, size = ?4, compression = ?5, diff_id = ?6, payload = ?7,
                 idle_since = ?8
             WHERE id = ?1",
        )?
        .execute((
            head.number,
            WITH_LAYER,
            DigestColumn(layer.digest),
            integer(layer.size),
            content.map(|content| compression_to_number(content.compression)),
            content.map(|content| DigestColumn(content.diff_id)),
            content.map(|content| DigestColumn(content.payload)),
            batch.now.0,
        ))?;
    failure::hit(Point::ImageLayer)?;
    batch.touch(Key::Image(repo.clone(), *id));
    blobs::date_link(batch, repo, repository, &layer.digest)?;
    match head.layer {
        Some(before) if before != layer.digest => blobs::date_link(batch, repo, repository, &before)?,
        _ => {}
    }
    Ok(ImageStep::Done)
}

pub(super) fn complete(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    id: &ImageId,
    generation: u64,
    checked: &Digest,
) -> rusqlite::Result<ImageStep> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(ImageStep::Unknown) };
    let head = match in_progress(batch.connection, repository, id, generation)? {
        Ok(head) => head,
        Err(step) => return Ok(step),
    };
    let Some(layer) = head.layer else { return Ok(ImageStep::NoLayer) };
    if layer != *checked {
        return Ok(ImageStep::Stale);
    }
    if !blobs::is_linked(batch.connection, repository, &layer)? {
        return Ok(ImageStep::NoBlob);
    }
    batch
        .connection
        .prepare_cached("UPDATE v1_images SET state = ?2, idle_since = ?3 WHERE id = ?1")?
        .execute((head.number, COMPLETE, batch.now.0))?;
    failure::hit(Point::ImageCompleted)?;
    batch.touch(Key::Image(repo.clone(), *id));
    Ok(ImageStep::Done)
}

pub(super) fn renew(batch: &mut Batch<'_>, repo: &RepoName, id: &ImageId) -> rusqlite::Result<bool> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(false) };
    let heads = heads(batch.connection, repository, id)?;
    for head in heads.iter().filter(|head| head.idle_since.is_some()) {
        set_date(batch, repo, id, head, Some(batch.now))?;
    }
    Ok(!heads.is_empty())
}

/// Whether another image or a view holds it.
pub(super) fn is_held(connection: &Connection, repository: i64, id: &ImageId) -> rusqlite::Result<bool> {
    Ok(connection.prepare_cached(IS_PARENT)?.exists((repository, ImageColumn(*id)))?
        || views::is_top(connection, repository, id)?)
}

/// Brings an image in line with what holds it now. What nothing holds any more is dated `since`; if it is derived it goes, and so on down
/// the chain.
pub(in super::super) fn settle(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    id: &ImageId,
    since: Timestamp,
) -> rusqlite::Result<()> {
    let mut next = Some(*id);
    while let Some(id) = next.take() {
        let held = is_held(batch.connection, repository, &id)?;
        for head in heads(batch.connection, repository, &id)? {
            if !held && head.derived {
                remove(batch, repo, repository, &id, &head)?;
                next = head.parent;
            } else if held == head.idle_since.is_some() {
                set_date(batch, repo, &id, &head, (!held).then_some(since))?;
            }
        }
    }
    Ok(())
}

fn set_date(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    id: &ImageId,
    head: &Head,
    date: Option<Timestamp>,
) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached("UPDATE v1_images SET idle_since = ?2 WHERE id = ?1")?
        .execute((head.number, date.map(|date| date.0)))?;
    batch.touch(Key::Image(repo.clone(), *id));
    Ok(())
}

/// Removes a row. Its layer is not named by it any more; its parent is to be settled.
pub(super) fn remove(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    id: &ImageId,
    head: &Head,
) -> rusqlite::Result<()> {
    batch.connection.prepare_cached("DELETE FROM v1_images WHERE id = ?1")?.execute([head.number])?;
    failure::hit(Point::ImageRemoved)?;
    batch.touch(Key::Image(repo.clone(), *id));
    match &head.layer {
        Some(layer) => blobs::date_link(batch, repo, repository, layer),
        None => Ok(()),
    }
}
