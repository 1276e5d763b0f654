//! What every [`MetaStore`] must do, as one function that runs every case on the engine it is given.
//!
//! The cases go through the trait only and use names of their own, so that they run on a store that holds other things. A case
//! that fails panics with its name in the backtrace.

#![expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a behaviour suite: a failed expectation is a failed test"
)]

mod access;
pub mod images;
mod jobs;
mod locks;
mod referrers;
mod search;
mod storages;
mod sweep;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher, Reference, RepoName, Tag, UploadId};

use super::access::TagLocks;
use super::storages::StorageId;
use super::{
    BlobContent, Deleted, MetaStore, NewBlob, NewManifest, PutManifest, StoredBlob, StoredManifest, UploadRow,
};
use crate::clock::Timestamp;

type Meta = Arc<dyn MetaStore>;

pub use self::storages::run as run_storages;

/// Runs every case that one storage is enough for; [`run_storages`] has the others.
pub async fn run(meta: Meta) {
    jobs::run(&meta).await;
    images::run(&meta).await;
    blobs_are_seen_through_links_only(&meta).await;
    small_blobs_live_in_the_row(&meta).await;
    a_blob_row_is_kept_when_it_is_there(&meta).await;
    mounting_needs_the_source_link(&meta).await;
    manifests_come_back_byte_for_byte(&meta).await;
    nothing_is_written_when_something_is_missing(&meta).await;
    content_may_be_missing_when_allowed(&meta).await;
    tags_move_and_go(&meta).await;
    deleting_a_manifest_takes_its_tags(&meta).await;
    the_last_media_type_counts_for_tags_too(&meta).await;
    tags_are_paged_in_byte_order(&meta).await;
    the_catalog_is_paged_in_byte_order(&meta).await;
    referrers::run(&meta).await;
    search::run(&meta).await;
    uploads_are_seen_at_once_and_end(&meta).await;
    old_uploads_are_found(&meta).await;
    a_blob_ends_its_upload(&meta).await;
    many_writers_of_one_thing_all_succeed(&meta).await;
    sweep::run(&meta).await;
    locks::run(&meta).await;
    access::run(&meta).await;
    verify::run(&meta).await;
    assert_eq!(meta.read_only(), None);
}

/// A repository name.
#[must_use]
pub fn repo(name: &str) -> RepoName {
    name.parse().expect("a repository name")
}

/// A tag.
#[must_use]
pub fn tag(name: &str) -> Tag {
    name.parse().expect("a tag")
}

/// A new upload session's name.
#[must_use]
pub fn upload_id() -> UploadId {
    UploadId::from_uuid(uuid::Uuid::new_v4())
}

/// A blob whose bytes are said to be in the blob store.
#[must_use]
pub fn blob(repo: &RepoName, content: &str) -> NewBlob {
    NewBlob {
        repo: repo.clone(),
        digest: Digest::sha256(content.as_bytes()),
        size: content.len() as u64,
        content: BlobContent::Stored { storage: StorageId::DEFAULT, location: None },
        upload: None,
        displaces: true,
        renew_from: None,
    }
}

