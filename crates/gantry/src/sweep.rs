//! `gantry sweep`: by the server that owns the data directory, or, when there is none, right here.

use std::path::Path;

use anyhow::{Context as _, bail};
use gantry_server::config::Config;
use gantry_server::registry::{Fate, SweepItem, SweepReport};
use gantry_server::serve::control::{self, Line};
use tokio::sync::mpsc;

use crate::args::SweepArgs;
use crate::say;

pub(crate) fn run(args: &SweepArgs) -> anyhow::Result<()> {
    let config = args.settings.load()?;
    gantry_server::config::arm_failpoints()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(sweep(args, config))
}

async fn sweep(args: &SweepArgs, config: Config) -> anyhow::Result<()> {
    let command = if args.dry_run { "sweep?dry-run" } else { "sweep" };
    let data_dir = config.data_dir.clone();
    let mut ended = None;
    let mut tell = |line| {
        print(args, &line);
        match line {
            Line::Swept(_) | Line::Verify(_) | Line::Job(_) => {}
            Line::Sweep(_) => ended = Some(Ok(())),
            Line::Error(error) => ended = Some(Err(error)),
        }
    };
    let asked = control::ask(&data_dir, command, &mut tell).await.with_context(|| asking(&data_dir))?;
    if !asked {
        here(args, config, &mut tell).await?;
    }
    match ended {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => bail!("the sweep failed: {error}"),
        None => bail!("the server went away during the sweep"),
    }
}

/// On a store that no server has open. The settings are those given to this command.
async fn here(args: &SweepArgs, config: Config, tell: &mut impl FnMut(Line)) -> anyhow::Result<()> {
    must_exist(&config)?;
    let (store, registry) = gantry_server::app::open_registry(&config).await?;
    let (items, mut incoming) = mpsc::channel(64);
    let work = async {
        let result = registry.sweep(args.dry_run, Some(&items)).await;
        drop(items);
        result
    };
    let forward = async {
        while let Some(item) = incoming.recv().await {
            tell(Line::Swept(item));
        }
    };
    let (result, ()) = tokio::join!(work, forward);
    tell(result.map_or_else(|error| Line::Error(error.to_string()), Line::Sweep));
    store.close().await;
    Ok(())
}

/// What was tried when a server does not let itself be asked.
pub(crate) fn asking(data_dir: &Path) -> String {
    format!("asking the server of {} (only the user who runs it may, and root)", data_dir.display())
}

/// A store that is not there must not come into being by a command that was given the wrong directory.
pub(crate) fn must_exist(config: &Config) -> anyhow::Result<()> {
    let inside = config.data_dir.join("gantry.db");
    let database: &Path = config.settings.metadata.sqlite.path.as_deref().unwrap_or(&inside);
    if !database.exists() {
        bail!("there is no registry in {}: {} is missing", config.data_dir.display(), database.display());
    }
    Ok(())
}

fn print(args: &SweepArgs, line: &Line) {
    if let Line::Swept(item) = line
        && item.fate == Fate::Kept
        && !args.kept
    {
        return;
    }
    if args.json {
        // What was read from JSON or made here can be written as JSON.
        say(serde_json::to_string(line).unwrap_or_default() + "\n");
        return;
    }
    match line {
        Line::Swept(item) => say(describe(item) + "\n"),
        Line::Sweep(report) => say(summary(report)),
        Line::Verify(_) | Line::Job(_) | Line::Error(_) => {}
    }
}

fn describe(item: &SweepItem) -> String {
    let fate = match item.fate {
        Fate::Removed => "removed  ",
        Fate::WouldGo => "would go ",
        Fate::Kept => "kept     ",
    };
    format!(
        "{fate} {} {} in {}, {} bytes, unnamed for {} s: {}",
        item.kind.as_str(),
        item.digest,
        item.repository,
        item.size,
        item.idle_seconds,
        item.reason
    )
}

fn summary(report: &SweepReport) -> String {
    let SweepReport { manifests, referrers, images, links, blobs, bytes, files, .. } = report;
    let done = if report.dry_run { "would go" } else { "removed" };
    let mut text = format!(
        "{done}: {manifests} untagged manifests, {referrers} referrers of deleted manifests, {images} unneeded images, {links} unnamed blobs out of \
         repositories ({blobs} of them altogether); {files} files; {bytes} bytes of content; {} ms\n",
        report.milliseconds
    );
    for (reason, count) in &report.kept {
        text.push_str(&format!("kept: {count}, because {reason}\n"));
    }
    text
}
