//! Lists of referrers: filters, pages, and that a list that is kept in memory says what the rows say.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use gantry_oci::{Digest, RepoName};

use super::{Meta, blob, delete_manifest, manifest, put, repo};
use crate::meta::{NewManifest, REFERRERS_PAGE_BYTES, Referrer, ReferrersPage};

pub(super) async fn run(meta: &Meta) {
    lists_are_filtered_and_paged(meta).await;
    a_page_is_cut_by_the_size_of_what_it_says(meta).await;
    what_was_rendered_lasts_as_long_as_the_list(meta).await;
    every_change_is_seen_at_once(meta).await;
    attaching_and_deleting_at_once_lose_nothing(meta).await;
}

fn attached(repo: &RepoName, subject: Digest, kind: &str, content: &str) -> NewManifest {
    NewManifest {
        subject: Some(subject),
        artifact_type: Some(kind.to_owned()),
        annotations: BTreeMap::from([(String::from("content"), content.to_owned())]),
        ..manifest(repo, content, &[])
    }
}

async fn page(
    meta: &Meta,
    repo: &RepoName,
    subject: &Digest,
    types: &[String],
    after: Option<u64>,
    limit: usize,
) -> Arc<ReferrersPage> {
    let page = meta.referrers(repo, subject, types, after, limit).await.expect("readable");
    assert!(page.referrers.len() <= limit);
    page
}

async fn list(meta: &Meta, repo: &RepoName, subject: &Digest) -> Vec<Referrer> {
    let page = page(meta, repo, subject, &[], None, 1000).await;
    assert!(!page.more);
    page.referrers.clone()
}

/// Follows the pages.
async fn pages(
    meta: &Meta,
    repo: &RepoName,
    subject: &Digest,
    types: &[String],
    limit: usize,
) -> Vec<Referrer> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(meta, repo, subject, types, after, limit).await;
        all.extend(page.referrers.iter().cloned());
        if !page.more {
            return all;
        }
        after = Some(page.referrers.last().expect("a page with others behind it holds something").cursor);
    }
}

async fn lists_are_filtered_and_paged(meta: &Meta) {
    let a = repo("suite/referrers");
    let subject = Digest::sha256(b"a subject that is not there");
    assert!(list(meta, &a, &subject).await.is_empty(), "of a repository that is not there");
    let types = ["sig", "sbom", "sig", "rare", "sig"];
    for (number, kind) in types.iter().enumerate() {
        put(meta, attached(&a, subject, kind, &format!("referrer {number}"))).await;
    }
    put(meta, NewManifest { subject: Some(subject), ..manifest(&a, "without a type", &[]) }).await;
    put(meta, attached(&repo("suite/referrers/other"), subject, "sig", "other")).await;

    let union = ["sig".to_owned(), "rare".to_owned(), "none".to_owned()];
    // The first page that is read decides what is kept, so each of these begins with a list that changed.
    for (turn, first) in [1000, 3, 6].into_iter().enumerate() {
        put(meta, attached(&a, subject, "turn", &format!("turn {turn}"))).await;
        page(meta, &a, &subject, &[], None, first).await;
        let all = list(meta, &a, &subject).await;
        assert_eq!(all.len(), 7 + turn);
        assert!(all.is_sorted_by(|one, next| one.cursor < next.cursor));
        for (number, line) in all.iter().take(5).enumerate() {
            let content = format!("referrer {number}");
            assert_eq!(line.artifact_type.as_deref(), types.get(number).copied());
            let annotations = line.annotations.as_ref().expect("annotations").json().get();
            assert_eq!(annotations, format!("{{\"content\":\"{content}\"}}"));
            assert_eq!(line.digest, Digest::sha256(content.as_bytes()));
            assert_eq!(line.size, content.len() as u64);
            assert_eq!(line.media_type, "application/vnd.oci.image.manifest.v1+json");
        }
        assert_eq!(all.get(5).expect("six and more").annotations, None);
        for filter in [&[][..], &union[..], &union[..1], &union[2..]] {
            let wanted = |line: &&Referrer| {
                filter.is_empty() || line.artifact_type.as_ref().is_some_and(|kind| filter.contains(kind))
            };
            let expected: Vec<_> = all.iter().filter(wanted).cloned().collect();
            for limit in [1, 2, 3, expected.len().max(1), 1000] {
                assert_eq!(pages(meta, &a, &subject, filter, limit).await, expected, "{filter:?} by {limit}");
            }
        }
    }
    let all = list(meta, &a, &subject).await;
    let last = all.last().expect("some lines");
    assert!(delete_manifest(meta, &a, &last.digest).await);
    put(meta, attached(&a, subject, "late", "a late one")).await;
    let late = page(meta, &a, &subject, &[], Some(last.cursor), 100).await;
    assert_eq!(late.referrers.len(), 1, "a cursor is never used twice");
}

