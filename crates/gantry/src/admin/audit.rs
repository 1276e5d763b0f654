//! `gantry audit`: who did what, and who was refused; the newest entries first.

use std::process::ExitCode;

use serde_json::Value;

use super::client::{Client, PAGE};
use super::print::{cell, table};
use super::target::Query;
use crate::args::AuditArgs;
use crate::{read_on, say};

pub(super) async fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.at)?;
    let mut query = Query::default();
    for (name, value) in [
        ("since", &args.since),
        ("subject", &args.subject),
        ("repository", &args.repository),
        ("action", &args.action),
        ("result", &args.result),
    ] {
        query = query.with(name, value.as_deref());
    }
    let mut left = if args.limit == 0 { usize::MAX } else { args.limit };
    let query = query.with("n", Some(&left.min(PAGE).to_string()));
    let mut shown = Vec::new();
    client
        .pages("/api/audit", "audit", &query, "before", |page| {
            let rows = page.into_iter().take(left).collect::<Vec<_>>();
            left -= rows.len();
            let open = if client.json() {
                rows.iter().all(|row| read_on(format_args!("{}\n", row.get())))
            } else {
                shown.extend(
                    rows.iter().filter_map(|row| serde_json::from_str(row.get()).ok()).map(|row| line(&row)),
                );
                true
            };
            open && left > 0
        })
        .await?;
    if !client.json() {
        say(table(
            &["TIME", "SUBJECT", "ADDRESS", "ACTION", "OBJECT", "RESULT", "REASON", "REQUEST"],
            &shown,
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn line(row: &Value) -> Vec<String> {
    let columns = ["time", "subject", "address", "action", "object", "result", "reason", "request_id"];
    columns.iter().map(|column| cell(&row[*column])).collect()
}
