//! The command line.

mod admin;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use gantry_server::config::{self, Config, ConfigError, Settings, Sources};

pub(crate) use admin::*;

/// A container registry: one binary, no configuration.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the registry
    Serve(ServeArgs),
    /// Check, show or explain the configuration
    Config(ConfigArgs),
    /// Free what nothing names any more, now (a running server does it itself, by its own settings)
    Sweep(SweepArgs),
    /// Read everything that is stored and say what is damaged (exit code 0 or 1; a running server does it itself)
    Verify(VerifyArgs),
    /// Ask a running registry whether it is well (exit code 0 or 1)
    Healthcheck(HealthcheckArgs),
    /// Accounts: who may log in with a password
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens: instead of passwords, for people and programs
    #[command(subcommand)]
    Token(TokenCommand),
    /// Grants: who may do what, and where
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Namespaces: rules for all repositories below a prefix
    #[command(subcommand)]
    Namespace(NamespaceCommand),
    /// Storages: where bytes lie
    #[command(subcommand)]
    Storage(StorageCommand),
    /// Keys that sign bearer tokens
    #[command(subcommand)]
    Key(KeyCommand),
    /// Say whether somebody may do something, and by which rule (exit code 0 allowed, 1 refused)
    Explain(ExplainArgs),
    /// Show who did what, and who was refused
    Audit(AuditArgs),
    /// Show what the server does on the side, such as moving a namespace to another storage
    Jobs(JobsArgs),
    /// Log in to a registry, for this program, docker and podman
    Login(LoginArgs),
    /// Forget the credentials of a registry
    Logout(LogoutArgs),
    /// List the places at which GANTRY_FAIL_AT=NAME:N[:ACTION] makes this program fail (builds for tests only)
    #[command(hide = gantry_server::failpoints().is_none())]
    Failpoints,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Where to listen: IP:PORT (the same as --set server.listen=ADDR)
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<String>,
    /// Do not print the start-up lines
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Where the configuration comes from.
#[derive(Debug, ClapArgs)]
pub(crate) struct SettingsArgs {
    /// The configuration file (`gantry config example` prints one)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where data lives
    #[arg(long, value_name = "DIR", env = "GANTRY_DATA", default_value = "gantry-data")]
    pub(crate) data: PathBuf,
    /// Set one key: --set limits.manifest=8MiB
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl SettingsArgs {
    /// What was written, wherever it was written.
    pub(crate) fn settings(&self) -> Result<Settings, ConfigError> {
        config::load(&Sources {
            file: self.config.clone(),
            environment: config::environment(),
            arguments: self.set.clone(),
        })
    }

    /// And what it means.
    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        Config::new(self.settings()?, self.data.clone())
    }

    /// The same for a command that listens nowhere: that the door would be open to the network is no concern of its own.
    pub(crate) fn load_unheard(&self) -> Result<Config, ConfigError> {
        match self.load() {
            Err(ConfigError::OpenDoor(_)) => {
                let mut set = self.set.clone();
                set.push("server.listen=127.0.0.1:0".to_owned());
                Self { config: self.config.clone(), data: self.data.clone(), set }.load()
            }
            other => other,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Change nothing; say what would go, and why
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Also list what was looked at and stays
    #[arg(long)]
    pub(crate) kept: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong, with file and line (exit code 0 or 1)
    Check(SettingsArgs),
    /// Print every key with the value that is in force
    Show(SettingsArgs),
    /// Print a commented file with every key and its default
    Example,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Take what is damaged out of sight, so that a new push heals it, and move its files to quarantine/
    #[arg(long)]
    pub(crate) repair: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HealthcheckArgs {
    /// The address to ask, /readyz of the operator's address by default
    #[arg(default_value = "http://127.0.0.1:5001/readyz")]
    pub(crate) url: String,
    /// How long to wait, in seconds
    #[arg(long, default_value_t = 5)]
    pub(crate) timeout: u64,
}
