//! Credential helpers: programs named `docker-credential-NAME` that keep secrets elsewhere, such as in a keychain.
//!
//! Secrets go through pipes, never through arguments, and what a helper prints to standard output is in no message.

use std::io::{self, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// The name that stands for none: what goes with it is a token.
pub(super) const TOKEN: &str = "<token>";

/// What a helper of this name is called.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// Name and secret; `None`: the helper has none for this server.
pub(super) fn get(name: &str, host: &str) -> anyhow::Result<Option<(String, String)>> {
    let Some(output) = run(name, "get", host)? else { return Ok(None) };
    let document: Value = serde_json::from_slice(&output).unwrap_or_default();
    match (document["Username"].as_str(), document["Secret"].as_str()) {
        (Some(user), Some(secret)) => Ok(Some((user.to_owned(), secret.to_owned()))),
        _ => bail!("{} get: the answer cannot be understood", program(name)),
    }
}

pub(super) fn store(name: &str, host: &str, user: &str, secret: &str) -> anyhow::Result<()> {
    let document = json!({ "ServerURL": host, "Username": user, "Secret": secret });
    run(name, "store", &document.to_string()).map(drop)
}

pub(super) fn erase(name: &str, host: &str) -> anyhow::Result<()> {
    run(name, "erase", host).map(drop)
}

/// Standard output; `None`: it says that there are no such credentials.
fn run(name: &str, action: &str, input: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let program = program(name);
    // It is looked up in PATH, and nowhere else.
    if name.contains('/') {
        bail!("`{name}` is no name of a credential helper");
    }
    let mut command = Command::new(&program);
    command.arg(action).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().with_context(|| format!("running {program}"))?;
    if let Some(mut pipe) = child.stdin.take() {
        match pipe.write_all(input.as_bytes()) {
            // It knows already what it will say.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            other => other.with_context(|| format!("talking to {program}"))?,
        }
    }
    let output = child.wait_with_output().with_context(|| format!("running {program}"))?;
    if output.status.success() {
        return Ok(Some(output.stdout));
    }
    // Helpers say so on standard output, in these words.
    if String::from_utf8_lossy(&output.stdout).contains("credentials not found") {
        return Ok(None);
    }
    bail!("{program} {action} failed ({})", output.status)
}
