//! What is inside of a layer: which compression, which tar, which files.
//!
//! While a layer arrives, what manifests have to know of it is made in the same pass, a few KiB at a time on a blocking thread, so
//! that a client that dawdles holds none ([`observe`]). Everything else (checksums of old clients, lists of files, layers that have to
//! be compressed in another way) reads the stored bytes again, and only a few at a time.
//!
//! A layer is whatever was pushed: nothing here refuses one for being broken, and all of it is bounded.

mod members;
mod observe;
mod repack;
mod stored;
mod tarsum;
mod unpack;
mod xz;

pub(super) use members::{Kind, Member, Members};
pub(super) use observe::Observed;
pub(super) use repack::repacked;
pub(super) use stored::body_of;
pub(super) use tarsum::is_tarsum;
pub(super) use unpack::{content_of, unpack};

/// Tars for tests.
#[cfg(test)]
pub(super) mod testing {
    pub(in super::super) use super::members::tests::{END, file, ustar};
}
