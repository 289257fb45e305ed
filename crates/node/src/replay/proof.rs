//! Who says what the digest was in production.

use std::collections::BTreeMap;
use std::fmt;

use machine::{Index, NodeId, Standing, StateDigest};
use store::snapshot::Header;

/// All that say what the digest was, but for the reports in the log.
#[derive(Debug, Clone, Default)]
pub(super) struct Witnesses {
    /// The headers of snapshots.
    pub snapshots: BTreeMap<Index, Header>,
    /// Where the node itself stood at its last checkpoint.
    pub standing: Option<Standing>,
    /// What the node said when it was copied.
    pub said: BTreeMap<Index, StateDigest>,
}

/// Who says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// A node, in the log: of its digest before a mark.
    Node {
        /// Which node.
        node: NodeId,
        /// In which entry.
        reported: Index,
    },
    /// The header of a snapshot.
    Snapshot,
    /// The node's own checkpoint.
    Checkpoint,
    /// The node itself, when it was copied while it ran.
    Asked,
}

/// A digest of production beside the one that replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// As of which entry; of a node's report: before which.
    pub index: Index,
    /// Who says so.
    pub witness: Witness,
    /// Production's.
    pub theirs: StateDigest,
    /// Replay's.
    pub ours: StateDigest,
    /// Whether the streams end where they did. A node's report does not speak of them, but the digest does.
    pub streams_equal: bool,
}

impl Proof {
    /// Whether replay came to what production had.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.theirs == self.ours && self.streams_equal
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proof {
            index,
            witness,
            theirs,
            ours,
            ..
        } = self;
        match witness {
            Witness::Node { node, reported } => {
                write!(
                    formatter,
                    "before entry {index}, as node {node} reports in entry {reported}"
                )?;
            }
            Witness::Snapshot => write!(formatter, "as of entry {index}, as its snapshot says")?,
            Witness::Checkpoint => write!(formatter, "as of entry {index}, as the node's own checkpoint says")?,
            Witness::Asked => write!(formatter, "as of entry {index}, as the node said when it was copied")?,
        }
        if self.is_equal() {
            write!(formatter, ": equal ({ours})")
        } else if theirs == ours {
            write!(formatter, ": NOT EQUAL: the streams end elsewhere")
        } else {
            write!(formatter, ": NOT EQUAL: {theirs} there, {ours} here")
        }
    }
}
