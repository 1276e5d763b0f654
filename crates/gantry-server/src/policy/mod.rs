//! What a caller may do.
//!
//! Pure: no I/O, no clock. [`decide`] looks at who asks, what is asked and the [`Rules`], and gives a [`Permit`] or says
//! why not. A permit holds the request that was decided on; nothing else can make one, and dispatch takes nothing else.
//! [`explain`](Rules::explain) is the same evaluation, told in words.

mod explain;
mod right;
mod rules;

use std::fmt;
use std::sync::Arc;

use gantry_oci::access::{Action, Actions, Scope};
use gantry_oci::{MountSource, RepoName, Request};
use gantry_storage::meta::access::TagLocks;

use crate::auth::{Credential, Identity};
use crate::config::{Anonymous, Deletable};

pub use explain::{Asked, Explanation};
pub use right::{Missing, Why};
pub use rules::{GrantRule, Namespace, NamespaceParts, Origin, Parts, Rules};

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// To be let in, as far as that.
    Greet,
    /// To read the catalog, of which each sees what is theirs.
    Catalog,
    /// An action on a repository.
    On(Action),
}

impl Need {
    /// What a request needs (A-6: everything under an upload session is push, cancelling it too).
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Version | Request::Extensions { name: None } => Need::Greet,
            Request::Catalog { .. } => Need::Catalog,
            Request::ListTags { .. }
            | Request::GetManifest { .. }
            | Request::Referrers { .. }
            | Request::GetBlob { .. }
            | Request::Extensions { name: Some(_) } => Need::On(Action::Pull),
            Request::PutManifest { .. }
            | Request::StartUpload { .. }
            | Request::GetUpload { .. }
            | Request::PatchUpload { .. }
            | Request::PutUpload { .. }
            | Request::DeleteUpload { .. } => Need::On(Action::Push),
            Request::DeleteManifest { .. } | Request::DeleteBlob { .. } => Need::On(Action::Delete),
        }
    }
}

/// The scopes that a token must have for a request, as a challenge names them.
pub fn scopes_of(request: &Request) -> Vec<Scope> {
    let actions = match Need::of(request) {
        Need::Greet => return Vec::new(),
        Need::Catalog => return vec![Scope::catalog()],
        Need::On(Action::Pull) => Actions::of(&[Action::Pull]),
        Need::On(Action::Push) => Actions::of(&[Action::Pull, Action::Push]),
        Need::On(Action::Delete) => Actions::of(&[Action::Delete]),
    };
    let mut scopes: Vec<Scope> =
        request.repository().map(|name| Scope::repository(name, actions)).into_iter().collect();
    if let Request::StartUpload { mount: Some(mount), name, .. } = request
        && let Some(MountSource::Repository(from)) = &mount.from
        && from != name
    {
        scopes.push(Scope::repository(from, Actions::of(&[Action::Pull])));
    }
    scopes
}

/// Proof that a request may be carried out, with the request itself.
#[derive(Debug)]
pub struct Permit {
    request: Request,
    caller: Caller,
}

impl Permit {
    /// Takes the permit apart, to carry it out.
    pub fn redeem(self) -> (Request, Caller) {
        (self.request, self.caller)
    }
}

/// Who a redeemed permit was for, and what else they may reach on the way.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Identity,
    rules: Arc<Rules>,
}

