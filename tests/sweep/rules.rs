//! What goes and what stays.

use serde_json::json;

use super::{file_of, lapse, promising, sweep};
use crate::harness::{Alg, Blob, Manifest, image, index, types};

/// Bytes in a file, which shows when they are freed.
fn large() -> Blob {
    Blob::new(50_000)
}

#[tokio::test]
async fn blobs_that_no_manifest_names_go_after_the_grace_period() {
    let app = promising("400ms").start().await;
    let repo = app.repo();
    let (named, unnamed, small) = (large(), large(), Blob::new(100));
    for blob in [&named, &unnamed, &small] {
        repo.push_blob(blob).await;
    }
    let built = image().layers(types::OCI_LAYER, std::slice::from_ref(&named)).build();
    repo.push("1", &built).await;

    let early = sweep(&app).await;
    assert_eq!(early.with_fate("removed"), Vec::<String>::new(), "they were promised just now");
    lapse(400).await;
    let late = sweep(&app).await;
    let mut expected = vec![unnamed.digest.clone(), small.digest.clone()];
    expected.sort();
    assert_eq!(late.with_fate("removed"), expected);
    assert_eq!((late.count("links"), late.count("blobs"), late.count("files")), (2, 2, 1));
    assert_eq!(late.count("bytes"), 50_100);
    repo.lacks_blob(&unnamed.digest).await;
    repo.lacks_blob(&small.digest).await;
    repo.has_blob(&named).await;
    assert!(!file_of(&app, &unnamed.digest).parent().expect("a directory").exists(), "nothing stays behind");
    assert!(file_of(&app, &named.digest).exists());
    repo.has_manifest("1", &built.manifest).await;

    // Pushed again, they are there again.
    repo.push_blob(&unnamed).await;
    repo.push_blob(&small).await;
    repo.has_blob(&unnamed).await;
    repo.has_blob(&small).await;
}

#[tokio::test]
async fn a_deleted_image_leaves_what_others_name() {
    let app = promising("300ms").start().await;
    let repo = app.repo();
    let (shared, own) = (large(), large());
    let first = image().layers(types::OCI_LAYER, &[shared.clone(), own.clone()]).build();
    let second = image().layers(types::OCI_LAYER, std::slice::from_ref(&shared)).build();
    repo.push("first", &first).await;
    repo.push("second", &second).await;
    lapse(300).await;
    repo.client.delete(&repo.manifest(first.digest())).await.status(202);
    assert_eq!(sweep(&app).await.count("links"), 0, "the grace period begins with the deletion");
    repo.has_blob(&own).await;
    lapse(300).await;
    // The HEAD and GET just above were promises too, but they lapsed as well.
    let told = sweep(&app).await;
    assert_eq!(told.count("links"), 2, "its layer and its configuration");
    repo.lacks_blob(&own.digest).await;
    repo.has_blob(&shared).await;
    repo.has_manifest("second", &second.manifest).await;
}

#[tokio::test]
async fn a_tag_alone_holds_nothing_when_it_goes_and_untagged_manifests_stay() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let built = image().build();
    repo.push("only", &built).await;
    repo.client.delete(&repo.manifest("only")).await.status(202);
    lapse(200).await;
    let told = sweep(&app).await;
    assert_eq!(told.items, Vec::<serde_json::Value>::new());
    repo.has_manifest(built.digest(), &built.manifest).await;
}

