//! What is refused, and with which exit code: 1 by the server, 2 before anybody is asked.

use super::{Shell, administered, host};
use crate::harness::Gantry;

#[tokio::test]
async fn without_rights_or_credentials_nothing_is_administered() {
    let (app, beside, remote) = administered().await;
    beside.type_in(&["user", "add", "bob", "--password-stdin"], "battery staple").await.good();
    let commands = [
        &["user", "list"][..],
        &["user", "show", "root"],
        &["user", "add", "eve", "--admin", "--no-password"],
        &["user", "set", "bob", "--admin"],
        &["user", "disable", "root"],
        &["user", "remove", "root"],
        &["grant", "add", "bob", "admin", "/"],
        &["namespace", "create", "x"],
        &["storage", "list"],
        &["storage", "check", "default"],
        &["key", "list"],
        &["key", "rotate"],
        &["audit"],
        &["jobs"],
        &["explain", "root", "push", "x"],
    ];
    remote.login(&app, "bob", "battery staple").await.good();
    for command in commands {
        remote.run(command).await.code(1).says("(403, request ");
    }
    // One's own is one's own.
    remote.run(&["user", "show", "bob"]).await.good();
    let made = remote.run(&["token", "create", "--name", "mine", "--scope", "team/**:pull"]).await.good();
    remote.run(&["token", "list"]).await.good().prints("mine");
    remote
        .type_in(&["user", "password", "bob", "--password-stdin"], "another one")
        .await
        .good()
        .says("log in again");
    remote.run(&["token", "list"]).await.code(1).says("(401").says("with the credentials of bob from");

    // A token that is narrowed does not administer, not even by its owner's right.
    remote.login(&app, "bob", made.out.trim_end()).await.good();
    remote.run(&["token", "list"]).await.code(1).says("(403");

    remote.plain(&["logout", &host(&app)], "").await.good();
    for command in commands {
        remote.run(command).await.code(1).says("(401").says("`gantry login localhost:");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_a_usage_error() {
    let shell = Shell::beside(std::path::Path::new("nowhere"));
    for (words, says) in [
        (&["user"][..], "Usage: gantry user"),
        (&["user", "add"], "<NAME>"),
        (&["user", "add", "bob", "--password", "x"], "unexpected argument"),
        (&["user", "add", "bob"], "--password-stdin"),
        (&["user", "add", "bob", "--password-stdin"], "the password is empty"),
        (&["user", "set", "bob"], "nothing to change"),
        (&["user", "show", ".."], "is no name"),
        (&["token", "create"], "--name"),
        (&["token", "create", "--name", "x", "--robot", "ci"], "--scope"),
        (&["grant", "add", "bob", "fly", "x"], "[possible values: pull, push, delete, admin]"),
        (&["grant", "remove", "bob"], "SUBJECT ROLE PATTERN"),
        (&["namespace", "create", "x", "--visibility", "dim"], "[possible values: public, private, hidden]"),
        (&["namespace", "set", "x"], "nothing to change"),
        (&["explain", "bob", "fly", "x"], "[possible values: pull, push, delete]"),
        (&["audit", "--result", "maybe"], "[possible values: allowed, refused]"),
        (&["login"], "<HOST>"),
        (&["login", "localhost:1", "--password-stdin"], "--username"),
    ] {
        shell.plain(words, "").await.code(2).says(says);
    }
    for (server, says) in [
        ("http://registry.example.com", "over https only"),
        ("https://alice:secret@registry.example.com", "credentials do not belong into a URL"),
        ("registry.example.com", "expected https://HOST"),
        ("ftp://registry.example.com", "expected https://HOST"),
        ("https://registry.example.com/?x", "expected https://HOST"),
    ] {
        let done = shell.plain(&["user", "list", "--server", server], "").await.code(2).says(says);
        assert!(!done.err.contains("secret"), "{}", done.err);
    }
    shell
        .plain(&["user", "list", "--server", "https://localhost:1", "--config", "x"], "")
        .await
        .code(2)
        .says("cannot be used");
}

#[tokio::test]
async fn what_is_not_there_is_named_and_nothing_is_made_but_for_a_first_account() {
    let shell = Shell::beside(std::path::Path::new("nowhere"));
    let made = shell.home().join("nowhere");
    for words in
        [&["user", "list"][..], &["grant", "add", "bob", "pull", "/"], &["audit"], &["user", "show", "bob"]]
    {
        shell.run(words).await.code(1).says("there is no registry in nowhere");
        assert!(!made.exists());
    }
    shell
        .plain(&["user", "list", "--server", "https://localhost:1"], "")
        .await
        .code(1)
        .says("https://localhost:1");
    shell
        .run(&["user", "add", "a b", "--no-password"])
        .await
        .code(1)
        .says("new one is made")
        .says("not a name");
    // Also for a configuration with which a server does not start before there is an account.
    let words = ["user", "add", "bob", "--password-stdin", "--set", "server.listen=0.0.0.0:5000"];
    let done = shell.type_in(&words, "battery staple").await.good().says("this is the first account");
    assert!(done.err.contains("it is no admin, and may do nothing yet"), "{}", done.err);
    assert!(made.join("gantry.db").exists());
}

#[tokio::test]
async fn a_server_that_is_no_gantry_is_told_so() {
    let app = Gantry::start().await;
    let shell = Shell::beside(app.data());
    // The operator's address knows no API.
    let url = format!("http://{}", app.operator_address());
    shell.plain(&["user", "list", "--server", &url], "").await.code(1).says("(404");
}

/// `gantry audit | head -1`
#[tokio::test]
async fn a_reader_who_goes_away_is_no_error() {
    let app = Gantry::start().await;
    let shell = Shell::beside(app.data());
    shell.run(&["user", "add", "root", "--no-password"]).await.good();
    for words in [&["audit", "--json"][..], &["user", "list"], &["user", "list", "--json"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = shell.command(words);
        command.arg("--data").arg(app.data()).stdout(writer);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{words:?}: {}", output.status);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}
