//! `[v1.mirror]`: what is missing here is fetched from another v1 registry, once, and stays.
//!
//! Lists of tags, and JSON and ancestry of images, are kept in memory for a while. A layer comes by way of a spool ([`fill`]): clients
//! read along while it arrives. When all of it is there and right it becomes an image of the repository like one that was pushed, after
//! those below it; and when all of a tag's images are here, so is the tag, for V2 clients too. A process that ends in the middle leaves
//! nothing behind.
//!
//! Who may read what is not asked here: whoever orders something has been allowed to read that repository.

mod fill;
mod source;
mod spool;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gantry_oci::access::RepoPattern;
use gantry_oci::v1::{Checksums, ImageId, V1Name};
use gantry_oci::{RepoName, Tag};
use gantry_storage::{ImageState, TagLocks};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use self::fill::{Fill, Filling, SMALL};
pub(crate) use self::source::Described;
use self::source::Source;
use self::spool::Spool;
use super::OpenUpstreamError;
use super::flights::{Crowded, Flights, Landed};
use crate::config::V1Mirror;
use crate::registry::{BlobBytes, ImageError, ImageSources, MayPull, Registry, RegistryError};

/// JSON and ancestry that are kept, about, in bytes.
const DOCUMENTS_KEPT: usize = 32 << 20;
/// Lists of tags that are kept, about, in bytes.
const TAGS_KEPT: usize = 16 << 20;
/// How long JSON and ancestry are kept: they never change.
const UNCHANGING: Duration = Duration::from_secs(600);
/// How long nothing is asked for that was not there.
const MISSING: Duration = Duration::from_secs(10);
/// How long nothing is asked of a source that did not answer.
const SILENT: Duration = Duration::from_secs(1);
/// Questions under way at once.
const ASKING_MAX: usize = 256;
/// Layers that are read from the source at once.
const PUMPS: usize = 8;
/// Layers that are under way at once, most of them waiting.
const FILLS_MAX: usize = 1024;
/// Images of which is known in which repository they are.
const KNOWN_MAX: usize = 200_000;
/// Repositories that are remembered of one image; of one that more have, none is known for sure.
const KNOWN_IN: usize = 16;
/// The owner of what is stored.
const OWNER: &str = "mirror";

/// Why something was not fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MirrorError {
    /// The source does not have it, or does not let us have it.
    #[error("it is not there")]
    Missing,
    /// The source does not answer, or not as a registry does.
    #[error("the mirrored registry {0}")]
    Unavailable(Arc<str>),
    /// There is no room for what is on its way.
    #[error("no spool for a layer: {0}")]
    Spool(Arc<str>),
    /// It could not be stored.
    #[error("not stored: {0}")]
    Store(Arc<str>),
}

type Result<T, E = MirrorError> = std::result::Result<T, E>;

/// A repository of which something is wanted, by somebody who may read it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// As it is called here.
    pub(crate) repo: RepoName,
    /// As the source knows it.
    pub(crate) name: V1Name,
    /// Tags that stay where they are.
    pub(crate) locks: TagLocks,
}

/// A layer that was ordered.
pub(crate) enum MirrorLayer {
    /// It is here by now.
    Here,
    /// It is on its way: its bytes and how many they are.
    Coming(BlobBytes, u64),
}

/// The mirror.
#[derive(Clone)]
pub(crate) struct Mirror(Arc<Inner>);

struct Inner {
    source: Source,
    url: Arc<str>,
    registry: Arc<Registry>,
    patterns: Vec<RepoPattern>,
    patience: Duration,
    keep_tags: Duration,
    /// Where spools are.
    directory: PathBuf,
    described: Flights<Result<Arc<Described>>>,
    chains: Flights<Result<Arc<[ImageId]>>>,
    tags: Flights<Result<TagList>>,
    fills: Mutex<HashMap<(RepoName, ImageId), Arc<Fill>>>,
    pumps: Semaphore,
    known: Mutex<HashMap<ImageId, Vec<V1Name>>>,
    settling: tokio::sync::Mutex<()>,
    failing: AtomicBool,
}

type TagList = Arc<[(Tag, ImageId)]>;

