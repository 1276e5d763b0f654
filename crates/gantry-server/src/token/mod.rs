//! The token server: bearer tokens for whoever shows who they are (`/v2/token`, `/token`), and the keys to check them with
//! (`/.well-known/jwks.json`).
//!
//! What is asked for is reduced to what is allowed, never refused: whoever may do nothing gets a token for nothing.

mod ask;

use gantry_oci::RepoName;
use gantry_oci::access::{Access, Action, Actions, Scope};
use gantry_storage::Timestamp;
use gantry_storage::meta::access::LoginKind;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::auth::bearer::{Claims, Login};
use crate::auth::{AuthError, Credential, Identity, login_of};
use crate::http::audit::About;
use crate::http::reply::{self, Response, json};
use crate::http::{ApiError, Door, Met, Peer, RequestBody, RequestId, asking, error, met_as, offered};
use crate::policy::Rules;
use crate::registry::RegistryError;
use ask::{Ask, Grant};

/// Where tokens are to be had, and the keys.
const PATHS: [&str; 3] = ["/v2/token", "/token", JWKS];
const JWKS: &str = "/.well-known/jwks.json";

/// Whether a path is one of the token server's.
pub(crate) fn is_mine(path: &str) -> bool {
    PATHS.contains(&path)
}

/// Answers a request of the token server.
pub(crate) async fn handle(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    body: RequestBody,
    request_id: &RequestId,
) -> Response {
    let mut met = Met::default();
    let mut response = match answer(app, peer, parts, body, &mut met).await {
        Ok(response) => response,
        Err(failure) => {
            About { app, peer, parts, id: request_id, identity: None, request: None }.refused(&failure);
            error::render(&failure, request_id, None, &Door::of(&app.config, peer, parts))
        }
    };
    let headers = response.headers_mut();
    met.stamp(headers);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(reply::API_VERSION, HeaderValue::from_static("registry/2.0"));
    response
}

async fn answer(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    body: RequestBody,
    met: &mut Met,
) -> Result<Response, ApiError> {
    let asked = Timestamp::now();
    let reading = parts.method == Method::GET || parts.method == Method::HEAD;
    if parts.uri.path() == JWKS {
        return match reading {
            true => Ok(keys(app)),
            false => Err(ApiError::MethodNotAllowed { allow: "GET, HEAD" }),
        };
    }
    let door = Door::of(&app.config, peer, parts);
    let ask = match parts.method {
        Method::GET | Method::HEAD => Ask::of_query(parts.uri.query().unwrap_or_default())?,
        Method::POST => Ask::of_form(&parts.headers, body).await?,
        _ => return Err(ApiError::MethodNotAllowed { allow: "GET, HEAD, POST" }),
    };
    let service = ask.service.clone().unwrap_or_else(|| door.service.clone());
    // No cookie: a refresh token is made here, which no other site may make a browser do (N-22).
    let asking = asking(app, peer, parts, None, &door.service);
    let auth = &app.access.auth;
    auth.admit(asking.address)?;
    let found = match &ask.grant {
        Grant::Header => auth.identify(&asking).await,
        Grant::Password { username, password } => auth.login(username, password, &asking).await,
        Grant::Refresh(token) => match auth.refresh(token, &service).await {
            Ok(found) => found.ok_or(AuthError::NoToken),
            Err(error) => Err(error),
        },
    };
    // A bearer token buys no other, wherever it stands: one of ours would never end, and what a foreign token server allows is in
    // its own token alone (N-8).
    let found = match found {
        Ok(identity) if identity.credential == Credential::Bearer => Err(AuthError::Refused),
        found => found,
    };
    let offered = match &ask.grant {
        Grant::Header => offered(&parts.headers),
        Grant::Password { .. } => "password",
        Grant::Refresh(_) => "refresh",
    };
    let identity = met_as(app, &asking, offered, found, met)?;
    let rules = app.access.rules().await.map_err(RegistryError::Storage)?;
    let access = allowed(&rules, &identity, &ask.scopes);
    let claims = Claims {
        subject: if identity.is_anonymous() { String::new() } else { identity.subject.to_string() },
        audience: service.clone(),
        access,
        // Where the name of this server is not written, it is what the client says, and so is no proof. A token server that is found
        // under another name than the registry (`auth.realm`) is a matter of its operator.
        login: Login {
            elsewhere: service != door.service && app.config.settings.auth.realm.is_none(),
            ..login_of(&identity)
        },
    };
    let issued = auth
        .bearer()
        .sign(&claims, Timestamp::now())
        .map_err(|error| ApiError::BadTokenRequest(error.to_string()))?;
    app.metrics.token_issued("bearer");
    // Who comes with what ends soon (an identity token, the cookie of a session, a certificate) is not given a secret that lasts for
    // months.
    let lasting = matches!(identity.credential, Credential::Password | Credential::Token);
    let refresh_token = match (&ask.grant, ask.offline && lasting) {
        (_, false) => None,
        (Grant::Refresh(token), true) => Some(token.clone()),
        (_, true) => {
            let lifetime = app.config.settings.auth.refresh_lifetime.0;
            let (secret, _) = auth.begin(LoginKind::Refresh, &identity, &service, asked, lifetime).await?;
            app.metrics.token_issued("refresh");
            Some(secret)
        }
    };
    let scope = scope_text(&claims.access);
    let answer = Answer {
        token: &issued.token,
        access_token: &issued.token,
        expires_in: issued.expires - issued.issued,
        issued_at: Timestamp(issued.issued.saturating_mul(1_000_000)).to_string(),
        // RFC 6749 wants to know the type; A-13 what was granted.
        token_type: "Bearer",
        scope: &scope,
        refresh_token: refresh_token.as_deref(),
    };
    Ok(json(StatusCode::OK, "application/json", serde_json::to_vec(&answer).unwrap_or_default()))
}

