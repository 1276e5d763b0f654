//! Personal tokens, which narrow their owner, and robots' tokens, which hold rights of their own.

use std::sync::Arc;

use gantry_oci::access::{RepoPattern, Subject, TokenScope};
use gantry_storage::Timestamp;
use gantry_storage::meta::access;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::rights::{About, Permit};
use super::route::Route;
use super::{Call, input, json, listed};
use crate::auth::secret::{TOKEN_PREFIX, new_secret};
use crate::http::{Problem, Response, reply};

/// A personal or robot token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token {
    #[schema(format = "uuid")]
    id: String,
    /// What its owner calls it.
    name: String,
    /// The account that it belongs to, or `robot:NAME`.
    subject: String,
    /// What it is narrowed to; of a robot what it may. Empty: as wide as its owner.
    scopes: Vec<String>,
    /// Who made it.
    created_by: String,
    #[schema(format = "date-time")]
    created: String,
    /// When it ends; null: never.
    #[schema(format = "date-time")]
    expires: Option<String>,
    /// When it was used last, about.
    #[schema(format = "date-time")]
    last_used: Option<String>,
}

impl From<&access::Token> for Token {
    fn from(token: &access::Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            subject: token.subject.to_string(),
            scopes: token.scopes.iter().map(TokenScope::to_string).collect(),
            created_by: token.created_by.to_string(),
            created: token.created.to_string(),
            expires: token.expires.map(|at| at.to_string()),
            last_used: token.last_used.map(|at| at.to_string()),
        }
    }
}

/// A page of tokens.
#[derive(Serialize, ToSchema)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    /// `after` of the next page.
    next: Option<String>,
}

/// A token to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// What it is to be called, up to 100 bytes.
    name: String,
    /// Such as `team/**:pull,push`. A robot needs some; a personal token without any is as wide as its owner.
    #[serde(default)]
    scopes: Vec<String>,
    /// A length of time (`30d`) or a moment (RFC 3339); null: it does not end.
    #[serde(default)]
    expires: Option<String>,
    /// The name of the robot whose token it is to be.
    #[serde(default)]
    robot: Option<String>,
    /// The account whose token it is to be; oneself when it is not said. Only server admins name others.
    #[serde(default)]
    owner: Option<String>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub(super) struct TokenMade {
    token: Token,
    /// To log in with, as a password under any name. It is not kept and cannot be shown again.
    secret: String,
}

/// Scopes of a token at most.
const SCOPES_MAX: usize = 100;

/// What is to be made, understood.
pub(super) struct Wanted {
    name: String,
    pub(super) subject: Subject,
    pub(super) scopes: Vec<TokenScope>,
    expires: Option<Timestamp>,
}

pub(super) fn wanted(call: &Call<'_>, new: NewToken) -> Result<Wanted, Problem> {
    input::text("name", &new.name, 100)?;
    if new.name.trim().is_empty() || input::is_secret(&new.name) {
        return Err(Problem::Invalid("`name` is empty, or looks like a token".to_owned()));
    }
    if new.scopes.len() > SCOPES_MAX {
        return Err(Problem::Invalid(format!("`scopes` are more than {SCOPES_MAX}")));
    }
    let scopes: Result<Vec<_>, _> = new.scopes.iter().map(|scope| input::member("scopes", scope)).collect();
    let scopes: Vec<TokenScope> = scopes?;
    let named = |member: &str, name: Result<Subject, _>| {
        name.map_err(|error: gantry_oci::access::SubjectError| {
            Problem::Invalid(format!("`{member}`: {error}"))
        })
    };
    let subject = match (&new.robot, &new.owner) {
        (Some(_), Some(_)) => {
            return Err(Problem::Invalid(
                "a token is either a robot's or of an `owner`, not both".to_owned(),
            ));
        }
        (Some(_), None) if scopes.is_empty() => {
            return Err(Problem::Invalid("a robot's token needs `scopes`: they are what it may".to_owned()));
        }
        (Some(robot), None) if input::is_secret(robot) => {
            return Err(Problem::Invalid("`robot` looks like a token".to_owned()));
        }
        (Some(robot), None) => named("robot", Subject::robot(robot))?,
        (None, Some(owner)) => named("owner", Subject::account(owner))?,
        (None, None) if call.caller.subject.account_name().is_none() => {
            return Err(Problem::Invalid(
                "`owner` or `robot` is missing: whose token is it to be?".to_owned(),
            ));
        }
        (None, None) => call.caller.subject.clone(),
    };
    let expires = new.expires.as_deref().map(|text| input::expiry(text, Timestamp::now())).transpose()?;
    Ok(Wanted { name: new.name, subject, scopes, expires })
}

