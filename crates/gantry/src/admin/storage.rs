//! `gantry storage`: where bytes lie.

use std::process::ExitCode;

use serde_json::Value;

use super::client::{Answer, Client};
use super::print::{bytes, cell, rows, table};
use super::target::path;
use crate::args::{Plain, StorageCheck, StorageCommand};

pub(super) async fn run(command: &StorageCommand) -> anyhow::Result<ExitCode> {
    match command {
        StorageCommand::List(args) => list(args).await,
        StorageCommand::Check(args) => check(args).await,
    }
}

async fn list(args: &Plain) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.at)?;
    let answer = all(&client).await?;
    client.print(&answer, |storages| {
        let row = |storage: &Value| {
            let mut row: Vec<_> = ["name", "kind", "default", "writable", "blobs"]
                .iter()
                .map(|column| cell(&storage[*column]))
                .collect();
            row.extend(["bytes", "free_bytes", "total_bytes"].iter().map(|column| bytes(&storage[*column])));
            row.push(cell(&storage["path"]));
            row
        };
        let rows: Vec<_> = rows(storages, "storages").iter().map(row).collect();
        table(&["NAME", "KIND", "DEFAULT", "WRITABLE", "BLOBS", "SIZE", "FREE", "OF", "PATH"], &rows)
    });
    Ok(ExitCode::SUCCESS)
}

async fn check(args: &StorageCheck) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.at)?;
    let names = match &args.name {
        Some(name) => vec![name.clone()],
        None => {
            let storages = all(&client).await?;
            let names =
                rows(&storages.value, "storages").iter().filter_map(|storage| storage["name"].as_str());
            names.map(str::to_owned).collect()
        }
    };
    let mut well = true;
    for name in names {
        let answer = client.post(&path(&["storages", &name, "check"])?, None).await?;
        let good = answer.value["ok"] == true;
        well &= good;
        client.print(&answer, |report| match &report["error"] {
            Value::Null if good => format!("{name}: all is well\n"),
            error => format!("{name}: {}\n", cell(error)),
        });
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn all(client: &Client) -> anyhow::Result<Answer> {
    client.get("/api/storages").await
}
