//! One running node: it takes part in a Raft group, applies the log, and carries out what changes ask of it.
//!
//! The way of a command: [`driver`] packs and proposes, `raft` replicates, [`applier`] applies, [`replies`] answers.
//! It never knows HTTP or the client protocol: whoever serves the world talks to it as a [`machine::Cluster`].

mod applier;
mod calls;
mod checkpoint;
mod condition;
mod copies;
mod driver;
mod executors;
mod handle;
mod identity;
pub mod limits;
mod measures;
mod node;
mod peer;
mod progress;
mod published;
mod quarantine;
mod raft;
mod reads;
mod repair;
pub mod replay;
mod replies;
mod restore;
mod retained;
mod room;
mod snapshots;
mod start;
mod upkeep;

pub use condition::{Ending, order_rebuild};
pub use executors::Retention;
pub use measures::{EntryTimes, Observed};
pub use node::{Config, Node, StartError, UpkeepOptions};
pub use restore::{Restored, restore};
pub use snapshots::Trouble;
pub use upkeep::Upkeep;

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;
