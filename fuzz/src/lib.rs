//! Fuzz targets: plain functions over bytes, one for each thing that reads what comes from outside.
//!
//! A target panics when what it reads breaks a promise: what was parsed must format to something that is parsed as the same.
//! Panics in the parsers themselves, memory and time are watched by whoever runs it: libFuzzer (`make fuzz`), or the ordinary
//! test in `tests/`, which goes over the kept corpus and over seeded mutations of it.

mod connection;
pub mod mutate;
mod oci;
mod server;
mod sources;
mod tokens;
mod v1;

/// A name, which is also that of the corpus, and what is run.
pub type Target = (&'static str, fn(&[u8]));

/// What can be run.
pub const TARGETS: &[Target] = &[
    ("accept", oci::accept),
    ("basic", server::basic),
    ("certificates", tokens::certificates),
    ("challenge", oci::challenge),
    ("client_certificate", sources::client_certificate),
    ("config", server::config),
    ("connection", connection::connection),
    ("content_range", oci::content_range),
    ("descriptor", oci::descriptor),
    ("digest", oci::digest),
    ("directory", sources::directory),
    ("error_document", oci::error_document),
    ("forwarded", server::forwarded),
    ("htpasswd", server::htpasswd),
    ("key_set", tokens::key_set),
    ("manifest", oci::manifest),
    ("media_type", oci::media_type),
    ("name", oci::name),
    ("proxy", server::proxy),
    ("query", oci::query),
    ("range", oci::range),
    ("reference", oci::reference),
    ("request", oci::request),
    ("token", tokens::token),
    ("v1_ancestry", v1::ancestry),
    ("v1_checksum", v1::checksum),
    ("v1_derive", v1::derive),
    ("v1_json", v1::json),
    ("v1_make", v1::make),
    ("v1_request", v1::request),
    ("v1_token", v1::token),
];

/// Runs the target of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = target.unwrap_or_else(|| panic!("there is no target `{name}`"));
    target(bytes);
}

/// Runs one target under libFuzzer.
#[macro_export]
macro_rules! fuzz {
    ($name:literal) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gantry_fuzz::run($name, bytes));
    };
}
