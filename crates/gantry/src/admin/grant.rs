//! `gantry grant`: who may do what, and where.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

use super::Usage;
use super::client::Client;
use super::print::{cell, rows, table};
use super::target::{Query, path};
use crate::args::{GrantAdd, GrantCommand, GrantList, GrantRemove};

pub(super) async fn run(command: &GrantCommand) -> anyhow::Result<ExitCode> {
    match command {
        GrantCommand::Add(args) => add(args).await,
        GrantCommand::List(args) => list(args).await,
        GrantCommand::Remove(args) => remove(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn add(args: &GrantAdd) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let body = json!({ "subject": args.subject, "role": args.role, "pattern": args.pattern });
    let answer = client.post("/api/grants", Some(&body)).await?;
    client.print(&answer, |grant| format!("grant {}: {}\n", cell(&grant["id"]), sentence(grant)));
    Ok(())
}

async fn list(args: &GrantList) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let query = query(args.subject.as_deref(), args.pattern.as_deref());
    let answer = client.list("/api/grants", "grants", &query, "after").await?;
    client.print(&answer, |grants| {
        let columns = ["id", "subject", "role", "pattern", "origin", "created_by", "created"];
        let row = |grant: &Value| columns.iter().map(|column| cell(&grant[*column])).collect();
        let rows: Vec<_> = rows(grants, "grants").iter().map(row).collect();
        table(&["ID", "SUBJECT", "ROLE", "PATTERN", "ORIGIN", "BY", "CREATED"], &rows)
    });
    Ok(())
}

async fn remove(args: &GrantRemove) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let id = match (&args.role, &args.pattern) {
        (Some(role), Some(pattern)) => find(&client, &args.which, role, pattern).await?,
        _ if args.which.parse::<u64>().is_ok() => args.which.clone(),
        _ => {
            let expected = "expected the ID of a grant (`gantry grant list`), or SUBJECT ROLE PATTERN";
            return Err(Usage::error(format!("`{}`: {expected}", args.which)));
        }
    };
    let answer = client.delete(&path(&["grants", &id])?).await?;
    client.print(&answer, |_| format!("grant {id} is removed\n"));
    Ok(())
}

/// The number of a grant that is given by what it says.
async fn find(client: &Client, subject: &str, role: &str, pattern: &str) -> anyhow::Result<String> {
    let answer = client.list("/api/grants", "grants", &query(Some(subject), Some(pattern)), "after").await?;
    let of_role: Vec<_> =
        rows(&answer.value, "grants").iter().filter(|grant| grant["role"] == role).collect();
    if let Some(id) = of_role.iter().find_map(|grant| grant["id"].as_i64()) {
        return Ok(id.to_string());
    }
    match of_role.first() {
        Some(_) => bail!("this grant stands in the configuration file; it ends when it is removed there"),
        None => bail!("{subject} has no grant of the role {role} on {pattern}"),
    }
}

fn query(subject: Option<&str>, pattern: Option<&str>) -> Query {
    Query::default().with("subject", subject).with("pattern", pattern)
}

fn sentence(grant: &Value) -> String {
    let [subject, role, pattern] = ["subject", "role", "pattern"].map(|member| cell(&grant[member]));
    format!("{subject} has the role {role} on {pattern}")
}