impl Caller {
    /// The name under which the caller owns upload sessions; empty for nobody in particular.
    pub fn subject(&self) -> &str {
        if self.identity.is_anonymous() { "" } else { self.identity.subject.as_str() }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether the caller may pull from a repository that the request does not name as its own
    /// (the source of a mount).
    pub fn may_pull(&self, repository: &RepoName) -> bool {
        self.rules.right(&self.identity, repository.as_str(), Action::Pull).is_ok()
    }

    /// Tags that it may not move or remove (N-19).
    pub fn locks(&self, repository: &RepoName) -> TagLocks {
        self.rules.locks(&self.identity, repository.as_str())
    }

    /// Whether a repository stands in the caller's catalog.
    pub fn lists(&self, repository: &str) -> bool {
        self.rules.lists(&self.identity, repository)
    }

    /// See [`Rules::listed_below`].
    pub fn listed_below(&self) -> Option<Vec<String>> {
        self.rules.listed_below(&self.identity)
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Credentials would help: none came.
    Unauthenticated {
        /// What a token must be for.
        scopes: Vec<Scope>,
    },
    /// A bearer token came that is for less; another may help.
    InsufficientScope {
        /// What a token must be for.
        scopes: Vec<Scope>,
        /// What is missing.
        missing: Option<Missing>,
    },
    /// Somebody who may not.
    Forbidden(Missing),
    /// Nobody may: anonymous callers may not, and there are no accounts.
    Closed,
    /// Deleting this kind of thing is switched off.
    DeleteDisabled(Deletable),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Unauthenticated { .. } => f.write_str("authentication required"),
            Denied::InsufficientScope { missing: Some(missing), .. } | Denied::Forbidden(missing) => {
                write!(f, "requested access is denied; what is missing is {missing}")
            }
            Denied::InsufficientScope { missing: None, .. } => {
                f.write_str("requested access is denied; the token was not issued for it")
            }
            Denied::Closed => f.write_str(
                "callers without credentials may not do this, and nobody has any yet: there are no accounts",
            ),
            Denied::DeleteDisabled(_) => f.write_str("deleting is disabled for this kind of content"),
        }
    }
}

impl std::error::Error for Denied {}

/// Decides whether `identity` may make `request`.
///
/// # Errors
/// Why not.
pub fn decide(identity: Identity, request: Request, rules: &Arc<Rules>) -> Result<Permit, Denied> {
    let missing = match Need::of(&request) {
        Need::Greet => match greets(&identity, rules) {
            true => Ok(()),
            false => Err(None),
        },
        Need::Catalog => match rules.reads_catalog(&identity) {
            true => Ok(()),
            false => Err(None),
        },
        Need::On(action) => {
            // Requests that name no repository need no right on one.
            let name = request.repository().map_or("", RepoName::as_str);
            rules.right(&identity, name, action).map(drop).map_err(Some)
        }
    };
    if let Err(missing) = missing {
        return Err(refusal(&identity, scopes_of(&request), missing, rules));
    }
    let kind = match &request {
        Request::DeleteManifest { reference: gantry_oci::Reference::Tag(_), .. } => Some(Deletable::Tag),
        Request::DeleteManifest { .. } => Some(Deletable::Manifest),
        Request::DeleteBlob { .. } => Some(Deletable::Blob),
        _ => None,
    };
    if let Some(kind) = kind {
        rules.deletes(kind)?;
    }
    Ok(Permit { request, caller: Caller { identity, rules: Arc::clone(rules) } })
}

/// Decides whether `identity`, who may pull the repository that it has asked for, which does not exist, may have from another what
/// `request` asks of that. `None`: the request is none that reads a repository, or there is no such right.
pub fn decide_instead(identity: Identity, request: Request, rules: &Arc<Rules>) -> Option<Permit> {
    if Need::of(&request) != Need::On(Action::Pull) {
        return None;
    }
    rules.right_instead(&identity, request.repository()?.as_str()).ok()?;
    Some(Permit { request, caller: Caller { identity, rules: Arc::clone(rules) } })
}

/// Whether `identity` may do this to a repository, where no request of V2 asks for it.
///
/// # Errors
/// Why not.
pub fn may(identity: &Identity, repository: &RepoName, action: Action, rules: &Rules) -> Result<(), Denied> {
    let scopes = || vec![Scope::repository(repository, Actions::of(&[action]))];
    rules
        .right(identity, repository.as_str(), action)
        .map(drop)
        .map_err(|missing| refusal(identity, scopes(), Some(missing), rules))
}

/// where one can log in, nobody is greeted without: clients learn only here that there is something to log in to.
fn greets(identity: &Identity, rules: &Rules) -> bool {
    match identity.credential {
        Credential::Nothing => !rules.accounts && rules.anonymous != Anonymous::None,
        _ => true,
    }
}

/// What is said to whom (N-17).
fn refusal(identity: &Identity, scopes: Vec<Scope>, missing: Option<Missing>, rules: &Rules) -> Denied {
    match (identity.credential, missing) {
        (Credential::Nothing, _) if rules.accounts => Denied::Unauthenticated { scopes },
        (Credential::Nothing, _) => Denied::Closed,
        (Credential::Bearer, missing) => Denied::InsufficientScope { scopes, missing },
        (_, Some(missing)) => Denied::Forbidden(missing),
        (_, None) => Denied::Closed,
    }
}

#[cfg(test)]
mod tests;
