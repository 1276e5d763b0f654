//! The references of the protocol, of access and of v1 and the security page against the sources: what it names is there, what is there is named, and no rule goes unheld.

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

/// A page of rules with the tests that hold them.
struct Reference {
    file: &'static str,
    /// Fewer rules than this: the form of the tables has changed.
    rules: usize,
    /// `T7`, `E-2.5`, ...
    is_id: fn(&str) -> bool,
    /// `t7_...`, `e_2_5_...`: tests that the page must name.
    is_named_after_an_id: fn(&str) -> bool,
}

const PROTOCOL: Reference = Reference {
    file: "docs/protocol.md",
    rules: 150,
    is_id: |cell| {
        begins_like_an_id(cell, "T", "") || begins_like_an_id(cell, "EXG", "-") || cell.starts_with("2.")
    },
    is_named_after_an_id: |test| begins_like_an_id(test, "t", "") || begins_like_an_id(test, "exg", "_"),
};

const ACCESS: Reference = Reference {
    file: "docs/access.md",
    rules: 50,
    is_id: |cell| begins_like_an_id(cell, "AN", "-"),
    is_named_after_an_id: |test| begins_like_an_id(test, "an", "_"),
};

const V1: Reference = Reference {
    file: "docs/v1.md",
    rules: 80,
    is_id: |cell| begins_like_an_id(cell, "V", "-"),
    is_named_after_an_id: |test| begins_like_an_id(test, "v", "_"),
};

impl Reference {
    /// A line of a table with at least three cells, of which the first is an ID: that, and the cell of the tests. Lines of two cells,
    /// as in the list of what is not there yet, are no rules.
    fn rule<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        match cells[..] {
            [id, _, .., held_by] if (self.is_id)(id) => Some((id, held_by)),
            _ => None,
        }
    }

    /// Each rule is held by tests that are there, and each test that is named after an ID is named. The IDs.
    fn check(&self) -> BTreeSet<String> {
        let page = fs::read_to_string(root().join(self.file)).unwrap();
        let tests = tests_below(&root().join("tests"));
        let all: BTreeSet<_> = tests_below(&root().join("crates")).union(&tests).cloned().collect();
        let rules: Vec<_> = page.lines().filter_map(|line| self.rule(line)).collect();
        assert!(rules.len() > self.rules, "{}: only {} rules were found", self.file, rules.len());

        let mut named = BTreeSet::new();
        let mut wrong = Vec::new();
        for (id, held_by) in &rules {
            let (good, gone): (Vec<_>, Vec<_>) = quoted(held_by).partition(|test| all.contains(*test));
            wrong.extend(gone.iter().map(|test| format!("{id} names {test}, which is not there")));
            if good.is_empty() && gone.is_empty() && !held_by.starts_with("by design: ") {
                wrong.push(format!(
                    "{id} has neither a test nor a reason (`by design: ...`) why there is none"
                ));
            }
            named.extend(good);
        }
        let unnamed =
            tests.iter().filter(|test| (self.is_named_after_an_id)(test) && !named.contains(test.as_str()));
        wrong.extend(
            unnamed.map(|test| format!("{test} is named after an ID, but the page does not name it")),
        );
        assert!(wrong.is_empty(), "{}:\n{}", self.file, wrong.join("\n"));
        rules.iter().map(|(id, _)| (*id).to_owned()).collect()
    }
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn docs_the_protocol_reference_names_the_tests_that_hold_it() {
    PROTOCOL.check();
}

#[test]
fn docs_the_access_reference_names_the_tests_that_hold_it() {
    let ids = ACCESS.check();
    // A-25 is about mirrors.
    let expected = (1..=28).filter(|number| *number != 25).map(|number| format!("A-{number}"));
    let missing: Vec<_> =
        expected.chain((1..=24).map(|number| format!("N-{number}"))).filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "docs/access.md lacks {missing:?}");
}

/// The points at which the reference implementation went wrong are held one by one.
#[test]
fn docs_the_v1_reference_names_the_tests_that_hold_it() {
    let ids = V1.check();
    let points = (1..=11).map(|number| format!("V-13.{number}"));
    let missing: Vec<_> = points.filter(|id| !ids.contains(id)).collect();
    assert!(missing.is_empty(), "docs/v1.md lacks {missing:?}");
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
