//! docs/how-to/ldap.md: its configurations are checked, and the first is tried on a real directory.

use gantry_server::auth::Ldap;
use gantry_server::config::{Config, Sources, load};

use crate::harness::Gantry;
use crate::harness::page::{Page, shell};
use crate::harness::server::run_with;
use crate::harness::slapd::Slapd;
use crate::harness::tls::Authority;

/// Puts the keys of one block over those of another.
fn over(below: &str, above: &str) -> String {
    let parse = |text: &str| text.parse::<toml::Table>().expect("TOML");
    let (mut below, above) = (parse(below), parse(above));
    let table = |text: &toml::Table| text["auth"]["ldap"].as_table().expect("a table").clone();
    let mut merged = table(&below);
    merged.extend(table(&above));
    below["auth"]["ldap"] = toml::Value::Table(merged);
    below.to_string()
}

#[tokio::test]
async fn howto_ldap_configurations_are_right() {
    let dir = tempfile::tempdir().expect("a directory");
    let blocks = Page::read("ldap").blocks("toml");
    let file = dir.path().join("gantry.toml");
    for block in &blocks {
        std::fs::write(&file, over(&blocks[0], block)).expect("written");
        let arguments = ["config", "check", "--config", file.to_str().expect("a path")];
        let (status, out, err) = run_with(&[("LDAP_PASSWORD", "x")], &arguments).await;
        assert!(status.success(), "{block}\n{out}{err}");
        let arguments = ["config", "show", "--config", file.to_str().expect("a path")];
        let (_, shown, _) = run_with(&[("LDAP_PASSWORD", "hush")], &arguments).await;
        assert!(shown.contains("[auth.ldap") && !shown.contains("hush"), "{shown}");
    }
}

#[tokio::test]
async fn howto_ldap_logins() {
    let Some(slapd) = Slapd::start("howto_ldap_logins", &Authority::new()) else { return };
    let password = slapd.file("password");
    std::fs::write(&password, "searching\n").expect("written");
    let page = Page::read("ldap")
        .with("ldaps://ldap.example.com", &slapd.tls_url())
        .with("/etc/gantry/ldap-password", password.to_str().expect("a path"));
    let blocks = page.blocks("toml");
    let trusting = format!("[auth.ldap]\nca = {:?}\n", slapd.ca());
    let first = over(&blocks[0], &trusting);
    let by_mail = over(&first, &blocks[1]);
    let posix = over(&first, &blocks[2]);
    let listed = over(&first, &blocks[3]);
    for (settings, name, groups) in [
        (&first, "alice", &["Staff, EU", "ops"][..]),
        (&by_mail, "ann@example.com", &["Staff, EU", "ops"]),
        (&posix, "bob", &["unix"]),
        (&listed, "alice", &["Staff, EU", "ops"]),
    ] {
        let file = slapd.file("gantry.toml");
        std::fs::write(&file, settings).expect("written");
        let read = load(&Sources { file: Some(file), ..Sources::default() }).expect("settings");
        let config = Config::new(read, "data".into()).expect("a configuration");
        let ldap = Ldap::open(&config.ldap.expect("a directory")).expect("a directory");
        let password = if name == "bob" { "bob-secret" } else { "alice-secret" };
        let person = ldap.check(name, password.as_bytes()).await.expect("an answer").expect("somebody");
        assert_eq!(person.groups, groups, "{name}");
        assert_eq!(ldap.check(name, b"wrong").await, Ok(None));
    }
    let gantry = Gantry::options().file(&first).start().await;
    let [try_it] = page.blocks("sh").try_into().expect("one block to try it");
    let try_it = try_it.replace("https://registry.example.com", &format!("http://{}", gantry.address()));
    let (good, said) = shell(&try_it, gantry.dir(), &[("PASSWORD", "alice-secret")]);
    assert!(good, "{said}");
    assert!(!shell(&try_it, gantry.dir(), &[("PASSWORD", "wrong")]).0);
}
