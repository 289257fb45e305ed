//! The Raft crate's types as this node uses them, and how they map to ours.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;
use machine::{Index, NodeId, Output, Term};
use openraft::impls::{BasicNode, leader_id_std};
use openraft::type_config::alias::{LogIdOf, VoteOf};

use super::runtime::Runtime;

openraft::declare_raft_types!(
    /// What this node makes of the Raft crate: one leader a term, our own bytes as payload.
    pub Types:
        D = Payload,
        R = Applied,
        NodeId = u64,
        Node = BasicNode,
        LeaderId = leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = Runtime,
);

pub type LogId = LogIdOf<Types>;
pub type Vote = VoteOf<Types>;
pub type Entry = openraft::type_config::alias::EntryOf<Types>;
pub type Membership = openraft::Membership<u64, BasicNode>;
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;

/// A machine entry in its encoded form: the Raft crate never looks inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// What our applier answers for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// An entry of the machine.
    Output(Output),
    /// An entry of the Raft crate's own.
    Nothing,
    /// The node stopped, or could not tell.
    Unknown(String),
}

/// Raft counts from 0, we from 1, so that 0 can mean "nothing yet".
pub fn to_index(raft_index: u64) -> Index {
    Index(raft_index + 1)
}

/// The other way round; nothing for "nothing yet".
pub fn from_index(index: Index) -> Option<u64> {
    index.0.checked_sub(1)
}

pub fn to_log_id(index: Index, term: Term) -> Option<LogId> {
    let leader_id = openraft::vote::RaftLeaderId::to_committed(&leader_id_std::LeaderId {
        term: term.0,
        voted_for: 0,
    });
    from_index(index).map(|index| LogId { leader_id, index })
}

pub fn from_log_id(id: &LogId) -> (Index, Term) {
    (to_index(id.index), Term(*id.leader_id))
}

/// Voters and learners of a membership.
pub fn members(membership: &Membership) -> (BTreeSet<NodeId>, BTreeSet<NodeId>) {
    let voters = membership.voter_ids().map(NodeId).collect();
    let learners = membership.learner_ids().map(NodeId).collect();
    (voters, learners)
}
