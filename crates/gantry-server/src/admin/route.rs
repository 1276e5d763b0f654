//! The table of routes: what there is, who may, what it takes and gives.
//!
//! Dispatch, policy and the OpenAPI document come from these rows, so a route that is not described does not exist, and one without
//! a right does not compile.

use http::Method;

use super::openapi::{Gives, Parameter, Takes, gives, lines, nothing, takes};
use super::rights::Right;
use super::{audit, explain, grants, jobs, keys, namespaces, session, storages, tokens, users, whoami};

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// GET stands for HEAD too.
    pub(super) method: &'static str,
    /// With `{name}` for one component, `{name...}` for what is left.
    pub(super) path: &'static str,
    /// Who may.
    pub(super) right: Right,
    /// What the audit log calls it.
    pub(super) action: &'static str,
    /// What it is for.
    pub(super) summary: &'static str,
    /// What its query may hold.
    pub(super) query: &'static [Parameter],
    /// Its body.
    pub(super) takes: Takes,
    /// The status when it is done.
    pub(super) status: u16,
    /// The answer's body then.
    pub(super) gives: Gives,
    /// Statuses of failures that are its own.
    pub(super) fails: &'static [u16],
}

macro_rules! routes {
    ($($route:ident: $method:ident $path:literal, $right:ident, $action:literal, $summary:literal,
       [$($query:expr),*], $takes:expr => $status:literal $gives:expr, [$($fails:literal),*];)*) => {
        /// What can be asked of the admin API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Route { $($route),* }

        impl Route {
            /// Its row.
            pub(crate) const fn row(self) -> Row {
                match self {
                    $(Route::$route => Row {
                        method: stringify!($method),
                        path: $path,
                        right: Right::$right,
                        action: $action,
                        summary: $summary,
                        query: const { &[$($query),*] },
                        takes: $takes,
                        status: $status,
                        gives: $gives,
                        fails: &[$($fails),*],
                    }),*
                }
            }

            /// All of them.
            pub(crate) const ALL: &[Route] = &[$(Route::$route),*];
        }
    };
}

const N: Parameter = Parameter::limit("n", "How many at most; 100 when it is not said.");
const AFTER: Parameter = Parameter::text("after", "Where to go on: `next` of the page before.");
const SUBJECT: Parameter = Parameter::text("subject", "Only of this subject.");
const PATTERN: Parameter = Parameter::text("pattern", "Only with this pattern.");

