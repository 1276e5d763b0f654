//! N-16, N-17: who sees what, and what strangers can tell.

use crate::harness::repo::with;
use crate::harness::{Alg, Client, Gantry, Image, image};

struct World {
    app: Gantry,
    built: Image,
    root: Client,
    /// With no right anywhere.
    stranger: Client,
    /// With a token for something else.
    elsewhere: Client,
    writer: Client,
}

const KINDS: [&str; 3] = ["public", "private", "hidden"];

/// One namespace of each visibility, with the same image in it.
async fn world(anonymous: &str) -> World {
    let app = Gantry::options().set("auth.anonymous", anonymous).start().await;
    let root = app.admin("root", "a secret 1").await;
    let stranger = app.user("stranger", "a secret 1").await;
    let writer = app.user("writer", "a secret 1").await;
    let made = app.token("writer", &["elsewhere/**:pull"]).await;
    let built = image().build();
    for kind in KINDS {
        app.namespace(kind, kind).await;
        app.grant("writer", "push", kind).await;
        root.at(&format!("{kind}/app")).push("v1", &built).await;
    }
    let elsewhere = app.client().basic("any", &made.secret);
    World { app, built, root, stranger, elsewhere, writer }
}

/// Statuses of pulling, pushing and deleting.
async fn tried(client: &Client, kind: &str, built: &Image) -> [u16; 3] {
    let repo = client.at(&format!("{kind}/app"));
    let mut pulls = Vec::new();
    for path in [
        repo.manifest("v1"),
        repo.manifest(built.digest()),
        repo.blob(&built.blobs[0].digest),
        repo.path("tags/list"),
        repo.path(&format!("referrers/{}", built.digest())),
    ] {
        pulls.push(client.get(&path).await.status);
        assert_eq!(client.head(&path).await.status, pulls[0], "{path}");
    }
    assert!(pulls.iter().all(|status| *status == pulls[0]), "{kind}: {pulls:?}");
    let push = client.post(&repo.uploads()).await.status;
    let delete = client.delete(&repo.manifest("no-such-tag")).await.status;
    [pulls[0], push, delete]
}

/// N-16: visibility is about pulls; pushing needs a right and not just an account.
#[tokio::test]
async fn n_16_who_may_do_what_where() {
    for anonymous in ["none", "read", "write"] {
        let World { app, built, root, stranger, elsewhere, writer } = world(anonymous).await;
        let anon = if anonymous == "none" { 401 } else { 200 };
        let nobody = app.client();
        for (kind, who, client, expected) in [
            ("public", "nobody", &nobody, [anon, 401, 401]),
            ("public", "a stranger", &stranger, [200, 403, 403]),
            ("public", "a token for something else", &elsewhere, [200, 403, 403]),
            ("public", "a writer", &writer, [200, 202, 403]),
            ("public", "an admin", &root, [200, 202, 404]),
            ("private", "nobody", &nobody, [401, 401, 401]),
            ("private", "a stranger", &stranger, [403, 403, 403]),
            ("private", "a token for something else", &elsewhere, [403, 403, 403]),
            ("private", "a writer", &writer, [200, 202, 403]),
            ("private", "an admin", &root, [200, 202, 404]),
            ("hidden", "nobody", &nobody, [anon, 401, 401]),
            ("hidden", "a stranger", &stranger, [200, 403, 403]),
            ("hidden", "a token for something else", &elsewhere, [200, 403, 403]),
            ("hidden", "a writer", &writer, [200, 202, 403]),
            ("hidden", "an admin", &root, [200, 202, 404]),
        ] {
            assert_eq!(tried(client, kind, &built).await, expected, "anonymous {anonymous}, {kind}, {who}");
        }
        // A bearer token that was bought for something else pulls what is public, and no more.
        let bearer = stranger.by_token_for(&["repository:elsewhere/app:pull"]).await;
        assert_eq!(tried(&bearer, "public", &built).await, [200, 401, 401]);
        assert_eq!(tried(&bearer, "private", &built).await, [401, 401, 401]);
        assert_eq!(tried(&bearer, "hidden", &built).await, [200, 401, 401]);
    }
}

