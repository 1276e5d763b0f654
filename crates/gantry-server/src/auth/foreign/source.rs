//! Where the keys of one issuer come from, and what is kept of them.
//!
//! * A key that is known is used without waiting, while whatever is a little old is read again beside that. After a long pause it is
//!   read first: what was withdrawn meanwhile does not count once more.
//! * A key that is not known makes us look once more, but not more often than every few seconds, however many tokens name it, and
//!   only one looks at a time.
//! * An issuer that does not answer changes nothing about keys read before, for a day; nor does it hold up anybody else.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use gantry_storage::Timestamp;
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard, Semaphore};
use tokio::time::Instant;

use super::super::fetch::{DOCUMENT_MAX, FetchError, Fetcher};
use super::super::jwt::{Algorithm, Jwk, PublicKey};
use super::bundle::Bundle;

/// How often is looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// The shortest time between two looks.
    pub(super) between: Duration,
    /// What is older is read again; what is twice as old, before it is used.
    pub(super) fresh: Duration,
    /// What is older does not count.
    pub(super) kept: Duration,
}

impl Pace {
    const WEB: Pace = Pace {
        between: Duration::from_secs(5),
        fresh: Duration::from_secs(300),
        kept: Duration::from_secs(24 * 3600),
    };
    /// A file costs nothing, and one that is gone may be about to be replaced.
    const FILE: Pace =
        Pace { between: Duration::from_secs(1), fresh: Duration::from_secs(2), kept: Duration::MAX };
}

/// What is read.
pub(super) enum Origin {
    /// A key set in a file.
    File(PathBuf),
    /// Certificates in a file.
    Certificates(PathBuf),
    /// A key set at an address.
    Url(Fetcher, String),
    /// The key set that an OpenID provider names.
    Discovery(Fetcher, String),
}

/// The longest time for one look, which may be for two documents.
const LOOK_MAX: Duration = Duration::from_secs(6);
/// Tokens that wait for one look at once. More are told that nobody can say.
const WAITING: usize = 256;
/// Keys of one issuer that are looked at.
const KEYS_MAX: usize = 200;

/// One place.
pub(super) struct Source {
    issuer: String,
    origin: Origin,
    pace: Pace,
    known: ArcSwapOption<Known>,
    /// When the last look ended. Locked by whoever looks.
    looking: Arc<Mutex<Option<Instant>>>,
    /// Whether the last look failed.
    failing: AtomicBool,
    waiting: Semaphore,
}

struct Known {
    trusted: Trusted,
    read: Instant,
}

/// What a look brought.
pub(super) struct Trusted {
    /// Keys by which tokens may be signed.
    pub(super) keys: Vec<Arc<Key>>,
    /// Certificates to which others may lead.
    pub(super) bundle: Bundle,
}

/// A key, and what its issuer says of it.
pub(super) struct Key {
    pub(super) public: PublicKey,
    kid: Option<String>,
    algorithm: Option<String>,
    /// The time of its certificate, if it is from one, in seconds since 1970.
    time: Option<RangeInclusive<i64>>,
}

/// There is no way to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unknowable;

impl Source {
    pub(super) fn new(issuer: &str, origin: Origin) -> Arc<Self> {
        let pace = match origin {
            Origin::File(_) | Origin::Certificates(_) => Pace::FILE,
            Origin::Url(..) | Origin::Discovery(..) => Pace::WEB,
        };
        Self::with_pace(issuer, origin, pace)
    }

