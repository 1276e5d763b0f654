//! Searching: every repository with a tag is found, in an order that what is new does not disturb, and described by what it points to.

use std::collections::BTreeSet;
use std::sync::Arc;

use gantry_oci::{Digest, RepoName};

use super::{Meta, delete_manifest, delete_tag, manifest, put, repo, tag};
use crate::meta::NewManifest;
use crate::meta::search::{Description, Found, Said, Search, SearchView};

pub(super) async fn run(meta: &Meta) {
    tagged_repositories_are_found_and_others_are_not(meta).await;
    what_is_new_comes_last(meta).await;
    the_description_follows_the_tag(meta).await;
    a_row_is_not_written_over_a_later_change(meta).await;
    whoever_looks_has_a_view_of_their_own(meta).await;
}

/// Everything below a prefix, and what somebody says of it.
struct Below(&'static str, Option<(&'static str, bool)>);

impl SearchView for Below {
    fn shows(&self, repo: &str) -> bool {
        repo.starts_with(self.0)
    }

    fn says(&self, _: &str) -> Option<Said<'_>> {
        self.1.map(|(text, fits)| Said { text, fits })
    }
}

/// Describes each repository by the text of its manifest, until nothing is left to do.
async fn catch_up(meta: &Meta) -> BTreeSet<String> {
    let mut described = BTreeSet::new();
    for _ in 0..100_000 {
        let outdated = meta.outdated(7).await.expect("readable");
        let mut descriptions = Vec::new();
        for of in outdated.rows {
            described.insert(of.repo.to_string());
            let text = match of.source {
                Some(source) => meta
                    .manifest(&of.repo, &gantry_oci::Reference::Digest(source.digest))
                    .await
                    .expect("readable")
                    .map(|manifest| String::from_utf8_lossy(&manifest.bytes).into_owned()),
                None => Some(String::new()),
            };
            descriptions.push(Description { of, text });
        }
        meta.describe(descriptions).await.expect("written");
        if !outdated.more {
            return described;
        }
    }
    unreachable!("the list never ends");
}

async fn page(meta: &Meta, term: &str, skip: usize, limit: usize, view: Below) -> Found {
    let search = Search { term: term.to_owned(), skip, limit, view: Arc::new(view) };
    meta.search(search).await.expect("readable")
}

async fn names(meta: &Meta, term: &str, below: &'static str) -> Vec<String> {
    let found = page(meta, term, 0, 100, Below(below, None)).await;
    assert_eq!(found.total, found.results.len());
    found.results.into_iter().map(|result| result.name).collect()
}

async fn described(meta: &Meta, repo: &RepoName) -> String {
    catch_up(meta).await;
    let search = Search { term: repo.to_string(), skip: 0, limit: 1, view: Arc::new(Below("suite/", None)) };
    let found = meta.search(search).await.expect("readable");
    found.results.into_iter().map(|result| result.description).collect()
}

async fn tagged_repositories_are_found_and_others_are_not(meta: &Meta) {
    let (tagged, untagged) = (repo("suite/search/tagged"), repo("suite/search/untagged"));
    put(meta, manifest(&tagged, "Says HELLO Ünder it", &["one"])).await;
    put(meta, manifest(&untagged, "untagged", &[])).await;
    catch_up(meta).await;
    assert_eq!(names(meta, "search/", "suite/search/").await, ["suite/search/tagged"]);
    for term in ["tag", "hello", "ünder", ""] {
        assert_eq!(names(meta, term, "suite/search/").await, ["suite/search/tagged"], "{term}");
    }
    assert!(names(meta, "nowhere", "suite/search/").await.is_empty());
    assert!(catch_up(meta).await.is_empty(), "nothing is described twice");
    assert!(delete_tag(meta, &tagged, &tag("one")).await);
    catch_up(meta).await;
    assert!(names(meta, "", "suite/search/").await.is_empty());
}