/// N-16: who knows the name pulls; nobody finds it who may not push there.
#[tokio::test]
async fn n_16_what_is_hidden_is_in_no_list() {
    let World { app, built, root, stranger, elsewhere, writer } = world("read").await;
    let list = async |client: &Client| client.get("/v2/_catalog").await.status(200).list("repositories");
    let reader = app.user("reader", "a secret 1").await;
    app.grant("reader", "pull", "hidden").await;
    let catalog = ["registry:catalog:*"];
    for client in [
        &app.client(),
        &stranger,
        &reader,
        &app.client().by_token_for(&catalog).await,
        &stranger.by_token_for(&catalog).await,
    ] {
        assert_eq!(list(client).await, ["public/app"]);
        client.at("hidden/app").has_manifest("v1", &built.manifest).await;
    }
    assert_eq!(list(&elsewhere).await, ["public/app"]);
    for client in [&writer, &root, &writer.by_token_for(&catalog).await] {
        assert_eq!(list(client).await, ["hidden/app", "private/app", "public/app"]);
    }
    // Neither does a refusal speak of it.
    for name in ["hidden/app", "hidden/nothing"] {
        for client in [&stranger, &app.client()] {
            let refused = client.post(&client.at(name).uploads()).await;
            assert!(!String::from_utf8_lossy(&refused.body).contains("hidden namespace"), "{refused:?}");
        }
    }
}

/// What an answer looks like when the name in it does not count.
async fn shape(
    client: &Client,
    method: &str,
    path: &str,
    name: &str,
) -> (u16, Vec<(String, String)>, String) {
    let answer = client.call(method, path).await;
    let neutral = |text: &str| text.replace(name, "NAME");
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(key, _)| !["date", "x-request-id", "content-length"].contains(&key.as_str()))
        .map(|(key, value)| (key.to_string(), neutral(&String::from_utf8_lossy(value.as_bytes()))))
        .collect();
    headers.sort();
    (answer.status, headers, neutral(&String::from_utf8_lossy(&answer.body)))
}

/// N-17: to whoever may not know of a repository, one that is there and one that is not answer alike: status, headers and body.
#[tokio::test]
async fn n_17_existing_and_missing_look_the_same_to_strangers() {
    let World { app, built, root, stranger, elsewhere, writer } = world("read").await;
    let session = root.at("private/app").start_upload().await;
    let id = session.rsplit('/').next().unwrap_or_default().to_owned();
    let bearer = stranger
        .by_token_for(&["repository:private/app:pull,push", "repository:private/none:pull,push"])
        .await;
    let (digest, blob) = (built.digest().to_owned(), built.blobs[0].digest.clone());
    let unknown = Alg::Sha256.unknown();
    for (who, client) in [
        ("nobody", &app.client()),
        ("a stranger", &stranger),
        ("elsewhere", &elsewhere),
        ("a bearer", &bearer),
    ] {
        for (there, missing) in [
            ("manifests/v1".to_owned(), "manifests/v1".to_owned()),
            (format!("manifests/{digest}"), format!("manifests/{digest}")),
            (format!("blobs/{blob}"), format!("blobs/{blob}")),
            ("tags/list".to_owned(), "tags/list".to_owned()),
            (format!("referrers/{digest}"), format!("referrers/{digest}")),
            (format!("blobs/uploads/{id}"), format!("blobs/uploads/{id}")),
            (format!("blobs/uploads/{id}?digest={blob}"), format!("blobs/uploads/{id}?digest={blob}")),
            ("blobs/uploads/".to_owned(), "blobs/uploads/".to_owned()),
            (
                format!("blobs/uploads/?mount={blob}&from=public/app"),
                format!("blobs/uploads/?mount={unknown}&from=public/app"),
            ),
            ("_oci/ext/discover".to_owned(), "_oci/ext/discover".to_owned()),
        ] {
            for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] {
                let one = shape(client, method, &format!("/v2/private/app/{there}"), "private/app").await;
                let other =
                    shape(client, method, &format!("/v2/private/none/{missing}"), "private/none").await;
                assert_eq!(one, other, "{who}: {method} {there}");
            }
        }
    }
    // A mount from a repository that one may not read, and from one that is not there.
    let own = image().build();
    root.at("private/app").push("own", &own).await;
    let blob = own.blobs[0].digest.clone();
    for client in [&writer, &root] {
        client.get("/v2/private/app/manifests/v1").await.status(200);
    }
    app.grant("stranger", "push", "own").await;
    let begun = async |from: &str, digest: &str| {
        let answer = stranger.post(&format!("/v2/own/app/blobs/uploads/?mount={digest}&from={from}")).await;
        let mut names: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
        names.sort();
        (answer.status, names, answer.body.len())
    };
    let expected = begun("private/none", &unknown).await;
    assert_eq!(expected.0, 202);
    for (from, digest) in
        [("private/app", &blob), ("private/none", &blob), ("private/app", &unknown), ("hidden/none", &blob)]
    {
        assert_eq!(begun(from, digest).await, expected, "{from}");
    }
    assert_eq!(begun("", &blob).await.0, 202, "what is only in places that one may not read is not found");
    stranger.at("own/app").lacks_blob(&blob).await;
    assert_eq!(root.at("private/app").progress(&session).await, "0-0", "the upload is unharmed");
}

