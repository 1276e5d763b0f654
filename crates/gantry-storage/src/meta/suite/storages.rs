//! Several storages: a blob has a row in each, a repository one link, and links go over.

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};

use super::{Meta, blob, get_blob, manifest, put, repo, upload, upload_id};
use crate::meta::storages::{Link, LinkCursor, Relink, Relinked, StorageId};
use crate::meta::{BlobContent, NewBlob, NewManifest, UploadRow};

const DEFAULT: StorageId = StorageId::DEFAULT;

/// Runs every case that takes a second storage.
pub async fn run(meta: Meta, other: StorageId) {
    the_same_bytes_in_two_storages_are_two_blobs(&meta, other).await;
    no_entry_of_freed_bytes_is_taken_for_another(&meta, other).await;
    a_mount_stays_within_a_storage(&meta, other).await;
    a_push_takes_its_link_along(&meta, other).await;
    a_push_that_began_elsewhere_leaves_the_link(&meta, other).await;
    a_push_heals_its_storage_and_the_rows(&meta, other).await;
    links_go_over_one_by_one(&meta, other).await;
    links_are_found_below_whole_components(&meta).await;
    sessions_remember_their_storage(&meta, other).await;
}

fn stored_in(storage: StorageId, new: NewBlob) -> NewBlob {
    NewBlob { content: BlobContent::Stored { storage, location: None }, ..new }
}

fn inline(repo: &RepoName, content: &'static str) -> NewBlob {
    NewBlob { content: BlobContent::Inline(Bytes::from_static(content.as_bytes())), ..blob(repo, content) }
}

async fn storage_of(meta: &Meta, repo: &RepoName, digest: &Digest) -> Option<StorageId> {
    // Twice: from the database and from memory.
    let first = get_blob(meta, repo, digest).await.map(|blob| blob.content.storage());
    assert_eq!(get_blob(meta, repo, digest).await.map(|blob| blob.content.storage()), first);
    first
}

/// What the sweep will remove: storage and digest.
async fn freed(meta: &Meta, digest: &Digest) -> Vec<StorageId> {
    let all = meta.freed_blobs(0, 10_000).await.expect("readable");
    all.into_iter().filter(|freed| freed.digest == *digest).map(|freed| freed.storage).collect()
}

async fn the_same_bytes_in_two_storages_are_two_blobs(meta: &Meta, other: StorageId) {
    let (a, b) = (repo("suite/two/a"), repo("suite/two/b"));
    let new = blob(&a, "in both");
    meta.put_blob(new.clone()).await.expect("stored");
    assert!(meta.any_blob(other, &new.digest).await.expect("readable").is_none());
    meta.put_blob(stored_in(other, blob(&b, "in both"))).await.expect("stored");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT));
    assert_eq!(storage_of(meta, &b, &new.digest).await, Some(other));
    assert_eq!(meta.repositories_with_blob(&new.digest, 9).await.expect("readable").len(), 2);
    let holders = meta.blob_holders(other, &new.digest, 9).await.expect("readable");
    assert_eq!(holders, std::slice::from_ref(&b));
    assert_eq!(meta.stored_blobs(other, vec![new.digest]).await.expect("readable"), [true]);

    assert!(meta.hide_blob(other, &new.digest).await.expect("done"));
    assert_eq!(storage_of(meta, &b, &new.digest).await, None, "damaged there");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT), "and whole here");
    assert!(!meta.show_blob(DEFAULT, &new.digest).await.expect("done"));
    assert!(meta.show_blob(other, &new.digest).await.expect("done"));

    assert!(meta.unlink_blob(&b, &new.digest).await.expect("done"));
    assert_eq!(freed(meta, &new.digest).await, [other]);
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT));
    meta.free_bytes(DEFAULT, &new.digest, new.size, None).await.expect("done");
    assert_eq!(freed(meta, &new.digest).await, [other], "what has a row is not freed");
    assert!(meta.unlink_blob(&a, &new.digest).await.expect("done"));
    assert_eq!(freed(meta, &new.digest).await, [other, DEFAULT]);
}

async fn no_entry_of_freed_bytes_is_taken_for_another(meta: &Meta, other: StorageId) {
    let mut last = 0;
    for content in ["one", "two"] {
        let digest = Digest::sha256(content.as_bytes());
        meta.free_bytes(other, &digest, 3, None).await.expect("noted");
        let entry = meta.freed_blobs(last, 9).await.expect("readable").pop().expect("an entry");
        assert!(entry.number > last, "whoever forgets an entry late forgets no later one");
        last = entry.number;
        meta.forget_freed(vec![entry]).await.expect("forgotten");
    }
}

