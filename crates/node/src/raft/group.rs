//! This node's place in the Raft group, in our own words.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use machine::{Index, NodeId, Role, Term};
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, LinearizableReadError, RaftError};
use openraft::impls::{BasicNode, ProgressResponder};
use openraft::raft::ClientWriteResult;
use openraft::{ChangeMembers, Instant, Precondition, Raft, ReadPolicy, ServerState, SnapshotPolicy};
use store::log::{Log, Record};

use super::codec;
use super::log_store::LogStore;
use super::network::NetworkFactory;
use super::queue::Queue;
use super::state_machine::StateMachine;
use super::types::{Applied, Payload, StoredMembership, Types, from_index, to_index, to_log_id};
use crate::limits::{APPEND_ENTRIES_MAX, ELECTION_MS_MAX, ELECTION_MS_MIN, HEARTBEAT_MS, LOG_PURGE_ENTRIES_MIN};
use crate::measures::Measures;
use crate::peer::Peers;
use crate::progress::Progress;
use crate::retained::Retained;

pub(super) type Handle = Raft<Types, StateMachine>;

/// What a group is started from.
pub struct Parts {
    /// To reach the others.
    pub peers: Peers,
    /// The log.
    pub log: Log,
    /// Moved as the log becomes durable.
    pub flushed: Arc<Progress>,
    /// To the applier.
    pub queue: Queue,
    /// Applied as of the checkpoint, and its term.
    pub applied: Option<(Index, Term)>,
    /// The members as of the checkpoint: the record of the entry that set them.
    pub members: Option<Record>,
    /// This node's snapshots, and what of the log is kept for replay, whatever the Raft crate lets go of.
    pub retained: Retained,
    /// Entries to keep in the log behind the newest of them.
    pub log_keep_entries: u64,
    /// Whether this node may seek votes.
    pub campaigns: bool,
    /// What is counted and timed.
    pub measures: Arc<Measures>,
}

/// This node's place in the Raft group.
#[derive(Clone)]
pub struct Group {
    raft: Handle,
    measures: Arc<Measures>,
}

/// Why the group did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// This node does not lead; nothing was done.
    #[error("this node does not lead")]
    NotLeader,
    /// It may have been done, or may still be.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// It was not done.
    #[error("{0}")]
    Refused(String),
}

/// An entry on its way: ends with what came of it.
pub struct Proposal(openraft::type_config::alias::OneshotReceiverOf<Types, ClientWriteResult<Types>>);

/// Watches the role, the leader and the members.
pub struct Watch(openraft::type_config::alias::WatchReceiverOf<Types, openraft::metrics::RaftServerMetrics<Types>>);

impl Watch {
    /// Ends when something has changed since the last time; false when the Raft crate has stopped.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub node: NodeId,
    /// Whether it votes.
    pub voter: bool,
    /// The last index known to be in its log; only the leader knows.
    pub matched: Option<Index>,
    /// Whether it has lately acknowledged a heartbeat; only the leader knows.
    pub alive: bool,
}

/// The group as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// This node's role.
    pub role: Role,
    /// The term.
    pub term: Term,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// Last index in the log.
    pub last: Index,
    /// Last index known to be committed.
    pub committed: Index,
    /// Members, by id.
    pub members: Vec<MemberView>,
    /// Whether a change of members was left half-way, by a leader that went.
    pub joint: bool,
    /// Set when the Raft crate stopped for good.
    pub stopped: Option<String>,
}

