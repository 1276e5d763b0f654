//! Who is calling, told to whoever it is.

use gantry_oci::access::TokenScope;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::rights::Permit;
use super::{Call, json};
use crate::http::{Problem, Response};

/// Who is calling.
#[derive(Serialize, ToSchema)]
pub(super) struct Whoami {
    /// Who it is.
    subject: String,
    /// Groups that it belongs to.
    groups: Vec<String>,
    /// Whether it may do everything with this credential.
    admin: bool,
    /// Who vouches for it: `account`, `robot`, `htpasswd`, `ldap`, `certificate`, `issuer`, `oidc` or `system`.
    source: &'static str,
    /// What it came with: `password`, `token`, `bearer`, `identity_token`, `certificate`, `session` or `socket`.
    credential: &'static str,
    /// What the credential is narrowed to, or what a robot may; null: as wide as its owner.
    scopes: Option<Vec<String>>,
    /// When the credential ends, where that is known.
    #[schema(format = "date-time")]
    expires: Option<String>,
}

pub(super) async fn show(call: &Call<'_>, _: Permit) -> Result<Response, Problem> {
    let caller = &call.caller;
    let texts = |scopes: &[TokenScope]| scopes.iter().map(TokenScope::to_string).collect::<Vec<_>>();
    let scopes = match (&caller.bounds.scopes, caller.own.as_slice()) {
        (Some(scopes), _) => Some(texts(scopes)),
        (None, []) => None,
        (None, own) => Some(texts(own)),
    };
    let expires = match (&call.cookie, caller.token) {
        (Some(cookie), _) => Some(cookie.row.expires),
        (None, Some(id)) => call.meta().token(id).await?.and_then(|token| token.expires),
        (None, None) => None,
    };
    let told = Whoami {
        subject: caller.subject.to_string(),
        groups: caller.groups.clone(),
        admin: caller.admin && caller.may_administer(),
        source: caller.source.as_str(),
        credential: caller.credential.as_str(),
        scopes,
        expires: expires.map(|at| at.to_string()),
    };
    json(StatusCode::OK, &told)
}
