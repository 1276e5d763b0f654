//! Every endpoint and method of the registry for every kind of caller.
//!
//! The rows come from [`Endpoint::ALL`]: an endpoint that is not in [`needs`] does not compile, one that has a method more than
//! is written there fails the test.

use gantry_oci::Endpoint;
use serde_json::json;

use crate::harness::{Alg, Client, Gantry, Image, image};
use crate::ops::eventually;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const NAME: &str = "team/app";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// To be somebody.
    Greet,
    Catalog,
    Pull,
    Push,
    Delete,
}

/// The methods of an endpoint, what each needs, and how it is answered to those who have it. The others are 405.
fn needs(endpoint: Endpoint) -> &'static [(&'static str, Need, u16)] {
    use Need::{Catalog, Delete, Greet, Pull, Push};
    match endpoint {
        Endpoint::Version | Endpoint::Extensions => &[("GET", Greet, 200), ("HEAD", Greet, 200)],
        Endpoint::Catalog => &[("GET", Catalog, 200), ("HEAD", Catalog, 200)],
        Endpoint::Tags | Endpoint::Referrers | Endpoint::RepositoryExtensions => {
            &[("GET", Pull, 200), ("HEAD", Pull, 200)]
        }
        Endpoint::Manifest => {
            &[("GET", Pull, 200), ("HEAD", Pull, 200), ("PUT", Push, 201), ("DELETE", Delete, 202)]
        }
        Endpoint::Blob => &[("GET", Pull, 200), ("HEAD", Pull, 200), ("DELETE", Delete, 202)],
        Endpoint::Uploads => &[("POST", Push, 202)],
        Endpoint::Upload => &[
            ("GET", Push, 204),
            ("HEAD", Push, 204),
            ("PATCH", Push, 202),
            ("PUT", Push, 201),
            ("DELETE", Push, 204),
        ],
    }
}

struct Caller {
    who: &'static str,
    client: Client,
    /// The most that it may do in `team`.
    may: Option<Need>,
    /// How it is refused.
    refused: u16,
    greeted: bool,
    catalog: bool,
    /// Its credentials are nobody's: it is refused before anything else is looked at.
    nobody: bool,
}

impl Caller {
    fn new(who: &'static str, client: &Client, may: Option<Need>) -> Caller {
        Caller { who, client: client.clone(), may, refused: 403, greeted: true, catalog: true, nobody: false }
    }

    /// By a bearer token: another one might help.
    fn by_bearer(self) -> Caller {
        Caller { refused: 401, ..self }
    }

    fn nobody(who: &'static str, client: &Client) -> Caller {
        Caller {
            refused: 401,
            greeted: false,
            catalog: false,
            nobody: true,
            ..Caller::new(who, client, None)
        }
    }

    fn expected(&self, needed: Option<(Need, u16)>) -> u16 {
        let Some((need, status)) = needed else { return if self.nobody { 401 } else { 405 } };
        let allowed = match need {
            Need::Greet => self.greeted,
            Need::Catalog => self.catalog,
            _ => self.may.is_some_and(|may| may >= need),
        };
        if allowed { status } else { self.refused }
    }
}

