//! A small Index and a small v1 registry, of somebody else: they know nothing of Gantry, and are what the documents of then say.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::content::V1Image;
use crate::harness::other::{Other, Question, Reply};

/// An Index with accounts, repositories and tokens.
pub(crate) struct TestIndex {
    server: Other,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    accounts: HashMap<String, String>,
    repositories: BTreeMap<String, Repository>,
    /// Tokens as they were given out, with the repository.
    tokens: HashMap<String, String>,
    /// Images of private repositories that nobody gets.
    withheld: BTreeSet<String>,
}

#[derive(Clone, Default)]
struct Repository {
    private: bool,
    members: Vec<String>,
    ids: Vec<String>,
}

impl Deref for TestIndex {
    type Target = Other;
    fn deref(&self) -> &Other {
        &self.server
    }
}

static TOKENS: AtomicUsize = AtomicUsize::new(1);

impl TestIndex {
    pub(crate) async fn start() -> TestIndex {
        let known: Arc<Mutex<Known>> = Arc::default();
        let own = Arc::clone(&known);
        let server = Other::start(move |question| own.lock().expect("the Index").answer(question)).await;
        TestIndex { server, known }
    }

    pub(crate) fn account(&self, name: &str, password: &str) {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.known.lock().expect("the Index").accounts.insert(format!("Basic {pair}"), name.to_owned());
    }

    /// A repository, `NAMESPACE/NAME`, that these accounts may push to, and pull from when it is private.
    pub(crate) fn repository(&self, name: &str, private: bool, members: &[&str]) {
        let members = members.iter().map(|name| (*name).to_owned()).collect();
        let repository = Repository { private, members, ids: Vec::new() };
        self.known.lock().expect("the Index").repositories.insert(name.to_owned(), repository);
    }

    /// The images of a repository, as pushes told them.
    pub(crate) fn ids(&self, name: &str) -> Vec<String> {
        self.known.lock().expect("the Index").repositories[name].ids.clone()
    }

    /// All tokens end.
    pub(crate) fn revoke(&self) {
        self.known.lock().expect("the Index").tokens.clear();
    }

    /// Nobody gets this image any more.
    pub(crate) fn withhold(&self, id: &str) {
        self.known.lock().expect("the Index").withheld.insert(id.to_owned());
    }
}

impl Known {
    fn answer(&mut self, question: &Question) -> Reply {
        let path = question.path.trim_end_matches('/').to_owned();
        let account = self.accounts.get(question.header("authorization")).cloned();
        if path == "/v1/users" {
            return match (&question.method, account) {
                (&Method::GET, Some(_)) => Reply::json(200, &json!("OK")),
                (&Method::POST, _) => Reply::json(400, &json!("Username or email already exists")),
                _ => refusal(),
            };
        }
        let Some(rest) = path.strip_prefix("/v1/repositories/") else { return Reply::new(404, "") };
        let (name, part) = match rest.rsplit_once('/') {
            Some((rest, "access")) => {
                let (rest, id) = rest.rsplit_once('/').expect("an id");
                return self.access(question, rest.trim_end_matches("/layer"), id);
            }
            Some((name, part @ ("images" | "auth"))) => (name, part),
            _ => (rest, ""),
        };
        let name = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
        let Some(repository) = self.repositories.get(&name).cloned() else {
            return Reply::json(404, &json!({ "error": "Repository not found" }));
        };
        if let Some(token) = question.header("authorization").strip_prefix("Token ") {
            // What a registry asks.
            return match self.tokens.get(token) == Some(&name) {
                true if part == "auth" => Reply::json(200, &json!("OK")),
                true => Reply::json(200, &list(&repository.ids)),
                false => refusal(),
            };
        }
        let member = account.is_some_and(|account| repository.members.contains(&account));
        let (access, reply) = match (&question.method, part) {
            (&Method::PUT, "" | "images") if member => {
                let told: Value = serde_json::from_slice(&question.body).expect("JSON");
                let told = told.as_array().expect("a list").iter().map(|one| one["id"].as_str());
                let ids = &mut self.repositories.get_mut(&name).expect("the repository").ids;
                ids.extend(told.flatten().map(str::to_owned));
                ("write", Reply::json(if part.is_empty() { 200 } else { 204 }, &json!("")))
            }
            (&Method::GET, "images") if member || !repository.private => {
                ("read", Reply::json(200, &list(&repository.ids)))
            }
            (&Method::DELETE, "") if member => ("delete", Reply::json(202, &json!(""))),
            _ => return refusal(),
        };
        let number = TOKENS.fetch_add(1, Ordering::Relaxed);
        let token = format!("signature=f{number:08x},repository=\"{name}\",access={access}");
        self.tokens.insert(token.clone(), name);
        reply
            .with("x-docker-token", &token)
            .with("www-authenticate", &format!("Token {token}"))
            .with("x-docker-endpoints", "registry-1.elsewhere.example, registry-2.elsewhere.example")
            .with("set-cookie", "session=secret")
    }

    fn access(&self, question: &Question, name: &str, id: &str) -> Reply {
        let token = question.header("authorization").strip_prefix("Token ").unwrap_or_default();
        match self.tokens.get(token).is_some_and(|of| of == name) {
            true => Reply::json(200, &json!({ "access": !self.withheld.contains(id) })),
            false => refusal(),
        }
    }
}

fn refusal() -> Reply {
    let challenge = "Basic realm=\"the index\",Token";
    Reply::json(401, &json!({ "error": "Requires authorization" })).with("www-authenticate", challenge)
}

