//! What holds an image, what goes when nothing does, and what goes along into another repository.

use std::collections::BTreeSet;
use std::time::Duration;

use gantry_oci::{Digest, RepoName};

use super::{
    begun, complete, derived, id, image, is_named, json, layer, layer_of, manifest_of, push_image, put_layer,
};
use crate::lease::{Reason, Terms, Verdict};
use crate::meta::access::{LockedTag, TagLocks};
use crate::meta::images::{ImageState, ImageStep, LinkImage, NewImage};
use crate::meta::storages::StorageId;
use crate::meta::suite::{
    Meta, blob, by_digest, by_tag, delete_manifest, delete_tag, get_blob, manifest, put, repo, tag, upload,
    upload_id,
};
use crate::meta::{Candidate, CandidateKind, Deleted, NewManifest, Sweep, Swept};

/// No promise holds.
const AT_ONCE: Terms = Terms { grace: Duration::ZERO };
/// Every promise holds.
const LATER: Terms = Terms { grace: Duration::from_secs(3600) };

pub(super) async fn run(meta: &Meta) {
    an_image_is_held_by_what_stands_on_it(meta).await;
    a_manifest_holds_the_image_that_it_is_made_of(meta).await;
    a_chain_goes_from_its_top(meta).await;
    what_is_idle_is_kept_by_promises_and_uploads(meta).await;
    a_removed_image_lets_its_layer_go(meta).await;
    derived_images_hold_what_was_pushed_under_their_ids(meta).await;
    a_chain_goes_along_into_another_repository(meta).await;
    a_link_is_refused_whole(meta).await;
    a_link_makes_room_and_renews(meta).await;
    a_repository_is_emptied_at_once(meta).await;
    a_held_tag_keeps_its_repository(meta).await;
}

async fn candidates(meta: &Meta, repo: &RepoName) -> Vec<Candidate> {
    let all = meta.candidates(CandidateKind::Image, AT_ONCE.cutoff(meta.now()), None, 100_000).await;
    all.expect("readable").into_iter().filter(|candidate| candidate.repo == *repo).collect()
}

async fn decide(meta: &Meta, candidates: Vec<Candidate>, terms: Terms, dry_run: bool) -> Vec<Swept> {
    let sweep = Sweep { candidates, terms, uploading: BTreeSet::new(), dry_run };
    meta.sweep(sweep).await.expect("swept")
}

/// All candidates of the repository, decided about.
pub(super) async fn sweep(meta: &Meta, repo: &RepoName, terms: Terms) -> Vec<Swept> {
    decide(meta, candidates(meta, repo).await, terms, false).await
}

fn verdicts(swept: &[Swept]) -> Vec<Verdict> {
    swept.iter().map(|swept| swept.verdict).collect()
}

/// Those of these images that are there.
async fn there<'a>(meta: &Meta, repo: &RepoName, names: &[&'a str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if image(meta, repo, name).await.is_some() {
            found.push(*name);
        }
    }
    found
}

async fn is_idle(meta: &Meta, repo: &RepoName, name: &str) -> bool {
    image(meta, repo, name).await.expect("there").idle_since.is_some()
}

async fn an_image_is_held_by_what_stands_on_it(meta: &Meta) {
    let a = repo("suite/held/children");
    push_image(meta, &a, "h base", None).await;
    let alone = candidates(meta, &a).await;
    assert_eq!(alone.len(), 1);
    assert_eq!(alone[0].digest, Digest::sha256(b"h base"), "its id");
    assert_eq!(alone[0].size, json("h base").len() as u64);
    push_image(meta, &a, "h child", Some("h base")).await;
    assert!(!is_idle(meta, &a, "h base").await && is_idle(meta, &a, "h child").await);
    // Found before its child came, decided about after.
    assert_eq!(verdicts(&decide(meta, alone, AT_ONCE, false).await), [Verdict::Keep(Reason::Held)]);
    assert_eq!(there(meta, &a, &["h base", "h child"]).await.len(), 2);
}

async fn a_manifest_holds_the_image_that_it_is_made_of(meta: &Meta) {
    let a = repo("suite/held/views");
    push_image(meta, &a, "v base", None).await;
    push_image(meta, &a, "v top", Some("v base")).await;
    let new = manifest_of(meta, &a, "held by it", &["t"], &["v base", "v top"]).await;
    put(meta, NewManifest { image: Some(id("v top")), ..new.clone() }).await;
    assert!(!is_idle(meta, &a, "v top").await);
    assert!(sweep(meta, &a, AT_ONCE).await.is_empty());
    // The tag goes, the manifest stays, and with it what it is made of.
    assert!(delete_tag(meta, &a, &tag("t")).await);
    assert!(sweep(meta, &a, AT_ONCE).await.is_empty());
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert!(is_idle(meta, &a, "v top").await);
    assert_eq!(verdicts(&sweep(meta, &a, LATER).await), [Verdict::Keep(Reason::Promised)]);
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove; 2]);
    assert!(there(meta, &a, &["v base", "v top"]).await.is_empty());
}

