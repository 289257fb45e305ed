//! Checkpoints: tables, the machine's own rows and the members become durable together, streams before them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use machine::codec::{Codec, Error, Reader};
use machine::{Event, Index, NodeId, Row, Shape, StateError, StateRead, StateTxn, TableId, Term};
use parking_lot::RwLock;
use store::log::Record;
use store::state::{Checkpoint, State, Written};
use store::streams::{Streams, SyncJob};

use crate::applier::Held;
use crate::raft::{self, Membership};

/// Holds what the node itself must find again; not part of the machine, and in no digest.
const NODE_TABLE: TableId = TableId(2);
const MEMBERS_KEY: &[u8] = b"members";

/// The entry that set the members, as it lies in the log.
#[derive(Debug, Clone)]
pub struct MembersRow(pub Record);

/// For the entry at `index`.
pub fn members_row(index: Index, term: Term, membership: Membership) -> Option<MembersRow> {
    raft::members_record(index, term, membership).map(MembersRow)
}

/// Voters and learners.
pub fn members_of(membership: &Membership) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    raft::members(membership)
}

/// The members as of the last checkpoint.
///
/// # Errors
/// The disk failed, or the row cannot be read.
pub fn load_members(state: &State) -> Result<Option<MembersRow>, StateError> {
    let Some(row) = state.get(NODE_TABLE, MEMBERS_KEY)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(&row.document);
    let mut read = || -> Result<Record, Error> {
        let (index, term, kind) = (
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
        );
        Ok(Record {
            index,
            term,
            kind,
            payload: Bytes::copy_from_slice(reader.bytes()?),
        })
    };
    let record = read().map_err(|error| StateError(format!("the row of members cannot be read: {error}")))?;
    Ok(Some(MembersRow(record)))
}

/// A checkpoint to be written, by a thread that may wait for the disk.
pub struct Job {
    streams: SyncJob,
    state: Checkpoint,
}

impl Job {
    /// Writes it: streams first, so that the positions in the state never point past what is there.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn write(self) -> Result<Written, String> {
        self.streams.run().map_err(|error| error.to_string())?;
        self.state.write().map_err(|error| error.to_string())
    }
}

/// Takes everything as it is now; nothing when a checkpoint is under way.
pub fn begin(held: &Arc<RwLock<Held>>, streams: &mut Streams, members: Option<&MembersRow>) -> Option<Job> {
    let mut held = held.write();
    let Held { machine, state } = &mut *held;
    machine.save(&mut Rows(state));
    if let Some(MembersRow(record)) = members {
        let mut document = Vec::new();
        record.index.encode(&mut document);
        record.term.encode(&mut document);
        record.kind.encode(&mut document);
        record.payload.encode(&mut document);
        state.put(
            NODE_TABLE,
            MEMBERS_KEY,
            Row {
                shape: Shape(0),
                document: document.into(),
            },
        );
    }
    let state = state.freeze()?;
    Some(Job {
        streams: streams.begin_sync(),
        state,
    })
}

/// Rows alone: the machine's own hold no events.
struct Rows<'a>(&'a mut State);

impl StateRead for Rows<'_> {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        self.0.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        self.0.scan(table, start, end, reverse, visit)
    }
}

impl StateTxn for Rows<'_> {
    fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.0.put(table, key, row);
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.0.delete(table, key);
    }

    fn emit(&mut self, _stream: &str, _event: Event) {
        debug_assert!(false, "saving the machine's own rows emits nothing");
    }
}