#[tokio::test]
async fn untagged_manifests_go_when_the_operator_says_so() {
    let app = promising("200ms").set("sweep.untagged", "\"200ms\"").start().await;
    let repo = app.repo();
    let (moved, tagged) = (image().build(), image().build());
    let (child, by_digest) = (image().build(), image().build());
    let list = index(Alg::Sha256, std::slice::from_ref(&child), &json!({}));
    repo.push("t", &moved).await;
    repo.push("list", &list).await;
    repo.push_by_digest(&by_digest).await;
    repo.push("t", &tagged).await;
    let subject = tagged.descriptor();
    let signature = image().artifact("x/signature").subject(&subject).build();
    repo.push_by_digest(&signature).await;
    lapse(200).await;
    // A client that is told of it may rely on it.
    repo.client.head(&repo.manifest(by_digest.digest())).await.status(200);
    let told = sweep(&app).await;
    assert_eq!(told.with_fate("removed"), [moved.digest()]);
    assert_eq!(told.count("manifests"), 1);
    repo.lacks_manifest(moved.digest()).await;
    for kept in [&tagged, &child, &list, &signature, &by_digest] {
        repo.client.get(&repo.manifest(kept.digest())).await.status(200);
    }
    lapse(200).await;
    let told = sweep(&app).await;
    assert!(told.with_fate("removed").contains(&by_digest.digest().to_owned()));
    // Without its index the child has no name left.
    repo.client.delete(&repo.manifest(list.digest())).await.status(202);
    lapse(200).await;
    assert!(sweep(&app).await.with_fate("removed").contains(&child.digest().to_owned()));
    for kept in [&tagged, &signature] {
        repo.client.get(&repo.manifest(kept.digest())).await.status(200);
    }
}

#[tokio::test]
async fn referrers_follow_their_deleted_subject() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let subject = image().build();
    repo.push("t", &subject).await;
    let signature = image().artifact("x/signature").subject(&subject.descriptor()).build();
    let of_signature = image().artifact("x/of-signature").subject(&signature.descriptor()).build();
    let named = image().artifact("x/named").subject(&subject.descriptor()).build();
    repo.push_by_digest(&signature).await;
    repo.push_by_digest(&of_signature).await;
    repo.push("kept", &named).await;
    // The subject of this one never was there: some tools push the referrer first.
    let missing = Manifest::of(Alg::Sha256, types::OCI_MANIFEST, "{}");
    let early = image().artifact("x/early").subject(&missing.descriptor()).build();
    repo.push_by_digest(&early).await;

    repo.client.delete(&repo.manifest(subject.digest())).await.status(202);
    assert_eq!(sweep(&app).await.count("referrers"), 0, "not before the grace period");
    lapse(200).await;
    let told = sweep(&app).await;
    assert_eq!(told.count("referrers"), 1);
    assert!(told.with_fate("removed").contains(&signature.digest().to_owned()));
    repo.lacks_manifest(signature.digest()).await;
    lapse(200).await;
    assert_eq!(sweep(&app).await.count("referrers"), 1, "and what refers to it");
    repo.lacks_manifest(of_signature.digest()).await;
    repo.has_manifest("kept", &named.manifest).await;
    repo.has_manifest(early.digest(), &early.manifest).await;
    lapse(200).await;
    let told = sweep(&app).await;
    let left: Vec<_> = told.items.iter().filter(|item| item["kind"] != "link").collect();
    assert_eq!(left.len(), 1, "a tag names it still: {left:?}");
}

#[tokio::test]
async fn a_referrer_that_is_pushed_after_its_subject_was_deleted_stays_for_the_grace_period() {
    let app = promising("600ms").start().await;
    let repo = app.repo();
    let subject = image().build();
    repo.push("t", &subject).await;
    let early = image().artifact("x/early").subject(&subject.descriptor()).build();
    let late = image().artifact("x/late").subject(&subject.descriptor()).build();
    repo.push_by_digest(&early).await;
    repo.client.delete(&repo.manifest(subject.digest())).await.status(202);
    lapse(600).await;
    repo.push_by_digest(&late).await;
    assert_eq!(sweep(&app).await.count("referrers"), 0, "it was acknowledged a moment ago");
    repo.has_manifest(late.digest(), &late.manifest).await;
    lapse(600).await;
    assert_eq!(sweep(&app).await.count("referrers"), 2);
}

#[tokio::test]
async fn a_referrer_whose_tag_goes_after_its_subject_follows_it() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let subject = image().build();
    repo.push("t", &subject).await;
    let signature = image().artifact("x/signature").subject(&subject.descriptor()).build();
    repo.push("signature", &signature).await;
    repo.client.delete(&repo.manifest(subject.digest())).await.status(202);
    lapse(200).await;
    assert_eq!(sweep(&app).await.count("referrers"), 0, "a tag names it");
    repo.client.delete(&repo.manifest("signature")).await.status(202);
    assert_eq!(sweep(&app).await.count("referrers"), 1);
    repo.lacks_manifest(signature.digest()).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_removed_does_not_keep_the_others() {
    let app = promising("10s").start().await;
    let repo = app.repo();
    let (stuck, plain) = (large(), large());
    for blob in [&stuck, &plain] {
        repo.push_blob(blob).await;
    }
    let file = file_of(&app, &stuck.digest);
    std::fs::remove_file(&file).expect("removed");
    std::fs::create_dir(&file).expect("something odd in its place");
    for blob in [&stuck, &plain] {
        repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
    }
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!file_of(&app, &plain.digest).exists());
}

