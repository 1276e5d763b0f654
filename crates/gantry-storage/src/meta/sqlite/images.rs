//! Images of the v1 API, their views, and the tags under which v1 knows them.

use std::sync::Arc;

use async_trait::async_trait;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName, Tag};

use super::SqliteMeta;
use crate::error::Result;
use crate::meta::images::{
    BeginImage, DerivedImage, ImageLayer, ImageRows, ImageStep, ImageTag, LinkImage, NewImage, StoredImage,
    View,
};
use crate::meta::storages::StorageId;

#[async_trait]
#[expect(unused_variables, clippy::todo, reason = "under construction")]
impl ImageRows for SqliteMeta {
    async fn image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Arc<StoredImage>>> {
        todo!()
    }

    async fn repositories_with_image(&self, id: &ImageId, limit: usize) -> Result<Vec<RepoName>> {
        todo!()
    }

    async fn begin_image(&self, image: NewImage) -> Result<BeginImage> {
        todo!()
    }

    async fn put_image_layer(
        &self,
        repo: &RepoName,
        id: &ImageId,
        generation: u64,
        layer: ImageLayer,
    ) -> Result<ImageStep> {
        todo!()
    }

    async fn complete_image(&self, repo: &RepoName, id: &ImageId, generation: u64) -> Result<ImageStep> {
        todo!()
    }

    async fn link_image(
        &self,
        from: &RepoName,
        to: &RepoName,
        id: &ImageId,
        storage: StorageId,
    ) -> Result<LinkImage> {
        todo!()
    }

    async fn renew_image(&self, repo: &RepoName, id: &ImageId) -> Result<bool> {
        todo!()
    }

    async fn view(&self, repo: &RepoName, manifest: &Digest) -> Result<Option<View>> {
        todo!()
    }

    async fn manifest_of_image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Digest>> {
        todo!()
    }

    async fn put_view(&self, repo: &RepoName, manifest: &Digest, images: Vec<DerivedImage>) -> Result<()> {
        todo!()
    }

    async fn without_view(&self, repo: &RepoName, after: u64, limit: usize) -> Result<Vec<(u64, Digest)>> {
        todo!()
    }

    async fn views_done(&self, repo: &RepoName, number: u64) -> Result<()> {
        todo!()
    }

    async fn image_tags(
        &self,
        repo: &RepoName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<ImageTag>>> {
        todo!()
    }

    async fn image_tag(&self, repo: &RepoName, tag: &Tag) -> Result<Option<ImageTag>> {
        todo!()
    }
}
