//! Grants: who has which role where. Those of the configuration file are shown and stay.

use gantry_oci::access::{RepoPattern, Role, Subject};
use gantry_storage::Timestamp;
use gantry_storage::meta::access;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::openapi::RoleWord;
use super::rights::Permit;
use super::{Call, input, json, listed};
use crate::http::{Problem, Response, reply};
use crate::policy::Origin;

/// A grant.
#[derive(Serialize, ToSchema)]
pub(super) struct Grant {
    /// By which it is removed; null: it stands in the configuration file.
    id: Option<i64>,
    /// Who has the role.
    subject: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// Repositories: a name (it and all below) or a glob.
    pattern: String,
    /// Where it stands: `file` or `row`.
    origin: &'static str,
    /// Who gave it; null: it stands in the configuration file.
    created_by: Option<String>,
    /// When.
    #[schema(format = "date-time")]
    created: Option<String>,
}

/// A page of grants.
#[derive(Serialize, ToSchema)]
pub(super) struct Grants {
    grants: Vec<Grant>,
    /// `after` of the next page.
    next: Option<String>,
}

/// A grant to give.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    /// `anonymous`, the name of an account, `robot:NAME`, `group:NAME`, `ldap:NAME`, `cert:NAME`, `oidc:ISSUER:SUB` or
    /// `issuer:ISSUER:SUB`.
    subject: String,
    #[schema(value_type = RoleWord)]
    role: Role,
    /// Repositories: a name (it and all below), a glob (`team/*-base`, `**/cache`), or `/` for everything.
    pattern: String,
}

impl From<&access::Grant> for Grant {
    fn from(grant: &access::Grant) -> Self {
        Self {
            id: Some(grant.id),
            subject: grant.subject.to_string(),
            role: grant.role,
            pattern: grant.pattern.to_string(),
            origin: "row",
            created_by: Some(grant.created_by.to_string()),
            created: Some(grant.created.to_string()),
        }
    }
}

/// What is to be given, understood.
pub(super) struct Wanted {
    subject: Subject,
    role: Role,
    pub(super) pattern: RepoPattern,
}

pub(super) fn wanted(_: &Call<'_>, new: &NewGrant) -> Result<Wanted, Problem> {
    let subject: Subject = input::member("subject", &new.subject)?;
    if input::is_secret(&new.subject) {
        return Err(Problem::Invalid(
            "`subject` looks like a token: expected whose it is, such as robot:NAME".to_owned(),
        ));
    }
    let pattern = match new.pattern.as_str() {
        "/" => RepoPattern::everything(),
        text => input::member("pattern", text)?,
    };
    // Who may push without credentials, the operator writes into the file.
    if subject.is_anonymous() && new.role != Role::Pull {
        return Err(Problem::Invalid(
            "`role`: callers without credentials can be granted `pull` at most".to_owned(),
        ));
    }
    Ok(Wanted { subject, role: new.role, pattern })
}

pub(super) async fn add(call: &Call<'_>, _: Permit, wanted: Wanted) -> Result<Response, Problem> {
    let Wanted { subject, role, pattern } = wanted;
    let audit = call.audit(object(&subject, role, &pattern));
    let row = access::NewGrant {
        subject: subject.clone(),
        role,
        pattern: pattern.clone(),
        created_by: call.caller.subject.clone(),
        created: Timestamp::now(),
    };
    call.changed(call.meta().add_grant(row, audit).await?, "grant").await?;
    let rows = call.meta().grants().await?;
    let made = rows.iter().find(|row| row.subject == subject && row.role == role && row.pattern == pattern);
    // Somebody may have removed it since.
    json(StatusCode::CREATED, &Grant::from(made.ok_or(Problem::NotFound("grant"))?))
}

/// What the audit log calls a grant.
fn object(subject: &Subject, role: Role, pattern: &RepoPattern) -> String {
    format!("{subject} {role} {pattern}")
}

/// The grant that the path names.
pub(super) async fn named(call: &Call<'_>) -> Result<access::Grant, Problem> {
    if call.argument.strip_prefix("file-").is_some_and(|number| number.parse::<usize>().is_ok()) {
        return Err(Problem::Conflict {
            name: "in-file",
            detail: "this grant stands in the configuration file, in the `grants` of its [[namespace]]: change it there".to_owned(),
        });
    }
    let id: i64 = call.argument.parse().map_err(|_| Problem::NotFound("grant"))?;
    call.meta().grants().await?.into_iter().find(|grant| grant.id == id).ok_or(Problem::NotFound("grant"))
}

pub(super) async fn remove(call: &Call<'_>, _: Permit, grant: &access::Grant) -> Result<Response, Problem> {
    let audit = call.audit(object(&grant.subject, grant.role, &grant.pattern));
    call.changed(call.meta().remove_grant(grant.id, audit).await?, "grant").await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// Those of the file first, as if they were numbered from minus infinity on.
pub(super) async fn list(call: &Call<'_>, permit: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let of: Option<Subject> = call.query.parse("subject", "a subject")?;
    let pattern = call.query.get("pattern")?.map(|text| if text == "/" { "**".to_owned() } else { text });
    let after = call.query.get("after")?.map(|text| place(&text)).transpose()?;
    let shown = |subject: &Subject, on: &RepoPattern| {
        of.as_ref().is_none_or(|of| of == subject)
            && pattern.as_ref().is_none_or(|pattern| pattern == on.as_str())
            && (permit.is_of_server_admin()
                || concerns(call, subject)
                || call.rules.administers_all(&call.caller, on))
    };
    let mut of_file: Vec<_> = call.rules.grants().filter(|grant| grant.origin == Origin::File).collect();
    of_file.sort_by_key(|grant| (grant.pattern.clone(), grant.subject.clone(), grant.role));
    let mut found: Vec<(Place, Grant)> = Vec::new();
    for (number, grant) in
        of_file.into_iter().enumerate().filter(|(_, grant)| shown(&grant.subject, &grant.pattern))
    {
        let row = Grant {
            id: None,
            subject: grant.subject.to_string(),
            role: grant.role,
            pattern: grant.pattern.to_string(),
            origin: "file",
            created_by: None,
            created: None,
        };
        found.push((Place::File(number), row));
    }
    let rows = call.meta().grants().await?;
    let rows = rows.iter().filter(|grant| shown(&grant.subject, &grant.pattern));
    found.extend(rows.map(|grant| (Place::Row(grant.id), Grant::from(grant))));
    found.retain(|(place, _)| after.is_none_or(|after| *place > after));
    let next = input::cut(&mut found, limit, |(place, _)| match place {
        Place::File(number) => format!("file-{number}"),
        Place::Row(id) => id.to_string(),
    });
    let grants = found.into_iter().map(|(_, grant)| grant).collect();
    listed(call, &Grants { grants, next: next.clone() }, "after", next.as_deref())
}

/// Where a page goes on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    File(usize),
    Row(i64),
}

fn place(text: &str) -> Result<Place, Problem> {
    let place = match text.strip_prefix("file-") {
        Some(number) => number.parse().ok().map(Place::File),
        None => text.parse().ok().map(Place::Row),
    };
    place.ok_or_else(|| Problem::Invalid("`after` is not the `next` of a page".to_owned()))
}

/// Whether a grant is the caller's own: given to them or to a group of theirs.
fn concerns(call: &Call<'_>, subject: &Subject) -> bool {
    *subject == call.caller.subject
        || subject.group_name().is_some_and(|group| call.caller.groups.iter().any(|own| own == group))
}
