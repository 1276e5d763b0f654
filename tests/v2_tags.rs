//! end-8: lists of tags.

use crate::harness::{Blob, Gantry, Manifest, Repo, image, repo};

/// A repository with one image under these tags, pushed in this order.
async fn tagged(repo: &Repo, tags: &[&str]) -> Manifest {
    let image = image().build();
    repo.push_by_digest(&image).await;
    for chunk in tags.chunks(50) {
        let target = format!("{}?tag={}", image.digest(), chunk.join("&tag="));
        repo.put_manifest(&target, &image.manifest).await.status(201);
    }
    image.manifest
}

async fn list(repo: &Repo, query: &str) -> (Vec<String>, Option<String>) {
    let answer = repo.client.get(&repo.path(&format!("tags/list{query}"))).await.status(200);
    let answer = answer.header("content-type", "application/json");
    assert_eq!(answer.json()["name"], repo.name, "the repository's name");
    (answer.list("tags"), answer.next())
}

/// All pages from here on, each no longer than `n`.
async fn pages(repo: &Repo, query: &str, n: usize) -> Vec<String> {
    let mut all = Vec::new();
    let (mut tags, mut next) = list(repo, query).await;
    for _ in 0..1000 {
        assert!(tags.len() <= n, "{} tags in a page of {n}", tags.len());
        all.append(&mut tags);
        let Some(target) = next else { return all };
        let answer = repo.client.get(&target).await.status(200);
        (tags, next) = (answer.list("tags"), answer.next());
        assert!(!tags.is_empty(), "E-11.5: a Link only where there is more");
    }
    panic!("the pages do not end");
}

/// E-11.1, T32: byte order.
#[tokio::test]
async fn e_11_1_tags_in_byte_order() {
    let repo = repo().await;
    let shuffled = [
        "latest", "0.1.20", "b", "B", "0.1.2", "a", "_x", "A-1", "A.1", "A1", "0.1.10", "a_b", "a-b", "a.b",
        "Z", "z",
    ];
    tagged(&repo, &shuffled).await;
    let mut sorted = shuffled.map(str::to_owned);
    sorted.sort();
    assert_eq!(list(&repo, "").await, (sorted.to_vec(), None));
}

/// E-11.1, E-11.2, T33: a repository without tags has an empty list, and HEAD works, too.
#[tokio::test]
async fn e_11_2_no_tags_and_no_repository() {
    let repo = repo().await;
    repo.client.get(&repo.path("tags/list")).await.missing("NAME_UNKNOWN");
    repo.client.head(&repo.path("tags/list")).await.status(404);
    repo.push_blob(&Blob::new(10)).await;
    let empty = repo.client.get(&repo.path("tags/list")).await.status(200);
    assert_eq!(empty.list("tags"), [""; 0]);
    let image = image().build();
    repo.push_by_digest(&image).await;
    assert_eq!(list(&repo, "").await, (vec![], None));
    repo.push_manifest("v1", &image.manifest).await;
    repo.client.delete(&repo.manifest("v1")).await.status(202);
    assert_eq!(list(&repo, "").await, (vec![], None));
    let head = repo.client.head(&repo.path("tags/list")).await.status(200);
    head.header("content-type", "application/json");
}

