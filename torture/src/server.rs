//! The real server's process: started, timed, killed, never left behind.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::client::Client;

/// How long a start may take before it counts as one that does not come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How to start it.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The program, built with failpoints.
    pub(crate) program: PathBuf,
    /// `--set` arguments.
    pub(crate) settings: Vec<String>,
    /// What runs the program, such as a tracer; the program and its arguments follow.
    pub(crate) wrapper: Vec<String>,
    /// Where what it says goes.
    pub(crate) log: PathBuf,
}

/// What came of a start.
pub(crate) enum Started {
    /// It answers.
    Ready(Server),
    /// It ended before, as a failpoint may ask for.
    Died,
}

/// A server that runs, and ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) registry: SocketAddr,
    pub(crate) operator: SocketAddr,
    /// From the start of the process to the first 200 of `/readyz`.
    pub(crate) start: Duration,
}

impl Launch {
    /// Starts it on `data` with a plan of failpoints.
    pub(crate) fn start(&self, data: &Path, plan: Option<&str>) -> Result<Started> {
        let begun = Instant::now();
        let log = OpenOptions::new().append(true).create(true).open(&self.log).context("the log")?;
        let mut command = match self.wrapper.split_first() {
            Some((wrapper, arguments)) => {
                let mut command = Command::new(wrapper);
                command.args(arguments).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(["--set", "operator.listen=127.0.0.1:0", "--set", "log.access=false"]);
        // All the time, so that what is deleted is swept beside everything else.
        command.args(["--set", "sweep.interval=20ms"]);
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command.env_remove("GANTRY_FAIL_AT");
        if let Some(plan) = plan {
            command.env("GANTRY_FAIL_AT", plan);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        let output = child.stdout.take().context("standard output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let unset: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut server = Server { child, registry: unset, operator: unset, start: Duration::ZERO };
        loop {
            match lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) => {
                    let address = || line.rsplit("//").next().and_then(|text| text.trim().parse().ok());
                    match line.split_whitespace().next() {
                        Some("registry") => server.registry = address().context("the registry's address")?,
                        Some("operator") => server.operator = address().context("the operator's address")?,
                        Some("try") => break,
                        _ => {}
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    server.child.wait()?;
                    return Ok(Started::Died);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("the server did not start in {PATIENCE:?}"),
            }
        }
        let mut client = Client::new(server.registry);
        while begun.elapsed() < PATIENCE {
            match client.get("/readyz") {
                Ok(answer) if answer.status == 200 => break,
                Ok(_) => pause(Duration::from_millis(2)),
                Err(_) if server.has_ended() => return Ok(Started::Died),
                Err(_) => pause(Duration::from_millis(2)),
            }
        }
        server.start = begun.elapsed();
        Ok(Started::Ready(server))
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Forgets what it has said.
    pub(crate) fn hush(&self) -> Result<()> {
        File::create(&self.log).map(drop).context("the log")
    }
}

impl Server {
    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)) | Err(_))
    }

    /// `kill -9`, by its number, and wait.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Holds this thread up.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here whose threads could be blocked")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
