//! From a method, a path and a query to a request.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode_str;

use super::query::Query;
use super::table::{Endpoint, canonical, find};
use super::{Mount, Request, RequestError, shown};
use crate::{Digest, DigestError, Reference, ReferenceError, RepoName};

impl Request {
    /// Takes a request apart. HEAD is read as GET; `ns` and parameters that mean nothing here are ignored (E-14.5).
    ///
    /// # Errors
    /// The first thing that is wrong, looked for in this order: the path, the method, the repository name, the tag, digest
    /// or session in the path, the query.
    pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Self, RequestError> {
        let path = canonical(path);
        let found = find(&path, *method == Method::POST).ok_or(RequestError::NotFound)?;
        let (row, method) = (found.row, method.as_str());
        if !row.allows(method) {
            return Err(RequestError::MethodNotAllowed { allow: row.allow });
        }
        let query = Query::new(query.unwrap_or_default());
        let digests = Digests { endpoint: row.endpoint, write: matches!(method, "POST" | "PUT" | "PATCH") };
        // Only asked of rows with a name, once each, and before anything else.
        let name = || parse_name(found.name.unwrap_or_default());
        let item = || decode(found.item);
        Ok(match row.endpoint {
            Endpoint::Version => Request::Version,
            Endpoint::Catalog => Request::Catalog { page: query.page()? },
            Endpoint::Extensions => Request::Extensions { name: None },
            Endpoint::RepositoryExtensions => Request::Extensions { name: Some(name()?) },
            Endpoint::Tags => Request::ListTags { name: name()?, page: query.page()? },
            Endpoint::Referrers => Request::Referrers {
                name: name()?,
                digest: digests.parse(&item()?)?,
                artifact_types: query.artifact_types(),
                after: query.cursor()?,
                n: query.wish(),
            },
            Endpoint::Manifest => {
                let name = name()?;
                let reference = digests.reference(&item()?)?;
                match method {
                    "PUT" => Request::PutManifest { tags: query.tags(&reference)?, name, reference },
                    "DELETE" => Request::DeleteManifest { name, reference },
                    _ => Request::GetManifest { name, reference },
                }
            }
            Endpoint::Blob => {
                let (name, digest) = (name()?, digests.parse(&item()?)?);
                match method {
                    "DELETE" => Request::DeleteBlob { name, digest },
                    _ => Request::GetBlob { name, digest },
                }
            }
            Endpoint::Uploads => {
                let name = name()?;
                let digest = |key: &str| query.get(key).map(|text| digests.parse(&text)).transpose();
                match digest("mount")? {
                    // A mount comes first, and what else is said does not matter then (E-9.4, T35).
                    Some(mount) => {
                        let mount = Some(Mount { digest: mount, from: query.mount_source() });
                        Request::StartUpload { name, digest: None, algorithm: None, mount }
                    }
                    None => {
                        let (digest, algorithm) = (digest("digest")?, query.algorithm()?);
                        Request::StartUpload { name, digest, algorithm, mount: None }
                    }
                }
            }
            Endpoint::Upload => {
                let (name, item) = (name()?, item()?);
                let id = item.parse().map_err(|_| RequestError::UnknownUpload(shown(&item)))?;
                match method {
                    "PATCH" => Request::PatchUpload { name, id },
                    "DELETE" => Request::DeleteUpload { name, id },
                    "PUT" => {
                        let digest = query.get("digest").ok_or(RequestError::MissingDigest)?;
                        Request::PutUpload { name, id, digest: digests.parse(&digest)? }
                    }
                    _ => Request::GetUpload { name, id },
                }
            }
        })
    }
}

/// One segment. Segments are cut first and decoded then: an encoded slash does not divide.
fn decode(segment: &str) -> Result<Cow<'_, str>, RequestError> {
    // A search for one byte is much faster than a decoder that finds nothing to do.
    if !segment.contains('%') {
        return Ok(Cow::Borrowed(segment));
    }
    percent_decode_str(segment).decode_utf8().map_err(|_| RequestError::BadEncoding)
}

/// A repository name, which as a rule has nothing to decode.
fn parse_name(written: &str) -> Result<RepoName, RequestError> {
    let invalid = |name: &str| RequestError::InvalidName(shown(name));
    if !written.contains('%') {
        return RepoName::from_path(written).map_err(|_| invalid(written));
    }
    let mut name = String::with_capacity(written.len());
    for (index, segment) in written.split('/').enumerate() {
        let segment = decode(segment)?;
        if segment.contains('/') {
            return Err(invalid(written));
        }
        if index > 0 {
            name.push('/');
        }
        name.push_str(&segment);
    }
    RepoName::from_path(&name).map_err(|_| invalid(&name))
}

/// Reads digests, and says of one that is not kept where it stood: what follows from it depends on that (E-2.10).
struct Digests {
    endpoint: Endpoint,
    write: bool,
}

impl Digests {
    fn parse(&self, text: &str) -> Result<Digest, RequestError> {
        text.parse().map_err(|error| self.error(error, text))
    }

    fn reference(&self, text: &str) -> Result<Reference, RequestError> {
        text.parse().map_err(|error| match error {
            ReferenceError::Digest(error) => self.error(error, text),
            ReferenceError::Tag(_) => RequestError::InvalidTag(shown(text)),
        })
    }

    fn error(&self, error: DigestError, text: &str) -> RequestError {
        let digest = shown(text);
        match error {
            DigestError::Malformed => RequestError::InvalidDigest(digest),
            DigestError::Unsupported => {
                RequestError::UnsupportedDigest { digest, endpoint: self.endpoint, write: self.write }
            }
        }
    }
}
