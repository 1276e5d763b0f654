//! The `gantry` program.

mod admin;
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
        command => admin::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            tell(format_args!("gantry: {}\n", sentence(&error)));
            if error.is::<admin::Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Prints. That nobody reads on (`gantry sweep | head`) is no reason to stop in the middle of the work.
fn say(text: impl Display) {
    read_on(text);
}

/// Prints, and says whether somebody still reads.
fn read_on(text: impl Display) -> bool {
    match write!(io::stdout(), "{text}") {
        Ok(()) => true,
        Err(error) => {
            if error.kind() != io::ErrorKind::BrokenPipe {
                tell(format_args!("gantry: printing: {error}\n"));
            }
            false
        }
    }
}

/// Prints what is no result: explanations and errors. Nobody can be told when that does not work.
fn tell(text: impl Display) {
    let _ = write!(io::stderr(), "{text}");
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
