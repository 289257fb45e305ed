//! The Raft crate, and nothing of it outside this folder.
//!
//! See the design's "Raft engine" for the traps that this folder steps around: apply never waits inside the crate, no
//! read trusts its applied index, nothing is applied that is not flushed here.

mod codec;
mod log_store;
mod network;
mod queue;
mod runtime;
mod state_machine;
mod types;

mod group;
#[cfg(test)]
mod hostile;
mod serve;

pub use group::{Group, GroupError, Parts, Proposal, View, lone_member_record, members_record};
pub use queue::{Batch, Committed, Queue, Responder, What};
pub use serve::PeerService;
pub use types::{Applied, Membership, members};
