//! May somebody do something, and by which rule (N-21).

use gantry_oci::access::{Action, Subject, TokenScope};
use gantry_oci::{Reference, RepoName, Tag};
use gantry_storage::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json};
use crate::auth::Source;
use crate::http::{Problem, Response};
use crate::policy;

/// Of so many tokens of a robot the scopes count here.
const ROBOT_TOKENS: usize = 1000;

/// What is asked.
pub(super) struct Asked {
    pub(super) subject: Subject,
    pub(super) repository: RepoName,
    action: Action,
    tag: Option<Tag>,
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
    Ok(Asked { subject: subject.unwrap_or_else(|| call.caller.subject.clone()), repository, action, tag })
}

pub(super) async fn show(call: &Call<'_>, _: Permit, asked: Asked) -> Result<Response, Problem> {
    let Asked { subject, repository, action, tag } = asked;
    let caller = &call.caller;
    let who = match subject == caller.subject {
        true => Who {
            groups: caller.groups.clone(),
            admin: caller.admin,
            source: caller.source,
            own: caller.own.clone(),
        },
        false => match known(call, &subject).await? {
            Some(who) => who,
            None => return disabled(call, &subject, &repository),
        },
    };
    let tag = match tag {
        Some(tag) if action == Action::Push => there(call, &repository, tag).await?,
        tag => tag,
    };
    // As wide as the subject: what a credential is narrowed to is not asked about.
    let told = call.rules.explain(&policy::Asked {
        subject,
        groups: who.groups,
        admin: who.admin,
        source: who.source,
        own: who.own,
        action,
        repository: repository.as_str().to_owned(),
        tag: tag.map(|tag| tag.as_str().to_owned()),
    });
    let repository = repository.as_str();
    let may_know = call.rules.lists(caller, repository) || call.rules.administers(caller, repository);
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

/// What is known of somebody.
struct Who {
    groups: Vec<String>,
    admin: bool,
    source: Source,
    own: Vec<TokenScope>,
}

impl Who {
    fn of(source: Source) -> Self {
        Self { groups: Vec::new(), admin: false, source, own: Vec::new() }
    }
}

/// What rows know of somebody; of whom they know nothing others vouch. `None`: an account that is disabled.
async fn known(call: &Call<'_>, subject: &Subject) -> Result<Option<Who>, Problem> {
    let Some(name) = subject.account_name() else {
        return Ok(Some(match subject.as_str().split_once(':') {
            _ if subject.is_anonymous() => Who::of(Source::Nobody),
            Some(("robot", _)) => Who { own: scopes_of(call, subject).await?, ..Who::of(Source::Robot) },
            Some(("ldap", _)) => Who::of(Source::Ldap),
            Some(("cert", _)) => Who::of(Source::Certificate),
            Some(("oidc", _)) => Who::of(Source::Oidc),
            Some(("issuer", _)) => Who::of(Source::Issuer),
            _ => Who::of(Source::Nobody),
        }));
    };
    let account = call.meta().account(name).await?.filter(|account| account.name == name);
    Ok(match account {
        Some(account) if account.disabled => None,
        Some(account) => {
            Some(Who { groups: account.groups.clone(), admin: account.admin, ..Who::of(Source::Account) })
        }
        None if call.app.access.auth.has_htpasswd_name(name) => Some(Who::of(Source::Htpasswd)),
        None => Some(Who::of(Source::Account)),
    })
}

/// What the tokens of a robot were made for, of those that have not ended.
async fn scopes_of(call: &Call<'_>, robot: &Subject) -> Result<Vec<TokenScope>, Problem> {
    let now = Timestamp::now();
    let tokens = call.meta().tokens(Some(robot), None, ROBOT_TOKENS).await?;
    let good = tokens.into_iter().filter(|token| token.expires.is_none_or(|at| at > now));
    Ok(good.flat_map(|token| token.scopes).collect())
}

/// The tag, if it is in the repository: a new one is held by no rule.
async fn there(call: &Call<'_>, repository: &RepoName, tag: Tag) -> Result<Option<Tag>, Problem> {
    let reference = Reference::Tag(tag.clone());
    Ok(call.meta().manifest(repository, &reference).await?.map(|_| tag))
}

/// Nothing of a disabled account counts, whatever is granted to it.
fn disabled(call: &Call<'_>, subject: &Subject, repository: &RepoName) -> Result<Response, Problem> {
    let repository = repository.as_str();
    let namespace = call.rules.namespace_of(repository);
    json(
        StatusCode::OK,
        &Explanation {
            allowed: false,
            rule: None,
            missing: Some(format!("an account that is enabled: {subject} is disabled")),
            namespace: namespace.prefix.clone(),
            visibility: Some(namespace.visibility.to_string()),
        },
    )
}
