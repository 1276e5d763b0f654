//! What may go, what stays, and when a promise is renewed.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{
    Meta, blob, by_digest, delete_manifest, delete_tag, get_blob, manifest, put, repo, tag, upload, upload_id,
};
use crate::lease::{Reason, Terms, Verdict};
use crate::meta::storages::StorageId;
use crate::meta::{Candidate, CandidateKind, DeletedSubject, NewBlob, NewManifest, Sweep, Swept};
use gantry_oci::{Digest, RepoName};

/// No promise holds.
const AT_ONCE: Terms = Terms { grace: Duration::ZERO };
/// Every promise holds.
const LATER: Terms = Terms { grace: Duration::from_secs(3600) };

pub(super) async fn run(meta: &Meta) {
    links_go_when_no_manifest_names_them(meta).await;
    the_last_link_takes_the_blob(meta).await;
    a_promise_is_renewed(meta).await;
    an_upload_under_way_keeps_its_repository(meta).await;
    a_long_upload_renews_what_was_promised(meta).await;
    idle_manifests_are_those_that_nothing_names(meta).await;
    referrers_follow_their_subject(meta).await;
    candidates_come_in_pages(meta).await;
}

/// All candidates of one repository, decided about.
async fn sweep(meta: &Meta, repo: &RepoName, kind: CandidateKind, terms: Terms, dry_run: bool) -> Vec<Swept> {
    let candidates = candidates(meta, repo, kind).await;
    let sweep = Sweep { candidates, terms, uploading: BTreeSet::new(), dry_run };
    meta.sweep(sweep).await.expect("swept")
}

async fn candidates(meta: &Meta, repo: &RepoName, kind: CandidateKind) -> Vec<Candidate> {
    let all = meta.candidates(kind, AT_ONCE.cutoff(meta.now()), None, 100_000).await.expect("readable");
    all.into_iter().filter(|candidate| candidate.repo == *repo).collect()
}

fn verdicts(swept: &[Swept]) -> Vec<Verdict> {
    swept.iter().map(|swept| swept.verdict).collect()
}

fn naming(repo: &RepoName, content: &str, tags: &[&str], blobs: &[Digest]) -> NewManifest {
    NewManifest { blobs: blobs.to_vec(), ..manifest(repo, content, tags) }
}

async fn links_go_when_no_manifest_names_them(meta: &Meta) {
    let name = repo("suite/sweep/links");
    let (kept, gone) = (blob(&name, "a kept blob"), blob(&name, "a blob that goes"));
    meta.put_blob(kept.clone()).await.expect("stored");
    meta.put_blob(gone.clone()).await.expect("stored");
    assert!(get_blob(meta, &name, &kept.digest).await.expect("there").unreferenced_since.is_some());
    put(meta, naming(&name, "names it", &["t"], &[kept.digest])).await;
    assert_eq!(get_blob(meta, &name, &kept.digest).await.expect("there").unreferenced_since, None);

    let told = sweep(meta, &name, CandidateKind::Link, LATER, false).await;
    assert_eq!(verdicts(&told), [Verdict::Keep(Reason::Promised)]);
    let dry = sweep(meta, &name, CandidateKind::Link, AT_ONCE, true).await;
    assert_eq!(verdicts(&dry), [Verdict::Remove]);
    assert!(get_blob(meta, &name, &gone.digest).await.is_some(), "a dry run changes nothing");
    let swept = sweep(meta, &name, CandidateKind::Link, AT_ONCE, false).await;
    assert_eq!(verdicts(&swept), [Verdict::Remove]);
    assert!(get_blob(meta, &name, &gone.digest).await.is_none());
    assert!(get_blob(meta, &name, &kept.digest).await.is_some());

    // Two manifests name it: the date comes with the last one's end.
    let other = naming(&name, "names it too", &[], &[kept.digest]);
    put(meta, other.clone()).await;
    assert!(delete_manifest(meta, &name, &other.digest).await);
    assert_eq!(get_blob(meta, &name, &kept.digest).await.expect("there").unreferenced_since, None);
    let first = Digest::sha256(b"names it");
    assert!(delete_manifest(meta, &name, &first).await);
    assert!(get_blob(meta, &name, &kept.digest).await.expect("there").unreferenced_since.is_some());

    // A candidate that a manifest names by the time of the decision stays.
    let late = candidates(meta, &name, CandidateKind::Link).await;
    put(meta, naming(&name, "names it", &["t"], &[kept.digest])).await;
    let sweep = Sweep { candidates: late, terms: AT_ONCE, uploading: BTreeSet::new(), dry_run: false };
    assert_eq!(verdicts(&meta.sweep(sweep).await.expect("swept")), [Verdict::Keep(Reason::Referenced)]);

    // A manifest may come before its blobs.
    let early = blob(&name, "comes after its manifest");
    put(meta, NewManifest { allow_missing: true, ..naming(&name, "sparse", &["s"], &[early.digest]) }).await;
    meta.put_blob(early.clone()).await.expect("stored");
    assert_eq!(get_blob(meta, &name, &early.digest).await.expect("there").unreferenced_since, None);
}

