//! The registry of which this one is a mirror: its Index, which gives tokens, and its tags and images.
//!
//! It is asked for a repository at a time, with the token that its Index gave for it. Nothing is asked of hosts that it names, unless
//! they are its own; what it says of images is checked as far as v1 lets anybody check it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gantry_oci::v1::{ImageId, ImageJson, V1Name, parse_ancestry};
use gantry_oci::{Digest, Tag};
use gantry_storage::meta::images::ANCESTRY_MAX;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use reqwest::Response;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::super::OpenUpstreamError;
use super::super::client::{Answer, AskError, Redirects, Remote, questions};
use super::super::flights::{Crowded, Flights, Landed};
use super::{MirrorError, key};
use crate::config::V1Mirror;

/// Lists of tags, JSON of images: the largest, in bytes.
const DOCUMENT_MAX: usize = 4 << 20;
/// The largest list of ancestors, in bytes.
const ANCESTRY_BYTES: usize = 64 << 10;
/// Tags of one repository.
const TAGS_MAX: usize = 10_000;
/// Endpoints that are looked at.
const ENDPOINTS_MAX: usize = 4;
/// How long a token is used before another one is fetched; one that is refused before, at once.
const SESSION: Duration = Duration::from_secs(600);
/// Tokens that are kept, about, in bytes.
const SESSIONS_KEPT: usize = 4 << 20;
/// Documents that are fetched at once; more wait, as long as for an answer.
const AT_ONCE: usize = 16;

const X_DOCKER_TOKEN: HeaderName = HeaderName::from_static("x-docker-token");
const X_DOCKER_ENDPOINTS: HeaderName = HeaderName::from_static("x-docker-endpoints");
const X_DOCKER_SIZE: HeaderName = HeaderName::from_static("x-docker-size");
/// The checksum of JSON and layer, under its two names.
const PAYLOAD: [HeaderName; 2] = [
    HeaderName::from_static("x-docker-checksum-payload"),
    HeaderName::from_static("x-docker-payload-checksum"),
];

/// The other registry.
#[derive(Clone)]
pub(super) struct Source(Arc<Inner>);

struct Inner {
    registry: Remote,
    index: Remote,
    /// The account there, as the header that names it.
    account: Option<HeaderValue>,
    sessions: Flights<Result<Arc<Session>, MirrorError>>,
    places: Semaphore,
}

/// What the Index there gave for a repository.
struct Session {
    registry: Remote,
    authorization: Option<HeaderValue>,
}

/// JSON of an image, and what is said of its layer.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    pub(crate) json: Bytes,
    pub(crate) parent: Option<ImageId>,
    /// Of the layer, in bytes.
    pub(crate) size: Option<u64>,
    /// `sha256(json "\n" layer)`
    pub(crate) payload: Option<Digest>,
}

impl Source {
    /// The registry of the configuration.
    pub(super) fn open(source: &str, settings: &V1Mirror) -> Result<Self, OpenUpstreamError> {
        let (ca, patience): (Option<&Path>, _) = (settings.ca.as_deref(), settings.timeout.0);
        let registry = Remote::open("v1.mirror", source, ca, patience, Redirects::Followed)?;
        let index = settings.index.as_deref().unwrap_or(source);
        let index = Remote::open("v1.mirror", index, ca, patience, Redirects::Followed)?;
        let account = match (&settings.username, &settings.password) {
            (Some(name), Some(password)) => {
                let wrong = |what: String| OpenUpstreamError::Secret { key: "v1.mirror.password", what };
                let password = password.read().map_err(|error| wrong(error.to_string()))?;
                let text = format!("Basic {}", STANDARD.encode(format!("{name}:{password}")));
                let value = HeaderValue::from_str(&text);
                Some(value.map_err(|_| wrong("it cannot be written into a header".to_owned()))?)
            }
            _ => None,
        };
        let sessions = Flights::new(SESSIONS_KEPT, 64);
        Ok(Self(Arc::new(Inner { registry, index, account, sessions, places: Semaphore::new(AT_ONCE) })))
    }

