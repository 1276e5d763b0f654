//! `gantry user`: accounts.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::client::Client;
use super::print::{cell, properties, rows, table};
use super::remote::Remote;
use super::target::{Query, path};
use super::{Usage, password};
use crate::args::{Named, Plain, UserAdd, UserCommand, UserPassword, UserSet};
use crate::tell;

pub(super) async fn run(command: &UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add(args) => add(args).await,
        UserCommand::List(args) => list(args).await,
        UserCommand::Show(args) => show(args).await,
        UserCommand::Set(args) => set(args).await,
        UserCommand::Password(args) => set_password(args).await,
        UserCommand::Disable(args) => change(args, &json!({ "disabled": true }), "is disabled").await,
        UserCommand::Enable(args) => change(args, &json!({ "disabled": false }), "is enabled").await,
        UserCommand::Remove(args) => remove(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn add(args: &UserAdd) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let mut body = Map::new();
    body.insert("name".to_owned(), json!(args.name));
    body.insert("admin".to_owned(), json!(args.admin));
    body.insert("groups".to_owned(), json!(args.groups));
    if let Some(email) = &args.email {
        body.insert("email".to_owned(), json!(email));
    }
    if !args.no_password {
        body.insert("password".to_owned(), json!(password::new(args.password_stdin, &args.name)?));
    }
    let missing = client.missing_store();
    // Who may make accounts may also list them.
    let others = Query::default().with("n", Some("1")).on("/api/users");
    let first = missing.is_some() || rows(&client.get(&others).await?.value, "users").is_empty();
    let answer = client.post("/api/users", Some(&Value::Object(body))).await;
    if let Some(directory) = missing.filter(|_| client.missing_store().is_none()) {
        tell(format_args!("there was no registry in {}: a new one is made\n", directory.display()));
    }
    let answer = answer?;
    client.print(&answer, |user| format!("the account {} is made\n", cell(&user["name"])));
    if first {
        tell(
            "this is the first account: from now on callers without credentials may do nothing, unless auth.anonymous says so\n",
        );
    }
    if first && !args.admin {
        tell(format_args!(
            "it is no admin, and may do nothing yet: `gantry user set {0} --admin`, or `gantry grant add {0} push /`\n",
            args.name
        ));
    }
    Ok(())
}

async fn list(args: &Plain) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.list("/api/users", "users", &Query::default(), "after").await?;
    client.print(&answer, |users| {
        let row = |user: &Value| {
            let state = if user["disabled"] == true { "disabled" } else { "enabled" };
            vec![
                cell(&user["name"]),
                cell(&user["email"]),
                cell(&user["admin"]),
                state.to_owned(),
                cell(&user["groups"]),
                cell(&user["created"]),
            ]
        };
        let rows: Vec<_> = rows(users, "users").iter().map(row).collect();
        table(&["NAME", "EMAIL", "ADMIN", "STATE", "GROUPS", "CREATED"], &rows)
    });
    Ok(())
}

async fn show(args: &Named) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.get(&path(&["users", &args.name])?).await?;
    client.print(&answer, |user| {
        properties(&[
            ("name", cell(&user["name"])),
            ("email", cell(&user["email"])),
            ("admin", cell(&user["admin"])),
            ("disabled", cell(&user["disabled"])),
            ("groups", cell(&user["groups"])),
            ("created", cell(&user["created"])),
            ("password changed", cell(&user["password_changed"])),
        ])
    });
    Ok(())
}

async fn set(args: &UserSet) -> anyhow::Result<()> {
    let mut body = Map::new();
    if args.admin || args.no_admin {
        body.insert("admin".to_owned(), json!(args.admin));
    }
    if let Some(email) = &args.email {
        body.insert("email".to_owned(), json!(email));
    }
    if args.no_groups || !args.groups.is_empty() {
        body.insert("groups".to_owned(), json!(args.groups));
    }
    if body.is_empty() {
        return Err(Usage::error("there is nothing to change: see `gantry user set --help`"));
    }
    let client = Client::new(&args.at)?;
    let answer = client.patch(&path(&["users", &args.name])?, &Value::Object(body)).await?;
    client.print(&answer, |user| format!("{} is changed\n", cell(&user["name"])));
    Ok(())
}

async fn set_password(args: &UserPassword) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let password = password::new(args.password_stdin, &args.name)?;
    let mut body = json!({ "password": password });
    // Who is no admin changes only their own, and has to know it; the server decides who that is.
    let own = client.remote().and_then(Remote::credential);
    if let Some(own) = own {
        body["current_password"] = json!(own.password);
    }
    let answer = client.patch(&path(&["users", &args.name])?, &body).await?;
    client.print(&answer, |user| format!("{} has a new password\n", cell(&user["name"])));
    if own.is_some_and(|own| own.user == args.name) {
        tell("the credential file still has the old one: log in again\n");
    }
    Ok(())
}

async fn change(args: &Named, body: &Value, done: &str) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.patch(&path(&["users", &args.name])?, body).await?;
    client.print(&answer, |user| format!("{} {done}\n", cell(&user["name"])));
    Ok(())
}

async fn remove(args: &Named) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.delete(&path(&["users", &args.name])?).await?;
    client.print(&answer, |_| format!("{} is removed\n", args.name));
    Ok(())
}
