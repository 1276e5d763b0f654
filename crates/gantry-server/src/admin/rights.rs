//! Who may use which route: pure, as [`crate::policy`] is for the registry's requests.
//!
//! A route has a [`Right`], what it is about is a fact ([`About`]), and the two are decided upon together with who asks. What comes
//! out is a [`Permit`], which nothing else can make and every handler takes.

use gantry_oci::access::{RepoPattern, Subject, TokenScope};

use crate::auth::{Credential, Identity};
use crate::policy::Rules;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// Nobody in particular too.
    Everybody,
    /// Whoever is somebody, with a token too.
    Somebody,
    /// Who comes by the cookie of a web session.
    Session,
    /// Who logged in; others than server admins are shown what is theirs.
    Own,
    /// The one whom it is about, and server admins.
    Oneself,
    /// Who owns the token, admins of all that a robot's token is for, and server admins.
    Holder,
    /// Admins of all that it is about, and server admins.
    NamespaceAdmin,
    /// The one whom it is about, with a token too, admins of the repository, and server admins.
    Asker,
    /// Server admins.
    ServerAdmin,
}

/// What a request is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About<'a> {
    /// Nothing that a right depends on.
    Nothing,
    /// Somebody; `None`: no name of anybody.
    Subject(Option<&'a Subject>),
    /// A token of this owner.
    Token(&'a Subject, &'a [TokenScope]),
    /// Repositories.
    Pattern(&'a RepoPattern),
    /// Somebody's rights on a repository.
    Rights(&'a Subject, &'a str),
}

/// Proof that a request may be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    server_admin: bool,
}

impl Permit {
    /// Whether it was given to a server admin, from whom nothing is hidden.
    pub(super) fn is_of_server_admin(self) -> bool {
        self.server_admin
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// Nobody in particular asked.
    Anonymous,
    /// Somebody who may not; this is who may.
    Forbidden(&'static str),
}

/// Whether a credential stands for its owner, and not for a program that was given a part of what the owner may (N-4).
fn is_in_person(identity: &Identity) -> bool {
    let shown = matches!(
        identity.credential,
        Credential::Password | Credential::Certificate | Credential::Session | Credential::Socket
    );
    shown && identity.may_administer()
}

/// What can be said before it is known what a request is about: bodies of callers who may not in any case are not read.
pub(super) fn enter(identity: &Identity, right: Right) -> Result<(), Denied> {
    if right == Right::Everybody {
        return Ok(());
    }
    if identity.is_anonymous() {
        return Err(Denied::Anonymous);
    }
    match right {
        Right::Everybody | Right::Somebody | Right::Asker => Ok(()),
        Right::Session if identity.credential != Credential::Session => {
            Err(Denied::Forbidden("this is for those who come by the cookie of a web session"))
        }
        _ if !is_in_person(identity) => {
            Err(Denied::Forbidden("tokens do not administer: log in with a password or a client certificate"))
        }
        Right::ServerAdmin if !identity.admin => Err(Denied::Forbidden("only server admins may do this")),
        _ => Ok(()),
    }
}

/// Decides whether somebody may use a route.
pub(super) fn decide(
    identity: &Identity,
    right: Right,
    about: About<'_>,
    rules: &Rules,
) -> Result<Permit, Denied> {
    enter(identity, right)?;
    let server_admin = identity.admin && is_in_person(identity);
    let no = match (right, about) {
        (Right::Everybody | Right::Somebody | Right::Session | Right::Own | Right::ServerAdmin, _) => None,
        _ if server_admin => None,
        (Right::Oneself, About::Subject(Some(subject))) if *subject == identity.subject => None,
        (Right::Oneself, _) => Some("only server admins may do this, and everybody for their own account"),
        (Right::Holder, About::Token(owner, scopes)) if holds(identity, owner, scopes, rules) => None,
        (Right::Holder, _) => Some(
            "only its owner may do this, for a robot's token an admin of all that its scopes match, and server admins",
        ),
        (Right::NamespaceAdmin, About::Pattern(pattern)) if rules.administers_all(identity, pattern) => None,
        (Right::NamespaceAdmin, _) => Some(
            "only server admins may do this, and those who have the role `admin` on all that the pattern matches",
        ),
        (Right::Asker, About::Rights(subject, repository))
            if *subject == identity.subject
                || (is_in_person(identity) && rules.administers(identity, repository)) =>
        {
            None
        }
        (Right::Asker, _) => Some(
            "only about oneself; others may ask who have the role `admin` on the repository, and server admins",
        ),
    };
    match no {
        None => Ok(Permit { server_admin }),
        Some(who) => Err(Denied::Forbidden(who)),
    }
}

fn holds(identity: &Identity, owner: &Subject, scopes: &[TokenScope], rules: &Rules) -> bool {
    match owner.robot_name() {
        None => *owner == identity.subject,
        Some(_) => {
            !scopes.is_empty() && scopes.iter().all(|scope| rules.administers_all(identity, &scope.pattern))
        }
    }
}

#[cfg(test)]
mod tests;
