//! Patterns of repository names and of tags.
//!
//! Small on purpose: no classes, no alternatives, and matching takes at most the product of both lengths, which are capped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest pattern, in bytes.
pub const PATTERN_MAX: usize = 255;

/// Text that is not a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Of repository names.
    #[error(
        "`{0}` is not a pattern of repository names: expected a name such as `team/app` (it and all below), with `*` for a part of \
         one component and `**` for any number of components, or `**` alone for everything"
    )]
    Repository(String),
    /// Of tags.
    #[error("`{0}` is not a pattern of tags: expected a tag with `*` for any text and `?` for one letter")]
    Tag(String),
}

/// Names of repositories: a prefix (`team`: it and all below) or a glob (`team/*-base`, `**/cache`).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPattern(Box<str>);

impl RepoPattern {
    /// Everything.
    pub fn everything() -> Self {
        Self("**".into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_glob(&self) -> bool {
        self.0.contains('*')
    }

    /// Whether a name is one of these.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_glob() { components(&self.0, name) } else { below(&self.0, name) }
    }

    /// The components before the first wildcard: names that match begin with them, and every name begins with none.
    pub fn literal_prefix(&self) -> &str {
        match self.0.find('*') {
            None => &self.0,
            Some(star) => {
                let before = self.0.get(..star).unwrap_or_default();
                before.rfind('/').and_then(|slash| before.get(..slash)).unwrap_or_default()
            }
        }
    }

    /// Whether all names of `other` are names of this one. Says no rather than yes when it is not plain.
    pub fn covers(&self, other: &RepoPattern) -> bool {
        let prefix = match self.0.strip_suffix("/**") {
            _ if self.0.as_ref() == "**" || self == other => return true,
            Some(prefix) => prefix,
            None => &self.0,
        };
        !prefix.contains('*') && below(prefix, other.literal_prefix())
    }
}

/// Whether `name` is `prefix` or stands below it.
fn below(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Components against components. `**` takes any number of them, none too.
fn components(pattern: &str, name: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    wild(
        &pattern,
        &name,
        |part| *part == "**",
        |part, component| {
            let (part, component) = (part.as_bytes(), component.as_bytes());
            wild(part, component, |letter| *letter == b'*', |a, b| a == b)
        },
    )
}

/// Matches with items that take any number: going back to the last of them is enough.
fn wild<P, T>(pattern: &[P], text: &[T], any: impl Fn(&P) -> bool, same: impl Fn(&P, &T) -> bool) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while let Some(item) = text.get(from) {
        match pattern.get(at) {
            Some(part) if any(part) => {
                back = Some((at, from));
                at += 1;
            }
            Some(part) if same(part, item) => {
                at += 1;
                from += 1;
            }
            _ => match back {
                Some((star, taken)) => {
                    back = Some((star, taken + 1));
                    at = star + 1;
                    from = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(any)
}

impl FromStr for RepoPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let letters = |part: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-*".contains(&byte))
        };
        let component = |part: &str| {
            part == "**"
                || (!part.is_empty() && letters(part) && !part.contains("**") && part != "." && part != "..")
        };
        if text.len() <= PATTERN_MAX && text.split('/').all(component) {
            Ok(Self(text.into()))
        } else {
            Err(PatternError::Repository(crate::text::excerpt(text, crate::text::SHOWN)))
        }
    }
}

/// Tags: `v*`, `release-?`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TagPattern(Box<str>);

impl TagPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a tag is one of these.
    pub fn matches(&self, tag: &str) -> bool {
        wild(self.0.as_bytes(), tag.as_bytes(), |letter| *letter == b'*', |a, b| *a == b'?' || a == b)
    }
}

impl FromStr for TagPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let letters = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-*?".contains(&byte));
        if !text.is_empty() && text.len() <= PATTERN_MAX && letters {
            Ok(Self(text.into()))
        } else {
            Err(PatternError::Tag(crate::text::excerpt(text, crate::text::SHOWN)))
        }
    }
}

macro_rules! is_text {
    ($($type:ident),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
is_text!(RepoPattern, TagPattern);

#[cfg(test)]
mod tests {
    use super::*;

    fn repo(text: &str) -> RepoPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_name_stands_for_itself_and_all_below() {
        for (pattern, yes, no) in [
            ("team", &["team", "team/app", "team/a/b"][..], &["teams", "tea", "x/team"][..]),
            ("team/*", &["team/app"], &["team", "team/app/web", "teams/app"]),
            ("team/**", &["team", "team/app", "team/app/web"], &["teams/app", "a/team"]),
            ("**", &["a", "a/b/c"], &[]),
            ("**/cache", &["cache", "a/cache", "a/b/cache"], &["cache/a", "a/caches"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/z/z"], &["a/b", "a/zz", "b/a/z"]),
            ("team/app-*", &["team/app-1", "team/app-"], &["team/app", "team/app-1/x", "team/xapp-1"]),
            ("*", &["a"], &["a/b"]),
        ] {
            yes.iter().for_each(|name| assert!(repo(pattern).matches(name), "{pattern} {name}"));
            no.iter().for_each(|name| assert!(!repo(pattern).matches(name), "{pattern} {name}"));
        }
    }

    #[test]
    fn covering_never_says_yes_wrongly() {
        for (wide, narrow, expected) in [
            ("team", "team/app", true),
            ("team", "team/**", true),
            ("team", "team/*", true),
            ("team", "team*", false),
            ("team", "team/../x", false),
            ("team", "*", false),
            ("team", "**", false),
            ("team", "**/team", false),
            ("team/**", "team/app", true),
            ("team/*", "team/*", true),
            ("team/*", "team/app", false),
            ("**", "x/y", true),
        ] {
            let Ok(narrow) = narrow.parse() else { continue };
            assert_eq!(repo(wide).covers(&narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_is_no_pattern() {
        for text in ["", "/", "a//b", "A", "a b", "a/", "***", "a**", "..", "a/../b", &"a".repeat(256)] {
            assert!(text.parse::<RepoPattern>().is_err(), "{text}");
        }
        for text in ["", "a/b", "(a+)+$", &"*".repeat(256)] {
            assert!(text.parse::<TagPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn tags() {
        let pattern: TagPattern = "v*.?".parse().unwrap();
        assert!(
            pattern.matches("v1.0")
                && pattern.matches("v.1")
                && !pattern.matches("v1.10")
                && !pattern.matches("1.0")
        );
    }

    /// The worst that may be written against the worst name.
    #[test]
    fn matching_is_bounded() {
        let pattern = repo(&"*a".repeat(127));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(254))));
        let pattern = repo(&format!("{}b", "**/a/".repeat(50)));
        assert!(!pattern.matches(&vec!["a"; 128].join("/")));
    }
}
