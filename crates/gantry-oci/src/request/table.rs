//! The one table of paths (G-10). Requests are taken apart by it and put together from it, so the two cannot drift.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// `/v2/` (end-1)
    Version,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list` (end-8)
    Tags,
    /// `/v2/<name>/manifests/<tag-or-digest>` (end-3, end-7, end-9)
    Manifest,
    /// `/v2/<name>/referrers/<digest>` (end-12)
    Referrers,
    /// `/v2/<name>/blobs/uploads/` (end-4, end-11)
    Uploads,
    /// `/v2/<name>/blobs/uploads/<id>` (end-5, end-6, end-13, end-14)
    Upload,
    /// `/v2/<name>/blobs/<digest>` (end-2, end-10)
    Blob,
    /// `/v2/_oci/ext/discover` (E-14.6)
    Extensions,
    /// `/v2/<name>/_oci/ext/discover` (E-14.6)
    RepositoryExtensions,
}

/// One segment of a path.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// Exactly this.
    Is(&'static str),
    /// A tag, a digest or an upload session; which of them, the endpoint says.
    Item,
}

/// Whether a path goes on to the left of its tail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Head {
    /// With the name of a repository: all the segments that are left, at least one.
    Name,
    /// With nothing.
    Nothing,
}

pub(super) struct Row {
    pub(super) endpoint: Endpoint,
    label: &'static str,
    /// As the `Allow` header has it.
    pub(super) allow: &'static str,
    /// What follows `/v2/` at first ...
    pub(super) head: Head,
    /// ... and then, at most [`TAIL_MAX`] segments.
    pub(super) tail: &'static [Part],
    /// the path is read like this in a POST only, and never written.
    alias: bool,
}

const TAIL_MAX: usize = 3;

/// The first row that fits counts, so a fixed segment stands before an item in its place. Of the rows of one endpoint the
/// first is the one that is written.
const TABLE: &[Row] = {
    use Head::{Name, Nothing};
    use Part::{Is, Item};
    const fn row(
        endpoint: Endpoint,
        label: &'static str,
        allow: &'static str,
        head: Head,
        tail: &'static [Part],
    ) -> Row {
        Row { endpoint, label, allow, head, tail, alias: false }
    }
    const UPLOADS: Row =
        row(Endpoint::Uploads, "uploads", "POST", Name, &[Is("blobs"), Is("uploads"), Is("")]);
    const UPLOAD: &str = "GET, HEAD, PATCH, PUT, DELETE";
    const DISCOVER: &[Part] = &[Is("_oci"), Is("ext"), Is("discover")];
    &[
        row(Endpoint::Manifest, "manifest", "GET, HEAD, PUT, DELETE", Name, &[Is("manifests"), Item]),
        UPLOADS,
        Row { tail: &[Is("blobs"), Is("uploads")], alias: true, ..UPLOADS },
        row(Endpoint::Blob, "blob", "GET, HEAD, DELETE", Name, &[Is("blobs"), Item]),
        row(Endpoint::Upload, "upload", UPLOAD, Name, &[Is("blobs"), Is("uploads"), Item]),
        row(Endpoint::Version, "version", "GET, HEAD", Nothing, &[Is("")]),
        row(Endpoint::Tags, "tags", "GET, HEAD", Name, &[Is("tags"), Is("list")]),
        row(Endpoint::Referrers, "referrers", "GET, HEAD", Name, &[Is("referrers"), Item]),
        row(Endpoint::Catalog, "catalog", "GET, HEAD", Nothing, &[Is("_catalog")]),
        row(Endpoint::Extensions, "extensions", "GET, HEAD", Nothing, DISCOVER),
        row(Endpoint::RepositoryExtensions, "repository_extensions", "GET, HEAD", Name, DISCOVER),
    ]
};

impl Endpoint {
    /// All of them.
    pub const ALL: &[Endpoint] = &[
        Endpoint::Version,
        Endpoint::Catalog,
        Endpoint::Tags,
        Endpoint::Manifest,
        Endpoint::Referrers,
        Endpoint::Uploads,
        Endpoint::Upload,
        Endpoint::Blob,
        Endpoint::Extensions,
        Endpoint::RepositoryExtensions,
    ];

    /// The row that is written; a test holds that each endpoint has one.
    pub(super) fn row(self) -> Option<&'static Row> {
        TABLE.iter().find(|row| row.endpoint == self)
    }

    /// A short name, for metrics.
    pub fn label(self) -> &'static str {
        self.row().map_or("other", |row| row.label)
    }
}

/// Which row a path belongs to, whether or not its parts are well formed.
pub fn classify(path: &str) -> Option<Endpoint> {
    find(&canonical(path), true).map(|found| found.row.endpoint)
}

/// Whether a path is one of this API, however it is written.
pub fn is_api(path: &str) -> bool {
    let path = canonical(path);
    path == "/v2" || path.starts_with("/v2/")
}

/// `/repositories/<storage>/<repository>/v2/...` is another way to write `/v2/<storage>/<repository>/...`, and
/// `/repositories/<storage>/<repository>/v2/` of `/v2/`.
pub(super) fn canonical(path: &str) -> Cow<'_, str> {
    let rewritten = || {
        let mut parts = path.strip_prefix("/repositories/")?.splitn(4, '/');
        let (storage, repository, v2) = (parts.next()?, parts.next()?, parts.next()?);
        if v2 != "v2" || storage.is_empty() || repository.is_empty() {
            return None;
        }
        Some(match parts.next() {
            None | Some("") => "/v2/".to_owned(),
            Some(rest) => format!("/v2/{storage}/{repository}/{rest}"),
        })
    };
    rewritten().map_or(Cow::Borrowed(path), Cow::Owned)
}

/// A path that fits a row.
pub(super) struct Match<'a> {
    pub(super) row: &'static Row,
    /// The repository name, if the row has one.
    pub(super) name: Option<&'a str>,
    /// The item, if the row has one.
    pub(super) item: &'a str,
}

/// Finds the row of a path; `posting` looks at the aliases too.
pub(super) fn find(path: &str, posting: bool) -> Option<Match<'_>> {
    let below = if path == "/v2" { "" } else { path.strip_prefix("/v2/")? };
    let cuts = cut(below);
    TABLE.iter().filter(|row| posting || !row.alias).find_map(|row| row.fit(&cuts))
}

/// A segment, and what stands before its slash.
#[derive(Clone, Copy)]
struct Cut<'a> {
    before: Option<&'a str>,
    segment: &'a str,
}

/// Cuts a path at its last slashes; the last segment comes first.
fn cut(path: &str) -> [Option<Cut<'_>>; TAIL_MAX] {
    let mut rest = Some(path);
    std::array::from_fn(|_| {
        let left = rest?;
        let cut = match left.rsplit_once('/') {
            Some((before, segment)) => Cut { before: Some(before), segment },
            None => Cut { before: None, segment: left },
        };
        rest = cut.before;
        Some(cut)
    })
}

impl Row {
    fn fit<'a>(&'static self, cuts: &[Option<Cut<'a>>; TAIL_MAX]) -> Option<Match<'a>> {
        let mut found = Match { row: self, name: None, item: "" };
        for (part, cut) in self.tail.iter().rev().zip(cuts) {
            let cut = (*cut)?;
            match part {
                Part::Is(word) if is(cut.segment, word) => {}
                Part::Is(_) => return None,
                Part::Item => found.item = cut.segment,
            }
            found.name = cut.before;
        }
        (found.name.is_some() == (self.head == Head::Name)).then_some(found)
    }

    pub(super) fn allows(&self, method: &str) -> bool {
        let mut allowed = self.allow.as_bytes().split(|byte| *byte == b',');
        allowed.any(|allowed| allowed.trim_ascii_start() == method.as_bytes())
    }
}

/// Whether a segment or a key is this word, however its letters are written.
pub(super) fn is(written: &str, word: &str) -> bool {
    // What is encoded is longer than what it stands for.
    let may_be = || written.len() > word.len() && written.contains('%');
    written == word || (may_be() && percent_decode_str(written).eq(word.bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_in_the_table_and_every_row_in_the_list() {
        for endpoint in Endpoint::ALL {
            assert!(endpoint.row().is_some_and(|row| !row.alias), "{endpoint:?}");
        }
        for row in TABLE {
            assert!(Endpoint::ALL.contains(&row.endpoint), "{:?}", row.endpoint);
            assert!((1..=TAIL_MAX).contains(&row.tail.len()), "{:?}", row.endpoint);
        }
    }

    #[test]
    fn no_row_hides_a_later_one() {
        for (index, later) in TABLE.iter().enumerate() {
            let path = |row: &Row| {
                let head = if row.head == Head::Name { "a/b/" } else { "" };
                let part = |part: &Part| match part {
                    Part::Is(word) => *word,
                    Part::Item => "x",
                };
                format!("/v2/{head}{}", row.tail.iter().map(part).collect::<Vec<_>>().join("/"))
            };
            let found = find(&path(later), true).map(|found| found.row.endpoint);
            assert_eq!(found, Some(later.endpoint), "row {index}: {}", path(later));
        }
    }
}
