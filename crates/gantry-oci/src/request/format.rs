//! From a request to the method, the path and the query that make it.

use std::fmt::Write as _;

use http::Method;

use super::query::QueryWriter;
use super::table::{Head, Part};
use super::{MountSource, Request};

impl Request {
    /// The method that makes this request.
    pub fn method(&self) -> Method {
        match self {
            Request::Version
            | Request::Catalog { .. }
            | Request::ListTags { .. }
            | Request::GetManifest { .. }
            | Request::Referrers { .. }
            | Request::GetBlob { .. }
            | Request::GetUpload { .. }
            | Request::Extensions { .. } => Method::GET,
            Request::PutManifest { .. } | Request::PutUpload { .. } => Method::PUT,
            Request::DeleteManifest { .. } | Request::DeleteBlob { .. } | Request::DeleteUpload { .. } => {
                Method::DELETE
            }
            Request::StartUpload { .. } => Method::POST,
            Request::PatchUpload { .. } => Method::PATCH,
        }
    }

    /// The path and query that make this request: an absolute path, which [`Request::parse`] reads as the same request.
    pub fn path_and_query(&self) -> String {
        // Holds a usual name and a digest.
        let mut path = String::with_capacity(160);
        path.push_str("/v2");
        if let Some(row) = self.endpoint().row() {
            if let (Head::Name, Some(name)) = (row.head, self.repository()) {
                path.push('/');
                path.push_str(name.as_str());
            }
            for part in row.tail {
                path.push('/');
                match part {
                    Part::Is(word) => path.push_str(word),
                    Part::Item => self.write_item(&mut path),
                }
            }
        }
        self.write_query(QueryWriter::new(&mut path));
        path
    }

    /// Tags, digests and sessions have no letter that needs encoding in a path.
    fn write_item(&self, path: &mut String) {
        // Writing into a string does not fail.
        let _ = match self {
            Request::GetManifest { reference, .. }
            | Request::PutManifest { reference, .. }
            | Request::DeleteManifest { reference, .. } => write!(path, "{reference}"),
            Request::Referrers { digest, .. }
            | Request::GetBlob { digest, .. }
            | Request::DeleteBlob { digest, .. } => write!(path, "{digest}"),
            Request::GetUpload { id, .. }
            | Request::PatchUpload { id, .. }
            | Request::PutUpload { id, .. }
            | Request::DeleteUpload { id, .. } => write!(path, "{id}"),
            Request::Version
            | Request::Catalog { .. }
            | Request::ListTags { .. }
            | Request::StartUpload { .. }
            | Request::Extensions { .. } => Ok(()),
        };
    }

    fn write_query(&self, mut query: QueryWriter<'_>) {
        match self {
            Request::Catalog { page } | Request::ListTags { page, .. } => {
                query.maybe("last", page.last.as_deref());
                query.maybe("n", page.n);
            }
            Request::PutManifest { tags, .. } => tags.iter().for_each(|tag| query.pair("tag", tag.as_str())),
            Request::Referrers { artifact_types, after, n, .. } => {
                artifact_types.iter().for_each(|wanted| query.pair("artifactType", wanted));
                query.maybe("after", *after);
                query.maybe("n", *n);
            }
            Request::StartUpload { digest, algorithm, mount, .. } => {
                query.maybe("digest", *digest);
                query.maybe("digest-algorithm", *algorithm);
                if let Some(mount) = mount {
                    query.maybe("mount", Some(mount.digest));
                    match &mount.from {
                        Some(MountSource::Repository(name)) => query.pair("from", name.as_str()),
                        // Anything that is not a name.
                        Some(MountSource::Invalid) => query.pair("from", "-"),
                        None => {}
                    }
                }
            }
            Request::PutUpload { digest, .. } => query.maybe("digest", Some(*digest)),
            Request::Version
            | Request::GetManifest { .. }
            | Request::DeleteManifest { .. }
            | Request::GetBlob { .. }
            | Request::DeleteBlob { .. }
            | Request::GetUpload { .. }
            | Request::PatchUpload { .. }
            | Request::DeleteUpload { .. }
            | Request::Extensions { .. } => {}
        }
    }
}