impl Mirror {
    /// `None`: nothing is mirrored.
    pub(crate) fn open(
        settings: &V1Mirror,
        registry: &Arc<Registry>,
        directory: &Path,
    ) -> std::result::Result<Option<Self>, OpenUpstreamError> {
        let Some(url) = &settings.source else { return Ok(None) };
        let source = Source::open(url, settings)?;
        // They were parsed when the configuration was checked.
        let patterns = settings.repositories.iter().filter_map(|pattern| pattern.parse().ok()).collect();
        Ok(Some(Self(Arc::new(Inner {
            source,
            url: url.as_str().into(),
            registry: Arc::clone(registry),
            patterns,
            patience: settings.timeout.0,
            keep_tags: settings.tags.0,
            directory: directory.to_owned(),
            described: Flights::new(DOCUMENTS_KEPT, ASKING_MAX),
            chains: Flights::new(DOCUMENTS_KEPT, ASKING_MAX),
            tags: Flights::new(TAGS_KEPT, ASKING_MAX),
            fills: Mutex::default(),
            pumps: Semaphore::new(PUMPS),
            known: Mutex::default(),
            settling: tokio::sync::Mutex::default(),
            failing: AtomicBool::new(false),
        }))))
    }

    /// Whether a repository is one that is mirrored.
    pub(crate) fn has(&self, name: &V1Name) -> bool {
        let patterns = &self.0.patterns;
        let spellings = [Some(name.written().clone()), name.other()];
        patterns.is_empty()
            || spellings.iter().flatten().any(|name| patterns.iter().any(|one| one.matches(name.as_str())))
    }

