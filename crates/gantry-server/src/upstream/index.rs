//! `[v1.index]`: the external Index that says who may do what.
//!
//! A token says for which repository it is and what for, and the Index says whether it is genuine: it is asked for the images of the
//! repository with that token (docs/v1.md, "Delegation"). What it said counts for a while, and while it is silent too; nothing counts
//! that it never said. Requests for the Index itself are handed on, and their answers back.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry_oci::v1::{ImageId, V1Name};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::OpenUpstreamError;
use super::client::{Answer, AskError, Redirects, Remote, questions};
use super::flights::{Crowded, Flights, Key, Landed};
use crate::config::V1Index;

/// The largest answer that is read, and the largest body that is handed on, in bytes.
pub(crate) const INDEX_BODY_MAX: usize = 4 << 20;
/// Images of one repository. Docker pushes at most 127 for a tag.
const IDS_MAX: usize = 50_000;
/// How long a refusal counts without asking again.
const REFUSED: Duration = Duration::from_secs(5);
/// How long nothing is asked again of an Index that did not answer, for the same token.
const SILENT: Duration = Duration::from_secs(1);
/// All that is kept of answers, about, in bytes.
const KEPT_MAX: usize = 64 << 20;
/// Questions under way at once.
const ASKING_MAX: usize = 256;
/// Requests to the Index at once; more wait, as long as for an answer. Each may hold a body in memory.
const AT_ONCE: usize = 16;
/// The longest header that is handed back.
const HEADER_MAX: usize = 16 << 10;

/// Answers with a token.
const X_DOCKER_TOKEN: HeaderName = HeaderName::from_static("x-docker-token");
/// Answers with where images are.
const X_DOCKER_ENDPOINTS: HeaderName = HeaderName::from_static("x-docker-endpoints");

/// An external Index.
pub(crate) struct Index {
    remote: Remote,
    url: Arc<str>,
    keep: Duration,
    layer_access: bool,
    granted: Flights<Verdict>,
    layers: Flights<Access>,
    places: Arc<Semaphore>,
    /// Makes the names of questions, so that no token is kept.
    secret: [u8; 32],
    failing: Arc<AtomicBool>,
}

/// What the Index says of a token.
#[derive(Debug)]
pub(crate) struct Granted {
    /// The images of the repository, as the Index knows them.
    ids: HashSet<ImageId>,
    asked: Instant,
}

/// Why the Index did not grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IndexError {
    /// It says no: 401.
    #[error("Requires authorization")]
    Refused,
    /// It does not answer, or not as an Index does: 503.
    #[error("the Index that decides for this registry does not answer; try again")]
    Unavailable,
}

