//! The credential files of docker and podman: `config.json` and `auth.json`, which have one form.
//!
//! By hand, because they are written here too, and so that nothing of a helper's output, which is a secret, comes into a message.
//! Everything in a file that is not understood stays as it is.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::helper;
use crate::args::Trust;

/// What is sent for Basic.
pub(super) struct Credential {
    pub(super) user: String,
    pub(super) password: String,
    /// The file that it comes from.
    pub(super) origin: String,
}

/// Never with the password.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The files that count, the first one first.
pub(super) struct Files(Vec<PathBuf>);

impl Files {
    pub(super) fn new(trust: &Trust) -> Self {
        // A variable that is set to nothing is as one that is not set.
        let given =
            |value: &Option<OsString>| value.clone().filter(|text| !text.is_empty()).map(PathBuf::from);
        if let Some(file) = given(&trust.authfile) {
            return Self(vec![file]);
        }
        let docker = given(&trust.docker_config).or_else(|| Some(std::env::home_dir()?.join(".docker")));
        let docker = docker.map(|directory| directory.join("config.json"));
        let podman = given(&trust.runtime_dir).map(|directory| directory.join("containers/auth.json"));
        Self(docker.into_iter().chain(podman).collect())
    }

    /// The credentials for a server, as `HOST[:PORT]`.
    pub(super) fn find(&self, host: &str) -> anyhow::Result<Option<Credential>> {
        for path in &self.0 {
            let Some(file) = AuthFile::read(path)? else { continue };
            if let Some(credential) = file.find(host).with_context(|| path.display().to_string())? {
                return Ok(Some(credential));
            }
        }
        Ok(None)
    }

    /// Keeps credentials. Gives where.
    pub(super) fn keep(&self, host: &str, user: &str, password: &str) -> anyhow::Result<String> {
        let path =
            self.0.first().context("there is no home directory for a credential file: give --authfile")?;
        let mut file = AuthFile::read(path)?.unwrap_or_else(|| AuthFile::empty(path));
        let place = file.keep(host, user, password).with_context(|| path.display().to_string())?;
        file.write().with_context(|| path.display().to_string())?;
        Ok(place)
    }

    /// Forgets the credentials for a server, in each file. Gives where there were any.
    pub(super) fn forget(&self, host: &str) -> anyhow::Result<Vec<String>> {
        let mut places = Vec::new();
        for path in &self.0 {
            let Some(mut file) = AuthFile::read(path)? else { continue };
            let found = file.forget(host).with_context(|| path.display().to_string())?;
            if found {
                file.write().with_context(|| path.display().to_string())?;
                places.push(path.display().to_string());
            }
        }
        Ok(places)
    }
}