    /// Repositories in which the source has an image, as far as somebody asked for their tags or images; `None`: too many.
    pub(crate) fn repositories_of(&self, id: &ImageId) -> Option<Vec<V1Name>> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get(id).cloned().unwrap_or_default();
        (known.len() < KNOWN_IN).then_some(known)
    }

    /// The source's tags of a repository. Those whose images are all here become tags here.
    pub(crate) async fn tags(&self, order: &Order) -> Result<TagList> {
        let (own, asked) = (self.clone(), order.clone());
        let asking = || async move {
            let value = own.0.noted(own.0.source.tags(&asked.name).await).and_then(found);
            let keep = own.0.kept(value.as_ref().err(), own.0.keep_tags);
            let value: Result<TagList> = value.map(Into::into);
            let cost = value.as_ref().map_or(0, |tags| tags.len() * 100);
            if let Ok(tags) = &value {
                own.0.learn(&asked.name, tags.iter().map(|(_, id)| *id));
                let (own, tags) = (own.clone(), Arc::clone(tags));
                tokio::spawn(async move { own.settle(asked, tags.to_vec()).await });
            }
            Landed { value, keep, cost }
        };
        self.0.tags.get(order.key(), None, asking).await.unwrap_or_else(crowded)
    }

    /// The JSON of an image, and what the source says of its layer.
    pub(crate) async fn described(&self, order: &Order, id: &ImageId) -> Result<Arc<Described>> {
        let (own, name, id) = (self.clone(), order.name.clone(), *id);
        let asking = || async move {
            let value = own.0.noted(own.0.source.json(&name, &id).await).and_then(found).map(Arc::new);
            let keep = own.0.kept(value.as_ref().err(), UNCHANGING);
            let cost = value.as_ref().map_or(0, |described| described.json.len());
            Landed { value, keep, cost }
        };
        self.0.described.get(order.key_of(&id), None, asking).await.unwrap_or_else(crowded)
    }

    /// An image and what is below it.
    pub(crate) async fn chain(&self, order: &Order, id: &ImageId) -> Result<Arc<[ImageId]>> {
        let (own, name, id) = (self.clone(), order.name.clone(), *id);
        let asking = || async move {
            let value = own.0.noted(own.0.source.ancestry(&name, &id).await).and_then(found);
            let keep = own.0.kept(value.as_ref().err(), UNCHANGING);
            let value: Result<Arc<[ImageId]>> = value.map(Into::into);
            let cost = value.as_ref().map_or(0, |chain| size_of_val(&**chain));
            if let Ok(chain) = &value {
                own.0.learn(&name, chain.iter().copied());
            }
            Landed { value, keep, cost }
        };
        self.0.chains.get(order.key_of(&id), None, asking).await.unwrap_or_else(crowded)
    }

    /// The layer of an image that is not here: fetched once, however many wait, and stored whoever goes away.
    pub(crate) async fn layer(&self, order: &Order, id: &ImageId) -> Result<MirrorLayer> {
        let chain = self.chain(order, id).await?;
        let fill = self.fill(order, &chain)?;
        let progress = fill.until(|progress| progress.begun.is_some() || progress.whole.is_some()).await?;
        let size = match progress.begun {
            Some(Some(size)) if size > SMALL => size,
            // What is wrong with a small one can still be said, and what has no known length cannot be announced.
            _ => {
                let progress = fill.until(|progress| progress.whole.is_some()).await?;
                if let Some(Err(error)) = progress.whole {
                    return Err(error);
                }
                match progress.received() {
                    Some(size) => size,
                    None => return Ok(MirrorLayer::Here),
                }
            }
        };
        Ok(MirrorLayer::Coming(BlobBytes::Stored(Arc::new(Filling { fill, size })), size))
    }

    /// Waits until an image is here, all of it.
    pub(crate) async fn store(&self, order: &Order, id: &ImageId) -> Result<()> {
        let chain = self.chain(order, id).await?;
        let ended = self.fill(order, &chain)?.until(|progress| progress.stored.is_some()).await?;
        ended.stored.unwrap_or(Err(MirrorError::Missing))
    }

    /// The one that is under way, or a new one.
    fn fill(&self, order: &Order, chain: &[ImageId]) -> Result<Arc<Fill>> {
        let id = chain.first().ok_or(MirrorError::Missing)?;
        let mut fills = self.0.fills.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(fill) = fills.get(&(order.repo.clone(), *id)) {
            return match fill.chain == chain {
                true => Ok(Arc::clone(fill)),
                // They would wait for each other.
                false => Err(unavailable("says of one image that it stands on different ones")),
            };
        }
        if fills.len() >= FILLS_MAX {
            return Err(unavailable("is asked for too many layers at once"));
        }
        let fill = Fill::new(chain.to_vec());
        fills.insert((order.repo.clone(), *id), Arc::clone(&fill));
        // It goes on whoever hangs up.
        let landing =
            Landing { mirror: self.clone(), order: order.clone(), id: *id, fill: Arc::clone(&fill) };
        tokio::spawn(landing.run());
        Ok(fill)
    }

    /// Fetches one and stores it.
    async fn fetch(&self, order: &Order, id: &ImageId, fill: &Arc<Fill>) -> Result<()> {
        if self.is_here(&order.repo, id).await? {
            return Ok(());
        }
        let inner = &*self.0;
        let described = self.described(order, id).await?;
        if described.parent.as_ref() != fill.chain.get(1) {
            return Err(unavailable("says of one image that it stands on different ones"));
        }
        let sum = {
            let _pump = inner.pumps.acquire().await.map_err(|_| unavailable("is not asked any more"))?;
            let response = inner.noted(inner.source.layer(&order.name, id).await).and_then(found)?;
            let spool = Spool::make(&inner.directory).await;
            let spool = spool.map_err(|error| MirrorError::Spool(error.to_string().into()))?;
            let largest = inner.registry.limits().upload;
            inner.noted(fill.pump(response, &described, spool, inner.patience, largest).await)?
        };
        // What it stands on comes first, base before all; who reads along does not wait for that.
        for place in (1..fill.chain.len()).rev() {
            let below = fill.chain.get(place..).unwrap_or_default();
            let Some(id) = below.first() else { continue };
            if self.is_here(&order.repo, id).await? {
                continue;
            }
            let below = self.fill(order, below)?.until(|progress| progress.stored.is_some()).await?;
            below.stored.unwrap_or(Err(MirrorError::Missing))?;
        }
        let failed = |error: RegistryError| MirrorError::Store(error.to_string().into());
        let registry = &inner.registry;
        match registry.begin_image(&order.repo, id, described.json.clone(), nowhere()).await {
            // Somebody else was faster.
            Err(RegistryError::Image(ImageError::Exists)) => return Ok(()),
            begun => begun.map_err(failed)?,
        }
        registry.put_image_layer(&order.repo, OWNER, id, None, fill.as_source()).await.map_err(failed)?;
        let checksums = Checksums { payload: Some(sum), tarsum: None, given: true };
        registry.complete_image(&order.repo, id, &checksums).await.map_err(failed)
    }

    async fn is_here(&self, repo: &RepoName, id: &ImageId) -> Result<bool> {
        match self.0.registry.image(repo, id).await {
            Ok(image) => Ok(image.state == ImageState::Complete),
            Err(RegistryError::Image(ImageError::Unknown | ImageError::RepositoryUnknown)) => Ok(false),
            Err(RegistryError::NameUnknown(_)) => Ok(false),
            Err(error) => Err(MirrorError::Store(error.to_string().into())),
        }
    }

    /// Sets the tags whose images are all here.
    async fn settle(&self, order: Order, tags: Vec<(Tag, ImageId)>) {
        let _one = self.0.settling.lock().await;
        for (tag, id) in tags {
            self.settle_one(&order, tag, id).await;
        }
    }

    async fn settle_one(&self, order: &Order, tag: Tag, id: ImageId) {
        let registry = &self.0.registry;
        let Order { repo, locks, .. } = order;
        // An image is only here when those below it are.
        if !self.is_here(repo, &id).await.unwrap_or(false)
            || registry.image_of_tag(repo, &tag).await.is_ok_and(|here| here == id)
        {
            return;
        }
        let set = registry.tag_image(repo, tag.clone(), &id, nowhere(), locks.clone()).await;
        match set {
            Ok(_) => tracing::debug!(%repo, %tag, "the mirrored tag is here"),
            Err(error) => tracing::warn!(%repo, %tag, %error, "a mirrored tag was not set: {error}"),
        }
    }
}

