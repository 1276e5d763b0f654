//! What requests of the registry leave in the audit log: each refusal, and each change of what can be pulled.
//!
//! A request without credentials that is answered with a challenge is no refusal: that is how every client begins. Blobs and images
//! are not told: nothing can be pulled by them before a manifest or a tag names them. Secrets that were written where something
//! else belongs do not get this far: names of callers who were not recognised, and queries, are not kept.

use std::fmt;

use gantry_oci::{Reference, RepoName, Request, v1};
use gantry_storage::Timestamp;
use gantry_storage::meta::access::AuditEntry;
use http::request::Parts;

use super::legacy::Failure;
use super::{ApiError, Peer, RequestId};
use crate::app::App;
use crate::auth::{AuthError, Identity, secret::redacted};
use crate::policy::Denied;
use crate::registry::RegistryError;

/// What is kept of a text that a client wrote, in characters.
const TEXT: usize = 300;

/// What is known of a request when it ends.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) app: &'a App,
    pub(crate) peer: &'a Peer,
    pub(crate) parts: &'a Parts,
    pub(crate) id: &'a RequestId,
    /// Who made it, when that was found out.
    pub(crate) identity: Option<&'a Identity>,
    /// What it asked for, when it was understood.
    pub(crate) request: Option<Asked<'a>>,
}

/// What was asked for, by either API.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    V2(&'a Request),
    V1(&'a v1::Request),
}

/// What a failure is to the audit log.
pub(crate) enum Refusal {
    /// None: something is not there, or does not work.
    No,
    /// It is counted under this reason.
    Counted(&'static str),
    /// It is counted, and kept.
    Kept(&'static str),
}

impl Refusal {
    fn of_auth(error: &AuthError) -> Self {
        match error {
            AuthError::Unavailable(_) => Refusal::No,
            error => Refusal::Kept(error.reason()),
        }
    }

    fn of_denied(denied: &Denied) -> Self {
        match denied {
            Denied::Unauthenticated { .. } => Refusal::Counted("no_credentials"),
            Denied::InsufficientScope { .. } => Refusal::Kept("scope"),
            Denied::Forbidden(_) | Denied::Closed => Refusal::Kept("no_right"),
            Denied::DeleteDisabled(_) => Refusal::Kept("delete_disabled"),
        }
    }

    fn of_registry(error: &RegistryError) -> Self {
        match error {
            RegistryError::TagLocked(_) => Refusal::Kept("tag_locked"),
            _ => Refusal::No,
        }
    }
}

impl From<&ApiError> for Refusal {
    fn from(error: &ApiError) -> Self {
        match error {
            ApiError::Auth(error) => Refusal::of_auth(error),
            ApiError::Denied(denied) => Refusal::of_denied(denied),
            ApiError::Registry(error) => Refusal::of_registry(error),
            _ => Refusal::No,
        }
    }
}

impl From<&Failure> for Refusal {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Auth(error) => Refusal::of_auth(error),
            Failure::Unauthorized => Refusal::Counted("no_credentials"),
            Failure::Denied(denied) => Refusal::of_denied(denied),
            Failure::Hidden(_) => Refusal::Kept("no_right"),
            Failure::Registry(error) => Refusal::of_registry(error),
            Failure::Request(_) | Failure::NoTag(_) | Failure::Said(..) => Refusal::No,
        }
    }
}

impl About<'_> {
    /// Keeps a refusal, and counts it. Other failures are none.
    pub(crate) fn refused<F: fmt::Display>(&self, failure: &F)
    where
        for<'f> Refusal: From<&'f F>,
    {
        match Refusal::from(failure) {
            Refusal::No => {}
            Refusal::Counted(reason) => self.app.metrics.refused(reason),
            Refusal::Kept(reason) => {
                self.app.metrics.refused(reason);
                self.keep(false, &failure.to_string());
            }
        }
    }

    /// Keeps a change that was made.
    pub(crate) fn done(&self) {
        if self.request.is_some_and(Asked::changes) {
            self.keep(true, "");
        }
    }

    fn keep(&self, allowed: bool, reason: &str) {
        let subject = self.identity.map(|identity| identity.subject.to_string()).unwrap_or_default();
        let repository =
            self.request.and_then(Asked::repository).map(ToString::to_string).unwrap_or_default();
        let entry = AuditEntry {
            at: Timestamp::now(),
            subject,
            address: self.peer.client(&self.parts.headers, self.app.config.trusted_proxies()).to_string(),
            action: self.request.map_or("login", Asked::action).to_owned(),
            object: short(&self.request.map(Asked::object).unwrap_or_default()),
            repository,
            allowed,
            reason: short(reason),
            request: self.id.as_str().to_owned(),
        };
        self.app.audit(entry);
    }
}