async fn a_chain_goes_from_its_top(meta: &Meta) {
    let a = repo("suite/held/chain");
    let chain = ["c one", "c two", "c three", "c four", "c other"];
    let [one, two, three, four, other] = chain;
    for (name, parent) in
        [(one, None), (two, Some(one)), (three, Some(two)), (four, Some(three)), (other, Some(one))]
    {
        push_image(meta, &a, name, parent).await;
    }
    let since = image(meta, &a, other).await.expect("there").idle_since;
    let found = candidates(meta, &a).await;
    assert_eq!(found.len(), 2, "the tops");
    let dry = decide(meta, found.clone(), AT_ONCE, true).await;
    assert_eq!(there(meta, &a, &chain).await.len(), 5, "a dry run changes nothing");
    let swept = decide(meta, found[..1].to_vec(), AT_ONCE, false).await;
    assert_eq!(dry[..3], swept[..], "what it told of this one came true");
    let names: Vec<_> = swept.iter().map(|swept| swept.candidate.digest).collect();
    assert_eq!(names, [four, three, two].map(|name| Digest::sha256(name.as_bytes())));
    assert_eq!(there(meta, &a, &chain).await, [one, other]);
    assert!(!is_idle(meta, &a, one).await, "another image stands on it");
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove; 2]);
    assert!(there(meta, &a, &chain).await.is_empty());

    // What a child leaves by being begun anew elsewhere has a date of its own.
    push_image(meta, &a, one, None).await;
    push_image(meta, &a, two, None).await;
    begun(meta, &a, three, Some(one)).await;
    begun(meta, &a, three, Some(two)).await;
    assert!(image(meta, &a, one).await.expect("there").idle_since > since);
}

async fn what_is_idle_is_kept_by_promises_and_uploads(meta: &Meta) {
    let a = repo("suite/held/promises");
    let generation = begun(meta, &a, "p", None).await;
    let dates = async || image(meta, &a, "p").await.expect("there").idle_since.expect("idle");
    let first = dates().await;
    assert!(meta.renew_image(&a, &id("p")).await.expect("there"));
    let second = dates().await;
    assert!(second > first);
    meta.put_blob(blob(&a, &layer_of("p"))).await.expect("stored");
    assert_eq!(put_layer(meta, &a, "p", generation, &layer_of("p")).await, ImageStep::Done);
    assert!(dates().await > second, "a step of the push renews it");
    let session = upload(upload_id(), &a, 1);
    meta.save_upload_soon(session.clone()).expect("saved");
    meta.flush().await.expect("written");
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Keep(Reason::UploadUnderWay)]);
    assert!(meta.delete_upload(&session.id).await.expect("deleted"));
    let late = candidates(meta, &a).await;
    assert_eq!(complete(meta, &a, "p", generation).await, ImageStep::Done);
    assert_eq!(verdicts(&decide(meta, late.clone(), AT_ONCE, false).await), [Verdict::Remove]);
    assert_eq!(
        verdicts(&decide(meta, late, AT_ONCE, false).await),
        [Verdict::Keep(Reason::Referenced)],
        "gone"
    );
    assert!(!meta.renew_image(&a, &id("p")).await.expect("decided"));

    // What is held has no date to be renewed.
    push_image(meta, &a, "q base", None).await;
    push_image(meta, &a, "q", Some("q base")).await;
    assert!(meta.renew_image(&a, &id("q base")).await.expect("decided"));
    assert!(!is_idle(meta, &a, "q base").await);

    // The next of this name is another image.
    let again = begun(meta, &a, "p", None).await;
    assert!(again > generation);
    assert_eq!(put_layer(meta, &a, "p", generation, &layer_of("p")).await, ImageStep::Stale);
}

