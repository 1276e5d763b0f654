//! One question: may this caller do this to that repository, and by which rule.

use std::fmt;

use gantry_oci::access::{Action, Role, Subject, TokenScope, Visibility};

use super::Denied;
use super::rules::{GrantRule, Origin, Rules};
use crate::auth::{Credential, Identity};
use crate::config::{Anonymous, Deletable};

/// The rule by which something is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is nobody to log in as.
    Open,
    /// `auth.anonymous`.
    Anonymous(Anonymous),
    /// Everybody pulls.
    Visible {
        /// Of the namespace, as it is written.
        prefix: String,
        /// `public` or `hidden`.
        visibility: Visibility,
        /// Where the namespace stands.
        origin: Origin,
    },
    /// A server admin may do everything.
    ServerAdmin,
    /// A grant.
    Grant(GrantRule),
    /// The role of everybody from a source.
    SourceRole {
        /// The key of the configuration.
        key: &'static str,
        /// The role.
        role: Role,
    },
    /// What a robot's token was made for.
    Robot(TokenScope),
    /// The token of a foreign token server.
    Foreign,
}

/// What is missing, where something is not allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// To be somebody, and then a right.
    Login,
    /// To be somebody: `auth.anonymous` is `none`, which visibility does not change.
    LoginToPull,
    /// A grant.
    Grant {
        /// To whom.
        subject: Subject,
        /// The least that would do.
        role: Role,
        /// On what.
        repository: String,
    },
    /// The token was made for less.
    TokenScope {
        /// What it would have to be made for.
        action: Action,
        /// On what.
        repository: String,
    },
    /// The bearer token was issued for less; its owner may have the right.
    BearerAccess {
        /// What it would have to be issued for.
        action: Action,
        /// On what.
        repository: String,
    },
}

impl Rules {
    /// Whether the caller may, and by which rule or for lack of what.
    pub fn right(&self, identity: &Identity, repository: &str, action: Action) -> Result<Why, Missing> {
        let why = self.owner_right(identity, repository, action)?;
        // Everybody pulls what is public, with a token that was made for something else too (N-16).
        if identity.is_bound_to(repository, action)
            || (action == Action::Pull && self.is_public(identity, repository))
        {
            return Ok(why);
        }
        let repository = repository.to_owned();
        Err(
            match identity
                .bounds
                .scopes
                .as_ref()
                .is_some_and(|_| !self.scope_allows(identity, &repository, action))
            {
                true => Missing::TokenScope { action, repository },
                false => Missing::BearerAccess { action, repository },
            },
        )
    }

    /// Whether the caller may pull a repository in place of another, which is the one that was asked for and which it may pull. What a
    /// bearer token was issued for is not looked at: it can only have been the name that was asked for.
    pub(super) fn right_instead(&self, identity: &Identity, repository: &str) -> Result<Why, Missing> {
        let action = Action::Pull;
        let why = self.owner_right(identity, repository, action)?;
        if self.scope_allows(identity, repository, action) || self.is_public(identity, repository) {
            return Ok(why);
        }
        Err(Missing::TokenScope { action, repository: repository.to_owned() })
    }

    /// Whether this kind of thing may be deleted at all.
    ///
    /// # Errors
    /// It may not.
    pub fn deletes(&self, kind: Deletable) -> Result<(), Denied> {
        if self.delete.contains(&kind) { Ok(()) } else { Err(Denied::DeleteDisabled(kind)) }
    }

    /// Whether the catalog may be asked for; what stands in it is another question.
    pub fn reads_catalog(&self, identity: &Identity) -> bool {
        identity.bounds.on_catalog() && (!identity.is_anonymous() || self.anonymous != Anonymous::None)
    }

    /// Whether repositories may be searched; what is found there is another question.
    pub fn searches(&self, identity: &Identity) -> bool {
        identity.bounds.on_search() && (!identity.is_anonymous() || self.anonymous != Anonymous::None)
    }

    fn scope_allows(&self, identity: &Identity, repository: &str, action: Action) -> bool {
        identity.bounds.scopes.as_ref().is_none_or(|scopes| {
            scopes.iter().any(|scope| scope.pattern.matches(repository) && scope.actions.contains(action))
        })
    }

