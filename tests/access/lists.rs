//! N-16: each sees of the catalog what is theirs, in pages that stay full.

use crate::harness::{Blob, Client, Gantry};

/// Names over several namespaces, in no order: some are below others, some begin alike.
fn names() -> Vec<String> {
    let mut names = Vec::new();
    for number in 0..30 {
        names.push(format!("pub/r{number:02}"));
        names.push(format!("priv/team-{}/app{number:02}", number % 5));
        names.push(format!("hid/{}/r{number:02}", ["a", "b", "c"][number % 3]));
        names.push(format!("priv/mix{}{number:02}", ["/", "-", ".", "_"][number % 4]));
    }
    names.extend(
        ["pub", "priv", "hid", "priv/team", "pub/open/shut/x", "pub/open/y", "zz/unnamed", "aa"]
            .map(str::to_owned),
    );
    names
}

/// Follows `Link` to the end; each page but the last must be full.
async fn pages(client: &Client, n: usize) -> Vec<String> {
    let (mut all, mut target) = (Vec::new(), format!("/v2/_catalog?n={n}"));
    for _ in 0..1000 {
        let page = client.get(&target).await.status(200);
        let names = page.list("repositories");
        assert!(names.len() <= n, "{} names in a page of {n}", names.len());
        let next = page.next();
        assert!(
            next.is_none() || names.len() == n,
            "a page of {n} has {} names, and another follows",
            names.len()
        );
        all.extend(names);
        let Some(next) = next else { return all };
        target = next;
    }
    panic!("the pages do not end");
}

/// What stands in a caller's catalog is what the caller may pull; of what is hidden, what the caller may push to. For callers and page
/// sizes of all kinds, against what the registry says about each repository.
#[tokio::test]
async fn n_16_pages_of_the_catalog_are_full_and_whole() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let root = app.admin("root", "a secret 1").await;
    for (prefix, visibility) in [
        ("pub", "public"),
        ("priv", "private"),
        ("hid", "hidden"),
        ("pub/open/shut", "private"),
        ("priv/mix", "public"),
    ] {
        app.namespace(prefix, visibility).await;
    }
    let (mut names, blob) = (names(), Blob::new(10));
    for name in &names {
        root.at(name).push_blob(&blob).await;
    }
    names.sort_unstable();
    names.dedup();

    let plain = app.user("plain", "a secret 1").await;
    let mixed = app.user("mixed", "a secret 1").await;
    for (role, pattern) in [
        ("pull", "priv/team-1"),
        ("push", "priv/team-*/app0*"),
        ("push", "hid/b"),
        ("pull", "hid/c"),
        ("delete", "pub/open"),
    ] {
        app.grant("mixed", role, pattern).await;
    }
    let wide = app.user("wide", "a secret 1").await;
    app.grant("wide", "pull", "**").await;
    let grouped = app.user("grouped", "a secret 1").await;
    app.change_user("grouped", serde_json::json!({ "groups": ["devs"] })).await;
    app.grant("group:devs", "push", "priv/mix-02").await;
    let narrowed = app.token("mixed", &["priv/team-1/**:pull", "hid/b/**:pull,push"]).await;
    let robot = app.robot("ci", &["priv/*/app*:pull", "hid/a/**:pull,push"]).await;
    let any = |secret: &str| app.client().basic("any", secret);
    let catalog = ["registry:catalog:*"];
    let callers: Vec<(&str, Client, Client)> = vec![
        ("nobody", app.client(), app.client()),
        ("nobody by a token", app.client().by_token_for(&catalog).await, app.client()),
        ("plain", plain.clone(), plain),
        ("mixed", mixed.clone(), mixed.clone()),
        ("mixed by a bearer token", mixed.by_token_for(&catalog).await, mixed.clone()),
        ("wide", wide.clone(), wide),
        ("grouped", grouped.clone(), grouped),
        ("narrowed", any(&narrowed.secret), any(&narrowed.secret)),
        (
            "narrowed by a bearer token",
            any(&narrowed.secret).by_token_for(&catalog).await,
            any(&narrowed.secret),
        ),
        ("robot", any(&robot.secret), any(&robot.secret)),
        ("robot by a bearer token", any(&robot.secret).by_token_for(&catalog).await, any(&robot.secret)),
        ("root", root.clone(), root.clone()),
    ];
    let mut lengths = Vec::new();
    for (who, lister, doer) in &callers {
        let mut expected = Vec::new();
        for name in &names {
            let repo = doer.at(name);
            let hidden = name == "hid" || name.starts_with("hid/");
            let seen = match hidden {
                true => doer.post(&repo.uploads()).await.status == 202,
                false => doer.head(&repo.path("tags/list")).await.status == 200,
            };
            if seen {
                expected.push(name.clone());
            }
        }
        for n in [1, 2, 3, 7, 20, 50, 1000] {
            assert_eq!(pages(lister, n).await, expected, "{who}, n={n}");
        }
        // In the middle, and beyond a name that the caller does not see.
        for last in ["hid/b/r01", "priv/team-1/app01", "priv/zzz", "a", "zzz"] {
            let page =
                lister.get(&format!("/v2/_catalog?n=5&last={}", last.replace('/', "%2F"))).await.status(200);
            let rest: Vec<_> = expected.iter().filter(|name| name.as_str() > last).take(5).cloned().collect();
            assert_eq!(page.list("repositories"), rest, "{who}, last={last}");
        }
        lengths.push(expected.len());
    }
    lengths.sort_unstable();
    lengths.dedup();
    assert!(lengths.len() > 5, "callers differ in what they see: {lengths:?}");
}

/// with `auth.anonymous = "none"` there is no catalog for nobody, and a token for it is one for nothing.
#[tokio::test]
async fn x_1_4_no_catalog_for_nobody() {
    let app = Gantry::start().await;
    app.user("alice", "a secret 1").await;
    app.namespace("pub", "public").await;
    app.client().get("/v2/_catalog").await.status(401);
    let token = app.client().token_for(&["registry:catalog:*"]).await;
    assert!(crate::harness::access::granted(&token).is_empty());
    app.client().bearer(&token).get("/v2/_catalog").await.status(401);
    for path in [
        "/v2/_catalog/",
        "//v2/_catalog",
        "/v2//_catalog",
        "/v2/./_catalog",
        "/v2/%5Fcatalog",
        "/v2/_CATALOG",
        "/token/../v2/_catalog",
    ] {
        let answer = app.client().get(path).await;
        assert!(answer.status >= 400, "{answer:?}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("repositories"), "{answer:?}");
    }
}
