//! The hands of each kind of change: they act on what the log says, and what they find goes back into the log.

mod announce;
mod changes;
mod collection;
mod comparison;
mod conversions;
mod members;
mod modules;
mod rehearsals;
mod retention;
mod upkeep;
mod verification;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use environment::Environment;
use host::Registry;
use machine::{Cluster, RegisterNode};
use parking_lot::RwLock;
use store::log::Log;
use store::streams::StreamReader;

use crate::applier::Held;
use crate::calls::LeaderCalls;
use crate::limits::EXECUTOR_INTERVAL;
use crate::measures::Measures;
use crate::node::UpkeepOptions;
use crate::published::Published;
use crate::raft::Group;
use crate::room::Room;
use crate::upkeep::Upkeep;

pub use members::hand_over;
pub use retention::Retention;

/// What executors work with.
#[derive(Clone)]
pub struct Hands {
    /// The world.
    pub environment: Environment,
    /// This node.
    pub node: machine::NodeId,
    /// The group.
    pub group: Group,
    /// This node as a place to propose at.
    pub cluster: Arc<dyn Cluster>,
    /// The way to the leader.
    pub leader: LeaderCalls,
    /// What the applier shows.
    pub published: Arc<Published>,
    /// The tables, for modules.
    pub held: Arc<RwLock<Held>>,
    /// What this node can run.
    pub registry: Registry,
    /// Snapshots and scans.
    pub upkeep: Upkeep,
    /// When they are due.
    pub options: UpkeepOptions,
    /// Bytes of entries applied since the start.
    pub applied_bytes: Arc<AtomicU64>,
    /// The log.
    pub log: Log,
    /// Room on the disk.
    pub room: Room,
    /// Streams.
    pub streams: StreamReader,
    /// What is kept of them.
    pub retention: Retention,
    /// What is counted and timed.
    pub measures: Arc<Measures>,
}

impl Hands {
    /// Starts all of them.
    pub fn start(&self, register: RegisterNode) {
        self.environment
            .spawn("announce", announce::run(self.clone(), register));
        self.environment.spawn("modules", modules::run(self.clone()));
        self.environment.spawn("changes", changes::run(self.clone()));
        self.environment.spawn("conversions", conversions::run(self.clone()));
        self.environment.spawn("collection", collection::run(self.clone()));
        self.environment.spawn("verification", verification::run(self.clone()));
        self.environment
            .spawn("verification lead", verification::lead(self.clone()));
        self.environment.spawn("rehearsals", rehearsals::run(self.clone()));
        self.environment.spawn("members", members::run(self.clone()));
        self.environment
            .spawn("snapshots", upkeep::make_snapshots(self.clone()));
        self.environment.spawn("scans", upkeep::scan(self.clone()));
        self.environment.spawn_worker("room", upkeep::watch_room(self.clone()));
        self.environment.spawn("comparison", comparison::run(self.clone()));
        self.environment.spawn("notes", upkeep::keep_notes(self.clone()));
        self.environment.spawn("retention", retention::run(self.clone()));
    }

    /// Ends when something may have changed that an executor looks at, or after a while; false when the node stops.
    async fn news(&self, seen: &mut machine::Index) -> bool {
        let published = self.published.clone();
        let before = *seen;
        let changed = published.changed.until(|| published.changed.get() != before);
        let sleep = self.environment.sleep(EXECUTOR_INTERVAL);
        futures::pin_mut!(changed, sleep);
        futures::future::select(changed, sleep).await;
        *seen = self.published.changed.get();
        !self.published.changed.is_closed()
    }
}