routes! {
    OpenApi: GET "/api/openapi.json", Everybody, "openapi", "This document",
        [], None => 200 gives::<super::openapi::Any>(), [];
    Whoami: GET "/api/whoami", Somebody, "whoami", "Says who is calling",
        [], None => 200 gives::<whoami::Whoami>(), [];
    SessionBegin: POST "/api/session", Everybody, "session.create", "Logs in: begins a web session and sets its cookie",
        [], takes::<session::NewSession>() => 201 gives::<session::Session>(), [];
    SessionShow: GET "/api/session", Session, "session.show", "Shows the web session that the cookie belongs to",
        [], None => 200 gives::<session::Session>(), [];
    SessionEnd: DELETE "/api/session", Session, "session.end", "Logs out: ends the web session that the cookie belongs to",
        [], None => 204 nothing(), [];
    UserList: GET "/api/users", ServerAdmin, "user.list", "Lists accounts by name",
        [N, AFTER], None => 200 gives::<users::Users>(), [400];
    UserCreate: POST "/api/users", ServerAdmin, "user.create", "Makes an account",
        [], takes::<users::NewUser>() => 201 gives::<users::User>(), [409];
    UserShow: GET "/api/users/{name}", Oneself, "user.show", "Shows an account",
        [], None => 200 gives::<users::User>(), [404];
    UserChange: PATCH "/api/users/{name}", Oneself, "user.change", "Changes an account; others than server admins change their own password only",
        [], takes::<users::UserChange>() => 200 gives::<users::User>(), [404, 409, 429];
    UserRemove: DELETE "/api/users/{name}", ServerAdmin, "user.remove", "Removes an account with its tokens, sessions and grants",
        [], None => 204 nothing(), [404, 409];
    LoginsEnd: DELETE "/api/users/{name}/logins", Oneself, "logins.end", "Ends all web sessions and refresh tokens of an account",
        [], None => 200 gives::<users::Ended>(), [404];
    TokenList: GET "/api/tokens", Own, "token.list", "Lists personal and robot tokens: all for server admins, else what is the caller's to revoke",
        [N, AFTER, SUBJECT], None => 200 gives::<tokens::Tokens>(), [400];
    TokenCreate: POST "/api/tokens", Holder, "token.create", "Makes a personal or robot token; its secret is shown in this answer and never again",
        [], takes::<tokens::NewToken>() => 201 gives::<tokens::TokenMade>(), [409];
    TokenShow: GET "/api/tokens/{id}", Holder, "token.show", "Shows a token, without its secret",
        [], None => 200 gives::<tokens::Token>(), [404];
    TokenRevoke: DELETE "/api/tokens/{id}", Holder, "token.revoke", "Revokes a token, and the logins that were made by it",
        [], None => 204 nothing(), [404];
    GrantList: GET "/api/grants", Own, "grant.list", "Lists grants: all for server admins, else the caller's own and those where the caller is admin",
        [N, AFTER, SUBJECT, PATTERN], None => 200 gives::<grants::Grants>(), [400];
    GrantAdd: POST "/api/grants", NamespaceAdmin, "grant.add", "Gives somebody a role",
        [], takes::<grants::NewGrant>() => 201 gives::<grants::Grant>(), [409];
    GrantRemove: DELETE "/api/grants/{id}", NamespaceAdmin, "grant.remove", "Takes a grant back",
        [], None => 204 nothing(), [404, 409];
    NamespaceList: GET "/api/namespaces", Own, "namespace.list", "Lists the namespaces that the caller administers",
        [N, AFTER], None => 200 gives::<namespaces::Namespaces>(), [400];
    NamespaceCreate: POST "/api/namespaces", ServerAdmin, "namespace.create", "Makes a namespace",
        [], takes::<namespaces::NewNamespace>() => 201 gives::<namespaces::Namespace>(), [409];
    NamespaceShow: GET "/api/namespaces/{prefix...}", NamespaceAdmin, "namespace.show", "Shows a namespace; the one of everything is `%2F`",
        [], None => 200 gives::<namespaces::Namespace>(), [404];
    NamespaceChange: PATCH "/api/namespaces/{prefix...}", NamespaceAdmin, "namespace.change", "Changes a namespace; another storage, which only server admins give, begins a job that moves its bytes",
        [], takes::<namespaces::NamespaceChange>() => 200 gives::<namespaces::Changed>(), [404, 409];
    NamespaceRemove: DELETE "/api/namespaces/{prefix...}", ServerAdmin, "namespace.remove", "Removes a namespace; the repositories below it stay, and are not shown to everybody by it unless that is forced",
        [Parameter::one_of("force", "Also when everybody can pull then what only some could.", &["true", "false"])],
        None => 204 nothing(), [400, 404, 409];
    StorageList: GET "/api/storages", ServerAdmin, "storage.list", "Lists storages and how full they are",
        [], None => 200 gives::<storages::Storages>(), [];
    StorageCheck: POST "/api/storages/{name}/check", ServerAdmin, "storage.check", "Writes, reads and removes a probe, and says how it went",
        [], None => 200 gives::<storages::Check>(), [404];
    JobList: GET "/api/jobs", ServerAdmin, "job.list", "Lists jobs, the newest first",
        [N, Parameter::number("before", "Where to go on: `next` of the page before.")], None => 200 gives::<jobs::Jobs>(), [400];
    JobShow: GET "/api/jobs/{id}", ServerAdmin, "job.show", "Shows a job",
        [], None => 200 gives::<jobs::Job>(), [404];
    KeyList: GET "/api/keys", ServerAdmin, "key.list", "Lists the keys that tokens are signed with, never their private halves",
        [], None => 200 gives::<keys::Keys>(), [];
    KeyRotate: POST "/api/keys/rotate", ServerAdmin, "key.rotate", "Makes a new signing key; tokens of the old ones count until they end",
        [], None => 200 gives::<keys::Key>(), [];
    Audit: GET "/api/audit", ServerAdmin, "audit.list", "Reads the audit log, the newest entries first; as lines for `Accept: application/x-ndjson`",
        [N, Parameter::number("before", "Only entries numbered below: `next` of the page before."),
         Parameter::text("since", "Only at this moment (RFC 3339) or later; a length of time (`24h`) counts from now back."), SUBJECT,
         Parameter::text("repository", "Only about repositories of this pattern."),
         Parameter::text("action", "Only this action, or those below it: `user` means `user.create` too."),
         Parameter::one_of("result", "Only what was done, or only what was refused.", &["allowed", "refused"])],
        None => 200 lines::<audit::Audit>(), [400];
    Explain: GET "/api/explain", Asker, "explain", "Says whether somebody may do something, and by which rule or for lack of what",
        [Parameter::text("subject", "About whom; oneself when it is not said."),
         Parameter::one_of("action", "What it is about.", &["pull", "push", "delete"]).required(),
         Parameter::text("repository", "Where.").required(), Parameter::text("tag", "With which tag.")],
        None => 200 gives::<explain::Explanation>(), [400];
}

