//! Images that go from one repository into another, with the chain below them.

use gantry_oci::RepoName;
use gantry_oci::v1::ImageId;

use super::super::writer::Batch;
use crate::meta::images::LinkImage;
use crate::meta::storages::StorageId;

#[expect(unused_variables, clippy::todo, reason = "under construction")]
pub(super) fn run(
    batch: &mut Batch<'_>,
    from: &RepoName,
    to: &RepoName,
    id: &ImageId,
    storage: StorageId,
) -> rusqlite::Result<LinkImage> {
    todo!()
}
