//! Passwords and tokens are seen by nobody on the way.

use std::io::Write as _;

use super::{Shell, administered};
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

/// What a terminal would obey is shown, not sent.
#[tokio::test]
async fn control_characters_do_not_reach_the_terminal() {
    let shell = Shell::beside(std::path::Path::new("nowhere"));
    let done = shell.run(&["user", "show", "a\u{1b}[2J"]).await.code(1);
    assert!(!done.err.contains('\u{1b}'), "{:?}", done.err);
}
