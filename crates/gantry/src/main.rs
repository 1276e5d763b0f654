//! The `gantry` program.

mod args;
mod config;
mod healthcheck;
mod serve;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Config(args) => config::run(&args),
        Command::Healthcheck(args) => healthcheck::run(&args),
        Command::Failpoints => failpoints(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gantry: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn failpoints() -> anyhow::Result<()> {
    let Some(list) = gantry_server::failpoints() else {
        anyhow::bail!("this gantry has no failpoints: build with `--features failpoints`");
    };
    print!("{list}");
    Ok(())
}