    /// Whether the repository may be pulled without any right of one's own.
    pub(super) fn is_public(&self, identity: &Identity, repository: &str) -> bool {
        self.namespace_of(repository).visibility != Visibility::Private
            && (!identity.is_anonymous() || self.anonymous != Anonymous::None)
    }

    /// The same, whatever the credential is narrowed to.
    pub(super) fn owner_right(
        &self,
        identity: &Identity,
        repository: &str,
        action: Action,
    ) -> Result<Why, Missing> {
        let namespace = self.namespace_of(repository);
        if identity.bounds.alone {
            return match identity.is_bound_to(repository, action) {
                true => Ok(Why::Foreign),
                false if action == Action::Pull && namespace.visibility != Visibility::Private => {
                    Ok(visible(namespace))
                }
                false => Err(Missing::BearerAccess { action, repository: repository.to_owned() }),
            };
        }
        if identity.admin {
            return Ok(Why::ServerAdmin);
        }
        // What nobody in particular may do, everybody may.
        if self.anonymous == Anonymous::Write && namespace.by_default {
            return Ok(if self.is_open() { Why::Open } else { Why::Anonymous(Anonymous::Write) });
        }
        if action == Action::Pull && self.is_public(identity, repository) {
            return Ok(match namespace.by_default {
                true => Why::Anonymous(self.anonymous),
                false => visible(namespace),
            });
        }
        if identity.is_anonymous() && self.anonymous == Anonymous::None {
            return Err(match action == Action::Pull && namespace.visibility != Visibility::Private {
                true => Missing::LoginToPull,
                false => Missing::Login,
            });
        }
        if let Some(scope) = identity.own_right(repository, action) {
            return Ok(Why::Robot(scope.clone()));
        }
        let grants = self.grants_of(identity);
        let best = grants
            .filter(|grant| grant.role.allows(action) && grant.pattern.matches(repository))
            .min_by_key(|grant| grant.role);
        if let Some(grant) = best {
            return Ok(Why::Grant(grant.clone()));
        }
        if let Some((role, key)) = self.source_role(identity.source)
            && role.allows(action)
        {
            return Ok(Why::SourceRole { key, role });
        }
        Err(match identity.is_anonymous() && identity.credential == Credential::Nothing {
            true => Missing::Login,
            false => Missing::Grant {
                subject: identity.subject.clone(),
                role: Role::least(action),
                repository: repository.to_owned(),
            },
        })
    }
}

fn visible(namespace: &super::rules::Namespace) -> Why {
    Why::Visible {
        prefix: namespace.shown().to_owned(),
        visibility: namespace.visibility,
        origin: namespace.origin,
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Open => f.write_str("there are no accounts, and auth.anonymous is not set: everybody may"),
            Why::Anonymous(Anonymous::Write) => f.write_str("auth.anonymous = \"write\": everybody may"),
            Why::Anonymous(_) => f.write_str("auth.anonymous = \"read\": everybody may pull"),
            Why::Visible { prefix, visibility, origin } => {
                write!(f, "the namespace `{prefix}` is {visibility} ({origin}): everybody may pull")
            }
            Why::ServerAdmin => f.write_str("a server admin may do everything"),
            Why::Grant(GrantRule { subject, role, pattern, origin }) => {
                write!(f, "{subject} has the role `{role}` on `{pattern}` ({origin})")
            }
            Why::SourceRole { key, role } => write!(f, "{key} = \"{role}\""),
            Why::Robot(scope) => write!(f, "the robot's token was made for `{scope}`"),
            Why::Foreign => f.write_str("the token server that issued the token allows it"),
        }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Login => f.write_str("credentials: callers without may not do this"),
            Missing::LoginToPull => f.write_str(
                "credentials: auth.anonymous is \"none\", so public namespaces are for those who log in",
            ),
            Missing::Grant { subject, role, repository } => {
                write!(f, "a grant to {subject} of the role `{role}` on `{repository}` or on a prefix of it")
            }
            Missing::TokenScope { action, repository } => {
                write!(f, "a token with a scope that includes `{repository}:{action}`")
            }
            Missing::BearerAccess { action, repository } => {
                write!(f, "a bearer token for `repository:{repository}:{action}`")
            }
        }
    }
}
