//! What requests of the registry leave in the audit log: each refusal, and each change of what can be pulled.
//!
//! A request without credentials that is answered with a challenge is no refusal: that is how every client begins. Blobs are not
//! told: nothing can be pulled by them before a manifest names them. Secrets that were written where something else belongs do
//! not get this far: names of callers who were not recognised, and queries, are not kept.

use gantry_oci::{Reference, Request};
use gantry_storage::Timestamp;
use gantry_storage::meta::access::AuditEntry;
use http::request::Parts;

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
    pub(crate) request: Option<&'a Request>,
}

impl About<'_> {
    /// Keeps a refusal, and counts it. Other failures are none.
    pub(crate) fn refused(&self, failure: &ApiError) {
        let reason = match failure {
            ApiError::Auth(AuthError::Unavailable(_)) => return,
            ApiError::Auth(error) => error.reason(),
            ApiError::Denied(Denied::Unauthenticated { .. }) => {
                self.app.metrics.refused("no_credentials");
                return;
            }
            ApiError::Denied(Denied::InsufficientScope { .. }) => "scope",
            ApiError::Denied(Denied::Forbidden(_) | Denied::Closed) => "no_right",
            ApiError::Denied(Denied::DeleteDisabled(_)) => "delete_disabled",
            ApiError::Registry(RegistryError::TagLocked(_)) => "tag_locked",
            _ => return,
        };
        self.app.metrics.refused(reason);
        self.keep(false, &failure.to_string());
    }

    /// Keeps a change that was made.
    pub(crate) fn done(&self) {
        if matches!(
            self.request,
            Some(Request::PutManifest { .. } | Request::DeleteManifest { .. } | Request::DeleteBlob { .. })
        ) {
            self.keep(true, "");
        }
    }

    fn keep(&self, allowed: bool, reason: &str) {
        let subject = self.identity.map(|identity| identity.subject.to_string()).unwrap_or_default();
        let repository =
            self.request.and_then(Request::repository).map(ToString::to_string).unwrap_or_default();
        let entry = AuditEntry {
            at: Timestamp::now(),
            subject,
            address: self.peer.client(&self.parts.headers, self.app.config.trusted_proxies()).to_string(),
            action: self.request.map_or("login", action).to_owned(),
            object: short(&self.request.map(object).unwrap_or_default()),
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

/// What a request does, as the audit log calls it.
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

/// On what.
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
