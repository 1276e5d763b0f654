//! The audit log, read.

use gantry_oci::access::RepoPattern;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{AuditFilter, AuditRow};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, input, listed};
use crate::http::{Body, Problem, Response, reply};

/// Something that was done, or refused.
#[derive(Serialize, ToSchema)]
pub(super) struct Row {
    /// Rises.
    id: i64,
    #[schema(format = "date-time")]
    time: String,
    /// Who; empty when nobody knows.
    subject: String,
    /// From where.
    address: String,
    /// What: `user.create`, `manifest.put`, `login`, ...
    action: String,
    /// On what.
    object: String,
    /// The repository; empty when it is about none.
    repository: String,
    /// `allowed` or `refused`.
    result: &'static str,
    /// Why not, or with which particulars.
    reason: String,
    /// The request's id, as in its answer and in the server's log.
    request_id: String,
}

/// A page of the audit log.
#[derive(Serialize, ToSchema)]
pub(super) struct Audit {
    audit: Vec<Row>,
    /// `before` of the next page.
    next: Option<String>,
}

impl From<AuditRow> for Row {
    fn from(row: AuditRow) -> Self {
        let entry = row.entry;
        Self {
            id: row.id,
            time: entry.at.to_string(),
            subject: entry.subject,
            address: entry.address,
            action: entry.action,
            object: entry.object,
            repository: entry.repository,
            result: if entry.allowed { "allowed" } else { "refused" },
            reason: entry.reason,
            request_id: entry.request,
        }
    }
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let query = call.query;
    let limit = query.limit()?;
    let allowed = match query.get("result")?.as_deref() {
        None => None,
        Some("allowed") => Some(true),
        Some("refused") => Some(false),
        Some(_) => return Err(Problem::Invalid("`result` is neither allowed nor refused".to_owned())),
    };
    let filter = AuditFilter {
        since: query.get("since")?.map(|text| input::since(&text, Timestamp::now())).transpose()?,
        subject: query.get("subject")?,
        repository: query.parse::<RepoPattern>("repository", "a pattern of repository names")?,
        action: query.get("action")?,
        allowed,
    };
    let before = query.number("before")?.and_then(|number| i64::try_from(number).ok());
    let mut rows = call.meta().audit(filter, before, limit + 1).await?;
    let next = input::cut(&mut rows, limit, |row| row.id.to_string());
    let rows: Vec<Row> = rows.into_iter().map(Row::from).collect();
    if !wants_lines(call) {
        return listed(call, &Audit { audit: rows, next: next.clone() }, "before", next.as_deref());
    }
    let mut text = Vec::new();
    for row in &rows {
        let line = serde_json::to_vec(row).map_err(|_| Problem::Internal("the answer cannot be written"))?;
        text.extend(line);
        text.push(b'\n');
    }
    // The way to the next page is the header alone.
    let mut response = listed(call, &(), "before", next.as_deref())?;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    *response.body_mut() = Body::whole(text);
    debug_assert_eq!(response.status(), StatusCode::OK);
    response.headers_mut().insert(header::VARY, reply::value("Accept"));
    Ok(response)
}

/// The type of one document a line.
pub(super) const LINES: &str = "application/x-ndjson";

fn wants_lines(call: &Call<'_>) -> bool {
    let accepted = call.parts.headers.get_all(header::ACCEPT);
    accepted.iter().filter_map(|value| value.to_str().ok()).any(|value| value.contains(LINES))
}
