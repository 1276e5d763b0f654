//! What may be done, and by whom a repository may be seen.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that is none of the words that are expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not one of {expected}")]
pub struct WordError {
    got: String,
    expected: &'static str,
}

macro_rules! words {
    ($type:ident, $expected:literal, $($variant:ident = $word:literal),*) => {
        impl $type {
            /// All of them, in order.
            pub const ALL: &[$type] = &[$($type::$variant),*];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),* }
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl FromStr for $type {
            type Err = WordError;
            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($word => Ok($type::$variant),)*
                    _ => Err(WordError { got: crate::text::excerpt(text, crate::text::SHOWN), expected: $expected }),
                }
            }
        }
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

/// One thing that can be done with a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
}
words!(Action, "pull, push, delete", Pull = "pull", Push = "push", Delete = "delete");

/// A right on a part of the names, each including the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Read.
    Pull,
    /// Read and write.
    Push,
    /// Read, write and remove.
    Delete,
    /// Everything, grants included.
    Admin,
}
words!(Role, "pull, push, delete, admin", Pull = "pull", Push = "push", Delete = "delete", Admin = "admin");

impl Role {
    /// Whether it includes an action.
    pub fn allows(self, action: Action) -> bool {
        self.actions().contains(action)
    }

    /// The least role that includes an action.
    pub fn least(action: Action) -> Role {
        match action {
            Action::Pull => Role::Pull,
            Action::Push => Role::Push,
            Action::Delete => Role::Delete,
        }
    }

    /// What it includes.
    pub fn actions(self) -> Actions {
        match self {
            Role::Pull => Actions::of(&[Action::Pull]),
            Role::Push => Actions::of(&[Action::Pull, Action::Push]),
            Role::Delete | Role::Admin => Actions::ALL,
        }
    }
}

/// Who may see a repository that they have no right on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Everybody pulls; pushing needs a right.
    Public,
    /// Everything needs a right.
    Private,
    /// As public for those who know the name; in no list for anybody without the right to push.
    Hidden,
}
words!(Visibility, "public, private, hidden", Public = "public", Private = "private", Hidden = "hidden");

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Actions(u8);

impl Actions {
    /// None.
    pub const NONE: Actions = Actions(0);
    /// Each there is.
    pub const ALL: Actions = Actions(0b111);

    /// These.
    pub fn of(actions: &[Action]) -> Self {
        Self(actions.iter().fold(0, |bits, action| bits | 1 << *action as u8))
    }

    /// Reads names of actions; `*` is all of them, others than ours mean nothing here.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().fold(Self::NONE, |all, name| match name {
            "*" => Self::ALL,
            _ => name.parse().map_or(all, |action| all | Self::of(&[action])),
        })
    }

    /// Whether an action is among them.
    pub fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One after the other, in order.
    pub fn iter(self) -> impl Iterator<Item = Action> {
        Action::ALL.iter().copied().filter(move |action| self.contains(*action))
    }
}

impl std::ops::BitOr for Actions {
    type Output = Actions;
    fn bitor(self, other: Actions) -> Actions {
        Actions(self.0 | other.0)
    }
}

impl std::ops::BitAnd for Actions {
    type Output = Actions;
    fn bitand(self, other: Actions) -> Actions {
        Actions(self.0 & other.0)
    }
}

/// `pull,push`
impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, action) in self.iter().enumerate() {
            write!(f, "{}{action}", if index > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_include_those_before_them() {
        for (index, role) in Role::ALL.iter().enumerate() {
            let actions = role.actions().iter().count();
            assert_eq!(actions, (index + 1).min(3), "{role}");
        }
        assert!(
            Role::Admin > Role::Delete
                && Role::Push.allows(Action::Pull)
                && !Role::Push.allows(Action::Delete)
        );
    }

    #[test]
    fn actions_are_read_as_token_servers_write_them() {
        assert_eq!(Actions::named(["push", "pull"]).to_string(), "pull,push");
        assert_eq!(Actions::named(["*"]), Actions::ALL);
        assert_eq!(Actions::named(["metadata_read"]), Actions::NONE);
    }
}
