//! Reading the three sources of configuration: file, environment, command line, the later over the earlier.
//!
//! Each source is checked by itself before they are laid over each other, so that an error names the place
//! where somebody wrote it: file and line, the variable, or the argument.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use gantry_storage::failpoint::{self, PlanError};
use serde::Deserialize;
use toml::{Table, Value};

use super::settings::Settings;

/// Where configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// `--config`
    pub file: Option<PathBuf>,
    /// `GANTRY__SECTION__KEY` variables, as [`environment`] collects them.
    pub environment: Vec<(String, String)>,
    /// `--set section.key=value` arguments.
    pub arguments: Vec<String>,
}

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not readable.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, or has an unknown key or a bad value.
    #[error("{}:{line}: {message}\n  {line} | {text}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What was expected.
        message: String,
        /// The line itself.
        text: String,
    },
    /// A variable or an argument has an unknown key or a bad value.
    #[error("{origin}: {message}")]
    Overlay {
        /// The variable or the argument.
        origin: String,
        /// What was expected.
        message: String,
    },
    /// A value that does not fit the others.
    #[error("{key} {what}")]
    Value {
        /// The key.
        key: Cow<'static, str>,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// Listening beyond loopback with nobody at the door.
    #[error(
        "refusing to listen on {0}: everybody who reaches this address could pull, push and delete.\n\
         Either make an account (or set GANTRY_ADMIN_PASSWORD_FILE in a container):\n\
         \x20   gantry user add NAME --admin\n\
         or configure accounts:\n\
         \x20   [auth.htpasswd]\n\
         \x20   file = \"/etc/gantry/htpasswd\"        # made by: htpasswd -Bc /etc/gantry/htpasswd alice\n\
         or say that this is what you want:\n\
         \x20   [auth]\n\
         \x20   anonymous = \"write\"                  # or --set auth.anonymous=write; \"read\" allows pulls only"
    )]
    OpenDoor(SocketAddr),
}

/// The variables of this process that configure Gantry.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
pub fn environment() -> Vec<(String, String)> {
    let mut variables: Vec<_> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    variables
}

/// One variable of this process, for a secret that is kept there.
pub(super) fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    let value = std::env::var_os(name);
    value?.into_string().ok()
}

/// Puts the plan of `GANTRY_FAIL_AT` in force, when there is one.
///
/// # Errors
/// The plan makes no sense, or this program has no failpoints: better no start than a test that tests nothing.
pub fn arm_failpoints() -> Result<(), PlanError> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    let plan = std::env::var_os("GANTRY_FAIL_AT");
    plan.map_or(Ok(()), |plan| failpoint::arm(&plan.to_string_lossy()))
}

/// The file with the password of the account `admin`, which the first start makes: `GANTRY_ADMIN_PASSWORD_FILE`.
pub fn admin_password_file() -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    let file = std::env::var_os("GANTRY_ADMIN_PASSWORD_FILE");
    file.filter(|file| !file.is_empty()).map(PathBuf::from)
}

const PREFIX: &str = "GANTRY__";

/// Reads all sources.
///
/// # Errors
/// The first unknown key or bad value, with the place where it stands.
pub fn load(sources: &Sources) -> Result<Settings, ConfigError> {
    let mut table = match &sources.file {
        Some(path) => read_file(path)?,
        None => Table::new(),
    };
    for (name, value) in &sources.environment {
        let path = name.trim_start_matches(PREFIX).to_lowercase();
        overlay(&mut table, name, path.split("__"), value)?;
    }
    for argument in &sources.arguments {
        let origin = format!("--set {argument}");
        let Some((key, value)) = argument.split_once('=') else {
            return Err(ConfigError::Overlay { origin, message: "expected SECTION.KEY=VALUE".to_owned() });
        };
        overlay(&mut table, &origin, key.trim().split('.'), value.trim())?;
    }
    Settings::deserialize(table).map_err(|e| ConfigError::Overlay {
        origin: "configuration".to_owned(),
        message: e.message().to_owned(),
    })
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    let at = |e: &toml::de::Error| {
        let offset = e.span().map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count();
        ConfigError::File {
            path: path.to_owned(),
            line: before + 1,
            message: e.message().to_owned(),
            text: text.lines().nth(before).unwrap_or_default().to_owned(),
        }
    };
    // From the text, not from the table: only so do errors know their lines.
    toml::from_str::<Settings>(&text).map_err(|e| at(&e))?;
    toml::from_str::<Table>(&text).map_err(|e| at(&e))
}

/// Lays one value over the table, after checking that it is a value for a key that exists.
fn overlay<'a>(
    table: &mut Table,
    origin: &str,
    path: impl Iterator<Item = &'a str>,
    text: &str,
) -> Result<(), ConfigError> {
    let wrong =
        |message: &str| ConfigError::Overlay { origin: origin.to_owned(), message: message.to_owned() };
    let keys: Vec<&str> = path.collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(wrong("expected a key of two or more parts, such as server.listen"));
    }
    // A TOML value when it is one (numbers, booleans, lists, quoted strings), else the bare text.
    let candidates = toml::from_str::<Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .into_iter()
        .chain([Value::String(text.to_owned())]);
    let mut message = String::new();
    for value in candidates {
        let alone = keys
            .iter()
            .rev()
            .fold(value, |inner, key| Value::Table(Table::from_iter([((*key).to_owned(), inner)])));
        let Value::Table(alone) = alone else { continue };
        match Settings::deserialize(alone.clone()) {
            Ok(_) => {
                merge(table, alone);
                return Ok(());
            }
            Err(e) if message.is_empty() => message = e.message().to_owned(),
            Err(_) => {}
        }
    }
    Err(wrong(&message))
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(key, value)),
        }
    }
}
