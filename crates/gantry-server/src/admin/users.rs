//! Accounts.

use gantry_oci::access::Subject;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{self, Account, AccountChange, NewAccount};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, Gate, input, json, listed};
use crate::auth::password::PasswordError;
use crate::auth::{AuthError, Credential, Source, accounts};
use crate::http::{Problem, Response, reply};

/// An account.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    /// Its name.
    name: String,
    /// Another name to log in by.
    email: Option<String>,
    /// Whether it may do everything.
    admin: bool,
    /// Whether it is nobody for now.
    disabled: bool,
    /// Groups that it belongs to.
    groups: Vec<String>,
    /// When it was made.
    #[schema(format = "date-time")]
    created: String,
    /// When its password was set last; null: it has none.
    #[schema(format = "date-time")]
    password_changed: Option<String>,
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(super) struct Users {
    users: Vec<User>,
    /// `after` of the next page.
    next: Option<String>,
}

/// An account to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    /// Up to 255 bytes without blanks, `:`, quotes, slashes and the like.
    name: String,
    /// Another name to log in by.
    #[serde(default)]
    email: Option<String>,
    /// From 8 characters to 1024 bytes; without one the account cannot log in by password.
    #[serde(default)]
    password: Option<String>,
    /// Whether it may do everything.
    #[serde(default)]
    #[schema(default = false)]
    admin: bool,
    /// Groups that it belongs to.
    #[serde(default)]
    groups: Vec<String>,
}

/// What is to be another way with an account; members that are not sent stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// Another name to log in by; null takes it away.
    #[serde(default, deserialize_with = "input::sent")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// A new password; ends the account's sessions and refresh tokens.
    #[serde(default)]
    password: Option<String>,
    /// The password until now: needed where others than server admins change their own.
    #[serde(default)]
    current_password: Option<String>,
    /// Whether it may do everything.
    #[serde(default)]
    admin: Option<bool>,
    /// Whether it is nobody for now; ends its sessions and refresh tokens.
    #[serde(default)]
    disabled: Option<bool>,
    /// Groups that it belongs to.
    #[serde(default)]
    groups: Option<Vec<String>>,
}

/// How many logins were ended.
#[derive(Serialize, ToSchema)]
pub(super) struct Ended {
    ended: u64,
}

impl From<&Account> for User {
    fn from(account: &Account) -> Self {
        Self {
            name: account.name.clone(),
            email: account.email.clone(),
            admin: account.admin,
            disabled: account.disabled,
            groups: account.groups.clone(),
            created: account.created.to_string(),
            password_changed: account.password.is_some().then(|| account.password_changed.to_string()),
        }
    }
}

pub(super) async fn list(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let after = call.query.get("after")?;
    let mut accounts = call.meta().accounts(after.as_deref(), limit + 1).await?;
    let next = input::cut(&mut accounts, limit, |account| account.name.clone());
    let users = accounts.iter().map(User::from).collect();
    listed(call, &Users { users, next: next.clone() }, "after", next.as_deref())
}

pub(super) async fn create(call: &Call<'_>, _: Permit, new: NewUser) -> Result<Response, Problem> {
    let name = new.name;
    accounts::check_name(&name).map_err(|error| Problem::Invalid(format!("`name`: {error}")))?;
    new.email.as_deref().map(check_email).transpose()?;
    check_groups(&new.groups)?;
    let password = match new.password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let account = NewAccount {
        name: name.clone(),
        email: new.email,
        password,
        admin: new.admin,
        groups: new.groups,
        created: Timestamp::now(),
    };
    let audit = access::AuditEntry {
        reason: if new.admin { "admin".to_owned() } else { String::new() },
        ..call.audit(&name)
    };
    call.changed(call.meta().create_account(account, audit).await?, "account or e-mail address").await?;
    let mut response = json(StatusCode::CREATED, &User::from(&*by_name(call, &name).await?))?;
    let location = format!("{}/api/users/{}", call.app.config.base_path, input::encode(&name));
    response.headers_mut().insert(http::header::LOCATION, reply::value(location));
    Ok(response)
}

/// By name alone: what stands in a path is not an e-mail address.
async fn by_name(call: &Call<'_>, name: &str) -> Result<std::sync::Arc<Account>, Problem> {
    let account = call.meta().account(name).await?;
    account.filter(|account| account.name == name).ok_or(Problem::NotFound("account"))
}

