//! Namespaces: settings of all repositories below a prefix. Those of the configuration file are shown and stay (N-20).

use gantry_oci::RepoName;
use gantry_oci::access::{RepoPattern, TagPattern, Visibility};
use gantry_storage::Timestamp;
use gantry_storage::meta::access;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input::Object;
use super::openapi::VisibilityWord;
use super::rights::Permit;
use super::{Call, input, json, listed, storages};
use crate::http::{Problem, Response, reply};
use crate::policy::{self, Origin};

/// A namespace.
#[derive(Serialize, ToSchema)]
pub(super) struct Namespace {
    /// Whole components of names; `/` is everything.
    prefix: String,
    /// Where bytes go that are pushed there.
    storage: String,
    #[schema(value_type = VisibilityWord)]
    visibility: Visibility,
    tags: Tags,
    /// For people.
    description: String,
    /// Where it stands: `file` or `row`.
    origin: &'static str,
}

/// Rules for tags.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tags {
    /// Patterns of tags that cannot be moved or removed.
    #[serde(default)]
    immutable: Vec<String>,
    /// Patterns of tags that only admins of the namespace move or remove.
    #[serde(default)]
    protected: Vec<String>,
}

/// A page of namespaces.
#[derive(Serialize, ToSchema)]
pub(super) struct Namespaces {
    namespaces: Vec<Namespace>,
    /// `after` of the next page.
    next: Option<String>,
}

/// A namespace to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNamespace {
    /// Whole components of names; `/` is everything.
    prefix: String,
    /// Where bytes are to go that are pushed there; `default` when it is not said.
    #[serde(default)]
    storage: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<VisibilityWord>)]
    visibility: Option<Visibility>,
    #[serde(default)]
    #[schema(value_type = Tags)]
    tags: Object<Tags>,
    /// For people.
    #[serde(default)]
    description: String,
}

/// What is to be another way; members that are not sent stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespaceChange {
    /// Where bytes are to go; those that are elsewhere are moved by a job. Only server admins.
    #[serde(default)]
    storage: Option<String>,
    #[serde(default)]
    #[schema(value_type = Option<VisibilityWord>)]
    visibility: Option<Visibility>,
    #[serde(default)]
    #[schema(value_type = Option<Tags>)]
    tags: Option<Object<Tags>>,
    /// For people.
    #[serde(default)]
    description: Option<String>,
}

/// A namespace that was changed.
#[derive(Serialize, ToSchema)]
pub(super) struct Changed {
    #[serde(flatten)]
    namespace: Namespace,
    /// The job that moves the bytes; null: nothing is moved.
    job: Option<u64>,
}

/// A prefix that a path or body names.
pub(super) struct Prefix {
    /// As it is stored: the root is empty.
    text: String,
    /// All names below.
    pub(super) pattern: RepoPattern,
}

/// Rules for tags of one kind at most.
const PATTERNS_MAX: usize = 100;
/// The longest description, in bytes.
const DESCRIPTION_MAX: usize = 1000;

fn prefix(text: &str) -> Option<Prefix> {
    if text == "/" {
        return Some(Prefix { text: String::new(), pattern: RepoPattern::everything() });
    }
    let name: RepoName = text.parse().ok()?;
    Some(Prefix { text: name.as_str().to_owned(), pattern: name.as_str().parse().ok()? })
}

/// The namespace that the path names, whether or not there is one.
pub(super) fn named(call: &Call<'_>) -> Result<Prefix, Problem> {
    prefix(&call.argument).ok_or(Problem::NotFound("namespace"))
}

fn shown(prefix: &str) -> String {
    if prefix.is_empty() { "/".to_owned() } else { prefix.to_owned() }
}

fn texts(patterns: &[TagPattern]) -> Vec<String> {
    patterns.iter().map(TagPattern::to_string).collect()
}

