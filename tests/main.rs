//! Gantry as its clients see it: real sockets, the real binary, a real data directory.
//!
//! Tests are named after the items of the protocol reference in `docs/` that they hold; where one story holds several,
//! its comment names them. `v2_*` is the registry API file by file of the reference, `http` and `concurrency` what lies
//! beneath and across it, `access` who callers are and how they prove it, `commands` the command line of administration,
//! `ops` what an operator relies on, `sweep` how garbage goes, `storages` where bytes lie, `v1` the API of old, `hostile` what an attacker tries, `tidy`
//! how the code is laid out. See [`harness`] for
//! how a test starts a server and what an actor can do.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod harness;

mod access;
mod admin;
mod commands;
mod concurrency;
mod docs;
mod hostile;
mod http;
mod ops;
mod storages;
mod sweep;
mod tidy;
mod v1;
mod v2_blobs;
mod v2_catalog;
mod v2_chunks;
mod v2_clients;
mod v2_data_sets;
mod v2_deletes;
mod v2_errors;
mod v2_manifest_rules;
mod v2_manifests;
mod v2_mount;
mod v2_names;
mod v2_ranges;
mod v2_referrers;
mod v2_sessions;
mod v2_tags;
mod v2_uploads;
mod v2_version;
