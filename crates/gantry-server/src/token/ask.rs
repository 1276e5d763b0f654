//! What a client asks of the token server: a query, or a form as OAuth 2 has it.

use form_urlencoded::parse;
use futures_util::StreamExt as _;
use gantry_oci::access::{Scope, parse_scopes};
use http::{HeaderMap, header};

use crate::http::{ApiError, RequestBody};

/// The longest form, in bytes: identity tokens of the large providers, sent as passwords, and a dozen of scopes.
const FORM_MAX: usize = 64 << 10;
/// The longest name of a service, in bytes.
const SERVICE_MAX: usize = 255;

/// A request for a token.
pub(super) struct Ask {
    /// Who will check it.
    pub(super) service: Option<String>,
    /// What it is to be for.
    pub(super) scopes: Vec<Scope>,
    /// Whether a refresh token is wanted.
    pub(super) offline: bool,
    /// How the client shows who it is.
    pub(super) grant: Grant,
}

/// How a client shows who it is.
pub(super) enum Grant {
    /// By the `Authorization` header, or not at all.
    Header,
    /// In the form.
    Password { username: String, password: String },
    /// By what it was given before.
    Refresh(String),
}

impl Ask {
    /// `GET /v2/token?service=..&scope=..`
    pub(super) fn of_query(query: &str) -> Result<Self, ApiError> {
        let fields = Fields::read(query.as_bytes());
        let offline = fields.one("offline_token").is_some_and(|value| value == "true" || value == "1");
        Ok(Self { service: fields.service()?, scopes: fields.scopes()?, offline, grant: Grant::Header })
    }

    /// `POST /v2/token`
    pub(super) async fn of_form(headers: &HeaderMap, body: RequestBody) -> Result<Self, ApiError> {
        let media_type =
            headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(bad("the request must be a form: application/x-www-form-urlencoded"));
        }
        let mut form = Vec::new();
        let mut source = body.into_source();
        while let Some(piece) = source.next().await {
            let piece = piece.map_err(crate::registry::RegistryError::Body)?;
            if form.len() + piece.len() > FORM_MAX {
                return Err(bad("the form is too long"));
            }
            form.extend_from_slice(&piece);
        }
        let fields = Fields::read(&form);
        let needed = |name: &str| fields.one(name).ok_or_else(|| bad(&format!("`{name}` is missing")));
        let grant = match needed("grant_type")?.as_str() {
            "password" => Grant::Password { username: needed("username")?, password: needed("password")? },
            "refresh_token" => Grant::Refresh(needed("refresh_token")?),
            _ => return Err(bad("unsupported grant_type: expected `password` or `refresh_token`")),
        };
        let offline = fields.one("access_type").is_some_and(|value| value == "offline");
        Ok(Self { service: fields.service()?, scopes: fields.scopes()?, offline, grant })
    }
}

fn bad(message: &str) -> ApiError {
    ApiError::BadTokenRequest(message.to_owned())
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn read(bytes: &[u8]) -> Self {
        Self(parse(bytes).map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    fn one(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn service(&self) -> Result<Option<String>, ApiError> {
        match self.one("service").filter(|service| !service.is_empty()) {
            Some(service) if service.len() > SERVICE_MAX || service.contains(char::is_control) => {
                Err(bad("`service` is too long, or holds control characters"))
            }
            service => Ok(service),
        }
    }

    fn scopes(&self) -> Result<Vec<Scope>, ApiError> {
        let scopes = self.0.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str());
        parse_scopes(scopes).map_err(|error| ApiError::BadTokenRequest(error.to_string()))
    }
}