/// N-17, N-10: wrong passwords read the same for names that are there and names that are not.
#[tokio::test]
async fn n_17_names_of_accounts_cannot_be_found_out() {
    let World { app, .. } = world("read").await;
    app.change_user("writer", serde_json::json!({ "disabled": true })).await;
    let mut seen = Vec::new();
    for name in ["root", "stranger", "writer", "unknown", "jörg", "group"] {
        let client = app.client().basic(name, "wrong");
        let mut answers = Vec::new();
        for path in ["/v2/", "/v2/private/app/manifests/v1", "/v2/token?scope=repository:private/app:pull"] {
            answers.push(shape(&client, "GET", path, name).await);
        }
        let login = app
            .client()
            .post("/api/session")
            .json(&serde_json::json!({ "user": name, "password": "wrong" }))
            .await;
        let problem = login.json();
        answers.push((login.status, Vec::new(), format!("{} {}", problem["type"], problem["detail"])));
        seen.push((name, answers));
    }
    for (name, answers) in &seen {
        assert_eq!(answers, &seen[0].1, "{name}");
    }
}

/// N-18, N-16: a blob of a repository that one may not read is not to be had by a manifest either.
#[tokio::test]
async fn n_18_a_manifest_names_blobs_of_its_own_repository_only() {
    let World { app, built, root, stranger, .. } = world("read").await;
    app.grant("stranger", "delete", "own").await;
    let own = stranger.at("own/app");
    for kind in KINDS {
        let theirs = image().build();
        root.at(&format!("{kind}/app")).push("v2", &theirs).await;
        own.put_manifest("stolen", &theirs.manifest).await.bad("MANIFEST_BLOB_UNKNOWN");
        own.lacks_manifest("stolen").await;
        for blob in &theirs.blobs {
            own.lacks_blob(&blob.digest).await;
            // What one may read may be mounted, and then named.
            let mount = format!("{}?mount={}&from={kind}/app", own.uploads(), blob.digest);
            let status = if kind == "private" { 202 } else { 201 };
            stranger.post(&mount).await.status(status);
        }
        let put = own.put_manifest("mounted", &theirs.manifest).await;
        assert_eq!(put.status, if kind == "private" { 400 } else { 201 }, "{kind}");
    }
    let location = own.start_upload().await;
    stranger.put(&with(&location, "digest", &built.blobs[0].digest), "").await.bad("DIGEST_INVALID");
}

/// Where there are no accounts a refusal says so: no login would help.
#[tokio::test]
async fn a_namespace_of_a_server_without_accounts_says_why_nobody_may_push() {
    let app = Gantry::start().await;
    app.namespace("pub", "public").await;
    let answer = app.client().post("/v2/pub/a/blobs/uploads/").await.status(403);
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(text.contains("there are no accounts"), "{text}");
}
