//! The torture machine: a real Gantry under load, cut at every step, and a witness who knows only what was acknowledged.
//!
//! [`run`] starts the program it is given, drives workers against it (`load`), cuts it (`kill`, `power`, `faults`), starts it again and
//! asks the witness (`check`), who compares what is there with the `journal` of what was sent and acknowledged.
//!
//! What it is not: it links nothing of Gantry and reads none of its files, so that no mistake is made twice. It is
//! also no benchmark: it measures only how long a start takes.

mod check;
mod client;
mod faults;
mod journal;
mod kill;
mod load;
mod power;
mod report;
mod rng;
mod self_test;
mod server;
mod stage;

use std::path::PathBuf;

pub use report::Report;

/// What is cut, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `kill -9` at random moments.
    Kill,
    /// `kill -9` at each failpoint.
    Points,
    /// Power cuts: a file system that forgets what was not synced.
    Power,
    /// A disk that fails or is full.
    Faults,
    /// Damage done by hand, which the witness must notice.
    SelfTest,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program, built with failpoints.
    pub gantry: PathBuf,
    /// What to do.
    pub mode: Mode,
    /// How often. 0: as often as the mode has cases.
    pub cycles: u64,
    /// Of the plan.
    pub seed: u64,
    /// Workers at the same time.
    pub workers: u64,
    /// `--set` arguments for the server.
    pub settings: Vec<String>,
    /// Where the work is done; a new directory in it is removed in the end, unless something was wrong.
    pub directory: Option<PathBuf>,
    /// Tell about each cycle.
    pub verbose: bool,
}

/// Does one run.
///
/// # Errors
/// The machine itself failed; what the server did wrong is in the report.
pub fn run(options: &Options) -> anyhow::Result<Report> {
    match options.mode {
        Mode::Kill => kill::random(options),
        Mode::Points => kill::points(options),
        Mode::Power => power::run(options),
        Mode::Faults => faults::run(options),
        Mode::SelfTest => self_test::run(options),
    }
}
