//! `gantry-torture`: see the library. Exit code 1 when anything was lost.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use gantry_torture::{Mode, Options, run};

/// Kills a real Gantry again and again, and checks that nothing acknowledged is lost.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// The program, built with `--features failpoints`
    gantry: PathBuf,
    /// What is cut, and how
    #[arg(long, value_enum, default_value = "kill")]
    mode: Cli,
    /// How often; 0: as often as the mode has cases
    #[arg(long, default_value_t = 0)]
    cycles: u64,
    /// The seed of the plan
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Workers at the same time
    #[arg(long, default_value_t = 6)]
    workers: u64,
    /// A setting of the server: --set sweep.upload_expiry=1h
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where to work (the system's temporary directory by default)
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Report as JSON
    #[arg(long)]
    json: bool,
    /// Tell about each cycle
    #[arg(long, short)]
    verbose: bool,
    /// Prove that the check can fail: damage a store by hand and see that it is noticed
    #[arg(long)]
    self_test: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Cli {
    /// `kill -9` at random moments
    Kill,
    /// `kill -9` at each failpoint
    Points,
    /// Power cuts (needs root)
    Power,
    /// A disk that fails or is full
    Faults,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mode = match args.mode {
        _ if args.self_test => Mode::SelfTest,
        Cli::Kill => Mode::Kill,
        Cli::Points => Mode::Points,
        Cli::Power => Mode::Power,
        Cli::Faults => Mode::Faults,
    };
    let options = Options {
        gantry: args.gantry,
        mode,
        cycles: args.cycles,
        seed: args.seed,
        workers: args.workers,
        settings: args.set,
        directory: args.directory,
        verbose: args.verbose,
    };
    match run(&options) {
        Ok(report) => {
            println!("{}", if args.json { report.json() } else { report.text() });
            if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("gantry-torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}