#[tokio::test]
async fn a_file_goes_also_when_its_blob_came_back_into_a_row() {
    let mut app = promising("10s").variable("GANTRY__LIMITS__INLINE_BLOB", "1KiB").start().await;
    let repo = app.repo();
    let (name, blob) = (repo.name.clone(), Blob::new(3_000));
    repo.push_blob(&blob).await;
    repo.client.delete(&repo.blob(&blob.digest)).await.status(202);
    app.without_variables().restart().await;
    let repo = app.client().at(&name);
    repo.push_blob(&blob).await;
    assert_eq!(sweep(&app).await.count("files"), 1);
    assert!(!file_of(&app, &blob.digest).exists());
    repo.has_blob(&blob).await;
}

#[tokio::test]
async fn a_subject_that_comes_back_keeps_its_referrers() {
    let app = promising("200ms").start().await;
    let repo = app.repo();
    let subject = image().build();
    repo.push("t", &subject).await;
    let signature = image().artifact("x/signature").subject(&subject.descriptor()).build();
    repo.push_by_digest(&signature).await;
    repo.client.delete(&repo.manifest(subject.digest())).await.status(202);
    repo.push("t", &subject).await;
    lapse(200).await;
    assert_eq!(sweep(&app).await.count("referrers"), 0);
    assert_eq!(repo.referrers(subject.digest()).await.len(), 1);
}

#[tokio::test]
async fn an_upload_under_way_keeps_what_its_repository_was_promised() {
    let app = promising("3s").start().await;
    let (repo, other) = (app.repo(), app.repo());
    let (first, second, unrelated) = (large(), Blob::new(90_000), large());
    let location = repo.start_upload().await;
    repo.push_blob(&first).await;
    other.push_blob(&unrelated).await;
    // A slow client: the session lives for longer than the grace period, a piece now and then.
    for piece in 0..6 {
        let bytes = second.bytes.slice(piece * 15_000..(piece + 1) * 15_000);
        repo.client.patch(&location, bytes).await.status(202);
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    }
    let told = sweep(&app).await;
    assert_eq!(told.with_fate("kept"), [first.digest.as_str()]);
    assert!(told.report["kept"].to_string().contains("an upload into its repository is under way"));
    other.lacks_blob(&unrelated.digest).await;
    repo.client.put(&format!("{location}?digest={}", second.digest), "").await.status(201);
    // What was promised when it began holds on after its end.
    assert_eq!(sweep(&app).await.count("links"), 0);
    let built = image().layers(types::OCI_LAYER, &[first.clone(), second.clone()]).build();
    repo.push_blob(&built.blobs[0]).await;
    repo.push_manifest("slow", &built.manifest).await;
    repo.has_blob(&first).await;
    repo.has_blob(&second).await;
}

#[tokio::test]
async fn a_mount_is_a_promise_in_the_repository_that_asked() {
    let app = promising("300ms").start().await;
    let (from, to) = (app.repo(), app.repo());
    let blob = large();
    from.push_blob(&blob).await;
    lapse(300).await;
    let mount = format!("{}?mount={}&from={}", to.uploads(), blob.digest, from.name);
    to.client.post(&mount).await.status(201);
    let told = sweep(&app).await;
    assert_eq!((told.count("links"), told.count("blobs")), (1, 0), "only the link of the source");
    from.lacks_blob(&blob.digest).await;
    to.has_blob(&blob).await;
    lapse(300).await;
    to.client.post(&mount).await.status(201);
    assert_eq!(sweep(&app).await.count("links"), 0, "being there already is a promise too");
    to.has_blob(&blob).await;
}
