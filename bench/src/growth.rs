//! Whether Gantry slows down as it fills: a small store beside one with 50 to 5,000 times the entries, asked the same in
//! turns; and how long a server on the large one takes to its first answer.
//!
//! One client asks, because latency is the question. Every page has as many entries in both stores, and reads go to 64
//! places all over each, so that the large one is asked where it is large.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::content::{self, Template};
use crate::http::Request;
use crate::load::{self, Until, Work};
use crate::process;
use crate::push::{Fetch, PushImages, PushTags};
use crate::seed::{self, Facts, IMAGE, TAGS};
use crate::servers::{Kind, Programs, Server};

/// How full a store is.
#[derive(Debug, Clone, Copy)]
struct Size {
    repositories: usize,
    tags: usize,
    referrers: usize,
}

const SMALL: Size = Size { repositories: 2_000, tags: 100, referrers: 10 };
const LARGE: Size = Size { repositories: 100_000, tags: 100_000, referrers: 50_000 };

/// Entries of a page in both stores.
const PAGE: usize = 50;
const REFERRERS_PAGE: usize = 10;

/// One kind of request in both stores: seconds.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) small: Latency,
    pub(crate) large: Latency,
    /// The median, over rounds that followed each other, of the large store's p50 in the small store's.
    pub(crate) ratio: f64,
}

/// The median of the rounds' quantiles.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// What growth does.
#[derive(Debug, Clone)]
pub(crate) struct Growth {
    pub(crate) rows: Vec<Row>,
    /// Seconds to the first answer, on the small and on the large store.
    pub(crate) start: [f64; 2],
    /// Bytes that the server read until then.
    pub(crate) start_read: [u64; 2],
    /// Seconds that filling took.
    pub(crate) filled_in: f64,
    /// The highest resident memory of the large one, in bytes.
    pub(crate) peak: u64,
}

#[derive(Debug, Clone, Copy)]
enum Ask {
    GetByTag,
    GetInAnyRepository,
    TagsPage,
    CatalogPage,
    ReferrersPage,
    PutTag,
    Push,
}

const ASKS: &[(Ask, &str)] = &[
    (Ask::GetByTag, "GET of a manifest by one of many tags"),
    (Ask::GetInAnyRepository, "GET of a manifest in one of many repositories"),
    (Ask::TagsPage, "a page of 50 tags"),
    (Ask::CatalogPage, "a page of 50 repositories"),
    (Ask::ReferrersPage, "a page of 10 referrers"),
    (Ask::PutTag, "PUT of a new manifest under a new tag beside many"),
    (Ask::Push, "push of an image"),
];

/// Fills two stores and compares them.
pub(crate) fn compare(
    programs: &Programs,
    facts: &Facts,
    scratch: &Path,
    seconds: f64,
    rounds: usize,
) -> Result<Growth> {
    let begun = Instant::now();
    let mut servers = Vec::new();
    for (name, size) in [("small", SMALL), ("large", LARGE)] {
        let server = Server::start(Kind::Gantry, programs, &scratch.join(name))?;
        fill(&server, facts, size).with_context(|| format!("filling the {name} store"))?;
        servers.push((server, size));
    }
    let filled_in = begun.elapsed().as_secs_f64();
    println!("growth: both stores filled in {filled_in:.0} s");
    rustix::fs::sync();
    let mut rows = Vec::new();
    for (ask, what) in ASKS {
        let mut found = [Vec::new(), Vec::new()];
        for _ in 0..rounds.max(5) {
            for ((server, size), found) in servers.iter().zip(&mut found) {
                let until = Until::Time(Duration::from_secs_f64(seconds));
                let round = load::round(server.address, until, vec![work(*ask, facts, *size)])
                    .with_context(|| format!("growth, {what}"))?;
                found.push(Latency {
                    p50: round.latencies.quantile(0.5),
                    p99: round.latencies.quantile(0.99),
                });
            }
        }
        let mut ratios: Vec<_> =
            found[0].iter().zip(&found[1]).map(|(small, large)| large.p50 / small.p50).collect();
        ratios.sort_by(f64::total_cmp);
        let ratio = ratios[ratios.len() / 2];
        let [small, large] = found.map(median);
        println!("growth: {what}: {:.0} us, {:.0} us, {ratio:.2}", small.p50 * 1e6, large.p50 * 1e6);
        rows.push(Row { what, small, large, ratio });
    }
    let mut peak = 0;
    for (server, size) in &servers {
        if size.repositories == LARGE.repositories {
            peak = process::memory(server.pid())?.peak;
        }
    }
    let mut start = [0.0; 2];
    let mut start_read = [0; 2];
    for (number, (server, _)) in servers.into_iter().enumerate() {
        (start[number], start_read[number]) = restart(server, programs, rounds)?;
    }
    Ok(Growth { rows, start, start_read, filled_in, peak })
}

/// The median time of starts on a store, and what the last read.
fn restart(mut server: Server, programs: &Programs, rounds: usize) -> Result<(f64, u64)> {
    let mut times = Vec::new();
    let mut read = 0;
    for _ in 0..rounds.max(5) {
        let directory = server.directory.clone();
        drop(server);
        server = Server::start(Kind::Gantry, programs, &directory)?;
        read = process::bytes_read(server.pid())?;
        times.push(server.started_in.as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok((times[times.len() / 2], read))
}

fn fill(server: &Server, facts: &Facts, size: Size) -> Result<()> {
    seed::push_image(server, facts)?;
    seed::tags(server, facts, size.tags)?;
    seed::repositories(server, facts, size.repositories)?;
    seed::referrers(server, facts, size.referrers)
}

fn median(mut found: Vec<Latency>) -> Latency {
    found.sort_by(|one, other| one.p50.total_cmp(&other.p50));
    found.get(found.len() / 2).copied().unwrap_or_default()
}

fn work(ask: Ask, facts: &Facts, size: Size) -> Box<dyn Work> {
    let places = |count: usize| (0..64).map(move |place| place * count / 64);
    let manifest = |repository: &str, tag: &str| {
        let path = format!("/v2/{repository}/manifests/{tag}");
        vec![Request::new("GET", &path, &seed::accept(), 200)]
    };
    let get = |path: String| vec![Request::new("GET", &path, "", 200)];
    let lists = match ask {
        Ask::PutTag => return Box::new(PushTags { repository: TAGS.to_owned(), blobs: facts.blobs.clone() }),
        Ask::Push => {
            let templates = content::IMAGE.iter().map(|size| Template::new(*size)).collect();
            return Box::new(PushImages { repository: "bench/push".to_owned(), templates });
        }
        Ask::GetByTag => places(size.tags).map(|place| manifest(TAGS, &seed::tag(place))).collect(),
        Ask::GetInAnyRepository => {
            places(size.repositories).map(|place| manifest(&seed::repository(place), "latest")).collect()
        }
        Ask::TagsPage => places(size.tags - PAGE)
            .map(|place| get(format!("/v2/{TAGS}/tags/list?n={PAGE}&last={}", seed::tag(place))))
            .collect(),
        Ask::CatalogPage => places(size.repositories - PAGE)
            .map(|place| get(format!("/v2/_catalog?n={PAGE}&last={}", seed::repository(place))))
            .collect(),
        Ask::ReferrersPage => {
            vec![get(format!("/v2/{IMAGE}/referrers/{}?n={REFERRERS_PAGE}", facts.manifest_digest))]
        }
    };
    Box::new(Fetch { lists, next: 0 })
}
