//! Who makes a request: what it shows goes to the chain, and is counted.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, header};

use super::{Door, Peer, SESSION_COOKIE, cookie};
use crate::app::App;
use crate::auth::pace::Standing;
use crate::auth::{Asking, AuthError, Credential, Identity};

/// What a request shows of who makes it.
pub(crate) fn asking<'a>(
    app: &App,
    peer: &'a Peer,
    parts: &'a Parts,
    session: Option<&'a str>,
    service: &'a str,
) -> Asking<'a> {
    Asking {
        authorization: authorization(&parts.headers),
        session,
        certificate: peer.certificate_user(),
        address: peer.client(&parts.headers, app.config.trusted_proxies()),
        service,
    }
}

/// Of two lines none can be trusted: what is no credentials at all stands for them.
fn authorization(headers: &HeaderMap) -> Option<&HeaderValue> {
    static NEITHER: HeaderValue = HeaderValue::from_static("two lines");
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    match (lines.next(), lines.next()) {
        (_, Some(_)) => Some(&NEITHER),
        (line, None) => line,
    }
}

/// The cookie of a web session, where it may count by itself: a browser sends it with requests of other sites too, so for
/// nothing that changes something (N-22).
fn session_to_read(parts: &Parts) -> Option<&str> {
    let reading = parts.method == Method::GET || parts.method == Method::HEAD;
    if reading { cookie(&parts.headers, SESSION_COOKIE) } else { None }
}

/// What is known of a request's maker while it is answered.
#[derive(Default)]
pub(crate) struct Met {
    /// Who it is, when that was found out.
    pub(crate) identity: Option<Identity>,
    /// How it stands with its requests, when they are counted.
    pub(crate) standing: Option<Standing>,
}

impl Met {
    /// Says in an answer how the caller stands.
    pub(crate) fn stamp(&self, headers: &mut HeaderMap) {
        if let Some(standing) = &self.standing {
            standing.stamp(headers);
        }
    }
}

/// Who makes a request.
pub(crate) async fn identify(
    app: &App,
    peer: &Peer,
    parts: &Parts,
    met: &mut Met,
) -> Result<Identity, AuthError> {
    // Only tokens are for a service, and finding out which one is asked takes its time.
    let service = match parts.headers.contains_key(header::AUTHORIZATION) {
        true => Door::of(&app.config, peer, parts).service,
        false => String::new(),
    };
    let asking = asking(app, peer, parts, session_to_read(parts), &service);
    let found = app.access.auth.identify(&asking).await;
    met_as(app, &asking, offered(&parts.headers), found, met)
}

/// Counts what became of credentials, and the request itself (N-24). `offered` is what they were, for those that are nobody's.
pub(crate) fn met_as(
    app: &App,
    asking: &Asking<'_>,
    offered: &'static str,
    found: Result<Identity, AuthError>,
    met: &mut Met,
) -> Result<Identity, AuthError> {
    match &found {
        Ok(identity) if identity.credential == Credential::Nothing => {}
        Ok(identity) => app.metrics.login(identity.credential.as_str(), true),
        Err(_) => app.metrics.login(offered, false),
    }
    met.identity = found.as_ref().ok().cloned();
    match app.access.pace.count(met.identity.as_ref(), asking.address) {
        Ok(standing) => met.standing = standing,
        Err(standing) => {
            met.standing = Some(standing);
            return Err(AuthError::TooFast(standing));
        }
    }
    found
}

/// The scheme of the credentials that were refused, as a label.
pub(crate) fn offered(headers: &HeaderMap) -> &'static str {
    let header = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    match header.and_then(|bytes| bytes.get(..6)) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"bearer") => "bearer",
        Some(scheme) if scheme.eq_ignore_ascii_case(b"basic ") => "password",
        _ => "other",
    }
}
