//! May somebody do something, and by which rule (N-21).

use gantry_oci::access::{Action, Subject};
use gantry_oci::{RepoName, Tag};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json};
use crate::auth::Source;
use crate::http::{Problem, Response};
use crate::policy;

/// What is asked.
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) repository: String,
    action: Action,
    tag: Option<String>,
}

/// The answer.
#[derive(Serialize, ToSchema)]
pub(super) struct Explanation {
    /// Whether it is allowed.
    allowed: bool,
    /// The rule that decided.
    rule: Option<String>,
    /// What is missing, when it is not allowed.
    missing: Option<String>,
    /// The namespace that the repository belongs to; empty: none of its own, or none that the caller may know of.
    namespace: String,
    /// `public`, `private` or `hidden`; null: the caller may not know.
    visibility: Option<String>,
}

pub(super) fn asked(call: &Call<'_>) -> Result<Asked, Problem> {
    let missing = |key: &str| Problem::Invalid(format!("`{key}` is missing in the query"));
    let subject: Option<Subject> = call.query.parse("subject", "a subject")?;
    let repository: RepoName =
        call.query.parse("repository", "the name of a repository")?.ok_or_else(|| missing("repository"))?;
    let action: Action =
        call.query.parse("action", "one of pull, push, delete")?.ok_or_else(|| missing("action"))?;
    let tag: Option<Tag> = call.query.parse("tag", "a tag")?;
    Ok(Asked {
        subject: subject.unwrap_or_else(|| call.caller.subject.clone()),
        repository: repository.as_str().to_owned(),
        action,
        tag: tag.map(|tag| tag.as_str().to_owned()),
    })
}

pub(super) async fn show(call: &Call<'_>, _: Permit, asked: Asked) -> Result<Response, Problem> {
    let Asked { subject, repository, action, tag } = asked;
    let caller = &call.caller;
    let of_caller = subject == caller.subject;
    let (groups, admin, source) = if of_caller {
        (caller.groups.clone(), caller.admin, caller.source)
    } else {
        known(call, &subject).await?
    };
    // As wide as the subject: what a credential is narrowed to is not asked about.
    let told = call.rules.explain(&policy::Asked {
        subject,
        groups,
        admin,
        source,
        action,
        repository: repository.clone(),
        tag,
    });
    let may_know = call.rules.lists(caller, &repository) || call.rules.administers(caller, &repository);
    let explanation = match may_know {
        true => Explanation {
            allowed: told.allowed,
            rule: told.rule,
            missing: told.missing,
            namespace: told.namespace,
            visibility: Some(told.visibility),
        },
        // The rule may name a namespace that the caller does not know of.
        false => Explanation {
            allowed: told.allowed,
            rule: told.rule.map(|_| "a rule that only admins of the repository are told".to_owned()),
            missing: told.missing,
            namespace: String::new(),
            visibility: None,
        },
    };
    json(StatusCode::OK, &explanation)
}

/// What rows know of somebody; of whom they know nothing others vouch.
async fn known(call: &Call<'_>, subject: &Subject) -> Result<(Vec<String>, bool, Source), Problem> {
    let Some(name) = subject.account_name() else {
        let source = match subject.as_str().split_once(':') {
            _ if subject.is_anonymous() => Source::Nobody,
            Some(("robot", _)) => Source::Robot,
            Some(("ldap", _)) => Source::Ldap,
            Some(("cert", _)) => Source::Certificate,
            Some(("oidc", _)) => Source::Oidc,
            Some(("issuer", _)) => Source::Issuer,
            _ => Source::Nobody,
        };
        return Ok((Vec::new(), false, source));
    };
    let account = call.meta().account(name).await?.filter(|account| account.name == name);
    Ok(match account {
        Some(account) if account.disabled => (Vec::new(), false, Source::Nobody),
        Some(account) => (account.groups.clone(), account.admin, Source::Account),
        None if call.app.access.auth.has_htpasswd_name(name) => (Vec::new(), false, Source::Htpasswd),
        None => (Vec::new(), false, Source::Account),
    })
}
