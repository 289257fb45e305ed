//! What a node must not forget beside its records: its vote, and how far it knew the log to be committed.

use machine::{Index, NodeId, Term};

use super::record::eight;
use super::slots::Value;

/// The vote of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// In which term.
    pub term: Term,
    /// For whom.
    pub node: Option<NodeId>,
    /// Whether a majority granted it: that node led.
    pub committed: bool,
}

impl Vote {
    pub(super) fn to_value(self) -> Value {
        let mut value = [0; 64];
        value[..8].copy_from_slice(&self.term.0.to_le_bytes());
        value[8..16].copy_from_slice(&self.node.unwrap_or_default().0.to_le_bytes());
        value[16] = u8::from(self.node.is_some());
        value[17] = u8::from(self.committed);
        value
    }

    pub(super) fn from_value(value: &Value) -> Vote {
        Vote {
            term: Term(eight(value, 0)),
            node: (value[16] != 0).then(|| NodeId(eight(value, 8))),
            committed: value[17] != 0,
        }
    }
}

pub(super) fn committed_to_value(committed: Option<(Index, Term)>) -> Value {
    let mut value = [0; 64];
    if let Some((index, term)) = committed {
        value[..8].copy_from_slice(&index.0.to_le_bytes());
        value[8..16].copy_from_slice(&term.0.to_le_bytes());
        value[16] = 1;
    }
    value
}

pub(super) fn committed_from_value(value: &Value) -> Option<(Index, Term)> {
    (value[16] != 0).then(|| (Index(eight(value, 0)), Term(eight(value, 8))))
}
