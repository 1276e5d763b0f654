//! Instructions that Gantry executes per request on its hot paths, counted by valgrind's callgrind.
//!
//! Unlike times they are nearly the same on every run and every machine, so a change that makes a path slower shows in the
//! difference of two versions of `docs/performance.md`. What is counted is a difference too: the same server with N
//! requests and with 2 N, so that start, filling and end fall out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::content::{self, Template};
use crate::http::Connection;
use crate::load::Work;
use crate::push::{Fetch, PushBlobs, PushTags, Way};
use crate::scenarios::{self, Action};
use crate::seed::{self, Facts};
use crate::servers::{Kind, Programs, Server};

/// Requests of the shorter run.
const TIMES: usize = 1000;

enum Measured {
    Read(Action),
    /// By somebody who may, or by the other API.
    As(Kind, Action),
    PushBlob,
    PushManifest,
}

const PATHS: &[(Measured, &str)] = &[
    (Measured::Read(Action::Ping), "GET /v2/"),
    (Measured::Read(Action::ManifestGetTag), "GET of a manifest by tag"),
    (Measured::As(Kind::GantryBearer, Action::Access), "the same with a bearer token"),
    (Measured::As(Kind::GantryBasic, Action::Access), "the same with a remembered password"),
    (Measured::Read(Action::ManifestHeadDigest), "HEAD of a manifest by digest"),
    (Measured::Read(Action::BlobHead), "HEAD of a blob"),
    (Measured::Read(Action::BlobGetSmall), "GET of a 4 KiB blob"),
    (Measured::As(Kind::GantryBearer, Action::BlobGetSmall), "the same with a bearer token"),
    (Measured::As(Kind::GantryV1, Action::V1Json), "GET of a v1 image's JSON"),
    (Measured::As(Kind::GantryV1Token, Action::V1Json), "the same with a v1 token"),
    (Measured::As(Kind::GantryV1, Action::V1Ancestry), "GET of a v1 image's ancestry"),
    (Measured::As(Kind::GantryV1Token, Action::V1Ancestry), "the same with a v1 token"),
    (Measured::As(Kind::GantryV1, Action::V1LayerSmall), "GET of a v1 layer of 4 KiB"),
    (Measured::As(Kind::GantryV1Token, Action::V1LayerSmall), "the same with a v1 token"),
    (Measured::Read(Action::TagsPage), "a page of 100 tags"),
    (Measured::PushBlob, "push of a 4 KiB blob: POST, PUT, commit"),
    (Measured::PushManifest, "PUT of a manifest under a new tag, commit"),
];

/// Counts them all and gives a table.
pub(crate) fn table(programs: &Programs, scratch: &Path) -> Result<String> {
    let output = Command::new("valgrind").arg("--version").stderr(Stdio::null()).output();
    let output = output.context("valgrind is not installed")?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let facts = Facts::new();
    let gantry = programs.version(Kind::Gantry).unwrap_or_default();
    let mut text = format!("Gantry {gantry}, {version}.\n\n| request | instructions |\n|---|--:|\n");
    for (number, (path, what)) in PATHS.iter().enumerate() {
        let mut counted = [0; 2];
        for (times, counted) in [TIMES, 2 * TIMES].into_iter().zip(&mut counted) {
            let directory = scratch.join(format!("{number}-{times}"));
            *counted = run(path, times, programs, &facts, &directory).with_context(|| (*what).to_owned())?;
            fs::remove_dir_all(&directory)?;
        }
        let [once, twice] = counted;
        ensure!(twice > once, "{what}: twice the requests took no more instructions");
        let each = (twice - once) / TIMES as u64;
        println!("{what:45} {each:>9}");
        let _ = writeln!(text, "| {what} | {each} |");
    }
    Ok(text)
}

fn run(path: &Measured, times: usize, programs: &Programs, facts: &Facts, directory: &Path) -> Result<u64> {
    fs::create_dir_all(directory)?;
    let counts = directory.join("counts");
    let tracer = [
        "valgrind".to_owned(),
        "--tool=callgrind".to_owned(),
        // Threads take turns at once, and not when their time is over: less that differs from run to run.
        "--fair-sched=yes".to_owned(),
        format!("--callgrind-out-file={}", counts.display()),
    ];
    let kind = if let Measured::As(kind, _) = path { *kind } else { Kind::Gantry };
    let mut server = Server::start_under(kind, programs, directory, &tracer)?;
    seed::push_small(&server, facts)?;
    if kind.has_accounts() {
        server.close_door(programs)?;
    }
    if matches!(path, Measured::Read(Action::TagsPage)) {
        seed::tags(&server, facts, 200)?;
    }
    let repository = "bench/push".to_owned();
    let mut work: Box<dyn Work> = match path {
        // All tags that are there are before the page's other beginnings.
        Measured::Read(Action::TagsPage) => {
            let page = scenarios::requests(Action::TagsPage, facts).into_iter().take(1).collect();
            Box::new(Fetch { lists: page, next: 0 })
        }
        Measured::Read(action) => Box::new(Fetch { lists: scenarios::requests(*action, facts), next: 0 }),
        Measured::As(_, action) => {
            let lists = scenarios::requests_as(*action, facts, &server.authorization()?);
            Box::new(Fetch { lists, next: 0 })
        }
        Measured::PushBlob => {
            Box::new(PushBlobs { repository, template: Template::new(content::SMALL), way: Way::Put })
        }
        Measured::PushManifest => {
            Box::new(PushTags { repository: seed::IMAGE.to_owned(), blobs: facts.blobs.clone() })
        }
    };
    let mut connection = Connection::open(server.address)?;
    for _ in 0..times {
        work.step(&mut connection)?;
    }
    drop(connection);
    server.stop();
    let text = fs::read_to_string(&counts).context("callgrind wrote nothing")?;
    let totals = text.lines().rev().find_map(|line| line.strip_prefix("totals:"));
    Ok(totals.context("callgrind's file has no totals")?.trim().parse()?)
}
