//! The example file against the code, and what is said about mistakes.

use std::path::PathBuf;

use ipnet::IpNet;

use super::settings::{self, Settings};
use super::value::Address;
use gantry_oci::access::{TagPattern, Visibility};

use super::*;

/// Lists the keys of a table; a value is one key.
pub(super) trait Keys {
    fn keys(path: &str, found: &mut Vec<String>);
}

macro_rules! one_key {
    ($($type:ty),* $(,)?) => {$(
        impl Keys for $type {
            fn keys(path: &str, found: &mut Vec<String>) {
                found.push(path.trim_start_matches('.').to_owned());
            }
        }
    )*};
}
one_key!(
    bool,
    usize,
    Address,
    ByteSize,
    Limit,
    OptionalAddress,
    OptionalSpan,
    Rate,
    Span,
    StorageName,
    String,
    Option<bool>,
    v1::PlatformName,
    Option<Visibility>,
    Vec<TagPattern>,
    TlsVersion,
    LogFormat,
    LogLevel,
    MethodRole,
    ClientCertificates,
    Option<CertificateUser>,
    Option<Secret>,
    Option<String>,
    Option<PathBuf>,
    Option<Anonymous>,
    Vec<IpNet>,
    Vec<Alpn>,
    Vec<String>,
    Vec<Deletable>,
    Vec<OidcRule>,
    Texts,
);

/// A list of tables has the keys of its tables.
macro_rules! list_of_tables {
    ($($type:ty),* $(,)?) => {$(
        impl Keys for Vec<$type> {
            fn keys(path: &str, found: &mut Vec<String>) {
                <$type as Keys>::keys(path, found);
            }
        }
    )*};
}
list_of_tables!(IssuerSettings, OidcSettings, NamespaceEntry);

