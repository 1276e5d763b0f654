//! The Gantry registry server.
//!
//! Modules lie in layers, and a lower one never names a higher one:
//!
//! ```text
//! config, observe  <  auth, policy  <  registry  <  upstream  <  jobs  <  app  <  http (toolkit)  <  v2, v1, token, admin  <  serve  <  local
//! ```
//!
//! A request is parsed into one value ([`gantry_oci::Request`]), its caller found out ([`auth`]), the two decided upon
//! ([`policy`]), carried out ([`registry`]) and rendered (`v2`, `http`).

mod admin;
pub mod app;
pub mod auth;
pub mod config;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod http;
pub mod jobs;
pub mod local;
pub mod observe;
pub mod policy;
pub mod registry;
pub mod serve;
mod token;
mod upstream;
mod v1;
mod v2;

/// The failpoints of this program, one a line; `None`: it was built without.
#[must_use]
pub fn failpoints() -> Option<String> {
    gantry_storage::failpoint::describe()
}
