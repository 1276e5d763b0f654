//! `kill -9`: at random moments, and at each failpoint in turn.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::check::Cut;
use crate::load::Health;
use crate::rng::Rng;
use crate::server::Started;
use crate::stage::Stage;
use crate::{Options, Report};

/// How long the load may take to come by a failpoint.
const REACH: Duration = Duration::from_secs(5);

/// After so many cycles everything is read again, and another store begins: young ones have other weak spots than old ones.
const FULL: u64 = 100;

/// Kills at random moments under load.
pub(crate) fn random(options: &Options) -> Result<Report> {
    let mut stage = Stage::new(options, "kill")?;
    let mut server = stage.start()?;
    for cycle in 0..options.cycles.max(1) {
        let crew = stage.crew(&server, cycle, Health::Well);
        let mut rng = Rng::of(&[options.seed, cycle, 99]);
        Stage::work(&mut server, Duration::from_millis(5 + rng.below(250)));
        server.kill();
        stage.dismiss(crew);
        stage.report.cycles += 1;
        server = stage.start()?;
        stage.check(&server, Cut::Process, (cycle + 1) % FULL == 0)?;
        if !stage.sane() {
            break;
        }
        if (cycle + 1) % FULL == 0 && cycle + 1 < options.cycles {
            server.kill();
            let old = stage.data.clone();
            stage.renew(&format!("data{cycle}"));
            std::fs::remove_dir_all(old)?;
            server = stage.start()?;
        }
    }
    stage.check(&server, Cut::Process, true)?;
    server.kill();
    Ok(stage.end())
}

/// The names of the failpoints that the load comes by, as the program lists them. What lapses only after the grace period and what
/// is damaged has tests of its own (`tests/sweep/kills.rs`), and so have moves between storages (`tests/storages/kills.rs`) and images of
/// v1 (`tests/v1`).
pub(crate) fn names(options: &Options) -> Result<Vec<String>> {
    let output = Command::new(&options.gantry)
        .arg("failpoints")
        .output()
        .with_context(|| format!("starting {}", options.gantry.display()))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    let names = list.lines().filter_map(|line| line.split_whitespace().next());
    Ok(names
        .filter(|name| {
            !["lapsed.", "damage.", "job.", "image.", "repository."].iter().any(|part| name.starts_with(part))
        })
        .map(str::to_owned)
        .collect())
}

/// Leaves so many cases, from the whole list; 0: all.
pub(crate) fn thin_out<T: Clone>(cases: &mut Vec<T>, count: u64) {
    let (all, count) = (cases.len(), usize::try_from(count).unwrap_or(usize::MAX));
    if count > 0 && count < all {
        *cases = (0..count).filter_map(|number| cases.get(number * all / count).cloned()).collect();
    }
}

/// Whether it is passed only while a store is made.
pub(crate) fn is_of_the_first_start(name: &str) -> bool {
    ["store.", "file.", "migration."].iter().any(|part| name.starts_with(part))
}

/// Kills at each failpoint: the first time it is passed, the second, and some later time.
pub(crate) fn points(options: &Options) -> Result<Report> {
    let names = names(options)?;
    let mut stage = Stage::new(options, "points")?;
    let mut rng = Rng::of(&[options.seed, 98]);
    let mut cases = Vec::new();
    while cases.is_empty() || (cases.len() as u64) < options.cycles {
        for name in &names {
            cases.push((name.clone(), 1));
            if !is_of_the_first_start(name) {
                cases.push((name.clone(), 2));
                // What comes so seldom is not waited for.
                if !["checkpoint.end", "checkpoint.begin", "session.anew"].contains(&name.as_str()) {
                    cases.push((name.clone(), 3 + rng.below(30)));
                }
            }
        }
    }
    thin_out(&mut cases, options.cycles);
    for (cycle, (name, pass)) in (0_u64..).zip(cases) {
        if is_of_the_first_start(&name) {
            stage.renew(&format!("new{cycle}"));
        }
        let plan = format!("{name}:{pass}");
        let mut reached = true;
        match stage.launch.start(&stage.data, Some(&plan))? {
            Started::Died => {}
            Started::Ready(mut server) => {
                let crew = stage.crew(&server, cycle, Health::Well);
                reached = Stage::work(&mut server, REACH);
                server.kill();
                stage.dismiss(crew);
            }
        }
        stage.report.cycles += 1;
        if reached {
            stage.report.reached += 1;
        } else {
            stage.report.missed.push(plan.clone());
        }
        let server = stage.start()?;
        let before = stage.report.violations.len();
        if is_of_the_first_start(&name) {
            // Also a store that was made in two goes is one to work with.
            let mut server = server;
            let crew = stage.crew(&server, cycle, Health::Well);
            Stage::work(&mut server, Duration::from_millis(100));
            server.kill();
            stage.dismiss(crew);
            let server = stage.start()?;
            stage.check(&server, Cut::Process, true)?;
        } else {
            stage.check(&server, Cut::Process, (cycle + 1) % FULL == 0)?;
        }
        for violation in stage.report.violations.iter_mut().skip(before) {
            *violation = format!("[{plan}] {violation}");
        }
        if !stage.sane() {
            break;
        }
    }
    Ok(stage.end())
}