    /// The tags of a repository; `None`: it is not there.
    pub(super) async fn tags(&self, repo: &V1Name) -> Result<Option<Vec<(Tag, ImageId)>>, MirrorError> {
        let path = format!("/v1/repositories/{}/tags", repo.full());
        let Some(answer) = self.document(repo, &path, DOCUMENT_MAX).await? else { return Ok(None) };
        let tags: BTreeMap<String, String> = serde_json::from_slice(&answer.body).map_err(garbage)?;
        if tags.len() > TAGS_MAX {
            return Err(unavailable("lists more tags than anybody has"));
        }
        // What is no tag or no image for us cannot be asked for either.
        let read = |(tag, id): (String, String)| Some((tag.parse().ok()?, id.parse().ok()?));
        Ok(Some(tags.into_iter().filter_map(read).collect()))
    }

    /// The JSON of an image; `None`: it is not there.
    pub(super) async fn json(&self, repo: &V1Name, id: &ImageId) -> Result<Option<Described>, MirrorError> {
        let path = format!("/v1/images/{id}/json");
        let Some(answer) = self.document(repo, &path, DOCUMENT_MAX).await? else { return Ok(None) };
        let read = ImageJson::parse(&answer.body, id)
            .map_err(|error| unavailable(&format!("answers JSON of an image that is not its: {error}")))?;
        let text = |name: &HeaderName| answer.headers.get(name)?.to_str().ok();
        let payload = PAYLOAD.iter().find_map(text).and_then(|sum| sum.parse::<Digest>().ok());
        let size = text(&X_DOCKER_SIZE).and_then(|size| size.parse().ok());
        Ok(Some(Described { json: answer.body, parent: read.parent, size, payload }))
    }

    /// An image and what is below it; `None`: it is not there.
    pub(super) async fn ancestry(
        &self,
        repo: &V1Name,
        id: &ImageId,
    ) -> Result<Option<Vec<ImageId>>, MirrorError> {
        let path = format!("/v1/images/{id}/ancestry");
        let Some(answer) = self.document(repo, &path, ANCESTRY_BYTES).await? else { return Ok(None) };
        let chain = parse_ancestry(&answer.body, id, ANCESTRY_MAX);
        chain.map(Some).ok_or_else(|| unavailable("answers an ancestry that is none"))
    }

