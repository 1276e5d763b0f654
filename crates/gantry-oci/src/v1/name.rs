//! Names of repositories as v1 has them.

use std::fmt;
use std::str::FromStr;

use crate::{NameError, RepoName};

/// The namespace of names that have none.
const LIBRARY: &str = "library/";

/// A repository as a v1 client names it. `foo` and `library/foo` are the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct V1Name {
    written: RepoName,
}

impl V1Name {
    /// As it was written.
    #[must_use]
    pub fn written(&self) -> &RepoName {
        &self.written
    }

    /// The other way to write the same repository: `library/foo` for `foo`, and `foo` for `library/foo`.
    #[must_use]
    pub fn other(&self) -> Option<RepoName> {
        match self.written.as_str().strip_prefix(LIBRARY) {
            Some(name) if !name.contains('/') => name.parse().ok(),
            None if !self.written.as_str().contains('/') => format!("{LIBRARY}{}", self.written).parse().ok(),
            _ => None,
        }
    }

    /// The name with its namespace, as tokens have it.
    #[must_use]
    pub fn full(&self) -> RepoName {
        match self.other() {
            Some(other) if !self.written.as_str().contains('/') => other,
            _ => self.written.clone(),
        }
    }

    /// Whether the two name the same repository.
    #[must_use]
    pub fn is(&self, other: &V1Name) -> bool {
        self.full() == other.full()
    }
}

impl From<RepoName> for V1Name {
    fn from(written: RepoName) -> Self {
        Self { written }
    }
}

impl FromStr for V1Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        text.parse().map(|written| Self { written })
    }
}

impl fmt::Display for V1Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.written.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_and_library_are_one_repository() {
        let name = |text: &str| text.parse::<V1Name>().unwrap();
        assert_eq!(name("foo").full().as_str(), "library/foo");
        assert_eq!(name("library/foo").full().as_str(), "library/foo");
        assert_eq!(name("library/foo").other().unwrap().as_str(), "foo");
        assert!(name("foo").is(&name("library/foo")) && !name("foo").is(&name("a/foo")));
        assert_eq!(name("library/foo/bar").other(), None);
        assert_eq!(name("a/foo").full().as_str(), "a/foo");
    }
}
