//! Images of v1 on a real store: pushed in steps, made to manifests, and found behind manifests that others pushed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: a failed expectation is a failed test"
)]

mod links;
mod push;
mod views;
mod world;