fn list(ids: &[String]) -> Value {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

/// A v1 registry, and its own Index, with what was put into it.
pub(crate) struct TestRegistry {
    server: Other,
    held: Arc<Mutex<Held>>,
    /// How much of each layer goes out.
    gate: watch::Sender<usize>,
}

#[derive(Default)]
struct Held {
    /// `NAMESPACE/NAME` to tags.
    tags: BTreeMap<String, BTreeMap<String, String>>,
    images: HashMap<String, V1Image>,
    /// What is said of layers: of what was held at first.
    sums: HashMap<String, (usize, String)>,
    /// Whether there are tokens.
    tokens: Option<String>,
    /// Whether lengths of layers are announced.
    unannounced: bool,
}

impl Deref for TestRegistry {
    type Target = Other;
    fn deref(&self) -> &Other {
        &self.server
    }
}

impl TestRegistry {
    pub(crate) async fn start() -> TestRegistry {
        let held: Arc<Mutex<Held>> = Arc::default();
        let (gate, opens) = watch::channel(usize::MAX);
        let own = Arc::clone(&held);
        let server =
            Other::start(move |question| own.lock().expect("the registry").answer(question, &opens)).await;
        TestRegistry { server, held, gate }
    }

    /// A chain, base first, with a tag on its top.
    pub(crate) fn hold(&self, name: &str, chain: &[V1Image], tag: &str) {
        let mut held = self.held.lock().expect("the registry");
        held.images.extend(chain.iter().map(|image| (image.id.clone(), image.clone())));
        held.sums.extend(chain.iter().map(|image| (image.id.clone(), (image.layer.len(), image.payload()))));
        let top = chain.last().expect("an image").id.clone();
        held.tags.entry(name.to_owned()).or_default().insert(tag.to_owned(), top);
    }

    /// Another layer than its checksum fits, from now on.
    pub(crate) fn corrupt(&self, image: &V1Image, layer: impl Into<Bytes>) {
        let mut held = self.held.lock().expect("the registry");
        held.images.get_mut(&image.id).expect("the image").layer = layer.into();
    }

    /// Gives out this token, and answers nobody without it.
    pub(crate) fn wants_token(&self, token: &str) {
        self.held.lock().expect("the registry").tokens = Some(token.to_owned());
    }

    /// Layers come in chunks whose sum nobody knows.
    pub(crate) fn announces_nothing(&self) {
        self.held.lock().expect("the registry").unannounced = true;
    }

    /// Of each layer so many bytes go out, until more are let.
    pub(crate) fn lets(&self, bytes: usize) {
        self.gate.send_replace(bytes);
    }

    /// How often a layer was asked for.
    pub(crate) fn layers_of(&self, image: &V1Image) -> usize {
        self.asked_for("GET", &format!("/v1/images/{}/layer", image.id))
    }
}

impl Held {
    fn answer(&self, question: &Question, gate: &watch::Receiver<usize>) -> Reply {
        let missing = || Reply::json(404, &json!({ "error": "Image not found" }));
        if question.method != Method::GET {
            return Reply::new(405, "");
        }
        if let Some(rest) = question.path.strip_prefix("/v1/repositories/") {
            if let Some(name) = rest.strip_suffix("/images") {
                let full = if name.contains('/') { name.to_owned() } else { format!("library/{name}") };
                if !self.tags.contains_key(&full) {
                    return missing();
                }
                let reply =
                    Reply::json(200, &json!([])).with("x-docker-endpoints", "elsewhere.example, 10.0.0.1:80");
                return match &self.tokens {
                    Some(token) => reply.with("x-docker-token", token),
                    None => reply,
                };
            }
            if !self.may(question) {
                return refusal();
            }
            let tags = rest.strip_suffix("/tags").and_then(|name| self.tags.get(name));
            return tags.map_or_else(missing, |tags| Reply::json(200, &json!(tags)));
        }
        if !self.may(question) {
            return refusal();
        }
        let Some((id, part)) =
            question.path.strip_prefix("/v1/images/").and_then(|rest| rest.split_once('/'))
        else {
            return Reply::new(404, "");
        };
        let Some(image) = self.images.get(id) else { return missing() };
        match part {
            "json" => {
                let (size, sum) = &self.sums[id];
                let reply = Reply::new(200, image.json.clone()).with("x-docker-checksum-payload", sum);
                match self.unannounced {
                    true => reply,
                    false => reply.with("x-docker-size", &size.to_string()),
                }
            }
            "ancestry" => {
                let mut ids = vec![id.to_owned()];
                while let Some(parent) = ids.last().and_then(|id| self.images.get(id)?.parent()) {
                    ids.push(parent);
                }
                Reply::json(200, &json!(ids))
            }
            "layer" => {
                let reply = Reply::stream(gated(image.layer.clone(), gate.clone()));
                match self.unannounced {
                    true => reply,
                    false => reply.with("content-length", &image.layer.len().to_string()),
                }
            }
            _ => missing(),
        }
    }

    fn may(&self, question: &Question) -> bool {
        let wanted = self.tokens.as_ref().map(|token| format!("Token {token}"));
        wanted.is_none_or(|wanted| question.header("authorization") == wanted)
    }
}

/// Bytes as far as the gate lets them.
fn gated(
    bytes: Bytes,
    gate: watch::Receiver<usize>,
) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold((bytes, 0, gate), |(bytes, sent, mut gate)| async move {
        if sent == bytes.len() {
            return None;
        }
        gate.wait_for(|lets| *lets > sent).await.ok()?;
        let lets = *gate.borrow();
        let until = lets.min(bytes.len()).min(sent + 16_384);
        Some((Ok(bytes.slice(sent..until)), (bytes, until, gate)))
    })
}
