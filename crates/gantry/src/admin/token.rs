//! `gantry token`: personal tokens and those of robots.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::client::Client;
use super::print::{cell, rows, table};
use super::target::{Query, path};
use crate::args::{TokenCommand, TokenCreate, TokenList, TokenRevoke};
use crate::{say, tell};

pub(super) async fn run(command: &TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

/// The secret alone goes to standard output, so that `TOKEN=$(gantry token create ...)` has it.
async fn create(args: &TokenCreate) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(args.name));
    body.insert("scopes".to_owned(), json!(args.scopes));
    if let Some(expires) = &args.expires {
        let expires = if expires == "never" { Value::Null } else { json!(expires) };
        body.insert("expires".to_owned(), expires);
    }
    for (member, value) in [("robot", &args.robot), ("owner", &args.owner)] {
        body.extend(value.as_ref().map(|value| (member.to_owned(), json!(value))));
    }
    let answer = client.post("/api/tokens", Some(&Value::Object(body))).await?;
    if client.json() {
        client.print(&answer, |_| String::new());
        return Ok(());
    }
    let Value::Object(made) = &answer.value else { anyhow::bail!("the answer has no token") };
    let (token, secret) = (&answer.value["token"], made.get("secret").and_then(Value::as_str));
    let Some(secret) = secret else { anyhow::bail!("the answer has no secret") };
    let (id, subject) = (cell(&token["id"]), cell(&token["subject"]));
    let scopes = match cell(&token["scopes"]) {
        none if none == "-" => "everything that its owner may".to_owned(),
        scopes => scopes,
    };
    let expires = match &token["expires"] {
        Value::Null => "never".to_owned(),
        time => cell(time),
    };
    tell(format_args!(
        "token {id} of {subject}: {scopes}; expires: {expires}\n\
         it is the password, with any user name, and is shown only now:\n"
    ));
    say(format_args!("{secret}\n"));
    Ok(())
}

async fn list(args: &TokenList) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let query = Query::default().with("subject", args.subject.as_deref());
    let answer = client.list("/api/tokens", "tokens", &query, "after").await?;
    client.print(&answer, |tokens| {
        let columns = ["id", "name", "subject", "scopes", "expires", "last_used"];
        let row = |token: &Value| columns.iter().map(|column| cell(&token[*column])).collect();
        let rows: Vec<_> = rows(tokens, "tokens").iter().map(row).collect();
        table(&["ID", "NAME", "SUBJECT", "SCOPES", "EXPIRES", "LAST USED"], &rows)
    });
    Ok(())
}

async fn revoke(args: &TokenRevoke) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.delete(&path(&["tokens", &args.id])?).await?;
    client.print(&answer, |_| format!("{} is revoked\n", args.id));
    Ok(())
}
