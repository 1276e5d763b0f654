//! What a token is for: as clients ask for it, as tokens say it, and as users write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::pattern::RepoPattern;
use super::role::{Action, Actions};
use crate::RepoName;

/// Scopes in one request for a token that are looked at; a mount names two, a build a handful.
const SCOPES_MAX: usize = 100;
/// Actions of one scope; there are three.
const ACTIONS_MAX: usize = 20;

/// Text that is not a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// As clients ask.
    #[error("invalid scope `{0}`: expected `repository:NAME:ACTION,ACTION`")]
    Wire(String),
    /// As users write.
    #[error(
        "invalid scope `{0}`: expected `PATTERN:ACTION,ACTION` such as `team/**:pull,push`; actions are pull, push, delete"
    )]
    Token(String),
    /// More than anybody needs.
    #[error("more than {SCOPES_MAX} scopes at once")]
    TooMany,
    /// More than there are.
    #[error("more than {ACTIONS_MAX} actions in one scope")]
    TooManyActions,
}

/// One scope as the token protocol has it: `type ":" name ":" action *("," action)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `repository`, `registry`, or what else is asked for.
    pub kind: String,
    /// The repository's name, as it was written.
    pub name: String,
    /// What is asked for, as it was written.
    pub actions: Vec<String>,
}

impl Scope {
    /// Actions on a repository.
    pub fn repository(name: &RepoName, actions: Actions) -> Self {
        let actions = actions.iter().map(|action| action.as_str().to_owned()).collect();
        Self { kind: "repository".to_owned(), name: name.to_string(), actions }
    }

    /// `registry:catalog:*`
    pub fn catalog() -> Self {
        Self { kind: "registry".to_owned(), name: "catalog".to_owned(), actions: vec!["*".to_owned()] }
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// The type reaches to the first colon, the actions begin after the last: a name may have a port in it. A class as in
    /// `repository(plugin)` says nothing here, and `repository/NAME:ACTIONS` is an old way to write the same.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let invalid = || ScopeError::Wire(crate::text::excerpt(text, crate::text::SHOWN));
        let (head, actions) = text.rsplit_once(':').ok_or_else(invalid)?;
        let (kind, name) = match head.split_once(':') {
            Some(split) => split,
            None => head.strip_prefix("repository/").map(|name| ("repository", name)).ok_or_else(invalid)?,
        };
        let kind = kind.split_once('(').map_or(kind, |(kind, _)| kind);
        let word =
            !kind.is_empty() && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !word || name.is_empty() || name.contains(char::is_control) {
            return Err(invalid());
        }
        let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned).collect();
        Ok(Self { kind: kind.to_owned(), name: name.to_owned(), actions })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.kind, self.name, self.actions.join(","))
    }
}

/// Reads scopes of a request: parameters may be repeated, and each may hold several with blanks between them.
/// Those of the same thing become one.
///
/// # Errors
/// One of them is none, or there are too many, or too many actions in one.
pub fn parse_scopes<'a>(parameters: impl IntoIterator<Item = &'a str>) -> Result<Vec<Scope>, ScopeError> {
    let mut scopes: Vec<Scope> = Vec::new();
    for text in parameters.into_iter().flat_map(|text| text.split(' ')).filter(|text| !text.is_empty()) {
        let scope: Scope = text.parse()?;
        if scope.actions.len() > ACTIONS_MAX {
            return Err(ScopeError::TooManyActions);
        }
        let full = scopes.len() == SCOPES_MAX;
        match scopes.iter_mut().find(|known| known.kind == scope.kind && known.name == scope.name) {
            Some(known) => {
                let new = scope.actions.into_iter().filter(|action| !known.actions.contains(action));
                known.actions.extend(new.collect::<Vec<_>>());
                if known.actions.len() > ACTIONS_MAX {
                    return Err(ScopeError::TooManyActions);
                }
            }
            None if full => return Err(ScopeError::TooMany),
            None => scopes.push(scope),
        }
    }
    Ok(scopes)
}

/// One entry of a token's `access` claim.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    /// `repository` or `registry`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Of the repository.
    pub name: String,
    /// `pull`, `push`, `delete`, `*`.
    #[serde(default)]
    pub actions: Vec<String>,
}

impl Access {
    /// What it allows on a repository; names are compared byte for byte.
    pub fn on_repository(&self, name: &str) -> Actions {
        let fits = self.kind == "repository" || self.kind.starts_with("repository(");
        if fits && self.name == name {
            Actions::named(self.actions.iter().map(String::as_str))
        } else {
            Actions::NONE
        }
    }

