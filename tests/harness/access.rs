//! Accounts, tokens, grants and namespaces, made as the operator makes them, and what clients do to be somebody.
//!
//! Everything goes by the admin API over the control socket, or by the token server; nothing here looks into the database.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{Answer, Client, Gantry};

/// A personal or robot token.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Gantry {
    /// A request of the admin API by the operator, which must succeed.
    pub(crate) async fn operate(&self, method: &str, path: &str, body: Value) -> Answer {
        let call = self.operator_api().call(method, path);
        let answer = if body.is_null() { call.await } else { call.json(&body).await };
        answer.status_in(&[200, 201, 202, 204])
    }

    /// Makes an account without any right, and gives a client that logs in by it.
    pub(crate) async fn user(&self, name: &str, password: &str) -> Client {
        self.operate("POST", "/api/users", json!({ "name": name, "password": password })).await;
        self.client().basic(name, password)
    }

    /// The same for a server admin.
    pub(crate) async fn admin(&self, name: &str, password: &str) -> Client {
        let body = json!({ "name": name, "password": password, "admin": true });
        self.operate("POST", "/api/users", body).await;
        self.client().basic(name, password)
    }

    /// Changes an account.
    pub(crate) async fn change_user(&self, name: &str, change: Value) {
        self.operate("PATCH", &format!("/api/users/{name}"), change).await;
    }

    /// Removes an account.
    pub(crate) async fn remove_user(&self, name: &str) {
        self.operate("DELETE", &format!("/api/users/{name}"), Value::Null).await;
    }

    /// Gives somebody a role; the grant's number.
    pub(crate) async fn grant(&self, subject: &str, role: &str, pattern: &str) -> i64 {
        let body = json!({ "subject": subject, "role": role, "pattern": pattern });
        self.operate("POST", "/api/grants", body).await.json()["id"].as_i64().expect("a number")
    }

    /// Takes a grant back.
    pub(crate) async fn ungrant(&self, grant: i64) {
        self.operate("DELETE", &format!("/api/grants/{grant}"), Value::Null).await;
    }

    /// Makes a namespace.
    pub(crate) async fn namespace(&self, prefix: &str, visibility: &str) {
        self.operate("POST", "/api/namespaces", json!({ "prefix": prefix, "visibility": visibility })).await;
    }

    /// Says which tags of a namespace are held.
    pub(crate) async fn hold_tags(&self, prefix: &str, immutable: &[&str], protected: &[&str]) {
        let tags = json!({ "tags": { "immutable": immutable, "protected": protected } });
        self.operate("PATCH", &format!("/api/namespaces/{prefix}"), tags).await;
    }

    /// Makes a personal token.
    pub(crate) async fn token(&self, owner: &str, scopes: &[&str]) -> Made {
        self.made(json!({ "name": "of a test", "owner": owner, "scopes": scopes })).await
    }

    /// Makes a robot's token.
    pub(crate) async fn robot(&self, name: &str, scopes: &[&str]) -> Made {
        self.made(json!({ "name": "of a test", "robot": name, "scopes": scopes })).await
    }

    /// Makes a token as it is asked for.
    pub(crate) async fn made(&self, body: Value) -> Made {
        let made = self.operate("POST", "/api/tokens", body).await.json();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Made { id: text(&made["token"]["id"]), secret: text(&made["secret"]) }
    }

    /// Revokes a token.
    pub(crate) async fn revoke(&self, token: &Made) {
        self.operate("DELETE", &format!("/api/tokens/{}", token.id), Value::Null).await;
    }

    /// The audit log, the newest row first.
    pub(crate) async fn audit(&self) -> Vec<Value> {
        let answer = self.operator_api().get("/api/audit?n=1000").await.status(200);
        answer.json()["audit"].as_array().expect("rows").clone()
    }

    /// A counter or gauge, with its labels as they are written.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        let metrics = self.operator().get("/metrics").await.status(200);
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().expect("a number"))
    }
}

impl Client {
    /// The same with this token on every request, and nothing else.
    pub(crate) fn bearer(&self, token: &str) -> Client {
        self.nobody().with("authorization", &format!("Bearer {token}"))
    }

    /// Asks the token server, with the credentials that this client has; the scopes each in a parameter of its own.
    pub(crate) async fn ask_token(&self, scopes: &[&str]) -> Answer {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={}", encoded(scope))).collect();
        self.get(&format!("/v2/token?account=x{scopes}")).await
    }

    /// A token for these scopes, or as much of them as is allowed.
    pub(crate) async fn token_for(&self, scopes: &[&str]) -> String {
        let answer = self.ask_token(scopes).await.status(200);
        answer.json()["token"].as_str().expect("a token").to_owned()
    }

    /// The same client with such a token in the place of its credentials.
    pub(crate) async fn by_token_for(&self, scopes: &[&str]) -> Client {
        self.bearer(&self.token_for(scopes).await)
    }

    /// A form for the token server.
    pub(crate) async fn post_token(&self, fields: &[(&str, &str)]) -> Answer {
        let form: Vec<_> = fields.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let call = self.post("/v2/token").header("content-type", "application/x-www-form-urlencoded");
        call.body(form.join("&")).await
    }

    /// A refresh token, for whoever this client is.
    pub(crate) async fn refresh_token(&self) -> String {
        let answer = self.get("/v2/token?offline_token=true").await.status(200);
        answer.json()["refresh_token"].as_str().expect("a refresh token").to_owned()
    }

    /// A web session: its cookie, and the token that goes with changes.
    pub(crate) async fn session(&self, user: &str, password: &str) -> (String, String) {
        let body = json!({ "user": user, "password": password });
        let begun = self.post("/api/session").json(&body).await.status(201);
        let cookie = begun.get("set-cookie").expect("a cookie");
        let cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        (cookie, begun.json()["csrf_token"].as_str().expect("a token").to_owned())
    }
}

/// For a query or a form.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What a token says, unverified.
pub(crate) fn claims(token: &str) -> Value {
    part(token, 1)
}

/// The header of a token, unverified.
pub(crate) fn header(token: &str) -> Value {
    part(token, 0)
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("a part");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("base64url");
    serde_json::from_slice(&bytes).expect("JSON")
}

/// What a token is for: `NAME:ACTIONS` of each repository, `catalog:*` of the catalog, in order.
pub(crate) fn granted(token: &str) -> Vec<String> {
    let access = claims(token)["access"].as_array().expect("a list of access").clone();
    let one = |entry: &Value| {
        let actions = entry["actions"].as_array().expect("actions").iter();
        let actions: Vec<_> = actions.map(|action| action.as_str().expect("a word").to_owned()).collect();
        format!("{}:{}", entry["name"].as_str().expect("a name"), actions.join(","))
    };
    access.iter().map(one).collect()
}

/// The one challenge of a 401, which must be there.
#[track_caller]
pub(crate) fn challenge(answer: &Answer) -> String {
    assert_eq!(answer.status, 401, "{answer:?}");
    let lines: Vec<_> = answer.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(lines.len(), 1, "A-1: exactly one challenge: {answer:?}");
    lines[0].to_str().expect("ASCII").to_owned()
}