impl Group {
    /// Starts taking part.
    ///
    /// # Errors
    /// A text that says what could not be read.
    pub async fn start(parts: Parts) -> Result<Group, String> {
        let config = openraft::Config {
            cluster_name: parts.peers.cluster().to_string(),
            heartbeat_interval: HEARTBEAT_MS,
            election_timeout_min: ELECTION_MS_MIN,
            election_timeout_max: ELECTION_MS_MAX,
            enable_pre_vote: Some(true),
            // A leader sends entries before its own disk has them. Were it killed then, and back before anybody else is
            // elected, it would go on in the same term, and fill with other entries the places that followers have
            // filled already: equal term and index, which Raft takes for the same entry.
            enable_leader_restore: Some(false),
            // A node that was rebuilt comes back with less than it had confirmed, and is sent the rest again. It neither
            // votes nor campaigns before it holds that (docs/adr/0008).
            allow_log_reversion: Some(true),
            max_payload_entries: APPEND_ENTRIES_MAX,
            // Made beside the Raft crate, which is told when one lies on disk.
            snapshot_policy: SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: parts.log_keep_entries,
            purge_batch_size: LOG_PURGE_ENTRIES_MIN,
            enable_elect: parts.campaigns,
            quorum_loss_probe_interval: Some(2 * ELECTION_MS_MAX + HEARTBEAT_MS),
            backoff: "50ms".to_owned(),
            ..openraft::Config::default()
        };
        let config = Arc::new(config.validate().map_err(|error| error.to_string())?);
        let applied = parts.applied.and_then(|(index, term)| to_log_id(index, term));
        let membership = match parts.members {
            Some(record) => stored_membership(record)?,
            None => StoredMembership::default(),
        };
        let keeper = parts.retained.keeper().clone();
        let machine = StateMachine::new(parts.queue, applied, membership, keeper);
        let store = LogStore::new(parts.log, parts.flushed, parts.retained, parts.measures.clone());
        let node = parts.peers.node().0;
        let raft = Raft::new(node, config, NetworkFactory(parts.peers), store, machine)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Group {
            raft,
            measures: parts.measures,
        })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.raft
    }

    pub(super) fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Founds the group with this node as its only member. Does nothing when it exists.
    pub async fn found(&self, node: NodeId, address: &str) -> Result<(), String> {
        if self.raft.is_initialized().await.map_err(|error| error.to_string())? {
            return Ok(());
        }
        let members = std::collections::BTreeMap::from([(node.0, BasicNode::new(address))]);
        self.raft.initialize(members).await.map_err(|error| error.to_string())
    }

    /// Whether this node leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        self.raft.is_leader()
    }

    /// Who leads, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.raft.server_metrics().borrow_watched().current_leader.map(NodeId)
    }

    /// Who leads, when it is another node.
    pub fn other_leader(&self) -> Option<NodeId> {
        self.leader().filter(|leader| leader.0 != *self.raft.node_id())
    }

    /// Proposes an entry. Its place in the log follows those proposed before by the same caller.
    ///
    /// # Errors
    /// The Raft crate has stopped.
    pub async fn propose(&self, payload: Bytes) -> Result<Proposal, GroupError> {
        let (responder, completed) = ProgressResponder::complete_only();
        self.raft
            .client_write_ff(Payload(payload), Some(responder))
            .await
            .map_err(|error| GroupError::Refused(error.to_string()))?;
        Ok(Proposal(completed))
    }

    /// As [`Group::propose`], but only while this node leads in the term `reign`: what it takes in one reign is then in
    /// the log in order and without a gap, because a later entry of a term is never committed without the earlier ones.
    ///
    /// # Errors
    /// The Raft crate has stopped.
    pub async fn propose_in(&self, reign: Term, payload: Bytes) -> Result<Proposal, GroupError> {
        let (responder, completed) = ProgressResponder::complete_only();
        self.raft
            .write(Payload(payload))
            .responder(responder)
            .with_leader(reign.0)
            .await
            .map_err(|error| GroupError::Refused(error.to_string()))?;
        Ok(Proposal(completed))
    }

    /// The term in which this node leads, if it does, as far as it knows.
    pub fn reign(&self) -> Option<Term> {
        self.raft.as_leader().ok().map(|leader| Term(leader.term()))
    }

    /// The index that a read which begins now must wait for, confirmed by a majority.
    ///
    /// # Errors
    /// This node does not lead, or cannot tell.
    pub async fn read_index(&self) -> Result<Index, GroupError> {
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(to_index(linearizer.read_log_id().index())),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(_))) => Err(GroupError::NotLeader),
            Err(error) => Err(GroupError::Refused(error.to_string())),
        }
    }

    /// The group as this node sees it now.
    pub fn view(&self) -> View {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let role = match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Follower,
            ServerState::Learner | ServerState::Shutdown => Role::Learner,
        };
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let matched = |node: &u64| {
            let replication = metrics.replication.as_ref()?;
            replication.get(node)?.as_ref().map(|id| to_index(id.index))
        };
        let alive = |node: &u64| {
            let acknowledged = metrics.heartbeat.as_ref().and_then(|all| all.get(node)?.as_ref());
            acknowledged.is_some_and(|at| at.elapsed() < Duration::from_millis(2 * ELECTION_MS_MAX))
        };
        let members = membership
            .nodes()
            .map(|(node, _)| MemberView {
                node: NodeId(*node),
                voter: voters.contains(node),
                matched: matched(node),
                alive: alive(node),
            })
            .collect();
        View {
            role,
            term: Term(metrics.current_term),
            leader: metrics.current_leader.map(NodeId),
            last: metrics.last_log_index.map(to_index).unwrap_or_default(),
            committed: metrics
                .local_committed
                .as_ref()
                .map(|id| to_index(id.index))
                .unwrap_or_default(),
            members,
            joint: membership.get_joint_config().len() > 1,
            stopped: metrics.running_state.err().map(|error| error.to_string()),
        }
    }

    /// Begins to watch the role, the leader and the members.
    pub fn watch(&self) -> Watch {
        let mut metrics = self.raft.server_metrics();
        // Seen as of now: a fresh receiver would take what it was made with for news, again and again.
        metrics.borrow_and_update();
        Watch(metrics)
    }

    /// Takes a node in as a learner, without waiting for it to catch up.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn add_learner(&self, node: NodeId, address: &str) -> Result<(), GroupError> {
        let added = self.raft.add_learner(node.0, BasicNode::new(address), false).await;
        added.map(drop).map_err(write_error)
    }

    /// Makes a learner a voter, if the membership is still the one that this node saw.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn promote(&self, node: NodeId) -> Result<(), GroupError> {
        let seen = *self.raft.metrics().borrow_watched().membership_config.log_id();
        let unchanged = Precondition::LastMembershipLogId {
            last_membership_log_id: seen,
        };
        let change = ChangeMembers::AddVoterIds(BTreeSet::from([node.0]));
        self.raft
            .change_membership_if(change, true, [unchanged])
            .await
            .map(drop)
            .map_err(write_error)
    }

    /// Finishes a change of members that a former leader left half-way.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn settle_members(&self) -> Result<(), GroupError> {
        let nothing = ChangeMembers::AddVoterIds(BTreeSet::new());
        self.raft
            .change_membership(nothing, true)
            .await
            .map(drop)
            .map_err(write_error)
    }

    /// Asks another voter to lead.
    pub async fn hand_over(&self, to: NodeId) {
        // Whether it took over shows in the view.
        self.raft.trigger().transfer_leader(to.0).await.ok();
    }

    /// Calls an election, which begins a new term.
    pub async fn elect(&self) {
        // Whether it was won shows in the view.
        self.raft.trigger().elect(false).await.ok();
    }

    /// Tells the Raft crate that there is a new snapshot, so that it lets go of the log before it.
    pub async fn snapshot_made(&self) {
        // What it purged shows in the log.
        self.raft.trigger().snapshot().await.ok();
    }

    /// Has the Raft crate let go of the log up to `through`, as far as there is a snapshot of it.
    pub async fn purge(&self, through: Index) {
        // None lies before the first.
        if let Some(through) = from_index(through) {
            // What it purged shows in the log.
            self.raft.trigger().purge_log(through).await.ok();
        }
    }

    /// From now on this node may seek votes.
    pub fn let_campaign(&self) {
        self.raft.runtime_config().elect(true);
    }

    /// Stops taking part.
    pub async fn shutdown(&self) {
        self.raft.shutdown().await.ok();
    }
}

