//! The admin API, `/api/`: accounts, tokens, grants, namespaces and what else an operator looks after.
//!
//! [`handle`] is the whole path of a request, as in `v2`: find the route, find out who asks, decide, act, render. The modules beside
//! this file have one noun each. It is served on the registry's address for those who log in, and over the control socket and to
//! the command line without credentials, with the rights of a server admin. It has no forms and no pages: a web UI is a client of it.

mod audit;
mod explain;
mod grants;
mod input;
mod jobs;
mod keys;
mod namespaces;
mod openapi;
mod rights;
mod route;
mod session;
mod storages;
mod tokens;
mod users;
mod whoami;

use std::sync::Arc;

use gantry_oci::access::Subject;
use gantry_storage::meta::access::{AuditEntry, Changed};
use gantry_storage::{MetaStore, Timestamp};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;

use crate::app::App;
use crate::auth::{AuthError, Credential, Identity};
use crate::http::{
    Door, Met, Peer, Problem, RequestId, Response, SESSION_COOKIE, asking, cookie, met_as, offered, reply,
};
use crate::policy::Rules;
use crate::registry::ByteSource;

use input::Query;
use rights::{About, Denied, Permit};
use route::{Found, Route};
use session::Cookie;

/// Where a request came in.
#[derive(Clone, Copy)]
pub(crate) enum Gate<'a> {
    /// The registry's address: who asks must say who they are.
    Network(&'a Peer),
    /// The control socket, or a command on a stopped server's store: whoever may open it may do everything.
    Operator,
}