    /// Whether it allows the catalog.
    pub fn is_catalog(&self) -> bool {
        self.kind == "registry" && self.name == "catalog" && self.actions.iter().any(|action| action == "*")
    }

    /// Whether it allows to search: `registry:catalog:search`, as Docker asks for it, or the whole catalog.
    pub fn is_search(&self) -> bool {
        let searches = |action: &String| action == "search" || action == "*";
        self.kind == "registry" && self.name == "catalog" && self.actions.iter().any(searches)
    }
}

/// What the owner of a token restricts it to: `team/**:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenScope {
    /// Where.
    pub pattern: RepoPattern,
    /// What. Push includes pull, and delete both.
    pub actions: Actions,
}

impl FromStr for TokenScope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let invalid = || ScopeError::Token(crate::text::excerpt(text, crate::text::SHOWN));
        let (pattern, actions) = text.rsplit_once(':').ok_or_else(invalid)?;
        let pattern = pattern.parse().map_err(|_| invalid())?;
        let mut all = Actions::NONE;
        for name in actions.split(',') {
            let action = match name {
                "*" => Actions::ALL,
                _ => Actions::of(&[name.parse::<Action>().map_err(|_| invalid())?]),
            };
            all = all | action;
        }
        Ok(Self { pattern, actions: all })
    }
}

impl fmt::Display for TokenScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.pattern, self.actions)
    }
}

impl Serialize for TokenScope {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenScope {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    ///
    #[test]
    fn type_to_the_first_colon_actions_after_the_last() {
        for (text, kind, name, actions) in [
            ("repository:a/b:pull,push", "repository", "a/b", &["pull", "push"][..]),
            ("repository(plugin):a:pull", "repository", "a", &["pull"]),
            ("repository:host:5000/a:pull", "repository", "host:5000/a", &["pull"]),
            ("registry:catalog:*", "registry", "catalog", &["*"]),
            ("repository/storage/repo:pull,push", "repository", "storage/repo", &["pull", "push"]),
            ("repository:a:", "repository", "a", &[]),
        ] {
            let scope: Scope = text.parse().unwrap();
            assert_eq!((scope.kind.as_str(), scope.name.as_str()), (kind, name), "{text}");
            assert_eq!(scope.actions, actions, "{text}");
        }
        for text in
            ["", ":", "::", "repository", "repository:a", ":a:pull", "Repository:a:pull", "repository::pull"]
        {
            assert!(text.parse::<Scope>().is_err(), "{text}");
        }
    }

    ///
    #[test]
    fn scopes_come_repeated_and_joined() {
        let scopes =
            parse_scopes(["repository:a:pull repository:b:pull", "repository:a:push,pull", ""]).unwrap();
        let texts: Vec<_> = scopes.iter().map(Scope::to_string).collect();
        assert_eq!(texts, ["repository:a:pull,push", "repository:b:pull"]);
        let many =
            (0..=SCOPES_MAX).map(|number| format!("repository:a{number}:pull")).collect::<Vec<_>>().join(" ");
        assert_eq!(parse_scopes([many.as_str()]), Err(ScopeError::TooMany));
    }

    /// Each action is held against those before it.
    #[test]
    fn actions_of_a_scope_are_bounded() {
        let actions = |from: usize| (from..from + 15).map(|number| format!("x{number}")).collect::<Vec<_>>();
        let scope = |from: usize| format!("repository:a:{}", actions(from).join(","));
        assert_eq!(parse_scopes([scope(0).as_str(), scope(0).as_str()]).unwrap().len(), 1);
        assert_eq!(parse_scopes([scope(0).as_str(), scope(15).as_str()]), Err(ScopeError::TooManyActions));
        let one = format!("repository:a:{},{}", actions(0).join(","), actions(15).join(","));
        assert_eq!(parse_scopes([one.as_str()]), Err(ScopeError::TooManyActions));
    }

    #[test]
    fn scopes_of_users() {
        let scope: TokenScope = "team/**:push,pull".parse().unwrap();
        assert_eq!(scope.to_string(), "team/**:pull,push");
        for text in ["", "team", "team:", "team:admin", "TEAM:pull", ":pull", "team:pull,"] {
            assert!(text.parse::<TokenScope>().is_err(), "{text}");
        }
    }

    ///
    #[test]
    fn names_are_compared_byte_for_byte() {
        let access = Access { kind: "repository".into(), name: "a/b".into(), actions: vec!["pull".into()] };
        assert!(access.on_repository("a/b").contains(Action::Pull));
        for name in ["a/B", "a/b/", "a", "a/b/c"] {
            assert!(access.on_repository(name).is_empty());
        }
    }
}
