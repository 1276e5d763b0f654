//! What a newcomer reads when the server is up: where it listens, where the data is, who may do what, what to type.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{Anonymous, Config};
use crate::policy::Rules;

/// The start-up lines, printed with `Display`.
#[derive(Debug)]
pub struct Greeting {
    /// The registry's URL.
    pub registry: String,
    /// The operator's URL.
    pub operator: Option<String>,
    data: PathBuf,
    access: String,
    v1: bool,
    example: String,
}

impl Greeting {
    pub(super) fn new(
        config: &Config,
        rules: &Rules,
        registry: SocketAddr,
        operator: Option<SocketAddr>,
    ) -> Self {
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let host = match (&config.settings.server.public_url, registry.ip()) {
            (Some(url), _) => url.split("://").nth(1).unwrap_or(url).trim_end_matches('/').to_owned(),
            (None, ip) if ip.is_loopback() => format!("localhost:{}", registry.port()),
            (None, ip) if ip.is_unspecified() => format!("THIS-HOST:{}", registry.port()),
            (None, _) => registry.to_string(),
        };
        let access = match (rules.anonymous(), rules.has_accounts()) {
            (Anonymous::Write, false) if config.settings.auth.anonymous.is_none() => {
                "everybody may pull and push (no accounts yet; loopback only): `gantry user add NAME --admin` ends that"
            }
            (Anonymous::Write, _) => "everybody may pull and push (auth.anonymous = \"write\")",
            (Anonymous::Read, true) => {
                "everybody may pull what is public, accounts what they have rights for"
            }
            (Anonymous::Read, false) => {
                "everybody may pull, nobody may push (auth.anonymous = \"read\", no accounts)"
            }
            (Anonymous::None, true) => "accounts may what they have rights for, others nothing",
            (Anonymous::None, false) => "nobody may do anything (auth.anonymous = \"none\", no accounts)",
        };
        let example = match rules.anonymous() == Anonymous::Write {
            true => format!("docker tag hello-world {host}/hello && docker push {host}/hello"),
            false => format!(
                "docker login {host} && docker tag hello-world {host}/hello && docker push {host}/hello"
            ),
        };
        Self {
            registry: format!("{scheme}://{registry}"),
            operator: operator.map(|address| format!("http://{address}")),
            data: std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone()),
            access: access.to_owned(),
            v1: config.v1_enabled(),
            example,
        }
    }
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Gantry {} is ready", env!("CARGO_PKG_VERSION"))?;
        writeln!(f, "  registry   {}", self.registry)?;
        writeln!(f, "  operator   {}", self.operator.as_deref().unwrap_or("off"))?;
        writeln!(f, "  data       {}", self.data.display())?;
        writeln!(f, "  access     {}", self.access)?;
        if self.v1 {
            writeln!(f, "  v1         on, for clients of old and `docker search`: docs/v1.md")?;
        }
        writeln!(f, "  try        {}", self.example)
    }
}
