//! v1 tokens: ours are bearer tokens of this server, for one repository, in the clothes of v1.
//!
//! `signature=<bearer token>,repository="library/foo",access=write`. What counts is in the signature; the rest is for people.

use gantry_oci::access::{Action, Actions};
use gantry_oci::v1::{TokenAccess, TokenFields, V1Name};
use http::{HeaderName, HeaderValue, StatusCode, header};

use super::Context;
use crate::app::App;
use crate::auth::bearer::SignError;
use crate::auth::{Credential, Identity, V1Token};
use crate::http::legacy::Failure;
use crate::http::reply::value;
use crate::http::{Door, Response};
use crate::registry::RegistryError;

/// The cookie that says in which repository a client is at work.
pub(super) const COOKIE: &str = "v1_session";
/// What is counted where such a token was shown and is none.
pub(super) const OFFERED: &str = "v1_token";

/// By which a client asks for a token, with any value, and gets one.
pub(super) const TOKEN: HeaderName = HeaderName::from_static("x-docker-token");
/// Where the images are.
pub(super) const ENDPOINTS: HeaderName = HeaderName::from_static("x-docker-endpoints");

/// Makes a token for a caller who has been allowed what it is for.
pub(super) fn issue(
    app: &App,
    identity: &Identity,
    service: &str,
    repository: &V1Name,
    access: TokenAccess,
) -> Result<TokenFields, Failure> {
    let lifetime = app.config.settings.v1.token_lifetime.0;
    let claimed = (repository.written(), actions(access));
    let issued =
        app.access.auth.issue_v1(identity, service, claimed, lifetime).map_err(|error| match error {
            SignError::TooLong => {
                Failure::Said(StatusCode::BAD_REQUEST, "the account is in too many groups for a token")
            }
            SignError::NoKey | SignError::Failed => {
                Failure::Registry(RegistryError::Internal("a token could not be signed"))
            }
        })?;
    app.metrics.token_issued("v1");
    Ok(TokenFields { signature: issued.token, repository: repository.clone(), access })
}

/// What an access lets a client do. Whoever writes looks first what is there.
pub(super) fn actions(access: TokenAccess) -> &'static [Action] {
    match access {
        TokenAccess::Read => &[Action::Pull],
        TokenAccess::Write => &[Action::Pull, Action::Push],
        TokenAccess::Delete => &[Action::Pull, Action::Delete],
    }
}

/// Whether what stands beside a signature is what was signed.
pub(super) fn agrees(token: &V1Token, fields: &TokenFields) -> bool {
    V1Name::from(token.repository.clone()).is(&fields.repository)
        && token.actions == Actions::of(actions(fields.access))
}

/// Puts into an answer of the Index where the images are, and the token, if the client asked for one. `repository` is written as V2
/// has it.
pub(super) fn stamp(
    cx: &Context<'_>,
    repository: &V1Name,
    access: TokenAccess,
    response: &mut Response,
) -> Result<(), Failure> {
    let door = Door::of(&cx.app.config, cx.peer, cx.parts);
    let headers = response.headers_mut();
    headers.insert(ENDPOINTS, value(super::endpoints(cx.app, cx.peer, cx.parts)));
    let asked = cx.parts.headers.get(TOKEN).is_some_and(|wanted| !wanted.is_empty());
    // A token buys no other (N-8): one of ours would never end, and a foreign one says itself what it is for.
    if !asked || cx.caller.identity.credential == Credential::Bearer {
        return Ok(());
    }
    let token = issue(cx.app, &cx.caller.identity, &door.service, repository, access)?;
    let secure = if door.base.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={}; Path=/v1/; HttpOnly; SameSite=Strict{secure}", token.signature);
    headers.insert(header::SET_COOKIE, value(cookie));
    headers.insert(TOKEN, value(token.to_string()));
    // Instead of the body's: nothing between here and the client may keep it.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::WWW_AUTHENTICATE, value(format!("Token {token}")));
    Ok(())
}
