//! Runs scenarios on servers and keeps what came out.
//!
//! All servers run at once and wait while another is measured: a waiting server costs nothing (the report says what CPU
//! they used while they were not asked), and only so can short rounds alternate between them, so that whatever else the
//! machine does hits all alike. The reported round is the median by rate; its neighbours give the spread.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::content::{self, Template};
use crate::load::{self, Round, Until};
use crate::process;
use crate::scenarios::Scenario;
use crate::seed::Facts;
use crate::servers::{Kind, Server};

/// What one server did in one scenario.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figure {
    /// Operations per second in the median round, and in the slowest and the fastest.
    pub(crate) rate: f64,
    pub(crate) slowest: f64,
    pub(crate) fastest: f64,
    /// Bytes of bodies per second.
    pub(crate) bytes: f64,
    /// Seconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of the server's CPU per operation.
    pub(crate) cpu: f64,
    /// The highest resident memory, in bytes.
    pub(crate) peak: u64,
    /// Operations per second in each round, in the order of time.
    rounds: Vec<f64>,
    /// The share of the machine's processors that neither clients nor server used.
    pub(crate) others: f64,
}

impl Figure {
    /// This rate in that of another server, or in that of another scenario: the median over rounds that followed each
    /// other, because what disturbed one disturbed its neighbour too.
    pub(crate) fn ratio(&self, other: &Figure) -> f64 {
        let mut ratios: Vec<_> =
            self.rounds.iter().zip(&other.rounds).map(|(own, other)| own / other).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// Everything that was found: by scenario, then by server.
pub(crate) type Figures = BTreeMap<&'static str, BTreeMap<Kind, Result<Figure, String>>>;

struct Measured {
    round: Round,
    cpu: f64,
    peak: u64,
    others: f64,
}

/// Runs a scenario on servers, in turns, and keeps the median of each.
pub(crate) fn scenario(
    scenario: &Scenario,
    servers: &[Server],
    facts: &Facts,
    seconds: f64,
    rounds: usize,
    scratch: &Path,
    local: bool,
) -> BTreeMap<Kind, Result<Figure, String>> {
    let mut kinds: Vec<_> = servers.iter().map(|server| (server.kind, Some(server))).collect();
    if local {
        kinds.push((Kind::Local, None));
    }
    kinds.retain(|(kind, _)| scenario.is_for(*kind));
    let mut found: BTreeMap<Kind, Result<Vec<Measured>, String>> = BTreeMap::new();
    for _ in 0..rounds {
        for (kind, server) in &kinds {
            let rounds = found.entry(*kind).or_insert_with(|| Ok(Vec::new()));
            let Ok(done) = rounds else { continue };
            // What another server left to be written must not be waited for by this one.
            if scenario.pushes() {
                rustix::fs::sync();
            }
            let measured = match server {
                Some(server) => measure(scenario, server, facts, seconds),
                None => without_network(scenario, scratch),
            };
            match measured {
                Ok(measured) => done.push(measured),
                Err(error) => *rounds = Err(format!("{error:#}")),
            }
        }
    }
    found.into_iter().map(|(kind, rounds)| (kind, rounds.map(median))).collect()
}

fn measure(scenario: &Scenario, server: &Server, facts: &Facts, seconds: f64) -> Result<Measured> {
    let works = scenario.works(server.kind, facts, &server.authorization()?);
    process::forget_peak(server.pid())?;
    let own = std::process::id();
    let before = (process::cpu(server.pid())?, process::cpu(own)?, process::busy()?);
    let begun = Instant::now();
    let round = load::round(server.address, scenario.until(seconds), works)?;
    let wall = begun.elapsed().as_micros() as f64;
    let used = process::cpu(server.pid())? - before.0;
    // Servers are children of this process, so its own time is all of theirs too.
    let ours = process::cpu(own)? - before.1;
    let others = (process::busy()? - before.2 - ours).max(0.0) / (wall * process::processors());
    // The step that each client does before the clock starts costs the server too.
    let warm = if matches!(scenario.until(seconds), Until::Time(_)) { scenario.clients as u64 } else { 0 };
    let peak = process::memory(server.pid())?.peak;
    Ok(Measured { cpu: used / (round.steps + warm) as f64, round, peak, others })
}

fn median(mut rounds: Vec<Measured>) -> Figure {
    let in_time = rounds.iter().map(|measured| measured.round.rate()).collect();
    let others = rounds.iter().map(|measured| measured.others).sum::<f64>() / rounds.len().max(1) as f64;
    rounds.sort_by(|one, other| one.round.rate().total_cmp(&other.round.rate()));
    let peak = rounds.iter().map(|measured| measured.peak).max().unwrap_or(0);
    let rate = |measured: Option<&Measured>| measured.map_or(0.0, |measured| measured.round.rate());
    let Some(middle) = rounds.get(rounds.len() / 2) else { return Figure::default() };
    Figure {
        rate: middle.round.rate(),
        slowest: rate(rounds.first()),
        fastest: rate(rounds.last()),
        bytes: middle.round.bytes as f64 / middle.round.seconds,
        p50: middle.round.latencies.quantile(0.5),
        p99: middle.round.latencies.quantile(0.99),
        cpu: middle.cpu,
        peak,
        rounds: in_time,
        others,
    }
}

/// The floor of a large push: the same bytes are hashed, written and synced by threads of this process.
fn without_network(scenario: &Scenario, scratch: &Path) -> Result<Measured> {
    use std::io::Write as _;

    let Until::Steps(steps) = scenario.until(0.0) else { anyhow::bail!("not a large push") };
    let template = Template::new(content::LARGE);
    let own = std::process::id();
    let before = process::cpu(own)?;
    let begun = Instant::now();
    let one = |name: String| -> Result<f64> {
        let begun = Instant::now();
        let path = scratch.join(&name);
        let mut file = std::fs::File::create_new(&path)?;
        let mut hash = Sha256::new();
        let (mut written, mut told) = (0, 0);
        for piece in template.named(&name).pieces() {
            hash.update(piece);
            file.write_all(piece)?;
            written += piece.len() as u64;
            // As a server would: the disk begins before the last byte has come. On pages that are not written yet this
            // advice starts their writing.
            if let Some(new) = NonZeroU64::new(written - told).filter(|new| new.get() >= 8 << 20) {
                let _ = rustix::fs::fadvise(&file, told, Some(new), rustix::fs::Advice::DontNeed);
                told = written;
            }
        }
        std::hint::black_box(hash.finalize());
        file.sync_data()?;
        std::fs::remove_file(&path)?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let times = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..scenario.clients)
            .map(|_| {
                scope.spawn(|| {
                    (0..steps)
                        .map(|_| one(format!("floor{}", content::unique())))
                        .collect::<Result<Vec<f64>>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a thread panicked")?)
            .collect::<Result<Vec<_>>>()
    })?;
    let mut round = Round { seconds: begun.elapsed().as_secs_f64(), ..Round::default() };
    for time in times.iter().flatten() {
        round.latencies.add(Duration::from_secs_f64(*time));
    }
    round.steps = round.latencies.total();
    round.bytes = round.steps * content::LARGE;
    let cpu = (process::cpu(own)? - before) / round.steps as f64;
    Ok(Measured { round, cpu, peak: 0, others: 0.0 })
}
