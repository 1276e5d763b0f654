//! The writing half of the protocol, as clients speak it.

use anyhow::{Context, Result};

use crate::content::{self, Blob, MANIFEST, Template};
use crate::http::{Connection, Request};
use crate::load::Work;

/// How a blob's bytes are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// POST, then PUT with the bytes: as containerd, BuildKit and ORAS do.
    Put,
    /// POST, PATCH with the bytes, PUT without: as Docker, Podman and crane do.
    Patch,
}

/// Pushes a blob.
pub(crate) fn blob(connection: &mut Connection, repository: &str, blob: &Blob<'_>, way: Way) -> Result<()> {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let opened = connection.send(&Request::new("POST", &path, "Content-Length: 0\r\n", 202))?;
    let mut location = local(opened.location)?;
    let body = format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", blob.size);
    if way == Way::Patch {
        let patched = connection.send_pieces(&Request::new("PATCH", &location, &body, 202), blob.pieces())?;
        location = local(patched.location)?;
    }
    let joint = if location.contains('?') { '&' } else { '?' };
    let path = format!("{location}{joint}digest={}", blob.digest);
    match way {
        Way::Put => connection.send_pieces(&Request::new("PUT", &path, &body, 201), blob.pieces())?,
        Way::Patch => connection.send(&Request::new("PUT", &path, "Content-Length: 0\r\n", 201))?,
    };
    Ok(())
}

/// Pushes a manifest under a tag or digest.
pub(crate) fn manifest(
    connection: &mut Connection,
    repository: &str,
    reference: &str,
    bytes: &[u8],
) -> Result<()> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    connection.send(&Request::with_body("PUT", &path, MANIFEST, bytes, 201))?;
    Ok(())
}

/// Path and query of a `Location`, which may be a whole URL.
fn local(location: Option<String>) -> Result<String> {
    let location = location.context("an upload without a Location")?;
    let rest = location.split_once("://").map(|(_, rest)| rest);
    match rest {
        None => Ok(location),
        Some(rest) => Ok(rest[rest.find('/').context("a Location without a path")?..].to_owned()),
    }
}

/// Pushes blobs that were never there.
pub(crate) struct PushBlobs {
    pub(crate) repository: String,
    pub(crate) template: Template,
    pub(crate) way: Way,
}

impl Work for PushBlobs {
    fn step(&mut self, connection: &mut Connection) -> Result<u64> {
        let new = self.template.unique();
        blob(connection, &self.repository, &new, self.way)?;
        Ok(new.size)
    }
}

/// Pushes images none of whose blobs was ever there, as Docker does: it asks for each blob first.
pub(crate) struct PushImages {
    pub(crate) repository: String,
    pub(crate) templates: Vec<Template>,
}

impl Work for PushImages {
    fn step(&mut self, connection: &mut Connection) -> Result<u64> {
        let mut pushed = Vec::with_capacity(self.templates.len());
        for template in &self.templates {
            let new = template.unique();
            let path = format!("/v2/{}/blobs/{}", self.repository, new.digest);
            connection.send(&Request::new("HEAD", &path, "", 404))?;
            blob(connection, &self.repository, &new, Way::Patch)?;
            pushed.push((new.digest, new.size));
        }
        let number = content::unique();
        let bytes = content::manifest(&pushed, None, &number.to_string());
        manifest(connection, &self.repository, &format!("t{number}"), &bytes)?;
        Ok(pushed.iter().map(|(_, size)| size).sum::<u64>() + bytes.len() as u64)
    }
}

/// Pushes new manifests of one image under new tags.
pub(crate) struct PushTags {
    pub(crate) repository: String,
    pub(crate) blobs: Vec<(String, u64)>,
}

impl Work for PushTags {
    fn step(&mut self, connection: &mut Connection) -> Result<u64> {
        let number = content::unique();
        let bytes = content::manifest(&self.blobs, None, &number.to_string());
        manifest(connection, &self.repository, &format!("new{number}"), &bytes)?;
        Ok(bytes.len() as u64)
    }
}

/// Requests without bodies, in turn; one step is one inner list.
pub(crate) struct Fetch {
    pub(crate) lists: Vec<Vec<Request>>,
    pub(crate) next: usize,
}

impl Work for Fetch {
    fn step(&mut self, connection: &mut Connection) -> Result<u64> {
        let list = &self.lists[self.next % self.lists.len()];
        self.next += 1;
        let mut bytes = 0;
        for request in list {
            bytes += connection.send(request)?.length;
        }
        Ok(bytes)
    }
}

/// Nine reads, then one write, in an order that differs between clients.
pub(crate) struct Mixed {
    pub(crate) reads: Fetch,
    pub(crate) writes: Vec<Box<dyn Work>>,
    pub(crate) step: usize,
}

impl Work for Mixed {
    fn step(&mut self, connection: &mut Connection) -> Result<u64> {
        self.step += 1;
        if self.step.is_multiple_of(10) {
            let count = self.writes.len();
            self.writes[self.step / 10 % count].step(connection)
        } else {
            self.reads.step(connection)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_may_be_a_url() {
        let path = |location: &str| local(Some(location.to_owned())).unwrap();
        assert_eq!(path("/v2/a/blobs/uploads/1"), "/v2/a/blobs/uploads/1");
        assert_eq!(path("http://127.0.0.1:5000/v2/a?_state=x"), "/v2/a?_state=x");
        assert!(local(None).is_err());
    }
}
