//! Checkpoints: tables, the machine's own rows and the members become durable together, streams before them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use machine::codec::{Codec, Error, Reader};
use machine::{
    EventView, Index, NODE_TABLE, NodeId, Row, RowSums, SYSTEM_TABLE, Shape, Standing, StateDigest, StateError,
    StateRead, StateTxn, TableId, Term,
};
use parking_lot::RwLock;
use store::log::Record;
use store::state::{Checkpoint, State, View, Written};
use store::streams::{Listing, Removal, Streams, SyncJob};
use tracing::warn;

use crate::applier::Held;
use crate::raft::{self, Membership};

/// Rows that the node itself must find again; not part of the machine, and in no digest.
const MEMBERS_KEY: &[u8] = b"members";
/// What the machine's own rows sum up to, since the digest does not speak of them.
const SUMS_KEY: &[u8] = b"sums";

/// The entry that set the members, as it lies in the log.
#[derive(Debug, Clone)]
pub struct MembersRow(pub Record);

impl MembersRow {
    /// As it is stored and sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        let record = &self.0;
        let mut document = Vec::new();
        record.index.encode(&mut document);
        record.term.encode(&mut document);
        record.kind.encode(&mut document);
        record.payload.encode(&mut document);
        document
    }

    /// Reads it back.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn from_bytes(bytes: &[u8]) -> Result<MembersRow, Error> {
        let mut reader = Reader::new(bytes);
        let (index, term, kind) = (
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
            Codec::decode(&mut reader)?,
        );
        let payload = Bytes::copy_from_slice(reader.bytes()?);
        Ok(MembersRow(Record {
            index,
            term,
            kind,
            payload,
        }))
    }
}

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
pub fn load_members(state: &dyn StateRead) -> Result<Option<MembersRow>, StateError> {
    let Some(row) = state.get(NODE_TABLE, MEMBERS_KEY)? else {
        return Ok(None);
    };
    let unreadable = |error: Error| StateError(format!("the row of members cannot be read: {error}"));
    MembersRow::from_bytes(&row.document).map(Some).map_err(unreadable)
}

/// What the machine's own rows sum up to, as of the last checkpoint.
///
/// # Errors
/// The disk failed.
pub fn load_sums(state: &dyn StateRead) -> Result<RowSums, StateError> {
    let mut sums = RowSums::default();
    match stored_sum(state)? {
        Some(system) => sums.system = system,
        // Written by a binary that did not keep the sum.
        None => state.scan(SYSTEM_TABLE, &[], None, false, &mut |key, row| {
            sums.add(SYSTEM_TABLE, key, row);
            true
        })?,
    }
    Ok(sums)
}

fn stored_sum(rows: &dyn StateRead) -> Result<Option<u128>, StateError> {
    let row = rows.get(NODE_TABLE, SUMS_KEY)?;
    row.map(|row| u128::from_bytes(&row.document))
        .transpose()
        .map_err(|error| StateError(format!("the row of sums cannot be read: {error}")))
}

/// The node's own rows, to be written beside those of a snapshot.
pub fn own_rows(members: &[u8], sums: &RowSums) -> Vec<(TableId, Bytes, Option<Row>)> {
    let row = |document: Vec<u8>| {
        Some(Row {
            shape: Shape(0),
            document: document.into(),
        })
    };
    let mut rows = vec![(NODE_TABLE, Bytes::from_static(SUMS_KEY), row(sums.system.to_bytes()))];
    if !members.is_empty() {
        rows.push((NODE_TABLE, Bytes::from_static(MEMBERS_KEY), row(members.to_vec())));
    }
    rows
}

/// Reads every row and says whether they are what they should be.
///
/// # Errors
/// What is wrong, for people.
pub fn check_rows(view: &dyn View) -> Result<(Option<Standing>, RowSums), String> {
    let text = |error: StateError| error.to_string();
    let standing = Standing::of(view).map_err(text)?;
    let mut sums = RowSums::default();
    let add = &mut |table, key: &[u8], row: &Row| {
        sums.add(table, key, row);
        true
    };
    view.rows(add).map_err(|error| error.to_string())?;
    let digest = standing.as_ref().map(|standing| standing.digest).unwrap_or_default();
    let applied = standing.as_ref().map(|standing| standing.applied).unwrap_or_default();
    if sums.digested != digest.rows {
        return Err(format!(
            "the rows of the state as of entry {applied} sum up to {:032x}, and should to {:032x}",
            sums.digested, digest.rows
        ));
    }
    check_system(view, &sums)?;
    Ok((standing, sums))
}

