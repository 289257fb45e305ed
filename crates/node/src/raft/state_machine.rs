//! What the Raft crate takes for the state machine: a queue to our own applier, which it never waits for.
//!
//! Its worker is serial behind a bounded queue that its core awaits, so a slow or parked apply inside it would stop
//! votes and replication. Therefore `apply` only hands entries on; no read trusts the crate's applied index.

use std::io;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::queue::Queue;
use super::types::{LogId, StoredMembership, Types};

/// The Raft crate's side of the queue.
pub struct StateMachine {
    queue: Queue,
    /// As of the last checkpoint: from there the Raft crate begins to apply.
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    /// Beginning after `applied`.
    pub fn new(queue: Queue, applied: Option<LogId>, membership: StoredMembership) -> StateMachine {
        StateMachine {
            queue,
            applied,
            membership,
        }
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = NoSnapshots;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Types>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            if !self.queue.push(entry, responder) {
                return Err(io::Error::other("the applier has stopped"));
            }
        }
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<NoSnapshots> {
        None
    }

    async fn get_snapshot_builder(&mut self) -> NoSnapshots {
        NoSnapshots
    }

    async fn install_snapshot(&mut self, _meta: &SnapshotMetaOf<Types>, _snapshot: Vec<u8>) -> Result<(), io::Error> {
        Err(no_snapshots())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, Vec<u8>>>, io::Error> {
        Ok(None)
    }
}

/// This binary keeps its whole log and makes no snapshots.
pub struct NoSnapshots;

impl RaftSnapshotBuilder<Types> for NoSnapshots {
    type SnapshotData = Vec<u8>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Vec<u8>>, io::Error> {
        Err(no_snapshots())
    }
}

fn no_snapshots() -> io::Error {
    io::Error::other("this binary makes no snapshots: it keeps its whole log")
}
