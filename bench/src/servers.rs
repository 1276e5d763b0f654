//! The servers that are compared: how each is configured, started and stopped.
//!
//! Fair means: the same disk, no access log, errors only in the log, deletion enabled, everything else as it comes.
//! Distribution gets the in-memory descriptor cache of its example configuration; Gantry loses its access log, which it
//! has by default (what that costs is a scenario of its own).

use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use clap::ValueEnum;
use rustix::process::{Pid, Signal, kill_process};

use crate::http::{Connection, Request};
use crate::seed::IMAGE;
use crate::site;

/// Who asks, where somebody has to.
const ACCOUNT: &str = "bench";
const PASSWORD: &str = "a password of usual length";

/// One that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Gantry
    Gantry,
    /// Gantry with its access log, as it comes, written to a file
    GantryLog,
    /// Gantry with accounts, asked with a bearer token
    GantryBearer,
    /// Gantry with accounts, asked with a name and a password
    GantryBasic,
    /// Gantry, asked by the v1 API
    GantryV1,
    /// Gantry with accounts, asked by the v1 API with one of its tokens
    GantryV1Token,
    /// Distribution 3
    D3,
    /// Distribution 2.8
    D2,
    /// nginx with the same bytes as static files
    Nginx,
    /// a bare hyper server with the same bytes in memory
    Hyper,
    /// no server: what the disk and the hash alone take
    Local,
}

impl Kind {
    /// As on the command line and in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gantry => "gantry",
            Self::GantryLog => "gantry-log",
            Self::GantryBearer => "gantry-bearer",
            Self::GantryBasic => "gantry-basic",
            Self::GantryV1 => "gantry-v1",
            Self::GantryV1Token => "gantry-v1-token",
            Self::D3 => "d3",
            Self::D2 => "d2",
            Self::Nginx => "nginx",
            Self::Hyper => "hyper",
            Self::Local => "local",
        }
    }

    /// Whether it stores what is pushed.
    pub(crate) fn is_registry(self) -> bool {
        self.is_gantry() || self.is_distribution()
    }

    /// Whether it is the Gantry of a scenario of its own.
    pub(crate) fn is_variant(self) -> bool {
        self.is_gantry() && self != Self::Gantry
    }

    /// Whether it is asked with credentials.
    pub(crate) fn has_accounts(self) -> bool {
        matches!(self, Self::GantryBearer | Self::GantryBasic | Self::GantryV1Token)
    }

    /// Whether it is asked by the v1 API.
    pub(crate) fn is_v1(self) -> bool {
        matches!(self, Self::GantryV1 | Self::GantryV1Token)
    }

    /// Whether it is Distribution.
    pub(crate) fn is_distribution(self) -> bool {
        matches!(self, Self::D3 | Self::D2)
    }

    fn is_gantry(self) -> bool {
        self.is_v1()
            || matches!(self, Self::Gantry | Self::GantryLog | Self::GantryBearer | Self::GantryBasic)
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) gantry: PathBuf,
    pub(crate) tools: PathBuf,
}

impl Programs {
    fn of(&self, kind: Kind) -> Result<PathBuf> {
        let tool = |name: &str| self.tools.join("bin").join(name);
        Ok(match kind {
            kind if kind.is_gantry() => self.gantry.clone(),
            Kind::D3 => tool("distribution3"),
            Kind::D2 => tool("distribution2"),
            Kind::Nginx => tool("nginx"),
            Kind::Hyper => std::env::current_exe()?,
            _ => bail!("local is no server"),
        })
    }

    /// Whether it can be started here.
    pub(crate) fn have(&self, kind: Kind) -> bool {
        kind == Kind::Local || self.of(kind).is_ok_and(|program| program.is_file())
    }

    /// What a program says about its version.
    pub(crate) fn version(&self, kind: Kind) -> Option<String> {
        let flag = match kind {
            Kind::Nginx => "-v",
            Kind::Hyper | Kind::Local => return None,
            _ => "--version",
        };
        let output = Command::new(self.of(kind).ok()?).arg(flag).output().ok()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        // The last word of the first line, in `gantry 0.1.0`, `nginx version: nginx/1.22.1` and Distribution's.
        let last = text.lines().next()?.split_whitespace().last()?;
        Some(last.rsplit('/').next().unwrap_or(last).to_owned())
    }
}

/// A running server; stopped when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Where it keeps everything.
    pub(crate) directory: PathBuf,
    child: Child,
    /// Not the child where that is a tracer.
    pid: u32,
    /// From the start of the process to its first answer.
    pub(crate) started_in: Duration,
}

impl Server {
    /// Starts a server in a directory, which may hold what an earlier one left.
    pub(crate) fn start(kind: Kind, programs: &Programs, directory: &Path) -> Result<Self> {
        Self::start_under(kind, programs, directory, &[])
    }

