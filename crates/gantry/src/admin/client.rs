//! The admin API, as the commands see it: a method, a path and a body there, JSON back.
//!
//! Three ways, one API: a server by its URL with the credentials that are kept for it ([`super::remote`]); without a URL the server that
//! owns the data directory, through its control socket; or, when none runs, its code in this process, on its store. Who may
//! open the socket or the store owns the data anyway, and is a server admin (the subject `operator`).

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context as _;
use gantry_server::config::Config;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use serde_json::value::RawValue;

use super::problem::Refused;
use super::remote::Remote;
use super::target::Query;
use crate::args::Where;

/// Rows in one page: the most that the API gives.
pub(super) const PAGE: usize = 1000;

pub(super) struct Client {
    way: Way,
    json: bool,
}

enum Way {
    Remote(Box<Remote>),
    Local(Box<Config>),
}

/// What comes back over either way.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// `X-Request-Id`
    pub(super) request_id: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A good answer: as it was sent, and read.
pub(super) struct Answer {
    text: String,
    pub(super) value: Value,
}

impl Client {
    pub(super) fn new(at: &Where) -> anyhow::Result<Self> {
        let way = match &at.server {
            Some(url) => Way::Remote(Box::new(Remote::new(url, &at.trust)?)),
            None => Way::Local(Box::new(at.settings.load_unheard()?)),
        };
        Ok(Self { way, json: at.json })
    }

    /// The data directory in which there is no store yet.
    pub(super) fn missing_store(&self) -> Option<&Path> {
        match &self.way {
            Way::Local(config) => crate::sweep::must_exist(config).is_err().then_some(&config.data_dir),
            Way::Remote(_) => None,
        }
    }

    /// The server, when it was given by its URL.
    pub(super) fn remote(&self) -> Option<&Remote> {
        match &self.way {
            Way::Remote(remote) => Some(remote),
            Way::Local(_) => None,
        }
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        self.call(Method::POST, path, body).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends; everything but success is an error.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Answer> {
        let body = body.map(Value::to_string);
        let reply = match &self.way {
            Way::Remote(remote) => remote.call(method, path, body).await?,
            Way::Local(config) => local(config, method, path, body).await?,
        };
        if !reply.status.is_success() {
            let hint = match &self.way {
                Way::Remote(remote) if reply.status == StatusCode::UNAUTHORIZED => remote.hint(),
                _ => None,
            };
            return Err(Refused::new(&reply, hint).into());
        }
        let text = String::from_utf8(reply.body).context("the server's answer is not text")?;
        let value = match text.trim() {
            "" => Value::Null,
            json => serde_json::from_str(json).with_context(|| match &self.way {
                Way::Remote(remote) => format!("{}: the answer is not that of a Gantry server", remote.url()),
                Way::Local(_) => "the server's answer cannot be understood".to_owned(),
            })?,
        };
        Ok(Answer { text, value })
    }

    /// A whole list, page after page. `cursor` is the parameter that a page's `next` goes into.
    pub(super) async fn list(
        &self,
        path: &str,
        noun: &str,
        query: &Query,
        cursor: &'static str,
    ) -> anyhow::Result<Answer> {
        let mut rows = Vec::new();
        self.pages(path, noun, query, cursor, |page| {
            rows.extend(page);
            true
        })
        .await?;
        let rows: Vec<_> = rows.iter().map(|row| row.get()).collect();
        let text = format!("{{\"{noun}\":[{}],\"next\":null}}", rows.join(","));
        Ok(Answer { value: serde_json::from_str(&text)?, text })
    }

    /// Hands over one page after the other, as long as they are wanted.
    pub(super) async fn pages(
        &self,
        path: &str,
        noun: &str,
        query: &Query,
        cursor: &'static str,
        mut wanted: impl FnMut(Vec<Box<RawValue>>) -> bool,
    ) -> anyhow::Result<()> {
        let mut query = match query.get("n") {
            Some(_) => query.clone(),
            None => query.clone().with("n", Some(&PAGE.to_string())),
        };
        loop {
            let answer = self.get(&query.on(path)).await?;
            let mut members: HashMap<String, Box<RawValue>> = serde_json::from_str(&answer.text)?;
            let rows = members.remove(noun).with_context(|| format!("the answer has no `{noun}`"))?;
            let next = match answer.value.get("next") {
                Some(Value::String(next)) => Some(next.clone()),
                Some(Value::Number(next)) => Some(next.to_string()),
                _ => None,
            };
            let more = wanted(serde_json::from_str(rows.get())?);
            match next {
                Some(next) if more && query.get(cursor) != Some(next.as_str()) => {
                    query = query.with(cursor, Some(&next));
                }
                _ => return Ok(()),
            }
        }
    }

    /// Prints an answer: as it came with `--json`, else in words.
    pub(super) fn print(&self, answer: &Answer, words: impl FnOnce(&Value) -> String) {
        if !self.json {
            crate::say(words(&answer.value));
        } else if !answer.text.is_empty() {
            crate::say(format_args!("{}\n", answer.text.trim_end()));
        }
    }

    pub(super) fn json(&self) -> bool {
        self.json
    }
}

/// Through the control socket of the server that runs, or in this process.
async fn local(config: &Config, method: Method, path: &str, body: Option<String>) -> anyhow::Result<Reply> {
    let answer = gantry_server::local::call(config, method, path, body.map(Into::into)).await;
    let (status, headers, body) = answer?;
    let request_id = headers.get("x-request-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(Reply { status, request_id, body: body.to_vec() })
}