    /// The layer of an image, of which the first bytes are about to come; `None`: it is not there.
    pub(super) async fn layer(&self, repo: &V1Name, id: &ImageId) -> Result<Option<Response>, MirrorError> {
        let path = format!("/v1/images/{id}/layer");
        for attempt in 0..ATTEMPTS {
            let session = self.session(repo).await?;
            let Some(session) = session else { return Ok(None) };
            let mut headers = questions(session.authorization.as_ref());
            headers.remove(header::ACCEPT);
            let begun = session.registry.begin(Method::GET, &path, headers, Bytes::new()).await;
            let response = begun.map_err(|AskError(what)| unavailable(&what))?;
            match there(response.status())? {
                There::Yes if is_coded(response.headers()) => {
                    return Err(unavailable("answers a layer in another coding than it has"));
                }
                There::Yes => return Ok(Some(response)),
                There::No => return Ok(None),
                There::NotWithThis if attempt == 0 => self.forget(repo),
                There::NotWithThis => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A document of the registry; `None`: it is not there, or not for us.
    async fn document(&self, repo: &V1Name, path: &str, most: usize) -> Result<Option<Answer>, MirrorError> {
        for attempt in 0..ATTEMPTS {
            let Some(session) = self.session(repo).await? else { return Ok(None) };
            let place = timeout(session.registry.patience(), self.0.places.acquire()).await;
            let Ok(Ok(_place)) = place else { return Err(unavailable("is asked too much at once")) };
            let got = session.registry.get(path, session.authorization.as_ref(), most).await;
            let answer = got.map_err(|AskError(what)| unavailable(&what))?;
            match there(answer.status)? {
                There::Yes if is_coded(&answer.headers) => {
                    return Err(unavailable("answers in another coding"));
                }
                There::Yes => return Ok(Some(answer)),
                There::No => return Ok(None),
                There::NotWithThis if attempt == 0 => self.forget(repo),
                There::NotWithThis => return Ok(None),
            }
        }
        Ok(None)
    }

    /// A token for a repository; `None`: its Index knows no such repository, or does not let us.
    async fn session(&self, repo: &V1Name) -> Result<Option<Arc<Session>>, MirrorError> {
        let own = self.clone();
        let name = repo.clone();
        let asking = || async move {
            let value = own.begin_session(&name).await;
            let keep = match &value {
                Ok(_) => SESSION,
                Err(MirrorError::Missing) => MISSING,
                Err(_) => SILENT,
            };
            Landed { value, keep, cost: 4096 }
        };
        match self.0.sessions.get(session_key(repo), None, asking).await {
            Ok(Ok(session)) => Ok(Some(session)),
            Ok(Err(MirrorError::Missing)) => Ok(None),
            Ok(Err(error)) => Err(error),
            Err(Crowded) => Err(unavailable("is asked too much at once")),
        }
    }

    fn forget(&self, repo: &V1Name) {
        self.0.sessions.forget(&session_key(repo));
    }

    async fn begin_session(&self, repo: &V1Name) -> Result<Arc<Session>, MirrorError> {
        let Inner { registry, index, account, .. } = &*self.0;
        // Clients ask an Index for `foo` by this name, and registries for `library/foo`.
        let full = repo.full();
        let name = full.as_str().strip_prefix("library/").unwrap_or(full.as_str());
        let path = format!("/v1/repositories/{name}/images");
        let mut headers = questions(account.as_ref());
        headers.insert(X_DOCKER_TOKEN, HeaderValue::from_static("true"));
        let asked = index.ask(Method::GET, &path, headers, Bytes::new(), DOCUMENT_MAX).await;
        let answer = asked.map_err(|AskError(what)| unavailable(&what))?;
        match there(answer.status)? {
            There::Yes => {}
            There::No | There::NotWithThis => return Err(MirrorError::Missing),
        }
        let token = answer.headers.get(X_DOCKER_TOKEN).and_then(|token| token.to_str().ok());
        let authorization = match token {
            Some(token) => {
                let token = token.strip_prefix("Token ").unwrap_or(token);
                HeaderValue::from_str(&format!("Token {token}")).ok()
            }
            None => account.clone(),
        };
        let endpoints = answer.headers.get(X_DOCKER_ENDPOINTS).and_then(|text| text.to_str().ok());
        let registry = endpoint(registry, endpoints.unwrap_or_default());
        Ok(Arc::new(Session { registry, authorization }))
    }
}

/// The second one with a new token.
const ATTEMPTS: usize = 2;
/// How long nothing is asked for that was not there.
const MISSING: Duration = Duration::from_secs(10);
/// How long nothing is asked of a registry that did not answer.
const SILENT: Duration = Duration::from_secs(1);

/// Where the images are: at one of the endpoints, if it is on the host that was configured, which else is asked itself.
fn endpoint(registry: &Remote, endpoints: &str) -> Remote {
    let hosts = endpoints.split(',').take(ENDPOINTS_MAX).map(str::trim);
    let own = hosts.filter_map(|host| registry.at(host)).find(|other| other.host() == registry.host());
    own.unwrap_or_else(|| registry.clone())
}

fn session_key(repo: &V1Name) -> [u8; 32] {
    key(&[repo.full().as_str().as_bytes()])
}

enum There {
    Yes,
    No,
    /// Not with these credentials.
    NotWithThis,
}

fn there(status: StatusCode) -> Result<There, MirrorError> {
    match status {
        StatusCode::OK => Ok(There::Yes),
        StatusCode::NOT_FOUND => Ok(There::No),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(There::NotWithThis),
        other => Err(unavailable(&format!("answers {other}"))),
    }
}

fn is_coded(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity")
}

fn garbage(_: serde_json::Error) -> MirrorError {
    unavailable("answers what no registry answers")
}

fn unavailable(what: &str) -> MirrorError {
    MirrorError::Unavailable(what.into())
}
