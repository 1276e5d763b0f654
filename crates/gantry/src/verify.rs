//! `gantry verify`: whether everything that is stored is there and whole; by the server that owns the data directory, or,
//! when there is none, right here.
//!
//! The check itself is the registry's; this prints what it tells and chooses the exit code: 0 all is well, 1 damage (also when it
//! was repaired), or the check broke off.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use gantry_server::config::Config;
use gantry_server::registry::verify::{Event, Finding, Report, Stage};
use gantry_server::serve::control::{self, Line};
use tokio::sync::mpsc;

use crate::args::VerifyArgs;
use crate::say;
use crate::sweep::{asking, must_exist};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let config = args.settings.load()?;
    gantry_server::config::arm_failpoints()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(verify(args, config))
}

async fn verify(args: &VerifyArgs, config: Config) -> anyhow::Result<ExitCode> {
    let command = if args.repair { "verify?repair" } else { "verify" };
    let data_dir = config.data_dir.clone();
    let mut output = Output {
        json: args.json,
        live: !args.json && std::io::stderr().is_terminal(),
        findings: Vec::new(),
        ended: None,
    };
    let asked = control::ask(&data_dir, command, |line| match line {
        Line::Verify(event) => output.tell(event),
        Line::Error(message) => output.ended = Some(Err(message)),
        Line::Swept(_) | Line::Sweep(_) | Line::Job(_) => {}
    })
    .await
    .with_context(|| asking(&data_dir))?;
    if !asked {
        here(args, config, &mut output).await?;
    }
    output.clear();
    match output.ended.take() {
        Some(Ok(report)) => output.done(&report),
        Some(Err(message)) => bail!("the check broke off: {message}"),
        None => bail!("the server went away during the check"),
    }
}

/// On a store that no server has open. The settings are those given to this command.
async fn here(args: &VerifyArgs, config: Config, output: &mut Output) -> anyhow::Result<()> {
    must_exist(&config)?;
    let (store, registry) = gantry_server::app::open_registry(&config).await?;
    let (events, mut incoming) = mpsc::channel(64);
    let work = registry.verify(args.repair, events);
    let forward = async {
        while let Some(event) = incoming.recv().await {
            output.tell(event);
        }
    };
    tokio::join!(work, forward);
    store.close().await;
    Ok(())
}

struct Output {
    json: bool,
    /// Somebody watches: one line says where it stands.
    live: bool,
    /// For the document in the end.
    findings: Vec<Finding>,
    ended: Option<Result<Report, String>>,
}

impl Output {
    fn tell(&mut self, event: Event) {
        match event {
            Event::Progress { stage, done, bytes } => self.progress(stage, done, bytes),
            Event::Finding(finding) => self.finding(finding),
            Event::Done(report) => self.ended = Some(Ok(report)),
            Event::Failed { message } => self.ended = Some(Err(message)),
        }
    }

    fn clear(&self) {
        if self.live {
            eprint!("\r\x1b[K");
        }
    }

    fn progress(&self, stage: Stage, done: u64, bytes: u64) {
        if self.live {
            eprint!("\r\x1b[K{}: {done}, {} read", stage.name(), size(bytes));
        }
    }

    fn finding(&mut self, finding: Finding) {
        if self.json {
            self.findings.push(finding);
            return;
        }
        self.clear();
        let Finding { kind, subject, detail, repositories, action } = finding;
        let what = if kind.is_damage() { "DAMAGE" } else { "note" };
        let repositories = match repositories.as_slice() {
            [] => String::new(),
            some => format!(" (in {})", some.join(", ")),
        };
        let (kind, action) = (kind.name(), action.name());
        say(format_args!("{what}: {kind}: {subject}{repositories}: {detail}: {action}\n"));
    }

    fn done(&self, report: &Report) -> anyhow::Result<ExitCode> {
        if self.json {
            let mut document = serde_json::to_value(report)?;
            document["findings"] = serde_json::to_value(&self.findings)?;
            say(serde_json::to_string_pretty(&document)? + "\n");
        } else {
            say(sentence(report) + "\n");
        }
        Ok(if report.damage == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn sentence(report: &Report) -> String {
    let Report { repair, blobs, manifests, files, bytes, damage, repaired, notes } = report;
    let looked = format!(
        "looked at {blobs} blobs, {manifests} manifests and {files} files, read {}; {notes} notes",
        size(*bytes)
    );
    match damage {
        0 => format!("all is well: {looked}"),
        _ if *repair => format!("{damage} damaged, {repaired} of them dealt with: {looked}"),
        _ => format!(
            "{damage} damaged (--repair takes them out of sight, so that a new push heals them): {looked}"
        ),
    }
}

/// A number of bytes, for people.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let step = (bytes.max(1).ilog2() / 10).min(4);
    let unit = units.get(step as usize).copied().unwrap_or("bytes");
    match step {
        0 => format!("{bytes} {unit}"),
        _ => format!("{:.1} {unit}", bytes as f64 / (1_u64 << (10 * step)) as f64),
    }
}
