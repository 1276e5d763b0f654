//! Other servers that speak v1: the Index that decides for this one ([`Index`]), and the registry of which this one is a mirror
//! ([`Mirror`]).
//!
//! This is their client. What clients of this server are told, and which of their requests are handed on, is [`crate::v1`]'s matter;
//! here nothing is known of them. Other servers are not believed: what they send is bounded in size, number and time, and checked
//! before it is kept.

mod client;
mod flights;
mod index;
mod mirror;

pub(crate) use index::{INDEX_BODY_MAX, Index, IndexError};
pub(crate) use mirror::{Mirror, MirrorError, MirrorLayer, Order};

/// Why another server cannot be asked at all: the configuration.
#[derive(Debug, thiserror::Error)]
pub enum OpenUpstreamError {
    /// No address.
    #[error("{0}: expected an URL")]
    Address(&'static str),
    /// The certificates by which it is known.
    #[error("{key}: {what}")]
    Client {
        /// The key of the configuration.
        key: &'static str,
        /// What is wrong.
        what: String,
    },
    /// A secret that is not to be had.
    #[error("{key}: {what}")]
    Secret {
        /// The key of the configuration.
        key: &'static str,
        /// Why.
        what: String,
    },
}
