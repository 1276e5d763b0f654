//! Prometheus metrics: `gantry_*`, units in the name, and never a repository name as a label.
//!
//! Counters of the request path are looked up once (see `requests`), so that a request costs a few atomic additions. What the
//! stores count is read when somebody asks.

mod requests;

use std::sync::Arc;

use gantry_storage::meta::GROUP_SIZE_BUCKETS;
use gantry_storage::{MetaStats, Space};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::{Registry, Unit};

use requests::Requests;
pub use requests::{Outcome, Route};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DirectionLabels {
    direction: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoginLabels {
    method: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabels {
    client: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GroupLabels {
    operations: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StorageLabels {
    storage: String,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug)]
pub struct Sweep {
    /// Things removed, by kind.
    pub removed: [(&'static str, u64); 6],
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// All metrics of one server.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    /// Bytes of request bodies.
    pub bytes_in: Counter,
    /// Bytes of answer bodies.
    pub bytes_out: Counter,
    logins: Family<LoginLabels, Counter>,
    v1_clients: Family<ClientLabels, Counter>,
    refusals: Family<ReasonLabels, Counter>,
    tokens_issued: Family<KindLabels, Counter>,
    sweeps: Family<ResultLabels, Counter>,
    swept: Family<KindLabels, Counter>,
    swept_bytes: Counter,
    sweep_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Connections open now.
    pub connections: Gauge,
    /// Connections that were refused because too many were open.
    pub connections_refused: Counter,
}

/// What the stores count, read anew for each scrape.
pub trait StoreReadings: Send + Sync + 'static {
    /// Counters of the metadata store.
    fn meta(&self) -> MetaStats;
    /// Space where the bytes are, by storage.
    fn space(&self) -> Vec<(Arc<str>, Space)>;
    /// Whether writes are accepted.
    fn writable(&self) -> bool;
    /// Upload sessions that this process holds.
    fn uploads_open(&self) -> u64;
    /// Checks of what is stored.
    fn verify(&self) -> VerifyCounts;
}

/// What checks of the stored bytes count.
#[derive(Clone, Copy, Debug)]
pub struct VerifyCounts {
    /// Bytes that were read to be checked.
    pub bytes: u64,
    /// Blobs and manifests that were found damaged.
    pub damage: u64,
    /// Blobs that are damaged now.
    pub damaged_blobs: u64,
    /// Manifests that are damaged now.
    pub damaged_manifests: u64,
}

impl Metrics {
    /// Metrics with nothing counted yet.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("gantry");
        let requests = Requests::new(&mut registry);
        let bytes = Family::<DirectionLabels, Counter>::default();
        registry.register_with_unit(
            "http_body",
            "Bytes of request (in) and answer (out) bodies",
            Unit::Bytes,
            bytes.clone(),
        );
        let logins = Family::default();
        registry.register("auth_logins", "Requests with credentials, by method and result", logins.clone());
        let v1_clients = Family::default();
        registry.register("v1_requests", "Requests of the v1 API, by client", v1_clients.clone());
        let refusals = Family::default();
        registry.register("auth_refusals", "Requests refused, by reason", refusals.clone());
        let tokens_issued = Family::default();
        registry.register(
            "auth_tokens_issued",
            "Bearer and refresh tokens issued, by kind",
            tokens_issued.clone(),
        );
        let sweeps = Family::default();
        registry.register("sweep_runs", "Sweeps, by result", sweeps.clone());
        let swept = Family::default();
        registry.register("sweep_removed", "What sweeps removed, by kind", swept.clone());
        let swept_bytes = Counter::default();
        registry.register_with_unit(
            "sweep_freed",
            "Bytes of blobs and manifests that sweeps removed",
            Unit::Bytes,
            swept_bytes.clone(),
        );
        let sweep_seconds = Gauge::default();
        registry.register_with_unit(
            "sweep_duration",
            "How long the last sweep took",
            Unit::Seconds,
            sweep_seconds.clone(),
        );
        let connections = Gauge::default();
        registry.register("http_connections", "Connections open now", connections.clone());
        let connections_refused = Counter::default();
        registry.register(
            "http_connections_refused",
            "Connections refused because limits.connections were open",
            connections_refused.clone(),
        );
        let direction = |direction| bytes.get_or_create(&DirectionLabels { direction }).clone();
        Self {
            bytes_in: direction("in"),
            bytes_out: direction("out"),
            registry,
            requests,
            logins,
            v1_clients,
            refusals,
            tokens_issued,
            sweeps,
            swept,
            swept_bytes,
            sweep_seconds,
            connections,
            connections_refused,
        }
    }

    /// Adds what the stores count to every scrape.
    pub fn watch(&mut self, readings: Arc<dyn StoreReadings>) {
        self.registry.register_collector(Box::new(StoreCollector(readings)));
    }

    /// Counts a request that was answered.
    pub fn answered(&self, outcome: &Outcome) {
        self.requests.answered(outcome);
    }

    /// Counts a request with credentials.
    pub fn login(&self, method: &'static str, accepted: bool) {
        let result = if accepted { "accepted" } else { "refused" };
        self.logins.get_or_create(&LoginLabels { method, result }).inc();
    }

    /// Counts a request of the v1 API, by one of a few names of clients.
    pub fn v1_request(&self, client: &'static str) {
        self.v1_clients.get_or_create(&ClientLabels { client }).inc();
    }

    /// Counts a request that was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts a token that was issued: `bearer` or `refresh`.
    pub fn token_issued(&self, kind: &'static str) {
        self.tokens_issued.get_or_create(&KindLabels { kind }).inc();
    }

    /// Counts a sweep; `None`: it failed.
    pub fn swept(&self, sweep: Option<&Sweep>) {
        let result = if sweep.is_some() { "done" } else { "failed" };
        self.sweeps.get_or_create(&ResultLabels { result }).inc();
        let Some(sweep) = sweep else { return };
        for (kind, count) in sweep.removed {
            self.swept.get_or_create(&KindLabels { kind }).inc_by(count);
        }
        self.swept_bytes.inc_by(sweep.bytes);
        self.sweep_seconds.set(sweep.seconds);
    }

    /// The text that Prometheus reads (OpenMetrics).
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

struct StoreCollector(Arc<dyn StoreReadings>);

impl std::fmt::Debug for StoreCollector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreCollector")
    }
}

impl Collector for StoreCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: u64| {
            let gauge = ConstGauge::<i64>::new(i64::try_from(value).unwrap_or(i64::MAX));
            to.encode_descriptor(name, help, unit, MetricType::Gauge)
                .and_then(|encoder| gauge.encode(encoder))
        };
        let stats = self.0.meta();
        gauge("uploads_open", "Upload sessions held by this process", None, self.0.uploads_open())?;
        gauge(
            "store_writable",
            "1 while writes are accepted, 0 after a failed commit or fsync",
            None,
            self.0.writable().into(),
        )?;
        let verify = self.0.verify();
        gauge(
            "store_damaged_blobs",
            "Blobs that wait for a push that heals them",
            None,
            verify.damaged_blobs,
        )?;
        gauge(
            "store_damaged_manifests",
            "Manifests that wait for a push that heals them",
            None,
            verify.damaged_manifests,
        )?;
        gauge(
            "cache_size",
            "Memory used by cached manifests and blob records",
            Some(&Unit::Bytes),
            stats.cache_bytes,
        )?;
        gauge("database_size", "Size of the database file", Some(&Unit::Bytes), stats.database_bytes)?;
        let space = self.0.space();
        let mut by_storage = |name: &str, help: &str, read: fn(&Space) -> u64| {
            if space.is_empty() {
                return Ok(());
            }
            let mut family = to.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?;
            for (storage, space) in &space {
                let gauge = ConstGauge::<i64>::new(i64::try_from(read(space)).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&StorageLabels { storage: storage.to_string() })?)?;
            }
            Ok(())
        };
        by_storage("disk_total", "Size of the file system that holds a storage", |space| space.total)?;
        by_storage("disk_free", "Space left on the file system that holds a storage", |space| space.free)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::<u64>::new(value);
            to.encode_descriptor(name, help, None, MetricType::Counter)
                .and_then(|encoder| counter.encode(encoder))
        };
        counter("manifest_cache_hits", "Manifest look-ups answered from memory", stats.manifest_hits)?;
        counter("manifest_cache_misses", "Manifest look-ups that read the database", stats.manifest_misses)?;
        counter("blob_cache_hits", "Blob look-ups answered from memory", stats.blob_hits)?;
        counter("blob_cache_misses", "Blob look-ups that read the database", stats.blob_misses)?;
        counter("referrers_cache_hits", "Pages of referrers answered from memory", stats.referrers_hits)?;
        counter(
            "referrers_cache_misses",
            "Pages of referrers that read the database",
            stats.referrers_misses,
        )?;
        counter("image_cache_hits", "Look-ups of v1 images answered from memory", stats.image_hits)?;
        counter("image_cache_misses", "Look-ups of v1 images that read the database", stats.image_misses)?;
        counter("database_commits", "Transactions committed", stats.commits)?;
        counter(
            "database_operations",
            "Operations committed; divided by commits: operations per group",
            stats.operations,
        )?;
        counter("verify_damaged", "Blobs and manifests that were found damaged", verify.damage)?;
        let help = "Bytes of blobs and manifests that were read to be checked";
        ConstCounter::<u64>::new(verify.bytes).encode(to.encode_descriptor(
            "verify",
            help,
            Some(&Unit::Bytes),
            MetricType::Counter,
        )?)?;
        let help = "Transactions committed, by how many operations shared them (at most)";
        let mut groups = to.encode_descriptor("database_groups", help, None, MetricType::Counter)?;
        let most = GROUP_SIZE_BUCKETS.iter().map(u64::to_string).chain(["more".to_owned()]);
        for (most, count) in most.zip(stats.group_sizes) {
            ConstCounter::<u64>::new(count)
                .encode(groups.encode_family(&GroupLabels { operations: most })?)?;
        }
        Ok(())
    }
}
