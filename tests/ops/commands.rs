//! `gantry config`, `gantry healthcheck`, and what is said when `gantry serve` does not start.

use crate::harness::Gantry;
use crate::harness::server::{run, run_with};

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), text).expect("written");
    file
}

#[tokio::test]
async fn config_check_names_file_line_and_expectation() {
    let good = file("[limits]\nmanifest = \"8MiB\"\n");
    let (status, out, _) = run(&["config", "check", "--config", good.path().to_str().expect("a path")]).await;
    assert!(status.success() && out.contains("fine"));

    let bad = file("[server]\nlisten = \"127.0.0.1:5000\"\n\n[limits]\nmanifesto = 1\n");
    let (status, _, err) = run(&["config", "check", "--config", bad.path().to_str().expect("a path")]).await;
    assert_eq!(status.code(), Some(1));
    assert!(
        err.contains(":5: unknown field `manifesto`") && err.contains("expected one of `manifest`"),
        "{err}"
    );

    let (status, _, err) = run(&["config", "check", "--config", "/nowhere/gantry.toml"]).await;
    assert!(status.code() == Some(1) && err.contains("/nowhere/gantry.toml"), "{err}");
    let (status, ..) = run(&["config", "nonsense"]).await;
    assert_eq!(status.code(), Some(2), "usage errors exit 2");
}

#[tokio::test]
async fn config_show_prints_what_is_in_force_and_the_example_is_a_configuration() {
    let (status, out, _) =
        run(&["config", "show", "--set", "limits.manifest=8MiB", "--set", "log.format=json"]).await;
    assert!(status.success());
    assert!(
        out.contains("manifest = \"8MiB\"") && out.contains("format = \"json\"") && out.contains("[sweep]"),
        "{out}"
    );

    let (status, example, _) = run(&["config", "example"]).await;
    assert!(status.success());
    let example = file(&example);
    let (status, _, err) =
        run(&["config", "check", "--config", example.path().to_str().expect("a path")]).await;
    assert!(status.success(), "{err}");
}

#[tokio::test]
async fn healthcheck_exits_0_or_1() {
    let app = Gantry::start().await;
    let operator =
        app.greeting().lines().find_map(|line| line.trim().strip_prefix("operator")).expect("a line").trim();
    let (status, ..) = run(&["healthcheck", &format!("{operator}/readyz")]).await;
    assert!(status.success());
    let (status, ..) = run(&["healthcheck", &format!("http://{}/healthz", app.address())]).await;
    assert!(status.success());
    let (status, _, err) = run(&["healthcheck", &format!("{operator}/nothing")]).await;
    assert!(status.code() == Some(1) && err.contains("404"), "{err}");
    drop(app);
    let (status, ..) = run(&["healthcheck", "--timeout", "1", "http://127.0.0.1:1/readyz"]).await;
    assert_eq!(status.code(), Some(1));
}

/// The safe default: beyond loopback somebody must have said who may do what.
#[tokio::test]
async fn an_open_door_to_the_network_is_refused_with_the_ways_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let data = data.to_str().expect("a path");
    let (status, _, err) = run(&["serve", "--listen", "0.0.0.0:0", "--data", data]).await;
    assert_eq!(status.code(), Some(1));
    for way in ["gantry user add", "GANTRY_ADMIN_PASSWORD_FILE", "htpasswd", "anonymous = \"write\""] {
        assert!(err.contains(way), "{way} in\n{err}");
    }
    assert!(!dir.path().join("data").exists(), "nothing is made before it is allowed");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let app = Gantry::shared().await;
    let dir = tempfile::tempdir().expect("a directory");
    let (address, data) = (app.address().to_string(), dir.path().join("data"));
    let (status, _, err) =
        run(&["serve", "--listen", &address, "--data", data.to_str().expect("a path")]).await;
    assert_eq!(status.code(), Some(1));
    assert!(err.contains(&address) && err.contains("server.listen"), "{err}");
}

/// The start-up lines tell a newcomer what to type.
#[tokio::test]
async fn the_greeting_says_where_what_who_and_how() {
    let app = Gantry::start().await;
    let greeting = app.greeting();
    for part in [
        "is ready",
        "registry   http://127.0.0.1:",
        "operator   http://127.0.0.1:",
        "everybody may pull and push",
        "docker push localhost:",
    ] {
        assert!(greeting.contains(part), "{part} in\n{greeting}");
    }
    assert!(greeting.contains(app.data().to_str().expect("a path")));
}

/// A plan that nobody would follow must not pass for a test.
#[tokio::test]
async fn a_bad_failpoint_is_refused_at_the_start_with_what_is_known() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    for (plan, says) in [
        ("tag.put:1", "group.committed"),
        ("tag.set:zero", "expected the number of the pass"),
        ("tag.set:1:explode", "abort, eio, enospc, sleep=MS, pause"),
    ] {
        for command in ["serve", "sweep", "verify"] {
            let variables = [("GANTRY_FAIL_AT", plan)];
            let arguments =
                [command, "--set", "server.listen=127.0.0.1:0", "--data", data.to_str().expect("a path")];
            let (status, _, err) = run_with(&variables, &arguments).await;
            assert_eq!(status.code(), Some(1), "{command} {plan}");
            assert!(err.contains("GANTRY_FAIL_AT") && err.contains(says), "{command} {plan}: {err}");
            assert!(!data.exists(), "nothing is made before the plan is understood");
        }
    }
    let (status, list, _) = run(&["failpoints"]).await;
    assert!(
        status.success() && list.contains("publish.renamed ") && list.contains("group.commit "),
        "{list}"
    );
}
