//! Passwords and tokens are seen by nobody on the way.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::{Shell, administered};
use crate::harness::daemon::find;
use crate::harness::{Gantry, skipped};
use crate::ops::eventually;

#[tokio::test]
async fn secrets_are_in_no_process_listing_and_in_no_log() {
    let (app, beside, remote) = administered().await;
    let password = "s3cret-of-bob-7f2c";
    let mut child = beside
        .command(&["user", "add", "bob", "--password-stdin", "--data"])
        .arg(app.data())
        .spawn()
        .expect("the binary runs");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(password.as_bytes()).expect("it reads");
    let listed = |pid: u32| {
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        String::from_utf8_lossy(&[read("cmdline"), read("environ")].concat()).into_owned()
    };
    // It waits for the end of its input now.
    let seen = eventually("it runs", async || {
        Some(listed(child.id())).filter(|seen| seen.contains("password-stdin"))
    })
    .await;
    assert!(!seen.contains(password));
    drop(pipe);
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains(password));

    let create = ["token", "create", "--name", "x", "--owner", "bob", "--expires", "1h"];
    let token = remote.run(&create).await.good().out.trim_end().to_owned();
    remote.login(&app, "bob", password).await.good();
    remote.login(&app, "bob", &token).await.good();
    remote.login(&app, "bob", "wr0ng-guess-9e1d").await.code(1);
    // Where it does not belong.
    remote.login(&app, &token, "x").await.code(1);
    let audit = beside.run(&["audit", "-n", "0", "--json"]).await.good().out;
    let log = app.log();
    for secret in [password, &token, "wr0ng-guess-9e1d", "correct horse"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
        assert!(!audit.contains(secret), "{secret} in\n{audit}");
    }
}

/// At a terminal a password is asked for twice and not shown.
#[tokio::test]
async fn passwords_are_asked_for_without_being_shown() {
    if find("script").is_none() {
        return skipped(
            "passwords_are_asked_for_without_being_shown",
            "there is no script(1) to make a terminal",
        );
    }
    let app = Gantry::start().await;
    let shell = Shell::beside(app.data());
    let gantry = env!("CARGO_BIN_EXE_gantry");
    let command = format!("tty > tty; exec {gantry} user add root --admin --data {}", app.data().display());
    for (typed, code, says) in [
        ("correct horse\ncorrect house\n", 1, "two different passwords"),
        ("correct horse\ncorrect horse\n", 0, "the account root is made"),
    ] {
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(shell.home());
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        let mut terminal = child.stdin.take().expect("a pipe");
        let mut shown = child.stdout.take().expect("a pipe");
        let tty = shell.home().join("tty");
        let done = tokio::task::spawn_blocking(move || {
            let mut seen = Vec::new();
            let mut typed = typed.split_inclusive('\n');
            // Each line is typed when it is asked for.
            for prompt in ["New password for root: ", "Once more: "] {
                while !String::from_utf8_lossy(&seen).contains(prompt) {
                    let mut byte = [0];
                    assert!(
                        shown.read(&mut byte).expect("it shows") > 0,
                        "{}",
                        String::from_utf8_lossy(&seen)
                    );
                    seen.extend(byte);
                }
                // What is typed before the terminal is told not to show it would be shown.
                let hidden = || {
                    let tty = std::fs::read_to_string(&tty).expect("its name");
                    let state =
                        Command::new("stty").args(["-F", tty.trim(), "-a"]).output().expect("stty runs");
                    String::from_utf8_lossy(&state.stdout).contains(" -echo ")
                };
                assert!((0..2000).any(|_| hidden()), "the terminal shows what is typed");
                terminal.write_all(typed.next().expect("a line").as_bytes()).expect("it reads");
            }
            shown.read_to_end(&mut seen).expect("it shows");
            drop(terminal);
            (child.wait().expect("it ends").code(), String::from_utf8_lossy(&seen).into_owned())
        });
        let (ended, seen) = done.await.expect("it ends");
        assert_eq!(ended, Some(code), "{seen}");
        assert!(seen.contains(says) && !seen.contains("horse"), "{seen}");
    }
    app.client().basic("root", "correct horse").get("/v2/").await.status(200);
}

/// What a terminal would obey is shown, not sent.
#[tokio::test]
async fn control_characters_do_not_reach_the_terminal() {
    let shell = Shell::beside(std::path::Path::new("nowhere"));
    let done = shell.run(&["user", "show", "a\u{1b}[2J"]).await.code(1);
    assert!(!done.err.contains('\u{1b}'), "{:?}", done.err);
}
