//! What was found, as text: lines while it runs, Markdown tables at the end, and their place in a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::RunArgs;
use crate::growth::{Growth, Row};
use crate::measure::{Figure, Figures};
use crate::scenarios::{self, Scenario};
use crate::servers::{Kind, Programs};
use crate::steps::Steps;
use crate::targets;

/// A run's results.
#[derive(Debug)]
pub(crate) struct Report {
    machine: String,
    versions: Vec<String>,
    how: String,
    /// How long all of it took.
    pub(crate) seconds: f64,
    pub(crate) figures: Figures,
    /// Resident memory of empty servers, in bytes.
    pub(crate) idle: BTreeMap<Kind, u64>,
    /// Durable steps per push.
    pub(crate) steps: BTreeMap<Kind, Result<Steps, String>>,
    pub(crate) growth: Option<Growth>,
    /// What went wrong or was left out, for the reader.
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// An empty one that knows the circumstances.
    pub(crate) fn new(programs: &Programs, kinds: &[Kind], args: &RunArgs) -> Self {
        let version = |kind: &Kind| Some(format!("{}: {}", kind.name(), programs.version(*kind)?));
        Self {
            machine: machine(),
            versions: kinds.iter().filter_map(version).collect(),
            how: format!("{} rounds of {} s", args.rounds, args.seconds),
            seconds: 0.0,
            figures: Figures::new(),
            idle: BTreeMap::new(),
            steps: BTreeMap::new(),
            growth: None,
            notes: Vec::new(),
        }
    }

    /// All of it as Markdown.
    pub(crate) fn render(&self) -> String {
        let mut text = format!("Machine: {}. {}; {:.0} s in all.\n\n", self.machine, self.how, self.seconds);
        for version in &self.versions {
            let _ = writeln!(text, "* {version}");
        }
        let rounds: Vec<f64> = self
            .figures
            .values()
            .flat_map(|found| found.values().flatten())
            .map(|figure| figure.others)
            .collect();
        if !rounds.is_empty() {
            let share = rounds.iter().sum::<f64>() / rounds.len() as f64 * 100.0;
            let _ = writeln!(text, "* Meanwhile other processes used {share:.0} % of the processors.");
        }
        for note in &self.notes {
            let _ = writeln!(text, "* {note}");
        }
        let parts = [
            ("Targets", targets::render(self)),
            ("Loads", self.loads()),
            ("Durable steps per push", self.durable()),
            ("Growth", self.growth.as_ref().map(grown).unwrap_or_default()),
        ];
        for (title, part) in parts {
            if !part.is_empty() {
                let _ = write!(text, "\n### {title}\n\n{part}");
            }
        }
        text
    }

    fn loads(&self) -> String {
        let mut text = String::new();
        for scenario in scenarios::ALL {
            let Some(found) = self.figures.get(scenario.name) else { continue };
            for (kind, figure) in found {
                let (scenario_name, server) = (scenario.name, kind.name());
                let _ = match figure {
                    Err(error) => writeln!(text, "| {scenario_name} | {server} | failed: {error} |"),
                    Ok(figure) => {
                        let of = |other: Kind| match found.get(&other) {
                            Some(Ok(other)) => format!("{:.2}", figure.ratio(other)),
                            _ => String::new(),
                        };
                        writeln!(
                            text,
                            "| {scenario_name} | {server} | {} | {:.0} % | {} | {} | {} | {:.0} | {} | {} |",
                            amount(scenario, figure),
                            (figure.fastest - figure.slowest) / figure.rate * 100.0,
                            time(figure.p50),
                            time(figure.p99),
                            time(figure.cpu * 1e-6),
                            mib(figure.peak),
                            of(Kind::Nginx),
                            of(Kind::D3),
                        )
                    }
                };
            }
        }
        if text.is_empty() {
            return text;
        }
        text.insert_str(
            0,
            "| scenario | server | per second | spread | p50 | p99 | CPU per operation | peak MiB | of nginx | of d3 |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        if !self.idle.is_empty() {
            let one = |(kind, bytes): (&Kind, &u64)| format!("{} {:.1} MiB", kind.name(), mib(*bytes));
            let all: Vec<_> = self.idle.iter().map(one).collect();
            let _ = writeln!(text, "\nResident memory of an empty, idle server: {}.", all.join(", "));
        }
        text
    }

