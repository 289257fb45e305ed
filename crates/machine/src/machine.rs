//! The machine: everything that is decided by the log, as of one index.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::Effects;
use crate::codec::Codec;
use crate::consumers::{Consumers, KeptConsumers};
use crate::sessions::Sessions;
use crate::usage::KeptUsage;
use crate::{
    Applications, Catalog, Comparison, Decision, Index, Level, NodeId, Offset, Rehearser, Reply, Row, Shape,
    StateDigest, StateError, StateRead, StateTxn, TableId, TimeMs, record,
};

/// The highest level that this binary knows.
pub const LEVEL_MAX: Level = Level(1);
/// Holds the machine's own rows.
pub const SYSTEM_TABLE: TableId = TableId(0);
/// Holds the pieces of modules.
pub(crate) const MODULE_TABLE: TableId = TableId(1);
/// Kept for each node's own rows, which the machine never sees.
pub const NODE_TABLE: TableId = TableId(2);
/// The first table of an application.
pub(crate) const TABLE_FIRST: TableId = TableId(16);
/// Keys of sessions in the system table: this, then the id, big-endian.
pub(crate) const SESSION_PREFIX: &[u8] = b"session/";
/// Keys of consumers in the system table: this, then the stream, a slash, and the consumer's name.
pub(crate) const CONSUMER_PREFIX: &[u8] = b"consumer/";
/// Keys of counts of commands in the system table: this, then application, command and version, with slashes between.
pub(crate) const USAGE_PREFIX: &[u8] = b"usage/";
/// Where streams begin that do not begin at 0.
const STARTS_KEY: &[u8] = b"starts";
const COMPARISON_KEY: &[u8] = b"comparison";
pub(crate) const CATALOG_KEY: &[u8] = b"catalog";
pub(crate) const POSITION_KEY: &[u8] = b"position";

/// What one entry may touch.
pub struct World<'a> {
    /// The state, written.
    pub txn: &'a mut dyn StateTxn,
    /// Runs commands.
    pub applications: &'a mut dyn Applications,
    /// Converts documents between shapes, apart from the instances that run commands.
    pub converter: &'a mut dyn Applications,
    /// Tries versions that are to come, if this node may be asked to.
    pub rehearser: Option<&'a mut dyn Rehearser>,
    /// The highest level that this node's binary knows: [`LEVEL_MAX`], unless it is to pass for another. What it does not
    /// know it parks at, so that no two nodes apply an entry in two ways.
    pub level_max: Level,
}

/// What came of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A reply for each request, in order.
    Replies(Vec<Reply>),
    /// Of a control entry.
    Decision(Decision),
}

/// Why an entry was not applied; nothing of it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// It cannot be applied yet, or not by this binary: stay here, keep replicating, try again.
    Park(String),
    /// This node is broken: stop it. What it holds in memory is void.
    Halt(String),
    /// The program failed at this very entry, through no fault of the application's: as [`Stop::Halt`], and it may well fail
    /// at it again.
    Fault(String),
    /// This machine has gone another way than the log says: what it holds is void, and must come from another node.
    Diverged {
        /// The entry that it applied and the log skips.
        entry: Index,
        /// The entry that says so.
        by: Index,
        /// For people.
        reason: String,
    },
}

impl Stop {
    /// Why, for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Stop::Park(reason) | Stop::Halt(reason) | Stop::Fault(reason) | Stop::Diverged { reason, .. } => reason,
        }
    }
}

impl From<StateError> for Stop {
    fn from(error: StateError) -> Self {
        Stop::Halt(error.to_string())
    }
}

/// Small facts about where the machine stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Position {
    pub(crate) applied: Index,
    pub(crate) time: TimeMs,
    pub(crate) digest: StateDigest,
    pub(crate) streams: BTreeMap<String, Offset>,
}
record!(Position {
    applied,
    time,
    digest,
    streams
});