fn patterns(member: &str, texts: &[String]) -> Result<Vec<TagPattern>, Problem> {
    if texts.len() > PATTERNS_MAX {
        return Err(Problem::Invalid(format!("`tags.{member}` are more than {PATTERNS_MAX}")));
    }
    texts.iter().map(|text| input::member(&format!("tags.{member}"), text)).collect()
}

impl From<&policy::Namespace> for Namespace {
    fn from(namespace: &policy::Namespace) -> Self {
        Self {
            prefix: shown(&namespace.prefix),
            storage: namespace.storage.clone(),
            visibility: namespace.visibility,
            tags: Tags { immutable: texts(&namespace.immutable), protected: texts(&namespace.protected) },
            description: namespace.description.clone(),
            origin: if namespace.origin == Origin::File { "file" } else { "row" },
        }
    }
}

impl From<&access::Namespace> for Namespace {
    fn from(row: &access::Namespace) -> Self {
        Self {
            prefix: shown(&row.prefix),
            storage: row.storage.clone(),
            visibility: row.visibility,
            tags: Tags { immutable: texts(&row.immutable), protected: texts(&row.protected) },
            description: row.description.clone(),
            origin: "row",
        }
    }
}

pub(super) async fn list(call: &Call<'_>, permit: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.query.get("after")?.map(|text| if text == "/" { String::new() } else { text });
    let all = call.rules.namespaces();
    let mut found: Vec<_> = all
        .into_iter()
        .filter(|namespace| after.as_deref().is_none_or(|after| namespace.prefix.as_str() > after))
        .filter(|namespace| {
            let pattern = prefix(&shown(&namespace.prefix)).map(|prefix| prefix.pattern);
            permit.is_of_server_admin()
                || pattern.is_some_and(|pattern| call.rules.administers_all(&call.caller, &pattern))
        })
        .take(limit + 1)
        .collect();
    let next = input::cut(&mut found, limit, |namespace| shown(&namespace.prefix));
    let namespaces = found.into_iter().map(|namespace| Namespace::from(&**namespace)).collect();
    listed(call, &Namespaces { namespaces, next: next.clone() }, "after", next.as_deref())
}

pub(super) async fn show(call: &Call<'_>, _: Permit, prefix: &Prefix) -> Result<Response, Problem> {
    let namespace = call.rules.namespace(&prefix.text).ok_or(Problem::NotFound("namespace"))?;
    json(StatusCode::OK, &Namespace::from(&**namespace))
}

pub(super) async fn create(call: &Call<'_>, _: Permit, new: NewNamespace) -> Result<Response, Problem> {
    let wrong = "`prefix` is neither `/` nor made of whole components of repository names";
    let prefix = prefix(&new.prefix).ok_or_else(|| Problem::Invalid(wrong.to_owned()))?;
    not_of_file(call, &prefix)?;
    input::text("description", &new.description, DESCRIPTION_MAX)?;
    let storage = new.storage.unwrap_or_else(|| storages::DEFAULT.to_owned());
    storages::must_exist(call, &storage)?;
    let row = access::Namespace {
        prefix: prefix.text.clone(),
        storage,
        visibility: new.visibility.unwrap_or(Visibility::Private),
        immutable: patterns("immutable", &new.tags.0.immutable)?,
        protected: patterns("protected", &new.tags.0.protected)?,
        description: new.description,
        created: Timestamp::now(),
    };
    let made = Namespace::from(&row);
    let audit = access::AuditEntry { reason: words(&row), ..call.audit(shown(&prefix.text)) };
    call.changed(call.meta().put_namespace(row, false, audit).await?, "namespace").await?;
    let location = format!("{}/api/namespaces/{}", call.app.config.base_path, input::encode(&made.prefix));
    let mut response = json(StatusCode::CREATED, &made)?;
    response.headers_mut().insert(http::header::LOCATION, reply::value(location));
    Ok(response)
}

