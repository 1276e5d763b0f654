//! One server's parts, put together once and shared by every connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_storage::meta::access::AuditEntry;
use gantry_storage::{Damaged, MetaStats, OpenError, Space, Storage, Store, StoreConfig, Terms};

use tokio::sync::mpsc::Sender;

use crate::auth::AuthOpenError;
use crate::config::{Config, ConfigError};
use crate::jobs::{JobError, JobReport, Jobs};
use crate::observe::{self, Metrics, StoreReadings, VerifyCounts};
use crate::registry::verify::VerifyReadings;
use crate::registry::{Limits, Prefixes, Registry, Schedule, SweepItem, SweepReport};
use crate::upstream::{Index, Mirror, OpenUpstreamError};

mod access;
mod refusals;

pub(crate) use access::Access;

/// Why a server could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A source of identity does not open.
    #[error(transparent)]
    Accounts(#[from] AuthOpenError),
    /// Another server of `[v1]` cannot be asked.
    #[error(transparent)]
    Upstream(#[from] OpenUpstreamError),
    /// What access goes by cannot be read or set up.
    #[error("{0}")]
    Access(String),
    /// Nobody asked for an open door to the network.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

/// Opens the store and the registry on it, without a server around them.
///
/// # Errors
/// The store does not open: the message says what to do about it.
pub async fn open_registry(config: &Config) -> Result<(Store, Registry), OpenError> {
    let (store, registry, _) = open_placed(config).await?;
    Ok((store, registry))
}

/// The same, and what says where pushes go: at first by the namespaces of the file.
async fn open_placed(config: &Config) -> Result<(Store, Registry, Arc<Prefixes>), OpenError> {
    let settings = &config.settings;
    let limits = Limits {
        manifest: settings.limits.manifest.0,
        upload: settings.limits.upload.0,
        inline_blob: usize::try_from(settings.limits.inline_blob.0).unwrap_or(usize::MAX),
        tags_page: settings.limits.tags_page,
        catalog_page: settings.limits.catalog_page,
        referrers_page: settings.limits.referrers_page,
        manifest_types: settings.registry.manifest_types.clone(),
        sparse_index: settings.registry.sparse_index,
        sparse_image: settings.registry.sparse_image,
        upload_expiry: settings.sweep.upload_expiry.0,
        promises: Terms { grace: settings.sweep.grace.0 },
        untagged: settings.sweep.untagged.0.map(|grace| Terms { grace }),
        v1_platform: settings.v1.default_platform.0.clone(),
        verify: Schedule { interval: settings.verify.interval.0, rate: settings.verify.rate.0 },
    };
    let store = Store::open(StoreConfig {
        data_dir: config.data_dir.clone(),
        sqlite_path: settings.metadata.sqlite.path.clone(),
        blob_path: config.default_storage(),
        storages: config.storages.clone(),
        inline_limit: limits.inline_blob,
        cache_bytes: settings.limits.cache.0,
    })
    .await?;
    let namespaces = settings.namespace.iter().map(|entry| (entry.prefix.as_str(), entry.storage.as_str()));
    let placement = Arc::new(Prefixes::new(&store.storages, namespaces));
    let registry = Registry::new(&store, limits, Arc::<Prefixes>::clone(&placement));
    Ok((store, registry, placement))
}

/// One server.
pub struct App {
    pub(crate) config: Config,
    pub(crate) registry: Arc<Registry>,
    pub(crate) access: Access,
    pub(crate) jobs: Arc<Jobs>,
    /// The Index that decides for v1, where another server does.
    pub(crate) index: Option<Index>,
    /// The v1 registry from which is fetched what is missing, where there is one.
    pub(crate) mirror: Option<Mirror>,
    pub(crate) metrics: Metrics,
    pub(crate) draining: AtomicBool,
    request_ids: RequestIds,
    refusals: refusals::Refusals,
    store: Store,
    space: Arc<SpaceReading>,
}

impl App {
    /// Opens the store and the accounts.
    ///
    /// # Errors
    /// The first part that does not open, with what to do about it.
    pub async fn open(config: Config) -> Result<Self, AppError> {
        // Nothing is made for a server that is not allowed to serve.
        if !config.database().exists() {
            access::closed_door(&config, config.listen(), false)?;
        }
        let (store, registry, placement) = open_placed(&config).await?;
        let registry = Arc::new(registry);
        let space = Arc::new(SpaceReading::default());
        let mut metrics = Metrics::new();
        metrics.watch(Arc::new(Readings { registry: Arc::clone(&registry), space: Arc::clone(&space) }));
        let v1 = &config.settings.v1;
        let (mut index, mut mirror) = (None, None);
        if config.v1_enabled() {
            index = Index::open(&v1.index)?;
            mirror = Mirror::open(&v1.mirror, &registry, &config.data_dir)?;
        }
        let access =
            Access::open(&config, Arc::clone(registry.meta()), (placement, store.storages.clone())).await?;
        Ok(Self {
            jobs: Arc::new(Jobs::new(Arc::clone(&registry))),
            index,
            mirror,
            registry,
            access,
            metrics,
            draining: AtomicBool::new(false),
            request_ids: RequestIds::new(),
            refusals: refusals::Refusals::new(),
            store,
            space,
            config,
        })
    }

    /// Keeps an entry of the audit log; of refusals without end some.
    pub(crate) fn audit(&self, entry: AuditEntry) {
        let Some(entry) = self.refusals.pass(entry) else { return };
        if !self.registry.meta().audit_soon(entry) {
            tracing::debug!("an entry of the audit log was dropped: too many wait");
        }
    }

    /// Orders that what lies at and below `prefix` goes to the storage `to`, where its namespace must be already: see
    /// [`Jobs::start_move`].
    ///
    /// # Errors
    /// What cannot be done, and a store that failed.
    pub async fn start_move(&self, prefix: &str, to: &str) -> Result<u64, JobError> {
        // Where the namespace is by now.
        self.access.rules().await?;
        self.jobs.start_move(prefix, to).await
    }

    /// Jobs numbered below `before`, the newest first.
    ///
    /// # Errors
    /// The store failed.
    pub async fn jobs(&self, before: Option<u64>, limit: usize) -> Result<Vec<JobReport>, JobError> {
        self.jobs.list(before, limit).await
    }

    /// Takes from another reading of the configuration what can change while the server runs: namespaces with their grants and tag
    /// rules, the roles of methods, `auth.anonymous`, `registry.delete` and the level of the log. Gives the tables of what is
    /// different and waits for a restart.
    ///
    /// # Errors
    /// It would open the server to the network although nobody said so; nothing is changed.
    pub(crate) async fn rewrite(&self, config: &Config) -> Result<Vec<String>, AppError> {
        self.access.rules().await.map_err(|error| AppError::Access(error.to_string()))?;
        access::closed_door(config, self.config.listen(), self.access.auth.has_rows())?;
        self.access.rewrite(config);
        observe::set_log_level(config.settings.log.level);
        Ok(self.config.settings.other_tables(&config.settings))
    }

    /// Removes what has had its time: logins and tokens that ended, keys that nothing is signed with any more, old entries of the
    /// audit log; and forgets callers that were counted.
    pub(crate) async fn tidy_access(&self) {
        self.access.pace.forget();
        self.access.auth.forget_sign_ups();
        self.refusals.forget();
        if let Err(error) = self.access.tidy(self.config.settings.audit.keep.0).await {
            tracing::warn!(%error, "clearing up accounts, tokens and the audit log failed; it is tried again");
        }
    }

    /// A new request id.
    pub(crate) fn next_request_id(&self) -> u64 {
        self.request_ids.next()
    }

    /// Whether requests can be served in full; else what is wrong.
    ///
    /// A full disk and damaged blobs are told and are no failure: pulls of everything else go on.
    pub(crate) async fn ready(&self) -> Result<Ready, String> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("shutting down".to_owned());
        }
        if let Some(reason) =
            self.registry.meta().read_only().or_else(|| self.registry.storages().read_only())
        {
            return Err(format!("read-only: {reason}"));
        }
        self.registry.meta().catalog(None, 1).await.map_err(|error| format!("database: {error}"))?;
        let mut free = Vec::new();
        for Storage { name, blobs, .. } in self.registry.storages().iter() {
            let space = blobs.space().await.map_err(|error| format!("storage {name}: {error}"))?;
            free.push((Arc::clone(name), space.map(|space| space.free)));
        }
        let damaged =
            self.registry.verifier().measure().await.map_err(|error| format!("database: {error}"))?;
        Ok(Ready { free, damaged })
    }

    /// Counts what is damaged, for the next scrape.
    pub(crate) async fn measure_damage(&self) {
        if let Err(error) = self.registry.verifier().measure().await {
            tracing::debug!(%error, "what is damaged could not be counted");
        }
    }

    /// A sweep, counted: see [`Registry::sweep`].
    pub(crate) async fn sweep(
        &self,
        dry_run: bool,
        tell: Option<&Sender<SweepItem>>,
    ) -> crate::registry::Result<SweepReport> {
        let result = self.registry.sweep(dry_run, tell).await;
        if !dry_run {
            self.metrics.swept(result.as_ref().ok().map(reading).as_ref());
        }
        if let Ok(report) = &result
            && !dry_run
        {
            let SweepReport {
                manifests, referrers, images, links, blobs, bytes, files, milliseconds, ..
            } = report;
            let removed = manifests + referrers + images + links + files > 0;
            let text = format!(
                "swept {manifests} untagged manifests, {referrers} referrers, {images} images, {links} unnamed blobs out of repositories; \
                 {blobs} blobs and {bytes} bytes are free, {files} files removed, in {milliseconds} ms"
            );
            if removed {
                tracing::info!(target: "sweep", "{text}");
            } else {
                tracing::debug!(target: "sweep", "{text}");
            }
        }
        result
    }

    /// Asks the file systems how much space is left, for the next scrape.
    pub(crate) async fn measure_space(&self) {
        let mut found = Vec::new();
        for Storage { name, blobs, .. } in self.registry.storages().iter() {
            match blobs.space().await {
                Ok(space) => found.extend(space.map(|space| (Arc::clone(name), space))),
                Err(error) => {
                    tracing::debug!(%error, storage = %name, "the file system does not say how much space is left");
                }
            }
        }
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Writes what is still in memory and lets go of the data directory.
    pub async fn close(self) {
        self.store.close().await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of one sweep")]
fn reading(report: &SweepReport) -> observe::Sweep {
    observe::Sweep {
        removed: [
            ("manifest", report.manifests),
            ("referrer", report.referrers),
            ("image", report.images),
            ("link", report.links),
            ("blob", report.blobs),
            ("file", report.files),
        ],
        bytes: report.bytes,
        seconds: report.milliseconds as f64 / 1e3,
    }
}

/// What a server that is ready says of itself.
pub(crate) struct Ready {
    /// Space that is left, in bytes, by storage; `default` first.
    pub(crate) free: Vec<(Arc<str>, Option<u64>)>,
    /// What waits for a push that heals it.
    pub(crate) damaged: Damaged,
}

/// Request ids: what this process drew at start, in the upper half, and a number.
struct RequestIds(AtomicU64);

impl RequestIds {
    fn new() -> Self {
        let (drawn, _) = uuid::Uuid::new_v4().as_u64_pair();
        Self(AtomicU64::new(drawn & !u64::from(u32::MAX)))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// By storage, at the last measurement.
type SpaceReading = Mutex<Vec<(Arc<str>, Space)>>;

struct Readings {
    registry: Arc<Registry>,
    space: Arc<SpaceReading>,
}

impl StoreReadings for Readings {
    fn meta(&self) -> MetaStats {
        self.registry.meta().stats()
    }

    fn space(&self) -> Vec<(Arc<str>, Space)> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn writable(&self) -> bool {
        self.registry.meta().read_only().is_none() && self.registry.storages().read_only().is_none()
    }

    fn uploads_open(&self) -> u64 {
        self.registry.uploads().open()
    }

    fn verify(&self) -> VerifyCounts {
        let VerifyReadings { bytes, damage, damaged } = self.registry.verifier().readings();
        VerifyCounts { bytes, damage, damaged_blobs: damaged.blobs, damaged_manifests: damaged.manifests }
    }
}
