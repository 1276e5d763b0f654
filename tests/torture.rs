//! A short run of the torture machine (`torture/`), against the built program: what is proven at length by `make torture`
//! is looked at here on every change.
//!
//! The program that Cargo builds for these tests has failpoints (see the manifest of the `gantry` crate).

#![expect(clippy::expect_used, reason = "a failed expectation is a failed test")]

use std::io::Write as _;

use gantry_torture::{Mode, Options, run};

/// Runs one mode, and says in full what was wrong.
fn torture(mode: Mode, cycles: u64) {
    let options = Options {
        gantry: env!("CARGO_BIN_EXE_gantry").into(),
        mode,
        cycles,
        seed: 1,
        workers: 6,
        settings: Vec::new(),
        directory: None,
        verbose: false,
    };
    let report = run(&options).expect("the machine runs");
    println!("{}", report.text());
    for skipped in &report.skipped {
        // Past the capturing of the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "skipped: torture, {}: {skipped}", report.mode);
    }
    assert!(report.violations.is_empty(), "something acknowledged was lost");
}

#[test]
fn torture_kill_9_at_random_moments_loses_nothing() {
    torture(Mode::Kill, 12);
}

#[test]
fn torture_kill_9_at_failpoints_loses_nothing() {
    torture(Mode::Points, 16);
}

#[test]
fn torture_power_cuts_lose_nothing() {
    torture(Mode::Power, 6);
}

#[test]
fn torture_a_failing_or_full_disk_loses_nothing() {
    torture(Mode::Faults, 8);
}

#[test]
fn torture_the_check_notices_damage() {
    torture(Mode::SelfTest, 0);
}
