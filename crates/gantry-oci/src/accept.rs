//! `Accept`: what a client says it can read.

use std::fmt;

/// The media types of one or more `Accept` lines. Weights and parameters are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accept(Vec<String>);

impl Accept {
    /// Reads header lines, each with one type or a list.
    pub fn from_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        let types = lines.into_iter().flat_map(|line| line.split(','));
        let types = types.map(|item| item.split(';').next().unwrap_or_default().trim());
        Self(types.filter(|media_type| !media_type.is_empty()).map(str::to_owned).collect())
    }

    /// Whether a media type itself is among them, not only a pattern that it fits.
    pub fn names(&self, media_type: &str) -> bool {
        self.0.iter().any(|range| range == media_type)
    }

    /// Whether a media type is among them. No header at all accepts everything.
    pub fn accepts(&self, media_type: &str) -> bool {
        let kind = media_type.split_once('/').map(|(kind, _)| kind);
        let range_of = |range: &str| range.strip_suffix("/*").is_some_and(|wanted| kind == Some(wanted));
        self.0.is_empty()
            || self.0.iter().any(|range| range == media_type || range == "*/*" || range_of(range))
    }
}

impl<S: Into<String>> FromIterator<S> for Accept {
    fn from_iter<I: IntoIterator<Item = S>>(types: I) -> Self {
        Self(types.into_iter().map(Into::into).collect())
    }
}

impl fmt::Display for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}
