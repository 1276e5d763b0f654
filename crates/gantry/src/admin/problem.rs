//! A server's refusal, in one sentence.

use std::fmt;

use serde_json::Value;

use super::client::Reply;
use super::print::plain;

/// An answer that is no success.
#[derive(Debug)]
pub(super) struct Refused {
    status: u16,
    message: String,
    request_id: Option<String>,
    /// What may be done about it.
    hint: Option<String>,
}

impl Refused {
    pub(super) fn new(reply: &Reply, hint: Option<String>) -> Self {
        let document: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(plain);
        let message = text(&document["detail"])
            .or_else(|| text(&document["title"]))
            // What registries say.
            .or_else(|| text(&document["errors"][0]["message"]))
            .unwrap_or_else(|| reply.status.canonical_reason().unwrap_or("no success").to_lowercase());
        let request_id = text(&document["request_id"]).or_else(|| reply.request_id.as_deref().map(plain));
        Self { status: reply.status.as_u16(), message, request_id, hint }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.message, self.status)?;
        if let Some(id) = &self.request_id {
            write!(f, ", request {id}")?;
        }
        f.write_str(")")?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n{hint}"))
    }
}

impl std::error::Error for Refused {}