/// Images come from nowhere else.
fn nowhere() -> ImageSources<'static> {
    ImageSources { staging: None, reader: &Nobody }
}

struct Nobody;

impl MayPull for Nobody {
    fn may_pull(&self, _: &RepoName) -> bool {
        false
    }
}

/// The task in which a layer is fetched. However it ends, nobody waits for it any longer.
struct Landing {
    mirror: Mirror,
    order: Order,
    id: ImageId,
    fill: Arc<Fill>,
}

impl Landing {
    async fn run(self) {
        let Landing { mirror, order, id, fill } = &self;
        let fetched = mirror.fetch(order, id, fill).await;
        match &fetched {
            Ok(()) => tracing::debug!(repo = %order.repo, image = %id, "fetched from the mirrored registry"),
            Err(error) => {
                tracing::warn!(repo = %order.repo, image = %id, %error, "an image was not mirrored: {error}");
            }
        }
        let stored = fetched.is_ok();
        fill.ended(fetched);
        let (mirror, order, id) = (mirror.clone(), order.clone(), *id);
        drop(self);
        // What was known of tags may be too old by now.
        if stored && let Ok(tags) = mirror.tags(&order).await {
            let of_it = tags.iter().filter(|(_, of)| *of == id).cloned().collect();
            mirror.settle(order, of_it).await;
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.fill.ended(Err(unavailable("was given up")));
        let mut fills = self.mirror.0.fills.lock().unwrap_or_else(PoisonError::into_inner);
        fills.remove(&(self.order.repo.clone(), self.id));
    }
}

impl Inner {
    fn kept(&self, failed: Option<&MirrorError>, keep: Duration) -> Duration {
        match failed {
            None => keep,
            Some(MirrorError::Missing) => MISSING.min(self.keep_tags),
            Some(_) => SILENT.min(self.keep_tags),
        }
    }

    fn learn(&self, name: &V1Name, ids: impl Iterator<Item = ImageId>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        for id in ids.take(KNOWN_MAX / 2) {
            let repositories = known.entry(id).or_default();
            if repositories.len() < KNOWN_IN && !repositories.iter().any(|one| one.is(name)) {
                repositories.push(name.clone());
            }
        }
    }

    /// Says in the log when the source falls silent and when it is back.
    fn noted<T>(&self, answer: Result<T>) -> Result<T> {
        let error = match &answer {
            Err(error @ MirrorError::Unavailable(_)) => Some(error),
            _ => None,
        };
        let (failed_before, url) = (self.failing.swap(error.is_some(), Ordering::Relaxed), &*self.url);
        match error {
            None if failed_before => {
                tracing::info!(source = url, "the mirrored registry {url} answers again");
            }
            None => {}
            Some(error) if failed_before => tracing::debug!(source = url, %error, "{error}"),
            Some(error) => tracing::warn!(source = url, %error, "{error}"),
        }
        answer
    }
}

impl Order {
    fn key(&self) -> [u8; 32] {
        key(&[self.repo.as_str().as_bytes()])
    }

    fn key_of(&self, id: &ImageId) -> [u8; 32] {
        key(&[self.repo.as_str().as_bytes(), id.bytes()])
    }
}

/// The name of a question.
fn key(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn found<T>(answer: Option<T>) -> Result<T> {
    answer.ok_or(MirrorError::Missing)
}

fn crowded<T>(_: Crowded) -> Result<T> {
    Err(unavailable("is asked too much at once"))
}

fn unavailable(what: &str) -> MirrorError {
    MirrorError::Unavailable(what.into())
}
