//! The OpenAPI document, made of the table of routes and of the types that are read and written.
//!
//! The schemas are derived (utoipa) beside the types, so neither can be changed without the other; the rest follows from the table.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

use super::rights::Right;
use super::route::{Route, Row};
use super::{Call, audit};
use crate::http::problem::Document;
use crate::http::{Problem, Response, reply};

/// Schemas by name.
type Schemas = BTreeMap<String, Value>;
/// Puts a type's schema there and refers to it.
type Add = fn(&mut Schemas) -> Value;

/// What a route takes as its body.
pub(super) type Takes = Option<Add>;

/// What a route answers.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    Nothing,
    Json(Add),
    /// The same also as lines, for those who ask.
    Lines(Add),
}

pub(super) const fn takes<T: ToSchema>() -> Takes {
    Some(add::<T>)
}

pub(super) const fn gives<T: ToSchema>() -> Gives {
    Gives::Json(add::<T>)
}

pub(super) const fn lines<T: ToSchema>() -> Gives {
    Gives::Lines(add::<T>)
}

pub(super) const fn nothing() -> Gives {
    Gives::Nothing
}

fn add<T: ToSchema>(schemas: &mut Schemas) -> Value {
    let mut named: Vec<(String, RefOr<Schema>)> = Vec::new();
    T::schemas(&mut named);
    named.push((T::name().into_owned(), T::schema()));
    for (name, schema) in named {
        // What was derived can be written.
        schemas.entry(name).or_insert_with(|| serde_json::to_value(schema).unwrap_or_default());
    }
    json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
}

/// A key of a query.
#[derive(Clone, Copy)]
pub(super) struct Parameter {
    name: &'static str,
    description: &'static str,
    kind: Kind,
    required: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Limit,
    Number,
    Text,
    OneOf(&'static [&'static str]),
}

impl Parameter {
    const fn of(name: &'static str, description: &'static str, kind: Kind) -> Self {
        Self { name, description, kind, required: false }
    }

    /// The size of a page.
    pub(super) const fn limit(name: &'static str, description: &'static str) -> Self {
        Self::of(name, description, Kind::Limit)
    }

    pub(super) const fn number(name: &'static str, description: &'static str) -> Self {
        Self::of(name, description, Kind::Number)
    }

    pub(super) const fn text(name: &'static str, description: &'static str) -> Self {
        Self::of(name, description, Kind::Text)
    }

    pub(super) const fn one_of(
        name: &'static str,
        description: &'static str,
        words: &'static [&'static str],
    ) -> Self {
        Self::of(name, description, Kind::OneOf(words))
    }

    pub(super) const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    fn describe(&self) -> Value {
        let schema = match self.kind {
            Kind::Limit => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 100 }),
            Kind::Number => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Kind::Text => json!({ "type": "string" }),
            Kind::OneOf(words) => json!({ "type": "string", "enum": words }),
        };
        json!({
            "name": self.name, "in": "query", "required": self.required, "description": self.description, "schema": schema,
        })
    }
}

/// Any JSON object.
#[derive(ToSchema)]
pub(super) struct Any {}

/// A right on a part of the names, each including the ones before it.
#[derive(ToSchema)]
#[schema(as = Role, rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for `gantry_oci::access::Role`, which knows no schemas")]
pub(super) enum RoleWord {
    Pull,
    Push,
    Delete,
    Admin,
}

/// Who may see a repository that they have no right on.
#[derive(ToSchema)]
#[schema(as = Visibility, rename_all = "lowercase")]
#[expect(dead_code, reason = "it stands for `gantry_oci::access::Visibility`, which knows no schemas")]
pub(super) enum VisibilityWord {
    Public,
    Private,
    Hidden,
}

pub(super) fn show(call: &Call<'_>) -> Result<Response, Problem> {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let document =
        DOCUMENT.get_or_init(|| document(&call.app.config.base_path).to_string().into_bytes().into());
    Ok(reply::json(StatusCode::OK, "application/json", document.to_vec()))
}