/// Whether a path belongs to this API.
pub(crate) fn concerns(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Answers a request below `/api/`.
pub(crate) async fn handle(
    app: &App,
    gate: Gate<'_>,
    parts: &Parts,
    body: ByteSource,
    request_id: &RequestId,
) -> Response {
    let found = route::find(&parts.method, parts.uri.path());
    let mut response = match answer(app, gate, parts, found, body, request_id).await {
        Ok(response) => response,
        Err(problem) => crate::http::problem::render(&problem, request_id, &parts.headers),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn answer(
    app: &App,
    gate: Gate<'_>,
    parts: &Parts,
    found: Found,
    body: ByteSource,
    request_id: &RequestId,
) -> Result<Response, Problem> {
    let mut call = Call::new(app, gate, parts, &found, request_id).await?;
    let mut result = match call.identify().await {
        // What is wrong with a request is told after it is known who asks.
        Ok(()) => match found {
            Found::Route(route, argument) => {
                call.argument = argument;
                serve(&mut call, route, body).await
            }
            Found::Method { allow, open } if open || !call.caller.is_anonymous() => {
                Err(Problem::Method(allow))
            }
            _ if call.caller.is_anonymous() => Err(Problem::Unauthenticated),
            Found::Method { allow, .. } => Err(Problem::Method(allow)),
            Found::Nothing => Err(Problem::NotFound("address")),
        },
        Err(problem) => Err(problem),
    };
    match &mut result {
        Ok(response) => call.met.stamp(response.headers_mut()),
        Err(problem) => call.note_refusal(problem),
    }
    result
}

async fn serve(call: &mut Call<'_>, route: Route, body: ByteSource) -> Result<Response, Problem> {
    rights::enter(&call.caller, route.row().right)?;
    call.check_origin()?;
    dispatch(call, route, body).await
}

async fn dispatch(call: &Call<'_>, route: Route, body: ByteSource) -> Result<Response, Problem> {
    let may = |about: About<'_>| call.decide(route, about);
    match route {
        Route::OpenApi => openapi::show(call),
        Route::Whoami => whoami::show(call, may(About::Nothing)?).await,
        Route::SessionBegin => session::begin(call, input::body(&call.parts.headers, body).await?).await,
        Route::SessionShow => session::show(call, may(About::Nothing)?),
        Route::SessionEnd => session::end(call, may(About::Nothing)?).await,
        Route::UserList => users::list(call, may(About::Nothing)?).await,
        Route::UserCreate => {
            let permit = may(About::Nothing)?;
            users::create(call, permit, input::body(&call.parts.headers, body).await?).await
        }
        Route::UserShow => users::show(call, may(About::Subject(call.account().as_ref()))?).await,
        Route::UserChange => {
            let permit = may(About::Subject(call.account().as_ref()))?;
            users::change(call, permit, input::body(&call.parts.headers, body).await?).await
        }
        Route::UserRemove => users::remove(call, may(About::Nothing)?).await,
        Route::LoginsEnd => users::end_logins(call, may(About::Subject(call.account().as_ref()))?).await,
        Route::TokenList => tokens::list(call, may(About::Nothing)?).await,
        Route::TokenCreate => {
            let wanted = tokens::wanted(call, input::body(&call.parts.headers, body).await?)?;
            let permit = may(About::Token(&wanted.subject, &wanted.scopes))?;
            tokens::create(call, permit, wanted).await
        }
        Route::TokenShow | Route::TokenRevoke => {
            let token = tokens::named(call).await?;
            let permit =
                may(About::Token(&token.subject, &token.scopes)).map_err(|_| Problem::Hidden("token"))?;
            match route {
                Route::TokenShow => tokens::show(permit, &token),
                _ => tokens::revoke(call, permit, &token).await,
            }
        }
        Route::GrantList => grants::list(call, may(About::Nothing)?).await,
        Route::GrantAdd => {
            let wanted = grants::wanted(call, &input::body(&call.parts.headers, body).await?)?;
            grants::add(call, may(About::Pattern(&wanted.pattern))?, wanted).await
        }
        Route::GrantRemove => {
            let grant = grants::named(call).await?;
            let permit = may(About::Pattern(&grant.pattern)).map_err(|_| Problem::Hidden("grant"))?;
            grants::remove(call, permit, &grant).await
        }
        Route::NamespaceList => namespaces::list(call, may(About::Nothing)?).await,
        Route::NamespaceCreate => {
            let permit = may(About::Nothing)?;
            namespaces::create(call, permit, input::body(&call.parts.headers, body).await?).await
        }
        Route::NamespaceShow => {
            let prefix = namespaces::named(call)?;
            namespaces::show(call, may(About::Pattern(&prefix.pattern))?, &prefix).await
        }
        Route::NamespaceChange => {
            let prefix = namespaces::named(call)?;
            let permit = may(About::Pattern(&prefix.pattern))?;
            namespaces::change(call, permit, &prefix, input::body(&call.parts.headers, body).await?).await
        }
        Route::NamespaceRemove => {
            let permit = may(About::Nothing)?;
            namespaces::remove(call, permit, &namespaces::named(call)?).await
        }
        Route::StorageList => storages::list(call, may(About::Nothing)?).await,
        Route::StorageCheck => storages::check(call, may(About::Nothing)?).await,
        Route::JobList => jobs::list(call, may(About::Nothing)?).await,
        Route::JobShow => jobs::show(call, may(About::Nothing)?).await,
        Route::KeyList => keys::list(call, may(About::Nothing)?).await,
        Route::KeyRotate => keys::rotate(call, may(About::Nothing)?).await,
        Route::Audit => audit::list(call, may(About::Nothing)?).await,
        Route::Explain => {
            let asked = explain::asked(call)?;
            let permit = may(About::Rights(&asked.subject, &asked.repository))?;
            explain::show(call, permit, asked).await
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Anonymous => Problem::Unauthenticated,
            Denied::Forbidden(who) => Problem::Forbidden(who.to_owned()),
        }
    }
}

/// A request on its way.
struct Call<'a> {
    app: &'a App,
    /// What the audit log calls it.
    action: &'static str,
    /// What stands in the path in the place of `{name}`.
    argument: String,
    parts: &'a Parts,
    query: Query<'a>,
    door: Door,
    gate: Gate<'a>,
    /// The client's address, as the audit log has it.
    address: String,
    caller: Identity,
    met: Met,
    cookie: Option<Cookie>,
    rules: Arc<Rules>,
    request_id: &'a RequestId,
}

impl<'a> Call<'a> {
    async fn new(
        app: &'a App,
        gate: Gate<'a>,
        parts: &'a Parts,
        found: &Found,
        request_id: &'a RequestId,
    ) -> Result<Self, Problem> {
        let (door, address) = match gate {
            Gate::Network(peer) => {
                let client = peer.client(&parts.headers, app.config.trusted_proxies());
                (Door::of(&app.config, peer, parts), client.to_string())
            }
            Gate::Operator => (Door::default(), "local".to_owned()),
        };
        let action = match found {
            Found::Route(route, _) => route.row().action,
            _ => "api",
        };
        Ok(Self {
            app,
            action,
            argument: String::new(),
            parts,
            query: Query(parts.uri.query().unwrap_or_default()),
            door,
            gate,
            address,
            caller: Identity::anonymous(),
            met: Met::default(),
            cookie: None,
            rules: app.access.rules().await?,
            request_id,
        })
    }

    /// Finds out who asks.
    async fn identify(&mut self) -> Result<(), Problem> {
        let peer = match self.gate {
            Gate::Operator => {
                self.caller = Identity::operator();
                return Ok(());
            }
            Gate::Network(peer) => peer,
        };
        // What comes of a cookie that wants to change something is `check_origin`'s business.
        let secret = cookie(&self.parts.headers, SESSION_COOKIE);
        let asking = asking(self.app, peer, self.parts, secret, &self.door.service);
        let found = self.app.access.auth.identify(&asking).await;
        self.caller = met_as(self.app, &asking, offered(&self.parts.headers), found, &mut self.met)?;
        if self.caller.credential == Credential::Session
            && let Some(secret) = secret
        {
            let (_, row) = self.app.access.auth.session(secret).await?.ok_or(Problem::Unauthenticated)?;
            self.cookie = Some(Cookie { secret: secret.to_owned(), row });
        }
        Ok(())
    }

    /// Asks the chain of identity whose a name and password are.
    async fn ask(&self, peer: &Peer, name: &str, password: &str) -> Result<Identity, Problem> {
        let asking = asking(self.app, peer, self.parts, None, &self.door.service);
        let found = self.app.access.auth.login(name, password, &asking).await;
        Ok(met_as(self.app, &asking, "password", found, &mut Met::default())?)
    }

    /// A change by a cookie must come from a page of ours, and none may come from a page of others: browsers send certificates and
    /// passwords along, too.
    fn check_origin(&self) -> Result<(), Problem> {
        let reads = self.parts.method == Method::GET || self.parts.method == Method::HEAD;
        match &self.cookie {
            _ if reads => Ok(()),
            Some(cookie) => session::check_origin(self, cookie),
            None => session::check_site(self),
        }
    }

    fn decide(&self, route: Route, about: About<'_>) -> Result<Permit, Problem> {
        Ok(rights::decide(&self.caller, route.row().right, about, &self.rules)?)
    }

    fn meta(&self) -> &dyn MetaStore {
        &**self.app.registry.meta()
    }

    /// Whom the path names, when it can be somebody.
    fn account(&self) -> Option<Subject> {
        self.argument.parse().ok()
    }

    /// What the audit log is to say of a change.
    fn audit(&self, object: impl Into<String>) -> AuditEntry {
        AuditEntry {
            at: Timestamp::now(),
            subject: self.caller.subject.to_string(),
            address: self.address.clone(),
            action: self.action.to_owned(),
            object: input::cut_text(&object.into()),
            repository: String::new(),
            allowed: true,
            reason: String::new(),
            request: self.request_id.to_string(),
        }
    }

    /// Makes what was changed act on the next request, and says what became of it.
    async fn changed(&self, changed: Changed, what: &'static str) -> Result<(), Problem> {
        match changed {
            // Whoever comes next, also to log in, finds it in force.
            Changed::Done => self.app.access.rules().await.map(drop).map_err(Problem::from),
            Changed::Exists => Err(exists(what)),
            Changed::Unknown => Err(Problem::NotFound(what)),
            Changed::LastAdmin => Err(Problem::Conflict {
                name: "last-admin",
                detail: "this would leave the server without an admin who can log in".to_owned(),
            }),
        }
    }

    /// Refusals stand in the audit log; who only has not logged in yet was not refused anything.
    fn note_refusal(&self, problem: &Problem) {
        let (word, reason) = match problem {
            Problem::Auth(AuthError::Unavailable(_)) => return,
            Problem::Auth(error) => (error.reason(), error.to_string()),
            Problem::Unauthenticated => return self.app.metrics.refused("no_credentials"),
            Problem::Forbidden(who) => ("no_right", who.clone()),
            Problem::CrossSite(why) => ("cross_site", (*why).to_owned()),
            Problem::Hidden(what) => ("no_right", format!("no such {what} for this caller")),
            _ => return,
        };
        self.app.metrics.refused(word);
        // What nobody wrote into a path may be anything, a password too.
        let (subject, object) = match self.caller.is_anonymous() {
            true => (String::new(), ""),
            false => (self.caller.subject.to_string(), self.argument.as_str()),
        };
        self.app.audit(AuditEntry { subject, allowed: false, reason, ..self.audit(object) });
    }
}

fn exists(what: &'static str) -> Problem {
    Problem::Conflict { name: "exists", detail: format!("there is such {what} already") }
}

/// An answer in JSON.
fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, Problem> {
    let body = serde_json::to_vec(value).map_err(|_| Problem::Internal("the answer cannot be written"))?;
    Ok(reply::json(status, "application/json", body))
}

/// A page, with the way to the next one: `place` stands in the query as `key`.
fn listed<T: Serialize>(
    call: &Call<'_>,
    value: &T,
    key: &str,
    place: Option<&str>,
) -> Result<Response, Problem> {
    let mut response = json(StatusCode::OK, value)?;
    if let Some(place) = place {
        let base = &call.app.config.base_path;
        let link = format!("<{base}{}?{}>; rel=\"next\"", call.parts.uri.path(), call.query.with(key, place));
        response.headers_mut().insert(header::LINK, reply::value(link));
    }
    Ok(response)
}
