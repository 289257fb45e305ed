//! The Rust client of Seachange and, in [`wire`], the types of its public API.
//!
//! [`Client`] submits commands over the framed protocol: it opens its session, follows the leader, keeps many requests
//! in flight on one connection, repeats with the same session and sequence, and says so when an outcome could not be
//! learnt. [`Admin`] does everything else over HTTP, by [`Http`]. This crate never knows the deterministic half or a
//! node: it sees the cluster as any program outside does, and it reaches the world through an
//! [`environment::Environment`] only.

mod addresses;
mod admin;
mod client;
mod counters;
mod driver;
mod error;
mod feeds;
mod http;
pub mod limits;
mod options;
pub mod wire;

pub use admin::Admin;
pub use client::{Client, Command, Traced};
pub use counters::Counts;
pub use error::Error;
pub use feeds::{ChangeWatch, Events, Watch};
pub use http::{Begun, Http, HttpRequest, HttpResponse, Lines, Repeat};
pub use options::Options;

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
