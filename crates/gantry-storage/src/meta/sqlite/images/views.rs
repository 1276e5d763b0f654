//! What a manifest is in v1, and the tags of both.

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName, Tag};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::cache::Key;
use super::super::value::{DigestColumn, ImageColumn, integer, unsigned};
use super::super::writer::Batch;
use super::super::{blobs, failure, manifests, repos};
use super::rows;
use crate::clock::Timestamp;
use crate::failpoint::Point;
use crate::meta::images::{ANCESTRY_MAX, DerivedImage, ImageTag, TagSet, View};

pub(super) const FIRST: &str = "SELECT v.top FROM repositories r CROSS JOIN manifests m CROSS JOIN v1_views v
     WHERE r.name = ?1 AND m.repository = r.id AND m.digest = ?2 AND v.manifest = m.id AND v.number = 0";
pub(super) const OF_TOP: &str = "SELECT m.digest
     FROM repositories r CROSS JOIN v1_views v INDEXED BY v1_views_by_top CROSS JOIN manifests m
     WHERE r.name = ?1 AND v.repository = r.id AND v.top = ?2 AND m.id = v.manifest AND m.damaged_at IS NULL
     ORDER BY v.manifest LIMIT 1";
pub(super) const IS_TOP: &str = "SELECT 1 FROM v1_views WHERE repository = ?1 AND top = ?2 LIMIT 1";
pub(super) const HAS_TOP: &str =
    "SELECT 1 FROM v1_views WHERE repository = ?1 AND top = ?2 AND manifest = ?3 LIMIT 1";
pub(super) const TOPS: &str = "SELECT top FROM v1_views WHERE manifest = ?1";
pub(super) const NOT_VIEWED: &str = "SELECT t.manifest, m.digest
     FROM tags t INDEXED BY tags_not_viewed CROSS JOIN manifests m
     WHERE t.repository = ?1 AND t.viewed = 0 AND t.manifest > ?2 AND m.id = t.manifest
       AND NOT EXISTS (SELECT 1 FROM v1_views v WHERE v.manifest = t.manifest)
     GROUP BY t.manifest ORDER BY t.manifest LIMIT ?3";
pub(super) const TAGS: &str =
    "SELECT t.name, m.digest, coalesce(t.image, v.top), v.manifest IS NOT NULL AND v.top IS NULL
     FROM tags t CROSS JOIN manifests m LEFT JOIN v1_views v ON v.manifest = m.id AND v.number = 0
     WHERE t.repository = ?1 AND t.name > ?2 AND m.id = t.manifest ORDER BY t.name LIMIT ?3";
pub(super) const TAG: &str =
    "SELECT t.name, m.digest, coalesce(t.image, v.top), v.manifest IS NOT NULL AND v.top IS NULL
     FROM repositories r CROSS JOIN tags t CROSS JOIN manifests m
         LEFT JOIN v1_views v ON v.manifest = m.id AND v.number = 0
     WHERE r.name = ?1 AND t.repository = r.id AND t.name = ?2 AND m.id = t.manifest";

pub(super) const TAG_SET: &str = "SELECT t.updated, ifnull(t.agent, '') FROM repositories r CROSS JOIN tags t
     WHERE r.name = ?1 AND t.repository = r.id AND t.name = ?2";

pub(super) fn first(
    connection: &Connection,
    repo: &RepoName,
    manifest: &Digest,
) -> rusqlite::Result<Option<View>> {
    connection
        .prepare_cached(FIRST)?
        .query_row((repo.as_str(), DigestColumn(*manifest)), |row| {
            let top: Option<ImageColumn> = row.get(0)?;
            Ok(top.map_or(View::Nothing, |top| View::Image(top.0)))
        })
        .optional()
}

pub(super) fn of_top(
    connection: &Connection,
    repo: &RepoName,
    id: &ImageId,
) -> rusqlite::Result<Option<Digest>> {
    connection
        .prepare_cached(OF_TOP)?
        .query_row((repo.as_str(), ImageColumn(*id)), |row| Ok(row.get::<_, DigestColumn>(0)?.0))
        .optional()
}

/// Whether a manifest of the repository is the chain below this image.
pub(super) fn is_top(connection: &Connection, repository: i64, id: &ImageId) -> rusqlite::Result<bool> {
    connection.prepare_cached(IS_TOP)?.exists((repository, ImageColumn(*id)))
}

pub(super) fn put(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    manifest: &Digest,
    images: &[DerivedImage],
) -> rusqlite::Result<()> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(()) };
    let Some(number) = manifests::id(batch.connection, repository, manifest)? else { return Ok(()) };
    if batch.connection.prepare_cached(TOPS)?.exists([number])? {
        return Ok(());
    }
    let top = images.last().filter(|_| images.len() <= ANCESTRY_MAX);
    let Some(top) = top else { return insert(batch, repository, number, None) };
    let mut below: Vec<ImageId> = Vec::with_capacity(images.len());
    for image in images {
        insert_derived(batch, repo, repository, image, &below)?;
        below.insert(0, image.id);
    }
    failure::hit(Point::ImagesDerived)?;
    insert(batch, repository, number, Some(&top.id))?;
    failure::hit(Point::ImageViewed)?;
    // What was pushed under the same ids is held by them too.
    for id in &below {
        rows::settle(batch, repo, repository, id, batch.now)?;
    }
    Ok(())
}

