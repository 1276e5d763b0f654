//! Images of the v1 API, their views, and the tags under which v1 knows them.
//!
//! `rows` has the steps of a push and what holds an image, `views` what ties images to manifests and tags, `link` what goes from one
//! repository into another, `idle` what the sweep removes.

mod idle;
mod link;
mod rows;
mod views;

use std::sync::Arc;

use async_trait::async_trait;
use gantry_oci::v1::ImageId;
use gantry_oci::{Digest, RepoName, Tag};

pub(super) use self::idle::{below, candidates, facts, remove as remove_idle};
pub(super) use self::rows::{is_complete, names_layer, settle};
pub(super) use self::views::{add as add_view, remove as remove_views};
use super::SqliteMeta;
use super::cache::{Key, KeyRef, Value};
use crate::error::Result;
use crate::meta::images::{
    BeginImage, DerivedImage, ImageLayer, ImageRows, ImageStep, ImageTag, LinkImage, NewImage, StoredImage,
    TagSet, View,
};
use crate::meta::storages::StorageId;

/// The statements on the hot paths; a test looks at their query plans.
#[cfg(test)]
pub(super) const HOT_SQL: &[&str] = &[
    rows::GET,
    rows::HEADS,
    rows::IS_PARENT,
    rows::NAMES,
    idle::IDLE,
    views::FIRST,
    views::OF_TOP,
    views::TOPS,
    views::NOT_VIEWED,
    views::TAGS,
    views::TAG,
    views::TAG_SET,
];

#[async_trait]
impl ImageRows for SqliteMeta {
    async fn image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Arc<StoredImage>>> {
        let ask = KeyRef::Image(repo.as_str(), id);
        if let Some(Value::Image(image)) = self.shared.cache.get(ask) {
            return Ok(Some(image));
        }
        let ticket = self.shared.cache.begin_read(ask);
        let (repo, id) = (repo.clone(), *id);
        let key = Key::Image(repo.clone(), id);
        let found = self.readers.read("reading an image", move |c| rows::get(c, &repo, &id)).await?;
        let found = found.map(Arc::new);
        if let (Some(ticket), Some(image)) = (ticket, &found) {
            self.shared.cache.end_read(ticket, key, Value::Image(Arc::clone(image)));
        }
        Ok(found)
    }

    async fn repositories_with_image(&self, id: &ImageId, limit: usize) -> Result<Vec<RepoName>> {
        let ask = KeyRef::Homes(id);
        let right = |value| match value {
            Value::Homes { repos, limit: read_for } if read_for == limit => Some(repos.to_vec()),
            _ => None,
        };
        if let Some(found) = self.shared.cache.answer(ask, right) {
            return Ok(found);
        }
        let ticket = self.shared.cache.begin_read(ask);
        let id = *id;
        let found =
            self.readers.read("looking for an image", move |c| rows::repositories(c, &id, limit)).await?;
        // That an id is nowhere is not kept: whoever makes ids up would push out what is asked for.
        if let (Some(ticket), [_, ..]) = (ticket, &found[..]) {
            let value = Value::Homes { repos: found.as_slice().into(), limit };
            self.shared.cache.end_read(ticket, Key::Homes(id), value);
        }
        Ok(found)
    }

    async fn begin_image(&self, image: NewImage) -> Result<BeginImage> {
        self.writer.run("beginning an image", None, move |batch| rows::begin(batch, &image)).await
    }

    async fn put_image_layer(
        &self,
        repo: &RepoName,
        id: &ImageId,
        generation: u64,
        layer: ImageLayer,
    ) -> Result<ImageStep> {
        let (repo, id) = (repo.clone(), *id);
        self.writer
            .run("storing an image's layer", None, move |batch| {
                rows::put_layer(batch, &repo, &id, generation, &layer)
            })
            .await
    }

    async fn complete_image(
        &self,
        repo: &RepoName,
        id: &ImageId,
        generation: u64,
        layer: &Digest,
    ) -> Result<ImageStep> {
        let (repo, id, layer) = (repo.clone(), *id, *layer);
        self.writer
            .run("completing an image", None, move |batch| {
                rows::complete(batch, &repo, &id, generation, &layer)
            })
            .await
    }

    async fn link_image(
        &self,
        from: &RepoName,
        to: &RepoName,
        id: &ImageId,
        storage: StorageId,
    ) -> Result<LinkImage> {
        let (from, to, id) = (from.clone(), to.clone(), *id);
        self.writer
            .run("linking an image", None, move |batch| link::run(batch, &from, &to, &id, storage))
            .await
    }

    async fn renew_image(&self, repo: &RepoName, id: &ImageId) -> Result<bool> {
        let (repo, id) = (repo.clone(), *id);
        self.writer.run("renewing a promise", None, move |batch| rows::renew(batch, &repo, &id)).await
    }

    async fn view(&self, repo: &RepoName, manifest: &Digest) -> Result<Option<View>> {
        let (repo, manifest) = (repo.clone(), *manifest);
        self.readers.read("reading a view", move |c| views::first(c, &repo, &manifest)).await
    }

    async fn manifest_of_image(&self, repo: &RepoName, id: &ImageId) -> Result<Option<Digest>> {
        let (repo, id) = (repo.clone(), *id);
        self.readers.read("reading a view", move |c| views::of_top(c, &repo, &id)).await
    }

    async fn put_view(&self, repo: &RepoName, manifest: &Digest, images: Vec<DerivedImage>) -> Result<()> {
        let (repo, manifest) = (repo.clone(), *manifest);
        self.writer
            .run("storing a view", None, move |batch| views::put(batch, &repo, &manifest, &images))
            .await
    }

    async fn without_view(&self, repo: &RepoName, after: u64, limit: usize) -> Result<Vec<(u64, Digest)>> {
        let repo = repo.clone();
        self.readers.read("looking for manifests", move |c| views::not_viewed(c, &repo, after, limit)).await
    }

    async fn views_done(&self, repo: &RepoName, number: u64) -> Result<()> {
        let repo = repo.clone();
        self.writer.run("storing a view", None, move |batch| views::done(batch, &repo, number)).await
    }

    async fn image_tags(
        &self,
        repo: &RepoName,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<ImageTag>>> {
        let (repo, after) = (repo.clone(), after.unwrap_or_default().to_owned());
        self.readers.read("listing tags", move |c| views::tags(c, &repo, &after, limit)).await
    }

    async fn image_tag(&self, repo: &RepoName, tag: &Tag) -> Result<Option<ImageTag>> {
        let (repo, tag) = (repo.clone(), tag.clone());
        self.readers.read("reading a tag", move |c| views::tag(c, &repo, &tag)).await
    }

    async fn tag_set(&self, repo: &RepoName, tag: &Tag) -> Result<Option<TagSet>> {
        let (repo, tag) = (repo.clone(), tag.clone());
        self.readers.read("reading a tag", move |c| views::tag_set(c, &repo, &tag)).await
    }
}