async fn callers(app: &Gantry, root: &Client) -> Vec<Caller> {
    use Need::{Delete, Pull, Push};
    let any = |secret: &str| app.client().basic("any", secret);
    let everything = ["repository:team/app:pull,push,delete registry:catalog:*"];
    let mut all = vec![Caller { nobody: false, ..Caller::nobody("anonymous", &app.client()) }];
    for (who, role, pattern, may) in [
        ("reader", "pull", "team", Some(Pull)),
        ("writer", "push", "team/*", Some(Push)),
        ("deleter", "delete", "team/app", Some(Delete)),
        ("admin of the namespace", "admin", "team", Some(Delete)),
        ("admin of another namespace", "admin", "other", None),
    ] {
        let name = who.replace(' ', "-");
        let client = app.user(&name, "a secret 1").await;
        app.grant(&name, role, pattern).await;
        all.push(Caller::new(who, &client, may));
        all.push(Caller::new(who, &client.by_token_for(&everything).await, may).by_bearer());
    }
    let stranger = app.user("stranger", "a secret 1").await;
    all.push(Caller::new("somebody without a right", &stranger, None));
    let empty = Caller::new("an empty token", &stranger.by_token_for(&[]).await, None).by_bearer();
    all.push(Caller { catalog: false, ..empty });
    let nobody =
        Caller::new("a token for nobody", &app.client().by_token_for(&everything).await, None).by_bearer();
    all.push(Caller { catalog: false, ..nobody });
    let robot = app.robot("ci", &["team/**:pull,push"]).await;
    all.push(Caller::new("robot", &any(&robot.secret), Some(Push)));
    all.push(
        Caller::new("robot", &any(&robot.secret).by_token_for(&everything).await, Some(Push)).by_bearer(),
    );
    let narrowed = app.token("root", &["team/app:pull"]).await;
    all.push(Caller::new("a narrowed token of the server admin", &any(&narrowed.secret), Some(Pull)));
    let revoked = app.token("root", &[]).await;
    app.revoke(&revoked).await;
    // As bearer tokens: whoever fails too often by Basic waits (N-10).
    all.push(Caller::nobody("a revoked token", &app.client().bearer(&revoked.secret)));
    let expired = app.made(json!({ "name": "short", "owner": "root", "expires": "100ms" })).await;
    let expired = app.client().bearer(&expired.secret);
    eventually("the token ends", async || (expired.get("/v2/").await.status == 401).then_some(())).await;
    all.push(Caller::nobody("an expired token", &expired));
    all.push(Caller::nobody("a token that is none", &app.client().bearer("e30.e30.e30")));
    app.user("disabled", "a secret 1").await;
    let disabled = app.token("disabled", &[]).await;
    app.change_user("disabled", json!({ "disabled": true })).await;
    all.push(Caller::nobody("a token of a disabled account", &app.client().bearer(&disabled.secret)));
    all.push(Caller::new("server admin", root, Some(Delete)));
    all.push(Caller::new("server admin", &root.by_token_for(&everything).await, Some(Delete)).by_bearer());
    all
}

/// The path of something that is there, so that nobody is refused for another reason.
async fn path(endpoint: Endpoint, method: &str, caller: &Caller, root: &Client, kept: &Image) -> String {
    let repo = root.at(NAME);
    let goes = method == "DELETE" && caller.may == Some(Need::Delete);
    let image = if goes { image().build() } else { kept.clone() };
    match endpoint {
        Endpoint::Version => "/v2/".to_owned(),
        Endpoint::Catalog => "/v2/_catalog".to_owned(),
        Endpoint::Extensions => "/v2/_oci/ext/discover".to_owned(),
        Endpoint::RepositoryExtensions => repo.path("_oci/ext/discover"),
        Endpoint::Tags => repo.path("tags/list"),
        Endpoint::Referrers => repo.path(&format!("referrers/{}", kept.digest())),
        Endpoint::Uploads => repo.uploads(),
        Endpoint::Manifest => {
            if goes {
                repo.push("goes", &image).await;
            }
            repo.manifest(if goes { "goes" } else { "v1" })
        }
        Endpoint::Blob => {
            if goes {
                repo.push_blob(&image.blobs[0]).await;
            }
            repo.blob(&image.blobs[0].digest)
        }
        Endpoint::Upload => {
            let opener = if caller.may >= Some(Need::Push) { &caller.client } else { root };
            let location = opener.at(NAME).start_upload().await;
            format!("{location}?digest={}", Alg::Sha256.of(b""))
        }
    }
}

#[tokio::test]
async fn n_17_every_endpoint_for_every_caller() {
    let app = Gantry::start().await;
    let root = app.admin("root", "a secret 1").await;
    app.namespace("team", "private").await;
    let kept = image().build();
    root.at(NAME).push("v1", &kept).await;
    let callers = callers(&app, &root).await;
    let mut cells = 0;
    let mut wrong = Vec::new();
    for endpoint in Endpoint::ALL {
        for method in METHODS {
            let needed = needs(*endpoint)
                .iter()
                .find(|(of, ..)| *of == method)
                .map(|(_, need, status)| (*need, *status));
            for caller in &callers {
                let path = path(*endpoint, method, caller, &root, &kept).await;
                let mut call = caller.client.call(method, &path);
                if method == "PUT" && *endpoint == Endpoint::Manifest {
                    call = call
                        .header("content-type", &kept.manifest.media_type)
                        .body(kept.manifest.bytes.clone());
                }
                let answer = call.await;
                let expected = caller.expected(needed);
                cells += 1;
                if answer.status != expected {
                    wrong.push(format!(
                        "{}: {method} {path}: {} and not {expected}",
                        caller.who, answer.status
                    ));
                }
                // Whoever could come again with other credentials is told where to get them, and nobody else.
                if (answer.status == 401) != answer.headers.contains_key("www-authenticate") {
                    wrong.push(format!(
                        "{}: {method} {path}: {} and its challenge",
                        caller.who, answer.status
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cells} cells:\n{}", wrong.len(), wrong.join("\n"));
    root.at(NAME).has_manifest("v1", &kept.manifest).await;
}