    fn durable(&self) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut text =
            "| server | 4 KiB blob | manifest | 256 MiB blob | 4 KiB blob, 8 clients | all calls |\n\
                        |---|--:|--:|--:|--:|---|\n"
                .to_owned();
        for (kind, steps) in &self.steps {
            let _ = match steps {
                Err(error) => writeln!(text, "| {} | failed: {error} |", kind.name()),
                Ok(Steps { small, manifest, large, small_by_8, calls }) => writeln!(
                    text,
                    "| {} | {small:.1} | {manifest:.1} | {large:.1} | {small_by_8:.2} | {calls} |",
                    kind.name()
                ),
            };
        }
        text
    }
}

fn grown(growth: &Growth) -> String {
    let mut text = "| request, by one client | small p50 | large p50 | ratio | small p99 | large p99 |\n\
                    |---|--:|--:|--:|--:|--:|\n"
        .to_owned();
    for Row { what, small, large, ratio } in &growth.rows {
        let _ = writeln!(
            text,
            "| {what} | {} | {} | {ratio:.2} | {} | {} |",
            time(small.p50),
            time(large.p50),
            time(small.p99),
            time(large.p99)
        );
    }
    let [small, large] = growth.start;
    let [small_read, large_read] = growth.start_read;
    let _ = writeln!(
        text,
        "| start to first answer | {} | {} | {:.2} | | |\n\nUntil its first answer the server had read {:.0} KiB on \
         the small store and {:.0} KiB on the large one. Highest resident memory on the large one: {:.0} MiB. Both \
         were filled through the API in {:.0} s.",
        time(small),
        time(large),
        large / small,
        small_read as f64 / 1024.0,
        large_read as f64 / 1024.0,
        mib(growth.peak),
        growth.filled_in
    );
    text
}

/// What a scenario gave, for whoever watches.
pub(crate) fn lines(scenario: &Scenario, found: &BTreeMap<Kind, Result<Figure, String>>) -> String {
    let mut text = String::new();
    for (kind, figure) in found {
        let _ = match figure {
            Err(error) => writeln!(text, "{:20} {:10} FAILED: {error}", scenario.name, kind.name()),
            Ok(figure) => writeln!(
                text,
                "{:20} {:10} {:>14}  p50 {:>9}  p99 {:>9}  cpu {:>9}  peak {:>5.0} MiB",
                scenario.name,
                kind.name(),
                amount(scenario, figure),
                time(figure.p50),
                time(figure.p99),
                time(figure.cpu * 1e-6),
                mib(figure.peak)
            ),
        };
    }
    text
}

/// Operations, or for streams bytes, per second.
fn amount(scenario: &Scenario, figure: &Figure) -> String {
    if scenario.is_stream() {
        format!("{:.0} MiB", figure.bytes / 1_048_576.0)
    } else if figure.rate < 100.0 {
        format!("{:.1}", figure.rate)
    } else {
        format!("{:.0}", figure.rate)
    }
}

/// Seconds, readable.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        time if time < 0.001 => format!("{:.0} us", time * 1e6),
        time if time < 0.1 => format!("{:.2} ms", time * 1e3),
        time if time < 1.0 => format!("{:.0} ms", time * 1e3),
        time => format!("{time:.2} s"),
    }
}

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

/// Replaces what stands between `<!-- NAME begin -->` and `<!-- NAME end -->` in a file.
pub(crate) fn write(file: &Path, name: &str, text: &str) -> Result<()> {
    let old = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let new = between(&old, name, text)
        .with_context(|| format!("{} lacks the markers of {name:?}", file.display()))?;
    fs::write(file, new).with_context(|| format!("writing {}", file.display()))
}

fn between(old: &str, name: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name} begin -->"), format!("<!-- {name} end -->"));
    let (before, rest) = old.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.split_once(':')?.1.trim().to_owned()))
        .unwrap_or_else(|| "unknown processor".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo")
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    let date = std::process::Command::new("date").arg("+%F").output();
    let date =
        date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{cpu}, {cores} cores, {:.0} GiB, Linux {}, {date}", memory as f64 / 1_048_576.0, kernel.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let old = "# Title\n<!-- bench begin -->\nold\n<!-- bench end -->\nby hand\n";
        let new = between(old, "bench", "new").unwrap();
        assert_eq!(new, "# Title\n<!-- bench begin -->\n\nnew\n\n<!-- bench end -->\nby hand\n");
        assert_eq!(between(&new, "bench", "new").unwrap(), new);
        assert!(between("no markers", "bench", "new").is_none());
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(
            [time(0.000_012), time(0.001_5), time(0.25), time(2.0)],
            ["12 us", "1.50 ms", "250 ms", "2.00 s"]
        );
    }
}
