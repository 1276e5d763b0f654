//! A real Gantry for tests: the built binary, on real sockets, with a real data directory.
//!
//! * [`Gantry::shared`] is one server with the default settings for the whole run; a test takes a repository of its own
//!   on it ([`repo`]) and sees nothing of the others. [`Gantry::start`] and [`Gantry::options`] start one for a test
//!   that needs other settings, counts what is there, or stops and restarts it ([`Gantry::restart`],
//!   [`Gantry::kill9`], [`Gantry::sigterm`]).
//! * [`Client`] sends exactly what it is told and holds every answer to what all answers must keep; [`Answer`] has the
//!   assertions. [`raw`] is for what no client library would send.
//! * [`Repo`] is an actor: a client and a repository, with what people do there. It goes through the public API only.
//! * [`content`] makes blobs and manifests; all are new each time, so that nothing is there already by chance.
//! * [`access`] makes accounts, tokens, grants and namespaces ([`Gantry::user`], [`Gantry::grant`]), and what clients do to be somebody
//!   ([`Client::token_for`], [`Client::bearer`]).
//! * [`tls`] makes a certificate authority for [`Options::tls`]; accounts come from [`Options::account`].
//! * [`slapd`] is a real directory (LDAP) beside the server; [`daemon`] starts other people's programs, and ends them;
//!   [`other`] is one that a test writes, and makes silent or a liar; [`issuer`] is one whose tokens count; [`page`] is a page of `docs/how-to` that is done as it says.
//!
//! What this is not: a way into the server. Nothing here links the server or reads its database.

pub(crate) mod access;
pub(crate) mod answer;
pub(crate) mod client;
pub(crate) mod content;
pub(crate) mod daemon;
pub(crate) mod issuer;
pub(crate) mod other;
pub(crate) mod page;
pub(crate) mod raw;
pub(crate) mod repo;
pub(crate) mod server;
pub(crate) mod slapd;
pub(crate) mod tls;

pub(crate) use answer::Answer;
pub(crate) use client::{Call, Client, pieces};
pub(crate) use content::{Alg, Blob, Image, Manifest, bytes, image, index};
pub(crate) use repo::{Repo, repo};
pub(crate) use server::{Gantry, Options};

/// Says what could not be tried here. Past the capturing of the output of tests that pass: a test that did nothing must not look
/// like one that found nothing.
pub(crate) fn skipped(test: &str, why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {why}");
}

/// Media types, as clients write them.
pub(crate) mod types {
    pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    pub(crate) const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
    pub(crate) const OCI_FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    pub(crate) const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    pub(crate) const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    pub(crate) const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    pub(crate) const DOCKER_FOREIGN_LAYER: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}
