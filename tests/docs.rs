//! The protocol reference and the security page against the sources: what it names is there, what is there is named, and no rule goes unheld.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The names of the tests below a directory of the repository.
fn tests_below(directory: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(tests_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut is_test = false;
            for line in fs::read_to_string(&path).unwrap().lines().map(str::trim) {
                is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
                if let Some(signature) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") {
                    let name = signature.split('(').next().unwrap_or_default();
                    if std::mem::take(&mut is_test) {
                        found.insert(name.to_owned());
                    }
                }
            }
        }
    }
    found
}

/// Whether text is a letter of `letters`, a separator and a number, and whatever may follow.
fn begins_like_an_id(text: &str, letters: &str, separator: &str) -> bool {
    let mut rest = text.chars();
    let letter = rest.next().is_some_and(|letter| letters.contains(letter));
    letter
        && rest
            .as_str()
            .strip_prefix(separator)
            .is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()))
}

/// `T7`, `E-2.5`, and the sections `2.2` and `2.3`.
fn is_id(cell: &str) -> bool {
    begins_like_an_id(cell, "T", "") || begins_like_an_id(cell, "EXG", "-") || cell.starts_with("2.")
}

/// `t7_…`, `e_2_5_…`
fn is_named_after_an_id(test: &str) -> bool {
    begins_like_an_id(test, "t", "") || begins_like_an_id(test, "exg", "_")
}

/// A line of a table with at least three cells, of which the first is an ID: that, and the cell of the tests. Lines of two cells, as
/// in the list of what is not there yet, are no rules.
fn rule(line: &str) -> Option<(&str, &str)> {
    let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
    match cells[..] {
        [id, _, .., held_by] if is_id(id) => Some((id, held_by)),
        _ => None,
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn docs_the_protocol_reference_names_the_tests_that_hold_it() {
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    let tests = tests_below(&root().join("tests"));
    let all: BTreeSet<_> = tests_below(&root().join("crates")).union(&tests).cloned().collect();
    let rules: Vec<_> = page.lines().filter_map(rule).collect();
    assert!(rules.len() > 150, "only {} rules were found: has the form of the tables changed?", rules.len());

    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for (id, held_by) in &rules {
        let (good, gone): (Vec<_>, Vec<_>) = quoted(held_by).partition(|test| all.contains(*test));
        wrong.extend(gone.iter().map(|test| format!("{id} names {test}, which is not there")));
        if good.is_empty() && gone.is_empty() && !held_by.starts_with("by design: ") {
            wrong.push(format!("{id} has neither a test nor a reason (`by design: ...`) why there is none"));
        }
        named.extend(good);
    }
    let unnamed = tests.iter().filter(|test| is_named_after_an_id(test) && !named.contains(test.as_str()));
    wrong.extend(unnamed.map(|test| format!("{test} is named after an ID, but the page does not name it")));
    assert!(wrong.is_empty(), "docs/protocol.md:\n{}", wrong.join("\n"));
}

#[test]
fn docs_the_security_page_names_tests_that_are_there() {
    let page = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let tests = tests_below(&root().join("tests"));
    let mut named = BTreeSet::new();
    let mut wrong = Vec::new();
    for line in page.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else { continue };
        let cells: Vec<_> = cells.split(" | ").collect();
        let [class, .., held_by] = cells[..] else { continue };
        if ["class", "by design"].contains(&class) || held_by == "held by" || held_by == "by design" {
            continue;
        }
        let (good, gone): (Vec<_>, Vec<_>) = quoted(held_by).partition(|test| tests.contains(*test));
        wrong.extend(gone.iter().map(|test| format!("{class} names {test}, which is not there")));
        if good.is_empty() && gone.is_empty() {
            wrong.push(format!("{class} names no test"));
        }
        named.extend(good);
    }
    assert!(named.len() > 40, "only {} tests were found: has the form of the tables changed?", named.len());
    let unnamed =
        tests_below(&root().join("tests/hostile")).into_iter().filter(|test| !named.contains(test.as_str()));
    wrong.extend(unnamed.map(|test| format!("{test} is an attack that the page does not name")));
    assert!(wrong.is_empty(), "docs/security.md:\n{}", wrong.join("\n"));
}
