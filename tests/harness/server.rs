//! The server's process: started, stopped, restarted, and never left behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::tls::Authority;
use super::{Client, Repo};

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a server is to be started.
#[derive(Clone, Default)]
pub(crate) struct Options {
    settings: Vec<String>,
    accounts: Vec<(String, String)>,
    tls: Option<Authority>,
    variables: Vec<(String, String)>,
    file: Option<String>,
}

impl Options {
    /// A configuration file with this text; what is set beside it lies over it.
    pub(crate) fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self
    }

    /// A variable in its environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `--set key=value`; the value is TOML.
    pub(crate) fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push(format!("{key}={value}"));
        self
    }

    /// An account in an htpasswd file.
    pub(crate) fn account(mut self, name: &str, password: &str) -> Self {
        self.accounts.push((name.to_owned(), password.to_owned()));
        self
    }

    /// HTTPS with a certificate of this authority.
    pub(crate) fn tls(mut self, authority: &Authority) -> Self {
        self.tls = Some(authority.clone());
        self
    }

    /// Starts a server in a new directory and waits until it is ready.
    pub(crate) async fn start(self) -> Gantry {
        let gantry = tokio::task::spawn_blocking(move || {
            let dir = TempDir::with_prefix("gantry-it-").expect("a directory");
            let mut arguments = Vec::new();
            if let Some(text) = &self.file {
                let file = dir.path().join("gantry.toml");
                std::fs::write(&file, text).expect("the configuration file");
                arguments.extend(["--config".to_owned(), file.display().to_string()]);
            }
            for setting in &self.settings {
                arguments.extend(["--set".to_owned(), setting.clone()]);
            }
            if !self.accounts.is_empty() {
                let file = dir.path().join("htpasswd");
                std::fs::write(&file, htpasswd(&self.accounts)).expect("the htpasswd file");
                arguments.extend(["--set".to_owned(), format!("auth.htpasswd.file={file:?}")]);
            }
            if let Some(authority) = &self.tls {
                let (certificate, key) = authority.write_certificate(dir.path());
                arguments.extend(["--set".to_owned(), format!("server.tls.certificate={certificate:?}")]);
                arguments.extend(["--set".to_owned(), format!("server.tls.key={key:?}")]);
            }
            let data = dir.path().join("data");
            let process = Process::start(&arguments, &self.variables, &data);
            Gantry { process: Some(process), arguments, variables: self.variables, data, tls: self.tls, dir }
        });
        gantry.await.expect("the server starts")
    }
}

/// Lines of an htpasswd file. The cost is the lowest that there is.
pub(crate) fn htpasswd(accounts: &[(String, String)]) -> String {
    let line = |(name, password): &(String, String)| {
        format!("{name}:{}\n", bcrypt::hash(password, 4).expect("a bcrypt hash"))
    };
    accounts.iter().map(line).collect()
}

/// A server that runs, and ends with this value.
pub(crate) struct Gantry {
    process: Option<Process>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    data: PathBuf,
    tls: Option<Authority>,
    dir: TempDir,
}

static SHARED: OnceCell<Gantry> = OnceCell::const_new();

impl Gantry {
    /// A server with the default settings, for this test alone.
    pub(crate) async fn start() -> Gantry {
        Options::default().start().await
    }

    /// Settings first.
    pub(crate) fn options() -> Options {
        Options::default()
    }

