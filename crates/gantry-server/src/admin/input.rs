//! What a client sends: queries, pages and bodies, read strictly and bounded.

use std::fmt::{self, Display};
use std::marker::PhantomData;
use std::str::FromStr;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use gantry_storage::Timestamp;
use http::{HeaderMap, header};
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::route::decode;
use crate::auth::secret::redacted;
use crate::http::Problem;
use crate::registry::ByteSource;

/// The largest body, in bytes.
const BODY_MAX: usize = 64 << 10;
/// Entries of a page when the client does not say.
const PAGE: usize = 100;
/// Entries of a page at most.
const PAGE_MAX: usize = 1000;

/// A query; read again for each key.
#[derive(Clone, Copy)]
pub(super) struct Query<'a>(pub(super) &'a str);

impl<'a> Query<'a> {
    fn pairs(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let pairs = self.0.split('&').filter(|pair| !pair.is_empty());
        pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
    }

    /// The value of a key; an empty one counts as absent, and one that is said twice is none.
    pub(super) fn get(self, key: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.written(key)?.filter(|value| !value.is_empty()))
    }

    /// The same, but an empty one is one.
    fn written(self, key: &'static str) -> Result<Option<String>, Problem> {
        let mut values = self.pairs().filter(|(name, _)| *name == key).map(|(_, value)| value);
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Problem::Invalid(format!("`{key}` stands in the query twice")));
        }
        let value = decode(&value.replace('+', " "))
            .ok_or_else(|| Problem::Invalid(format!("`{key}` is not UTF-8, percent-encoded")))?;
        if value.contains('\0') {
            return Err(Problem::Invalid(format!("`{key}` holds a zero byte")));
        }
        Ok(Some(value))
    }

    /// The same, parsed; `expected` tells what.
    pub(super) fn parse<T: FromStr>(self, key: &'static str, expected: &str) -> Result<Option<T>, Problem> {
        let value = self.get(key)?;
        let wrong = || Problem::Invalid(format!("`{key}` is not {expected}"));
        value.map(|text| text.parse().map_err(|_| wrong())).transpose()
    }

    /// A number that rows have: they are signed.
    pub(super) fn number(self, key: &'static str) -> Result<Option<u64>, Problem> {
        let wrong = || Problem::Invalid(format!("`{key}` is not a number, or larger than any that there is"));
        let number = |text: String| -> Option<u64> {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|number| digits && i64::try_from(*number).is_ok())
        };
        self.written(key)?.map(|text| number(text).ok_or_else(wrong)).transpose()
    }

    /// `?n=`
    pub(super) fn limit(self) -> Result<usize, Problem> {
        match self.number("n")?.map(usize::try_from) {
            Some(Ok(n)) if (1..=PAGE_MAX).contains(&n) => Ok(n),
            Some(_) => Err(Problem::Invalid("`n` is not a number from 1 to 1000".to_owned())),
            None => Ok(PAGE),
        }
    }

    /// The same query on another page.
    pub(super) fn with(self, key: &str, place: &str) -> String {
        let kept = self.pairs().filter(|(name, _)| *name != key);
        let mut query: String = kept.map(|(name, value)| format!("{name}={value}&")).collect();
        query.push_str(&format!("{key}={}", encode(place)));
        query
    }
}

/// Percent-encoded, as one component of a path or one value of a query.
pub(super) fn encode(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        match plain(byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

/// Cuts a list that was read with one more than the page has room for, and says where the next page begins.
pub(super) fn cut<T>(items: &mut Vec<T>, limit: usize, place: impl Fn(&T) -> String) -> Option<String> {
    if items.len() <= limit {
        return None;
    }
    items.truncate(limit);
    items.last().map(place)
}

/// A body of JSON.
pub(super) async fn body<T: DeserializeOwned>(headers: &HeaderMap, source: ByteSource) -> Result<T, Problem> {
    let json = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        value.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    });
    if !json || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Problem::MediaType);
    }
    let bytes = collect(source).await?;
    // It goes at most 128 levels deep.
    let read: serde_json::Result<Object<T>> = serde_json::from_slice(&bytes);
    read.map(|object| object.0).map_err(|error| Problem::Invalid(said(&error)))
}

/// A value that is written as an object. What is derived also takes a list of the members in their order, which no schema says.
#[derive(Clone, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        from.deserialize_map(Members(PhantomData)).map(Object)
    }
}

