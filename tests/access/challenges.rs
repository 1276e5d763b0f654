//! N-14: what callers are told who come without the right credentials, and where they are sent.

use crate::harness::access::{challenge, claims};
use crate::harness::{Alg, Answer, Client, Gantry};
use crate::ops::eventually;

const SESSION: &str = "blobs/uploads/0191d7a8-1c2b-7def-8000-000000000000";

/// All requests that a challenge can answer, and the scope that it names.
fn asked(name: &str) -> Vec<(&'static str, String, String)> {
    let digest = Alg::Sha256.unknown();
    let on = |actions: &str| format!("repository:{name}:{actions}");
    let path = |rest: &str| format!("/v2/{name}/{rest}");
    let mut all = vec![
        ("GET", "/v2/".to_owned(), String::new()),
        ("HEAD", "/v2/".to_owned(), String::new()),
        ("GET", "/v2/_oci/ext/discover".to_owned(), String::new()),
        ("GET", "/v2/_catalog".to_owned(), "registry:catalog:*".to_owned()),
        ("HEAD", "/v2/_catalog".to_owned(), "registry:catalog:*".to_owned()),
        ("POST", path("blobs/uploads/"), on("pull,push")),
        ("PUT", path("manifests/v1"), on("pull,push")),
        ("PUT", path(&format!("manifests/{digest}?tag=a&tag=b")), on("pull,push")),
        ("DELETE", path("manifests/v1"), on("delete")),
        ("DELETE", path(&format!("manifests/{digest}")), on("delete")),
        ("DELETE", path(&format!("blobs/{digest}")), on("delete")),
    ];
    for method in ["GET", "HEAD"] {
        for rest in ["manifests/v1", "tags/list", "_oci/ext/discover"] {
            all.push((method, path(rest), on("pull")));
        }
        for kind in ["manifests", "blobs", "referrers"] {
            all.push((method, path(&format!("{kind}/{digest}")), on("pull")));
        }
    }
    for method in ["GET", "HEAD", "PATCH", "DELETE"] {
        all.push((method, path(SESSION), on("pull,push")));
    }
    all.push(("PUT", path(&format!("{SESSION}?digest={digest}")), on("pull,push")));
    all
}

/// A challenge as it must be, byte for byte.
fn expected(base: &str, service: &str, scope: &str, error: &str) -> String {
    let part = |name: &str, value: &str| match value {
        "" => String::new(),
        _ => format!(",{name}=\"{value}\""),
    };
    format!(
        "Bearer realm=\"{base}/v2/token\",service=\"{service}\"{}{}",
        part("scope", scope),
        part("error", error)
    )
}

fn unauthorized(answer: Answer) -> Answer {
    if answer.method == http::Method::HEAD { answer } else { answer.error("UNAUTHORIZED") }
}

/// T53, N-14: no token, no `error`; one header; the same realm and service everywhere; the actions by the method.
#[tokio::test]
async fn a_6_the_challenge_names_what_the_request_needs() {
    for anonymous in ["none", "read"] {
        let app = Gantry::options().set("auth.anonymous", anonymous).start().await;
        app.user("alice", "a secret 1").await;
        app.namespace("team", "private").await;
        let (host, anon) = (app.address().to_string(), app.client());
        for client in [anon.clone(), anon.http2(None), anon.with("authorization", "Basic Og==")] {
            for (method, path, scope) in asked("team/app") {
                let reads_catalog = anonymous == "read" && path == "/v2/_catalog";
                let answer = client.call(method, &path).await;
                if reads_catalog {
                    answer.status(200).no_header("www-authenticate");
                    continue;
                }
                let found = challenge(&answer);
                assert_eq!(found, expected(&format!("http://{host}"), &host, &scope, ""), "{method} {path}");
                unauthorized(answer);
            }
        }
    }
}

/// a mount needs two scopes, which stand in one parameter; a mount from itself, or from nowhere, needs one.
#[tokio::test]
async fn a_2_a_mount_names_both_repositories() {
    let app = Gantry::start().await;
    app.user("alice", "a secret 1").await;
    let (host, digest) = (app.address().to_string(), Alg::Sha256.unknown());
    let own = "repository:team/app:pull,push";
    for (query, scope) in [
        ("&from=other/place", format!("{own} repository:other/place:pull")),
        ("&from=team/app", own.to_owned()),
        ("&from=UPPER", own.to_owned()),
        ("", own.to_owned()),
    ] {
        let mount = app.client().post(&format!("/v2/team/app/blobs/uploads/?mount={digest}{query}")).await;
        assert_eq!(challenge(&mount), expected(&format!("http://{host}"), &host, &scope, ""), "{query}");
    }
}