async fn a_page_is_cut_by_the_size_of_what_it_says(meta: &Meta) {
    let a = repo("suite/referrers/large");
    let subject = Digest::sha256(b"large");
    let third = "x".repeat(REFERRERS_PAGE_BYTES / 3);
    for number in 0..3 {
        put(meta, attached(&a, subject, &third, &format!("large type {number}"))).await;
    }
    let escaped = "\u{1}".repeat(REFERRERS_PAGE_BYTES / 8);
    for number in 0..2 {
        let annotations = BTreeMap::from([(String::from("large"), escaped.clone())]);
        put(
            meta,
            NewManifest { annotations, ..attached(&a, subject, "small", &format!("annotation {number}")) },
        )
        .await;
    }
    let whole = "x".repeat(2 * REFERRERS_PAGE_BYTES);
    put(meta, attached(&a, subject, &whole, "larger than a page")).await;
    for filter in [Vec::new(), vec![third, String::from("small"), whole]] {
        let (mut sizes, mut after) = (Vec::new(), None);
        loop {
            let page = page(meta, &a, &subject, &filter, after, 100).await;
            sizes.push(page.referrers.len());
            after = page.referrers.last().map(|last| last.cursor);
            if !page.more {
                break;
            }
        }
        assert_eq!(sizes, [2, 1, 1, 1, 1]);
    }
}

async fn what_was_rendered_lasts_as_long_as_the_list(meta: &Meta) {
    let a = repo("suite/referrers/rendered");
    let subject = Digest::sha256(b"rendered");
    let one = attached(&a, subject, "sig", "the only one");
    put(meta, one.clone()).await;
    let render = |page: &ReferrersPage| {
        page.rendered.get_or_init(|| Bytes::from(format!("{:?}", page.referrers))).clone()
    };
    let first = render(&*page(meta, &a, &subject, &[], None, 10).await);
    assert_eq!(render(&*page(meta, &a, &subject, &[], None, 10).await), first);
    // Another question, another document.
    let none = [String::from("none")];
    assert_eq!(render(&*page(meta, &a, &subject, &none, None, 10).await), "[]");
    put(meta, attached(&a, subject, "sig", "another one")).await;
    let second = page(meta, &a, &subject, &[], None, 10).await;
    assert!(second.rendered.get().is_none());
    assert_ne!(render(&second), first);
    assert_ne!(render(&*page(meta, &a, &subject, &[], None, 1).await), render(&second));
}

async fn every_change_is_seen_at_once(meta: &Meta) {
    let (a, other) = (repo("suite/referrers/changes"), repo("suite/referrers/changes/other"));
    let subject = Digest::sha256(b"changes");
    meta.put_blob(blob(&a, "so that the repository is there")).await.expect("stored");
    assert!(list(meta, &a, &subject).await.is_empty());
    let new = attached(&a, subject, "before", "changing");
    put(meta, new.clone()).await;
    assert_eq!(list(meta, &a, &subject).await.len(), 1, "no empty list from memory");
    put(meta, NewManifest { repo: other.clone(), ..new.clone() }).await;
    assert_eq!(list(meta, &other, &subject).await.len(), 1);

    let media_type = String::from("application/other+json");
    let artifact_type = Some(String::from("after"));
    put(meta, NewManifest { media_type: media_type.clone(), artifact_type, ..new.clone() }).await;
    let lines = list(meta, &a, &subject).await;
    let line = lines.first().expect("one line");
    assert_eq!((&line.media_type, line.artifact_type.as_deref()), (&media_type, Some("after")));
    let after = [String::from("after")];
    assert_eq!(page(meta, &a, &subject, &after, None, 9).await.referrers, lines);

    assert!(delete_manifest(meta, &a, &new.digest).await);
    assert!(list(meta, &a, &subject).await.is_empty());
    assert_eq!(list(meta, &other, &subject).await.len(), 1, "another repository");
    put(meta, new).await;
    assert_eq!(list(meta, &a, &subject).await.len(), 1);
}

async fn attaching_and_deleting_at_once_lose_nothing(meta: &Meta) {
    let a = repo("suite/referrers/crowd");
    let subject = Digest::sha256(b"a crowd's subject");
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (meta, a) = (Arc::clone(meta), a.clone());
        tasks.spawn(async move {
            let mut stay = Vec::new();
            for turn in 0..12 {
                let new = attached(&a, subject, "crowd", &format!("crowd {task} {turn}"));
                let digest = new.digest;
                put(&meta, new).await;
                let is_listed =
                    async || list(&meta, &a, &subject).await.iter().any(|line| line.digest == digest);
                assert!(is_listed().await, "attached and not listed");
                if turn % 3 == 0 {
                    stay.push(digest);
                } else {
                    assert!(delete_manifest(&meta, &a, &digest).await);
                    assert!(!is_listed().await, "deleted and listed");
                }
            }
            stay
        });
    }
    let mut stay: Vec<_> = tasks.join_all().await.into_iter().flatten().map(|d| d.to_string()).collect();
    let mut found: Vec<_> =
        list(meta, &a, &subject).await.iter().map(|line| line.digest.to_string()).collect();
    stay.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, stay);
}
