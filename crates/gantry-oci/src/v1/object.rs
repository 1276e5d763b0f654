//! JSON objects of which single keys are looked at or exchanged, while values stay as they were written: what goes through a number or
//! a map comes back as something else.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::manifest::is_too_deep;

/// Keys of one object. Images have some fifteen, and each costs more here than in the text.
const KEYS_MAX: usize = 1024;

/// An object whose keys are in the order of their letters. Of duplicate keys the last counts.
#[derive(Clone)]
pub(super) struct Object<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads text that comes from outside; `None`: not UTF-8, not an object, nested too deep, too many keys.
    pub(super) fn read(json: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(json).ok()?;
        if is_too_deep(json) {
            return None;
        }
        serde_json::from_str(text).ok()
    }

    /// Reads a value of an object that was read.
    pub(super) fn of(value: &'a RawValue) -> Option<Self> {
        serde_json::from_str(value.get()).ok()
    }

    /// The value of a key, `null` as absent.
    pub(super) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.get(key).copied().filter(|value| value.get() != "null")
    }

    /// Whether it has the key at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Whether it has none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Leaves keys out.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str, &RawValue) -> bool) {
        self.0.retain(|key, value| keep(key, value));
    }

    /// Sets a key.
    pub(super) fn set(&mut self, key: &'static str, value: &'a RawValue) {
        self.0.insert(Cow::Borrowed(key), value);
    }

    /// Writes it, without white space between keys and values.
    pub(super) fn write(&self) -> Vec<u8> {
        let room = self.0.iter().map(|(key, value)| key.len() + value.get().len() + 4).sum::<usize>() + 2;
        let mut out = String::with_capacity(room);
        let mut next = '{';
        for (key, value) in &self.0 {
            out.push(next);
            push_string(&mut out, key);
            out.push(':');
            out.push_str(value.get());
            next = ',';
        }
        if self.0.is_empty() {
            out.push(next);
        }
        out.push('}');
        out.into_bytes()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut found = BTreeMap::new();
                while let Some(Key(key)) = map.next_key()? {
                    found.insert(key, map.next_value()?);
                    if found.len() > KEYS_MAX {
                        return Err(de::Error::custom("too many keys"));
                    }
                }
                Ok(Object(found))
            }
        }
        from.deserialize_map(Keys)
    }
}

/// A key, borrowed where it is written without escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        from.deserialize_str(Text)
    }
}

/// The string that a value is, when it is one.
pub(super) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Appends a string as JSON has it.
pub(super) fn push_string(out: &mut String, text: &str) {
    // A string is always JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}