/// An answer to be handed back.
#[derive(Debug)]
pub(crate) struct Relayed {
    /// Never a redirect.
    pub(crate) status: StatusCode,
    /// `X-Docker-Token`, `WWW-Authenticate`, `Content-Type`, where the Index sent them.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

type Verdict = Result<Arc<Granted>, IndexError>;
type Access = Result<bool, IndexError>;

impl Granted {
    /// Whether the image belongs to the repository.
    pub(crate) fn has(&self, id: &ImageId) -> bool {
        self.ids.contains(id)
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Index {
    /// `None`: there is none.
    pub(crate) fn open(settings: &V1Index) -> Result<Option<Self>, OpenUpstreamError> {
        let Some(url) = &settings.url else { return Ok(None) };
        let (ca, patience) = (settings.ca.as_deref(), settings.timeout.0);
        let remote = Remote::open("v1.index", url, ca, patience, Redirects::Shown)?;
        let mut secret = [0; 32];
        for half in secret.chunks_mut(16) {
            half.copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        }
        Ok(Some(Self {
            remote,
            url: url.trim_end_matches('/').into(),
            keep: settings.cache.0,
            layer_access: settings.layer_access,
            granted: Flights::new(KEPT_MAX, ASKING_MAX),
            layers: Flights::new(KEPT_MAX / 8, ASKING_MAX),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            secret,
            failing: Arc::default(),
        }))
    }

    /// Its address, by which those are named whom it vouches for.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Whether it wants to be asked about each layer of private repositories.
    pub(crate) fn wants_layers(&self) -> bool {
        self.layer_access
    }

    /// What it says of this `Authorization`, which is a token for this repository.
    pub(crate) async fn granted(
        &self,
        authorization: &HeaderValue,
        repository: &V1Name,
    ) -> Result<Arc<Granted>, IndexError> {
        self.granted_since(authorization, repository, None).await
    }

    /// Whether this image belongs to the repository of a token that was granted. A push tells the Index first, so what was said before
    /// that is asked once more.
    pub(crate) async fn owns(
        &self,
        authorization: &HeaderValue,
        repository: &V1Name,
        id: &ImageId,
    ) -> Result<bool, IndexError> {
        let known = self.granted(authorization, repository).await?;
        if known.has(id) {
            return Ok(true);
        }
        // Not for each of many wrong ids.
        if known.asked.elapsed() < SILENT {
            return Ok(false);
        }
        let now = Instant::now();
        Ok(self.granted_since(authorization, repository, Some(now)).await?.has(id))
    }

    async fn granted_since(
        &self,
        authorization: &HeaderValue,
        repository: &V1Name,
        since: Option<Instant>,
    ) -> Verdict {
        let key = self.key(&[authorization.as_bytes(), repository.full().as_str().as_bytes()]);
        let path = format!("/v1/repositories/{}/images", repository.full());
        let (watch, authorization, keep) = (self.watch(), authorization.clone(), self.keep);
        let asking = || async move {
            let asked = Instant::now();
            let answer = watch.get(&path, &authorization, INDEX_BODY_MAX).await;
            let answer = answer.and_then(|answer| match verdict(answer.status)? {
                true => images(&answer.body).map(Some),
                false => Ok(None),
            });
            let verdict = match watch.noted(answer) {
                Ok(Some(ids)) => Ok(Arc::new(Granted { ids, asked })),
                Ok(None) => Err(IndexError::Refused),
                Err(_) => Err(IndexError::Unavailable),
            };
            let cost = verdict.as_ref().map_or(0, |granted| granted.ids.len() * size_of::<ImageId>() * 2);
            Landed { keep: kept(verdict.as_ref().err(), keep), value: verdict, cost }
        };
        self.granted.get(key, since, asking).await.unwrap_or_else(crowded)
    }

    /// Whether the Index lets this token have this image's layer.
    pub(crate) async fn may_read_layer(
        &self,
        authorization: &HeaderValue,
        repository: &V1Name,
        id: &ImageId,
    ) -> Access {
        let key = self.key(&[
            authorization.as_bytes(),
            repository.full().as_str().as_bytes(),
            id.bytes().as_slice(),
        ]);
        let path = format!("/v1/repositories/{}/layer/{id}/access", repository.full());
        let (watch, authorization, keep) = (self.watch(), authorization.clone(), self.keep);
        let asking = || async move {
            #[derive(Deserialize)]
            struct Said {
                access: bool,
            }
            let answer = watch.get(&path, &authorization, 4096).await;
            let answer = answer.and_then(|answer| match verdict(answer.status)? {
                true => serde_json::from_slice(&answer.body).map(|said: Said| said.access).map_err(garbage),
                false => Ok(false),
            });
            let access = watch.noted(answer).map_err(|_| IndexError::Unavailable);
            let refused = match access {
                Ok(true) => None,
                Ok(false) => Some(&IndexError::Refused),
                Err(_) => Some(&IndexError::Unavailable),
            };
            Landed { keep: kept(refused, keep), value: access, cost: 0 }
        };
        self.layers.get(key, None, asking).await.unwrap_or_else(crowded)
    }

    /// Hands a request on to the Index. Of its headers only those that an Index reads.
    pub(crate) async fn relay(
        &self,
        method: Method,
        path: &str,
        asked: &HeaderMap,
        body: Bytes,
    ) -> Result<Relayed, IndexError> {
        let mut headers = HeaderMap::new();
        for name in [
            header::AUTHORIZATION,
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::USER_AGENT,
            X_DOCKER_TOKEN,
            X_DOCKER_ENDPOINTS,
        ] {
            headers.extend(asked.get(&name).cloned().map(|value| (name, value)));
        }
        let watch = self.watch();
        let answer = watch.ask(method, path, headers, body, INDEX_BODY_MAX).await;
        let answer = answer.and_then(|answer| match answer.status {
            status if status.is_redirection() => Err(AskError(format!("answered {status}"))),
            status if status.is_server_error() => Err(AskError(format!("answered {status}"))),
            _ => Ok(answer),
        });
        let Answer { status, headers: said, body } =
            watch.noted(answer).map_err(|_| IndexError::Unavailable)?;
        let mut headers = HeaderMap::new();
        for name in [X_DOCKER_TOKEN, header::WWW_AUTHENTICATE, header::CONTENT_TYPE] {
            let short = said.get(&name).filter(|value| value.len() <= HEADER_MAX);
            headers.extend(short.cloned().map(|value| (name, value)));
        }
        Ok(Relayed { status, headers, body })
    }

    fn key(&self, parts: &[&[u8]]) -> Key {
        let mut hash = Sha256::new();
        hash.update(self.secret);
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    fn watch(&self) -> Watch {
        Watch {
            remote: self.remote.clone(),
            places: Arc::clone(&self.places),
            url: Arc::clone(&self.url),
            failing: Arc::clone(&self.failing),
        }
    }
}

/// Whoever asks, and says in the log when the Index falls silent and when it is back.
struct Watch {
    remote: Remote,
    places: Arc<Semaphore>,
    url: Arc<str>,
    failing: Arc<AtomicBool>,
}

impl Watch {
    async fn get(&self, path: &str, authorization: &HeaderValue, most: usize) -> Result<Answer, AskError> {
        self.ask(Method::GET, path, questions(Some(authorization)), Bytes::new(), most).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        most: usize,
    ) -> Result<Answer, AskError> {
        let place = timeout(self.remote.patience(), self.places.acquire()).await;
        let Ok(Ok(_place)) = place else {
            return Err(AskError("was not asked: too many questions wait for it".to_owned()));
        };
        self.remote.ask(method, path, headers, body, most).await
    }

    fn noted<T>(&self, answer: Result<T, AskError>) -> Result<T, AskError> {
        let failed_before = self.failing.swap(answer.is_err(), Ordering::Relaxed);
        let url = &*self.url;
        match &answer {
            Ok(_) if failed_before => tracing::info!(index = url, "the Index {url} answers again"),
            Ok(_) => {}
            Err(error) if failed_before => tracing::debug!(index = url, "the Index {url} {error}"),
            Err(error) => tracing::warn!(index = url, "the Index {url} {error}"),
        }
        answer
    }
}

/// Whether it says yes or no; what is neither, is no answer of an Index.
fn verdict(status: StatusCode) -> Result<bool, AskError> {
    match status {
        StatusCode::OK => Ok(true),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(false),
        other => Err(AskError(format!("answered {other}"))),
    }
}

fn kept(refused: Option<&IndexError>, keep: Duration) -> Duration {
    match refused {
        None => keep,
        Some(IndexError::Refused) => keep.min(REFUSED),
        Some(IndexError::Unavailable) => SILENT,
    }
}

fn crowded<T>(_: Crowded) -> Result<T, IndexError> {
    Err(IndexError::Unavailable)
}

fn garbage(_: serde_json::Error) -> AskError {
    AskError("answered what no Index answers".to_owned())
}

/// The ids in `[{"id": ".."}, ..]`. Entries with ids of another form are none of ours.
fn images(body: &[u8]) -> Result<HashSet<ImageId>, AskError> {
    struct Images(HashSet<ImageId>);
    struct Entries;

    impl<'de> Deserialize<'de> for Images {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            from.deserialize_seq(Entries).map(Images)
        }
    }

    impl<'de> Visitor<'de> for Entries {
        type Value = HashSet<ImageId>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("images")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            #[derive(Deserialize)]
            struct Entry {
                id: String,
            }
            let mut ids = HashSet::new();
            while let Some(Entry { id }) = entries.next_element()? {
                if ids.len() == IDS_MAX {
                    return Err(de::Error::custom("too many"));
                }
                ids.extend(id.parse::<ImageId>());
            }
            Ok(ids)
        }
    }

    serde_json::from_slice(body).map(|Images(ids)| ids).map_err(garbage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_and_nothing_else_is() {
        let id = "088b4505aa3adc3d35e79c031fa126b403200f02f51920fbd9b7c503e87c7a2c";
        let read = |text: &str| images(text.as_bytes()).map(|ids| ids.len());
        assert_eq!(read("[]"), Ok(0));
        assert_eq!(
            read(&format!(r#"[{{"id":"{id}","checksum":"x","Tag":"latest"}},{{"id":"{id}"}}]"#)),
            Ok(1)
        );
        assert_eq!(read(r#"[{"id":"short"}]"#), Ok(0));
        for wrong in ["", "{}", "null", "[1]", r#"[{"id":1}]"#, "<html>", "[] x", r#"[{"id":"a""#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let entry = |number: usize| format!(r#"{{"id":"{number:064x}"}}"#);
        let many = |count: usize| format!("[{}]", (0..count).map(entry).collect::<Vec<_>>().join(","));
        assert_eq!(read(&many(1000)), Ok(1000));
        assert!(read(&many(IDS_MAX + 1)).is_err());
    }
}