async fn a_removed_image_lets_its_layer_go(meta: &Meta) {
    let a = repo("suite/held/layers");
    push_image(meta, &a, "l one", None).await;
    assert!(is_named(meta, &a, &layer_of("l one")).await);
    // A manifest names the same layer.
    let new = manifest_of(meta, &a, "names a layer", &["t"], &["l one"]).await;
    put(meta, new.clone()).await;
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert!(is_named(meta, &a, &layer_of("l one")).await, "the image still does");
    put(meta, new.clone()).await;
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove]);
    assert!(is_named(meta, &a, &layer_of("l one")).await, "now the manifest does");
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert!(!is_named(meta, &a, &layer_of("l one")).await);

    // The sweep keeps what an image names, also when it was found before.
    let all = meta.candidates(CandidateKind::Link, AT_ONCE.cutoff(meta.now()), None, 100_000).await;
    let found: Vec<_> = all.expect("readable").into_iter().filter(|link| link.repo == a).collect();
    assert_eq!(found.len(), 1);
    push_image(meta, &a, "l one", None).await;
    let kept = decide(meta, found, AT_ONCE, false).await;
    assert_eq!(verdicts(&kept), [Verdict::Keep(Reason::Referenced)]);
}

async fn derived_images_hold_what_was_pushed_under_their_ids(meta: &Meta) {
    let a = repo("suite/held/derived");
    push_image(meta, &a, "both base", None).await;
    push_image(meta, &a, "both top", Some("both base")).await;
    let pushed = image(meta, &a, "both top").await.expect("there");
    let new = manifest_of(meta, &a, "derives both", &["t"], &["both base", "both top"]).await;
    put(meta, new.clone()).await;
    let chain = || ["both base", "both top"].map(derived).to_vec();
    meta.put_view(&a, &new.digest, chain()).await.expect("stored");
    let found = image(meta, &a, "both top").await.expect("there");
    assert!(found.derived && found.idle_since.is_none(), "the derived one counts");
    assert!(sweep(meta, &a, AT_ONCE).await.is_empty(), "the view holds both");
    assert!(delete_manifest(meta, &a, &new.digest).await);
    let found = image(meta, &a, "both top").await.expect("there");
    assert!(!found.derived && found.idle_since > pushed.idle_since);
    assert_eq!(found.generation, pushed.generation);
    let base = image(meta, &a, "both base").await.expect("there");
    assert!(base.derived, "what was pushed stands on whichever there is");
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove; 2]);
    assert!(there(meta, &a, &["both base", "both top"]).await.is_empty());

    // Also what is not the top.
    push_image(meta, &a, "both base", None).await;
    put(meta, new.clone()).await;
    meta.put_view(&a, &new.digest, chain()).await.expect("stored");
    assert!(candidates(meta, &a).await.is_empty());
    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove]);

    // What v1 pushed on top of a derived image takes that along when it goes.
    put(meta, new.clone()).await;
    meta.put_view(&a, &new.digest, chain()).await.expect("stored");
    push_image(meta, &a, "on both", Some("both top")).await;
    assert!(delete_manifest(meta, &a, &new.digest).await);
    let names = ["both base", "both top", "on both"];
    assert_eq!(there(meta, &a, &names).await, names);
    assert_eq!(verdicts(&sweep(meta, &a, AT_ONCE).await), [Verdict::Remove]);
    assert!(there(meta, &a, &names).await.is_empty());
    assert!(!is_named(meta, &a, &layer_of("both base")).await);
}

async fn link(meta: &Meta, from: &RepoName, to: &RepoName, name: &str) -> LinkImage {
    meta.link_image(from, to, &id(name), StorageId::DEFAULT).await.expect("decided")
}

async fn a_chain_goes_along_into_another_repository(meta: &Meta) {
    let (from, to) = (RepoName::staging("carol of the suite"), repo("suite/held/link/to"));
    push_image(meta, &from, "k base", None).await;
    push_image(meta, &from, "k top", Some("k base")).await;
    for _ in 0..2 {
        assert_eq!(link(meta, &from, &to, "k top").await, LinkImage::Linked);
    }
    for name in ["k base", "k top"] {
        let (mut here, mut there) =
            (image(meta, &from, name).await.expect("there"), image(meta, &to, name).await.expect("linked"));
        assert!(is_named(meta, &to, &layer_of(name)).await);
        (here.generation, there.generation) = (0, 0);
        (here.idle_since, there.idle_since) = (None, None);
        assert_eq!(here, there);
    }
    assert!(is_idle(meta, &to, "k top").await && !is_idle(meta, &to, "k base").await);
    assert_eq!(verdicts(&sweep(meta, &from, AT_ONCE).await), [Verdict::Remove; 2]);
    assert_eq!(there(meta, &to, &["k base", "k top"]).await.len(), 2, "they are its own");

    // Derived images are as good as pushed ones there.
    let (of, over) = (repo("suite/held/link/derived"), repo("suite/held/link/over"));
    let new = manifest_of(meta, &of, "to be linked", &["t"], &["kd base", "kd top"]).await;
    put(meta, new.clone()).await;
    meta.put_view(&of, &new.digest, ["kd base", "kd top"].map(derived).to_vec()).await.expect("stored");
    push_image(meta, &of, "kd on top", Some("kd top")).await;
    assert_eq!(link(meta, &of, &over, "kd on top").await, LinkImage::Linked);
    assert!(delete_manifest(meta, &of, &new.digest).await);
    let found = image(meta, &over, "kd base").await.expect("linked");
    assert_eq!((found.derived, found.state, found.json), (false, ImageState::Complete, json("kd base")));
    assert!(get_blob(meta, &over, &derived("kd base").layer).await.is_some());
    assert_eq!(link(meta, &over, &over, "kd on top").await, LinkImage::Linked, "where it is");
}

