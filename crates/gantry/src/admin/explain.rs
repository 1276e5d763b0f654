//! `gantry explain`: may somebody do something, and why.

use std::process::ExitCode;

use super::client::Client;
use super::print::cell;
use super::target::Query;
use crate::args::ExplainArgs;

pub(super) async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.at)?;
    let (repository, tag) = split(&args.repository);
    let query = Query::default()
        .with("subject", Some(&args.subject))
        .with("action", Some(&args.action))
        .with("repository", Some(repository))
        .with("tag", tag);
    let answer = client.get(&query.on("/api/explain")).await?;
    let allowed = answer.value["allowed"] == true;
    client.print(&answer, |explained| {
        let may = if allowed { "may" } else { "may not" };
        let mut text = format!("{} {may} {} {}\n", args.subject, args.action, args.repository);
        for member in ["rule", "missing", "namespace", "visibility"] {
            if explained[member].as_str().is_some_and(|text| !text.is_empty()) {
                text.push_str(&format!("  {:<12}{}\n", format!("{member}:"), cell(&explained[member])));
            }
        }
        text
    });
    Ok(if allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A colon behind the last slash begins a tag.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_tag_is_told_from_the_repository() {
        assert_eq!(super::split("team/app"), ("team/app", None));
        assert_eq!(super::split("team/app:1.0"), ("team/app", Some("1.0")));
        assert_eq!(super::split("host:5000/app"), ("host:5000/app", None));
    }
}