/// E-11.3, E-11.5, T31: pages.
#[tokio::test]
async fn e_11_3_pages_of_tags() {
    let repo = repo().await;
    let tags: Vec<_> = (0..25).map(|n| format!("v{n:03}")).collect();
    tagged(&repo, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for n in [1, 2, 5, 24, 25, 26] {
        assert_eq!(pages(&repo, &format!("?n={n}"), n).await, tags);
        let (page, next) = list(&repo, &format!("?n={n}")).await;
        assert_eq!(page.len(), n.min(25), "E-11.3: exactly n");
        assert_eq!(next.is_some(), n < 25);
    }
    let (page, next) = list(&repo, "?n=5&last=v009").await;
    assert_eq!(page, tags[10..15]);
    let next = next.expect("a next page");
    assert!(next.contains("n=5") && next.contains("last=v014"), "{next}");
}

/// E-11.3, T29: `n=0`
#[tokio::test]
async fn t29_n_0_is_an_empty_page_without_a_link() {
    let repo = repo().await;
    tagged(&repo, &["a", "b"]).await;
    assert_eq!(list(&repo, "?n=0").await, (vec![], None));
    assert_eq!(list(&repo, "?n=0&last=a").await, (vec![], None));
    repo.client.get(&repo.other().path("tags/list?n=0")).await.missing("NAME_UNKNOWN");
}

/// E-11.6, T29: numbers that are none.
#[tokio::test]
async fn e_11_6_bad_n_is_400() {
    let repo = repo().await;
    tagged(&repo, &["a", "b"]).await;
    for bad in ["-1", "x", "1.5", "1e3", "0x10", "-0", "%20", "1%2C2"] {
        repo.client.get(&repo.path(&format!("tags/list?n={bad}"))).await.bad("UNSUPPORTED");
    }
}

/// E-11.6, T29: numbers that are too large.
#[tokio::test]
async fn e_11_6_a_huge_n_is_clamped() {
    let repo = repo().await;
    tagged(&repo, &["a", "b"]).await;
    for huge in ["10000", "18446744073709551615", "99999999999999999999999999999999"] {
        let (tags, next) = list(&repo, &format!("?n={huge}")).await;
        assert_eq!((tags, next), (vec!["a".to_owned(), "b".to_owned()], None));
    }
}

/// E-11.6: the server's own page size, with and without `n`.
#[tokio::test]
async fn e_11_6_the_page_size_of_the_server() {
    let gantry = Gantry::options().set("limits.tags_page", "7").start().await;
    let repo = gantry.repo();
    let tags: Vec<_> = (0..20).map(|n| format!("v{n:03}")).collect();
    tagged(&repo, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for query in ["", "?n=10000", "?n=8", "?n=7"] {
        assert_eq!(pages(&repo, query, 7).await, tags, "{query}");
        assert!(list(&repo, query).await.1.is_some());
    }
    assert_eq!(pages(&repo, "?last=v004&n=3", 3).await, tags[5..]);
}

/// E-11.4, T30: `last` need not be a tag, and works without `n`.
#[tokio::test]
async fn t30_last_is_whatever_comes_before() {
    let repo = repo().await;
    let tags = ["B", "a", "b", "c.1", "c.2", "d"];
    tagged(&repo, &tags).await;
    for (last, from) in [
        ("", 0),
        ("A", 0),
        ("B", 1),
        ("C", 1),
        ("aa", 2),
        ("b", 3),
        ("c", 3),
        ("c.1", 4),
        ("c.10", 4),
        ("d", 6),
        ("zzz", 6),
        ("~", 6),
    ] {
        let (found, next) = list(&repo, &format!("?last={last}")).await;
        assert_eq!(
            (found, next),
            (tags[from..].iter().map(|tag| (*tag).to_owned()).collect(), None),
            "{last}"
        );
    }
    // What is no tag at all is a place in the order, too.
    for odd in ["%00", "a%2Fb", "%C3%A9", "a%20b", "%2B"] {
        list(&repo, &format!("?last={odd}")).await;
    }
    let (found, _) = list(&repo, "?last=a&n=2").await;
    assert_eq!(found, ["b", "c.1"]);
}

/// T50: `ns` and unknown parameters do nothing, and are not in the Link.
#[tokio::test]
async fn t50_ns_is_not_in_the_link() {
    let repo = repo().await;
    tagged(&repo, &["a", "b", "c"]).await;
    let (found, next) = list(&repo, "?ns=docker.io&n=1&unknown=1").await;
    assert_eq!(found, ["a"]);
    assert!(!next.expect("a next page").contains("ns="));
}

/// Many tags: ten thousand in one answer, and more with pages (the request of Renovate).
#[tokio::test]
async fn e_11_6_ten_thousand_tags() {
    let repo = repo().await;
    let tags: Vec<_> = (0..10_050).map(|n| format!("build-{n:06}")).collect();
    tagged(&repo, &tags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (found, next) = list(&repo, "?n=10000").await;
    assert_eq!((found.len(), next.is_some()), (10_000, true));
    assert_eq!(pages(&repo, "?n=10000", 10_000).await, tags);
    assert_eq!(pages(&repo, "", 10_000).await, tags);
}

/// Other methods.
#[tokio::test]
async fn g_10_other_methods_on_tags_are_405() {
    let repo = repo().await;
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        let answer = repo.client.call(method, &repo.path("tags/list")).await;
        answer.status(405).error("UNSUPPORTED").header("allow", "GET, HEAD");
    }
}