/// T52: a token that is none, and one that is for less; the scope is the whole that is needed.
#[tokio::test]
async fn a_3_the_error_says_what_is_wrong_with_a_token() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "delete", "team").await;
    let host = app.address().to_string();
    let garbage = ["abc", "a.b.c", "gty_abc", "eyJhbGciOiJub25lIn0.e30."];
    for token in garbage {
        for (method, path, scope) in asked("team/app") {
            let answer = app.client().bearer(token).call(method, &path).await;
            let expected = expected(&format!("http://{host}"), &host, &scope, "invalid_token");
            assert_eq!(challenge(&answer), expected, "{method} {path}");
            unauthorized(answer);
        }
    }
    // The empty access opens `/v2/` (E-1.5) and nothing else.
    let empty = alice.by_token_for(&[]).await;
    for (method, path, scope) in asked("team/app") {
        let answer = empty.call(method, &path).await;
        if scope.is_empty() {
            answer.status(200);
            continue;
        }
        let expected = expected(&format!("http://{host}"), &host, &scope, "insufficient_scope");
        assert_eq!(challenge(&answer), expected, "{method} {path}");
        unauthorized(answer);
    }
    // A wrong password is no token.
    let wrong = app.client().basic("alice", "wrong").get("/v2/team/app/tags/list").await;
    assert_eq!(challenge(&wrong), expected(&format!("http://{host}"), &host, "repository:team/app:pull", ""));
}

/// asking for what the challenge names, all of it as one string, gives a token that opens the request.
#[tokio::test]
async fn a_1_what_the_challenge_says_leads_in() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "delete", "team").await;
    for (method, path, scope) in asked("team/app") {
        let refused = challenge(&app.client().call(method, &path).await);
        let named =
            refused.split("scope=\"").nth(1).map(|rest| rest.trim_end_matches('"')).unwrap_or_default();
        assert_eq!(named, scope);
        let opened = alice.by_token_for(&[named]).await.call(method, &path).await;
        assert!(!matches!(opened.status, 401 | 403), "{opened:?}");
    }
}

/// A-4, N-17: what no other token changes is 403 and has no challenge.
#[tokio::test]
async fn a_4_a_caller_who_is_known_and_may_not_is_denied() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    for (method, path, scope) in
        asked("team/app").into_iter().filter(|(_, _, scope)| scope.contains("team/app"))
    {
        let answer = alice.call(method, &path).await.status(403).no_header("www-authenticate");
        if answer.method != http::Method::HEAD {
            let answer = answer.error("DENIED");
            let action = scope.rsplit([':', ',']).next().unwrap_or_default();
            let role = format!("the role `{action}` on `team/app`");
            let message = answer.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
            assert!(message.contains("alice") && message.contains(&role), "{message}");
        }
    }
}

/// A-22, T51, N-14: where anonymous callers may read, `/v2/` still tells that there is something to log in to; a token for nobody
/// opens it, and what is public opens without any.
#[tokio::test]
async fn a_22_anonymous_reading_beside_accounts() {
    let app = Gantry::options().set("auth.anonymous", "read").start().await;
    let admin = app.admin("root", "a secret 1").await;
    app.namespace("shut", "private").await;
    let image = crate::harness::image().build();
    admin.at("open/app").push("v1", &image).await;
    admin.at("shut/app").push("v1", &image).await;
    let anon = app.client();
    challenge(&anon.get("/v2/").await);
    anon.at("open/app").has_manifest("v1", &image.manifest).await;
    let scopes = ["repository:open/app:pull,push", "repository:shut/app:pull"];
    let token = anon.token_for(&scopes).await;
    assert_eq!(claims(&token)["sub"], "");
    assert_eq!(crate::harness::access::granted(&token), ["open/app:pull"]);
    let nobody = anon.bearer(&token);
    nobody.get("/v2/").await.status(200).body(b"{}");
    nobody.at("open/app").has_manifest("v1", &image.manifest).await;
    challenge(&nobody.get("/v2/shut/app/manifests/v1").await);
    challenge(&nobody.post("/v2/open/app/blobs/uploads/").await);
}

/// A-28, N-11, N-14: realm and service are on the host that the client asked.
#[tokio::test]
async fn a_28_the_realm_is_where_the_client_came_in() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    for host in ["registry.example", "registry.example:5000", "[::1]:5000", "localhost:443"] {
        let client = app.client().with("host", host);
        let found = challenge(&client.get("/v2/").await);
        assert_eq!(found, expected(&format!("http://{host}"), host, "", ""));
    }
    // What is no host is not repeated.
    for host in ["a\"b", "<script>", "a,b"] {
        if let Ok(answer) = app.client().with("host", host).get("/v2/").try_send().await {
            let said = format!("{:?}", answer.headers);
            assert!(!said.contains("script") && !said.contains("a,b") && !said.contains("a\\\"b"), "{said}");
        }
    }
    // Whoever is not trusted says nothing about where a client came in.
    let own = app.address().to_string();
    let forged = app
        .client()
        .with("x-forwarded-proto", "https")
        .with("x-forwarded-host", "evil.example")
        .with("forwarded", "proto=https;host=evil.example");
    assert_eq!(challenge(&forged.get("/v2/").await), expected(&format!("http://{own}"), &own, "", ""));
    // A token of one door does not open another.
    let token = alice.with("host", "one.example").token_for(&[]).await;
    assert_eq!(claims(&token)["aud"], "one.example");
    let bearer = app.client().bearer(&token);
    bearer.with("host", "one.example").get("/v2/").await.status(200);
    let other = bearer.with("host", "two.example").get("/v2/").await;
    assert!(challenge(&other).ends_with(",error=\"invalid_token\""));
}

