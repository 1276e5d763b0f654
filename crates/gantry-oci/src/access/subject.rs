//! Who something is granted to.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The longest name of an account, in bytes.
const ACCOUNT_MAX: usize = 255;
/// The longest subject, in bytes: issuers are URLs.
const SUBJECT_MAX: usize = 1024;

/// Text that names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// Not the name of an account.
    #[error(
        "not a name for an account: expected 1 to 255 bytes without blanks, `:`, quotes, `<`, `>`, `&`, `/` or `\\`, beginning with a \
         letter or digit, and not a reserved one"
    )]
    Account,
    /// Not a subject either.
    #[error(
        "not a subject: expected `anonymous`, the name of an account, `robot:NAME`, `group:NAME`, `ldap:NAME`, `cert:NAME`, \
         `oidc:ISSUER:SUB` or `issuer:ISSUER:SUB`"
    )]
    Subject,
}

/// Control characters, and those that are there without being seen: two names that look the same must be the same.
pub fn is_invisible(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Checks the name of an account (N-1).
///
/// # Errors
/// It is empty, too long, reserved, or holds letters that mean something elsewhere.
pub fn account_name(text: &str) -> Result<(), SubjectError> {
    let begins = text.chars().next().is_some_and(char::is_alphanumeric);
    let forbidden = |letter: char| {
        letter.is_whitespace() || is_invisible(letter) || ":\"'`<>&/\\,;(){}[]|$*?=%#".contains(letter)
    };
    let reserved = ["anonymous", "operator", "everybody", "authenticated"];
    if begins
        && text.len() <= ACCOUNT_MAX
        && !text.contains(forbidden)
        && !reserved.iter().any(|word| word.eq_ignore_ascii_case(text))
    {
        Ok(())
    } else {
        Err(SubjectError::Account)
    }
}

/// Who a right is granted to, or who did something: as text, of which no two kinds share a form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(Arc<str>);

impl Subject {
    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self("anonymous".into())
    }

    /// Whoever may open the control socket.
    pub fn operator() -> Self {
        Self("operator".into())
    }

    /// An account.
    pub fn account(name: &str) -> Result<Self, SubjectError> {
        account_name(name).map(|()| Self(name.into()))
    }

    /// A program that has a token and grants of its own.
    pub fn robot(name: &str) -> Result<Self, SubjectError> {
        account_name(name).map(|()| Self(format!("robot:{name}").into()))
    }

    /// Everybody who belongs to a group.
    pub fn group(name: &str) -> Self {
        Self(format!("group:{name}").into())
    }

    /// Somebody of a directory who has no account here.
    pub fn ldap(name: &str) -> Self {
        Self(format!("ldap:{name}").into())
    }

    /// The holder of a client certificate who has no account here.
    pub fn certificate(value: &str) -> Self {
        Self(format!("cert:{value}").into())
    }

    /// Whom an identity token of an OpenID provider names.
    pub fn oidc(issuer: &str, sub: &str) -> Self {
        Self(format!("oidc:{issuer}:{sub}").into())
    }

    /// Whom the token of a foreign token server names.
    pub fn issuer(issuer: &str, sub: &str) -> Self {
        Self(format!("issuer:{issuer}:{sub}").into())
    }

    /// Whom a foreign system names, as text that says so; `issuer:ISSUER:` without a name is nobody in particular there.
    pub fn foreign(text: &str) -> Option<Self> {
        let foreign = ["oidc:", "issuer:"].iter().any(|kind| text.starts_with(kind));
        (foreign && text.len() <= SUBJECT_MAX && !text.contains(char::is_control)).then(|| Self(text.into()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the account, when it is one.
    pub fn account_name(&self) -> Option<&str> {
        (!self.0.contains(':') && !matches!(self.as_str(), "anonymous" | "operator")).then_some(self.as_str())
    }

    /// The name of the robot, when it is one.
    pub fn robot_name(&self) -> Option<&str> {
        self.0.strip_prefix("robot:")
    }

    /// The name of the group, when it is one.
    pub fn group_name(&self) -> Option<&str> {
        self.0.strip_prefix("group:")
    }

    /// Whether it is nobody in particular.
    pub fn is_anonymous(&self) -> bool {
        self.as_str() == "anonymous"
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let printable = text.len() <= SUBJECT_MAX && !text.contains(char::is_control);
        let good = match text.split_once(':') {
            _ if !printable => false,
            None => text == "anonymous" || account_name(text).is_ok(),
            Some(("robot", name)) => account_name(name).is_ok(),
            Some(("group" | "ldap" | "cert", name)) => !name.is_empty(),
            Some(("oidc" | "issuer", rest)) => {
                rest.rsplit_once(':').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty())
            }
            Some(_) => false,
        };
        if good { Ok(Self(text.into())) } else { Err(SubjectError::Subject) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// N-1
    #[test]
    fn names_that_are_refused() {
        for name in [
            "",
            " ",
            "a b",
            "a:b",
            "group:x",
            "anonymous",
            "Operator",
            "<b>",
            "a\"",
            "a\n",
            "-a",
            "$2y$",
            &"a".repeat(256),
        ] {
            assert!(account_name(name).is_err(), "{name}");
        }
        for name in ["alice", "Alice", "alice@example.com", "a.b-c_d+e", "müller", "9"] {
            assert!(account_name(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn subjects_are_told_apart() {
        for text in [
            "anonymous",
            "alice",
            "robot:ci",
            "group:dev ops",
            "oidc:https://issuer.example:repo:team/app",
            "cert:spiffe://x/y",
        ] {
            assert_eq!(text.parse::<Subject>().unwrap().as_str(), text);
        }
        for text in ["", "operator", "robot:", "robot:a b", "group:", "oidc:x", "nobody:x", "a b"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
        assert_eq!(Subject::oidc("alice", "x").account_name(), None);
    }
}
