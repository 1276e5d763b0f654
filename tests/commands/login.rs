//! `gantry login` and `logout`, and the credential files that docker and podman read too.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Shell, administered, host};
use crate::harness::daemon::find;
use crate::harness::tls::Authority;
use crate::harness::{Gantry, image, skipped};

fn read(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("the file")).expect("JSON")
}

#[tokio::test]
async fn login_writes_what_docker_reads_and_leaves_the_rest_alone() {
    let (app, _, shell) = administered().await;
    let host = host(&app);
    let encoded = STANDARD.encode("root:correct horse");
    assert_eq!(read(&shell.config()), json!({ "auths": { &host: { "auth": encoded } } }));
    let mode = |path: &std::path::Path| fs::metadata(path).expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode(&shell.config()), 0o600);
    assert_eq!(mode(&shell.home().join(".docker")), 0o700);

    let others = json!({
        "auths": { "other.example": { "auth": "eDp5" }, (format!("https://{host}/v1/")): { "auth": "b2xk" } },
        "HttpHeaders": { "X-Meta": "1" }, "psFormat": "table",
    });
    fs::write(shell.config(), others.to_string()).unwrap();
    fs::set_permissions(shell.config(), fs::Permissions::from_mode(0o644)).unwrap();
    shell.login(&app, "root", "correct horse\n").await.good().prints("logged in to localhost:");
    let now = read(&shell.config());
    assert_eq!(now["auths"], json!({ "other.example": { "auth": "eDp5" }, &host: { "auth": encoded } }));
    assert_eq!((&now["HttpHeaders"], &now["psFormat"]), (&others["HttpHeaders"], &others["psFormat"]));
    assert_eq!(mode(&shell.config()), 0o600);

    shell.plain(&["logout", &host], "").await.good();
    assert_eq!(read(&shell.config())["auths"], json!({ "other.example": { "auth": "eDp5" } }));
    shell.plain(&["logout", &host], "").await.good().says("no credentials for");
}

#[tokio::test]
async fn wrong_credentials_are_not_kept() {
    let (app, _, shell) = administered().await;
    let before = read(&shell.config());
    for (user, password) in [("root", "wrong"), ("nobody", "correct horse")] {
        shell.login(&app, user, password).await.code(1).says("not logged in").says("(401");
        assert_eq!(read(&shell.config()), before);
    }
    // A file that cannot be read is not replaced.
    fs::write(shell.config(), "{ \"auths\": ").unwrap();
    shell.login(&app, "root", "correct horse").await.code(1).says("config.json:1: not JSON");
    assert_eq!(fs::read_to_string(shell.config()).unwrap(), "{ \"auths\": ");
    // Without the authority's certificate nobody is talked to.
    let words = ["login", &host(&app), "--username", "root", "--password-stdin"];
    shell.plain(&words, "correct horse").await.code(1).says("https://localhost:");
}

#[tokio::test]
async fn accounts_of_a_file_log_in_too_and_http_is_for_this_machine() {
    let app = Gantry::options().account("alice", "secret").start().await;
    let shell = Shell::beside(app.data());
    let host = app.address().to_string();
    shell.plain(&["login", &host, "-u", "alice", "--password-stdin"], "secret\n").await.good();
    assert_eq!(read(&shell.config())["auths"][&host]["auth"], STANDARD.encode("alice:secret"));
    shell.plain(&["login", &host, "-u", "alice", "--password-stdin"], "wrong\n").await.code(1);
    let far = ["login", "http://registry.example.com", "-u", "alice", "--password-stdin"];
    shell.plain(&far, "secret").await.code(2).says("over https only");
}

#[tokio::test]
async fn credentials_are_found_where_docker_and_podman_keep_them() {
    let (app, _, shell) = administered().await;
    let entries = fs::read(shell.config()).unwrap();
    fs::remove_file(shell.config()).unwrap();
    shell.run(&["user", "list"]).await.code(1).says("there are no credentials");
    let place = |variable: &str, directory: &str, file: &str, value: &str| {
        let home = Authority::new();
        let mut other = Shell::remote(&app, &home);
        fs::copy(shell.ca_file(), other.ca_file()).unwrap();
        let directory = other.home().join(directory);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(file), &entries).unwrap();
        let value = other.home().join(value).display().to_string();
        other.variable(variable, &value);
        other
    };
    for other in [
        place("REGISTRY_AUTH_FILE", "a", "auth.json", "a/auth.json"),
        place("DOCKER_CONFIG", "b", "config.json", "b"),
        place("XDG_RUNTIME_DIR", "c/containers", "auth.json", "c"),
    ] {
        other.run(&["user", "list"]).await.good();
        let authfile = other.home().join("mine.json");
        let words = ["user", "list", "--authfile", authfile.to_str().unwrap()];
        other.run(&words).await.code(1).says("(401");
    }
    let mut empty = Shell::remote(&app, &Authority::new());
    for variable in ["REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "XDG_RUNTIME_DIR"] {
        empty.variable(variable, "");
    }
    fs::copy(shell.ca_file(), empty.ca_file()).unwrap();
    empty.login(&app, "root", "correct horse").await.good();
    assert!(empty.config().exists());
    empty.run(&["user", "list"]).await.good();
}