/// Everything that is decided by the log, as of one index. Tables lie outside, behind [`StateTxn`].
#[derive(Debug, Default)]
pub struct Machine {
    pub(crate) position: Position,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) sessions: Sessions,
    pub(crate) consumers: KeptConsumers,
    pub(crate) usage: KeptUsage,
    starts: Arc<BTreeMap<String, Offset>>,
    starts_dirty: bool,
    comparison: Arc<Comparison>,
    comparison_dirty: bool,
    /// This node's own digest before the last mark that it applied itself: what it found, not what the log says, and so
    /// no part of what is saved.
    pub(crate) marked: Option<(Index, StateDigest)>,
    catalog_dirty: bool,
    /// [`Catalog::deadline`], looked at with each entry.
    pub(crate) deadline: Option<TimeMs>,
    /// [`Catalog::is_rehearsing`], looked at with each entry.
    pub(crate) rehearsing: bool,
    /// Bytes to chain into the digest at the end of the entry; kept to spare the allocation.
    pub(crate) trail: Vec<u8>,
    /// Empty between two commands; kept to spare the allocations.
    pub(crate) effects: Effects,
}

impl Machine {
    /// As it was saved, or new where nothing was.
    ///
    /// # Errors
    /// The disk failed, or the rows cannot be read.
    pub fn load(rows: &dyn StateRead) -> Result<Machine, StateError> {
        let mut machine = Machine {
            sessions: Sessions::load(rows)?,
            consumers: KeptConsumers::load(rows)?,
            usage: KeptUsage::load(rows)?,
            ..Machine::default()
        };
        if let Some(position) = system_row(rows, POSITION_KEY)? {
            machine.position = position;
        }
        if let Some(catalog) = system_row(rows, CATALOG_KEY)? {
            machine.catalog = Arc::new(catalog);
            machine.deadline = machine.catalog.deadline();
            machine.rehearsing = machine.catalog.is_rehearsing();
        }
        if let Some(comparison) = system_row(rows, COMPARISON_KEY)? {
            machine.comparison = Arc::new(comparison);
        }
        if let Some(starts) = system_row(rows, STARTS_KEY)? {
            machine.starts = Arc::new(starts);
        }
        Ok(machine)
    }

    /// Writes the machine's own rows, so that they become durable with the tables at the next checkpoint.
    pub fn save(&mut self, txn: &mut dyn StateTxn) {
        if std::mem::take(&mut self.catalog_dirty) {
            put_system(txn, CATALOG_KEY, self.catalog.to_bytes());
        }
        for (id, session) in self.sessions.take_dirty() {
            let key = [SESSION_PREFIX, &id.0.to_be_bytes()].concat();
            match session {
                Some(bytes) => put_system(txn, &key, bytes),
                None => txn.delete(SYSTEM_TABLE, &key),
            }
        }
        if std::mem::take(&mut self.comparison_dirty) {
            put_system(txn, COMPARISON_KEY, self.comparison.to_bytes());
        }
        if std::mem::take(&mut self.starts_dirty) {
            put_system(txn, STARTS_KEY, self.starts.to_bytes());
        }
        let consumers = self.consumers.take_dirty().into_iter();
        for (key, row) in consumers.chain(self.usage.take_dirty()) {
            match row {
                Some(bytes) => put_system(txn, &key, bytes),
                None => txn.delete(SYSTEM_TABLE, &key),
            }
        }
        put_system(txn, POSITION_KEY, self.position.to_bytes());
    }