async fn a_link_is_refused_whole(meta: &Meta) {
    let (from, to) = (repo("suite/held/refused/from"), repo("suite/held/refused/to"));
    assert_eq!(link(meta, &from, &to, "r top").await, LinkImage::Unknown);
    push_image(meta, &from, "r base", None).await;
    push_image(meta, &from, "r top", Some("r base")).await;
    begun(meta, &from, "r unfinished", Some("r top")).await;
    assert_eq!(link(meta, &from, &to, "r unfinished").await, LinkImage::Unknown);
    let elsewhere = meta.link_image(&from, &to, &id("r top"), StorageId(77)).await.expect("decided");
    let mut layers = ["r base", "r top"].map(|name| layer(&layer_of(name)).digest).to_vec();
    layers.sort_unstable();
    assert_eq!(elsewhere, LinkImage::Elsewhere(layers));
    assert!(!meta.repository_exists(&to).await.expect("readable"), "a refusal makes nothing");

    // The same id with another layer, and with another JSON.
    meta.put_blob(blob(&to, "another layer")).await.expect("stored");
    let generation = begun(meta, &to, "r base", None).await;
    assert_eq!(put_layer(meta, &to, "r base", generation, "another layer").await, ImageStep::Done);
    assert_eq!(complete(meta, &to, "r base", generation).await, ImageStep::Done);
    assert_eq!(link(meta, &from, &to, "r top").await, LinkImage::Differs(id("r base")));
    let other = repo("suite/held/refused/other");
    meta.put_blob(blob(&other, &layer_of("r base"))).await.expect("stored");
    let new = NewImage { repo: other.clone(), id: id("r base"), parent: None, json: json("something else") };
    let begun = meta.begin_image(new).await.expect("decided");
    let crate::meta::images::BeginImage::Begun(generation) = begun else { unreachable!("{begun:?}") };
    assert_eq!(put_layer(meta, &other, "r base", generation, &layer_of("r base")).await, ImageStep::Done);
    assert_eq!(complete(meta, &other, "r base", generation).await, ImageStep::Done);
    assert_eq!(link(meta, &from, &other, "r top").await, LinkImage::Differs(id("r base")));
    assert_eq!(there(meta, &other, &["r top"]).await, [""; 0]);

    // A layer that was deleted.
    assert!(meta.unlink_blob(&from, &layer(&layer_of("r base")).digest).await.expect("done"));
    assert_eq!(link(meta, &from, &repo("suite/held/refused/last"), "r top").await, LinkImage::Unknown);
}

async fn a_link_makes_room_and_renews(meta: &Meta) {
    let (from, to) = (repo("suite/held/room/from"), repo("suite/held/room/to"));
    push_image(meta, &from, "m base", None).await;
    push_image(meta, &from, "m top", Some("m base")).await;
    // An attempt that did not come to its end, on another base.
    push_image(meta, &to, "m other", None).await;
    meta.put_blob(blob(&to, "half of it")).await.expect("stored");
    let generation = begun(meta, &to, "m top", Some("m other")).await;
    assert_eq!(put_layer(meta, &to, "m top", generation, "half of it").await, ImageStep::Done);
    assert_eq!(link(meta, &from, &to, "m top").await, LinkImage::Linked);
    let found = image(meta, &to, "m top").await.expect("there");
    assert_eq!((found.state, found.parent()), (ImageState::Complete, Some(&id("m base"))));
    assert!(!is_named(meta, &to, "half of it").await);
    assert!(is_idle(meta, &to, "m other").await);
    assert_eq!(put_layer(meta, &to, "m top", generation, "half of it").await, ImageStep::Exists);
    let since = found.idle_since;
    assert_eq!(link(meta, &from, &to, "m top").await, LinkImage::Linked);
    assert!(image(meta, &to, "m top").await.expect("there").idle_since > since);
}