    /// The same below another program, which gets the server's command line as its arguments.
    pub(crate) fn start_under(
        kind: Kind,
        programs: &Programs,
        directory: &Path,
        tracer: &[String],
    ) -> Result<Self> {
        fs::create_dir_all(directory)?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let program = programs.of(kind)?;
        let mut command = match tracer.split_first() {
            None => Command::new(&program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(&program);
                command
            }
        };
        configure(&mut command, kind, directory, address)?;
        let log = fs::File::options().create(true).append(true).open(directory.join("server.log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let begun = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id();
        let mut server =
            Self { kind, address, directory: directory.to_owned(), child, pid, started_in: Duration::ZERO };
        server.wait(begun)?;
        // strace has the server as its child, valgrind is it.
        if let Some(traced) = crate::process::family(pid).get(1).filter(|_| !tracer.is_empty()) {
            server.pid = *traced;
        }
        Ok(server)
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    fn wait(&mut self, begun: Instant) -> Result<()> {
        let ping = Request::new("GET", "/v2/", "", 200);
        while begun.elapsed() < Duration::from_secs(60) {
            if Connection::open(self.address).and_then(|mut connection| connection.send(&ping)).is_ok() {
                self.started_in = begun.elapsed();
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
                let end: Vec<_> = log.lines().rev().take(3).collect();
                bail!("{} ended at once ({status}): {}", self.kind.name(), end.join(" | "));
            }
            pause(Duration::from_micros(500));
        }
        bail!("{} does not answer", self.kind.name())
    }

    /// Makes the image private, and an account that may pull it.
    pub(crate) fn close_door(&self, programs: &Programs) -> Result<()> {
        let administer = |words: &[&str]| -> Result<()> {
            let mut command = Command::new(&programs.gantry);
            command.args(words).arg("--data").arg(self.directory.join("data"));
            let mut child =
                command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(PASSWORD.as_bytes())?;
            }
            let status = child.wait()?;
            ensure!(status.success(), "gantry {}: {status}", words.join(" "));
            Ok(())
        };
        administer(&["user", "add", ACCOUNT, "--password-stdin"])?;
        administer(&["namespace", "create", "bench", "--visibility", "private"])?;
        administer(&["grant", "add", ACCOUNT, "pull", "bench"])
    }

    /// The header by which requests say who asks: nothing where nobody has to. Bearer tokens end after minutes, so that it
    /// has to be asked for anew.
    pub(crate) fn authorization(&self) -> Result<String> {
        if !self.kind.has_accounts() {
            return Ok(String::new());
        }
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{ACCOUNT}:{PASSWORD}"));
        let basic = format!("Authorization: Basic {encoded}\r\n");
        if self.kind == Kind::GantryBasic {
            return Ok(basic);
        }
        if self.kind.is_v1() {
            let path = format!("/v1/repositories/{IMAGE}/images");
            let wanted = format!("{basic}X-Docker-Token: true\r\n");
            let answer = Connection::open(self.address)?.send(&Request::new("GET", &path, &wanted, 200))?;
            let token = answer.token.context("no token in the answer")?;
            return Ok(format!("Authorization: Token {token}\r\n"));
        }
        let path = format!("/v2/token?scope=repository:{IMAGE}:pull");
        let mut body = Vec::new();
        Connection::open(self.address)?.send_taking(
            &Request::new("GET", &path, &basic, 200),
            &mut |piece| {
                body.extend_from_slice(piece);
            },
        )?;
        let answer: serde_json::Value = serde_json::from_slice(&body)?;
        let token = answer["token"].as_str().context("no token in the answer")?;
        Ok(format!("Authorization: Bearer {token}\r\n"))
    }

    /// Ends the server in order.
    pub(crate) fn stop(&mut self) {
        // A tracer would not pass the signal on; its child gets it and the tracer ends with that.
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..1000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits.
#[expect(clippy::disallowed_methods, reason = "there is no runtime here to block")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn configure(command: &mut Command, kind: Kind, directory: &Path, address: SocketAddr) -> Result<()> {
    let data = directory.join("data");
    match kind {
        kind if kind.is_gantry() => {
            command
                .args(["serve", "--quiet", "--set", "operator.listen=off", "--listen"])
                .arg(address.to_string());
            command.arg("--data").arg(&data);
            if kind != Kind::GantryLog {
                command.args(["--set", "log.access=false", "--set", "log.level=error"]);
            }
            if kind.has_accounts() {
                // Until it is filled: see `Server::close_door`.
                command.args(["--set", "auth.anonymous=write"]);
            }
        }
        Kind::D3 | Kind::D2 => {
            let file = directory.join("config.yml");
            fs::write(&file, distribution(&data, address))?;
            // Distribution 3 sends traces to a collector unless told not to.
            command.arg("serve").arg(file).env("OTEL_TRACES_EXPORTER", "none");
        }
        Kind::Nginx => {
            let file = directory.join("nginx.conf");
            fs::write(&file, site::nginx(directory, address)?)?;
            command.arg("-c").arg(file).arg("-p").arg(directory).args(["-e", "stderr"]);
        }
        Kind::Hyper => {
            command.arg("serve-site").arg(directory).arg(address.to_string());
        }
        _ => bail!("local is no server"),
    }
    ensure!(kind.is_gantry() || !data.join("gantry.db").exists(), "a directory of another server");
    Ok(())
}

fn distribution(data: &Path, address: SocketAddr) -> String {
    format!(
        "version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {}
  delete:
    enabled: true
http:
  addr: {address}
",
        data.display()
    )
}
