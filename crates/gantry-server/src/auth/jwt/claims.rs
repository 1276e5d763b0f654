//! What a token claims.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{LEEWAY, TokenError};

/// The last second of the year 9999. Later ones are not times.
const LAST: i64 = 253_402_300_799;

/// The claims of a token: one JSON object in which nothing stands twice.
#[derive(Debug)]
pub(in crate::auth) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(bytes).map_err(|_| TokenError::Malformed)
    }

    /// A claim by its name.
    pub(in crate::auth) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A claim by its name, or by a JSON pointer (RFC 6901), which begins with `/`: `/kubernetes.io/namespace`.
    pub(in crate::auth) fn at(&self, place: &str) -> Option<&Value> {
        let Some(path) = place.strip_prefix('/') else { return self.get(place) };
        let (first, rest) = match path.find('/') {
            Some(end) => path.split_at(end),
            None => (path, ""),
        };
        let value = self.get(&first.replace("~1", "/").replace("~0", "~"))?;
        value.pointer(rest).filter(|value| !value.is_null())
    }

    /// A claim that is text.
    pub(in crate::auth) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Takes a claim out, as a value of its type; a claim that is not there or `null` is that type's nothing.
    pub(in crate::auth) fn take<T: DeserializeOwned + Default>(
        &mut self,
        name: &str,
    ) -> Result<T, TokenError> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(T::default()),
            Some(value) => serde_json::from_value(value).map_err(|_| TokenError::Claims),
        }
    }

    /// A time, in seconds since 1970. They may have fractions (RFC 7519, 2), which do not count.
    pub(in crate::auth) fn time(&self, name: &str) -> Result<Option<i64>, TokenError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let whole = value.as_i64().or_else(|| {
            #[expect(clippy::cast_possible_truncation, reason = "checked on the next line; a cast saturates")]
            value.as_f64().filter(|number| number.is_finite()).map(|number| number.floor() as i64)
        });
        whole.filter(|time| (0..=LAST).contains(time)).map(Some).ok_or(TokenError::Claims)
    }

    /// Whether it was made and is valid at `now` (seconds since 1970), give or take [`LEEWAY`]. A token that never ends is none.
    pub(in crate::auth) fn check_times(&self, now: i64) -> Result<(), TokenError> {
        let expires = self.time("exp")?.ok_or(TokenError::Claims)?;
        let begins = self.time("nbf")?.max(self.time("iat")?);
        in_time(begins, expires, now)
    }

    /// Whether it is for one of these: `aud` is text, or a list of them (RFC 7519, 4.1.3).
    pub(in crate::auth) fn check_audience<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), TokenError> {
        let given = match self.get("aud") {
            Some(Value::Array(list)) => list.as_slice(),
            Some(one @ Value::String(_)) => std::slice::from_ref(one),
            _ => return Err(TokenError::Audience),
        };
        let found = wanted.into_iter().any(|wanted| given.iter().any(|given| given.as_str() == Some(wanted)));
        if found { Ok(()) } else { Err(TokenError::Audience) }
    }
}

/// Whether `now` lies between the two, give or take [`LEEWAY`].
pub(in crate::auth) fn in_time(begins: Option<i64>, expires: i64, now: i64) -> Result<(), TokenError> {
    if now.saturating_sub(LEEWAY) > expires {
        Err(TokenError::Expired)
    } else if begins.is_some_and(|begins| now.saturating_add(LEEWAY) < begins) {
        Err(TokenError::Early)
    } else {
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Claims, A::Error> {
                let mut claims = Map::new();
                while let Some((name, value)) = from.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim stands there twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        from.deserialize_map(Once)
    }
}
