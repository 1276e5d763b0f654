//! The short run: every target over its kept corpus and over seeded mutations of it. Runs on any toolchain, without libFuzzer.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gantry_fuzz::mutate::{Random, mutate};
use gantry_fuzz::{TARGETS, Target};

/// Mutations for each target: whole connections take longer.
const MUTATIONS: usize = 20_000;
const CONNECTIONS: usize = 600;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The corpus of a target, in the order of its names, so that each run does the same.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let entries =
        std::fs::read_dir(directory().join(target)).unwrap_or_else(|error| panic!("{target}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

fn guarded(name: &str, target: fn(&[u8]), bytes: &[u8]) {
    if std::panic::catch_unwind(|| target(bytes)).is_err() {
        panic!("{name} fails for {}", bytes.escape_ascii());
    }
}

fn short_run(targets: impl Iterator<Item = &'static Target>, mutations: usize) {
    for (name, target) in targets {
        let corpus = corpus(name);
        assert!(corpus.len() > 2, "{name} has no corpus");
        guarded(name, *target, b"");
        for bytes in &corpus {
            guarded(name, *target, bytes);
        }
        let mut random = Random::new(name.bytes().map(u64::from).sum());
        for number in 0..mutations {
            let other = &corpus[random.below(corpus.len())];
            guarded(name, *target, &mutate(&corpus[number % corpus.len()], other, &mut random));
        }
    }
}

#[test]
fn every_parser_keeps_its_promises_over_the_corpus_and_near_it() {
    let files = |name: &str| matches!(name, "config");
    short_run(TARGETS.iter().filter(|(name, _)| *name != "connection" && !files(name)), MUTATIONS);
    short_run(TARGETS.iter().filter(|(name, _)| files(name)), MUTATIONS / 10);
}

#[test]
fn whole_connections_end_well_over_the_corpus_and_near_it() {
    short_run(TARGETS.iter().filter(|(name, _)| *name == "connection"), CONNECTIONS);
}

/// The corpus is small, and of the targets that there are; each target has a program for libFuzzer.
#[test]
fn the_corpus_is_small_and_complete() {
    let names: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found =
        std::fs::read_dir(directory()).expect("the corpus").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(found.filter_map(|name| name.into_string().ok()).collect::<BTreeSet<_>>(), names);
    let size: usize = names.iter().flat_map(|name| corpus(name)).map(|bytes| bytes.len()).sum();
    assert!(size < 1 << 20, "{size} bytes");
    for name in &names {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz_targets/{name}.rs"));
        let text = std::fs::read_to_string(&program).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(text.contains(&format!("fuzz!(\"{name}\")")), "{name}");
    }
}
