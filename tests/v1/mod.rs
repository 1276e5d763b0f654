//! The v1 API as its clients see it: Docker 1.0 to 1.10, played request by request.
//!
//! [`docker`] is the actor, [`content`] makes images as they were then, [`vectors`] holds both against values that every
//! implementation must give; [`foreign`] is somebody else's Index and registry. Rules and the tests that hold them are in `docs/v1.md`.

mod actors;
mod answers;
mod callers;
mod content;
mod delegation;
mod docker;
mod foreign;
mod images;
mod index;
mod kills;
mod mirror;
mod points;
mod roles;
mod rules;
mod search;
mod steps;
mod sweep_kills;
mod sweeps;
mod switches;
mod tenants;
mod together;
mod users;
mod vectors;
mod views;
