//! Query strings: `application/x-www-form-urlencoded`, as clients really write it.

use std::borrow::Cow;
use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::table::is;
use super::{MountSource, Page, RequestError, TAGS_MAX, shown};
use crate::{Algorithm, Reference, RepoName, Tag};

/// A query. It is read again for each key: both are few, and nothing need be kept.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn new(query: &'a str) -> Self {
        Self(query)
    }

    /// The values of a key, as they are written.
    fn values(self, key: &str) -> impl Iterator<Item = &'a str> {
        self.0
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(written, _)| is(written, key))
            .map(|(_, value)| value)
    }

    /// The first value of a key, decoded; an empty one counts as absent.
    pub(crate) fn get(self, key: &str) -> Option<Cow<'a, str>> {
        self.values(key).find(|value| !value.is_empty()).map(decode)
    }

    /// `?n=&last=` (E-11, X-1).
    pub(super) fn page(self) -> Result<Page, RequestError> {
        let n = self.get("n").map(|text| number(&text)).transpose()?;
        Ok(Page { n: n.map(saturate), last: self.get("last").map(Cow::into_owned) })
    }

    /// `?n=` where nobody need heed it, nor complain (E-12.10).
    pub(super) fn wish(self) -> Option<usize> {
        self.get("n").and_then(|text| number(&text).ok()).map(saturate)
    }

    /// `?after=`
    pub(super) fn cursor(self) -> Result<Option<u64>, RequestError> {
        self.get("after").map(|text| number(&text)).transpose()
    }

    /// `?artifactType=`, each once. A raw `+` stays one: media types have no blanks, but do have that (T69).
    pub(super) fn artifact_types(self) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for value in self.values("artifactType").filter(|value| !value.is_empty()) {
            let value = percent_decode_str(value).decode_utf8_lossy();
            if types.iter().all(|known| *known != value) {
                types.push(value.into_owned());
            }
        }
        types
    }

    /// `?tag=`, each once (E-10.11). An empty one is not a tag.
    pub(super) fn tags(self, reference: &Reference) -> Result<Vec<Tag>, RequestError> {
        let mut tags: Vec<Tag> = Vec::new();
        for value in self.values("tag") {
            if matches!(reference, Reference::Tag(_)) {
                return Err(RequestError::TagWithTagParameter);
            }
            let value = decode(value);
            let tag = value.parse().map_err(|_| RequestError::InvalidTag(shown(&value)))?;
            if tags.contains(&tag) {
                continue;
            }
            if tags.len() == TAGS_MAX {
                return Err(RequestError::TooManyTags(TAGS_MAX));
            }
            tags.push(tag);
        }
        Ok(tags)
    }

    /// `?from=` (E-9.2).
    pub(super) fn mount_source(self) -> Option<MountSource> {
        self.get("from")
            .map(|from| RepoName::from_path(&from).map_or(MountSource::Invalid, MountSource::Repository))
    }

    /// `?digest-algorithm=` (E-6.1).
    pub(super) fn algorithm(self) -> Result<Option<Algorithm>, RequestError> {
        let parse =
            |text: Cow<'_, str>| text.parse().map_err(|_| RequestError::UnsupportedAlgorithm(shown(&text)));
        self.get("digest-algorithm").map(parse).transpose()
    }
}

/// A value by the rules of forms. What is not UTF-8 becomes what no name, tag, digest or number contains.
fn decode(value: &str) -> Cow<'_, str> {
    if value.contains('+') {
        let spaced = value.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(value).decode_utf8_lossy()
}

/// A number without a sign; more than fits is as much as fits.
fn number(text: &str) -> Result<u64, RequestError> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.parse().unwrap_or(u64::MAX))
    } else {
        Err(RequestError::InvalidPage(shown(text)))
    }
}

fn saturate(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// What is encoded in a value: all but RFC 3986's unreserved letters, and the colon of digests.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Writes a query behind a path.
pub(crate) struct QueryWriter<'a> {
    path: &'a mut String,
    next: char,
}

impl<'a> QueryWriter<'a> {
    pub(crate) fn new(path: &'a mut String) -> Self {
        Self { path, next: '?' }
    }

    pub(crate) fn pair(&mut self, key: &str, value: &str) {
        self.path.push(std::mem::replace(&mut self.next, '&'));
        self.path.push_str(key);
        self.path.push('=');
        self.path.extend(utf8_percent_encode(value, ENCODED));
    }

    pub(super) fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.pair(key, &value.to_string());
        }
    }
}
