//! the list of repositories. Each test has a server of its own, since it sees everything.

use crate::harness::{Answer, Blob, Client, Gantry};

async fn with_repositories(gantry: &Gantry, names: &[&str]) {
    let blob = Blob::new(10);
    for name in names {
        gantry.client().at(name).push_blob(&blob).await;
    }
}

async fn catalog(client: &Client, query: &str) -> Answer {
    let answer = client.get(&format!("/v2/_catalog{query}")).await.status(200);
    answer.header("content-type", "application/json")
}

/// All pages, each no longer than `n`.
async fn pages(client: &Client, query: &str, n: usize) -> Vec<String> {
    let (mut all, mut target) = (Vec::new(), format!("/v2/_catalog{query}"));
    for _ in 0..1000 {
        let page = client.get(&target).await.status(200);
        let names = page.list("repositories");
        assert!(names.len() <= n, "{} names in a page of {n}", names.len());
        all.extend(names);
        let Some(next) = page.next() else { return all };
        target = next;
    }
    panic!("the pages do not end");
}

/// Names that sort otherwise as paths than as text.
const NAMES: [&str; 12] =
    ["a", "a-b", "a.b", "a/b", "a/b/c", "a0", "math", "math-voila", "math/x", "math0", "math_x", "z"];

/// T33
#[tokio::test]
async fn x_1_1_an_empty_registry_has_an_empty_list() {
    let gantry = Gantry::start().await;
    let empty = catalog(&gantry.client(), "").await;
    assert_eq!(empty.list("repositories"), [""; 0]);
    assert_eq!(empty.next(), None);
    // An upload that was only begun makes no repository.
    gantry.client().at("begun").start_upload().await;
    assert_eq!(catalog(&gantry.client(), "").await.list("repositories"), [""; 0]);
}

/// T32: byte order of the whole name.
#[tokio::test]
async fn t32_names_in_byte_order() {
    let gantry = Gantry::start().await;
    let mut shuffled = NAMES;
    shuffled.reverse();
    shuffled.swap(2, 7);
    with_repositories(&gantry, &shuffled).await;
    let mut sorted = NAMES;
    sorted.sort_unstable();
    let client = gantry.client();
    assert_eq!(catalog(&client, "").await.list("repositories"), sorted);
    for n in [1, 2, 3, 11, 12, 13] {
        assert_eq!(pages(&client, &format!("?n={n}"), n).await, sorted, "n={n}");
    }
    client.head("/v2/_catalog").await.status(200).header("content-type", "application/json");
}

/// T31: what `Link` looks like.
#[tokio::test]
async fn t31_the_link_is_relative_and_encoded() {
    let gantry = Gantry::start().await;
    with_repositories(&gantry, &NAMES).await;
    let client = gantry.client();
    let page = catalog(&client, "?n=4").await;
    assert_eq!(page.list("repositories"), ["a", "a-b", "a.b", "a/b"]);
    let link = page.get("link").expect("a Link").to_owned();
    assert!(
        link == "</v2/_catalog?n=4&last=a%2Fb>; rel=\"next\""
            || link == "</v2/_catalog?last=a%2Fb&n=4>; rel=\"next\"",
        "{link}"
    );
    assert_eq!(catalog(&client, "?n=12").await.next(), None);
}

/// `last` need not exist.
#[tokio::test]
async fn x_1_3_last_is_whatever_comes_before() {
    let gantry = Gantry::start().await;
    with_repositories(&gantry, &NAMES).await;
    let client = gantry.client();
    let after = async |last: &str| catalog(&client, &format!("?last={last}")).await.list("repositories");
    assert_eq!(after("math").await, ["math-voila", "math/x", "math0", "math_x", "z"]);
    assert_eq!(after("math.").await, ["math/x", "math0", "math_x", "z"]);
    assert_eq!(after("a%2Fb").await, after("a/b").await);
    assert_eq!(after("y").await, ["z"]);
    assert_eq!(after("z").await, [""; 0]);
    assert_eq!(after("").await.len(), NAMES.len());
}

/// T29
#[tokio::test]
async fn x_1_2_n_in_all_its_forms() {
    let gantry = Gantry::options().set("limits.catalog_page", "5").start().await;
    with_repositories(&gantry, &NAMES).await;
    let client = gantry.client();
    let none = catalog(&client, "?n=0").await;
    assert_eq!((none.list("repositories").len(), none.next()), (0, None));
    for bad in ["-1", "x", "1.5", "%20"] {
        client.get(&format!("/v2/_catalog?n={bad}")).await.bad("UNSUPPORTED");
    }
    for huge in ["6", "1001", "99999999999999999999999"] {
        let page = catalog(&client, &format!("?n={huge}")).await;
        assert_eq!(page.list("repositories").len(), 5, "clamped");
        assert!(page.next().is_some());
        assert_eq!(pages(&client, &format!("?n={huge}"), 5).await.len(), NAMES.len());
    }
}

///
#[tokio::test]
async fn x_1_5_other_methods_are_405() {
    let client = Gantry::shared().await.client();
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        client
            .call(method, "/v2/_catalog")
            .await
            .status(405)
            .error("UNSUPPORTED")
            .header("allow", "GET, HEAD");
    }
}

/// the default page holds at least what the reference registry gives.
#[tokio::test]
async fn x_1_2_a_page_without_n() {
    let gantry = Gantry::start().await;
    let names: Vec<_> = (0..105).map(|n| format!("r/{n:03}")).collect();
    with_repositories(&gantry, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(catalog(&gantry.client(), "").await.list("repositories").len() >= 100);
    assert_eq!(pages(&gantry.client(), "", 1000).await, names);
}

/// seen from outside: whoever may not read, does not see.
#[tokio::test]
async fn x_1_4_strangers_see_nothing_where_they_may_not_read() {
    let gantry = Gantry::options().account("alice", "a").start().await;
    gantry.client().get("/v2/_catalog").await.status(401).error("UNAUTHORIZED");
    let alice = gantry.client().basic("alice", "a");
    alice.at("alice/app").push_blob(&Blob::new(10)).await;
    assert_eq!(catalog(&alice, "").await.list("repositories"), ["alice/app"]);
}