/// A helper that keeps secrets in a file, as its kind is spoken to.
const HELPER: &str = r#"#!/bin/sh
store="$HOME/kept"
echo "$0 $*" >> "$HOME/calls"
case $1 in
  get) host=$(cat); [ -e "$store" ] && grep -qF "\"$host\"" "$store" && cat "$store" && exit 0
       echo "credentials not found in native keychain"; exit 1 ;;
  store) cat > "$store" ;;
  erase) rm -f "$store" ;;
esac
"#;

#[tokio::test]
async fn credential_helpers_keep_the_secret_where_docker_is_told_to() {
    let (app, _, mut shell) = administered().await;
    let host = host(&app);
    let bin = shell.home().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("docker-credential-drawer"), HELPER).unwrap();
    fs::set_permissions(bin.join("docker-credential-drawer"), fs::Permissions::from_mode(0o755)).unwrap();
    shell.variable("PATH", &format!("{}:/usr/bin:/bin", bin.display()));
    for config in [json!({ "credsStore": "drawer" }), json!({ "credHelpers": { &host: "drawer" } })] {
        fs::write(shell.config(), config.to_string()).unwrap();
        shell.run(&["user", "list"]).await.code(1).says("there are no credentials");
        shell.login(&app, "root", "correct horse").await.good().prints("docker-credential-drawer");
        let written = fs::read_to_string(shell.config()).unwrap();
        assert!(!written.contains("auth\""), "{written}");
        assert_eq!(read(&shell.config())["auths"], json!({ &host: {} }));
        let kept = read(&shell.home().join("kept"));
        assert_eq!(kept, json!({ "ServerURL": host, "Username": "root", "Secret": "correct horse" }));
        shell.run(&["user", "list"]).await.good();
        shell.plain(&["logout", &host], "").await.good();
        assert!(!shell.home().join("kept").exists());
        assert_eq!(read(&shell.config())["auths"], json!({}));
    }
    let calls = fs::read_to_string(shell.home().join("calls")).unwrap();
    assert!(!calls.contains("correct horse") && calls.contains("store"), "{calls}");
    fs::write(shell.config(), json!({ "credsStore": "nowhere" }).to_string()).unwrap();
    shell.run(&["user", "list"]).await.code(1).says("docker-credential-nowhere");
}

/// Another program writes what this one reads, and the other way round.
#[tokio::test]
async fn skopeo_and_gantry_read_each_others_credentials() {
    const TEST: &str = "skopeo_and_gantry_read_each_others_credentials";
    let Some(skopeo) = find("skopeo") else { return skipped(TEST, "skopeo is not installed") };
    let app = Gantry::start().await;
    let shell = Shell::beside(app.data());
    let add = ["user", "add", "root", "--admin", "--password-stdin"];
    shell.type_in(&add, "correct horse").await.good();
    let authfile = shell.home().join("auth.json").display().to_string();
    let host = app.address().to_string();
    let skopeo = async |words: &[&str]| {
        let mut command = std::process::Command::new(&skopeo);
        command.args(words).args(["--authfile", &authfile, "--tls-verify=false"]).env("HOME", shell.home());
        let output =
            tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("skopeo runs");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let url = format!("http://{host}");
    let list = ["user", "list", "--server", &url, "--authfile", &authfile];
    let (good, said) = skopeo(&["login", &host, "--username", "root", "--password", "correct horse"]).await;
    assert!(good, "{said}");
    shell.plain(&list, "").await.good().prints("root");
    shell.plain(&["logout", &host, "--authfile", &authfile], "").await.good();

    let repo = app.client().basic("root", "correct horse").at("team/app");
    repo.push("v1", &image().build()).await;
    let tags = format!("docker://{host}/team/app");
    let (good, said) = skopeo(&["list-tags", &tags]).await;
    assert!(!good, "nobody is logged in: {said}");
    let login = ["login", &host, "-u", "root", "--password-stdin", "--authfile", &authfile];
    shell.plain(&login, "correct horse").await.good();
    let (good, said) = skopeo(&["list-tags", &tags]).await;
    assert!(good && said.contains("\"v1\""), "{said}");
    let (good, said) = skopeo(&["logout", &host]).await;
    assert!(good, "{said}");
    shell.plain(&list, "").await.code(1).says("there are no credentials");
}