/// What the audit log says of how a namespace is now.
fn words(row: &access::Namespace) -> String {
    let list = |patterns: &[TagPattern]| texts(patterns).join(" ");
    input::cut_text(&format!(
        "{} in {}; immutable: {}; protected: {}",
        row.visibility,
        row.storage,
        list(&row.immutable),
        list(&row.protected)
    ))
}

/// N-20
fn not_of_file(call: &Call<'_>, prefix: &Prefix) -> Result<(), Problem> {
    match call.rules.namespace(&prefix.text) {
        Some(namespace) if namespace.origin == Origin::File => Err(Problem::Conflict {
            name: "in-file",
            detail: match prefix.text.as_str() {
                "" => "the namespace stands in the configuration file, in the [[namespace]] without a prefix: change it there".to_owned(),
                text => format!(
                    "the namespace stands in the configuration file, in the [[namespace]] with prefix = \"{text}\": change it there"
                ),
            },
        }),
        _ => Ok(()),
    }
}

pub(super) async fn change(
    call: &Call<'_>,
    permit: Permit,
    prefix: &Prefix,
    change: NamespaceChange,
) -> Result<Response, Problem> {
    not_of_file(call, prefix)?;
    if change.storage.is_some() && !permit.is_of_server_admin() {
        return Err(Problem::Forbidden("only server admins change the storage of a namespace".to_owned()));
    }
    let _one = call.app.access.changing_namespace.lock().await;
    let rows = call.meta().namespaces().await?;
    let mut row =
        rows.into_iter().find(|row| row.prefix == prefix.text).ok_or(Problem::NotFound("namespace"))?;
    let before = row.clone();
    // Said once more it is ordered once more: whoever was cut off between the change and its job repeats the command.
    let ordered = change.storage.is_some();
    if let Some(visibility) = change.visibility {
        row.visibility = visibility;
    }
    if let Some(Object(tags)) = change.tags {
        row.immutable = patterns("immutable", &tags.immutable)?;
        row.protected = patterns("protected", &tags.protected)?;
        // N-19: what is immutable binds the namespace's admin too.
        let kept = before.immutable.iter().all(|pattern| row.immutable.contains(pattern));
        if !kept && !permit.is_of_server_admin() {
            return Err(Problem::Forbidden(
                "only server admins take back that tags are immutable".to_owned(),
            ));
        }
    }
    if let Some(description) = change.description {
        input::text("description", &description, DESCRIPTION_MAX)?;
        row.description = description;
    }
    if let Some(storage) = change.storage {
        storages::must_exist(call, &storage)?;
        row.storage = storage;
    }
    let moves = row.storage != before.storage;
    let namespace = Namespace::from(&row);
    if row != before {
        let action = if moves { "namespace.move" } else { call.action };
        let audit = access::AuditEntry {
            action: action.to_owned(),
            reason: words(&row),
            ..call.audit(shown(&prefix.text))
        };
        call.changed(call.meta().put_namespace(row.clone(), true, audit).await?, "namespace").await?;
    }
    // After the change, so that what is pushed meanwhile goes to the new place already.
    let job = if ordered { storages::begin_move(call, &row.prefix, &row.storage).await? } else { None };
    json(StatusCode::OK, &Changed { namespace, job })
}

pub(super) async fn remove(call: &Call<'_>, _: Permit, prefix: &Prefix) -> Result<Response, Problem> {
    not_of_file(call, prefix)?;
    let forced = call.query.parse::<bool>("force", "`true` or `false`")? == Some(true);
    if !forced && let Some(around) = call.rules.opened_without(&prefix.text) {
        return Err(Problem::Conflict {
            name: "opens",
            detail: format!(
                "without this namespace what is below it is {around}: everybody could pull it; `force` removes it nevertheless"
            ),
        });
    }
    let removed = call.meta().remove_namespace(&prefix.text, call.audit(shown(&prefix.text))).await?;
    call.changed(removed, "namespace").await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}
