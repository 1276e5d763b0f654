//! From a method, a path and a query to a request.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::{ImagePart, Request, RequestError, SearchQuery};
use crate::Tag;
use crate::request::query::Query;
use crate::text::{SHOWN, excerpt};
use crate::v1::{ImageId, V1Name};

type Result<T> = std::result::Result<T, RequestError>;

/// Digits of an image id.
const ID_LEN: usize = 64;

pub(super) fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Request> {
    // Methods are told apart by case; all but those of some row are equal here.
    let method = if *method == Method::HEAD { "GET" } else { method.as_str() };
    if path == "/_ping" {
        return allow("GET, HEAD", method).map(|()| Request::Ping);
    }
    let below = path.strip_prefix("/v1/").ok_or(RequestError::NotFound)?;
    // A search for one byte is much faster than a decoder that finds nothing to do.
    let below = match below.contains('%') {
        true => percent_decode_str(below).decode_utf8().map_err(|_| RequestError::Path)?,
        false => Cow::Borrowed(below),
    };
    // Old clients write some addresses with a slash at the end, and must not be sent elsewhere.
    let below = below.strip_suffix('/').unwrap_or(&below);
    // What is asked for most, without a list.
    if let Some((id, part)) = below.strip_prefix("images/").and_then(|rest| rest.split_once('/'))
        && id.len() == ID_LEN
        && !part.contains(['/', '.'])
    {
        return image(method, id, part);
    }
    let segments: Vec<&str> = below.split('/').collect();
    if segments.iter().any(|segment| matches!(*segment, "." | "..")) {
        return Err(RequestError::Path);
    }
    match *segments {
        ["_ping"] => allow("GET, HEAD", method).map(|()| Request::Ping),
        ["search"] => {
            allow("GET, HEAD", method)?;
            Ok(Request::Search(search(Query::new(query.unwrap_or_default()))))
        }
        ["users"] => {
            allow("GET, HEAD, POST", method)?;
            Ok(if method == "POST" { Request::SignUp } else { Request::Login })
        }
        ["users", name] if !name.is_empty() => {
            allow("PUT", method)?;
            Ok(Request::ChangeUser { name: name.to_owned() })
        }
        ["images", id, part] => image(method, id, part),
        ["repositories", ref segments @ ..] if !segments.is_empty() => repository(method, segments),
        _ => Err(RequestError::NotFound),
    }
}

fn image(method: &str, id: &str, part: &str) -> Result<Request> {
    let part = ImagePart::ALL.into_iter().find(|known| known.as_str() == part);
    let part = part.ok_or(RequestError::NotFound)?;
    let allowed = match part {
        ImagePart::Json | ImagePart::Layer => "GET, HEAD, PUT",
        ImagePart::Checksum => "PUT",
        ImagePart::Ancestry | ImagePart::Files | ImagePart::Diff => "GET, HEAD",
    };
    allow(allowed, method)?;
    let id = image_id(id)?;
    Ok(if method == "PUT" { Request::PutImage { id, part } } else { Request::GetImage { id, part } })
}

/// What follows `/v1/repositories/`. The first row that fits counts.
fn repository(method: &str, segments: &[&str]) -> Result<Request> {
    match segments {
        [name @ .., "tags", tag, "json"] if !name.is_empty() => {
            allow("GET, HEAD", method)?;
            Ok(Request::TagInfo(repo(name)?, parse_tag(tag)?))
        }
        [name @ .., "tags", tag] if !name.is_empty() => {
            allow("GET, HEAD, PUT, DELETE", method)?;
            let (name, tag) = (repo(name)?, parse_tag(tag)?);
            Ok(match method {
                "PUT" => Request::PutTag(name, tag),
                "DELETE" => Request::DeleteTag(name, tag),
                _ => Request::GetTag(name, tag),
            })
        }
        [name @ .., "tags"] if !name.is_empty() => {
            allow("GET, HEAD, DELETE", method)?;
            let name = repo(name)?;
            Ok(if method == "DELETE" { Request::DeleteRepository(name) } else { Request::ListTags(name) })
        }
        [name @ .., "images"] if !name.is_empty() => {
            allow("GET, HEAD, PUT, DELETE", method)?;
            let name = repo(name)?;
            Ok(match method {
                "PUT" => Request::PutImages(name),
                "DELETE" => Request::DeleteImages(name),
                _ => Request::GetImages(name),
            })
        }
        [name @ .., "auth"] if !name.is_empty() => {
            allow("PUT", method)?;
            Ok(Request::Authorize(repo(name)?))
        }
        [name @ .., "json"] if !name.is_empty() => {
            allow("GET, HEAD", method)?;
            Ok(Request::TagInfo(repo(name)?, parse_tag("latest")?))
        }
        [name @ .., "properties"] if !name.is_empty() => {
            allow("GET, HEAD, PUT", method)?;
            let name = repo(name)?;
            Ok(if method == "PUT" { Request::PutProperties(name) } else { Request::GetProperties(name) })
        }
        [name @ .., "layer", id, "access"] if !name.is_empty() => {
            allow("GET, HEAD", method)?;
            Ok(Request::LayerAccess(repo(name)?, image_id(id)?))
        }
        name => {
            allow("PUT, DELETE", method)?;
            let name = repo(name)?;
            Ok(if method == "PUT" { Request::PutRepository(name) } else { Request::DeleteRepository(name) })
        }
    }
}

fn allow(allow: &'static str, method: &str) -> Result<()> {
    if allow.split(", ").any(|allowed| allowed == method) {
        Ok(())
    } else {
        Err(RequestError::Method { allow })
    }
}

fn image_id(text: &str) -> Result<ImageId> {
    text.parse().map_err(|_| RequestError::ImageId)
}

fn repo(segments: &[&str]) -> Result<V1Name> {
    let name = segments.join("/");
    name.parse().map_err(|_| RequestError::Name(excerpt(&name, SHOWN)))
}

fn parse_tag(text: &str) -> Result<Tag> {
    text.parse().map_err(|_| RequestError::Tag)
}

/// What cannot be is made what comes nearest: no client would show an error.
fn search(query: Query<'_>) -> SearchQuery {
    SearchQuery {
        term: query.get("q").unwrap_or_default().into_owned(),
        n: clamp(query, "n", SearchQuery::N, SearchQuery::N_MAX),
        page: clamp(query, "page", 1, SearchQuery::PAGE_MAX),
    }
}

fn clamp(query: Query<'_>, key: &str, default: usize, most: usize) -> usize {
    let Some(text) = query.get(key) else { return default };
    let (negative, digits) = text.strip_prefix('-').map_or((false, &*text), |digits| (true, digits));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return default;
    }
    // Digits that are no number are too many.
    if negative { 1 } else { digits.parse().unwrap_or(most).clamp(1, most) }
}