impl Proposal {
    /// What came of it, and where it stands.
    ///
    /// # Errors
    /// See [`GroupError`].
    pub async fn outcome(self) -> Result<(Index, Applied), GroupError> {
        match self.0.await {
            Ok(Ok(response)) => match response.data {
                Applied::Unknown(reason) => Err(GroupError::Unknown(reason)),
                known @ (Applied::Output(_) | Applied::Nothing) => Ok((to_index(response.log_id.index), known)),
            },
            Ok(Err(error)) => Err(client_write_error(error)),
            Err(_) => Err(GroupError::Unknown(
                "the node stopped before the entry was applied".to_owned(),
            )),
        }
    }
}

fn write_error(error: RaftError<Types, ClientWriteError<Types>>) -> GroupError {
    match error {
        RaftError::APIError(error) => client_write_error(error),
        RaftError::Fatal(fatal) => GroupError::Unknown(fatal.to_string()),
    }
}

fn client_write_error(error: ClientWriteError<Types>) -> GroupError {
    match error {
        // Told before anything was appended.
        ClientWriteError::ForwardToLeader(_) => GroupError::NotLeader,
        ClientWriteError::LogEntryDiscarded(_) => {
            GroupError::Unknown("the leader changed before the entry was known to be committed".to_owned())
        }
        other => GroupError::Refused(other.to_string()),
    }
}

pub(super) fn stored_membership(record: Record) -> Result<StoredMembership, String> {
    let entry = codec::from_record(record).map_err(|error| error.to_string())?;
    match entry.payload {
        openraft::EntryPayload::Membership(membership) => Ok(StoredMembership::new(Some(entry.log_id), membership)),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Normal(_) => {
            Err("the members of the checkpoint are not a membership".to_owned())
        }
    }
}

/// The record under which the applier keeps the members with its checkpoint.
pub fn members_record(index: Index, term: Term, membership: super::types::Membership) -> Option<Record> {
    from_index(index)?;
    let log_id = to_log_id(index, term)?;
    Some(codec::to_record(super::types::Entry {
        log_id,
        payload: openraft::EntryPayload::Membership(membership),
    }))
}

/// The record that makes one node the only member, for a cluster that begins with the state of another one.
pub fn lone_member_record(index: Index, term: Term, node: NodeId) -> Option<Record> {
    let nodes = std::collections::BTreeMap::from([(node.0, BasicNode::new(""))]);
    let membership = super::types::Membership::new(vec![BTreeSet::from([node.0])], nodes).ok()?;
    members_record(index, term, membership)
}