/// A manifest without needs.
#[must_use]
pub fn manifest(repo: &RepoName, content: &str, tags: &[&str]) -> NewManifest {
    NewManifest {
        repo: repo.clone(),
        digest: Digest::sha256(content.as_bytes()),
        media_type: String::from("application/vnd.oci.image.manifest.v1+json"),
        bytes: Bytes::copy_from_slice(content.as_bytes()),
        tags: tags.iter().map(|name| tag(name)).collect(),
        image: None,
        locks: TagLocks::default(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        agent: String::new(),
        allow_missing: false,
    }
}

/// An upload session that stands at `offset`.
#[must_use]
pub fn upload(id: UploadId, repo: &RepoName, offset: u64) -> UploadRow {
    UploadRow {
        id,
        repo: repo.clone(),
        owner: String::from("alice"),
        storage: StorageId::DEFAULT,
        algorithm: Algorithm::Sha512,
        offset,
        hash_state: Hasher::new(Algorithm::Sha512).save(),
        buffered: Some(Bytes::from_static(b"\0some bytes\xff")),
        started: Timestamp(1_000_000),
        touched: Timestamp(2_000_000_000_000_000),
    }
}

async fn put(meta: &Meta, manifest: NewManifest) {
    assert_eq!(meta.put_manifest(manifest).await.expect("stored"), PutManifest::Stored);
}

/// Removes a tag that nothing holds. False: there was none.
async fn delete_tag(meta: &Meta, repo: &RepoName, tag: &Tag) -> bool {
    meta.delete_tag(repo, tag, &TagLocks::default()).await.expect("done") == Deleted::Done
}

/// The same for a manifest.
async fn delete_manifest(meta: &Meta, repo: &RepoName, digest: &Digest) -> bool {
    meta.delete_manifest(repo, digest, &TagLocks::default()).await.expect("done") == Deleted::Done
}

async fn by_tag(meta: &Meta, repo: &RepoName, name: &str) -> Option<Arc<StoredManifest>> {
    meta.manifest(repo, &Reference::Tag(tag(name))).await.expect("readable")
}

async fn by_digest(meta: &Meta, repo: &RepoName, digest: Digest) -> Option<Arc<StoredManifest>> {
    meta.manifest(repo, &Reference::Digest(digest)).await.expect("readable")
}

async fn get_blob(meta: &Meta, repo: &RepoName, digest: &Digest) -> Option<Arc<StoredBlob>> {
    meta.blob(repo, digest).await.expect("readable")
}

async fn blobs_are_seen_through_links_only(meta: &Meta) {
    let (a, b) = (repo("suite/links/a"), repo("suite/links/b"));
    let new = blob(&a, "seen through links");
    assert!(get_blob(meta, &a, &new.digest).await.is_none());
    assert!(!meta.repository_exists(&a).await.expect("readable"));
    assert_eq!(meta.tags(&a, None, 10).await.expect("readable"), None);
    meta.put_blob(new.clone()).await.expect("stored");
    assert!(meta.repository_exists(&a).await.expect("readable"));
    assert_eq!(
        meta.tags(&a, None, 10).await.expect("readable"),
        Some(Vec::new()),
        "a repository without tags"
    );
    let stored = get_blob(meta, &a, &new.digest).await.expect("linked");
    assert_eq!((stored.digest, stored.size, &stored.content), (new.digest, new.size, &new.content));
    assert!(get_blob(meta, &b, &new.digest).await.is_none(), "another repository");
    meta.put_blob(blob(&b, "something else")).await.expect("stored");
    assert!(get_blob(meta, &b, &new.digest).await.is_none(), "another repository that exists");
    assert!(meta.any_blob(StorageId::DEFAULT, &new.digest).await.expect("readable").is_some());
    assert_eq!(
        meta.repositories_with_blob(&new.digest, 9).await.expect("readable"),
        std::slice::from_ref(&a)
    );

    assert!(!meta.unlink_blob(&b, &new.digest).await.expect("done"));
    assert!(meta.unlink_blob(&a, &new.digest).await.expect("done"));
    assert!(!meta.unlink_blob(&a, &new.digest).await.expect("done"), "gone already");
    assert!(get_blob(meta, &a, &new.digest).await.is_none(), "no answer from memory");
    assert!(
        meta.any_blob(StorageId::DEFAULT, &new.digest).await.expect("readable").is_none(),
        "it was the last link"
    );
    meta.put_blob(new.clone()).await.expect("stored");
    assert!(get_blob(meta, &a, &new.digest).await.is_some(), "linked again");
}

async fn small_blobs_live_in_the_row(meta: &Meta) {
    let a = repo("suite/inline");
    for content in [&b""[..], b"\0\x01\xff small"] {
        let new = NewBlob {
            digest: Digest::of(Algorithm::Sha512, content),
            size: content.len() as u64,
            content: BlobContent::Inline(Bytes::copy_from_slice(content)),
            ..blob(&a, "")
        };
        meta.put_blob(new.clone()).await.expect("stored");
        for _ in 0..2 {
            assert_eq!(get_blob(meta, &a, &new.digest).await.expect("linked").content, new.content);
        }
    }
}

async fn a_blob_row_is_kept_when_it_is_there(meta: &Meta) {
    let (a, b) = (repo("suite/kept/a"), repo("suite/kept/b"));
    let located =
        BlobContent::Stored { storage: StorageId::DEFAULT, location: Some(String::from("some/where")) };
    let first = NewBlob { content: located.clone(), ..blob(&a, "kept") };
    meta.put_blob(first.clone()).await.expect("stored");
    meta.put_blob(blob(&b, "kept")).await.expect("stored");
    for name in [&a, &b] {
        assert_eq!(get_blob(meta, name, &first.digest).await.expect("linked").content, located);
    }
}

async fn mounting_needs_the_source_link(meta: &Meta) {
    let (from, to, other) = (repo("suite/mount/from"), repo("suite/mount/to"), repo("suite/mount/other"));
    let new = blob(&from, "mounted");
    assert!(
        !meta.mount_blob(&new.digest, &from, &to, StorageId::DEFAULT).await.expect("done"),
        "no such repository"
    );
    meta.put_blob(new.clone()).await.expect("stored");
    assert!(
        !meta.mount_blob(&new.digest, &other, &to, StorageId::DEFAULT).await.expect("done"),
        "a repository without the link"
    );
    assert!(!meta.repository_exists(&to).await.expect("readable"), "a refused mount makes nothing");
    assert!(meta.mount_blob(&new.digest, &from, &to, StorageId::DEFAULT).await.expect("done"));
    assert!(meta.mount_blob(&new.digest, &from, &to, StorageId::DEFAULT).await.expect("done"), "again");
    assert!(get_blob(meta, &to, &new.digest).await.is_some());
    assert!(meta.unlink_blob(&from, &new.digest).await.expect("done"));
    assert!(get_blob(meta, &to, &new.digest).await.is_some(), "a link of its own");
    assert!(
        !meta.mount_blob(&new.digest, &from, &other, StorageId::DEFAULT).await.expect("done"),
        "the source has let go"
    );
}

async fn manifests_come_back_byte_for_byte(meta: &Meta) {
    let a = repo("suite/manifests");
    let new = manifest(&a, "{ \"odd\" :\t\"spacing\" }\n", &["one", "Two"]);
    assert!(by_digest(meta, &a, new.digest).await.is_none());
    put(meta, new.clone()).await;
    // Twice: from the database and from memory.
    for _ in 0..2 {
        for found in [
            by_digest(meta, &a, new.digest).await,
            by_tag(meta, &a, "one").await,
            by_tag(meta, &a, "Two").await,
        ] {
            let found = found.expect("there");
            assert_eq!(
                (&found.bytes, &found.media_type, found.digest),
                (&new.bytes, &new.media_type, new.digest)
            );
        }
    }
    assert!(by_tag(meta, &a, "two").await.is_none(), "tags are told apart by case");
    assert!(by_digest(meta, &repo("suite/manifests/other"), new.digest).await.is_none());
    put(meta, new.clone()).await;
    assert_eq!(meta.tags(&a, None, 9).await.expect("readable"), Some(vec!["Two".into(), "one".into()]));
}

async fn nothing_is_written_when_something_is_missing(meta: &Meta) {
    let (a, b) = (repo("suite/missing/a"), repo("suite/missing/b"));
    let here = blob(&b, "here");
    let elsewhere = blob(&a, "elsewhere");
    meta.put_blob(elsewhere.clone()).await.expect("stored");
    let child = manifest(&b, "child", &[]);
    let new = NewManifest {
        blobs: vec![here.digest, elsewhere.digest],
        manifests: vec![child.digest],
        ..manifest(&b, "parent", &["latest"])
    };
    let answer = meta.put_manifest(new.clone()).await.expect("checked");
    assert_eq!(answer, PutManifest::Missing(vec![here.digest, elsewhere.digest, child.digest]));
    assert!(!meta.repository_exists(&b).await.expect("readable"));
    meta.put_blob(here.clone()).await.expect("stored");
    let answer = meta.put_manifest(new.clone()).await.expect("checked");
    assert_eq!(
        answer,
        PutManifest::Missing(vec![elsewhere.digest, child.digest]),
        "a blob of another repository"
    );
    assert_eq!(meta.tags(&b, None, 9).await.expect("readable"), Some(Vec::new()));
    assert!(by_digest(meta, &b, new.digest).await.is_none());
    assert!(meta.mount_blob(&elsewhere.digest, &a, &b, StorageId::DEFAULT).await.expect("done"));
    put(meta, child).await;
    put(meta, new.clone()).await;
    assert_eq!(by_tag(meta, &b, "latest").await.expect("there").digest, new.digest);
    // So many that they are looked at before the transaction.
    let many = (0..1000).map(|number: u32| Digest::sha256(&number.to_be_bytes())).collect::<Vec<_>>();
    let answer = meta.put_manifest(NewManifest { blobs: many.clone(), ..manifest(&b, "many", &[]) }).await;
    assert_eq!(answer.expect("checked"), PutManifest::Missing(many));
}

async fn content_may_be_missing_when_allowed(meta: &Meta) {
    let a = repo("suite/sparse");
    let gone = Digest::sha256(b"not there");
    let index = NewManifest {
        manifests: vec![gone],
        allow_missing: true,
        ..manifest(&a, "sparse index", &["sparse"])
    };
    put(meta, index.clone()).await;
    assert!(by_tag(meta, &a, "sparse").await.is_some());
    let image =
        NewManifest { blobs: vec![gone], manifests: Vec::new(), ..manifest(&a, "sparse image", &["image"]) };
    put(meta, NewManifest { allow_missing: true, ..image.clone() }).await;
    assert!(by_tag(meta, &a, "image").await.is_some());
    let strict = NewManifest { allow_missing: false, ..image };
    assert_eq!(
        meta.put_manifest(strict).await.expect("checked"),
        PutManifest::Missing(vec![gone]),
        "without leave, also what is there already"
    );
}

async fn tags_move_and_go(meta: &Meta) {
    let a = repo("suite/tags");
    let (first, second) = (manifest(&a, "first", &["x", "y"]), manifest(&a, "second", &["x"]));
    put(meta, first.clone()).await;
    assert_eq!(by_tag(meta, &a, "x").await.expect("there").digest, first.digest);
    put(meta, second.clone()).await;
    assert_eq!(by_tag(meta, &a, "x").await.expect("there").digest, second.digest, "no answer from memory");
    assert_eq!(by_tag(meta, &a, "y").await.expect("there").digest, first.digest);
    put(meta, manifest(&a, "first", &["x"])).await;
    assert_eq!(by_tag(meta, &a, "x").await.expect("there").digest, first.digest, "and back");
    assert!(delete_tag(meta, &a, &tag("x")).await);
    assert!(!delete_tag(meta, &a, &tag("x")).await);
    assert!(!delete_tag(meta, &repo("suite/tags/none"), &tag("x")).await);
    assert!(by_tag(meta, &a, "x").await.is_none());
    assert!(by_digest(meta, &a, first.digest).await.is_some(), "the manifest stays");
}

async fn deleting_a_manifest_takes_its_tags(meta: &Meta) {
    let a = repo("suite/deleted");
    let (gone, stays) = (manifest(&a, "gone", &["a", "b", "c"]), manifest(&a, "stays", &["b"]));
    let layer = blob(&a, "a layer");
    meta.put_blob(layer.clone()).await.expect("stored");
    let gone = NewManifest { blobs: vec![layer.digest], ..gone };
    put(meta, gone.clone()).await;
    put(meta, stays.clone()).await;
    for name in ["a", "b", "c"] {
        assert!(by_tag(meta, &a, name).await.is_some());
    }
    assert!(delete_manifest(meta, &a, &gone.digest).await);
    assert!(!delete_manifest(meta, &a, &gone.digest).await);
    assert!(by_digest(meta, &a, gone.digest).await.is_none());
    assert_eq!(meta.tags(&a, None, 9).await.expect("readable"), Some(vec!["b".into()]));
    assert!(by_tag(meta, &a, "a").await.is_none() && by_tag(meta, &a, "c").await.is_none());
    assert!(get_blob(meta, &a, &layer.digest).await.is_some(), "blobs stay");
    put(meta, gone.clone()).await;
    assert_eq!(by_tag(meta, &a, "b").await.expect("there").digest, gone.digest);
}

async fn the_last_media_type_counts_for_tags_too(meta: &Meta) {
    let a = repo("suite/retyped");
    put(meta, manifest(&a, "same bytes", &["t"])).await;
    assert!(by_tag(meta, &a, "t").await.is_some());
    let again =
        NewManifest { media_type: String::from("application/other+json"), ..manifest(&a, "same bytes", &[]) };
    put(meta, again.clone()).await;
    assert_eq!(by_tag(meta, &a, "t").await.expect("there").media_type, again.media_type);
    assert_eq!(by_digest(meta, &a, again.digest).await.expect("there").media_type, again.media_type);
}

async fn tags_are_paged_in_byte_order(meta: &Meta) {
    let a = repo("suite/pages");
    let mut names = ["0.1.20", "0.1.2", "B", "a", "_x", "v1", "v1.0", "v1-0", "V1", "v10"];
    put(meta, manifest(&a, "paged", &names)).await;
    names.sort_unstable();
    let all = meta.tags(&a, None, 100).await.expect("readable").expect("known");
    assert_eq!(all, names);
    for size in 1..=4 {
        let (mut pages, mut after) = (Vec::new(), None::<String>);
        while let Some(page) = meta.tags(&a, after.as_deref(), size).await.expect("readable") {
            assert!(page.len() <= size);
            after = page.last().cloned();
            pages.extend(page);
            if after.is_none() {
                break;
            }
        }
        assert_eq!(pages, names);
    }
    assert_eq!(meta.tags(&a, Some("b"), 2).await.expect("readable"), Some(vec!["v1".into(), "v1-0".into()]));
    assert_eq!(meta.tags(&a, None, 0).await.expect("readable"), Some(Vec::new()));
}

async fn the_catalog_is_paged_in_byte_order(meta: &Meta) {
    let mut names =
        ["suite-catalog/a", "suite-catalog/a-b", "suite-catalog/a/b", "suite-catalog/a.b", "suite-catalog/b"];
    for name in names {
        meta.put_blob(blob(&repo(name), "shared by the catalog")).await.expect("stored");
    }
    names.sort_unstable();
    let page = meta.catalog(Some("suite-catalog"), 5).await.expect("readable");
    assert_eq!(page, names);
    assert_eq!(meta.catalog(Some("suite-catalog/a.b"), 2).await.expect("readable"), names[3..]);
    let holders =
        meta.repositories_with_blob(&Digest::sha256(b"shared by the catalog"), 3).await.expect("readable");
    assert_eq!(holders.len(), 3);
    assert!(
        meta.catalog(None, 1)
            .await
            .expect("readable")
            .first()
            .is_some_and(|first| first.as_str() <= names[0])
    );
}

async fn uploads_are_seen_at_once_and_end(meta: &Meta) {
    let a = repo("suite/uploads");
    let id = upload_id();
    assert_eq!(meta.upload(&id).await.expect("readable"), None);
    assert!(!meta.delete_upload(&id).await.expect("done"));
    for offset in [0, 5, 1 << 40] {
        let row = upload(id, &a, offset);
        meta.save_upload_soon(row.clone()).expect("noted");
        assert_eq!(meta.upload(&id).await.expect("readable").as_ref(), Some(&row), "before it is written");
        meta.flush().await.expect("written");
        assert_eq!(meta.upload(&id).await.expect("readable"), Some(row), "after it is written");
    }
    let staged = UploadRow { buffered: None, algorithm: Algorithm::Sha256, ..upload(id, &a, 9) };
    meta.save_upload_soon(staged.clone()).expect("noted");
    meta.flush().await.expect("written");
    assert_eq!(meta.upload(&id).await.expect("readable"), Some(staged));
    assert!(!meta.repository_exists(&a).await.expect("readable"), "a session makes no repository");
    assert!(meta.delete_upload(&id).await.expect("done"));
    assert!(!meta.delete_upload(&id).await.expect("done"));
    assert_eq!(meta.upload(&id).await.expect("readable"), None);

    meta.save_upload_soon(upload(id, &a, 1)).expect("noted");
    assert!(meta.delete_upload(&id).await.expect("done"), "a session that was never written");
    assert_eq!(meta.upload(&id).await.expect("readable"), None);
    meta.flush().await.expect("written");
    assert_eq!(meta.upload(&id).await.expect("readable"), None, "and it does not come back");
}

async fn old_uploads_are_found(meta: &Meta) {
    let a = repo("suite/expired");
    let ids: Vec<UploadId> = (0..5).map(|_| upload_id()).collect();
    for (number, id) in (1..).zip(&ids) {
        meta.save_upload_soon(UploadRow { touched: Timestamp(number * 1000), ..upload(*id, &a, 0) })
            .expect("noted");
    }
    let found = meta.expired_uploads(Timestamp(4000), 100).await.expect("readable");
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), ids[..3]);
    assert_eq!(meta.expired_uploads(Timestamp(4000), 2).await.expect("readable").len(), 2);
    meta.save_upload_soon(upload(ids[0], &a, 0)).expect("noted");
    let found = meta.expired_uploads(Timestamp(4000), 100).await.expect("readable");
    assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), ids[1..3], "a session that was just used");
    for id in &ids {
        assert!(meta.delete_upload(id).await.expect("done"));
    }
    assert!(
        meta.expired_uploads(Timestamp(i64::MAX), 100).await.expect("readable").is_empty(),
        "nothing is left"
    );
}

