//! What Gantry is to reach, as ratios within one run, and whether it did.
//!
//! Ratios, because the machine is never the same twice; within one run, because it is never as busy twice either.

use std::fmt::Write as _;

use crate::growth::Growth;
use crate::measure::Figures;
use crate::report::{Report, mib};
use crate::servers::Kind;
use crate::steps::Steps;

enum Against {
    /// The same scenario by another server.
    Server(Kind),
    /// Another scenario by Gantry.
    Scenario(&'static str),
    /// The same scenario: one variant of Gantry beside another.
    Beside(Kind, Kind),
}

use Against::{Beside, Scenario, Server};

struct Target {
    what: &'static str,
    scenarios: &'static [&'static str],
    against: Against,
    at_least: f64,
}

const MANIFESTS: &[&str] =
    &["manifest-get-tag", "manifest-get-digest", "manifest-head-tag", "manifest-head-digest"];
const LARGE_GETS: &[&str] = &["blob-get-large-1", "blob-get-large-4", "blob-get-large-16"];
const LARGE_PUSHES: &[&str] = &["blob-push-large-1", "blob-push-large-4", "blob-push-large-8"];

const V1_SHORT: &[&str] = &["v1-json", "v1-ancestry"];
const V1_LAYERS: &[&str] = &["v1-layer-small", "v1-layer-large-1", "v1-layer-large-4"];

const TARGETS: &[Target] = &[
    target("ping, of nginx", &["ping"], Server(Kind::Nginx), 0.8),
    target("manifest GET and HEAD by tag and digest, of nginx", MANIFESTS, Server(Kind::Nginx), 0.7),
    target("the same, of Distribution 3", MANIFESTS, Server(Kind::D3), 8.0),
    target(
        "blob HEAD and small blob GET, of nginx",
        &["blob-head", "blob-get-small"],
        Server(Kind::Nginx),
        0.7,
    ),
    target("blob HEAD, of Distribution 3", &["blob-head"], Server(Kind::D3), 6.0),
    target("small blob GET, of Distribution 3", &["blob-get-small"], Server(Kind::D3), 50.0),
    target("256 MiB blob GET by 1, 4, 16, of nginx", LARGE_GETS, Server(Kind::Nginx), 1.0),
    target("the same, of Distribution 3", LARGE_GETS, Server(Kind::D3), 1.15),
    target("image pull by 4, of nginx", &["image-pull-4"], Server(Kind::Nginx), 0.9),
    target("the same, of Distribution 3", &["image-pull-4"], Server(Kind::D3), 7.0),
    target("small blob push by 1, of Distribution 3", &["blob-push-small-1"], Server(Kind::D3), 6.0),
    target("small blob push by 8, of Distribution 3", &["blob-push-small-8"], Server(Kind::D3), 12.0),
    target("256 MiB blob push by 1, 4, 8, of Distribution 3", LARGE_PUSHES, Server(Kind::D3), 1.2),
    target(
        "the same, of writing, hashing and syncing without a network",
        LARGE_PUSHES,
        Server(Kind::Local),
        0.85,
    ),
    target("image push by 1, of Distribution 3", &["image-push-1"], Server(Kind::D3), 2.5),
    target("image push by 4, of Distribution 3", &["image-push-4"], Server(Kind::D3), 3.0),
    target("tag page of 100 out of 10,000, of Distribution 3", &["tags-page"], Server(Kind::D3), 30.0),
    target("catalog page of 100 out of 10,000, of Distribution 3", &["catalog-page"], Server(Kind::D3), 25.0),
    target(
        "100 referrers, of our own manifest GET",
        &["referrers-page"],
        Scenario("manifest-get-digest"),
        0.4,
    ),
    target("mixed, of Distribution 3", &["mixed"], Server(Kind::D3), 8.0),
    target(
        "manifest GET with a bearer token, of our own without",
        &["access"],
        Beside(Kind::GantryBearer, Kind::Gantry),
        0.8,
    ),
    target(
        "manifest GET with a remembered password, of the same",
        &["access"],
        Beside(Kind::GantryBasic, Kind::Gantry),
        0.7,
    ),
    target(
        "v1 json and ancestry GET, of our own manifest GET",
        V1_SHORT,
        Beside(Kind::GantryV1, Kind::Gantry),
        0.7,
    ),
    target("the same with a token", V1_SHORT, Beside(Kind::GantryV1Token, Kind::GantryBearer), 0.7),
    target(
        "v1 layer GET, 4 KiB, 256 MiB by 1 and by 4, of our own blob GET",
        V1_LAYERS,
        Beside(Kind::GantryV1, Kind::Gantry),
        0.9,
    ),
    target("the same with a token", V1_LAYERS, Beside(Kind::GantryV1Token, Kind::GantryBearer), 0.9),
];