    pub(super) fn with_pace(issuer: &str, origin: Origin, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            origin,
            pace,
            known: ArcSwapOption::empty(),
            looking: Arc::default(),
            failing: AtomicBool::new(false),
            waiting: Semaphore::new(WAITING),
        })
    }

    /// Reads a file at once: one that cannot be read at the start is a mistake to be told.
    pub(super) fn read_file_now(&self) -> Result<(), FetchError> {
        if let Some(read) = self.read_file() {
            self.known.store(Some(Arc::new(Known { trusted: read?, read: Instant::now() })));
        }
        Ok(())
    }

    /// The keys that may have signed a token with this header.
    pub(super) async fn keys(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Arc<Key>>, Unknowable> {
        if let Some(known) = self.recent().await {
            let keys = known.trusted.matching(kid, algorithm);
            if !keys.is_empty() {
                return Ok(keys);
            }
        }
        self.look().await?;
        let keys = self.known().ok_or(Unknowable)?.trusted.matching(kid, algorithm);
        // After a failure a key that we do not know may still be one of theirs.
        if keys.is_empty() && self.failing.load(Ordering::Relaxed) { Err(Unknowable) } else { Ok(keys) }
    }

    /// The certificates to which a chain may lead.
    pub(super) async fn bundle(self: &Arc<Self>) -> Result<Bundle, Unknowable> {
        if let Some(known) = self.recent().await {
            return Ok(known.trusted.bundle.clone());
        }
        self.look().await?;
        self.known().map(|known| known.trusted.bundle.clone()).ok_or(Unknowable)
    }

    /// What is known, read again where that is due.
    async fn recent(self: &Arc<Self>) -> Option<Arc<Known>> {
        let known = self.known()?;
        let age = known.read.elapsed();
        if age <= self.pace.fresh {
            return Some(known);
        }
        // One that did not answer the last time is not waited for again.
        if age > self.pace.fresh * 2 && !self.failing.load(Ordering::Relaxed) {
            let _ = self.look().await;
            return self.known();
        }
        self.look_beside();
        Some(known)
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.load_full().filter(|known| known.read.elapsed() < self.pace.kept)
    }

    /// Looks, unless somebody did just now.
    async fn look(self: &Arc<Self>) -> Result<(), Unknowable> {
        let _place = self.waiting.try_acquire().map_err(|_| Unknowable)?;
        let looking = Arc::clone(&self.looking).lock_owned().await;
        if looking.is_some_and(|last| last.elapsed() < self.pace.between) {
            return Ok(());
        }
        // In a task of its own: a client that hangs up would end the look of everybody who waits for it.
        tokio::spawn(Arc::clone(self).look_with(looking)).await.map_err(|_| Unknowable)
    }

    fn look_beside(self: &Arc<Self>) {
        let Ok(looking) = Arc::clone(&self.looking).try_lock_owned() else { return };
        if looking.is_none_or(|last| last.elapsed() >= self.pace.between) {
            drop(tokio::spawn(Arc::clone(self).look_with(looking)));
        }
    }

    async fn look_with(self: Arc<Self>, mut looking: OwnedMutexGuard<Option<Instant>>) {
        let began = Instant::now();
        let issuer = &self.issuer;
        let read = tokio::time::timeout(LOOK_MAX, self.read()).await;
        let read = read.unwrap_or_else(|_| Err(FetchError("did not answer in time".to_owned())));
        let failed_before = self.failing.swap(read.is_err(), Ordering::Relaxed);
        match read {
            Ok(trusted) => {
                if failed_before {
                    tracing::info!(%issuer, "the keys of {issuer} can be read again");
                }
                self.known.store(Some(Arc::new(Known { trusted, read: began })));
            }
            Err(error) if failed_before => {
                tracing::debug!(%issuer, %error, "the keys of {issuer} still cannot be read: {error}");
            }
            Err(error) => tracing::warn!(%issuer, %error, "the keys of {issuer} cannot be read: {error}"),
        }
        // By its end and not its beginning: those who waited for it take its answer, however long it took.
        *looking = Some(Instant::now());
    }

    async fn read(self: &Arc<Self>) -> Result<Trusted, FetchError> {
        match &self.origin {
            Origin::File(_) | Origin::Certificates(_) => {
                let own = Arc::clone(self);
                let read = tokio::task::spawn_blocking(move || own.read_file()).await.ok().flatten();
                read.unwrap_or_else(|| Err(FetchError("was not read".to_owned())))
            }
            Origin::Url(fetcher, url) => Trusted::of_key_set(&fetcher.get(url).await?)
                .map_err(|what| FetchError(format!("{url}: {what}"))),
            Origin::Discovery(fetcher, issuer) => {
                let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document = fetcher.get(&place).await?;
                let url =
                    discovered(issuer, &document).map_err(|what| FetchError(format!("{place}: {what}")))?;
                Trusted::of_key_set(&fetcher.get(&url).await?)
                    .map_err(|what| FetchError(format!("{url}: {what}")))
            }
        }
    }

    /// `None`: it is not a file.
    fn read_file(&self) -> Option<Result<Trusted, FetchError>> {
        let (Origin::File(path) | Origin::Certificates(path)) = &self.origin else { return None };
        let parse = |bytes: &[u8]| match &self.origin {
            Origin::Certificates(_) => Trusted::of_certificates(bytes),
            _ => Trusted::of_key_set(bytes),
        };
        let length = std::fs::metadata(path).map(|metadata| metadata.len());
        let read = match length {
            Ok(length) if length > DOCUMENT_MAX as u64 => Err("is too large".to_owned()),
            _ => std::fs::read(path).map_err(|error| error.to_string()),
        };
        Some(
            read.and_then(|bytes| parse(&bytes))
                .map_err(|what| FetchError(format!("{}: {what}", path.display()))),
        )
    }
}

