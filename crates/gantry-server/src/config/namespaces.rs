//! What `[[namespace]]` tables mean: prefixes, each once, and the rights that stand in them.

use std::collections::BTreeSet;

use gantry_oci::access::{RepoPattern, Role, Subject};

use super::settings::{NamespaceEntry, Settings};
use super::{ConfigError, wrong};

/// A right that is written in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenGrant {
    /// Who has it.
    pub subject: Subject,
    /// What it is.
    pub role: Role,
    /// Where: the prefix of its table, or a part of it.
    pub pattern: RepoPattern,
}

/// Checks the tables, and reads their grants.
pub(super) fn check(settings: &Settings) -> Result<Vec<WrittenGrant>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut grants = Vec::new();
    for entry in &settings.namespace {
        let NamespaceEntry { prefix, storage, .. } = entry;
        let key = || format!("namespace `{prefix}`");
        if !prefix.is_empty() && prefix.parse::<gantry_oci::RepoName>().is_err() {
            return Err(wrong(
                key(),
                "is no prefix: expected whole components of names, such as \"team/app\", or none for everything",
            ));
        }
        if !seen.insert(prefix) {
            return Err(wrong(key(), "is there twice"));
        }
        if !settings.storage.0.contains_key(storage) {
            let what =
                format!("names the storage `{storage}`, which is not there: add [storage.{storage}.local]");
            return Err(wrong(key(), &what));
        }
        let whole = pattern_of(prefix).map_err(|what| wrong(key(), &what))?;
        for text in &entry.grants {
            grants
                .push(grant(text, &whole).map_err(|what| wrong(key(), &format!("grants `{text}`: {what}")))?);
        }
    }
    Ok(grants)
}

fn pattern_of(prefix: &str) -> Result<RepoPattern, String> {
    if prefix.is_empty() { Ok(RepoPattern::everything()) } else { prefix.parse().map_err(text) }
}

/// `SUBJECT ROLE [PATTERN]`; names of groups may have blanks in them, so it is read from the right.
fn grant(text: &str, whole: &RepoPattern) -> Result<WrittenGrant, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let expected = || {
        "expected `SUBJECT ROLE` or `SUBJECT ROLE PATTERN`; roles are pull, push, delete and admin".to_owned()
    };
    let (subject, role, pattern) = match words.as_slice() {
        [subject @ .., role] if !subject.is_empty() && role.parse::<Role>().is_ok() => (subject, *role, None),
        [subject @ .., role, pattern] if !subject.is_empty() => (subject, *role, Some(*pattern)),
        _ => return Err(expected()),
    };
    let pattern = match pattern {
        None => whole.clone(),
        Some(pattern) => pattern.parse().map_err(self::text)?,
    };
    if !whole.covers(&pattern) {
        return Err(format!("`{pattern}` reaches beyond `{whole}`"));
    }
    let role = role.parse().map_err(self::text)?;
    Ok(WrittenGrant { subject: subject.join(" ").parse().map_err(self::text)?, role, pattern })
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_read_from_the_right() {
        let whole: RepoPattern = "team".parse().unwrap();
        for (text, subject, role, pattern) in [
            ("alice push", "alice", Role::Push, "team"),
            ("group:dev ops pull team/app", "group:dev ops", Role::Pull, "team/app"),
            ("robot:ci delete team/**", "robot:ci", Role::Delete, "team/**"),
        ] {
            let found = grant(text, &whole).unwrap();
            assert_eq!(
                (found.subject.as_str(), found.role, found.pattern.as_str()),
                (subject, role, pattern)
            );
        }
        for text in [
            "",
            "push",
            "alice",
            "alice write",
            "alice push other",
            "alice push **",
            "a:b push",
            "alice push TEAM",
        ] {
            assert!(grant(text, &whole).is_err(), "{text}");
        }
    }
}
