//! Words of access: who ([`Subject`]), what ([`Actions`], [`Role`]), where ([`RepoPattern`], [`TagPattern`], [`Visibility`]),
//! and how token servers write it down ([`Scope`], [`Access`]).
//!
//! Pure words: nothing here decides anything.

mod pattern;
mod role;
mod scope;
mod subject;

pub use pattern::{PATTERN_MAX, PatternError, RepoPattern, TagPattern};
pub use role::{Action, Actions, Role, Visibility, WordError};
pub use scope::{Access, Scope, ScopeError, TokenScope, parse_scopes};
pub use subject::{Subject, SubjectError, account_name, is_invisible};