async fn a_mount_stays_within_a_storage(meta: &Meta, other: StorageId) {
    let (from, to, third) = (repo("suite/across/from"), repo("suite/across/to"), repo("suite/across/third"));
    let (large, small) = (blob(&from, "large"), inline(&from, "small"));
    meta.put_blob(large.clone()).await.expect("stored");
    meta.put_blob(small.clone()).await.expect("stored");
    assert!(
        !meta.mount_blob(&large.digest, &from, &to, other).await.expect("done"),
        "its bytes are elsewhere"
    );
    assert!(get_blob(meta, &to, &large.digest).await.is_none());
    assert!(meta.mount_blob(&small.digest, &from, &to, other).await.expect("done"), "rows are everywhere");
    assert!(get_blob(meta, &to, &small.digest).await.is_some());
    meta.put_blob(stored_in(other, blob(&third, "large"))).await.expect("stored");
    assert!(meta.mount_blob(&large.digest, &from, &to, other).await.expect("done"), "the bytes are there");
    assert_eq!(storage_of(meta, &to, &large.digest).await, Some(other));
    assert!(!meta.mount_blob(&large.digest, &repo("suite/across/none"), &to, other).await.expect("done"));
}

async fn a_push_takes_its_link_along(meta: &Meta, other: StorageId) {
    let (a, b) = (repo("suite/along/a"), repo("suite/along/b"));
    let new = blob(&a, "pushed again after a move");
    meta.put_blob(new.clone()).await.expect("stored");
    meta.put_blob(blob(&b, "pushed again after a move")).await.expect("stored");
    put(meta, NewManifest { blobs: vec![new.digest], ..manifest(&a, "along", &["v1"]) }).await;
    meta.put_blob(stored_in(other, new.clone())).await.expect("stored");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(other));
    let link = get_blob(meta, &a, &new.digest).await.expect("linked");
    assert_eq!(link.unreferenced_since, None, "a manifest names it");
    assert_eq!(storage_of(meta, &b, &new.digest).await, Some(DEFAULT));
    assert!(freed(meta, &new.digest).await.is_empty(), "another repository holds the first");
    meta.put_blob(stored_in(other, blob(&b, "pushed again after a move"))).await.expect("stored");
    assert_eq!(freed(meta, &new.digest).await, [DEFAULT]);
}

async fn a_push_that_began_elsewhere_leaves_the_link(meta: &Meta, other: StorageId) {
    let (a, b) = (repo("suite/began/a"), repo("suite/began/b"));
    let new = stored_in(other, blob(&a, "moved while it was pushed"));
    meta.put_blob(new.clone()).await.expect("stored");
    let late = NewBlob { displaces: false, ..blob(&a, "moved while it was pushed") };
    meta.put_blob(late.clone()).await.expect("stored");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(other));
    assert_eq!(freed(meta, &new.digest).await, [DEFAULT], "nobody wants these bytes");
    // Where there is no link, or a damaged one, it is as good as any.
    meta.put_blob(NewBlob { repo: b.clone(), ..late.clone() }).await.expect("stored");
    assert_eq!(storage_of(meta, &b, &new.digest).await, Some(DEFAULT));
    assert!(meta.hide_blob(other, &new.digest).await.expect("done"));
    meta.put_blob(late).await.expect("stored");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT));
}

async fn a_push_heals_its_storage_and_the_rows(meta: &Meta, other: StorageId) {
    let (a, b, c) = (repo("suite/heals/a"), repo("suite/heals/b"), repo("suite/heals/c"));
    let new = blob(&a, "broken everywhere");
    meta.put_blob(new.clone()).await.expect("stored");
    meta.put_blob(stored_in(other, blob(&b, "broken everywhere"))).await.expect("stored");
    for storage in [DEFAULT, other] {
        assert!(meta.hide_blob(storage, &new.digest).await.expect("done"));
    }
    meta.put_blob(blob(&c, "broken everywhere")).await.expect("stored");
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT), "the same storage");
    assert_eq!(storage_of(meta, &b, &new.digest).await, None, "another is another");
    // The limit below which bytes live in rows was raised.
    meta.put_blob(inline(&c, "broken everywhere")).await.expect("stored");
    assert_eq!(storage_of(meta, &b, &new.digest).await, Some(StorageId::ROWS), "a row heals everybody");
    assert_eq!(storage_of(meta, &c, &new.digest).await, Some(StorageId::ROWS));
    assert_eq!(storage_of(meta, &a, &new.digest).await, Some(DEFAULT), "which was whole");
    assert_eq!(freed(meta, &new.digest).await, [other]);
}

