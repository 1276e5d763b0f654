//! What a caller may do.
//!
//! Pure: no I/O, no clock. [`decide`] looks at who asks, what is asked and the rules, and gives a [`Permit`] or says
//! why not. A permit holds the request that was decided on; nothing else can make one, and dispatch takes nothing else.

use gantry_oci::{RepoName, Request};

use crate::auth::Identity;
use crate::config::{Anonymous, Deletable};

/// The rules that decisions are made by.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What callers without credentials may do.
    pub anonymous: Anonymous,
    /// Whether there is any way to be somebody.
    pub accounts: bool,
    /// What may be deleted at all.
    pub delete: Vec<Deletable>,
}

/// What a request does to the thing that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Find out whether this is a registry, and whether the credentials are good.
    Greet,
    /// Read.
    Pull,
    /// Write.
    Push,
    /// Remove.
    Delete,
}

impl Action {
    /// The action that a request needs (A-6: everything under an upload session is push, cancelling it too).
    pub fn of(request: &Request) -> Self {
        match request {
            Request::Version => Action::Greet,
            Request::Catalog { .. }
            | Request::ListTags { .. }
            | Request::GetManifest { .. }
            | Request::Referrers { .. }
            | Request::GetBlob { .. }
            | Request::Extensions { .. } => Action::Pull,
            Request::PutManifest { .. }
            | Request::StartUpload { .. }
            | Request::GetUpload { .. }
            | Request::PatchUpload { .. }
            | Request::PutUpload { .. }
            | Request::DeleteUpload { .. } => Action::Push,
            Request::DeleteManifest { .. } | Request::DeleteBlob { .. } => Action::Delete,
        }
    }
}

/// Proof that a request may be carried out, with the request itself.
#[derive(Debug)]
pub struct Permit {
    request: Request,
    identity: Identity,
}

impl Permit {
    /// Takes the permit apart, to carry it out.
    pub fn redeem(self) -> (Request, Caller) {
        (self.request, Caller { identity: self.identity })
    }
}

/// Who a redeemed permit was for, and what else they may reach on the way.
#[derive(Clone, Debug)]
pub struct Caller {
    identity: Identity,
}

impl Caller {
    /// The name under which the caller owns upload sessions.
    pub fn subject(&self) -> &str {
        self.identity.subject()
    }

    /// Whether the caller may pull from a repository that the request does not name as its own
    /// (the source of a mount). Whoever may push may pull everywhere, as long as rights are not cut by repository.
    pub fn may_pull(&self, _repository: &RepoName) -> bool {
        true
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Credentials would help.
    #[error("authentication required")]
    Unauthenticated,
    /// Nobody may: anonymous callers may not, and there are no accounts.
    #[error("this registry does not allow it")]
    Forbidden,
    /// Deleting this kind of thing is switched off.
    #[error("deleting is disabled for this kind of content")]
    DeleteDisabled(Deletable),
}

/// Decides whether `identity` may make `request`.
///
/// # Errors
/// Why not.
pub fn decide(identity: Identity, request: Request, rules: &Rules) -> Result<Permit, Denied> {
    let action = Action::of(&request);
    let allowed = match (&identity, rules.anonymous) {
        (Identity::Account(_), _) | (Identity::Anonymous, Anonymous::Write) => true,
        // E-1.2: clients learn only here that there is something to log in to.
        (Identity::Anonymous, Anonymous::Read) => match action {
            Action::Greet => !rules.accounts,
            Action::Pull => true,
            Action::Push | Action::Delete => false,
        },
        (Identity::Anonymous, Anonymous::None) => false,
    };
    if !allowed {
        return Err(if rules.accounts { Denied::Unauthenticated } else { Denied::Forbidden });
    }
    let kind = match &request {
        Request::DeleteManifest { reference: gantry_oci::Reference::Tag(_), .. } => Some(Deletable::Tag),
        Request::DeleteManifest { .. } => Some(Deletable::Manifest),
        Request::DeleteBlob { .. } => Some(Deletable::Blob),
        _ => None,
    };
    match kind {
        Some(kind) if !rules.delete.contains(&kind) => Err(Denied::DeleteDisabled(kind)),
        _ => Ok(Permit { request, identity }),
    }
}

#[cfg(test)]
mod tests;
