//! Secrets of the configuration: written out, or kept in a file or in the environment. None is ever printed.

use std::fmt;
use std::path::PathBuf;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

/// A secret: its text, or `{ file = ".." }` or `{ env = ".." }` where it is kept. Neither `Debug` nor `config show` prints the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    Here(String),
    File(PathBuf),
    /// Taken from the environment when the configuration was read, as nothing reads it later.
    Environment {
        name: String,
        text: Option<String>,
    },
}

/// Why a secret is not to be had. Never holds one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file is not readable.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Its variable is not there.
    #[error("the environment has no variable {0}")]
    Unset(String),
    /// There is nothing in its place.
    #[error("it is empty")]
    Empty,
}

impl Secret {
    /// The text. A file is read each time, without the end of its last line.
    ///
    /// # Errors
    /// There is none.
    pub fn read(&self) -> Result<String, SecretError> {
        let text = match &self.0 {
            Kept::Here(text) => text.clone(),
            Kept::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| SecretError::Unreadable { path: path.clone(), source })?;
                text.strip_suffix('\n')
                    .map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line))
                    .to_owned()
            }
            Kept::Environment { name, text } => {
                text.clone().ok_or_else(|| SecretError::Unset(name.clone()))?
            }
        };
        if text.is_empty() { Err(SecretError::Empty) } else { Ok(text) }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kept::Here(_) => f.write_str("Secret"),
            Kept::File(path) => write!(f, "Secret in {}", path.display()),
            Kept::Environment { name, .. } => write!(f, "Secret in ${name}"),
        }
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut table = match &self.0 {
            Kept::Here(_) => return to.serialize_str("(hidden)"),
            _ => to.serialize_map(Some(1))?,
        };
        match &self.0 {
            Kept::File(path) => table.serialize_entry("file", path)?,
            Kept::Environment { name, .. } => table.serialize_entry("env", name)?,
            Kept::Here(_) => {}
        }
        table.end()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, { file = \"..\" } or { env = \"..\" }")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret(Kept::Here(text.to_owned())))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut table: A) -> Result<Secret, A::Error> {
        let secret = match table.next_key::<String>()?.as_deref() {
            Some("file") => Kept::File(table.next_value()?),
            Some("env") => {
                let name: String = table.next_value()?;
                Kept::Environment { text: super::load::variable(&name), name }
            }
            Some(other) => return Err(de::Error::unknown_field(other, &["file", "env"])),
            None => return Err(de::Error::custom("expected { file = \"..\" } or { env = \"..\" }")),
        };
        match table.next_key::<String>()? {
            None => Ok(Secret(secret)),
            Some(_) => Err(de::Error::custom("expected one of `file` and `env`, not more")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_where_they_are_kept_and_printed_nowhere() {
        #[derive(Deserialize, Serialize, Debug)]
        struct Table {
            secret: Secret,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map_err(|error| error.message().to_owned());
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let in_file = read(&format!("secret = {{ file = {file:?} }}")).unwrap();
        assert!(in_file.secret.read().unwrap_err().to_string().contains("secret: "));
        for (written, text) in
            [("s3cret: ü\n", "s3cret: ü"), ("a\r\n", "a"), ("two\n\n", "two\n"), ("bare", "bare")]
        {
            std::fs::write(&file, written).unwrap();
            assert_eq!(in_file.secret.read().unwrap(), text);
        }
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(in_file.secret.read(), Err(SecretError::Empty)));
        assert_eq!(toml::to_string(&in_file).unwrap().matches("file = ").count(), 1);

        let here = read("secret = \"s3cret\"").unwrap();
        assert_eq!(here.secret.read().unwrap(), "s3cret");
        for shown in [format!("{here:?}"), toml::to_string(&here).unwrap()] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }

        // A variable that each process has.
        let environment = read("secret = { env = \"PATH\" }").unwrap();
        assert!(environment.secret.read().unwrap().contains('/'));
        assert!(toml::to_string(&environment).unwrap().contains("env = \"PATH\""));
        let unset = read("secret = { env = \"GANTRY_NO_SUCH_VARIABLE\" }").unwrap();
        assert!(unset.secret.read().unwrap_err().to_string().contains("GANTRY_NO_SUCH_VARIABLE"));

        for wrong in ["{}", "7", "{ fiel = \"x\" }", "{ file = \"x\", env = \"y\" }"] {
            assert!(read(&format!("secret = {wrong}")).is_err(), "{wrong}");
        }
    }
}