/// A-28, T44: the address that is announced, and what trusted proxies say.
#[tokio::test]
async fn a_28_the_realm_behind_proxies() {
    let app = Gantry::options().set("server.trusted_proxies", "['127.0.0.0/8']").start().await;
    let alice = app.user("alice", "a secret 1").await;
    let own = app.address().to_string();
    type Said = &'static [(&'static str, &'static str)];
    let cases: [(Said, &str, &str); 5] = [
        (&[("x-forwarded-proto", "https")], "https", &own),
        (&[("x-forwarded-proto", "https"), ("x-forwarded-host", "r.example")], "https", "r.example"),
        (&[("x-forwarded-host", "r.example:8443, inner.example")], "http", "r.example:8443"),
        (
            &[("forwarded", "for=192.0.2.1;proto=https;host=\"r.example:8443\", for=10.0.0.1")],
            "https",
            "r.example:8443",
        ),
        (&[("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a/b")], "http", "localhost"),
    ];
    for (headers, scheme, host) in cases {
        let through = |client: &Client| {
            headers.iter().fold(client.clone(), |client, (name, value)| client.with(name, value))
        };
        let found = challenge(&through(&app.client()).get("/v2/").await);
        assert_eq!(found, expected(&format!("{scheme}://{host}"), host, "", ""), "{headers:?}");
        let token = through(&alice).token_for(&[]).await;
        through(&app.client()).bearer(&token).get("/v2/").await.status(200);
    }
}

/// `server.public_url` is the only address that is told, whatever was asked.
#[tokio::test]
async fn a_28_the_announced_address_is_the_realm() {
    let url = "https://registry.example:8443/hub";
    let app = Gantry::options().set("server.public_url", &format!("{url:?}")).start().await;
    let alice = app.user("alice", "a secret 1").await;
    app.grant("alice", "push", "team").await;
    for host in ["registry.example:8443", "other.example"] {
        let client = app.client().with("host", host).with("x-forwarded-host", "evil.example");
        let found = challenge(&client.get("/v2/team/app/tags/list").await);
        assert_eq!(found, expected(url, "registry.example:8443", "repository:team/app:pull", ""));
    }
    let token = alice.token_for(&["repository:team/app:pull,push"]).await;
    assert_eq!(claims(&token)["aud"], "registry.example:8443");
    assert_eq!(claims(&token)["iss"], url);
    let begun = app.client().bearer(&token).post("/v2/team/app/blobs/uploads/").await.status(202);
    assert!(begun.location().starts_with("/hub/v2/team/app/blobs/uploads/"), "{}", begun.location());
}

/// The two other ways to write a path are the same request: its scope, its `Location` and its rights are those of `/v2/`.
#[tokio::test]
async fn n_14_other_spellings_of_a_path_are_the_same_request() {
    let app = Gantry::start().await;
    let alice = app.user("alice", "a secret 1").await;
    let grant = app.grant("alice", "push", "store/team").await;
    let host = app.address().to_string();
    for prefix in ["/repositories/store/team/v2", "/v2/repositories/store/team"] {
        for (rest, scope) in [
            ("tags/list", "repository:store/team:pull"),
            ("manifests/v1", "repository:store/team:pull"),
            ("app/deep/manifests/v1", "repository:store/team/app/deep:pull"),
        ] {
            let found = challenge(&app.client().get(&format!("{prefix}/{rest}")).await);
            assert_eq!(found, expected(&format!("http://{host}"), &host, scope, ""), "{prefix}/{rest}");
        }
        let path = format!("{prefix}/app/blobs/uploads/");
        let found = challenge(&app.client().post(&path).await);
        let scope = "repository:store/team/app:pull,push";
        assert_eq!(found, expected(&format!("http://{host}"), &host, scope, ""));
        let bearer = alice.by_token_for(&[scope]).await;
        for client in [&alice, &bearer] {
            let location = client.post(&path).await.status(202).location();
            assert!(location.starts_with("/v2/store/team/app/blobs/uploads/"), "{location}");
            client.get(&location).await.status(204);
        }
    }
    app.ungrant(grant).await;
    eventually("the right is gone", async || {
        let again = alice.post("/repositories/store/team/v2/app/blobs/uploads/").await;
        (again.status == 403).then_some(())
    })
    .await;
}