pub(super) async fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    json(StatusCode::OK, &User::from(&*by_name(call, &call.argument).await?))
}

pub(super) async fn change(call: &Call<'_>, permit: Permit, change: UserChange) -> Result<Response, Problem> {
    let account = by_name(call, &call.argument).await?;
    let name = account.name.clone();
    let mut told = Vec::new();
    let others = [
        ("email", change.email.is_some()),
        ("admin", change.admin.is_some()),
        ("disabled", change.disabled.is_some()),
        ("groups", change.groups.is_some()),
    ];
    told.extend(others.iter().filter(|(_, sent)| *sent).map(|(member, _)| *member));
    if !permit.is_of_server_admin() && !told.is_empty() {
        return Err(Problem::Forbidden(format!("only server admins change {}", told.join(", "))));
    }
    change.email.as_ref().and_then(Option::as_deref).map(check_email).transpose()?;
    change.groups.as_deref().map(check_groups).transpose()?;
    let password = match change.password {
        Some(password) => {
            if !permit.is_of_server_admin() {
                check_current(call, &name, change.current_password.as_deref()).await?;
            }
            told.push("password");
            Some(hash(password).await?)
        }
        None => None,
    };
    if !told.is_empty() {
        let row = AccountChange {
            email: change.email,
            password,
            admin: change.admin,
            disabled: change.disabled,
            groups: change.groups,
            at: Timestamp::now(),
        };
        let audit = access::AuditEntry { reason: told.join(", "), ..call.audit(&name) };
        call.changed(call.meta().change_account(&name, row, audit).await?, "account or e-mail address")
            .await?;
    }
    json(StatusCode::OK, &User::from(&*by_name(call, &name).await?))
}

/// Whoever finds an open session must not be able to keep the account. Asked of the chain, so that guessing is as slow as elsewhere.
async fn check_current(call: &Call<'_>, name: &str, password: Option<&str>) -> Result<(), Problem> {
    let password = password.ok_or_else(|| Problem::Invalid("`current_password` is missing".to_owned()))?;
    let Gate::Network(peer) = call.gate else { return Ok(()) };
    let wrong = || Problem::Forbidden("`current_password` is wrong".to_owned());
    match call.ask(peer, name, password).await {
        Ok(identity) if is_password_of(&identity, name) => Ok(()),
        Ok(_) | Err(Problem::Auth(AuthError::Refused | AuthError::Disabled)) => Err(wrong()),
        Err(problem) => Err(problem),
    }
}

fn is_password_of(identity: &crate::auth::Identity, name: &str) -> bool {
    identity.source == Source::Account
        && identity.credential == Credential::Password
        && identity.subject.account_name() == Some(name)
}

pub(super) async fn remove(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let name = by_name(call, &call.argument).await?.name.clone();
    let removed = call.meta().remove_account(&name, call.audit(&name)).await?;
    call.changed(removed, "account").await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn end_logins(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    // Not only of accounts: those of the directory have logins too, and none is no failure.
    let subject = call.account().ok_or(Problem::NotFound("account"))?;
    let ended = call.meta().end_logins(&subject, call.audit(subject.as_str())).await?;
    json(StatusCode::OK, &Ended { ended })
}

fn check_email(email: &str) -> Result<(), Problem> {
    match accounts::is_email(email) {
        true => Ok(()),
        false => Err(Problem::Invalid("`email` is not an e-mail address".to_owned())),
    }
}

/// Groups of an account at most.
const GROUPS_MAX: usize = 100;

fn check_groups(groups: &[String]) -> Result<(), Problem> {
    if groups.len() > GROUPS_MAX {
        return Err(Problem::Invalid(format!("`groups` are more than {GROUPS_MAX}")));
    }
    let good = |group: &String| format!("group:{group}").parse::<Subject>().is_ok() && group.len() <= 255;
    match groups.iter().all(good) {
        true => Ok(()),
        false => {
            Err(Problem::Invalid("`groups` holds one that is empty, too long or not printable".to_owned()))
        }
    }
}

async fn hash(password: String) -> Result<String, Problem> {
    accounts::hash(password).await.map_err(|error| match error {
        PasswordError::Failed => Problem::Internal("a password could not be hashed"),
        _ => Problem::Invalid(format!("`password`: {error}")),
    })
}
