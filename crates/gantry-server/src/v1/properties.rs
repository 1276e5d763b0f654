//! `P/properties`: who sees a repository. That is a matter of its namespace, so they are the namespace's.

use gantry_oci::RepoName;
use gantry_oci::access::{Action, RepoPattern, Role, Visibility};
use gantry_oci::v1::V1Name;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{AuditEntry, Changed};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::repositories::{INVALID_DATA, read};
use super::{Context, done, json};
use crate::auth::Identity;
use crate::http::legacy::Failure;
use crate::http::{RequestBody, Response};
use crate::policy::{Denied, Missing, Origin};
use crate::registry::RegistryError;

/// What both methods speak of.
#[derive(Serialize, Deserialize)]
struct Properties {
    access: Access,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Access {
    Public,
    Private,
}

/// Whether everybody may pull: who has an account, or without.
fn access(cx: &Context<'_>, repo: &RepoName) -> Access {
    let rules = &cx.caller.rules;
    let everybody = rules.namespace_of(repo.as_str()).visibility != Visibility::Private
        || rules.right(&Identity::anonymous(), repo.as_str(), Action::Pull).is_ok();
    if everybody { Access::Public } else { Access::Private }
}

/// GET.
pub(super) async fn get(cx: &Context<'_>, name: &V1Name) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Pull).await?;
    json(&Properties { access: access(cx, &repo) })
}

/// PUT, by an admin of the repository, where it has a namespace of its own.
pub(super) async fn put(cx: &Context<'_>, name: &V1Name, body: RequestBody) -> Result<Response, Failure> {
    let repo = cx.caller.repository(cx.app, name, Action::Push).await?;
    let wanted = read::<Properties>(body).await?.access;
    if wanted == access(cx, &repo) {
        return Ok(done());
    }
    let text = |text| Err(Failure::Said(StatusCode::FORBIDDEN, text));
    match cx.caller.rules.namespace(repo.as_str()).map(|namespace| namespace.origin) {
        Some(Origin::File) => {
            text("The namespace of this repository stands in the configuration file: change it there")
        }
        Some(Origin::Row) => {
            administers(cx, &repo)?;
            set(cx, &repo, wanted).await?;
            Ok(done())
        }
        Some(Origin::Default) | None => text(
            "Who sees a repository is set by its namespace, and this one has none of its own: an admin makes one with `gantry namespace`",
        ),
    }
}

/// A token is for pulling and pushing: whoever administers shows a password.
fn administers(cx: &Context<'_>, repo: &RepoName) -> Result<(), Failure> {
    let identity = &cx.caller.identity;
    let pattern: RepoPattern =
        repo.as_str().parse().map_err(|_| RegistryError::Internal("a name is no pattern"))?;
    if identity.bounds.access.is_none() && cx.caller.rules.administers_all(identity, &pattern) {
        return Ok(());
    }
    let (subject, repository) = (identity.subject.clone(), repo.to_string());
    Err(Denied::Forbidden(Missing::Grant { subject, role: Role::Admin, repository }).into())
}

async fn set(cx: &Context<'_>, repo: &RepoName, wanted: Access) -> Result<(), Failure> {
    let (meta, access) = (cx.app.registry.meta(), &cx.app.access);
    let _one = access.changing_namespace.lock().await;
    let rows = meta.namespaces().await.map_err(RegistryError::Storage)?;
    let mut row = rows.into_iter().find(|row| row.prefix == repo.as_str()).ok_or(INVALID_DATA)?;
    row.visibility = match wanted {
        Access::Public => Visibility::Public,
        Access::Private => Visibility::Private,
    };
    let audit = AuditEntry {
        at: Timestamp::now(),
        subject: cx.caller.identity.subject.to_string(),
        address: cx.peer.client(&cx.parts.headers, cx.app.config.trusted_proxies()).to_string(),
        action: "namespace.change".to_owned(),
        object: repo.to_string(),
        repository: String::new(),
        allowed: true,
        reason: row.visibility.to_string(),
        request: cx.id.as_str().to_owned(),
    };
    match meta.put_namespace(row, true, audit).await.map_err(RegistryError::Storage)? {
        // Whoever comes next finds it in force.
        Changed::Done => access.rules().await.map(drop).map_err(|error| RegistryError::Storage(error).into()),
        _ => Err(Failure::Said(StatusCode::CONFLICT, "The namespace was changed meanwhile, retry")),
    }
}
