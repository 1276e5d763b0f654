//! Measures Gantry beside other registries, nginx and a bare hyper server, all on this machine and its disk.
//!
//! It is no part of the product and shares no code with it: what it knows of Gantry is the API and the command line.
//! `bench/README.md` says how to run it and how to read what it prints.

mod content;
mod growth;
mod histogram;
mod http;
mod instructions;
mod interrupt;
mod load;
mod measure;
mod process;
mod push;
mod report;
mod run;
mod scenarios;
mod seed;
mod servers;
mod site;
mod steps;
mod targets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::servers::Kind;

/// Measures Gantry beside other registries on this machine
#[derive(Debug, Parser)]
#[command(name = "bench", max_term_width = 100)]
struct Args {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Scenarios to run, by their names or the first words of them [default: all]
    #[arg(long, value_delimiter = ',', value_name = "SCENARIO")]
    only: Vec<String>,
    /// Servers to measure
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "SERVER",
        default_value = "gantry,gantry-log,gantry-bearer,gantry-basic,gantry-v1,gantry-v1-token,d3,d2,nginx,hyper,local"
    )]
    servers: Vec<Kind>,
    /// How long a round lasts
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Rounds of each server in each scenario; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// List the scenarios
    #[arg(long)]
    list: bool,
    /// Put the tables between the markers of this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// The program that is measured [default: beside this one]
    #[arg(long, value_name = "FILE")]
    gantry: Option<PathBuf>,
    /// Where bench/tools.sh put the others
    #[arg(long, value_name = "DIR", default_value = ".tools/bench")]
    tools: PathBuf,
    /// Where the servers' data goes while they run: on the disk that is to be measured [default: beside this program]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Count the instructions of Gantry's hot paths with valgrind
    Instructions {
        /// Put the table between the markers of this file
        #[arg(long, value_name = "FILE")]
        write: Option<PathBuf>,
    },
    /// Serve a directory of answers from memory (used by bench itself)
    #[command(hide = true)]
    ServeSite { directory: PathBuf, address: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::ServeSite { directory, address }) => return exit(site::serve(&directory, address)),
        Some(Command::Instructions { write }) => return exit(run::instructions(&args.run, write.as_deref())),
        None => {}
    }
    if args.run.list {
        for scenario in scenarios::ALL {
            println!("{:22} {} (clients: {})", scenario.name, scenario.what, scenario.clients);
        }
        return ExitCode::SUCCESS;
    }
    match scenarios::chosen(&args.run.only) {
        Ok(chosen) => exit(run::run(&args.run, &chosen)),
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