/// The keys of a file; a value that is a table by itself is one of `expected`.
fn keys_of(text: &str, expected: &[String]) -> Vec<String> {
    fn walk(path: &str, table: &toml::Table, expected: &[String], found: &mut Vec<String>) {
        for (key, value) in table {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match value {
                _ if expected.contains(&path) => found.push(path),
                toml::Value::Table(table) => walk(&path, table, expected, found),
                toml::Value::Array(list) if list.iter().any(toml::Value::is_table) => {
                    for table in list.iter().filter_map(toml::Value::as_table) {
                        walk(&path, table, expected, found);
                    }
                }
                _ => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    walk("", &toml::from_str(text).unwrap(), expected, &mut found);
    found.sort();
    found
}

/// The example with its commented keys taken in.
fn uncommented() -> String {
    let is_key = |line: &str| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let is_table = |line: &str| line.starts_with('[') && line.ends_with(']');
    let line = |line| match str::strip_prefix(line, "# ") {
        Some(rest) if is_key(rest) || is_table(rest) => rest,
        _ => line,
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_holds_every_key_with_its_default() {
    let mut expected = Vec::new();
    settings::Settings::keys("", &mut expected);
    expected.sort();
    assert_eq!(keys_of(&uncommented(), &expected), expected);
    assert_eq!(toml::from_str::<Settings>(EXAMPLE).unwrap(), Settings::default());
    toml::from_str::<Settings>(&uncommented()).unwrap();
}

fn sources(arguments: &[&str]) -> Sources {
    Sources {
        arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        ..Sources::default()
    }
}

fn error_of(file: &str) -> String {
    let path = std::env::temp_dir().join(format!("gantry-config-{}.toml", uuid::Uuid::new_v4()));
    std::fs::write(&path, file).unwrap();
    let error = load(&Sources { file: Some(path.clone()), ..Sources::default() }).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    error.replace(&path.display().to_string(), "FILE")
}

#[test]
fn mistakes_in_the_file_are_told_with_line_and_expectation() {
    let error = error_of("[server]\nlisten = \"127.0.0.1:5000\"\nlisden = 1\n");
    assert!(error.starts_with("FILE:3: unknown field `lisden`, expected one of `listen`"), "{error}");
    assert!(error.contains("3 | lisden = 1"), "{error}");
    let error = error_of("[limits]\n\nmanifest = \"4 furlongs\"\n");
    assert!(error.starts_with("FILE:3:") && error.contains("4MiB"), "{error}");
    let error = error_of("[auth]\nanonymous = \"maybe\"\n");
    assert!(error.starts_with("FILE:2:") && error.contains("`read`"), "{error}");
    let error = error_of("[storage.default.local]\n[storage.Archive.local]\npath = \"/x\"\n");
    assert!(error.starts_with("FILE:2: `Archive` is not a name for a storage"), "{error}");
    let error = error_of("[storage.archive.local]\npat = \"/x\"\n");
    assert!(error.starts_with("FILE:2: unknown field `pat`, expected `path`"), "{error}");
    let error = error_of("[storage.archive.tape]\n");
    assert!(error.starts_with("FILE:1: unknown field `tape`, expected `local`"), "{error}");
    let error = error_of("[[namespace]]\nprefix = \"a\"\n[[namespace]]\nstorage = \"a b\"\n");
    assert!(error.starts_with("FILE:4: `a b` is not a name for a storage"), "{error}");
    let error = error_of("[server\n");
    assert!(error.starts_with("FILE:1:"), "{error}");
}

#[test]
fn later_sources_win_and_errors_name_them() {
    let environment = vec![
        ("GANTRY__SERVER__LISTEN".to_owned(), "127.0.0.1:7000".to_owned()),
        ("GANTRY__LIMITS__CONNECTIONS".to_owned(), "7".to_owned()),
    ];
    let all = Sources {
        environment,
        ..sources(&["server.listen=127.0.0.1:8000", "server.trusted_proxies=[\"10.0.0.0/8\"]"])
    };
    let settings = load(&all).unwrap();
    assert_eq!(settings.server.listen.0.port(), 8000);
    assert_eq!(settings.server.trusted_proxies.len(), 1);
    assert_eq!(settings.limits.connections, 7);

    for (argument, told) in [
        ("server.lisden=1", "unknown field `lisden`"),
        ("limits.connections=many", "expected usize"),
        ("nonsense", "SECTION.KEY=VALUE"),
        ("=1", "expected a key"),
    ] {
        let error = load(&sources(&[argument])).unwrap_err().to_string();
        assert!(error.starts_with(&format!("--set {argument}: ")) && error.contains(told), "{error}");
    }
}

fn config(arguments: &[&str]) -> Result<Config, String> {
    let settings = load(&sources(arguments)).map_err(|error| error.to_string())?;
    Config::new(settings, PathBuf::from("data")).map_err(|error| error.to_string())
}

#[test]
fn what_cannot_work_is_refused() {
    for (arguments, told) in [
        (&["storage.archive.local={}"][..], "storage.archive.local.path is missing"),
        (&["namespace=[{prefix=\"a\", storage=\"archive\"}]"], "add [storage.archive.local]"),
        (&["namespace=[{prefix=\"a\"}, {prefix=\"a\"}]"], "namespace `a` is there twice"),
        (&["namespace=[{prefix=\"a/\"}]"], "namespace `a/` is no prefix"),
        (&["server.tls.certificate=a"][..], "server.tls.key"),
        (&["server.tls.key=a"], "server.tls.certificate"),
        (&["server.tls.alpn=[]"], "server.tls.alpn"),
        (&["server.proxy_protocol=true"], "trusted_proxies"),
        (&["server.public_url=registry.example.com"], "server.public_url"),
        (&["server.public_url=ftp://x"], "server.public_url"),
        (&["registry.manifest_types=[\"nonsense\"]"], "registry.manifest_types"),
        (&["limits.manifest=0"], "limits.manifest"),
        (&["limits.inline_blob=1GiB"], "limits.inline_blob"),
        (&["limits.tags_page=0"], "limits.tags_page"),
        (&["limits.burst=3"], "limits.burst"),
        (&["limits.idle_timeout=1ms"], "limits.idle_timeout"),
        (&["sweep.upload_expiry=1ms"], "sweep.upload_expiry"),
        (&["verify.interval=1ms"], "verify.interval"),
        (&["verify.rate=0"], "verify.rate"),
    ] {
        let refusal = config(arguments).unwrap_err();
        assert!(refusal.contains(told), "{arguments:?}: {refusal}");
    }
    let ldap = |settings: &[&'static str]| [&["auth.ldap.user_base=ou=people"], settings].concat();
    let certificates =
        |settings: &[&'static str]| [&["server.tls.certificate=a", "server.tls.key=b"], settings].concat();
    for (arguments, told) in [
        (ldap(&[]), "auth.ldap.url is missing"),
        (vec!["auth.ldap.url=ldap://127.0.0.1"], "auth.ldap.user_base"),
        (ldap(&["auth.ldap.url=http://x"]), "auth.ldap.url"),
        (ldap(&["auth.ldap.url=ldap.example.com"]), "auth.ldap.url"),
        (ldap(&["auth.ldap.url=ldaps://x/dc=x?uid"]), "auth.ldap.url"),
        (ldap(&["auth.ldap.url=ldaps://cn:secret@x"]), "auth.ldap.url"),
        (ldap(&["auth.ldap.url=ldap://192.0.2.1"]), "unencrypted"),
        (ldap(&["auth.ldap.url=ldap://localhost.example.com"]), "unencrypted"),
        (ldap(&["auth.ldap.url=ldaps://[2001:db8::1]"]), "the name of the host"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.start_tls=true"]), "auth.ldap.start_tls"),
        (ldap(&["auth.ldap.url=ldap://localhost", "auth.ldap.ca=x"]), "auth.ldap.ca"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.bind_dn=cn=x"]), "auth.ldap.bind_password"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.bind_password=x"]), "auth.ldap.bind_dn"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.user_filter=(uid=alice)"]), "auth.ldap.user_filter"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.user_filter=uid={})"]), "auth.ldap.user_filter"),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.user_attribute=*"]), "auth.ldap.user_attribute"),
        (
            ldap(&[
                "auth.ldap.url=ldaps://x",
                "auth.ldap.group_base=o=x",
                "auth.ldap.group_filter=((member={dn})",
            ]),
            "auth.ldap.group_filter",
        ),
        (ldap(&["auth.ldap.url=ldaps://x", "auth.ldap.timeout=1h"]), "auth.ldap.timeout"),
        (certificates(&["server.tls.client_ca=c"]), "server.tls.client_certificates"),
        (certificates(&["server.tls.client_certificates=required"]), "server.tls.client_ca"),
        (vec!["server.tls.client_certificates=optional", "server.tls.client_ca=c"], "server.tls.certificate"),
        (certificates(&["auth.client_certificates.user=cn"]), "auth.client_certificates.user"),
    ] {
        let refusal = config(&arguments).unwrap_err();
        assert!(refusal.contains(told), "{arguments:?}: {refusal}");
    }
    for (url, meant) in [
        ("ldap://127.0.0.1", "ldap://127.0.0.1:389"),
        ("ldap://[::1]:3890/", "ldap://[::1]:3890"),
        ("ldaps://ldap.example.com", "ldaps://ldap.example.com:636"),
    ] {
        let url = format!("auth.ldap.url={url}");
        assert_eq!(config(&["auth.ldap.user_base=o=x", &url]).unwrap().ldap.unwrap().url, meant);
    }
    let plain = ["auth.ldap.url=ldap://x", "auth.ldap.allow_plain=true", "auth.ldap.user_base=o=x"];
    assert!(!config(&plain).unwrap().ldap.unwrap().encrypted);
    assert_eq!(config(&["verify.interval=off"]).unwrap().settings.verify.interval.0, None);
    assert_eq!(config(&["server.public_url=https://x.example/r/"]).unwrap().base_path, "/r");
    assert_eq!(config(&["server.public_url=https://x.example"]).unwrap().base_path, "");
}