/// All links below a prefix.
async fn links(meta: &Meta, prefix: &str) -> Vec<Link> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = meta.links_below(prefix, after, 2).await.expect("readable");
        assert!(page.links.len() <= 2);
        found.extend(page.links);
        after = match page.next {
            Some(next) => Some(next),
            None => return found,
        };
    }
}

async fn links_go_over_one_by_one(meta: &Meta, other: StorageId) {
    let (a, b) = (repo("suite/over/a"), repo("suite/over/b"));
    let contents = ["first", "second", "third", "fourth"];
    for content in contents {
        meta.put_blob(blob(&a, content)).await.expect("stored");
        meta.put_blob(blob(&b, content)).await.expect("stored");
    }
    meta.put_blob(inline(&a, "in a row")).await.expect("stored");
    let found = links(meta, "suite/over").await;
    assert_eq!(found.len(), 9);
    let mut moves: Vec<_> = found
        .into_iter()
        .filter(|link| link.storage == DEFAULT && link.repo == a)
        .map(|link| Relink { link, to: other, location: None, copied: true })
        .collect();
    assert_eq!(moves.len(), 4);
    let digests: Vec<_> = moves.iter().map(|one| one.link.digest).collect();
    // Of one nothing was copied, one was deleted meanwhile.
    moves[1].copied = false;
    assert!(meta.unlink_blob(&a, &digests[2]).await.expect("done"));
    assert_eq!(storage_of(meta, &a, &digests[0]).await, Some(DEFAULT), "in memory from now on");
    for one in moves.iter().filter(|one| one.copied) {
        meta.free_bytes(other, &one.link.digest, one.link.size, None).await.expect("noted");
    }
    let done = meta.relink(moves.clone()).await.expect("done");
    assert_eq!(done, Relinked { moved: 2, changed: 2 });
    assert_eq!(storage_of(meta, &a, &digests[0]).await, Some(other));
    assert_eq!(storage_of(meta, &a, &digests[1]).await, Some(DEFAULT));
    assert_eq!(storage_of(meta, &b, &digests[0]).await, Some(DEFAULT), "not below the prefix");
    assert_eq!(freed(meta, &digests[2]).await, [other], "copied for nobody");
    assert!(freed(meta, &digests[0]).await.is_empty());
    assert_eq!(meta.relink(moves).await.expect("done"), Relinked { moved: 0, changed: 4 }, "once more");
    assert_eq!(storage_of(meta, &a, &digests[0]).await, Some(other));

    // The other repository follows: the bytes are there, and the old ones go.
    assert!(meta.has_blob(other, &digests[0]).await.expect("readable"));
    let follow = links(meta, "suite/over/b").await.into_iter().find(|link| link.digest == digests[0]);
    let follow = Relink { link: follow.expect("linked"), to: other, location: None, copied: false };
    assert_eq!(meta.relink(vec![follow]).await.expect("done"), Relinked { moved: 1, changed: 0 });
    assert_eq!(storage_of(meta, &b, &digests[0]).await, Some(other));
    assert_eq!(freed(meta, &digests[0]).await, [DEFAULT]);
}

async fn links_are_found_below_whole_components(meta: &Meta) {
    for name in
        ["suite/under", "suite/under/a", "suite/under/a/b", "suite/under-a", "suite/undera", "suite/unde"]
    {
        meta.put_blob(blob(&repo(name), name)).await.expect("stored");
    }
    let names = |links: Vec<Link>| links.into_iter().map(|link| link.repo.to_string()).collect::<Vec<_>>();
    let below = names(links(meta, "suite/under").await);
    assert_eq!(below, ["suite/under", "suite/under/a", "suite/under/a/b"]);
    assert_eq!(names(links(meta, "suite/under/a/b").await), ["suite/under/a/b"]);
    assert!(names(links(meta, "").await).len() > 6, "everything");
    let behind = LinkCursor { repo: String::from("suite/under/a"), blob: i64::MAX };
    let page = meta.links_below("suite/under", Some(behind), 9).await.expect("readable");
    assert_eq!(names(page.links), ["suite/under/a/b"]);
}

async fn sessions_remember_their_storage(meta: &Meta, other: StorageId) {
    let id = upload_id();
    let row = UploadRow { storage: other, ..upload(id, &repo("suite/session/storage"), 4) };
    meta.save_upload_soon(row.clone()).expect("noted");
    assert_eq!(meta.upload(&id).await.expect("readable"), Some(row.clone()));
    meta.flush().await.expect("written");
    assert_eq!(meta.upload(&id).await.expect("readable"), Some(row));
    assert!(meta.delete_upload(&id).await.expect("done"));
}
