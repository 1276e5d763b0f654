//! Images that go from one repository into another, with the chain below them.
//!
//! Everything is looked at before anything is written: what refuses leaves both repositories as they were.

use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName};
use rusqlite::Connection;

use super::super::blobs::{self, Mountable};
use super::super::cache::Key;
use super::super::writer::Batch;
use super::super::{failure, repos};
use super::rows::{self, Head};
use crate::failpoint::Point;
use crate::meta::images::{ImageState, LinkImage};
use crate::meta::storages::StorageId;

const SAME: &str = "SELECT a.json = b.json AND a.layer IS b.layer AND a.ancestry = b.ancestry
     FROM v1_images a CROSS JOIN v1_images b WHERE a.id = ?1 AND b.id = ?2";
const COPY: &str = "INSERT INTO v1_images
        (repository, image, derived, state, parent, layer, size, compression, diff_id, payload, idle_since, ancestry, json)
     SELECT ?2, image, 0, ?3, parent, layer, size, compression, diff_id, payload, NULL, ancestry, json
     FROM v1_images WHERE id = ?1";

/// One image of the chain, and what is to be done about it.
struct Step {
    id: ImageId,
    /// Its row in the source; `None`: the target has it.
    copy: Option<i64>,
    /// Its layer, and the row of the blob to be linked; `None`: the target has that.
    layer: (Digest, Option<i64>),
}

pub(super) fn run(
    batch: &mut Batch<'_>,
    from: &RepoName,
    to: &RepoName,
    id: &ImageId,
    storage: StorageId,
) -> rusqlite::Result<LinkImage> {
    let steps = match plan(batch.connection, from, to, id, storage)? {
        Ok(steps) => steps,
        Err(refused) => return Ok(refused),
    };
    let repository = repos::id_or_new(batch, to)?;
    let mut to_settle = Vec::new();
    for Step { id, copy, layer: (digest, blob) } in &steps {
        if let Some(source) = copy {
            let before = rows::heads(batch.connection, repository, id)?;
            for head in &before {
                rows::remove(batch, to, repository, id, head)?;
            }
            batch.connection.prepare_cached(COPY)?.execute((source, repository, rows::COMPLETE))?;
            batch.touch(Key::Image(to.clone(), *id));
            to_settle.extend(before.iter().filter_map(|head| head.parent));
        }
        match blob {
            Some(blob) => blobs::link(batch, to, repository, digest, *blob)?,
            None => blobs::date_link(batch, to, repository, digest)?,
        }
        failure::hit(Point::ImageLinked)?;
    }
    for id in steps.iter().map(|step| &step.id).chain(&to_settle) {
        rows::settle(batch, to, repository, id, batch.now)?;
    }
    // Whoever is told that it is there may rely on it.
    rows::renew(batch, to, id)?;
    Ok(LinkImage::Linked)
}

/// What is to be done, base first.
fn plan(
    connection: &Connection,
    from: &RepoName,
    to: &RepoName,
    id: &ImageId,
    storage: StorageId,
) -> rusqlite::Result<Result<Vec<Step>, LinkImage>> {
    let Some(source) = repos::id(connection, from)? else { return Ok(Err(LinkImage::Unknown)) };
    let Some(top) = rows::complete_head(connection, source, id)? else { return Ok(Err(LinkImage::Unknown)) };
    let target = repos::id(connection, to)?;
    let (mut steps, mut elsewhere) = (Vec::new(), Vec::new());
    for id in rows::ancestry(connection, top.number)?.into_iter().rev() {
        let head = rows::complete_head(connection, source, &id)?;
        let Some(Head { number, layer: Some(layer), .. }) = head else { return Ok(Err(LinkImage::Unknown)) };
        let mut copy = Some(number);
        let mut has_layer = false;
        if let Some(target) = target {
            let there = rows::heads(connection, target, &id)?;
            if let Some(head) = there.iter().find(|head| head.state == ImageState::Complete) {
                copy = None;
                let mut same = connection.prepare_cached(SAME)?;
                if !same.query_row((number, head.number), |row| row.get::<_, bool>(0))? {
                    return Ok(Err(LinkImage::Differs(id)));
                }
            }
            has_layer = blobs::is_linked(connection, target, &layer)?;
        }
        let blob = match blobs::mountable(connection, source, &layer, storage)? {
            _ if has_layer => None,
            Mountable::Row(blob) => Some(blob),
            Mountable::Elsewhere => {
                elsewhere.push(layer);
                None
            }
            Mountable::Missing => return Ok(Err(LinkImage::Unknown)),
        };
        steps.push(Step { id, copy, layer: (layer, blob) });
    }
    if !elsewhere.is_empty() {
        elsewhere.sort_unstable();
        elsewhere.dedup();
        return Ok(Err(LinkImage::Elsewhere(elsewhere)));
    }
    Ok(Ok(steps))
}