fn document(base_path: &str) -> Value {
    let mut schemas = Schemas::new();
    let problem = add::<Document>(&mut schemas);
    let mut paths: BTreeMap<String, Value> = BTreeMap::new();
    for route in Route::ALL {
        let row = route.row();
        let operation = operation(&row, &mut schemas);
        let item = paths.entry(row.path.replace("...}", "}")).or_insert_with(|| json!({}));
        if let (Some(item), Some(parameter)) = (item.as_object_mut(), in_path(&row)) {
            item.insert("parameters".to_owned(), json!([parameter]));
        }
        if let Some(item) = item.as_object_mut() {
            item.insert(row.method.to_ascii_lowercase(), operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Gantry admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Accounts, tokens, grants, namespaces and what else an operator looks after. Lists are pages: `n` is how many \
                entries at most, and `next` in the answer (and `Link: rel=\"next\"`) is where to go on. Failures are \
                `application/problem+json` (RFC 9457).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": if base_path.is_empty() { "/" } else { base_path } }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic" },
                "session": { "type": "apiKey", "in": "cookie", "name": crate::http::SESSION_COOKIE },
            },
            "responses": {
                "Problem": {
                    "description": "It was not done; the document says why.",
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
        },
    })
}

/// The parameter of a path.
fn in_path(row: &Row) -> Option<Value> {
    let (_, rest) = row.path.split_once('{')?;
    let name = rest.split_once('}')?.0.trim_end_matches('.');
    let description = match (name, row.path) {
        ("prefix", _) => {
            "Of the namespace: whole components of names, with slashes as `%2F` or as they are; `%2F` alone is everything."
        }
        ("name", path) if path.starts_with("/api/storages") => "Of the storage.",
        ("name", _) => "Of the account.",
        _ => "As lists show it.",
    };
    Some(json!({
        "name": name, "in": "path", "required": true, "description": description,
        "schema": { "type": "string", "minLength": 1 },
    }))
}

fn operation(row: &Row, schemas: &mut Schemas) -> Value {
    let refers = |status: u16| (status.to_string(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut responses = BTreeMap::from([refers(500), refers(503)]);
    // Credentials that are nobody's are refused everywhere, and so are addresses that are not served.
    let mut statuses = vec![400, 401, 403];
    statuses.extend_from_slice(row.fails);
    // Too many logins at once, or too many that failed.
    statuses.push(429);
    if row.takes.is_some() {
        statuses.extend([408, 413, 415]);
    }
    responses.extend(statuses.into_iter().map(refers));
    let mut done = json!({ "description": "Done." });
    match row.gives {
        Gives::Nothing => {}
        Gives::Json(add) => done["content"] = json!({ "application/json": { "schema": add(schemas) } }),
        Gives::Lines(add) => {
            done["content"] = json!({
                "application/json": { "schema": add(schemas) },
                audit::LINES: { "schema": { "type": "string", "description": "One entry a line." } },
            });
        }
    }
    responses.insert(row.status.to_string(), done);
    let mut operation = json!({
        "operationId": operation_id(row.action),
        "summary": row.summary,
        "tags": [row.action.split('.').next().unwrap_or_default()],
        "responses": responses,
        "security": if row.right == Right::Everybody { json!([{}]) } else { json!([{ "basic": [] }, { "session": [] }]) },
    });
    if !row.query.is_empty() {
        operation["parameters"] = row.query.iter().map(Parameter::describe).collect();
    }
    if let Some(add) = row.takes {
        let content = json!({ "application/json": { "schema": add(schemas) } });
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    operation
}

/// `user.create` as programs like it: `userCreate`.
fn operation_id(action: &str) -> String {
    let mut words = action.split('.');
    let mut id = words.next().unwrap_or_default().to_owned();
    for word in words {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each reference leads somewhere, and each operation has a name of its own.
    #[test]
    fn the_document_is_whole() {
        let document = document("");
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#/").skip(1) {
            let path = part.split('"').next().unwrap();
            assert!(document.pointer(&format!("/{path}")).is_some_and(|found| !found.is_null()), "{path}");
        }
        let mut ids: Vec<_> = Route::ALL.iter().map(|route| operation_id(route.row().action)).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), Route::ALL.len());
        assert!(text.len() > 10_000 && !text.contains("secret_hash"), "{text}");
    }
}
