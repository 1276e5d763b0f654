//! The commands of administration, a file per noun, and `gantry login`.
//!
//! They are clients of the admin API and nothing else: whatever a command does is a request that anybody may send, decided, carried
//! out and written to the audit log by the server's own code ([`client`] has the three ways there). So no rule stands here; a command
//! takes arguments, sends, and prints.

mod audit;
mod client;
mod credentials;
mod explain;
mod grant;
mod helper;
mod jobs;
mod key;
mod login;
mod namespace;
mod password;
mod print;
mod problem;
mod remote;
mod storage;
mod target;
mod token;
mod user;

use std::fmt;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::args::Command;

pub(crate) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting threads")?;
    runtime.block_on(async {
        match command {
            Command::User(command) => user::run(command).await,
            Command::Token(command) => token::run(command).await,
            Command::Grant(command) => grant::run(command).await,
            Command::Namespace(command) => namespace::run(command).await,
            Command::Storage(command) => storage::run(command).await,
            Command::Key(command) => key::run(command).await,
            Command::Explain(args) => explain::run(args).await,
            Command::Audit(args) => audit::run(args).await,
            Command::Jobs(args) => jobs::run(args).await,
            Command::Login(args) => login::login(args).await,
            Command::Logout(args) => login::logout(args),
            _ => Err(Usage::error("this is no command of administration")),
        }
    })
}

/// What was asked for makes no sense, whatever the server is (exit code 2).
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    fn error(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}
