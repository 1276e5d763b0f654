//! Checks: what is damaged is hidden for everybody, and storing it again shows it to everybody.

use std::collections::BTreeMap;

use bytes::Bytes;
use gantry_oci::{Digest, Reference};

use super::{Meta, blob, by_digest, by_tag, get_blob, manifest, put, repo};
use crate::clock::Timestamp;
use crate::meta::storages::StorageId;
use crate::meta::verify::{BlobRow, Damaged, RowBytes, Walk};
use crate::meta::{BlobContent, NewBlob, NewManifest, PutManifest};

pub(super) async fn run(meta: &Meta) {
    a_hidden_blob_is_nowhere_until_it_is_stored_again(meta).await;
    rows_that_are_right_are_not_hidden(meta).await;
    walks_go_by_number_and_by_age(meta).await;
    what_a_manifest_names_and_is_not_there_is_told(meta).await;
    assert_eq!(meta.check_structure(10).await.expect("readable"), Vec::<String>::new());
    assert_eq!(meta.damaged().await.expect("readable"), Damaged::default());
}

async fn a_hidden_blob_is_nowhere_until_it_is_stored_again(meta: &Meta) {
    let (a, b, c) = (repo("suite/hidden/a"), repo("suite/hidden/b"), repo("suite/hidden/c"));
    let new = blob(&a, "to be hidden");
    let digest = new.digest;
    meta.put_blob(new.clone()).await.expect("stored");
    assert!(meta.mount_blob(&digest, &a, &b, StorageId::DEFAULT).await.expect("done"));
    for name in [&a, &b] {
        assert!(get_blob(meta, name, &digest).await.expect("linked").verified_at > Timestamp(0));
    }
    let state = meta.blob_state(StorageId::DEFAULT, &digest).await.expect("readable").expect("a row");
    assert_eq!((state.size, state.damaged_at), (new.size, None));
    assert!(meta.hide_blob(StorageId::DEFAULT, &digest).await.expect("done"));
    assert!(!meta.hide_blob(StorageId::DEFAULT, &digest).await.expect("done"), "hidden already");
    for name in [&a, &b] {
        assert!(get_blob(meta, name, &digest).await.is_none(), "no answer from memory");
    }
    assert!(meta.any_blob(StorageId::DEFAULT, &digest).await.expect("readable").is_none());
    assert!(meta.repositories_with_blob(&digest, 9).await.expect("readable").is_empty());
    assert_eq!(meta.blob_holders(StorageId::DEFAULT, &digest, 9).await.expect("readable").len(), 2);
    assert!(!meta.mount_blob(&digest, &a, &c, StorageId::DEFAULT).await.expect("done"));
    let image = NewManifest { blobs: vec![digest], ..manifest(&a, "names the hidden", &[]) };
    assert_eq!(
        meta.put_manifest(image.clone()).await.expect("done"),
        PutManifest::Missing(vec![digest]),
        "so that the client uploads it"
    );
    assert_eq!(meta.damaged().await.expect("readable"), Damaged { blobs: 1, manifests: 0 });

    meta.put_blob(blob(&c, "to be hidden")).await.expect("stored");
    for name in [&a, &b, &c] {
        assert!(get_blob(meta, name, &digest).await.is_some(), "whole for everybody");
    }
    put(meta, image).await;

    // Hidden again, and its bytes turn out to be right.
    assert!(meta.hide_blob(StorageId::DEFAULT, &digest).await.expect("done"));
    assert!(meta.show_blob(StorageId::DEFAULT, &digest).await.expect("done"));
    assert!(get_blob(meta, &a, &digest).await.is_some());
}