async fn the_last_link_takes_the_blob(meta: &Meta) {
    let names = ["suite/sweep/last/a", "suite/sweep/last/b", "suite/sweep/last/c"].map(repo);
    let [a, b, c] = &names;
    let digest = blob(a, "one blob in three repositories").digest;
    for (round, order) in
        [[a, b, c], [a, c, b], [b, a, c], [b, c, a], [c, a, b], [c, b, a]].into_iter().enumerate()
    {
        for name in &names {
            meta.put_blob(blob(name, "one blob in three repositories")).await.expect("stored");
        }
        for (position, name) in order.into_iter().enumerate() {
            assert!(
                meta.any_blob(StorageId::DEFAULT, &digest).await.expect("readable").is_some(),
                "round {round}"
            );
            // By the sweep and by a client in turn.
            if (round + position) % 2 == 0 {
                let swept = sweep(meta, name, CandidateKind::Link, AT_ONCE, false).await;
                assert_eq!(swept.iter().map(|s| s.frees).collect::<Vec<_>>(), [position == 2]);
            } else {
                assert!(meta.unlink_blob(name, &digest).await.expect("unlinked"));
            }
        }
        assert!(meta.any_blob(StorageId::DEFAULT, &digest).await.expect("readable").is_none());
        let freed = meta.freed_blobs(0, 100_000).await.expect("readable");
        let freed: Vec<_> = freed.into_iter().filter(|freed| freed.digest == digest).collect();
        assert_eq!(freed.len(), 1, "its file is to be removed");
        meta.forget_freed(freed).await.expect("forgotten");
    }
    let freed = meta.freed_blobs(0, 100_000).await.expect("readable");
    assert!(freed.iter().all(|freed| freed.digest != digest));
}

async fn a_promise_is_renewed(meta: &Meta) {
    let (name, other) = (repo("suite/sweep/renewed"), repo("suite/sweep/renewed/to"));
    let new = blob(&name, "promised again");
    meta.put_blob(new.clone()).await.expect("stored");
    let date = async |name: &RepoName| {
        get_blob(meta, name, &new.digest).await.expect("there").unreferenced_since.expect("a date")
    };
    let pushed = date(&name).await;
    assert!(meta.renew_blob(&name, &new.digest).await.expect("renewed"));
    let renewed = date(&name).await;
    assert!(renewed > pushed);
    meta.put_blob(new.clone()).await.expect("pushed again");
    assert!(date(&name).await > renewed);
    assert!(meta.mount_blob(&new.digest, &name, &other, StorageId::DEFAULT).await.expect("mounted"));
    let mounted = date(&other).await;
    assert!(meta.mount_blob(&new.digest, &name, &other, StorageId::DEFAULT).await.expect("mounted again"));
    assert!(date(&other).await > mounted);

    put(meta, naming(&name, "a name at last", &["t"], &[new.digest])).await;
    assert!(meta.renew_blob(&name, &new.digest).await.expect("needs no date"));
    assert_eq!(get_blob(meta, &name, &new.digest).await.expect("there").unreferenced_since, None);
    assert!(!meta.renew_blob(&name, &Digest::sha256(b"never there")).await.expect("readable"));
}