fn short(text: &str) -> String {
    redacted(text).chars().take(TEXT).collect()
}

impl<'a> Asked<'a> {
    /// Whether it changes what can be pulled.
    fn changes(self) -> bool {
        match self {
            Asked::V2(request) => matches!(
                request,
                Request::PutManifest { .. } | Request::DeleteManifest { .. } | Request::DeleteBlob { .. }
            ),
            Asked::V1(request) => matches!(
                request,
                v1::Request::PutTag(..) | v1::Request::DeleteTag(..) | v1::Request::DeleteRepository(_)
            ),
        }
    }

    /// The repository that it names, as it was written.
    fn repository(self) -> Option<&'a RepoName> {
        match self {
            Asked::V2(request) => request.repository(),
            Asked::V1(request) => request.repository().map(v1::V1Name::written),
        }
    }

    /// What it does, as the audit log calls it.
    fn action(self) -> &'static str {
        match self {
            Asked::V2(request) => action(request),
            Asked::V1(request) => v1_action(request),
        }
    }

    /// On what.
    fn object(self) -> String {
        match self {
            Asked::V2(request) => object(request),
            Asked::V1(request) => v1_object(request),
        }
    }
}

fn action(request: &Request) -> &'static str {
    match request {
        Request::Version => "login",
        Request::Catalog { .. } => "catalog.read",
        Request::Extensions { .. } => "extensions.read",
        Request::ListTags { .. } => "tags.list",
        Request::GetManifest { .. } => "manifest.get",
        Request::PutManifest { .. } => "manifest.put",
        Request::DeleteManifest { reference: Reference::Tag(_), .. } => "tag.delete",
        Request::DeleteManifest { .. } => "manifest.delete",
        Request::Referrers { .. } => "referrers.list",
        Request::GetBlob { .. } => "blob.get",
        Request::DeleteBlob { .. } => "blob.delete",
        Request::StartUpload { .. } => "upload.start",
        Request::GetUpload { .. } => "upload.get",
        Request::PatchUpload { .. } => "upload.patch",
        Request::PutUpload { .. } => "upload.put",
        Request::DeleteUpload { .. } => "upload.delete",
    }
}

fn object(request: &Request) -> String {
    match request {
        Request::GetManifest { name, reference }
        | Request::PutManifest { name, reference, .. }
        | Request::DeleteManifest { name, reference } => match reference {
            Reference::Tag(tag) => format!("{name}:{tag}"),
            Reference::Digest(digest) => format!("{name}@{digest}"),
        },
        Request::GetBlob { name, digest } | Request::DeleteBlob { name, digest } => {
            format!("{name}@{digest}")
        }
        _ => request.repository().map(ToString::to_string).unwrap_or_default(),
    }
}

fn v1_action(request: &v1::Request) -> &'static str {
    use v1::Request as V1;
    match request {
        V1::Ping | V1::Login => "login",
        V1::Search(_) => "search",
        V1::SignUp => "user.create",
        V1::ChangeUser { .. } => "user.change",
        V1::GetImage { .. } => "image.get",
        V1::PutImage { .. } => "image.put",
        V1::ListTags(_) => "tags.list",
        V1::GetTag(..) | V1::TagInfo(..) => "tag.get",
        V1::PutTag(..) => "tag.put",
        V1::DeleteTag(..) => "tag.delete",
        V1::DeleteRepository(_) => "repository.delete",
        V1::PutRepository(_) | V1::PutImages(_) => "repository.push",
        V1::GetImages(_) | V1::LayerAccess(..) => "repository.pull",
        V1::DeleteImages(_) => "images.delete",
        V1::Authorize(_) => "token.check",
        V1::GetProperties(_) => "properties.get",
        V1::PutProperties(_) => "namespace.change",
    }
}

fn v1_object(request: &v1::Request) -> String {
    use v1::Request as V1;
    match request {
        V1::GetImage { id, .. } | V1::PutImage { id, .. } => id.to_string(),
        V1::LayerAccess(name, id) => format!("{name} {id}"),
        V1::GetTag(name, tag) | V1::TagInfo(name, tag) | V1::PutTag(name, tag) | V1::DeleteTag(name, tag) => {
            format!("{name}:{tag}")
        }
        _ => request.repository().map(ToString::to_string).unwrap_or_default(),
    }
}
