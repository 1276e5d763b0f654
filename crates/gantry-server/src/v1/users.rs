//! `/v1/users/`: login, and accounts where the operator opens that.
//!
//! `docker login` asks first for a new account, and only when there is one already (or it is not given one) whether its password is
//! good. So the first question is answered in words that it compares, and costs next to nothing where accounts are not for all.

use gantry_oci::access::Subject;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{AccountChange, AuditEntry, Changed, NewAccount};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Context, index};
use crate::auth::password::PasswordError;
use crate::auth::{Credential, Source, accounts};
use crate::config::Anonymous;
use crate::http::legacy::Failure;
use crate::http::reply::{self, json};
use crate::http::{RequestBody, Response};
use crate::policy::Rules;
use crate::registry::RegistryError;

/// The largest body, in bytes.
const BODY_MAX: u64 = 16 << 10;

/// Whether the credentials are good.
pub(super) fn login(cx: &Context<'_>) -> Result<Response, Failure> {
    let rules = &cx.caller.rules;
    match !cx.caller.identity.is_anonymous() || is_open(rules) {
        true => Ok(index::ok()),
        false => Err(Failure::Unauthorized),
    }
}

/// Nobody can be somebody, and callers may do something all the same: whatever they remember to log in by is good.
fn is_open(rules: &Rules) -> bool {
    !rules.has_accounts() && rules.anonymous() != Anonymous::None
}

/// An account to make, as `docker login` asks for it.
#[derive(Deserialize)]
struct NewUser {
    username: String,
    password: String,
    #[serde(default)]
    email: Option<String>,
}

/// Makes an account without any right.
pub(super) async fn sign_up(cx: &Context<'_>, body: RequestBody) -> Result<Response, Failure> {
    // The first account would close a registry that is open because there is none.
    if is_open(&cx.caller.rules) {
        return Ok(json(StatusCode::CREATED, "application/json", b"\"User Created\"".to_vec()));
    }
    if !cx.app.config.settings.v1.sign_up || !cx.caller.rules.has_accounts() {
        return Err(Failure::Unauthorized);
    }
    let new: NewUser = read(body).await?;
    let name = accounts::check_name(&new.username).map_err(|_| bad("Invalid username"))?;
    let email = new.email.filter(|email| !email.is_empty());
    check_email(email.as_deref())?;
    // Clients go on to check the password, so that a login is as good as before.
    if !cx.app.access.auth.may_look_up(address(cx)) {
        return Err(Failure::Unauthorized);
    }
    for text in [Some(name.as_str()), email.as_deref()].into_iter().flatten() {
        if is_taken(cx, text).await? {
            return Ok(taken());
        }
    }
    cx.app.access.auth.count_sign_up(address(cx))?;
    let account = NewAccount {
        name: new.username,
        email,
        password: Some(hash(new.password).await?),
        admin: false,
        groups: Vec::new(),
        created: Timestamp::now(),
    };
    let audit = audit(cx, "user.create", name.as_str(), "sign-up");
    let made = cx.app.registry.meta().create_account(account, audit).await;
    let response = json(StatusCode::CREATED, "application/json", b"\"User Created\"".to_vec());
    changed(cx, made.map_err(RegistryError::Storage)?, response).await
}

/// What somebody wants to be another way.
#[derive(Deserialize)]
struct UserChange {
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    email: Option<String>,
}

