//! A disk that fails, and one that is full.
//!
//! By failpoints: every step is made to return EIO or ENOSPC once. By real means: a small file system that fills up, and a tracer
//! that lets the n-th fsync of the process fail (`strace --inject`). In each case nothing is acknowledged that is not
//! kept, reads go on, and the server says the same everywhere: a failed fsync or commit turns the store read-only at once, on
//! `/readyz`, in the metric and in the log; a full disk does not, and passes by itself.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::check::Cut;
use crate::client::{Answer, Client};
use crate::journal::{Key, digest_of};
use crate::kill::{is_of_the_first_start, names, thin_out};
use crate::load::{Health, lock};
use crate::power::Loop;
use crate::rng::{self, Rng};
use crate::server::{Server, Started, pause};
use crate::stage::{Crew, Stage};
use crate::{Options, Report};

/// What the server logs when a failpoint acts, and when it takes no more writes.
const ACTED: &str = "failpoint ";
const SAID: &str = "read-only from now on";

/// How long the load may take to come by a failpoint.
const REACH: Duration = Duration::from_secs(3);

/// Failures after which no write can be trusted.
const FINAL: [&str; 3] = ["sync.file", "sync.directory", "group.commit"];

/// Every failpoint with EIO and with ENOSPC, then the real means.
pub(crate) fn run(options: &Options) -> Result<Report> {
    let mut stage = Stage::new(options, "faults")?;
    let mut cases: Vec<(String, &str)> = Vec::new();
    for name in names(options)? {
        cases.push((name.clone(), "eio"));
        cases.push((name, "enospc"));
    }
    thin_out(&mut cases, options.cycles);
    let mut rng = Rng::of(&[options.seed, 96]);
    for (cycle, (name, action)) in (0_u64..).zip(cases) {
        let pass = if is_of_the_first_start(&name) { 1 } else { 1 + rng.below(4) };
        point(&mut stage, cycle, &name, pass, action)?;
        if !stage.sane() {
            return Ok(stage.end());
        }
    }
    full_disk(&mut stage)?;
    for pass in [1, 2, 3, 5, 8, 13] {
        if stage.sane() && !failing_fsync(&mut stage, pass)? {
            break;
        }
    }
    Ok(stage.end())
}

/// One failpoint fails once, under load.
fn point(stage: &mut Stage, cycle: u64, name: &str, pass: u64, action: &str) -> Result<()> {
    if is_of_the_first_start(name) {
        stage.renew(&format!("new{cycle}"));
    }
    let plan = format!("{name}:{pass}:{action}");
    let before = stage.report.violations.len();
    stage.launch.hush()?;
    stage.report.cycles += 1;
    match stage.launch.start(&stage.data, Some(&plan))? {
        // A start that fails says why, and the next one works.
        Started::Died => stage.report.reached += 1,
        Started::Ready(mut server) => {
            let crew = stage.crew(&server, cycle, Health::WritesFail);
            let begun = Instant::now();
            let mut acted = false;
            while begun.elapsed() < REACH && !acted {
                Stage::work(&mut server, Duration::from_millis(20));
                acted = stage.launch.said().contains(ACTED);
            }
            Stage::work(&mut server, Duration::from_millis(50));
            let read_only = aftermath(stage, &mut server, crew)?;
            if acted {
                stage.report.reached += 1;
                let expected = action == "eio" && FINAL.contains(&name);
                if expected && !read_only {
                    stage.report.violations.push(String::from("the store still takes writes"));
                }
                if read_only && action == "enospc" {
                    stage
                        .report
                        .violations
                        .push(String::from("a full disk made the store read-only for good"));
                }
            } else {
                stage.report.missed.push(plan.clone());
            }
            server.kill();
        }
    }
    let cut = if name.starts_with("sync.") { Cut::FailedSync } else { Cut::Process };
    restart(stage, cut, before, &plan)
}

fn restart(stage: &mut Stage, cut: Cut, before: usize, what: &str) -> Result<()> {
    let server = stage.start()?;
    stage.check(&server, cut, false)?;
    server.kill();
    for violation in stage.report.violations.iter_mut().skip(before) {
        *violation = format!("[{what}] {violation}");
    }
    Ok(())
}

/// Sends the crew home and asks the server how it is. True: it is read-only, and says so everywhere.
fn aftermath(stage: &mut Stage, server: &mut Server, crew: Crew) -> Result<bool> {
    stage.dismiss(crew);
    if server.has_ended() {
        stage.report.violations.push(String::from("the server ended"));
        return Ok(false);
    }
    let mut client = Client::new(server.registry);
    let ready = client.get("/readyz")?;
    let metrics = Client::new(server.operator).get("/metrics")?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let writable = metrics.lines().any(|line| line == "gantry_store_writable 1");
    let said = stage.launch.said().contains(SAID);
    let read_only = ready.status == 503;
    if read_only == writable || read_only != said {
        stage.report.violations.push(format!(
            "the server contradicts itself: /readyz {}, gantry_store_writable {}, in the log: {said}",
            ready.summary(),
            u8::from(writable),
        ));
    }
    let answer = push(stage, &mut client)?;
    match answer.status {
        201 if read_only => {
            stage.report.violations.push(String::from("a read-only store acknowledged a push"));
        }
        503 if read_only => {}
        201 => {}
        _ => stage.report.violations.push(format!("a push after the failure: {}", answer.summary())),
    }
    reads(stage, &mut client)?;
    Ok(read_only)
}

