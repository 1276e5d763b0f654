//! What every server holds before it is measured: one image, a small and a large blob, a repository with 10,000 tags,
//! 10,000 repositories, and a subject with 100 referrers.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, anyhow};

use crate::content::{self, INDEX, MANIFEST, Template};
use crate::http::{Connection, Request};
use crate::push::{self, Way};
use crate::servers::{Kind, Server};
use crate::site::{self, Page};

/// The repository of the image and the blobs.
pub(crate) const IMAGE: &str = "bench/image";
/// The repository with many tags.
pub(crate) const TAGS: &str = "bench/tags";
/// How many tags, and how many repositories.
pub(crate) const MANY: usize = 10_000;
/// Entries of a page.
pub(crate) const PAGE: usize = 100;
/// Manifests whose subject is the image.
pub(crate) const REFERRERS: usize = 100;

/// The content, by digest.
pub(crate) struct Facts {
    pub(crate) manifest: Vec<u8>,
    pub(crate) manifest_digest: String,
    /// Configuration and layers, with their sizes.
    pub(crate) blobs: Vec<(String, u64)>,
    pub(crate) small: String,
    pub(crate) large: String,
    /// An image for v1: its top layer is the small blob.
    pub(crate) v1: V1Image,
    /// Another, whose only layer is the large blob.
    pub(crate) v1_large: V1Image,
    templates: Vec<(Template, String)>,
}

/// An image that v1 clients can pull, whose bytes are a manifest's.
pub(crate) struct V1Image {
    tag: &'static str,
    config: Vec<u8>,
    manifest: Vec<u8>,
    /// The id of its top, as `docs/v1.md` says it is made.
    pub(crate) top: String,
}

