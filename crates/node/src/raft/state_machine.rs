//! What the Raft crate takes for the state machine: a queue to our own applier, which it never waits for.
//!
//! Its worker is serial behind a bounded queue that its core awaits, so a slow or parked apply inside it would stop
//! votes and replication. Therefore `apply` only hands entries on; no read trusts the crate's applied index.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use environment::channel::mpsc;
use futures::{Stream, StreamExt};
use machine::{Index, Term};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};

use super::types::{Applied, LogId, Membership, Payload, StoredMembership, Types, from_log_id};
use crate::limits::APPLY_QUEUE_BYTES_MAX;

/// Answers the proposer of one entry. Consumed by the answer, which therefore cannot come before the entry is applied.
pub struct Responder(Option<ApplyResponder<Types>>);

impl Responder {
    /// For an entry that nobody here waits for.
    pub fn nobody() -> Responder {
        Responder(None)
    }

    /// Gives the answer, if this node proposed the entry and still has somebody waiting for it.
    pub fn send(self, applied: impl FnOnce() -> Applied) {
        if let Some(responder) = self.0 {
            responder.send(applied());
        }
    }
}

/// A committed entry on its way to the applier.
pub struct Committed {
    /// Where it stands.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// What is to be applied.
    pub what: What,
    /// Who is to be answered.
    pub responder: Responder,
}

/// What is to be applied.
pub enum What {
    /// Nothing.
    Blank,
    /// An entry of the machine.
    Machine(bytes::Bytes),
    /// An entry of the machine that the queue had no room for: read it from the log.
    MachineInLog,
    /// The members from here on.
    Members(Membership),
}

/// Bytes that wait in the queue.
#[derive(Clone, Default)]
pub struct QueueBytes(Arc<AtomicUsize>);

impl QueueBytes {
    /// They have left it.
    pub fn release(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_add(bytes, Ordering::Relaxed) + bytes <= APPLY_QUEUE_BYTES_MAX;
        if !taken {
            self.release(bytes);
        }
        taken
    }
}

/// The Raft crate's side of the queue.
pub struct StateMachine {
    queue: mpsc::UnboundedSender<Committed>,
    bytes: QueueBytes,
    /// As of the last checkpoint: from there the Raft crate begins to apply.
    applied: Option<LogId>,
    membership: StoredMembership,
}

impl StateMachine {
    /// Beginning after `applied`.
    pub fn new(
        queue: mpsc::UnboundedSender<Committed>,
        bytes: QueueBytes,
        applied: Option<LogId>,
        membership: StoredMembership,
    ) -> StateMachine {
        StateMachine {
            queue,
            bytes,
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
            let (index, term) = from_log_id(&entry.log_id);
            let what = match entry.payload {
                EntryPayload::Blank => What::Blank,
                EntryPayload::Normal(Payload(bytes)) if self.bytes.take(bytes.len()) => What::Machine(bytes),
                EntryPayload::Normal(_) => What::MachineInLog,
                EntryPayload::Membership(membership) => What::Members(membership),
            };
            let committed = Committed {
                index,
                term,
                what,
                responder: Responder(responder),
            };
            if self.queue.send(committed).is_err() {
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