/// Compares the sum of the machine's own rows with the one that was stored with them.
///
/// # Errors
/// What is wrong, for people.
pub fn check_system(view: &dyn View, sums: &RowSums) -> Result<(), String> {
    match stored_sum(view).map_err(|error| error.to_string())? {
        Some(stored) if stored != sums.system => Err(format!(
            "the machine's own rows sum up to {:032x}, and should to {stored:032x}",
            sums.system
        )),
        Some(_) | None => Ok(()),
    }
}

/// What a snapshot of a checkpoint needs that the rows do not hold.
pub struct Plan {
    /// Applied as of the checkpoint.
    pub index: Index,
    /// That entry's term.
    pub term: Term,
    /// The digest as of then.
    pub digest: StateDigest,
    /// The members as of then.
    pub members: Bytes,
    /// The streams as of then.
    pub streams: Listing,
}

/// A checkpoint to be written, by a thread that may wait for the disk.
pub struct Job {
    streams: SyncJob,
    state: Checkpoint,
    plan: Option<Plan>,
}

/// A checkpoint that is durable.
pub struct Done {
    /// Proof of it.
    pub written: Written,
    /// For a snapshot of it, if one was asked for.
    pub plan: Option<Plan>,
}

impl Job {
    /// Writes it: streams first, so that the positions in the state never point past what is there.
    ///
    /// # Errors
    /// The disk failed; the node must stop.
    pub fn write(self) -> Result<Done, String> {
        self.streams.run().map_err(|error| error.to_string())?;
        let written = self.state.write().map_err(|error| error.to_string())?;
        Ok(Done {
            written,
            plan: self.plan,
        })
    }
}

/// Takes everything as it is now; nothing when a checkpoint is under way. With `planned`, the term of the last entry
/// applied, a snapshot can be made of it.
///
/// # Errors
/// The disk failed; the node must stop.
pub fn begin(
    held: &Arc<RwLock<Held>>,
    streams: &mut Streams,
    members: Option<&MembersRow>,
    sums: &mut RowSums,
    planned: Option<Term>,
) -> Result<Option<Job>, String> {
    let mut held = held.write();
    let Held { machine, state } = &mut *held;
    if state.is_freezing() {
        return Ok(None);
    }
    let mut rows = Rows {
        state,
        sums,
        failed: None,
    };
    machine.save(&mut rows);
    if let Some(error) = rows.failed {
        return Err(error.to_string());
    }
    let members = members.map(MembersRow::to_bytes).unwrap_or_default();
    for (table, key, row) in own_rows(&members, sums) {
        if let Some(row) = row {
            state.put(table, &key, row);
        }
    }
    let plan = planned.map(|term| Plan {
        index: machine.applied(),
        term,
        digest: machine.digest(),
        members: members.into(),
        streams: streams.listing(),
    });
    Ok(state.freeze().map(|state| Job {
        streams: streams.begin_sync(),
        state,
        plan,
    }))
}

/// Removes files of streams that a durable checkpoint no longer asks for. That some stay is no reason to stop: they are
/// removed when the node starts the next time.
pub fn remove(removal: Removal) {
    if let Err(error) = removal.run() {
        warn!(%error, "trimmed events take up room still: their files could not be removed");
    }
}

/// Rows alone: the machine's own hold no events.
struct Rows<'a> {
    state: &'a mut State,
    sums: &'a mut RowSums,
    failed: Option<StateError>,
}

impl Rows<'_> {
    /// The row that is about to go no longer counts.
    fn leave(&mut self, table: TableId, key: &[u8]) {
        match self.state.get(table, key) {
            Ok(Some(before)) => self.sums.remove(table, key, &before),
            Ok(None) => {}
            Err(error) => self.failed = Some(error),
        }
    }
}

impl StateRead for Rows<'_> {
    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<Row>, StateError> {
        self.state.get(table, key)
    }

    fn scan(
        &self,
        table: TableId,
        start: &[u8],
        end: Option<&[u8]>,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], &Row) -> bool,
    ) -> Result<(), StateError> {
        self.state.scan(table, start, end, reverse, visit)
    }
}

impl StateTxn for Rows<'_> {
    fn put(&mut self, table: TableId, key: &[u8], row: Row) {
        self.leave(table, key);
        self.sums.add(table, key, &row);
        self.state.put(table, key, row);
    }

    fn delete(&mut self, table: TableId, key: &[u8]) {
        self.leave(table, key);
        self.state.delete(table, key);
    }

    fn emit(&mut self, _stream: &str, _event: EventView<'_>) {
        debug_assert!(false, "saving the machine's own rows emits nothing");
    }
}