impl V1Image {
    fn new(tag: &'static str, layers: &[(String, u64)]) -> Self {
        let env: Vec<_> = (0..16).map(|n| format!(r#""VARIABLE_{n}=a value of usual length""#)).collect();
        let config = format!(
            r#"{{"architecture":"amd64","config":{{"Cmd":["/bin/sh"],"Env":[{}],"Labels":{{"bench":"{tag}"}}}},"created":"2020-01-02T03:04:05Z","os":"linux","rootfs":{{"diff_ids":[],"type":"layers"}}}}"#,
            env.join(",")
        )
        .into_bytes();
        let mut blobs = vec![(content::digest(&config), config.len() as u64)];
        blobs.extend_from_slice(layers);
        let (mut top, mut left) = (String::new(), layers.len());
        for (layer, _) in layers {
            left -= 1;
            let mut bytes = format!("{} {top}", bare(layer)).into_bytes();
            if left == 0 {
                bytes.push(b' ');
                bytes.extend_from_slice(&config);
            }
            top = bare(&content::digest(&bytes)).to_owned();
        }
        Self { tag, manifest: content::manifest(&blobs, None, tag), config, top }
    }

    fn push(&self, server: &Server) -> Result<()> {
        let mut connection = Connection::open(server.address)?;
        let path = format!("/v2/{IMAGE}/blobs/uploads/?digest={}", content::digest(&self.config));
        connection.send(&Request::with_body("POST", &path, "application/octet-stream", &self.config, 201))?;
        push::manifest(&mut connection, IMAGE, self.tag, &self.manifest)
    }
}

fn bare(digest: &str) -> &str {
    digest.split_once(':').map_or(digest, |(_, hex)| hex)
}

impl Facts {
    /// Makes it.
    pub(crate) fn new() -> Self {
        let mut templates: Vec<_> = content::IMAGE
            .iter()
            .enumerate()
            .map(|(number, size)| (Template::new(*size), format!("image {number}")))
            .collect();
        let blobs: Vec<_> = templates
            .iter()
            .zip(content::IMAGE)
            .map(|((template, name), size)| (template.named(name).digest, size))
            .collect();
        templates.push((Template::new(content::SMALL), "small".to_owned()));
        templates.push((Template::new(content::LARGE), "large".to_owned()));
        let last = |back: usize| {
            let (template, name) = &templates[templates.len() - back];
            template.named(name).digest
        };
        let (small, large) = (last(2), last(1));
        let manifest = content::manifest(&blobs, None, "the image");
        let v1 = V1Image::new("v1", &[blobs[1].clone(), (small.clone(), content::SMALL)]);
        let v1_large = V1Image::new("v1-large", &[(large.clone(), content::LARGE)]);
        let manifest_digest = content::digest(&manifest);
        Self { manifest_digest, manifest, blobs, small, large, v1, v1_large, templates }
    }
}

/// The tag with a number.
pub(crate) fn tag(number: usize) -> String {
    format!("t{number:06}")
}

/// The repository with a number.
pub(crate) fn repository(number: usize) -> String {
    format!("many/r{number:06}")
}

/// Pushes the image and the blobs.
pub(crate) fn push_image(server: &Server, facts: &Facts) -> Result<()> {
    push_up_to(server, facts, u64::MAX)
}

/// The same without the large blob.
pub(crate) fn push_small(server: &Server, facts: &Facts) -> Result<()> {
    push_up_to(server, facts, content::LARGE - 1)
}

fn push_up_to(server: &Server, facts: &Facts, size: u64) -> Result<()> {
    let mut connection = Connection::open(server.address)?;
    let blobs = facts.templates.iter().map(|(template, name)| template.named(name));
    for blob in blobs.filter(|blob| blob.size <= size) {
        push::blob(&mut connection, IMAGE, &blob, Way::Put)?;
    }
    if server.kind.is_v1() {
        facts.v1.push(server)?;
        if size >= content::LARGE {
            facts.v1_large.push(server)?;
        }
        // As every pull begins: it is what images are derived at.
        connection.send(&Request::new("GET", &format!("/v1/repositories/{IMAGE}/images"), "", 200))?;
    }
    push::manifest(&mut connection, IMAGE, "latest", &facts.manifest)
}

/// Fills a registry with everything.
pub(crate) fn fill(server: &Server, facts: &Facts) -> Result<()> {
    push_image(server, facts)?;
    if server.kind.is_distribution() {
        return lay_down(&server.directory.join("data"), facts);
    }
    tags(server, facts, MANY)?;
    repositories(server, facts, MANY)?;
    referrers(server, facts, REFERRERS)
}

/// Pushes tags of the image's manifest through the API.
pub(crate) fn tags(server: &Server, facts: &Facts, count: usize) -> Result<()> {
    let mut connection = Connection::open(server.address)?;
    for (digest, _) in &facts.blobs {
        mount(&mut connection, TAGS, digest)?;
    }
    parallel(server, count, |connection, number| {
        push::manifest(connection, TAGS, &tag(number), &facts.manifest)
    })
}

/// Makes repositories that hold the image's configuration blob and a manifest of it, through the API.
pub(crate) fn repositories(server: &Server, facts: &Facts, count: usize) -> Result<()> {
    let blobs = &facts.blobs[..1];
    let bytes = content::manifest(blobs, None, "one of many");
    parallel(server, count, |connection, number| {
        let name = repository(number);
        mount(connection, &name, &blobs[0].0)?;
        push::manifest(connection, &name, "latest", &bytes)
    })
}

/// Pushes manifests whose subject is the image, through the API.
pub(crate) fn referrers(server: &Server, facts: &Facts, count: usize) -> Result<()> {
    let subject = (facts.manifest_digest.as_str(), facts.manifest.len() as u64);
    parallel(server, count, |connection, number| {
        let bytes = content::manifest(&facts.blobs[..1], Some(subject), &format!("referrer {number}"));
        push::manifest(connection, IMAGE, &content::digest(&bytes), &bytes)
    })
}

fn mount(connection: &mut Connection, repository: &str, digest: &str) -> Result<()> {
    let path = format!("/v2/{repository}/blobs/uploads/?mount={digest}&from={IMAGE}");
    connection.send(&Request::new("POST", &path, "Content-Length: 0\r\n", 201))?;
    Ok(())
}

/// Does something for each number below `count`, by eight clients, so that commits are shared.
fn parallel(
    server: &Server,
    count: usize,
    each: impl Fn(&mut Connection, usize) -> Result<()> + Sync,
) -> Result<()> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(server.address)?;
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count {
                            return Ok(());
                        }
                        each(&mut connection, number)?;
                    }
                })
            })
            .collect();
        clients.into_iter().try_for_each(|client| client.join().map_err(|_| anyhow!("a client panicked"))?)
    })
}

/// Writes Distribution's own layout: filling it through its API takes minutes of syncs, and how it was filled does not
/// show in how it reads. Written is what its lists look at and no more, since each of these many small files has to be
/// removed again.
fn lay_down(data: &Path, facts: &Facts) -> Result<()> {
    let repositories = data.join("docker/registry/v2/repositories");
    let tagged = |name: &str, tag: &str| -> Result<()> {
        let current = repositories.join(name).join("_manifests/tags").join(tag).join("current");
        fs::create_dir_all(&current)?;
        fs::write(current.join("link"), &facts.manifest_digest)?;
        Ok(())
    };
    fs::create_dir_all(repositories.join(TAGS).join("_layers"))?;
    (0..MANY).try_for_each(|number| tagged(TAGS, &tag(number)))?;
    for number in 0..MANY {
        let name = repository(number);
        fs::create_dir_all(repositories.join(&name).join("_layers"))?;
        tagged(&name, "latest")?;
    }
    Ok(())
}

