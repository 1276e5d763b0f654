//! The vocabulary against the grammar of `docs/protocol.md`: tests are named or commented with the IDs that they hold.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as the tests do"
)]

mod digest;
mod headers;
mod manifest;
mod name;
mod properties;
mod range;
mod request;
mod strategies;
mod v1;
