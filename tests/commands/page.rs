//! `docs/commands.md` says of each command what `--help` says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md")
}

fn help(command: &str) -> String {
    let mut words: Vec<_> = command.split_whitespace().skip(1).collect();
    words.push("--help");
    let mut gantry = Command::new(env!("CARGO_BIN_EXE_gantry"));
    // Their values would be printed.
    gantry.args(&words).env_remove("GANTRY_DATA");
    let output = gantry.output().expect("the binary runs");
    assert!(output.status.success(), "{command}");
    String::from_utf8(output.stdout).expect("text")
}

/// What is the same for all commands stands on the page once.
fn own(help: &str) -> &str {
    help.split("\nCommon options:\n").next().unwrap_or_default().trim_end()
}

/// The page with each block that follows a heading of a command (`### gantry user add`) as it must be.
fn corrected(page: &str) -> String {
    let mut text = String::new();
    let mut lines = page.lines();
    let mut command = None;
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        if let Some(heading) = line.strip_prefix("### `") {
            command = heading.strip_suffix('`');
        } else if line == "```text" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            match command.take() {
                Some("the common options") => {
                    let help = help("gantry user list");
                    text.push_str(
                        help.split_once("\nCommon options:\n").expect("common options").1.trim_end(),
                    );
                }
                Some(command) => text.push_str(own(&help(command))),
                None => text.push_str(&block.join("\n")),
            }
            text.push_str("\n```\n");
        }
    }
    text
}

#[test]
fn docs_the_page_of_commands_is_what_help_prints() {
    let page = fs::read_to_string(file()).expect("the page");
    let corrected = corrected(&page);
    for (line, (is, must)) in page.lines().zip(corrected.lines()).enumerate() {
        assert_eq!(
            is,
            must,
            "docs/commands.md:{}: `cargo test -p gantry --test it -- --ignored docs_write` writes it",
            line + 1
        );
    }
    assert_eq!(page, corrected);
}

#[test]
#[ignore = "writes docs/commands.md"]
fn docs_write_the_page_of_commands() {
    let page = fs::read_to_string(file()).expect("the page");
    fs::write(file(), corrected(&page)).expect("written");
}

/// Each command of administration has its place.
#[test]
fn docs_the_page_of_commands_names_all_of_them() {
    let page = fs::read_to_string(file()).expect("the page");
    let names = |help: &str| -> Vec<String> {
        let list =
            help.split("\nCommands:\n").nth(1).unwrap_or_default().split("\n\n").next().unwrap_or_default();
        let name = |line: &str| line.strip_prefix("  ")?.split(' ').next().map(str::to_owned);
        list.lines().filter_map(name).filter(|name| !name.is_empty() && name != "help").collect()
    };
    let mut found = 0;
    for command in names(&help("gantry")) {
        let subcommands = names(&help(&format!("gantry {command}")));
        let with_page =
            !["serve", "config", "sweep", "verify", "healthcheck", "failpoints"].contains(&command.as_str());
        let all: Vec<_> = match subcommands.is_empty() {
            true => vec![format!("gantry {command}")],
            false => subcommands.iter().map(|below| format!("gantry {command} {below}")).collect(),
        };
        for command in all.iter().filter(|_| with_page) {
            assert!(page.contains(&format!("### `{command}`\n")), "docs/commands.md does not know {command}");
            found += 1;
        }
    }
    assert!(found > 25, "only {found} commands were found: has the form of --help changed?");
}
