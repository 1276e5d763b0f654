//! One run: the servers are started and filled, the scenarios run, the tables are printed and written.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::RunArgs;
use crate::growth;
use crate::instructions;
use crate::interrupt;
use crate::measure::{self, Figures};
use crate::process;
use crate::report::{self, Report};
use crate::scenarios::{Action, Scenario};
use crate::seed::{self, Facts};
use crate::servers::{Kind, Programs, Server, pause};
use crate::steps;

/// Runs the chosen scenarios.
pub(crate) fn run(args: &RunArgs, chosen: &[Scenario]) -> Result<()> {
    ensure!(args.seconds > 0.0 && args.seconds <= 60.0, "--seconds must be above 0 and at most 60");
    ensure!((1..=99).contains(&args.rounds), "--rounds must be 1 to 99");
    let begun = Instant::now();
    let (programs, scratch) = places(args)?;
    let mut kinds = Vec::new();
    for kind in &args.servers {
        if programs.have(*kind) {
            kinds.push(*kind);
        } else {
            println!("skipped: {}: not there (bench/tools.sh, make build)", kind.name());
        }
    }
    ensure!(!kinds.is_empty(), "there is no server to measure");
    let bench = Bench { args, programs, kinds, facts: Facts::new(), scratch: scratch.path().to_owned() };
    let mut report = Report::new(&bench.programs, &bench.kinds, args);
    bench.loads(chosen, &mut report)?;
    let asked = |action: Action| chosen.iter().any(|scenario| scenario.action == action);
    if asked(Action::Steps) {
        bench.steps(&mut report)?;
    }
    if asked(Action::Growth) && bench.kinds.contains(&Kind::Gantry) {
        let scratch = bench.scratch.join("growth");
        let (seconds, rounds) = (args.seconds, args.rounds);
        match growth::compare(&bench.programs, &bench.facts, &scratch, seconds, rounds) {
            Ok(found) => report.growth = Some(found),
            Err(error) => report.notes.push(format!("growth failed: {error:#}")),
        }
    }
    report.seconds = begun.elapsed().as_secs_f64();
    let text = report.render();
    println!("\n{text}");
    if let Some(file) = &args.write {
        report::write(file, "bench", &text)?;
    }
    Ok(())
}

/// Counts instructions.
pub(crate) fn instructions(args: &RunArgs, write: Option<&Path>) -> Result<()> {
    let (programs, scratch) = places(args)?;
    let text = instructions::table(&programs, scratch.path())?;
    if let Some(file) = write {
        report::write(file, "instructions", &text)?;
    }
    Ok(())
}

/// Where the programs are, and a directory for what servers keep.
fn places(args: &RunArgs) -> Result<(Programs, TempDir)> {
    let beside =
        std::env::current_exe()?.parent().map(Path::to_owned).context("no directory of this program")?;
    let scratch = tempfile::Builder::new()
        .prefix("gantry-bench-")
        .tempdir_in(args.scratch.as_ref().unwrap_or(&beside))
        .context("making a directory for the servers' data")?;
    interrupt::cleans(scratch.path())?;
    // A server is told where its files are, and may be somewhere else itself.
    let tools = std::path::absolute(&args.tools)?;
    let gantry = std::path::absolute(args.gantry.clone().unwrap_or_else(|| beside.join("gantry")))?;
    Ok((Programs { gantry, tools }, scratch))
}

struct Bench<'a> {
    args: &'a RunArgs,
    programs: Programs,
    kinds: Vec<Kind>,
    facts: Facts,
    scratch: PathBuf,
}

impl Bench<'_> {
    /// The scenarios in which clients put load on servers: those that read on filled stores, those that push on empty ones.
    fn loads(&self, chosen: &[Scenario], report: &mut Report) -> Result<()> {
        let (pushes, rest): (Vec<&Scenario>, Vec<&Scenario>) =
            chosen.iter().partition(|scenario| scenario.pushes());
        let reads: Vec<_> = rest
            .into_iter()
            .filter(|scenario| !matches!(scenario.action, Action::Growth | Action::Steps))
            .collect();
        if !reads.is_empty() {
            let servers = self.start(&reads, "read")?;
            pause(Duration::from_secs(1));
            for server in &servers {
                report.idle.insert(server.kind, process::memory(server.pid())?.resident);
            }
            for server in &servers {
                let begun = Instant::now();
                if server.kind.has_accounts() {
                    seed::push_image(server, &self.facts)?;
                } else if server.kind.is_registry() {
                    seed::fill(server, &self.facts)
                        .with_context(|| format!("filling {}", server.kind.name()))?;
                }
                seed::verify(server, &self.facts)?;
                if server.kind.has_accounts() {
                    server.close_door(&self.programs)?;
                }
                println!(
                    "filled and verified: {} in {:.1} s",
                    server.kind.name(),
                    begun.elapsed().as_secs_f64()
                );
            }
            rustix::fs::sync();
            self.each(&reads, &servers, &mut report.figures);
            // The files stay until the end: removing so many keeps some disks busy for longer than a scenario takes.
        }
        // A store of its own for each kind of push, because 256 MiB blobs fill a disk.
        for actions in [Action::BlobPushSmall, Action::ImagePush, Action::BlobPushLarge] {
            let these: Vec<_> =
                pushes.iter().copied().filter(|scenario| scenario.action == actions).collect();
            if !these.is_empty() {
                let servers = self.start(&these, "push")?;
                self.each(&these, &servers, &mut report.figures);
                drop(servers);
                fs::remove_dir_all(self.scratch.join("push"))?;
            }
        }
        Ok(())
    }

    /// Durable steps of the registries, one after the other.
    fn steps(&self, report: &mut Report) -> Result<()> {
        if !steps::available() {
            report.notes.push("durable steps were not counted: strace does not work here".to_owned());
            return Ok(());
        }
        let registries = self.kinds.iter().filter(|kind| kind.is_registry() && !kind.is_variant());
        for kind in registries {
            let directory = self.scratch.join("steps").join(kind.name());
            let found = steps::count(*kind, &self.programs, &directory);
            println!("{:20} {:10} {found:.1?}", "steps", kind.name());
            report.steps.insert(*kind, found.map_err(|error| format!("{error:#}")));
            fs::remove_dir_all(&directory)?;
        }
        Ok(())
    }

    /// Starts the servers that some scenario asks for.
    fn start(&self, scenarios: &[&Scenario], name: &str) -> Result<Vec<Server>> {
        let mut servers = Vec::new();
        let wanted = self.kinds.iter().filter(|kind| **kind != Kind::Local);
        for kind in wanted.filter(|kind| scenarios.iter().any(|scenario| scenario.is_for(**kind))) {
            let directory = self.scratch.join(name).join(kind.name());
            if !kind.is_registry() {
                seed::write_site(&directory, &self.facts)?;
            }
            servers.push(Server::start(*kind, &self.programs, &directory)?);
        }
        Ok(servers)
    }

    fn each(&self, scenarios: &[&Scenario], servers: &[Server], figures: &mut Figures) {
        let local = self.kinds.contains(&Kind::Local);
        for scenario in scenarios {
            let found = measure::scenario(
                scenario,
                servers,
                &self.facts,
                self.args.seconds,
                self.args.rounds,
                &self.scratch,
                local,
            );
            print!("{}", report::lines(scenario, &found));
            figures.insert(scenario.name, found);
        }
    }
}
