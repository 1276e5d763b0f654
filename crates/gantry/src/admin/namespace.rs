//! `gantry namespace`: rules for all repositories below a prefix.

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::Usage;
use super::client::Client;
use super::print::{cell, properties, rows, table};
use super::target::{Query, path};
use crate::args::{NamespaceChange, NamespaceCommand, NamespaceRemove, Plain, Prefixed};
use crate::tell;

pub(super) async fn run(command: &NamespaceCommand) -> anyhow::Result<ExitCode> {
    match command {
        NamespaceCommand::Create(args) => create(args).await,
        NamespaceCommand::List(args) => list(args).await,
        NamespaceCommand::Show(args) => show(args).await,
        NamespaceCommand::Set(args) => set(args).await,
        NamespaceCommand::Remove(args) => remove(args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn create(args: &NamespaceChange) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let mut body = written(args);
    body.insert("prefix".to_owned(), json!(args.prefix));
    if let Some(tags) = tags(args, &Value::Null) {
        body.insert("tags".to_owned(), tags);
    }
    let answer = client.post("/api/namespaces", Some(&Value::Object(body))).await?;
    client.print(&answer, |namespace| {
        let [prefix, visibility] = ["prefix", "visibility"].map(|member| cell(&namespace[member]));
        format!("the namespace {prefix} is there, and {visibility}\n")
    });
    Ok(())
}

async fn list(args: &Plain) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.list("/api/namespaces", "namespaces", &Query::default(), "after").await?;
    client.print(&answer, |namespaces| {
        let row = |namespace: &Value| {
            let mut row: Vec<_> =
                ["prefix", "visibility", "storage"].iter().map(|column| cell(&namespace[*column])).collect();
            row.extend(["immutable", "protected"].iter().map(|column| cell(&namespace["tags"][*column])));
            row.extend(["origin", "description"].iter().map(|column| cell(&namespace[*column])));
            row
        };
        let rows: Vec<_> = rows(namespaces, "namespaces").iter().map(row).collect();
        table(&["PREFIX", "VISIBILITY", "STORAGE", "IMMUTABLE", "PROTECTED", "ORIGIN", "DESCRIPTION"], &rows)
    });
    Ok(())
}

async fn show(args: &Prefixed) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let answer = client.get(&path(&["namespaces", &args.prefix])?).await?;
    client.print(&answer, |namespace| {
        properties(&[
            ("prefix", cell(&namespace["prefix"])),
            ("visibility", cell(&namespace["visibility"])),
            ("storage", cell(&namespace["storage"])),
            ("immutable tags", cell(&namespace["tags"]["immutable"])),
            ("protected tags", cell(&namespace["tags"]["protected"])),
            ("description", cell(&namespace["description"])),
            ("origin", cell(&namespace["origin"])),
        ])
    });
    Ok(())
}

async fn set(args: &NamespaceChange) -> anyhow::Result<()> {
    let client = Client::new(&args.at)?;
    let target = path(&["namespaces", &args.prefix])?;
    let mut body = written(args);
    if tags(args, &Value::Null).is_some() {
        let now = client.get(&target).await?;
        body.extend(tags(args, &now.value["tags"]).map(|tags| ("tags".to_owned(), tags)));
    }
    if body.is_empty() {
        return Err(Usage::error("there is nothing to change: see `gantry namespace set --help`"));
    }
    let answer = client.patch(&target, &Value::Object(body)).await?;
    client.print(&answer, |_| format!("the namespace {} is changed\n", args.prefix));
    let job = &answer.value["job"];
    if !client.json() && !job.is_null() {
        let job = cell(job.get("id").unwrap_or(job));
        tell(format_args!(
            "what it holds is moved to the other storage on the side: `gantry jobs {job}` says how far\n"
        ));
    }
    Ok(())
}

async fn remove(args: &NamespaceRemove) -> anyhow::Result<()> {
    let NamespaceRemove { namespace, force } = args;
    let client = Client::new(&namespace.at)?;
    let mut target = path(&["namespaces", &namespace.prefix])?;
    if *force {
        target.push_str("?force=true");
    }
    let answer = client.delete(&target).await?;
    client.print(&answer, |_| format!("the namespace {} is removed\n", namespace.prefix));
    Ok(())
}

/// What was given, but for the tags.
fn written(args: &NamespaceChange) -> Map<String, Value> {
    let given =
        [("storage", &args.storage), ("visibility", &args.visibility), ("description", &args.description)];
    let given =
        given.into_iter().filter_map(|(member, value)| Some((member.to_owned(), json!(value.as_ref()?))));
    given.collect()
}

/// The rules for tags, with those that are now where none are given; nothing when none are given at all.
fn tags(args: &NamespaceChange, now: &Value) -> Option<Value> {
    let kinds = [
        ("immutable", &args.immutable, args.no_immutable),
        ("protected", &args.protected, args.no_protected),
    ];
    if kinds.iter().all(|(_, patterns, none)| patterns.is_empty() && !none) {
        return None;
    }
    let rules = kinds.into_iter().map(|(kind, patterns, none)| {
        let stays = patterns.is_empty() && !none && now[kind].is_array();
        (kind.to_owned(), if stays { now[kind].clone() } else { json!(patterns) })
    });
    Some(Value::Object(rules.collect()))
}