async fn an_upload_under_way_keeps_its_repository(meta: &Meta) {
    let name = repo("suite/sweep/uploading");
    let new = blob(&name, "the first layer");
    meta.put_blob(new.clone()).await.expect("stored");
    let id = upload_id();
    meta.save_upload_soon(upload(id, &name, 1)).expect("noted");
    meta.flush().await.expect("written");
    let swept = sweep(meta, &name, CandidateKind::Link, AT_ONCE, false).await;
    assert_eq!(verdicts(&swept), [Verdict::Keep(Reason::UploadUnderWay)]);
    assert!(meta.delete_upload(&id).await.expect("ended"));

    let candidates = candidates(meta, &name, CandidateKind::Link).await;
    let uploading = BTreeSet::from([name.clone()]);
    let by_name = Sweep { candidates, terms: AT_ONCE, uploading, dry_run: false };
    let swept = meta.sweep(by_name).await.expect("swept");
    assert_eq!(verdicts(&swept), [Verdict::Keep(Reason::UploadUnderWay)]);
    assert_eq!(verdicts(&sweep(meta, &name, CandidateKind::Link, AT_ONCE, false).await), [Verdict::Remove]);
}

async fn a_long_upload_renews_what_was_promised(meta: &Meta) {
    let name = repo("suite/sweep/long");
    let (old, first) = (blob(&name, "promised long ago"), blob(&name, "the small layer"));
    meta.put_blob(old.clone()).await.expect("stored");
    let began = meta.now();
    meta.put_blob(first.clone()).await.expect("stored");
    let last = NewBlob { renew_from: Some(began), ..blob(&name, "the large layer") };
    let before = get_blob(meta, &name, &old.digest).await.expect("there").unreferenced_since;
    meta.put_blob(last.clone()).await.expect("stored");
    let date = async |digest| get_blob(meta, &name, &digest).await.expect("there").unreferenced_since;
    assert_eq!(date(first.digest).await, date(last.digest).await, "renewed together");
    assert_eq!(date(old.digest).await, before);
}

async fn idle_manifests_are_those_that_nothing_names(meta: &Meta) {
    let name = repo("suite/sweep/idle");
    let idle = async || -> Vec<Digest> {
        let mut digests: Vec<_> = candidates(meta, &name, CandidateKind::Manifest)
            .await
            .into_iter()
            .map(|candidate| candidate.digest)
            .collect();
        digests.sort_unstable_by_key(|digest| digest.to_string());
        digests
    };
    let (one, two) = (manifest(&name, "one", &["t"]), manifest(&name, "two", &["t"]));
    put(meta, one.clone()).await;
    assert_eq!(idle().await, []);
    put(meta, two.clone()).await;
    assert_eq!(idle().await, [one.digest], "the tag moved away");
    assert!(by_digest(meta, &name, one.digest).await.expect("there").idle_since.is_some());
    let index = NewManifest { manifests: vec![one.digest], ..manifest(&name, "index", &["i"]) };
    put(meta, index.clone()).await;
    assert_eq!(idle().await, [], "an index lists it");
    assert_eq!(by_digest(meta, &name, one.digest).await.expect("there").idle_since, None);
    assert!(delete_tag(meta, &name, &tag("i")).await);
    assert_eq!(idle().await, [index.digest]);
    let swept = sweep(meta, &name, CandidateKind::Manifest, LATER, false).await;
    assert_eq!(verdicts(&swept), [Verdict::Keep(Reason::Promised)]);
    let date = candidates(meta, &name, CandidateKind::Manifest).await[0].since;
    assert!(meta.renew_manifest(&name, &index.digest).await.expect("renewed"));
    assert!(candidates(meta, &name, CandidateKind::Manifest).await[0].since > date);
    let swept = sweep(meta, &name, CandidateKind::Manifest, AT_ONCE, false).await;
    assert_eq!(verdicts(&swept), [Verdict::Remove]);
    assert!(by_digest(meta, &name, index.digest).await.is_none());
    assert_eq!(idle().await, [one.digest], "its index went");
    put(meta, manifest(&name, "one", &["back"])).await;
    assert_eq!(idle().await, []);
    let untagged = manifest(&name, "by digest only", &[]);
    put(meta, untagged.clone()).await;
    assert_eq!(idle().await, [untagged.digest]);
    let late = candidates(meta, &name, CandidateKind::Manifest).await;
    put(meta, manifest(&name, "by digest only", &["named"])).await;
    let sweep = Sweep { candidates: late, terms: AT_ONCE, uploading: BTreeSet::new(), dry_run: false };
    assert_eq!(verdicts(&meta.sweep(sweep).await.expect("swept")), [Verdict::Keep(Reason::Referenced)]);
    assert!(!meta.renew_manifest(&name, &Digest::sha256(b"never there")).await.expect("readable"));
}