async fn a_blob_ends_its_upload(meta: &Meta) {
    let a = repo("suite/ended");
    for written in [false, true] {
        let id = upload_id();
        meta.save_upload_soon(upload(id, &a, 3)).expect("noted");
        if written {
            meta.flush().await.expect("written");
        }
        let new = NewBlob { upload: Some(id), ..blob(&a, &format!("ended {written}")) };
        meta.put_blob(new.clone()).await.expect("stored");
        assert_eq!(meta.upload(&id).await.expect("readable"), None);
        meta.flush().await.expect("written");
        assert_eq!(meta.upload(&id).await.expect("readable"), None, "and it does not come back");
        assert!(get_blob(meta, &a, &new.digest).await.is_some());
    }
}

async fn many_writers_of_one_thing_all_succeed(meta: &Meta) {
    let a = repo("suite/crowd");
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..32_u32 {
        let (meta, a) = (Arc::clone(meta), a.clone());
        tasks.spawn(async move {
            meta.put_blob(blob(&a, "one blob")).await.expect("stored");
            let new = manifest(&a, &format!("crowd {number}"), &["latest"]);
            let (digest, subject) = (new.digest, Some(Digest::sha256(b"crowd")));
            put(&meta, NewManifest { subject, ..new }).await;
            assert!(by_tag(&meta, &a, "latest").await.is_some());
            digest
        });
    }
    let digests = tasks.join_all().await;
    let winner = by_tag(meta, &a, "latest").await.expect("there").digest;
    assert!(digests.contains(&winner));
    for _ in 0..3 {
        assert_eq!(by_tag(meta, &a, "latest").await.expect("there").digest, winner, "it stays");
    }
    let lines = meta.referrers(&a, &Digest::sha256(b"crowd"), &[], None, 100).await.expect("readable");
    assert_eq!(lines.referrers.len(), 32, "none is lost");
    assert_eq!(
        meta.repositories_with_blob(&Digest::sha256(b"one blob"), 9).await.expect("readable").len(),
        1
    );
}
