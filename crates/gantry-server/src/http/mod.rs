//! What every HTTP face of the server shares: bodies, errors, conditions, and who is at the other end.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod blob;
pub(crate) mod body;
mod caller;
pub(crate) mod conditional;
mod cookie;
mod door;
pub(crate) mod error;
pub(crate) mod legacy;
pub(crate) mod peer;
pub(crate) mod problem;
pub(crate) mod reply;
mod request_id;

pub(crate) use body::{Body, Outlet, RequestBody};
pub(crate) use caller::{Met, asking, identify, met_as, offered};
pub(crate) use cookie::{SESSION_COOKIE, cookie};
pub(crate) use door::{Door, asked_host, host_and_port};
pub(crate) use error::ApiError;
pub(crate) use peer::Peer;
pub(crate) use problem::Problem;
pub(crate) use reply::Response;
pub(crate) use request_id::RequestId;