/// Writes the same answers as files for the servers that are no registries.
pub(crate) fn write_site(directory: &Path, facts: &Facts) -> Result<()> {
    let names = |label: fn(usize) -> String| {
        let names: Vec<_> =
            (MANY / 2..MANY / 2 + PAGE).map(|number| format!("{:?}", label(number))).collect();
        names.join(",")
    };
    let tags = format!(r#"{{"name":"{TAGS}","tags":[{}]}}"#, names(tag));
    let catalog = format!(r#"{{"repositories":[{}]}}"#, names(repository));
    let descriptor = format!(
        r#"{{"mediaType":"{MANIFEST}","digest":"{}","size":700,"artifactType":"application/vnd.bench.sbom","annotations":{{"bench.note":"referrer 100"}}}}"#,
        facts.manifest_digest
    );
    let referrers = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#,
        vec![descriptor; REFERRERS].join(",")
    );
    let blobs: Vec<_> = facts.templates.iter().map(|(template, name)| template.named(name)).collect();
    let json = |path: String| Page { path, content_type: "application/json", digest: String::new() };
    let mut pages: Vec<(Page, Vec<&[u8]>)> = vec![
        (json("/v2/".to_owned()), vec![&b"{}"[..]]),
        (json(format!("/v2/{TAGS}/tags/list")), vec![tags.as_bytes()]),
        (json("/v2/_catalog".to_owned()), vec![catalog.as_bytes()]),
        (
            Page {
                path: format!("/v2/{IMAGE}/referrers/{}", facts.manifest_digest),
                content_type: INDEX,
                digest: String::new(),
            },
            vec![referrers.as_bytes()],
        ),
    ];
    for reference in ["latest", facts.manifest_digest.as_str()] {
        let page = Page {
            path: format!("/v2/{IMAGE}/manifests/{reference}"),
            content_type: MANIFEST,
            digest: facts.manifest_digest.clone(),
        };
        pages.push((page, vec![facts.manifest.as_slice()]));
    }
    for blob in &blobs {
        let page = Page {
            path: format!("/v2/{IMAGE}/blobs/{}", blob.digest),
            content_type: "application/octet-stream",
            digest: blob.digest.clone(),
        };
        pages.push((page, blob.pieces().collect()));
    }
    site::write(directory, &pages)
}

/// Pulls the image and both blobs and compares every byte's hash: that what is measured is also right.
pub(crate) fn verify(server: &Server, facts: &Facts) -> Result<()> {
    use sha2::{Digest, Sha256};

    let mut connection = Connection::open(server.address)?;
    let mut check = |path: &str, digest: &str| -> Result<()> {
        let mut hash = Sha256::new();
        let request = Request::new("GET", path, &accept(), 200);
        connection.send_taking(&request, &mut |piece| hash.update(piece))?;
        let found = format!("sha256:{}", hex::encode(hash.finalize()));
        (found == digest)
            .then_some(())
            .with_context(|| format!("{} answers {path} with the wrong bytes", server.kind.name()))
    };
    check(&format!("/v2/{IMAGE}/manifests/latest"), &facts.manifest_digest)?;
    let all = facts.blobs.iter().map(|(digest, _)| digest).chain([&facts.small, &facts.large]);
    for digest in all {
        check(&format!("/v2/{IMAGE}/blobs/{digest}"), digest)?;
    }
    if server.kind.is_v1() {
        for (image, digest) in [(&facts.v1, &facts.small), (&facts.v1_large, &facts.large)] {
            check(&format!("/v1/images/{}/layer", image.top), digest)?;
        }
    }
    if server.kind == Kind::Gantry || server.kind.is_distribution() {
        for path in [format!("/v2/{TAGS}/tags/list?n=100"), "/v2/_catalog?n=100".to_owned()] {
            let mut body = Vec::new();
            let request = Request::new("GET", &path, "", 200);
            connection.send_taking(&request, &mut |piece| body.extend_from_slice(piece))?;
            let commas = body.iter().filter(|byte| **byte == b',').count();
            anyhow::ensure!(commas >= PAGE - 1, "{} has too few entries in {path}", server.kind.name());
        }
    }
    Ok(())
}

/// What clients accept for a manifest.
pub(crate) fn accept() -> String {
    format!("Accept: {MANIFEST}, {INDEX}\r\n")
}
