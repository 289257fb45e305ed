//! What the Raft crate takes for the state machine: a queue to our own applier, which it never waits for.
//!
//! Its worker is serial behind a bounded queue that its core awaits, so a slow or parked apply inside it would stop
//! votes and replication. Therefore `apply` only hands entries on; no read trusts the crate's applied index. Snapshots are
//! made beside it too: the crate is only told of those that lie on disk, and a node that needs one starts again with it.

use std::io;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use store::snapshot::Header;

use super::group::stored_membership;
use super::queue::Queue;
use super::types::{LogId, StoredMembership, Types, to_log_id};
use crate::checkpoint::MembersRow;
use crate::snapshots::Keeper;

/// The Raft crate's side of the queue.
pub struct StateMachine {
    queue: Queue,
    /// As of the last checkpoint: from there the Raft crate begins to apply.
    applied: Option<LogId>,
    membership: StoredMembership,
    keeper: Keeper,
}

impl StateMachine {
    /// Beginning after `applied`.
    pub fn new(queue: Queue, applied: Option<LogId>, membership: StoredMembership, keeper: Keeper) -> StateMachine {
        StateMachine {
            queue,
            applied,
            membership,
            keeper,
        }
    }

    fn newest(&self) -> Result<Option<SnapshotOf<Types, Arc<Header>>>, io::Error> {
        self.keeper.newest().map(as_snapshot).transpose()
    }
}

fn as_snapshot(header: Arc<Header>) -> Result<SnapshotOf<Types, Arc<Header>>, io::Error> {
    let last_membership = match header.members.is_empty() {
        true => StoredMembership::default(),
        false => {
            let MembersRow(record) = MembersRow::from_bytes(&header.members).map_err(io::Error::other)?;
            stored_membership(record).map_err(io::Error::other)?
        }
    };
    let meta = SnapshotMetaOf::<Types> {
        last_log_id: to_log_id(header.index, header.term),
        last_membership,
    };
    Ok(SnapshotOf::<Types, Arc<Header>> { meta, snapshot: header })
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotData = Arc<Header>;
    type SnapshotBuilder = Newest;

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

    async fn try_create_snapshot_builder(&mut self, _force: bool) -> Option<Newest> {
        // A failure here would stop the Raft crate for good: it is told of a snapshot only when there is one.
        self.newest().ok().flatten().map(Newest)
    }

    async fn get_snapshot_builder(&mut self) -> Newest {
        // Never called: the Raft crate asks `try_create_snapshot_builder`.
        Newest(SnapshotOf::<Types, Arc<Header>> {
            meta: SnapshotMetaOf::<Types>::default(),
            snapshot: Arc::new(Header::default()),
        })
    }

    async fn install_snapshot(
        &mut self,
        _meta: &SnapshotMetaOf<Types>,
        _snapshot: Arc<Header>,
    ) -> Result<(), io::Error> {
        Err(io::Error::other(
            "a snapshot is installed before the Raft crate starts, never by it",
        ))
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<Types, Arc<Header>>>, io::Error> {
        self.newest()
    }
}

/// The newest snapshot, which lies on disk already.
pub struct Newest(SnapshotOf<Types, Arc<Header>>);

impl RaftSnapshotBuilder<Types> for Newest {
    type SnapshotData = Arc<Header>;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<Types, Arc<Header>>, io::Error> {
        Ok(SnapshotOf::<Types, Arc<Header>> {
            meta: self.0.meta.clone(),
            snapshot: self.0.snapshot.clone(),
        })
    }
}