#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: i64,
    issued_at: String,
    token_type: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
}

fn scope_text(access: &[Access]) -> String {
    let scopes =
        access.iter().map(|entry| format!("{}:{}:{}", entry.kind, entry.name, entry.actions.join(",")));
    scopes.collect::<Vec<_>>().join(" ")
}

/// The part of what is asked for that the caller may do.
fn allowed(rules: &Rules, identity: &Identity, scopes: &[Scope]) -> Vec<Access> {
    scopes.iter().filter_map(|scope| allowed_one(rules, identity, scope)).collect()
}

fn allowed_one(rules: &Rules, identity: &Identity, scope: &Scope) -> Option<Access> {
    let access = |name: &str, actions: Vec<String>| Access {
        kind: scope.kind.clone(),
        name: name.to_owned(),
        actions,
    };
    match scope.kind.as_str() {
        "registry" if scope.name == "catalog" => {
            let may = |action: &&String| match action.as_str() {
                "*" => rules.reads_catalog(identity),
                "search" => rules.searches(identity),
                _ => false,
            };
            let actions: Vec<String> = scope.actions.iter().filter(may).cloned().collect();
            (!actions.is_empty()).then(|| access("catalog", actions))
        }
        "repository" => {
            let name = RepoName::from_path(&scope.name).ok()?;
            let asked = Actions::named(scope.actions.iter().map(String::as_str));
            let may = |action: &Action| rules.right(identity, name.as_str(), *action).is_ok();
            let actions: Vec<String> =
                asked.iter().filter(may).map(|action| action.as_str().to_owned()).collect();
            (!actions.is_empty()).then(|| access(name.as_str(), actions))
        }
        _ => None,
    }
}

/// The keys by which tokens may be signed that still count.
fn keys(app: &App) -> Response {
    let document = app.access.auth.bearer().jwks(Timestamp::now()).to_string();
    let mut response = json(StatusCode::OK, "application/jwk-set+json", document.into_bytes());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=10"));
    response
}
