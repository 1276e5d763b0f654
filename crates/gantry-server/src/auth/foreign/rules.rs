//! Rules: groups for tokens with certain claims.

use serde_json::Value;

use crate::auth::jwt::Claims;
use crate::config::OidcRule;

/// All claims must match, each by one of its patterns.
pub(super) struct Rule {
    claims: Vec<(String, Vec<Glob>)>,
    groups: Vec<String>,
}

impl Rule {
    pub(super) fn new(rule: &OidcRule) -> Self {
        let claim = |(claim, patterns): (&String, &crate::config::Texts)| {
            (claim.clone(), patterns.0.iter().map(|pattern| Glob::new(pattern)).collect())
        };
        Self { claims: rule.claims.iter().map(claim).collect(), groups: rule.groups.clone() }
    }

    pub(super) fn matches(&self, claims: &Claims) -> bool {
        // Without a claim that must match it would match everybody.
        !self.claims.is_empty()
            && self.claims.iter().all(|(claim, patterns)| {
                claims
                    .at(claim)
                    .is_some_and(|value| patterns.iter().any(|pattern| pattern.matches_value(value)))
            })
    }

    pub(super) fn groups(&self) -> &[String] {
        &self.groups
    }
}

/// A pattern over text: `*` is any run without a slash, `**` any run. Both are needed: `org/*` must not match `org/a/../b`, and the
/// subjects of GitHub have slashes in their branches.
struct Glob(Vec<Piece>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Piece {
    Byte(u8),
    Within,
    Any,
}

impl Glob {
    fn new(pattern: &str) -> Self {
        let mut pieces = Vec::new();
        for byte in pattern.bytes() {
            match (byte, pieces.last()) {
                (b'*', Some(Piece::Within | Piece::Any)) => {
                    pieces.pop();
                    pieces.push(Piece::Any);
                }
                (b'*', _) => pieces.push(Piece::Within),
                (byte, _) => pieces.push(Piece::Byte(byte)),
            }
        }
        Self(pieces)
    }

    /// Text, what is written like text, or a list of which one matches.
    fn matches_value(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.matches(text),
            Value::Number(number) => self.matches(&number.to_string()),
            Value::Bool(is) => self.matches(if *is { "true" } else { "false" }),
            Value::Array(list) => list.iter().any(|one| !one.is_array() && self.matches_value(one)),
            Value::Null | Value::Object(_) => false,
        }
    }

    /// Steps through the text once, with all places of the pattern at which it may be: no text makes it slow.
    fn matches(&self, text: &str) -> bool {
        let pieces = &self.0;
        // Whether what was read so far may be the pattern up to here.
        let mut at = vec![false; pieces.len() + 1];
        at[0] = true;
        let skip = |at: &mut Vec<bool>| {
            for (place, piece) in pieces.iter().enumerate() {
                at[place + 1] |= at[place] && !matches!(piece, Piece::Byte(_));
            }
        };
        skip(&mut at);
        for byte in text.bytes() {
            let mut next = vec![false; pieces.len() + 1];
            for (place, piece) in pieces.iter().enumerate().filter(|(place, _)| at[*place]) {
                match piece {
                    Piece::Byte(wanted) => next[place + 1] |= *wanted == byte,
                    Piece::Within => next[place] |= byte != b'/',
                    Piece::Any => next[place] = true,
                }
            }
            skip(&mut next);
            at = next;
        }
        at[pieces.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stops_at_a_slash_and_two_do_not() {
        for (pattern, matching, other) in [
            ("org/*", &["org/a", "org/", "org/a-b.c"][..], &["org", "org/a/b", "Org/a", "xorg/a"][..]),
            ("org/**", &["org/a", "org/a/b", "org/"], &["org", "orgs/a"]),
            (
                "refs/heads/release-*",
                &["refs/heads/release-1"],
                &["refs/heads/release-1/x", "refs/heads/main"],
            ),
            ("repo:org/app:**", &["repo:org/app:ref:refs/heads/main"], &["repo:org/app2:ref:x"]),
            ("**", &["", "a", "a/b"], &[]),
            ("*", &["", "a"], &["a/b"]),
            ("*a*b*", &["ab", "xaxbx", "aab"], &["ba", "a/b", ""]),
            ("**/x/*", &["a/b/x/c", "/x/"], &["x/c", "a/x/b/c"]),
            ("***", &["a/b"], &[]),
            ("", &[""], &["a"]),
            ("ä*", &["äö"], &["a"]),
        ] {
            let glob = Glob::new(pattern);
            for text in matching {
                assert!(glob.matches(text), "{pattern} {text}");
            }
            for text in other {
                assert!(!glob.matches(text), "{pattern} {text}");
            }
        }
        let evil = Glob::new(&"*a".repeat(255));
        assert!(!evil.matches(&"a".repeat(254)), "and no pattern is slow");
        assert!(!evil.matches(&format!("{}b", "a".repeat(10_000))));
    }
}