async fn collect(mut source: ByteSource) -> Result<Bytes, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = source.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > BODY_MAX {
            return Err(Problem::TooLarge(BODY_MAX));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// What is wrong with a body, without the values that stand in it: one may be a password.
fn said(error: &serde_json::Error) -> String {
    let place = format!("line {}, column {}", error.line(), error.column());
    if !error.is_data() {
        return format!("the body is not JSON: {place}");
    }
    let text = error.to_string();
    let named =
        ["unknown field `", "missing field `", "duplicate field `"].iter().any(|word| text.starts_with(word));
    if named {
        return format!("the body is not as expected: {}", cut_text(&text));
    }
    match text.rfind("expected ").or_else(|| text.rfind("one of ")) {
        Some(at) => format!("the body is not as expected: {}", cut_text(text.get(at..).unwrap_or_default())),
        None => format!("the body is not as expected: {place}"),
    }
}

/// The most of a client's text that is shown again, in letters.
const SHOWN: usize = 200;

/// A client's text, cut, and without what looks like one of our secrets.
pub(super) fn cut_text(text: &str) -> String {
    redacted(text).chars().filter(|letter| !letter.is_control()).take(SHOWN).collect()
}

/// A moment, or a length of time from now on.
pub(super) fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let span: Result<crate::config::Span, _> = text.parse();
    let at = match span {
        Ok(span) => after(now, span.0),
        Err(_) => text.parse().map_err(|_| {
            Problem::Invalid(
                "`expires` is neither a length of time such as 30d nor a moment in RFC 3339".to_owned(),
            )
        })?,
    };
    if at <= now {
        return Err(Problem::Invalid("`expires` is in the past".to_owned()));
    }
    Ok(at)
}

/// A moment, or a length of time until now.
pub(super) fn since(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    let span: Result<crate::config::Span, _> = text.parse();
    let wrong = || {
        Problem::Invalid(
            "`since` is neither a moment in RFC 3339 nor a length of time such as 24h".to_owned(),
        )
    };
    match span {
        Ok(span) => {
            Ok(Timestamp(now.0.saturating_sub(i64::try_from(span.0.as_micros()).unwrap_or(i64::MAX))))
        }
        Err(_) => text.parse().map_err(|_| wrong()),
    }
}

/// The moment `span` after another.
pub(super) fn after(moment: Timestamp, span: std::time::Duration) -> Timestamp {
    Timestamp(moment.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
}

/// A member that was sent, `null` too; for `#[serde(default, deserialize_with)]`.
pub(super) fn sent<'de, T, D>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Deserialize::deserialize(from).map(Some)
}

/// A text for people: printable, and not without end.
pub(super) fn text(member: &str, text: &str, max: usize) -> Result<(), Problem> {
    if text.chars().any(char::is_control) || text.len() > max {
        return Err(Problem::Invalid(format!(
            "`{member}` holds control characters, or more than {max} bytes"
        )));
    }
    Ok(())
}

/// Whether a text holds what looks like one of our secrets: it must not become a name, which everybody is shown.
pub(super) fn is_secret(text: &str) -> bool {
    *redacted(text) != *text
}

/// Parses a member of a body.
pub(super) fn member<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|error| Problem::Invalid(format!("`{name}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_without_what_was_sent() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "it is never made")]
        struct Sent {
            admin: bool,
        }
        let told = |text: &str| said(&serde_json::from_str::<Sent>(text).unwrap_err());
        assert_eq!(
            told(r#"{"admin":"hunter2"}"#),
            "the body is not as expected: expected a boolean at line 1 column 18"
        );
        assert!(told(r#"{"admin":true,"x":"hunter2"}"#).contains("unknown field `x`, expected `admin`"));
        assert_eq!(told("{"), "the body is not JSON: line 1, column 1");
        assert!(!told(r#""hunter2""#).contains("hunter2"));
        assert!(told("{}").contains("missing field `admin`"));
    }

    #[test]
    fn queries() {
        let query = Query("a=1&b=x%20y+z&a=2&c=&n=5");
        assert!(query.get("a").is_err());
        assert_eq!(query.get("b").unwrap().as_deref(), Some("x y z"));
        assert_eq!(query.get("c").unwrap(), None);
        assert_eq!(query.limit().unwrap(), 5);
        assert_eq!(query.with("after", "ä/"), "a=1&b=x%20y+z&a=2&c=&n=5&after=%C3%A4%2F");
        for n in ["0", "-1", "+1", "1001", "x", ""] {
            assert!(Query(&format!("n={n}")).limit().is_err(), "{n}");
        }
    }

    #[test]
    fn moments_in_the_future() {
        let now = Timestamp(0);
        assert_eq!(expiry("1s", now).unwrap(), Timestamp(1_000_000));
        assert_eq!(expiry("1970-01-01T00:00:02Z", now).unwrap(), Timestamp(2_000_000));
        for text in ["0s", "1970-01-01T00:00:00Z", "soon", ""] {
            assert!(expiry(text, now).is_err(), "{text}");
        }
        assert_eq!(expiry("99999999999d", now).unwrap(), Timestamp(i64::MAX));
        assert_eq!(since("1s", now).unwrap(), Timestamp(-1_000_000));
        assert_eq!(since("1970-01-01T00:00:02Z", now).unwrap(), Timestamp(2_000_000));
        assert!(since("lately", now).is_err());
    }
}
