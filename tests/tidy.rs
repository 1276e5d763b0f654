//! The invariants of ARCHITECTURE.md, read off the source: which way names may point, and what must be absent where.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All Rust files below a directory of the repository, with their paths from there.
fn sources(directory: &str) -> Vec<(String, String)> {
    fn walk(directory: &Path, base: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, base, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(base).unwrap().display().to_string();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let base = root().join(directory);
    let mut found = Vec::new();
    walk(&base, &base, &mut found);
    assert!(!found.is_empty(), "no sources in {directory}");
    found
}

/// Lines that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Fails with every line below `directory` that `wrong` finds.
fn forbid(directory: &str, why: &str, wrong: impl Fn(&str, &str) -> bool) {
    let mut found = Vec::new();
    for (file, text) in sources(directory) {
        found.extend(
            code(&text)
                .filter(|line| wrong(&file, line))
                .map(|line| format!("{directory}/{file}: {}", line.trim())),
        );
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn tidy_crates_depend_downwards() {
    for (name, allowed) in [
        ("gantry-oci", &[][..]),
        ("gantry-storage", &["gantry-oci"]),
        ("gantry-server", &["gantry-oci", "gantry-storage"]),
        ("gantry", &["gantry-server"]),
    ] {
        let manifest = fs::read_to_string(root().join(format!("crates/{name}/Cargo.toml"))).unwrap();
        let (dependencies, _) = manifest.split_once("[dev-dependencies]").unwrap_or((&manifest, ""));
        let named: BTreeSet<_> = dependencies
            .lines()
            .filter_map(|line| line.split(['.', ' ', '=']).next())
            .filter(|word| word.starts_with("gantry-"))
            .collect();
        assert_eq!(named, allowed.iter().copied().collect(), "{name}");
    }
}

#[test]
fn tidy_server_modules_name_only_lower_ones() {
    // As in gantry-server/src/lib.rs: a row may name the rows above it, and itself.
    const LAYERS: &[&[&str]] = &[
        &["config", "observe"],
        &["auth", "policy"],
        &["registry"],
        &["upstream"],
        &["jobs"],
        &["app"],
        &["http"],
        &["v2", "v1", "token", "admin"],
        &["serve"],
        &["local"],
        &["fuzzing"],
    ];
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut wrong = Vec::new();
    for (file, text) in sources("crates/gantry-server/src") {
        let module = file.split(['/', '.']).next().unwrap().to_owned();
        let Some(own) = layer(&module) else {
            assert_eq!(module, "lib", "{file} has no place in the layers");
            continue;
        };
        for line in code(&text) {
            for path in line.split("crate::").skip(1) {
                let named: String =
                    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
                if layer(&named).is_some_and(|named| named > own) {
                    wrong.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "these point up:\n{}", wrong.join("\n"));
}

#[test]
fn tidy_the_vocabulary_does_no_io() {
    forbid("crates/gantry-oci/src", "gantry-oci has no I/O and no async runtime", |_, line| {
        ["tokio", "std::fs", "TcpStream", "async fn", "std::io"].iter().any(|word| line.contains(word))
    });
}

#[test]
fn tidy_the_store_knows_no_http() {
    forbid("crates/gantry-storage/src", "gantry-storage does not know HTTP", |_, line| {
        ["http::", "hyper", "StatusCode"].iter().any(|word| line.contains(word))
    });
}

#[test]
fn tidy_sql_stands_in_meta_only() {
    let sql = |line: &str| {
        ["SELECT ", "INSERT ", "DELETE FROM", "CREATE TABLE", "PRAGMA "]
            .iter()
            .any(|word| line.contains(word))
    };
    forbid("crates/gantry-storage/src", "SQL stands in meta/", |file, line| {
        !file.starts_with("meta/") && sql(line)
    });
    forbid("crates/gantry-server/src", "SQL stands in gantry-storage/src/meta/", |_, line| sql(line));
}

#[test]
fn tidy_the_registry_speaks_no_http() {
    forbid("crates/gantry-server/src/registry", "registry/ names no HTTP", |_, line| {
        ["http::", "http_body", "hyper", "StatusCode", "HeaderMap"].iter().any(|word| line.contains(word))
    });
}

#[test]
fn tidy_only_dispatch_redeems_permits() {
    forbid("crates/gantry-server/src", "permits are redeemed by dispatch", |file, line| {
        line.contains(".redeem()") && file != "v2/mod.rs"
    });
}

#[test]
fn tidy_error_bodies_are_built_in_one_place() {
    forbid("crates/gantry-server/src", "error bodies are built in http/error.rs", |file, line| {
        line.contains("ErrorDocument") && file != "http/error.rs"
    });
}

#[test]
fn tidy_nothing_is_unsafe() {
    for directory in ["crates", "tests", "torture"] {
        forbid(directory, "no unsafe", |_, line| line.contains(concat!("un", "safe ")));
    }
}