/// Where an OpenID provider has its keys, if the document is its own (OpenID Connect Discovery 1.0, 4.3).
fn discovered(issuer: &str, document: &[u8]) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Configuration {
        issuer: String,
        jwks_uri: String,
    }
    let found: Configuration =
        serde_json::from_slice(document).map_err(|_| "is not an OpenID configuration".to_owned())?;
    if found.issuer != issuer {
        return Err(format!("is the document of another issuer, `{}`", found.issuer.escape_debug()));
    }
    Ok(found.jwks_uri)
}

impl Trusted {
    /// Reads a JSON Web Key Set. Keys that we cannot use are passed over: sets hold keys for other purposes and other verifiers.
    pub(super) fn of_key_set(document: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<serde_json::Value>,
        }
        let set: Set =
            serde_json::from_slice(document).map_err(|_| "is not a JSON Web Key Set".to_owned())?;
        let read = |key: serde_json::Value| {
            let jwk: Jwk = serde_json::from_value(key).ok()?;
            let public = PublicKey::from_jwk(&jwk).ok()?;
            Some(Arc::new(Key { public, kid: jwk.kid, algorithm: jwk.alg, time: None }))
        };
        let keys: Vec<_> = set.keys.into_iter().take(KEYS_MAX).filter_map(read).collect();
        if keys.is_empty() {
            return Err("holds no key that could verify a token".to_owned());
        }
        Ok(Self { keys, bundle: Bundle::default() })
    }

    /// Reads certificates. Each is a root, and the key of each may sign.
    fn of_certificates(pem: &[u8]) -> Result<Self, String> {
        let bundle = Bundle::read(pem)?;
        let key = |(public, time)| Arc::new(Key { public, kid: None, algorithm: None, time: Some(time) });
        let keys: Vec<_> = bundle.keys().map(key).collect();
        Ok(Self { keys, bundle })
    }

    /// The keys that a header can mean. Without a name it must be clear which.
    fn matching(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<Arc<Key>> {
        let fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            // Two keys may share a name, when an issuer is careless: then either may have signed.
            Some(kid) => fitting.filter(|key| key.is_called(kid)).take(4).cloned().collect(),
            None => {
                let found: Vec<_> = fitting.take(2).cloned().collect();
                if found.len() == 1 { found } else { Vec::new() }
            }
        }
    }
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        let said = self.algorithm.as_deref().is_none_or(|name| name == algorithm.name());
        said && self.public.fits(algorithm)
    }

    /// Whether its certificate, if there is one, is valid.
    pub(super) fn counts(&self, now: Timestamp) -> bool {
        self.time.as_ref().is_none_or(|time| time.contains(&now.as_unix_seconds()))
    }

    fn is_called(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid) || self.public.is_called(kid)
    }
}