async fn referrers_follow_their_subject(meta: &Meta) {
    let name = repo("suite/sweep/referrers");
    let subject = manifest(&name, "the subject", &["t"]);
    let referring = |content: &str, tags: &[&str]| NewManifest {
        subject: Some(subject.digest),
        ..manifest(&name, content, tags)
    };
    let (plain, tagged) = (referring("a signature", &[]), referring("a tagged one", &["sig"]));
    put(meta, plain.clone()).await; // before its subject, as some tools do
    put(meta, subject.clone()).await;
    put(meta, tagged.clone()).await;
    assert_eq!(candidates(meta, &name, CandidateKind::Manifest).await, [], "referrers have no date");
    let subjects = async || -> Vec<DeletedSubject> {
        let all = meta.deleted_subjects(AT_ONCE.cutoff(meta.now()), None, 100_000).await.expect("readable");
        all.into_iter().filter(|subject| subject.repo == name).collect()
    };
    assert_eq!(subjects().await, []);
    assert!(delete_manifest(meta, &name, &subject.digest).await);
    let gone = subjects().await;
    assert_eq!(gone.len(), 1);
    let orphans = meta.orphaned_referrers(&gone[0], 0, 10).await.expect("readable");
    assert_eq!(orphans.iter().map(|o| o.digest).collect::<Vec<_>>(), [plain.digest, tagged.digest]);
    let run = async |terms| {
        let sweep = Sweep { candidates: orphans.clone(), terms, uploading: BTreeSet::new(), dry_run: false };
        verdicts(&meta.sweep(sweep).await.expect("swept"))
    };
    assert_eq!(run(LATER).await[0], Verdict::Keep(Reason::Promised));
    put(meta, subject.clone()).await;
    assert_eq!(run(AT_ONCE).await[0], Verdict::Keep(Reason::SubjectThere));
    assert!(delete_manifest(meta, &name, &subject.digest).await);
    meta.forget_subject(&gone[0]).await.expect("another deletion is not forgotten");
    let gone = subjects().await;
    assert_eq!(gone.len(), 1);
    assert_eq!(run(AT_ONCE).await, [Verdict::Remove, Verdict::Keep(Reason::Tagged)]);
    assert!(by_digest(meta, &name, plain.digest).await.is_none());
    meta.forget_subject(&gone[0]).await.expect("forgotten");
    assert_eq!(subjects().await, []);
}

async fn candidates_come_in_pages(meta: &Meta) {
    let name = repo("suite/sweep/pages");
    for number in 0..7 {
        meta.put_blob(blob(&name, &format!("page {number}"))).await.expect("stored");
        put(meta, manifest(&name, &format!("page {number}"), &[])).await;
        let referring = NewManifest {
            subject: Some(Digest::sha256(format!("page {number}").as_bytes())),
            ..manifest(&name, &format!("refers to {number}"), &[])
        };
        put(meta, referring).await;
        let digest = Digest::sha256(format!("page {number}").as_bytes());
        assert!(delete_manifest(meta, &name, &digest).await);
        put(meta, manifest(&name, &format!("page {number}"), &[])).await;
    }
    let cutoff = AT_ONCE.cutoff(meta.now());
    for kind in [CandidateKind::Link, CandidateKind::Manifest] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = meta.candidates(kind, cutoff, after, 3).await.expect("readable");
            let Some(last) = page.last() else { break };
            after = Some(last.cursor.clone());
            found.extend(page.into_iter().filter(|candidate| candidate.repo == name));
        }
        assert_eq!(found.len(), 7, "{kind:?}");
        assert!(found.is_sorted_by_key(|candidate| candidate.since));
    }
    let (mut found, mut after) = (0, None);
    loop {
        let page = meta.deleted_subjects(cutoff, after, 2).await.expect("readable");
        let Some(last) = page.last() else { break };
        after = Some(last.cursor.clone());
        found += page.iter().filter(|subject| subject.repo == name).count();
    }
    assert_eq!(found, 7);
}