const fn target(
    what: &'static str,
    scenarios: &'static [&'static str],
    against: Against,
    at_least: f64,
) -> Target {
    Target { what, scenarios, against, at_least }
}

impl Target {
    fn found(&self, figures: &Figures) -> Vec<f64> {
        let figure = |scenario: &str, kind: Kind| figures.get(scenario)?.get(&kind)?.as_ref().ok();
        let ratio = |scenario: &&str| {
            let (own, other) = match self.against {
                Server(kind) => (Kind::Gantry, figure(scenario, kind)),
                Scenario(other) => (Kind::Gantry, figure(other, Kind::Gantry)),
                Beside(kind, other) => (kind, figure(scenario, other)),
            };
            Some(figure(scenario, own)?.ratio(other?))
        };
        self.scenarios.iter().filter_map(ratio).collect()
    }
}

/// The table of targets: those of which something was measured.
pub(crate) fn render(report: &Report) -> String {
    let mut table = Table::default();
    for target in TARGETS {
        let found = target.found(&report.figures);
        table.row(target.what, &format!(">= {}", target.at_least), &found, |ratio| ratio >= target.at_least);
    }
    if let Some(growth) = &report.growth {
        table.growth(growth);
    }
    let idle: Vec<_> = report.idle.get(&Kind::Gantry).map(|bytes| mib(*bytes)).into_iter().collect();
    table.row("resident memory, idle, MiB", "<= 20", &idle, |mib| mib <= 20.0);
    let gantry = report.figures.values().filter_map(|found| found.get(&Kind::Gantry)?.as_ref().ok());
    let peak = gantry.map(|figure| figure.peak).chain(report.growth.as_ref().map(|growth| growth.peak)).max();
    let peak: Vec<_> = peak.map(mib).into_iter().collect();
    table.row("resident memory, highest in any scenario, MiB", "<= 64", &peak, |mib| mib <= 64.0);
    if let Some(Ok(steps)) = report.steps.get(&Kind::Gantry) {
        table.steps(steps);
    }
    if table.rows.is_empty() {
        return String::new();
    }
    format!(
        "{} of {} targets met.\n\n| target | wanted | found | met |\n|---|--:|--:|---|\n{}",
        table.met, table.all, table.rows
    )
}

#[derive(Default)]
struct Table {
    rows: String,
    met: usize,
    all: usize,
}

impl Table {
    fn row(&mut self, what: &str, wanted: &str, found: &[f64], good: impl Fn(f64) -> bool) {
        if found.is_empty() {
            return;
        }
        let met = found.iter().all(|value| good(*value));
        self.all += 1;
        self.met += usize::from(met);
        let found: Vec<_> = found
            .iter()
            .map(|value| if *value < 10.0 { format!("{value:.2}") } else { format!("{value:.1}") })
            .collect();
        let met = if met { "yes" } else { "**no**" };
        let _ = writeln!(self.rows, "| {what} | {wanted} | {} | {met} |", found.join(", "));
    }

    fn growth(&mut self, growth: &Growth) {
        let ratios: Vec<_> = growth.rows.iter().map(|row| row.ratio).collect();
        self.row(
            "latency in a large store, of that in a small one (rows below)",
            "<= 1.2",
            &ratios,
            |ratio| ratio <= 1.2,
        );
        let start = growth.start[1] * 1e3;
        self.row("start to first answer with 100,000 repositories, ms", "<= 50", &[start], |ms| ms <= 50.0);
    }

    fn steps(&mut self, steps: &Steps) {
        let found = [steps.small, steps.manifest];
        self.row("durable steps per small blob, per manifest", "<= 1", &found, |steps| steps <= 1.0);
        self.row("durable steps per 256 MiB blob", "<= 3", &[steps.large], |steps| steps <= 3.0);
    }
}