/// Changes the caller's own password or e-mail address.
pub(super) async fn change(cx: &Context<'_>, name: &str, body: RequestBody) -> Result<Response, Failure> {
    let caller = &cx.caller.identity;
    if caller.is_anonymous() {
        return Err(match cx.caller.rules.has_accounts() {
            true => Failure::Unauthorized,
            false => Failure::Said(StatusCode::NOT_FOUND, "User not found"),
        });
    }
    if caller.source != Source::Account || caller.subject.account_name() != Some(name) {
        return Err(Failure::Said(StatusCode::FORBIDDEN, "only an own account can be changed"));
    }
    // Whoever finds a token, or an open connection, must not be able to keep the account.
    if caller.credential != Credential::Password || !caller.may_administer() {
        return Err(Failure::Said(StatusCode::FORBIDDEN, "an account is changed with its password only"));
    }
    let change: UserChange = read(body).await?;
    let email = change.email.filter(|email| !email.is_empty());
    check_email(email.as_deref())?;
    if let Some(email) = email.as_deref() {
        let account = cx.app.registry.meta().account(email).await.map_err(RegistryError::Storage)?;
        if account.is_none_or(|account| account.name != name) && is_taken(cx, email).await? {
            return Ok(taken());
        }
    }
    let told: Vec<_> = [("email", email.is_some()), ("password", change.password.is_some())]
        .into_iter()
        .filter_map(|(member, sent)| sent.then_some(member))
        .collect();
    if told.is_empty() {
        return Err(bad("Invalid data"));
    }
    let password = match change.password {
        Some(password) => Some(hash(password).await?),
        None => None,
    };
    let row = AccountChange {
        email: email.map(Some),
        password,
        admin: None,
        disabled: None,
        groups: None,
        at: Timestamp::now(),
    };
    let audit = audit(cx, "user.change", name, &told.join(", "));
    let made = cx.app.registry.meta().change_account(name, row, audit).await;
    changed(cx, made.map_err(RegistryError::Storage)?, reply::empty(StatusCode::NO_CONTENT)).await
}

/// Makes what was changed act on the next request, and says what became of it.
async fn changed(cx: &Context<'_>, changed: Changed, response: Response) -> Result<Response, Failure> {
    match changed {
        Changed::Done => {
            cx.app.access.rules().await.map_err(RegistryError::Storage)?;
            Ok(response)
        }
        Changed::Exists => Ok(taken()),
        Changed::Unknown | Changed::LastAdmin => Err(Failure::Said(StatusCode::NOT_FOUND, "User not found")),
    }
}

/// In the words that clients compare, with the quotes.
fn taken() -> Response {
    let words = b"\"Username or email already exists\"".to_vec();
    json(StatusCode::BAD_REQUEST, "application/json", words)
}

/// Whether a name or e-mail address is somebody's: whoever signs up must not come before others, nor find rights that wait for
/// somebody of that name.
async fn is_taken(cx: &Context<'_>, text: &str) -> Result<bool, Failure> {
    let waits = |subject: &Subject| {
        let name = subject.account_name().or_else(|| subject.as_str().split_once(':').map(|(_, name)| name));
        name.is_some_and(|name| name.eq_ignore_ascii_case(text))
    };
    let named = cx.caller.rules.grants().any(|grant| waits(&grant.subject));
    Ok(named || cx.app.access.auth.knows_name(text, address(cx)).await?)
}

async fn read<T: DeserializeOwned>(body: RequestBody) -> Result<T, Failure> {
    let body = body.collect(BODY_MAX).await?;
    serde_json::from_slice(&body).map_err(|error| match error.is_data() {
        true => bad("Invalid data"),
        false => bad("Error Decoding JSON"),
    })
}

fn check_email(email: Option<&str>) -> Result<(), Failure> {
    match email.is_none_or(accounts::is_email) {
        true => Ok(()),
        false => Err(bad("Invalid email")),
    }
}

async fn hash(password: String) -> Result<String, Failure> {
    accounts::hash(password).await.map_err(|error| match error {
        PasswordError::Failed => Failure::Registry(RegistryError::Internal("a password could not be hashed")),
        PasswordError::Short => bad("the password is too short: expected at least 8 characters"),
        PasswordError::Long => bad("the password is too long: expected at most 1024 bytes"),
        PasswordError::Form => {
            bad("a password must not begin as tokens do (`gty_`), or hold control characters")
        }
    })
}

fn bad(what: &'static str) -> Failure {
    Failure::Said(StatusCode::BAD_REQUEST, what)
}

fn address(cx: &Context<'_>) -> std::net::IpAddr {
    cx.peer.client(&cx.parts.headers, cx.app.config.trusted_proxies())
}

fn audit(cx: &Context<'_>, action: &str, name: &str, reason: &str) -> AuditEntry {
    let identity = &cx.caller.identity;
    AuditEntry {
        at: Timestamp::now(),
        subject: if identity.is_anonymous() { String::new() } else { identity.subject.to_string() },
        address: address(cx).to_string(),
        action: action.to_owned(),
        object: name.to_owned(),
        allowed: true,
        reason: reason.to_owned(),
        request: cx.id.to_string(),
        ..AuditEntry::default()
    }
}