async fn what_is_new_comes_last(meta: &Meta) {
    let put = async |name: &str| {
        put(meta, manifest(&repo(&format!("suite/order/{name}")), name, &["x"])).await;
    };
    // The first has been there for longer than its tag.
    super::put(meta, manifest(&repo("suite/order/a-early"), "untagged", &[])).await;
    for name in ["m", "c", "x"] {
        put(name).await;
    }
    catch_up(meta).await;
    let first = page(meta, "", 0, 2, Below("suite/order/", None)).await;
    for name in ["a", "z", "a-early"] {
        put(name).await;
    }
    catch_up(meta).await;
    let second = page(meta, "", 2, 10, Below("suite/order/", None)).await;
    let names = |found: &Found| found.results.iter().map(|r| r.name[12..].to_owned()).collect::<Vec<_>>();
    assert_eq!((names(&first), first.total), (vec!["m".to_owned(), "c".to_owned()], 3));
    assert_eq!((names(&second).join(" "), second.total), ("x a z a-early".to_owned(), 6));
    let beyond = page(meta, "", 6, 10, Below("suite/order/", None)).await;
    assert_eq!((beyond.results.len(), beyond.total), (0, 6));
}

async fn the_description_follows_the_tag(meta: &Meta) {
    let repo = repo("suite/described");
    put(meta, manifest(&repo, "first", &["a"])).await;
    assert_eq!(described(meta, &repo).await, "first");
    put(meta, manifest(&repo, "second", &["b"])).await;
    assert_eq!(described(meta, &repo).await, "second", "of the tag that was set last");
    put(meta, manifest(&repo, "first", &["latest"])).await;
    assert_eq!(described(meta, &repo).await, "first", "of `latest`, though the manifest is an old one");
    put(meta, manifest(&repo, "third", &["c"])).await;
    assert_eq!(described(meta, &repo).await, "first");
    assert!(delete_manifest(meta, &repo, &Digest::sha256(b"first")).await);
    assert_eq!(described(meta, &repo).await, "third");
}

async fn a_row_is_not_written_over_a_later_change(meta: &Meta) {
    let repo = repo("suite/late");
    put(meta, manifest(&repo, "old", &["latest"])).await;
    let outdated = meta.outdated(100).await.expect("readable").rows;
    assert!(outdated.iter().any(|outdated| outdated.repo == repo));
    put(meta, manifest(&repo, "new", &["latest"])).await;
    let descriptions = outdated.into_iter().map(|of| Description { of, text: Some("late".to_owned()) });
    meta.describe(descriptions.collect()).await.expect("done");
    assert_eq!(described(meta, &repo).await, "new");

    put(meta, NewManifest { ..manifest(&repo, "newest", &["latest"]) }).await;
    let outdated = meta.outdated(100).await.expect("readable").rows;
    meta.give_back(&outdated);
    assert_eq!(described(meta, &repo).await, "newest", "given back");
}

async fn whoever_looks_has_a_view_of_their_own(meta: &Meta) {
    for name in ["suite/view/one", "suite/view/two", "suite/other/one"] {
        put(meta, manifest(&repo(name), "by itself", &["latest"])).await;
    }
    catch_up(meta).await;
    let found = page(meta, "itself", 0, 10, Below("suite/view/", None)).await;
    assert_eq!((found.total, found.results[0].description.as_str()), (2, "by itself"));
    let found = page(meta, "itself", 0, 10, Below("suite/view/", Some(("of all", false)))).await;
    assert_eq!(found.total, 0, "its own description does not count");
    let found = page(meta, "two", 0, 10, Below("suite/view/", Some(("of all", false)))).await;
    assert_eq!((found.total, found.results[0].description.as_str()), (1, "of all"));
    let found = page(meta, "of all", 0, 10, Below("suite/view/", Some(("of all", true)))).await;
    assert_eq!(found.total, 2);
}
