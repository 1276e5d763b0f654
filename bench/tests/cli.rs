//! What the program says to whoever runs it, and one scenario that needs nothing but itself.

#![expect(clippy::unwrap_used, reason = "what cannot be run has failed the test")]

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gantry-bench")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn an_unknown_scenario_is_an_error() {
    let output = bench(&["--only", "ping,speed"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("there is no scenario \"speed\""), "{}", text(&output.stderr));
}

#[test]
fn an_unknown_server_is_an_error() {
    let output = bench(&["--servers", "gantry,apache"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("apache"), "{}", text(&output.stderr));
}

#[test]
fn scenarios_are_listed() {
    let output = bench(&["--list"]);
    assert!(output.status.success());
    for name in ["ping", "blob-push-small-8", "growth", "steps"] {
        assert!(text(&output.stdout).lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
}

#[test]
fn a_server_that_is_not_there_is_left_out() {
    let output = bench(&["--only", "ping", "--servers", "nginx", "--tools", "/nonexistent"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("skipped: nginx"), "{}", text(&output.stdout));
}

#[test]
fn a_run_measures_and_writes_between_the_markers() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.md");
    std::fs::write(&page, "before\n<!-- bench begin -->\nold\n<!-- bench end -->\nafter\n").unwrap();
    let page_name = page.to_str().unwrap();
    let scratch = directory.path().to_str().unwrap();
    let arguments = ["--only", "ping,blob-get-small", "--servers", "hyper", "--seconds", "0.05"];
    let output =
        bench(&[&arguments[..], &["--rounds", "1", "--write", page_name, "--scratch", scratch]].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let written = std::fs::read_to_string(&page).unwrap();
    assert!(
        written.starts_with("before\n") && written.ends_with("after\n") && !written.contains("old"),
        "{written}"
    );
    assert!(
        written.contains("| ping | hyper |") && written.contains("| blob-get-small | hyper |"),
        "{written}"
    );
}
