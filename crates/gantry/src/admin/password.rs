//! Passwords: asked for without showing them, or read from standard input; never an argument, which every process can see.

use std::io::{self, Read as _};

use anyhow::Context as _;

use super::Usage;

/// Longer than any password.
const MAX: u64 = 64 << 10;

/// A new password: standard input, or asked for twice.
pub(super) fn new(from_stdin: bool, whose: &str) -> anyhow::Result<String> {
    if from_stdin {
        return stdin();
    }
    let first = ask(&format!("New password for {whose}: "))?;
    if ask("Once more: ")? != first {
        anyhow::bail!("these were two different passwords");
    }
    Ok(first)
}

/// One that is known: standard input, or asked for.
pub(super) fn known(from_stdin: bool, whose: &str) -> anyhow::Result<String> {
    if from_stdin { stdin() } else { ask(&format!("Password for {whose}: ")) }
}

/// A name.
pub(super) fn username() -> anyhow::Result<String> {
    use std::io::{IsTerminal as _, Write as _};
    if !io::stdin().is_terminal() {
        return Err(Usage::error("there is no terminal to ask for a name at: give --username"));
    }
    let _ = write!(io::stderr(), "Username: ");
    let mut line = String::new();
    io::stdin().read_line(&mut line).context("reading the name")?;
    match line.trim() {
        "" => Err(Usage::error("no name was given")),
        name => Ok(name.to_owned()),
    }
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let password = match rpassword::prompt_password(prompt) {
        Ok(password) => password,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => String::new(),
        Err(_) => {
            return Err(Usage::error("there is no terminal to ask for a password at: give --password-stdin"));
        }
    };
    some(password)
}

/// One newline at the end belongs to whoever wrote it (`echo`), not to the password.
fn stdin() -> anyhow::Result<String> {
    let mut text = String::new();
    io::stdin()
        .take(MAX + 1)
        .read_to_string(&mut text)
        .context("reading the password from standard input")?;
    if text.len() as u64 > MAX {
        return Err(Usage::error("standard input is longer than any password"));
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    some(text.to_owned())
}

fn some(password: String) -> anyhow::Result<String> {
    if password.is_empty() { Err(Usage::error("the password is empty")) } else { Ok(password) }
}
