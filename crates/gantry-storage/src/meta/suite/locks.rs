//! Tags that may not be moved or removed (N-19).

use std::sync::Arc;

use super::{Meta, by_digest, by_tag, manifest, put, repo, tag};
use crate::meta::access::{LockedTag, TagLocks};
use crate::meta::{Deleted, NewManifest, PutManifest};

pub(super) async fn run(meta: &Meta) {
    a_held_tag_stays_where_it_is(meta).await;
    a_manifest_under_a_held_tag_stays(meta).await;
    of_two_pushes_of_a_held_tag_one_wins(meta).await;
}

fn locks(patterns: &[&str]) -> TagLocks {
    TagLocks(patterns.iter().map(|text| text.parse().expect("a pattern")).collect())
}

fn locked(name: &str, pattern: &str) -> LockedTag {
    LockedTag { tag: tag(name), pattern: pattern.parse().expect("a pattern") }
}

async fn a_held_tag_stays_where_it_is(meta: &Meta) {
    let a = repo("suite/locks/tags");
    let held = locks(&["release", "v*"]);
    let push = async |content: &str, tags: &[&str]| {
        let new = NewManifest { locks: held.clone(), ..manifest(&a, content, tags) };
        meta.put_manifest(new).await.expect("decided")
    };
    let delete = async |name: &str| meta.delete_tag(&a, &tag(name), &held).await.expect("decided");
    assert_eq!(delete("v1").await, Deleted::Unknown, "no repository");
    assert_eq!(push("one", &["v1", "latest"]).await, PutManifest::Stored, "new tags are free");
    assert_eq!(push("one", &["v1", "latest"]).await, PutManifest::Stored, "the same digest is no move");
    let retyped = NewManifest {
        media_type: String::from("application/other+json"),
        locks: held.clone(),
        ..manifest(&a, "one", &["v1"])
    };
    assert_eq!(meta.put_manifest(retyped).await.expect("decided"), PutManifest::Stored);
    let one = by_tag(meta, &a, "v1").await.expect("there").digest;

    // All or nothing: neither the manifest nor the tags that are free.
    let before = meta.tags(&a, None, 100).await.expect("readable");
    assert_eq!(push("two", &["latest", "new", "v1"]).await, PutManifest::Locked(locked("v1", "v*")));
    assert_eq!(meta.tags(&a, None, 100).await.expect("readable"), before);
    for name in ["v1", "latest"] {
        assert_eq!(by_tag(meta, &a, name).await.expect("there").digest, one);
    }
    let two = manifest(&a, "two", &[]).digest;
    assert!(by_digest(meta, &a, two).await.is_none());
    assert_eq!(push("two", &["latest", "v2"]).await, PutManifest::Stored);
    assert_eq!(push("one", &["v2"]).await, PutManifest::Locked(locked("v2", "v*")), "a known manifest too");

    assert_eq!(delete("v1").await, Deleted::Locked(locked("v1", "v*")));
    assert_eq!(delete("v3").await, Deleted::Unknown, "nothing to hold");
    assert!(by_tag(meta, &a, "v1").await.is_some());
    assert_eq!(delete("latest").await, Deleted::Done);
    // Whom the rule does not bind.
    let free = TagLocks::default();
    put(meta, manifest(&a, "two", &["v1"])).await;
    assert_eq!(by_tag(meta, &a, "v1").await.expect("there").digest, two);
    assert_eq!(meta.delete_tag(&a, &tag("v1"), &free).await.expect("decided"), Deleted::Done);
    assert_eq!(push("one", &["v1"]).await, PutManifest::Stored, "free once it is gone");
}

async fn a_manifest_under_a_held_tag_stays(meta: &Meta) {
    let a = repo("suite/locks/manifests");
    let held = locks(&["v?"]);
    let new = manifest(&a, "held by its tag", &["latest", "v1", "v10"]);
    put(meta, new.clone()).await;
    let delete = async |locks: &TagLocks| {
        let deleted = meta.delete_manifest(&a, &new.digest, locks).await;
        deleted.expect("decided")
    };
    assert_eq!(delete(&held).await, Deleted::Locked(locked("v1", "v?")));
    assert!(by_digest(meta, &a, new.digest).await.is_some());
    assert_eq!(meta.tags(&a, None, 9).await.expect("readable").map(|tags| tags.len()), Some(3));
    assert_eq!(meta.delete_tag(&a, &tag("v1"), &TagLocks::default()).await.expect("decided"), Deleted::Done);
    assert_eq!(delete(&held).await, Deleted::Done, "its other tags are free");
    assert_eq!(delete(&held).await, Deleted::Unknown);
    let unknown = repo("suite/locks/unknown");
    let deleted = meta.delete_manifest(&unknown, &new.digest, &held).await;
    assert_eq!(deleted.expect("decided"), Deleted::Unknown);
}

async fn of_two_pushes_of_a_held_tag_one_wins(meta: &Meta) {
    let a = repo("suite/locks/race");
    for round in 0..10 {
        let name = format!("v{round}");
        let mut tasks = tokio::task::JoinSet::new();
        for pusher in 0..6 {
            let content = format!("round {round} of {pusher}");
            let new = NewManifest { locks: locks(&["v*"]), ..manifest(&a, &content, &[&name]) };
            let meta = Arc::clone(meta);
            tasks.spawn(async move { (meta.put_manifest(new.clone()).await.expect("decided"), new.digest) });
        }
        let outcomes = tasks.join_all().await;
        let winners: Vec<_> =
            outcomes.iter().filter(|(outcome, _)| *outcome == PutManifest::Stored).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert_eq!(by_tag(meta, &a, &name).await.expect("there").digest, winners[0].1);
    }
}
