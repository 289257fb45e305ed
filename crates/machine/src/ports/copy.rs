//! What a running node gives of itself to be replayed elsewhere.

use crate::{ClusterId, Index, NodeId, StateDigest};

/// One copy of a node's snapshot and log, from its beginning to its end: a node gives one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyId(pub u64);

/// What there is to copy, all as of the moment when the copy began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyListing {
    /// The copy.
    pub copy: CopyId,
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// The first entry that its log holds, or will hold.
    pub first: Index,
    /// The last entry that is given: known to be committed, applied here or not yet.
    pub last: Index,
    /// What the node has applied.
    pub applied: Index,
    /// Its digest as of that entry.
    pub digest: StateDigest,
    /// The number of the snapshots' format.
    pub snapshot_format: u32,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<CopySnapshot>,
}

/// A snapshot that can be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopySnapshot {
    /// As of which entry.
    pub index: Index,
    /// The digest as of then.
    pub digest: StateDigest,
    /// Bytes of its file. The streams' segments are not part of it.
    pub bytes: u64,
}