/// One file, read.
struct AuthFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl AuthFile {
    fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), document: Map::new() }
    }

    /// `None`: it is not there.
    fn read(path: &Path) -> anyhow::Result<Option<Self>> {
        let text = match fs::read(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            other => other.with_context(|| path.display().to_string())?,
        };
        if text.trim_ascii().is_empty() {
            return Ok(Some(Self::empty(path)));
        }
        // Only where, not what: the text around it may be a secret.
        match serde_json::from_slice(&text) {
            Ok(Value::Object(document)) => Ok(Some(Self { path: path.to_owned(), document })),
            Ok(_) => bail!("{}: not a credential file: expected a JSON object", path.display()),
            Err(error) => bail!("{}:{}: not JSON", path.display(), error.line()),
        }
    }

    fn find(&self, host: &str) -> anyhow::Result<Option<Credential>> {
        let origin = || self.path.display().to_string();
        if let Some(name) = self.own_helper(host) {
            let found = helper::get(name, host)?;
            return Ok(found.map(|(user, password)| Credential { user, password, origin: origin() }));
        }
        if let Some((_, entry)) = self.entries().find(|(key, _)| names(key, host))
            && let Some((user, password)) = read_entry(entry)?
        {
            return Ok(Some(Credential { user, password, origin: origin() }));
        }
        let Some(name) = self.shared_helper() else { return Ok(None) };
        let found = helper::get(name, host)?;
        Ok(found.map(|(user, password)| Credential { user, password, origin: origin() }))
    }

    /// Gives where the secret is now.
    fn keep(&mut self, host: &str, user: &str, password: &str) -> anyhow::Result<String> {
        let name = self.own_helper(host).or_else(|| self.shared_helper()).map(str::to_owned);
        let entry = match &name {
            Some(name) => {
                helper::store(name, host, user, password)?;
                // Docker lists here whom it has credentials for.
                json!({})
            }
            None => json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }),
        };
        self.remove_entries(host);
        match self.document.entry("auths").or_insert_with(|| json!({})) {
            Value::Object(auths) => _ = auths.insert(host.to_owned(), entry),
            _ => bail!("`auths` is no object"),
        }
        Ok(match name {
            Some(name) => format!("the credential helper {}", helper::program(&name)),
            None => self.path.display().to_string(),
        })
    }

    fn forget(&mut self, host: &str) -> anyhow::Result<bool> {
        let name = self.own_helper(host).or_else(|| self.shared_helper()).map(str::to_owned);
        let kept = match &name {
            Some(name) => helper::get(name, host)?.is_some(),
            None => false,
        };
        if let Some(name) = &name
            && kept
        {
            helper::erase(name, host)?;
        }
        Ok(self.remove_entries(host) | kept)
    }

    /// Whether there were any.
    fn remove_entries(&mut self, host: &str) -> bool {
        let Some(Value::Object(auths)) = self.document.get_mut("auths") else { return false };
        let before = auths.len();
        auths.retain(|key, _| !names(key, host));
        auths.len() < before
    }

    fn entries(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.document.get("auths").and_then(Value::as_object).into_iter().flatten()
    }

    fn own_helper(&self, host: &str) -> Option<&str> {
        self.document.get("credHelpers")?.get(host)?.as_str().filter(|name| !name.is_empty())
    }

    fn shared_helper(&self) -> Option<&str> {
        self.document.get("credsStore")?.as_str().filter(|name| !name.is_empty())
    }

    /// Whole or not at all, for its owner alone. What a link points to is replaced, not the link.
    fn write(&self) -> anyhow::Result<()> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let name = path.file_name().context("not the name of a file")?.to_string_lossy();
        let new = directory.join(format!(".{name}.{}", std::process::id()));
        let written = self.write_new(&new).and_then(|()| fs::rename(&new, &path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        Ok(written?)
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(serde_json::to_string_pretty(&self.document)?.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    }
}

/// Whether a key of `auths` means this server. Old ones are whole URLs.
fn names(key: &str, host: &str) -> bool {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    match rest {
        Some(rest) => rest.split('/').next() == Some(host),
        None => key == host,
    }
}

/// Name and password of an entry; `None`: it is there to say that a helper knows.
fn read_entry(entry: &Value) -> anyhow::Result<Option<(String, String)>> {
    let text = |name: &str| entry[name].as_str().filter(|text| !text.is_empty());
    if let Some(token) = text("identitytoken") {
        return Ok(Some((helper::TOKEN.to_owned(), token.to_owned())));
    }
    if let Some(auth) = text("auth") {
        let decoded = STANDARD.decode(auth.trim_end()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) else {
            bail!("an `auth` in it is not base64 of NAME:PASSWORD");
        };
        // Some write a zero byte behind it.
        return Ok(Some((user.to_owned(), password.trim_end_matches('\0').to_owned())));
    }
    Ok(text("username").zip(text("password")).map(|(user, password)| (user.to_owned(), password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path, text: &str) -> Files {
        let path = dir.join("config.json");
        fs::write(&path, text).unwrap();
        Files(vec![path])
    }

    #[test]
    fn entries_are_read_in_all_their_forms() {
        let dir = tempfile::tempdir().unwrap();
        let text = json!({ "auths": {
            "a.example": { "auth": STANDARD.encode("alice:a:b") },
            "https://b.example/v1/": { "username": "bob", "password": "b" },
            "c.example:5000": { "identitytoken": "t" },
            "d.example": {},
        }});
        let files = files(dir.path(), &text.to_string());
        let found = |host: &str| files.find(host).unwrap().map(|found| (found.user, found.password));
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found("a.example"), pair("alice", "a:b"));
        assert_eq!(found("b.example"), pair("bob", "b"));
        assert_eq!(found("c.example:5000"), pair("<token>", "t"));
        assert_eq!(found("d.example"), None);
        assert_eq!(found("c.example"), None, "another port is another server");
    }

    #[test]
    fn what_is_not_understood_stays() {
        let dir = tempfile::tempdir().unwrap();
        let text = json!({ "auths": { "other": { "auth": "eDp5" } }, "HttpHeaders": { "X": "y" }, "n": 1 });
        let files = files(dir.path(), &text.to_string());
        files.keep("new:5000", "alice", "secret").unwrap();
        assert_eq!(files.find("new:5000").unwrap().unwrap().password, "secret");
        assert_eq!(files.forget("new:5000").unwrap().len(), 1);
        assert!(files.forget("new:5000").unwrap().is_empty());
        let after: Value = serde_json::from_slice(&fs::read(&files.0[0]).unwrap()).unwrap();
        assert_eq!(after, text);
    }

    #[test]
    fn a_broken_file_is_named_and_neither_quoted_nor_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let text = "{ \"auths\": { \"a\": { \"auth\": \"c2VjcmV0\" }";
        let files = files(dir.path(), text);
        for error in [files.find("a").unwrap_err(), files.keep("a", "b", "c").unwrap_err()] {
            let error = format!("{error:#}");
            assert!(error.contains("config.json:1: not JSON") && !error.contains("c2Vj"), "{error}");
        }
        assert_eq!(fs::read_to_string(&files.0[0]).unwrap(), text);
    }
}
