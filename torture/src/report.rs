//! What a run came to, for people and as JSON.

use std::time::Duration;

use serde_json::json;

/// The machine's load, when it is more than this run makes.
fn busy() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    let load: f64 = text.split(' ').next()?.parse().ok()?;
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (load > 3.0 * processors as f64).then_some(load)
}

/// Counts of one run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was done.
    pub mode: String,
    /// The seed of the plan.
    pub seed: u64,
    /// Cuts, or planned failures.
    pub cycles: u64,
    /// Failpoints at which the server really died or failed.
    pub reached: u64,
    /// Failpoints that the load did not come by, with the pass that was asked for.
    pub missed: Vec<String>,
    /// Requests acknowledged in all.
    pub acknowledged: u64,
    /// Successes that were heard of after a power cut, and do not count.
    pub late: u64,
    /// Reads of the checks.
    pub reads: u64,
    /// Uploads that went on after a cut and came out right.
    pub resumed: u64,
    /// Starts, each measured to the first 200 of `/readyz`.
    pub starts: u64,
    /// The slowest.
    pub slowest: Duration,
    /// Starts over a second.
    pub slow: u64,
    /// What could not be done here, and why.
    pub skipped: Vec<String>,
    /// What was found wrong.
    pub violations: Vec<String>,
    /// Where the data of a violation lies.
    pub kept: Option<String>,
}

impl Report {
    pub(crate) fn started(&mut self, took: Duration) {
        self.starts += 1;
        self.slowest = self.slowest.max(took);
        if took > Duration::from_secs(1) {
            self.slow += 1;
        }
        if took > Duration::from_secs(5) {
            // Where others want the processors, a wall clock tells of them.
            match busy() {
                Some(load) => {
                    self.skipped.push(format!("judging a start of {took:?}: the machine's load is {load}"));
                }
                None => self.violations.push(format!("a start took {took:?}")),
            }
        }
    }

    /// One line, and a line for everything that was wrong or left out.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} cycles (seed {}), {} with a loss; {} requests acknowledged, {} reads checked, {} uploads gone on with; \
             {} starts, the slowest {} ms, {} over a second",
            self.mode,
            self.cycles,
            self.seed,
            self.violations.len(),
            self.acknowledged,
            self.reads,
            self.resumed,
            self.starts,
            self.slowest.as_millis(),
            self.slow,
        );
        if self.reached > 0 || !self.missed.is_empty() {
            text.push_str(&format!("; {} failpoints reached", self.reached));
        }
        if self.late > 0 {
            text.push_str(&format!("; {} answers came after the cut and do not count", self.late));
        }
        for missed in &self.missed {
            text.push_str(&format!("\n  not reached: {missed}"));
        }
        for skipped in &self.skipped {
            text.push_str(&format!("\n  skipped: {skipped}"));
        }
        for violation in &self.violations {
            text.push_str(&format!("\n  VIOLATION: {violation}"));
        }
        if let Some(kept) = &self.kept {
            text.push_str(&format!("\n  the data directory is kept: {kept}"));
        }
        text
    }

    /// The same for machines.
    #[must_use]
    pub fn json(&self) -> String {
        json!({
            "mode": self.mode, "seed": self.seed, "cycles": self.cycles, "reached": self.reached,
            "missed": self.missed, "acknowledged": self.acknowledged, "late": self.late, "reads": self.reads,
            "resumed": self.resumed, "starts": self.starts,
            "slowest_start_ms": u64::try_from(self.slowest.as_millis()).unwrap_or(u64::MAX),
            "starts_over_a_second": self.slow, "skipped": self.skipped, "violations": self.violations,
            "kept": self.kept,
        })
        .to_string()
    }
}
