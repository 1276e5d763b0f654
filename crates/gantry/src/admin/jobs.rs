//! `gantry jobs`: what the server does on the side.

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::print::{cell, properties, rows, table};
use super::target::{Query, path};
use crate::args::JobsArgs;

pub(super) async fn run(args: &JobsArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.at)?;
    match &args.id {
        None => {
            let answer = client.list("/api/jobs", "jobs", &Query::default(), "before").await?;
            client.print(&answer, |jobs| {
                let rows: Vec<_> = rows(jobs, "jobs").iter().map(row).collect();
                table(&["ID", "KIND", "STATE", "DONE", "TRIES", "UPDATED", "DETAIL", "ERROR"], &rows)
            });
        }
        Some(id) => {
            let answer = client.get(&path(&["jobs", id])?).await?;
            client.print(&answer, |job| {
                let mut shown: Vec<_> = ["id", "kind", "state"].map(|name| (name, cell(&job[name]))).into();
                shown.push(("done", progress(job)));
                shown.extend(
                    ["attempts", "created", "updated", "detail", "error"]
                        .map(|name| (name, cell(&job[name]))),
                );
                properties(&shown)
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn row(job: &Value) -> Vec<String> {
    let mut row: Vec<_> = ["id", "kind", "state"].iter().map(|column| cell(&job[*column])).collect();
    row.push(progress(job));
    row.extend(["attempts", "updated", "detail", "error"].iter().map(|column| cell(&job[*column])));
    row
}

fn progress(job: &Value) -> String {
    match &job["total"] {
        Value::Null => cell(&job["done"]),
        total => format!("{}/{}", cell(&job["done"]), cell(total)),
    }
}