/// Entries of one look at the tokens of a robot.
const LOOK: usize = 100;

/// A robot's tokens share its name, and with it every grant to the robot: who makes one more must be admin of all that.
async fn must_be_admin_of(call: &Call<'_>, robot: &Subject) -> Result<(), Problem> {
    let rules = &call.rules;
    let administers = |pattern: &RepoPattern| rules.administers_all(&call.caller, pattern);
    let mut own =
        rules.grants().filter(|grant| grant.subject == *robot).all(|grant| administers(&grant.pattern));
    let mut after = None;
    while own {
        let tokens = call.meta().tokens(Some(robot), after, LOOK).await?;
        own = tokens.iter().flat_map(|token| &token.scopes).all(|scope| administers(&scope.pattern));
        if tokens.len() < LOOK {
            break;
        }
        after = tokens.last().map(|token| token.id);
    }
    match own {
        true => Ok(()),
        false => Err(Problem::Forbidden(
            "there is a robot of this name that may more than the caller administers: choose another"
                .to_owned(),
        )),
    }
}

pub(super) async fn create(call: &Call<'_>, permit: Permit, wanted: Wanted) -> Result<Response, Problem> {
    if !permit.is_of_server_admin() && wanted.subject.robot_name().is_some() {
        must_be_admin_of(call, &wanted.subject).await?;
    }
    let (secret, hash) =
        new_secret(TOKEN_PREFIX).map_err(|_| Problem::Internal("the system has no random numbers"))?;
    let token = access::Token {
        id: Uuid::new_v4(),
        name: wanted.name,
        subject: wanted.subject,
        scopes: wanted.scopes,
        created_by: call.caller.subject.clone(),
        created: Timestamp::now(),
        expires: wanted.expires,
        last_used: None,
    };
    let shown = Token::from(&token);
    let audit = access::AuditEntry { reason: scopes_of(&token), ..call.audit(object(&token)) };
    let changed = call.meta().create_token(access::NewToken { token, hash }, audit).await?;
    if changed == access::Changed::Unknown {
        return Err(Problem::Conflict {
            name: "no-account",
            detail: "tokens belong to accounts, and there is none of this name (users of the htpasswd file or the directory have none)"
                .to_owned(),
        });
    }
    call.changed(changed, "token").await?;
    let location = format!("{}/api/tokens/{}", call.app.config.base_path, shown.id);
    let mut response = json(StatusCode::CREATED, &TokenMade { secret, token: shown })?;
    response.headers_mut().insert(http::header::LOCATION, reply::value(location));
    Ok(response)
}

/// What the audit log calls a token: nothing that could be used as one.
fn object(token: &access::Token) -> String {
    format!("{} of {} ({})", token.id, token.subject, token.name)
}

fn scopes_of(token: &access::Token) -> String {
    let scopes: Vec<String> = token.scopes.iter().map(TokenScope::to_string).collect();
    input::cut_text(&scopes.join(" "))
}

/// The token that the path names.
pub(super) async fn named(call: &Call<'_>) -> Result<Arc<access::Token>, Problem> {
    let id: Uuid = call.argument.parse().map_err(|_| Problem::NotFound("token"))?;
    call.meta().token(id).await?.ok_or(Problem::NotFound("token"))
}

pub(super) fn show(_: Permit, token: &access::Token) -> Result<Response, Problem> {
    json(StatusCode::OK, &Token::from(token))
}

pub(super) async fn revoke(call: &Call<'_>, _: Permit, token: &access::Token) -> Result<Response, Problem> {
    let revoked = call.meta().revoke_token(token.id, call.audit(object(token))).await?;
    call.changed(revoked, "token").await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn list(call: &Call<'_>, permit: Permit) -> Result<Response, Problem> {
    let limit = call.query.limit()?;
    let of: Option<Subject> = call.query.parse("subject", "a subject")?;
    let mut after: Option<Uuid> = call.query.parse("after", "the id of a token")?;
    let mut found: Vec<access::Token> = Vec::new();
    // Whoever may see a part only gets full pages of that part.
    loop {
        let rows = call.meta().tokens(of.as_ref(), after, limit + 1).await?;
        let more = rows.len() > limit;
        after = rows.last().map(|token| token.id);
        found.extend(rows.into_iter().filter(|token| {
            permit.is_of_server_admin()
                || call.decide(Route::TokenShow, About::Token(&token.subject, &token.scopes)).is_ok()
        }));
        if !more || found.len() > limit {
            break;
        }
    }
    let next = input::cut(&mut found, limit, |token| token.id.to_string());
    let tokens = found.iter().map(Token::from).collect();
    listed(call, &Tokens { tokens, next: next.clone() }, "after", next.as_deref())
}