    /// The server with the default settings that all tests share. Take a repository of your own.
    pub(crate) async fn shared() -> &'static Gantry {
        SHARED.get_or_init(Gantry::start).await
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// A client without credentials, over HTTP/1.1.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address(), self.tls.as_ref())
    }

    /// A new repository, and a client without credentials to work in it.
    pub(crate) fn repo(&self) -> Repo {
        self.client().repo()
    }

    /// A client of the operator's address.
    pub(crate) fn operator(&self) -> Client {
        Client::new(self.operator_address(), None).of_operator()
    }

    /// The admin API by the control socket: whoever may open it may do everything.
    pub(crate) fn operator_api(&self) -> Client {
        Client::new(self.address(), None).by_socket(self.data())
    }

    /// The registry's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.process().registry
    }

    /// The operator's address.
    pub(crate) fn operator_address(&self) -> SocketAddr {
        self.process().operator.expect("an operator address")
    }

    /// What it said when it was ready.
    pub(crate) fn greeting(&self) -> &str {
        &self.process().greeting
    }

    /// The number of the process.
    pub(crate) fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        self.process().log()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The directory of this server, where files beside the data directory may be put.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes another text into the file of [`Options::file`]; the server does not know of it by itself.
    pub(crate) fn rewrite_file(&self, text: &str) {
        let file = self.arguments.iter().skip_while(|argument| *argument != "--config").nth(1);
        std::fs::write(file.expect("a configuration file"), text).expect("written");
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Asks it to end, waits, and gives the log and how it ended.
    pub(crate) async fn sigterm(&mut self) -> (ExitStatus, String) {
        let mut process = self.process.take().expect("the server runs");
        process.signal(Signal::TERM);
        tokio::task::spawn_blocking(move || (process.wait(), process.log())).await.expect("the server ends")
    }

    /// From the next start on its environment has no variables of [`Options::variable`].
    pub(crate) fn without_variables(&mut self) -> &mut Gantry {
        self.variables.clear();
        self
    }

    /// From the next start on it has this setting too, over what was set before.
    pub(crate) fn set(&mut self, key: &str, value: &str) -> &mut Gantry {
        self.arguments.extend(["--set".to_owned(), format!("{key}={value}")]);
        self
    }

    /// From the next start on its environment has this variable too.
    pub(crate) fn variable(&mut self, name: &str, value: &str) -> &mut Gantry {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it again on the same data, after ending it if it still runs.
    pub(crate) async fn restart(&mut self) {
        if self.process.is_some() {
            let (status, log) = self.sigterm().await;
            assert!(status.success(), "the server ended with {status}\n{log}");
        }
        let (arguments, data) = (self.arguments.clone(), self.data.clone());
        let variables = self.variables.clone();
        let process = tokio::task::spawn_blocking(move || Process::start(&arguments, &variables, &data));
        self.process = Some(process.await.expect("the server starts again"));
    }
}

/// Runs the binary to its end: exit status, standard output, standard error.
pub(crate) async fn run(arguments: &[&str]) -> (ExitStatus, String, String) {
    run_with(&[], arguments).await
}

/// The same with variables in its environment.
pub(crate) async fn run_with(variables: &[(&str, &str)], arguments: &[&str]) -> (ExitStatus, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary runs"));
    let output = output.await.expect("the binary ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status, text(&output.stdout), text(&output.stderr))
}

struct Process {
    child: Child,
    registry: SocketAddr,
    operator: Option<SocketAddr>,
    greeting: String,
    log: Arc<Mutex<String>>,
    /// Ends with the server's last line.
    reader: Option<std::thread::JoinHandle<()>>,
    /// Ends the server when this process dies before its `Drop`s run, as it does for what is kept in statics.
    guard: Child,
}

impl Process {
    fn start(arguments: &[String], variables: &[(String, String)], data: &Path) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        command.args(["--set", "operator.listen=127.0.0.1:0"]).args(arguments);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let script = r#"read -r line || { kill -9 "$1"; rm -rf "$2"; }"#;
        let guard = Command::new("sh")
            .args(["-c", script, "guard"])
            .arg(child.id().to_string())
            .arg(data.parent().expect("a directory around the data"))
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let log = Arc::new(Mutex::new(String::new()));
        let errors = BufReader::new(child.stderr.take().expect("standard error"));
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let mut log = kept.lock().expect("the log");
                log.push_str(&line);
                log.push('\n');
            }
        });
        let reader = Some(reader);
        let output = BufReader::new(child.stdout.take().expect("standard output"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or_default());
        });
        let address = ([127, 0, 0, 1], 0).into();
        let mut process =
            Process { child, registry: address, operator: None, greeting: String::new(), log, reader, guard };
        process.read_greeting(&lines);
        process
    }

    /// The addresses are in the start-up lines; the last line says what to try.
    fn read_greeting(&mut self, lines: &mpsc::Receiver<String>) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                let log = self.log();
                panic!("the server did not start\n{}{log}", self.greeting);
            };
            self.greeting.push_str(&line);
            self.greeting.push('\n');
            let address = || line.rsplit("//").next()?.parse().ok();
            match line.split_whitespace().next() {
                Some("registry") => self.registry = address().expect("the registry's address"),
                Some("operator") => self.operator = address(),
                Some("try") => return,
                _ => {}
            }
        }
    }

    fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        // It may have ended by itself.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        let (sleeper, sleep) = mpsc::channel::<()>();
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("the server's state") {
                self.reader.take().map_or(Ok(()), std::thread::JoinHandle::join).expect("the log");
                return status;
            }
            let _ = sleep.recv_timeout(Duration::from_millis(5));
        }
        drop(sleeper);
        self.kill();
        panic!("the server did not end in {PATIENCE:?}\n{}", self.log());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // Told that all is well, the guard does nothing.
        if let Some(mut guard) = self.guard.stdin.take() {
            let _ = guard.write_all(b"done\n");
        }
        let _ = self.guard.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let from = lines.len().saturating_sub(60);
            eprintln!("--- the server's log, last lines ---\n{}", lines[from..].join("\n"));
        }
    }
}
