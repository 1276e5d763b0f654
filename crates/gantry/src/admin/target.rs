//! Paths and queries of the API, with everything encoded that is put into them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Usage;

/// Everything but what is never special in a URL.
const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The path of something below `/api/`.
pub(super) fn path(segments: &[&str]) -> anyhow::Result<String> {
    let mut path = String::from("/api");
    for segment in segments {
        // URL parsers take these out of a path, also when they are encoded: something else would be meant.
        if matches!(*segment, "" | "." | "..") {
            return Err(Usage::error(format!("`{segment}` is no name")));
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, SPECIAL));
    }
    Ok(path)
}

/// What stands behind the `?`.
#[derive(Clone, Default)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// With this parameter, if there is a value; it takes the place of one that was there.
    pub(super) fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.0.retain(|(other, _)| *other != name);
            self.0.push((name, value.to_owned()));
        }
        self
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|(other, value)| (*other == name).then_some(value.as_str()))
    }

    /// A path with this query.
    pub(super) fn on(&self, path: &str) -> String {
        let mut target = path.to_owned();
        for (index, (name, value)) in self.0.iter().enumerate() {
            target.push(if index == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            target.extend(utf8_percent_encode(value, SPECIAL));
        }
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_one_segment_and_values_one_value() {
        assert_eq!(path(&["namespaces", "/"]).unwrap(), "/api/namespaces/%2F");
        assert_eq!(path(&["namespaces", "team/app"]).unwrap(), "/api/namespaces/team%2Fapp");
        assert_eq!(path(&["users", "a?b#c%2F"]).unwrap(), "/api/users/a%3Fb%23c%252F");
        for name in ["", ".", ".."] {
            assert!(path(&["users", name]).is_err());
        }
        let query =
            Query::default().with("subject", Some("group:a&b")).with("tag", None).with("n", Some("1"));
        assert_eq!(query.with("n", Some("2")).on("/api/grants"), "/api/grants?subject=group%3Aa%26b&n=2");
    }
}