/// An id that is derived says what it is derived of: a row that is there stays.
fn insert_derived(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    image: &DerivedImage,
    below: &[ImageId],
) -> rusqlite::Result<()> {
    let inserted = batch
        .connection
        .prepare_cached(
            "INSERT INTO v1_images (repository, image, derived, state, parent, layer, size, ancestry, json)
             VALUES (?1, ?2, 1, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (repository, image, derived) DO NOTHING",
        )?
        .execute((
            repository,
            ImageColumn(image.id),
            rows::COMPLETE,
            below.first().copied().map(ImageColumn),
            DigestColumn(image.layer),
            integer(image.size),
            rows::ancestry_to_bytes(&image.id, below),
            image.json.as_ref(),
        ))?;
    if inserted > 0 {
        batch.touch(Key::Image(repo.clone(), image.id));
        blobs::date_link(batch, repo, repository, &image.layer)?;
    }
    Ok(())
}

/// A manifest was made of the chain below this image, which is complete.
pub(in super::super) fn add(
    batch: &mut Batch<'_>,
    repo: &RepoName,
    repository: i64,
    manifest: i64,
    top: &ImageId,
) -> rusqlite::Result<()> {
    if batch.connection.prepare_cached(HAS_TOP)?.exists((repository, ImageColumn(*top), manifest))? {
        return Ok(());
    }
    // Somebody looked at it, and could not know.
    batch
        .connection
        .prepare_cached("DELETE FROM v1_views WHERE manifest = ?1 AND top IS NULL")?
        .execute([manifest])?;
    insert(batch, repository, manifest, Some(top))?;
    failure::hit(Point::ImageViewed)?;
    rows::settle(batch, repo, repository, top, batch.now)
}

fn insert(batch: &Batch<'_>, repository: i64, manifest: i64, top: Option<&ImageId>) -> rusqlite::Result<()> {
    batch
        .connection
        .prepare_cached(
            "INSERT INTO v1_views (manifest, number, repository, top)
             VALUES (?1, (SELECT ifnull(max(number) + 1, 0) FROM v1_views WHERE manifest = ?1), ?2, ?3)",
        )?
        .execute((manifest, repository, top.copied().map(ImageColumn)))
        .map(drop)
}

/// The manifest goes. The answer is what is to be settled then.
pub(in super::super) fn remove(connection: &Connection, manifest: i64) -> rusqlite::Result<Vec<ImageId>> {
    let tops: Vec<Option<ImageColumn>> = connection
        .prepare_cached(TOPS)?
        .query_map([manifest], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if !tops.is_empty() {
        connection.prepare_cached("DELETE FROM v1_views WHERE manifest = ?1")?.execute([manifest])?;
    }
    Ok(tops.into_iter().flatten().map(|top| top.0).collect())
}

pub(super) fn not_viewed(
    connection: &Connection,
    repo: &RepoName,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<(u64, Digest)>> {
    let Some(repository) = repos::id(connection, repo)? else { return Ok(Vec::new()) };
    connection
        .prepare_cached(NOT_VIEWED)?
        .query_map((repository, integer(after), integer(limit)), |row| {
            Ok((unsigned(row, 0)?, row.get::<_, DigestColumn>(1)?.0))
        })?
        .collect()
}

pub(super) fn done(batch: &Batch<'_>, repo: &RepoName, number: u64) -> rusqlite::Result<()> {
    let Some(repository) = repos::id(batch.connection, repo)? else { return Ok(()) };
    batch
        .connection
        .prepare_cached("UPDATE tags SET viewed = 1 WHERE repository = ?1 AND viewed = 0 AND manifest <= ?2")?
        .execute((repository, integer(number)))
        .map(drop)
}

pub(super) fn tags(
    connection: &Connection,
    repo: &RepoName,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Option<Vec<ImageTag>>> {
    let Some(repository) = repos::id(connection, repo)? else { return Ok(None) };
    let tags: Vec<_> = connection
        .prepare_cached(TAGS)?
        .query_map((repository, after, integer(limit)), image_tag)?
        .collect::<rusqlite::Result<_>>()?;
    // What was emptied is as if it had never been, for those who speak of images.
    Ok((!tags.is_empty() || repos::has_something(connection, repository)?).then_some(tags))
}

pub(super) fn tag(connection: &Connection, repo: &RepoName, tag: &Tag) -> rusqlite::Result<Option<ImageTag>> {
    connection.prepare_cached(TAG)?.query_row((repo.as_str(), tag.as_str()), image_tag).optional()
}

pub(super) fn tag_set(
    connection: &Connection,
    repo: &RepoName,
    tag: &Tag,
) -> rusqlite::Result<Option<TagSet>> {
    connection
        .prepare_cached(TAG_SET)?
        .query_row((repo.as_str(), tag.as_str()), |row| {
            Ok(TagSet { at: Timestamp(row.get(0)?), agent: row.get(1)? })
        })
        .optional()
}

fn image_tag(row: &Row<'_>) -> rusqlite::Result<ImageTag> {
    let image: Option<ImageColumn> = row.get(2)?;
    Ok(ImageTag {
        tag: row.get(0)?,
        manifest: row.get::<_, DigestColumn>(1)?.0,
        image: image.map(|image| image.0),
        is_nothing: image.is_none() && row.get(3)?,
    })
}
