//! Scripts: what happens to a cluster, a verb a line. A seed's plan is one, and so is each scenario.
//!
//! ```text
//! # A comment.
//! seed 7
//! nodes 3
//! clients 2
//! ---
//! at 4.5 kill leader
//! wait 2
//! until leader
//! show versions
//!   1: ledger 1
//! ```
//!
//! Above the line stands what the cluster is, below it what happens. What a `show` printed is recorded under it, indented.

mod act;
mod read;
mod write;

pub use act::{Act, Area, Port, Who};
pub use read::Error;

use crate::fleet::{Number, Sizes};
use crate::world::Nanos;

/// A whole script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Comments at its head, without their signs.
    pub comments: Vec<String>,
    /// Decides all that the script leaves to chance.
    pub seed: u64,
    /// How many nodes the cluster begins with.
    pub nodes: Number,
    /// How many clients send.
    pub clients: u64,
    /// Milliseconds that a client rests between two requests, at most.
    pub rest_ms: u64,
    /// Sizes of the nodes.
    pub sizes: Sizes,
    /// What happens, in order.
    pub statements: Vec<Statement>,
}

/// One line of what happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Something happens, so long after the cluster was set up.
    At(Nanos, Act),
    /// Something happens now.
    Now(Act),
    /// So long nothing is done.
    Wait(Nanos),
    /// Waits for something, for a limited time.
    Until(Condition),
    /// Prints something, and compares it with what is recorded.
    Show(Topic, Vec<String>),
    /// A comment.
    Comment(String),
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Somebody leads.
    Leader,
    /// That node serves.
    Serving(Who),
    /// That node is parked.
    Parked(Who),
    /// That node is not parked, and applies what there is.
    Applying(Who),
    /// That node's process has ended by itself.
    Stopped(Who),
    /// The last change of an application has come to that stage.
    Change(String, client::wire::Stage),
    /// All nodes that run hold the same.
    Agreement,
    /// So many commands more were acknowledged.
    Acknowledged(u64),
}

/// What can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    /// Which version of each application is in force at each node.
    Versions,
    /// Which nodes are parked, and why.
    Parked,
    /// Which processes have ended by themselves, and why.
    Stopped,
    /// The last change of an application: its stage, and what it waits for.
    Change(String),
    /// Whether each stream holds all its events, at each node.
    Streams,
    /// The cluster's level, as each node has it.
    Levels,
    /// The kinds of errors that clients were told.
    Errors,
    /// What the oracles say of it all; brings the cluster to rest first.
    Verdict,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            comments: Vec::new(),
            seed: 1,
            nodes: 3,
            clients: 3,
            rest_ms: 200,
            sizes: Sizes::default(),
            statements: Vec::new(),
        }
    }
}
