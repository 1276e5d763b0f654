//! Where a run takes place: a directory, a server in it, a journal of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::check::{Checker, Cut};
use crate::load::{Health, Setting, Shared, Worker, lock};
use crate::rng::Rng;
use crate::server::{Launch, Server, Started, pause};
use crate::{Options, Report};

/// Older things that are read again after each cycle.
const SAMPLE: usize = 60;

/// See the module.
pub(crate) struct Stage {
    directory: Option<TempDir>,
    root: PathBuf,
    /// The data directory, wherever it is mounted.
    pub(crate) data: PathBuf,
    pub(crate) launch: Launch,
    pub(crate) journal: Shared,
    pub(crate) report: Report,
    options: Options,
}

/// Workers that work.
pub(crate) struct Crew {
    setting: Setting,
    workers: Vec<JoinHandle<()>>,
}

impl Stage {
    pub(crate) fn new(options: &Options, mode: &str) -> Result<Stage> {
        let parent = options.directory.clone().unwrap_or_else(std::env::temp_dir);
        let directory =
            TempDir::with_prefix_in("gantry-torture-", parent).context("a directory to work in")?;
        let root = directory.path().to_owned();
        let launch = Launch {
            program: options.gantry.clone(),
            settings: options.settings.clone(),
            wrapper: Vec::new(),
            log: root.join("server.log"),
        };
        let report = Report { mode: mode.to_owned(), seed: options.seed, ..Report::default() };
        let journal = Shared::default();
        lock(&journal).swept = options.settings.iter().any(|setting| setting.starts_with("sweep.grace"));
        Ok(Stage {
            directory: Some(directory),
            data: root.join("data"),
            root,
            launch,
            journal,
            report,
            options: options.clone(),
        })
    }

    /// The directory that everything is in.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Begins anew: another data directory, an empty journal.
    pub(crate) fn renew(&mut self, name: &str) {
        self.count();
        self.data = self.root.join(name);
        let swept = lock(&self.journal).swept;
        self.journal = Shared::default();
        lock(&self.journal).swept = swept;
    }

    fn count(&mut self) {
        let mut journal = lock(&self.journal);
        self.report.acknowledged += std::mem::take(&mut journal.acknowledged);
        self.report.late += std::mem::take(&mut journal.late);
    }

    /// Starts the server, which must come.
    pub(crate) fn start(&mut self) -> Result<Server> {
        let Started::Ready(server) = self.launch.start(&self.data, None)? else {
            let said = self.launch.said();
            let last: Vec<&str> = said.lines().rev().take(10).collect();
            let text = format!("the server does not start again:\n{}", last.join("\n"));
            self.report.violations.push(text.clone());
            bail!("{text}\nthe data directory: {}", self.keep());
        };
        self.report.started(server.start);
        Ok(server)
    }

    /// Puts the workers of a cycle to work.
    pub(crate) fn crew(&self, server: &Server, cycle: u64, health: Health) -> Crew {
        let setting = Setting {
            address: server.registry,
            journal: Arc::clone(&self.journal),
            stop: Arc::new(AtomicBool::new(false)),
            seed: self.options.seed,
            cycle,
            wrong: Arc::new(Mutex::new(Vec::new())),
            health,
        };
        let spawn = |number| {
            let worker = Worker::new(&setting, number);
            std::thread::spawn(move || worker.run())
        };
        let workers = (0..self.options.workers).map(spawn).collect();
        Crew { setting, workers }
    }

    /// Sends the workers home and takes what they found.
    pub(crate) fn dismiss(&mut self, crew: Crew) {
        crew.setting.stop.store(true, Ordering::Relaxed);
        for worker in crew.workers {
            if worker.join().is_err() {
                self.report.violations.push(String::from("a worker panicked"));
            }
        }
        let wrong = std::mem::take(&mut *crew.setting.wrong.lock().unwrap_or_else(PoisonError::into_inner));
        self.report.violations.extend(wrong);
    }

    /// Lets the crew work for a while; true: the server ended by itself meanwhile.
    pub(crate) fn work(server: &mut Server, time: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if server.has_ended() {
                return true;
            }
            pause(Duration::from_millis(1).min(time));
        }
        false
    }

    /// Asks the witness. `all`: about everything that there ever was.
    pub(crate) fn check(&mut self, server: &Server, cut: Cut, all: bool) -> Result<()> {
        let rng = Rng::of(&[self.options.seed, self.report.cycles, 7]);
        let mut journal = lock(&self.journal);
        let checker = Checker::new(&mut journal, server.registry, cut, rng);
        let sample = if all { usize::MAX } else { SAMPLE };
        let (violations, reads, resumed) = checker.check(sample).context("checking")?;
        self.report.reads += reads;
        self.report.resumed += resumed;
        let clean = violations.is_empty();
        self.report.violations.extend(violations);
        drop(journal);
        if self.options.verbose {
            eprintln!(
                "{} cycle {}: {} reads, start {:?}{}",
                self.report.mode,
                self.report.cycles,
                reads,
                server.start,
                if clean { "" } else { ": WRONG" }
            );
        }
        Ok(())
    }

    /// Whether to go on: at most a handful of violations are worth reading.
    pub(crate) fn sane(&self) -> bool {
        self.report.violations.len() < 5
    }

    fn keep(&mut self) -> String {
        let path = match self.directory.take() {
            Some(directory) => directory.keep().display().to_string(),
            None => self.root.display().to_string(),
        };
        self.report.kept = Some(path.clone());
        path
    }

    /// The report; the directory goes, unless something was wrong.
    pub(crate) fn end(mut self) -> Report {
        self.count();
        if !self.report.violations.is_empty() {
            self.keep();
        }
        self.report
    }
}
