//! The `gantry` program.

mod args;
mod config;
mod healthcheck;
mod serve;
mod sweep;
mod verify;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Serve(args) => serve::run(args).map(|()| ExitCode::SUCCESS),
        Command::Config(args) => config::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Sweep(args) => sweep::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Verify(args) => verify::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Failpoints => failpoints().map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("gantry: {}", sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// Prints. That nobody reads on (`gantry sweep | head`) is no reason to stop in the middle of the work.
fn say(text: impl Display) {
    match write!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => eprintln!("gantry: printing: {error}"),
        _ => {}
    }
}

/// An error and its causes. Some errors name their cause themselves; it is not said twice.
fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn failpoints() -> anyhow::Result<()> {
    let Some(list) = gantry_server::failpoints() else {
        anyhow::bail!("this gantry has no failpoints: build with `--features failpoints`");
    };
    say(list);
    Ok(())
}
