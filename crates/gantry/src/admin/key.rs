//! `gantry key`: the keys that sign bearer tokens.

use std::process::ExitCode;

use serde_json::Value;

use super::client::Client;
use super::print::{cell, rows, table};
use crate::args::{KeyCommand, Plain};

pub(super) async fn run(command: &KeyCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeyCommand::List(args) => list(args).await,
        KeyCommand::Rotate(args) => rotate(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn list(args: &Plain) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.get("/api/keys").await?;
    client.print(&answer, |keys| {
        let columns = ["kid", "algorithm", "created", "retired"];
        let row = |key: &Value| columns.iter().map(|column| cell(&key[*column])).collect();
        let rows: Vec<_> = rows(keys, "keys").iter().map(row).collect();
        table(&["KEY", "ALGORITHM", "CREATED", "RETIRED"], &rows)
    });
    Ok(())
}

async fn rotate(args: &Plain) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.post("/api/keys/rotate", None).await?;
    client.print(&answer, |key| {
        let kid = cell(&key["kid"]);
        format!("bearer tokens are signed with {kid} from now on; earlier ones are good until they expire\n")
    });
    Ok(())
}