async fn rows_that_are_right_are_not_hidden(meta: &Meta) {
    let gone = Digest::sha256(b"never stored");
    assert!(!meta.hide_blob(StorageId::DEFAULT, &gone).await.expect("done"));
    assert_eq!(meta.blob_state(StorageId::DEFAULT, &gone).await.expect("readable"), None);
    let a = repo("suite/right");
    let content = b"right bytes";
    let small = NewBlob {
        digest: Digest::sha256(content),
        content: BlobContent::Inline(Bytes::from_static(content)),
        size: content.len() as u64,
        ..blob(&a, "")
    };
    meta.put_blob(small.clone()).await.expect("stored");
    put(meta, manifest(&a, "{\"right\":true}", &["v1"])).await;
    let digest = by_tag(meta, &a, "v1").await.expect("there").digest;
    assert!(!meta.hide_inline_blob(&small.digest).await.expect("done"));
    assert!(!meta.hide_manifest(&a, &digest).await.expect("done"));
    assert!(get_blob(meta, &a, &small.digest).await.is_some());
    assert!(by_digest(meta, &a, digest).await.is_some());
    assert!(meta.manifest(&a, &Reference::Digest(digest)).await.expect("readable").is_some());
}

async fn walks_go_by_number_and_by_age(meta: &Meta) {
    let a = repo("suite/walks");
    let mut expected = BTreeMap::new();
    for number in 0..7 {
        let new = blob(&a, &format!("walked {number}"));
        expected.insert(new.digest.to_string(), false);
        meta.put_blob(new).await.expect("stored");
    }
    put(meta, manifest(&a, "{\"walked\":true}", &[])).await;
    let mut walk = Walk::EVERYTHING;
    let mut seen = 0;
    loop {
        let rows = meta.blobs_to_verify(walk, 3).await.expect("readable");
        let Some(last) = rows.last() else { break };
        walk = walk.behind(last.verified_at, last.id);
        for row in &rows {
            let found = row.content.as_ref().expect("a row that can be read");
            assert!(!matches!(found.bytes, RowBytes::Inline { whole: false }));
            if let Some(seen) = expected.get_mut(&found.digest.to_string()) {
                assert!(!*seen, "each once");
                *seen = true;
            }
            seen += 1;
        }
    }
    assert!(seen >= 7 && expected.values().all(|seen| *seen));

    let now = meta.now();
    assert!(
        meta.blobs_to_verify(Walk::due(Timestamp(1)), 9).await.expect("readable").is_empty(),
        "what was just stored is not due"
    );
    let later = Timestamp(now.0 + 3_600_000_000);
    let oldest = meta.blobs_to_verify(Walk::due(later), 2).await.expect("readable");
    let ids: Vec<_> = oldest.iter().map(|row| row.id).collect();
    let name = |row: &BlobRow| (row.storage, row.digest);
    let digests = oldest.iter().map(|row| name(row.content.as_ref().expect("a row"))).collect();
    meta.note_verified(digests, Vec::new()).await.expect("noted");
    let next = meta.blobs_to_verify(Walk::due(later), 2).await.expect("readable");
    assert!(next.iter().all(|row| !ids.contains(&row.id)), "others are older now");

    let oldest = meta.manifests_to_verify(Walk::due(later), 1).await.expect("readable");
    meta.note_verified(Vec::new(), vec![oldest[0].id]).await.expect("noted");
    let next = meta.manifests_to_verify(Walk::due(later), 1).await.expect("readable");
    assert_ne!(next[0].id, oldest[0].id);
    assert!(next[0].content.as_ref().expect("a row").whole);
}

async fn what_a_manifest_names_and_is_not_there_is_told(meta: &Meta) {
    let a = repo("suite/dangling");
    let (there, missing, child) =
        (blob(&a, "there"), Digest::sha256(b"no such blob"), Digest::sha256(b"no such manifest"));
    meta.put_blob(there.clone()).await.expect("stored");
    let sparse = NewManifest {
        blobs: vec![there.digest, missing],
        manifests: vec![child],
        allow_missing: true,
        ..manifest(&a, "{\"sparse\":true}", &[])
    };
    put(meta, sparse.clone()).await;
    let edges = meta.dangling_edges(0, i64::MAX, 1000).await.expect("readable");
    let mut of_ours: Vec<_> = edges
        .iter()
        .filter(|edge| edge.manifest == sparse.digest)
        .map(|edge| (edge.is_manifest, edge.target))
        .collect();
    of_ours.sort_by_key(|(is_manifest, _)| *is_manifest);
    assert_eq!(of_ours, [(false, missing), (true, child)]);
}