/// Reads go on: a few things that were acknowledged and that nobody deletes.
fn reads(stage: &mut Stage, client: &mut Client) -> Result<()> {
    let mut wrong = Vec::new();
    let journal = lock(&stage.journal);
    for (repo, digest) in journal.kept_blobs.iter().rev().take(10) {
        let key = Key::Blob(repo.clone(), digest.clone());
        let answer = client.get(&key.path())?;
        if answer.status != 200 || digest_of(digest, &answer.body) != *digest {
            wrong.push(format!("{key} beside the failure: {}", answer.summary()));
        }
    }
    drop(journal);
    stage.report.violations.extend(wrong);
    Ok(())
}

/// A push in one request, known to the journal.
fn push(stage: &Stage, client: &mut Client) -> Result<Answer> {
    let mut journal = lock(&stage.journal);
    let number = stage.report.cycles << 32 | journal.acknowledged | 1 << 63;
    let size = if number.is_multiple_of(2) { 900 } else { 50_000 };
    let content = crate::journal::Content::Made { id: number, size };
    let bytes = rng::bytes(number, size);
    let digest = digest_of("sha256", &bytes);
    journal.contents.insert(digest.clone(), content);
    let key = Key::Blob(String::from("t/after"), digest.clone());
    let op = journal.send("a push after the failure", &[(key, Some(digest.clone()))]);
    let answer = client.send("POST", &format!("/v2/t/after/blobs/uploads/?digest={digest}"), &[], &bytes)?;
    if answer.status == 201 {
        journal.ack(op, 201);
    } else {
        journal.lose(op, &answer.summary());
    }
    Ok(answer)
}

/// A small file system fills up: pushes are refused, reads go on, and with room again it goes on by itself.
fn full_disk(stage: &mut Stage) -> Result<()> {
    let disk = match Loop::new(stage.root(), "small", 256, "loop") {
        Ok(disk) => disk,
        Err(error) => {
            stage.report.skipped.push(format!("a full disk: {error:#}"));
            return Ok(());
        }
    };
    let before = stage.report.violations.len();
    stage.renew("small/data");
    stage.report.cycles += 1;
    let filler = disk.path().join("filler");
    std::fs::write(&filler, vec![1; 208 << 20])?;
    let mut server = stage.start()?;
    let crew = stage.crew(&server, 500_000, Health::WritesFail);
    let begun = Instant::now();
    let mut client = Client::new(server.registry);
    let mut full = false;
    while begun.elapsed() < Duration::from_secs(20) && !full {
        Stage::work(&mut server, Duration::from_millis(50));
        full = push(stage, &mut client)?.status == 507;
    }
    // A good while in this state, with all its odd corners.
    Stage::work(&mut server, Duration::from_millis(700));
    stage.dismiss(crew);
    if !full {
        stage.report.violations.push(String::from("the small disk was not reported full (507)"));
    }
    if server.has_ended() {
        stage.report.violations.push(String::from("the server ended"));
    } else {
        reads(stage, &mut client)?;
        std::fs::remove_file(&filler)?;
        let mut last = push(stage, &mut client)?;
        for _ in 0..50 {
            if last.status == 201 {
                break;
            }
            pause(Duration::from_millis(100));
            last = push(stage, &mut client)?;
        }
        if last.status != 201 {
            stage.report.violations.push(format!("with room again a push is answered {}", last.summary()));
        }
    }
    server.kill();
    restart(stage, Cut::Process, before, "a full disk")?;
    stage.renew("after");
    Ok(())
}

/// The n-th fsync of each thread fails. False: it cannot be done here.
fn failing_fsync(stage: &mut Stage, pass: u64) -> Result<bool> {
    let probe = Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output();
    if !probe.is_ok_and(|output| output.status.success()) {
        stage.report.skipped.push(String::from("a failing fsync: strace is not there, or may not trace"));
        return Ok(false);
    }
    let before = stage.report.violations.len();
    stage.report.cycles += 1;
    let cycle = 600_000 + pass;
    // There is something to lose.
    let mut server = stage.start()?;
    let crew = stage.crew(&server, cycle, Health::Well);
    Stage::work(&mut server, Duration::from_millis(200));
    server.kill();
    stage.dismiss(crew);
    let inject = format!("inject=fsync,fdatasync:error=EIO:when={pass}");
    let arguments =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", &inject];
    stage.launch.hush()?;
    let mut traced = stage.launch.clone();
    traced.wrapper = arguments.map(str::to_owned).to_vec();
    match traced.start(&stage.data, None)? {
        Started::Died => {}
        Started::Ready(mut server) => {
            let crew = stage.crew(&server, cycle + 100_000, Health::WritesFail);
            let begun = Instant::now();
            while begun.elapsed() < REACH && !stage.launch.said().contains(SAID) {
                Stage::work(&mut server, Duration::from_millis(20));
            }
            if !aftermath(stage, &mut server, crew)? {
                stage
                    .report
                    .violations
                    .push(String::from("an fsync failed, and the store still takes writes"));
            }
            server.kill();
        }
    }
    restart(stage, Cut::FailedSync, before, &format!("fsync {pass} fails"))?;
    Ok(true)
}
