//! Accounts in a file: one `name:hash` per line, bcrypt only, as `htpasswd -B` writes them.
//!
//! The file is watched by its date and size. A broken line is reported by number, without its content, and the rest
//! counts; a file that vanishes leaves the last good one in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

/// Why the file could not be used at start.
#[derive(Debug, thiserror::Error)]
#[error("auth.htpasswd.file: {}: {source}", path.display())]
pub struct HtpasswdError {
    path: PathBuf,
    source: std::io::Error,
}

/// The accounts of one file.
pub struct Htpasswd {
    path: PathBuf,
    accounts: ArcSwap<HashMap<String, String>>,
    seen: Mutex<Option<Stamp>>,
}

type Stamp = (SystemTime, u64);

/// A hash to check a password against.
pub(super) struct Hash {
    text: String,
    real: bool,
}

/// The hash that names are checked against where there are no accounts at all.
const NOBODY: &str = "$2b$10$abcdefghijklmnopqrstuuWVXNbxXVvTTYRwVpZTUHAjZMPVLyxQ2";

impl Hash {
    /// Whether it is the account's own.
    pub(super) fn is_real(&self) -> bool {
        self.real
    }

    /// The hash as it stands in the file.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the password is the one; takes tens of milliseconds.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        let same = bcrypt::verify(password, &self.text).unwrap_or(false);
        same && self.real
    }
}

impl Htpasswd {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not there or not readable.
    pub fn open(path: PathBuf) -> Result<Self, HtpasswdError> {
        let opened = Self { accounts: ArcSwap::default(), seen: Mutex::new(None), path };
        opened.read().map_err(|source| HtpasswdError { path: opened.path.clone(), source })?;
        Ok(opened)
    }

    /// Whether there is such an account.
    pub(super) fn has(&self, name: &str) -> bool {
        self.accounts.load().contains_key(name)
    }

    /// Whether there is an account that is called so but for the case of its letters.
    pub(super) fn has_like(&self, name: &str) -> bool {
        self.accounts.load().keys().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The hash of an account, or one that no password fits.
    pub(super) fn hash_of(&self, name: &str) -> Hash {
        let accounts = self.accounts.load();
        match accounts.get(name) {
            Some(hash) => Hash { text: hash.clone(), real: true },
            // Another account's hash, so that the check costs what it costs for those that exist.
            None => {
                let other = accounts.values().next().map_or(NOBODY, String::as_str);
                Hash { text: other.to_owned(), real: false }
            }
        }
    }

    /// Reads the file again if its date or size has changed.
    pub(super) fn reload(&self) {
        if let Err(error) = self.read() {
            tracing::warn!(file = %self.path.display(), %error, "the htpasswd file cannot be read; the accounts read last stay in force");
        }
    }

    fn read(&self) -> std::io::Result<()> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let metadata = std::fs::metadata(&self.path)?;
        let stamp = (metadata.modified()?, metadata.len());
        if *seen == Some(stamp) {
            return Ok(());
        }
        let accounts = parse(&String::from_utf8_lossy(&std::fs::read(&self.path)?), &self.path);
        tracing::info!(file = %self.path.display(), accounts = accounts.len(), "read the htpasswd file");
        self.accounts.store(accounts.into());
        *seen = Some(stamp);
        Ok(())
    }
}

fn parse(text: &str, path: &Path) -> HashMap<String, String> {
    let mut accounts = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once(':') {
            Some((name, hash)) if !name.is_empty() && is_bcrypt(hash) => {
                accounts.insert(name.to_owned(), hash.to_owned());
            }
            _ => tracing::warn!(
                file = %path.display(),
                line = number + 1,
                "this line of the htpasswd file is not `name:bcrypt-hash` (htpasswd -B) and is left out"
            ),
        }
    }
    accounts
}

/// See `crate::fuzzing`.
#[cfg(feature = "fuzzing")]
pub(crate) fn parse_text(text: &str) -> Vec<(String, String)> {
    parse(text, Path::new("htpasswd")).into_iter().collect()
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2y$", "$2b$", "$2a$", "$2x$"].iter().any(|prefix| hash.starts_with(prefix)) && hash.len() == 60
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_lines_are_left_out_and_the_rest_counts() {
        let good = bcrypt::hash("secret", 4).unwrap();
        let text = format!("# accounts\n\nalice:{good}\nbob:plain\n:{good}\nnocolon\ncarol:{{SHA}}x\n");
        let accounts = parse(&text, Path::new("htpasswd"));
        assert_eq!(accounts.keys().collect::<Vec<_>>(), ["alice"]);
    }

    #[test]
    fn nobody_has_a_password() {
        assert!(is_bcrypt(NOBODY));
        assert!(bcrypt::verify("x", NOBODY).is_ok(), "the dummy must cost as much as a real hash");
        assert!(!Hash { text: NOBODY.to_owned(), real: false }.verify(b"x"));
    }
}
