//! Web sessions: a cookie for browsers, in place of a password in every request.
//!
//! The cookie alone is enough to read. A change needs the session's second secret in a header, which only a page of ours can know,
//! and a browser that says the request comes from such a page: a browser sends cookies along with what other sites make it ask.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use gantry_storage::Timestamp;
use gantry_storage::meta::access::{AuditEntry, Login, LoginKind};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, Gate, json};
use crate::auth::secret::{SESSION_PREFIX, hash_of};
use crate::auth::{AuthError, Credential, Source};
use crate::http::{Problem, Response, SESSION_COOKIE, reply};

/// How long a session lasts: a day's work.
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);
/// Where accounts are elsewhere (the htpasswd file, the directory) nobody tells us when one is closed.
const LIFETIME_ELSEWHERE: Duration = Duration::from_secs(60 * 60);

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewSession {
    /// The name of an account, or its e-mail address.
    user: String,
    password: String,
}

/// A web session.
#[derive(Serialize, ToSchema)]
pub(super) struct Session {
    /// To be sent as `X-CSRF-Token` with every change.
    csrf_token: String,
    /// Who logged in.
    user: String,
    #[schema(format = "date-time")]
    expires: String,
}

/// The session that a request came with.
pub(super) struct Cookie {
    pub(super) secret: String,
    pub(super) row: Arc<Login>,
}

impl Cookie {
    /// Follows from the cookie, but not the cookie from it.
    fn csrf_token(&self) -> String {
        csrf_token(&self.secret)
    }
}

fn csrf_token(secret: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("gantry csrf {secret}").as_bytes()).into();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// Whether a change that came by a cookie was made by a page of ours.
pub(super) fn check_origin(call: &Call<'_>, cookie: &Cookie) -> Result<(), Problem> {
    let headers = &call.parts.headers;
    if !is_ours(headers, origin(&call.door.base)).unwrap_or(false) {
        return Err(Problem::CrossSite(
            "a change by the cookie of a session needs an `Origin` that is this registry's, or `Sec-Fetch-Site: same-origin`",
        ));
    }
    let token = headers.get("x-csrf-token").map(http::HeaderValue::as_bytes).unwrap_or_default();
    if !same(token, cookie.csrf_token().as_bytes()) {
        return Err(Problem::CrossSite(
            "a change by the cookie of a session needs the session's `csrf_token` in the header `X-CSRF-Token`",
        ));
    }
    Ok(())
}

/// Whether a change, however its caller showed who that is, was made by a page of another site.
pub(super) fn check_site(call: &Call<'_>) -> Result<(), Problem> {
    match is_ours(&call.parts.headers, origin(&call.door.base)) {
        Some(false) => Err(Problem::CrossSite("a page of another site must not change anything here")),
        _ => Ok(()),
    }
}

/// Whether the page that made a browser send this is one of ours; `None`: nobody says.
fn is_ours(headers: &HeaderMap, own: &str) -> Option<bool> {
    let word = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    let site = word("sec-fetch-site").map(|site| site == b"same-origin");
    let origin = word("origin").map(|origin| origin.eq_ignore_ascii_case(own.as_bytes()));
    match (site, origin) {
        (None, None) => None,
        (site, origin) => Some(site.unwrap_or(true) && origin.unwrap_or(true)),
    }
}

/// Scheme and authority.
fn origin(base: &str) -> &str {
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base.get(authority..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| authority + at);
    base.get(..end).unwrap_or(base)
}

/// In a time that depends on the lengths alone.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

pub(super) async fn begin(call: &Call<'_>, new: NewSession) -> Result<Response, Problem> {
    // Who is made to log in by another site works on in somebody else's account.
    if is_ours(&call.parts.headers, origin(&call.door.base)) == Some(false) {
        return Err(Problem::CrossSite("another site must not log anybody in"));
    }
    let Gate::Network(peer) = call.gate else {
        return Err(Problem::Invalid("there are no sessions here: whoever asks is the operator".to_owned()));
    };
    let asked = Timestamp::now();
    let identity = call.ask(peer, &new.user, &new.password).await?;
    // A token given as the password is one to the chain; it is for programs, which have no use for a session.
    if identity.credential != Credential::Password || !identity.may_administer() {
        return Err(Problem::Auth(AuthError::Refused));
    }
    let lifetime = if identity.source == Source::Account { LIFETIME } else { LIFETIME_ELSEWHERE };
    let (secret, expires) =
        call.app.access.auth.begin(LoginKind::Session, &identity, "", asked, lifetime).await?;
    let session = Session {
        csrf_token: csrf_token(&secret),
        user: identity.subject.to_string(),
        expires: expires.to_string(),
    };
    let subject = identity.subject.to_string();
    call.app.audit(AuditEntry { subject: subject.clone(), ..call.audit(subject) });
    let mut response = json(StatusCode::CREATED, &session)?;
    let cookie = set_cookie(call, &secret, lifetime.as_secs());
    response.headers_mut().insert(header::SET_COOKIE, reply::value(cookie));
    Ok(response)
}

fn set_cookie(call: &Call<'_>, secret: &str, seconds: u64) -> String {
    let secure = if call.door.base.starts_with("https:") { "; Secure" } else { "" };
    format!("{SESSION_COOKIE}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

fn cookie<'a>(call: &'a Call<'_>) -> Result<&'a Cookie, Problem> {
    call.cookie.as_ref().ok_or(Problem::Unauthenticated)
}

pub(super) fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let cookie = cookie(call)?;
    let session = Session {
        csrf_token: cookie.csrf_token(),
        user: call.caller.subject.to_string(),
        expires: cookie.row.expires.to_string(),
    };
    json(StatusCode::OK, &session)
}

pub(super) async fn end(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    if let Some(hash) = hash_of(SESSION_PREFIX, cookie(call)?.secret.as_bytes()) {
        call.meta().end_login(LoginKind::Session, &hash).await?;
        call.app.audit(call.audit(call.caller.subject.as_str()));
    }
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(header::SET_COOKIE, reply::value(set_cookie(call, "", 0)));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_page_it_was() {
        let own = "https://registry.example:8443";
        let headers = |pairs: &[(&'static str, &'static str)]| {
            HeaderMap::from_iter(pairs.iter().map(|(name, value)| {
                (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
            }))
        };
        for (pairs, expected) in [
            (&[][..], None),
            (&[("origin", "https://registry.example:8443")], Some(true)),
            (&[("origin", "https://registry.example")], Some(false)),
            (&[("origin", "http://registry.example:8443")], Some(false)),
            (&[("origin", "https://registry.example:8443.evil.example")], Some(false)),
            (&[("origin", "null")], Some(false)),
            (&[("sec-fetch-site", "same-origin")], Some(true)),
            (&[("sec-fetch-site", "same-site")], Some(false)),
            (&[("sec-fetch-site", "none")], Some(false)),
            (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], Some(false)),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://registry.example:8443")], Some(false)),
        ] {
            assert_eq!(is_ours(&headers(pairs), own), expected, "{pairs:?}");
        }
        assert_eq!(origin("https://registry.example:8443/base/path"), own);
        assert_eq!(origin(own), own);
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same(b"abc", b"abc") && !same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a"));
        assert_ne!(csrf_token("a"), csrf_token("b"));
    }
}