/// What a path and method come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A route, and what stands in the place of its `{name}`, decoded once.
    Route(Route, String),
    /// A path of the table with another method; these are its own.
    Method {
        /// For `Allow`.
        allow: String,
        /// Whether one of them is for everybody: then so is this answer.
        open: bool,
    },
    /// No such path.
    Nothing,
}

/// Looks a request up.
pub(crate) fn find(method: &Method, path: &str) -> Found {
    let wanted = if *method == Method::HEAD { "GET" } else { method.as_str() };
    let mut known: Vec<&str> = Vec::new();
    let mut open = false;
    for route in Route::ALL {
        let row = route.row();
        let Some(argument) = matches(row.path, path) else { continue };
        if row.method == wanted {
            return match decode(argument) {
                Some(argument) => Found::Route(*route, argument),
                None => Found::Nothing,
            };
        }
        known.push(row.method);
        open |= row.right == Right::Everybody;
        if row.method == "GET" {
            known.push("HEAD");
        }
    }
    if known.is_empty() { Found::Nothing } else { Found::Method { allow: known.join(", "), open } }
}

/// What stands in the place of the parameter; empty for paths without.
fn matches<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = template.split_once('{') else {
        return (template == path).then_some("");
    };
    let (parameter, after) = rest.split_once('}')?;
    let argument = path.strip_prefix(before)?.strip_suffix(after)?;
    let fits = !argument.is_empty() && (parameter.ends_with("...") || !argument.contains('/'));
    fits.then_some(argument)
}

/// Percent-decoded, once.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16);
        bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let get = |path: &str| find(&Method::GET, path);
        let other = |allow: &str| Found::Method { allow: allow.to_owned(), open: false };
        assert_eq!(get("/api/users"), Found::Route(Route::UserList, String::new()));
        assert_eq!(get("/api/users/a%3Cb"), Found::Route(Route::UserShow, "a<b".into()));
        assert_eq!(get("/api/users/a%252F"), Found::Route(Route::UserShow, "a%2F".into()));
        assert_eq!(get("/api/namespaces/%2F"), Found::Route(Route::NamespaceShow, "/".into()));
        assert_eq!(get("/api/namespaces/a/b"), Found::Route(Route::NamespaceShow, "a/b".into()));
        assert_eq!(find(&Method::HEAD, "/api/users"), Found::Route(Route::UserList, String::new()));
        assert_eq!(find(&Method::DELETE, "/api/users/a/logins"), Found::Route(Route::LoginsEnd, "a".into()));
        for path in [
            "/api",
            "/api/",
            "/api/users/",
            "/api/users/a/b",
            "/api/users/%",
            "/api/users/%ff",
            "/api/users/a%4",
        ] {
            assert_eq!(get(path), Found::Nothing, "{path}");
        }
        assert_eq!(find(&Method::PUT, "/api/users"), other("GET, HEAD, POST"));
        assert_eq!(get("/api/users/a/logins"), other("DELETE"));
    }

    #[test]
    fn each_route_is_found_by_its_own_path() {
        for route in Route::ALL {
            let row = route.row();
            let path = row.path.replace("{name}", "x").replace("{id}", "x").replace("{prefix...}", "x");
            let method = row.method.parse().unwrap();
            assert!(matches!(find(&method, &path), Found::Route(found, _) if found == *route), "{path}");
        }
    }
}