async fn a_repository_is_emptied_at_once(meta: &Meta) {
    let (a, b) = (repo("suite/held/emptied"), repo("suite/held/emptied/not"));
    let free = TagLocks::default();
    assert_eq!(meta.delete_repository(&a, &free).await.expect("decided"), Deleted::Unknown);
    for name in [&a, &b] {
        push_image(meta, name, "e base", None).await;
        push_image(meta, name, "e top", Some("e base")).await;
        let new = manifest_of(meta, name, "emptied", &["t", "u"], &["e base", "e top"]).await;
        put(meta, NewManifest { image: Some(id("e top")), ..new }).await;
        let signature = NewManifest {
            subject: Some(Digest::sha256(b"emptied")),
            artifact_type: Some(String::from("x/signature")),
            ..manifest(name, "signature", &[])
        };
        put(meta, signature).await;
        let new = manifest_of(meta, name, "emptied too", &["v"], &["e derived"]).await;
        put(meta, new.clone()).await;
        meta.put_view(name, &new.digest, vec![derived("e derived")]).await.expect("stored");
        let index = NewManifest { manifests: vec![new.digest], ..manifest(name, "an index", &["w"]) };
        put(meta, index).await;
        put(meta, manifest(name, "idle", &[])).await;
    }
    let subject = Digest::sha256(b"emptied");
    let names = ["e base", "e top", "e derived"];
    let referrers = async |name: &RepoName| {
        let page = meta.referrers(name, &subject, &[], None, 9).await.expect("readable");
        page.referrers.len()
    };
    // Everything is in memory before.
    for name in [&a, &b] {
        assert!(by_tag(meta, name, "t").await.is_some() && by_digest(meta, name, subject).await.is_some());
        assert!(is_named(meta, name, &layer_of("e top")).await);
        assert_eq!((there(meta, name, &names).await.len(), referrers(name).await), (3, 1));
    }
    assert_eq!(meta.delete_repository(&a, &free).await.expect("decided"), Deleted::Done);
    assert_eq!(meta.tags(&a, None, 9).await.expect("readable"), Some(Vec::new()));
    assert!(by_tag(meta, &a, "t").await.is_none() && by_digest(meta, &a, subject).await.is_none());
    assert_eq!((there(meta, &a, &names).await.len(), referrers(&a).await), (0, 0));
    assert_eq!(meta.view(&a, &subject).await.expect("readable"), None);
    for name in names {
        assert!(!is_named(meta, &a, &layer_of(name)).await, "{name}: its blobs are the sweep's matter");
    }
    assert!(by_tag(meta, &b, "t").await.is_some(), "another repository");
    assert_eq!((there(meta, &b, &names).await.len(), referrers(&b).await), (3, 1));
    assert!(is_named(meta, &b, &layer_of("e top")).await);
    assert_eq!(meta.delete_repository(&a, &free).await.expect("decided"), Deleted::Unknown, "empty already");
    assert!(meta.image_tags(&a, None, 9).await.expect("readable").is_none(), "as if it had never been");
    put(meta, manifest(&a, "emptied", &["t"])).await;
    assert!(by_tag(meta, &a, "t").await.is_some(), "it can be pushed to again");
}

async fn a_held_tag_keeps_its_repository(meta: &Meta) {
    let a = repo("suite/held/locked");
    for name in ["latest", "v1"] {
        push_image(meta, &a, name, None).await;
        put(meta, NewManifest { image: Some(id(name)), ..manifest(&a, name, &[name]) }).await;
    }
    let pattern = "v*".parse().expect("a pattern");
    let locks = TagLocks(vec!["release".parse().expect("a pattern"), pattern].into());
    let held = LockedTag { tag: tag("v1"), pattern: "v*".parse().expect("a pattern") };
    assert_eq!(meta.delete_repository(&a, &locks).await.expect("decided"), Deleted::Locked(held));
    assert_eq!(meta.tags(&a, None, 9).await.expect("readable").map(|tags| tags.len()), Some(2));
    assert_eq!(there(meta, &a, &["latest", "v1"]).await.len(), 2);
    assert!(delete_tag(meta, &a, &tag("v1")).await);
    assert_eq!(meta.delete_repository(&a, &locks).await.expect("decided"), Deleted::Done);
}
