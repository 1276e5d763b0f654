//! The commands of administration and `gantry login`, as they are typed and as scripts use them: over each way to a server, what is
//! refused, and where secrets must not be. `docs/commands.md` is held here too.

mod login;
mod page;
mod refusals;
mod secrets;
mod story;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Gantry;
use crate::harness::tls::Authority;

/// Somebody at a shell: a home directory, and how they name the server.
pub(crate) struct Shell {
    home: TempDir,
    server: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Shell {
    /// On the machine of the server: the data directory, whether a server runs or not.
    pub(crate) fn beside(data: &Path) -> Shell {
        Shell::with(["--data".to_owned(), data.display().to_string()].into())
    }

    /// Anywhere else, over TLS.
    pub(crate) fn remote(app: &Gantry, authority: &Authority) -> Shell {
        let mut shell = Shell::with(Vec::new());
        let ca = authority.write(&shell.home.path().join("ca.pem"));
        let url = format!("https://{}", host(app));
        shell.server =
            ["--server", &url, "--ca-file", ca.to_str().expect("a path")].map(str::to_owned).into();
        shell
    }

    fn with(server: Vec<String>) -> Shell {
        let home = TempDir::with_prefix("gantry-home-").expect("a directory");
        Shell { home, server, variables: Vec::new() }
    }

    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where docker keeps credentials.
    pub(crate) fn config(&self) -> PathBuf {
        self.home().join(".docker/config.json")
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.home().join("ca.pem")
    }

    /// A command, ready to run.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
        command.args(words).current_dir(self.home());
        for name in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR", "GANTRY_DATA"] {
            command.env_remove(name);
        }
        command.env("HOME", self.home()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A command of administration on the server.
    pub(crate) async fn run(&self, words: &[&str]) -> Done {
        self.type_in(words, "").await
    }

    /// The same with something on standard input.
    pub(crate) async fn type_in(&self, words: &[&str], input: &str) -> Done {
        let server = self.server.iter().map(String::as_str);
        self.plain(&words.iter().copied().chain(server).collect::<Vec<_>>(), input).await
    }

    /// A command that names no server, or names it itself.
    pub(crate) async fn plain(&self, words: &[&str], input: &str) -> Done {
        let (mut command, input) = (self.command(words), input.to_owned());
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("the binary runs");
            // It need not read.
            let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
            child.wait_with_output().expect("the binary ends")
        });
        let output = output.await.expect("the binary ends");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        Done {
            what: words.join(" "),
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// Logs in to the server of this shell.
    pub(crate) async fn login(&self, app: &Gantry, user: &str, password: &str) -> Done {
        let (host, ca) = (host(app), self.ca_file());
        let words = ["login", &host, "--username", user, "--password-stdin", "--ca-file"];
        let words: Vec<_> = words.into_iter().chain(ca.to_str()).collect();
        self.plain(&words, password).await
    }
}

/// How a command ended.
pub(crate) struct Done {
    what: String,
    code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Done {
    pub(crate) fn code(self, code: i32) -> Done {
        assert_eq!(self.code, Some(code), "gantry {}\n{}{}", self.what, self.out, self.err);
        self
    }

    pub(crate) fn good(self) -> Done {
        self.code(0)
    }

    /// On standard output.
    pub(crate) fn prints(self, text: &str) -> Done {
        assert!(
            self.out.contains(text),
            "{text} in what gantry {} prints:\n{}{}",
            self.what,
            self.out,
            self.err
        );
        self
    }

    /// On standard error.
    pub(crate) fn says(self, text: &str) -> Done {
        assert!(
            self.err.contains(text),
            "{text} in what gantry {} says:\n{}{}",
            self.what,
            self.out,
            self.err
        );
        self
    }

    /// Standard output is one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}\n{}", self.what, self.out))
    }

    /// The cells of one column of a table.
    pub(crate) fn column(&self, name: &str) -> Vec<&str> {
        let head = self.out.lines().next().expect("a table");
        let at = head.find(name).unwrap_or_else(|| panic!("{name} in {head}"));
        let cell = |line: &'_ str| -> usize { line.len().min(at) };
        self.out
            .lines()
            .skip(1)
            .map(|line| line[cell(line)..].split("  ").next().unwrap_or_default().trim())
            .collect()
    }
}

/// As a user names the server: its certificate is for this name.
pub(crate) fn host(app: &Gantry) -> String {
    format!("localhost:{}", app.address().port())
}

/// A server over TLS with an admin, and a shell elsewhere that is logged in as that admin.
pub(crate) async fn administered() -> (Gantry, Shell, Shell) {
    let authority = Authority::new();
    let app = Gantry::options().tls(&authority).start().await;
    let beside = Shell::beside(app.data());
    let words = ["user", "add", "root", "--admin", "--password-stdin"];
    beside.type_in(&words, "correct horse\n").await.good();
    let remote = Shell::remote(&app, &authority);
    remote.login(&app, "root", "correct horse\n").await.good();
    (app, beside, remote)
}
