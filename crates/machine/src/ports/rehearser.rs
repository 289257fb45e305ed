//! Who tries the new version of a change on real commands, if this node is to do so.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::{
    ApplicationVersion, Applications, ChangeId, DeclaredDifference, Index, NodeId, Outcome, RehearsalPlan, StateError,
};

/// Tries new versions beside those in force. Nothing that it finds reaches the state: what it has to say goes into the log as
/// an entry of its own.
pub trait Rehearser {
    /// A window was opened by the entry at `index`: whatever was open before is closed.
    fn open(&mut self, change: ChangeId, index: Index, nodes: &BTreeSet<NodeId>, plan: &RehearsalPlan);
    /// Whether this node tries the command at that place of the entry, in the window that is open by the log.
    fn wants(&mut self, change: ChangeId, window: Index, index: Index, place: usize) -> bool;
    /// What runs the new version, and what converts documents for it: neither is what the machine uses itself.
    fn hosts(&mut self) -> (&mut dyn Applications, &mut dyn Applications);
    /// A command was tried.
    fn tried(&mut self, trial: Trial<'_>);
    /// A command could not be tried, through no fault of the new version's: of this window this node has nothing to say.
    fn failed(&mut self, change: ChangeId, error: &StateError);
    /// Instances go at the end of each entry.
    fn end_entry(&mut self);
}

/// A command under the version in force and under the new one, from the same state.
pub struct Trial<'a> {
    /// The change whose new version was tried.
    pub change: ChangeId,
    /// The entry.
    pub index: Index,
    /// The command's place in it.
    pub place: usize,
    /// The command's name.
    pub command: &'a str,
    /// Under the version in force.
    pub real: End,
    /// Under the new version; its rows are in the shapes of the one in force.
    pub new: End,
    /// Documents that the new version wrote and that change on the way into the old shape and back.
    pub lossy: Vec<Lossy>,
    /// What the new version says is meant to be otherwise.
    pub declared: &'a [DeclaredDifference],
    /// What runs the conditions of that.
    pub transform: Option<&'a ApplicationVersion>,
}

/// How a command ended under one version.
pub struct End {
    /// The reply, the refusal, or the trap.
    pub outcome: Outcome,
    /// Its events: stream, key, value.
    pub events: Vec<(String, Option<Bytes>, Bytes)>,
    /// What it wrote last under each table and key; none: it removed it. Tables that only the new version has are left out.
    pub rows: BTreeMap<(String, Bytes), Option<Bytes>>,
}

/// A document that is another one after the way back.
pub struct Lossy {
    /// The table.
    pub table: String,
    /// The key.
    pub key: Bytes,
    /// As the new version wrote it.
    pub wrote: Bytes,
    /// As it would read it again.
    pub reads: Bytes,
}