    /// The last index applied.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.position.applied
    }

    /// Log time as of the last entry.
    #[must_use]
    pub fn time(&self) -> TimeMs {
        self.position.time
    }

    /// The digest as of the last entry.
    #[must_use]
    pub fn digest(&self) -> StateDigest {
        self.position.digest
    }

    /// Each stream's end.
    #[must_use]
    pub fn streams(&self) -> &BTreeMap<String, Offset> {
        &self.position.streams
    }

    /// Applications, changes, nodes.
    #[must_use]
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Each stream's start, where that is not 0: the first event that is kept. The same value as long as nothing changed.
    #[must_use]
    pub fn stream_starts(&self) -> &Arc<BTreeMap<String, Offset>> {
        &self.starts
    }

    pub(crate) fn stream_starts_mut(&mut self) -> &mut BTreeMap<String, Offset> {
        self.starts_dirty = true;
        Arc::make_mut(&mut self.starts)
    }

    /// What nodes say of their digests as of the last mark.
    #[must_use]
    pub fn comparison(&self) -> &Arc<Comparison> {
        &self.comparison
    }

    /// The last mark that this machine applied itself, and its own digest before it.
    #[must_use]
    pub fn marked(&self) -> Option<(Index, StateDigest)> {
        self.marked
    }

    pub(crate) fn comparison_mut(&mut self) -> &mut Comparison {
        self.comparison_dirty = true;
        Arc::make_mut(&mut self.comparison)
    }

    /// Named consumers.
    #[must_use]
    pub fn consumers(&self) -> &Arc<Consumers> {
        self.consumers.shared()
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions_open(&self) -> usize {
        self.sessions.count()
    }

    /// An entry of the Raft library's own that says nothing to the machine.
    pub fn apply_blank(&mut self, index: Index) {
        self.position.applied = index;
    }

    /// The members as of `index`, as the Raft library logged them.
    pub fn apply_members(&mut self, index: Index, voters: BTreeSet<NodeId>, learners: BTreeSet<NodeId>) {
        let catalog = self.catalog_mut();
        catalog.voters = voters;
        catalog.learners = learners;
        let time = self.position.time;
        crate::change::settle_readiness(self.catalog_mut(), index, time);
        self.position.applied = index;
    }

    /// A machine without a history, as of an index and a time of the log: for replay of what was recorded.
    #[must_use]
    pub fn of(catalog: Catalog, applied: Index, time: TimeMs) -> Machine {
        let mut machine = Machine {
            deadline: catalog.deadline(),
            catalog: Arc::new(catalog),
            catalog_dirty: true,
            ..Machine::default()
        };
        machine.position.applied = applied;
        machine.position.time = time;
        machine
    }

    /// Lets a version answer from the next entry on, without an entry that says so: indexes stay what they are, and with
    /// them sessions and random numbers. For replay alone, which asks what would have been; the code is its affair.
    ///
    /// # Errors
    /// The refusal that a plan of this version would get.
    pub fn force_version(
        &mut self,
        manifest: crate::Manifest,
        contract: crate::Contract,
        code: crate::Code,
    ) -> Result<(), Decision> {
        let index = self.position.applied;
        // Nothing stays half done where it is refused.
        let mut catalog = Catalog::clone(&self.catalog);
        crate::change::force(&mut catalog, index, (manifest, contract), code)?;
        *self.catalog_mut() = catalog;
        self.deadline = self.catalog.deadline();
        Ok(())
    }

    pub(crate) fn catalog_mut(&mut self) -> &mut Catalog {
        self.catalog_dirty = true;
        Arc::make_mut(&mut self.catalog)
    }

    /// The bytes of a module that is all here.
    ///
    /// # Errors
    /// The disk failed.
    pub fn module_bytes(rows: &dyn StateRead, module: crate::Digest) -> Result<Vec<u8>, StateError> {
        let mut bytes = Vec::new();
        let mut end = module.0.to_vec();
        end.extend_from_slice(&[0xff; 9]);
        rows.scan(MODULE_TABLE, &module.0, Some(&end), false, &mut |_, row| {
            bytes.extend_from_slice(&row.document);
            true
        })?;
        Ok(bytes)
    }
}

fn put_system(txn: &mut dyn StateTxn, key: &[u8], bytes: Vec<u8>) {
    txn.put(
        SYSTEM_TABLE,
        key,
        Row {
            shape: Shape(0),
            document: Bytes::from(bytes),
        },
    );
}

pub(crate) fn system_row<T: Codec>(rows: &dyn StateRead, key: &[u8]) -> Result<Option<T>, StateError> {
    match rows.get(SYSTEM_TABLE, key)? {
        Some(row) => decode(key, &row.document).map(Some),
        None => Ok(None),
    }
}

/// Rows of the system table under a prefix, by the number that follows it.
pub(crate) fn system_rows<T: Codec>(rows: &dyn StateRead, prefix: &[u8]) -> Result<Vec<(u64, T)>, StateError> {
    let mut found = Vec::new();
    let mut failed = None;
    rows.scan(SYSTEM_TABLE, prefix, None, false, &mut |key, row| {
        let Some(number) = key.strip_prefix(prefix).and_then(|rest| rest.try_into().ok()) else {
            return false;
        };
        match decode(key, &row.document) {
            Ok(value) => found.push((u64::from_be_bytes(number), value)),
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

pub(crate) fn decode<T: Codec>(key: &[u8], bytes: &[u8]) -> Result<T, StateError> {
    T::from_bytes(bytes).map_err(|error| {
        StateError(format!(
            "the machine's own row {:?} cannot be read: {error}",
            String::from_utf8_lossy(key)
        ))
    })
}
