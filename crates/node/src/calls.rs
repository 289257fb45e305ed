//! Calls between nodes beside Raft's: the index for a read, control entries for the leader, and joining.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use machine::codec::{Codec, Reader};
use machine::{
    Body, Cluster, Decision, Entry, Index, NodeId, Pending, RegisterNode, Role, SubmitError, TimeMs, record,
};
use parking_lot::Mutex;

use crate::limits::PEER_CALL_TIMEOUT;
use crate::peer::Peers;
use crate::peer::caller::{Caller, Error as CallError};
use crate::peer::frames::Kind;
use crate::peer::server::Calls;
use crate::raft::{Group, GroupError};
use crate::repair::Front;
use crate::snapshots;
use crate::upkeep::Upkeep;

/// What the leader did with a control entry, as it travels between nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// 1: done.
    Done(Index),
    /// 2: a node was registered.
    Registered(NodeId),
    /// 3: refused, with the reason.
    Refused(String),
}

impl Codec for Proposed {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Proposed::Done(index) => {
                out.push(1);
                index.encode(out);
            }
            Proposed::Registered(node) => {
                out.push(2);
                node.encode(out);
            }
            Proposed::Refused(reason) => {
                out.push(3);
                reason.encode(out);
            }
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, machine::codec::Error> {
        match reader.byte()? {
            1 => Ok(Proposed::Done(Codec::decode(reader)?)),
            2 => Ok(Proposed::Registered(Codec::decode(reader)?)),
            3 => Ok(Proposed::Refused(Codec::decode(reader)?)),
            number => Err(reader.unknown("answer to a proposal", u64::from(number))),
        }
    }
}

impl From<Decision> for Proposed {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Done { index } => Proposed::Done(index),
            Decision::SessionOpened(session) => Proposed::Done(Index(session.0)),
            Decision::Planned(change) => Proposed::Done(Index(change.0)),
            Decision::Registered(node) => Proposed::Registered(node),
            Decision::Refused { reason, .. } => Proposed::Refused(reason),
        }
    }
}

/// The leader has purged what a node lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// There is a snapshot as of this entry, or a later one.
    pub index: Index,
    /// The peer address of the node that has it.
    pub from: String,
}
record!(Offer { index, from });

/// Answers peers' calls on this node.
pub struct Answers {
    /// This node's cluster.
    pub cluster: Arc<dyn Cluster>,
    /// Its group.
    pub group: Group,
    /// To pass on what only the leader can do.
    pub leader: LeaderCalls,
    /// To make and read snapshots, and to take those that are offered.
    pub upkeep: Upkeep,
}

impl Calls for Answers {
    fn answer(&self, kind: Kind, body: Bytes) -> Pending<'_, Result<Vec<u8>, String>> {
        Box::pin(async move {
            match kind {
                Kind::ReadIndex => {
                    let index = self.group.read_index().await.map_err(|error| error.to_string())?;
                    Ok(index.to_bytes())
                }
                Kind::Propose => {
                    let entry = Entry::from_bytes(&body).map_err(|error| error.to_string())?;
                    self.propose(nodes_own(entry.body)?)
                        .await
                        .map(|proposed| proposed.to_bytes())
                }
                Kind::Join => {
                    let register = RegisterNode::from_bytes(&body).map_err(|error| error.to_string())?;
                    let body = Body::RegisterNode(register);
                    let proposed = self
                        .leader
                        .propose(&*self.cluster, body)
                        .await
                        .map_err(|error| error.to_string())?;
                    Ok(proposed.to_bytes())
                }
                Kind::SnapshotOffer => {
                    let offer = Offer::from_bytes(&body).map_err(|error| error.to_string())?;
                    Ok(self.upkeep.offered(offer).to_bytes())
                }
                Kind::SnapshotHeader => {
                    let at_least = Index::from_bytes(&body).map_err(|error| error.to_string())?;
                    let header = self.upkeep.snapshot(at_least).await?;
                    Ok(header.to_bytes())
                }
                Kind::SnapshotRead => self.upkeep.read(snapshots::read_piece(&body)?).await,
                Kind::Front => self.front().await.map(|front| front.to_bytes()),
                Kind::WhoLeads => self.leader.address().map(|address| address.to_bytes()),
                Kind::Hello
                | Kind::Welcome
                | Kind::Refusal
                | Kind::Append
                | Kind::AppendStream
                | Kind::Vote
                | Kind::PreVote
                | Kind::TransferLeader
                | Kind::Answer
                | Kind::Failed => Err("no such call".to_owned()),
            }
        })
    }
}

impl Answers {
    /// How far this node's log goes, if it leads and a majority says so.
    async fn front(&self) -> Result<Front, String> {
        self.group.read_index().await.map_err(|error| error.to_string())?;
        let view = self.group.view();
        match view.role {
            Role::Leader => Ok(Front {
                leader: self.cluster.status().node,
                term: view.term,
                last: view.last,
            }),
            Role::Follower | Role::Candidate | Role::Learner => Err("this node does not lead".to_owned()),
        }
    }

    async fn propose(&self, body: Body) -> Result<Proposed, String> {
        let decision = self.cluster.propose(body).await.map_err(|error| error.to_string())?;
        Ok(decision.into())
    }
}

/// Nodes bring only their own affairs into the log this way.
fn nodes_own(body: Body) -> Result<Body, String> {
    match body {
        Body::NodeReady(_) | Body::RegisterNode(_) | Body::ReportDigest(_) | Body::Rehearsed(_) | Body::Verified(_) => {
            Ok(body)
        }
        Body::Genesis(_)
        | Body::Requests(_)
        | Body::OpenSession
        | Body::ModuleChunk(_)
        | Body::PlanApplication(_)
        | Body::PlanGuarded(_)
        | Body::ChangeStep(_)
        | Body::Tick
        | Body::RaiseLevel(_)
        | Body::CommitConsumer(_)
        | Body::RemoveConsumer(_)
        | Body::PinConsumer(_)
        | Body::DropModule(_)
        | Body::LetGo(_)
        | Body::TrimStreams(_)
        | Body::MarkDigest
        | Body::OpenWindow(_)
        | Body::ConvertRows(_)
        | Body::AssignVerification(_)
        | Body::SteerConversion(_)
        | Body::SkipEntry(_)
        | Body::RemoveApplication(_)
        | Body::PurgeApplication(_) => Err("a node may only report and register itself".to_owned()),
    }
}

/// Reaches the leader, wherever it is.
#[derive(Clone)]
pub struct LeaderCalls {
    peers: Peers,
    group: Group,
    callers: Arc<Mutex<BTreeMap<NodeId, Caller>>>,
}

impl LeaderCalls {
    /// Over this node's connections.
    pub fn new(peers: Peers, group: Group) -> LeaderCalls {
        LeaderCalls {
            peers,
            group,
            callers: Arc::default(),
        }
    }

    fn caller(&self, node: NodeId) -> Caller {
        let mut callers = self.callers.lock();
        callers
            .entry(node)
            .or_insert_with(|| Caller::new(self.peers.clone(), node, String::new()))
            .clone()
    }

    /// The leader's peer address.
    ///
    /// # Errors
    /// A text: this node knows no leader but itself, or not where it is.
    pub fn address(&self) -> Result<String, String> {
        let leader = self.group.other_leader().ok_or("no other node is known to lead")?;
        match self.peers.address(leader, "") {
            address if address.is_empty() => Err(format!("node {leader} leads, and it is not known where it is")),
            address => Ok(address),
        }
    }

    /// The leader's index for a read.
    ///
    /// # Errors
    /// A text that says why it is not known.
    pub async fn read_index(&self) -> Result<Index, String> {
        match self.group.read_index().await {
            Ok(index) => return Ok(index),
            Err(GroupError::NotLeader) => {}
            Err(error) => return Err(error.to_string()),
        }
        let leader = self.group.other_leader();
        let Some(leader) = leader else {
            return Err("no leader is known".to_owned());
        };
        let answer = self
            .caller(leader)
            .call(Kind::ReadIndex, Vec::new(), PEER_CALL_TIMEOUT)
            .await;
        let answer = answer.map_err(|error| format!("{}: {error}", self.peers.address(leader, "the leader")))?;
        Index::from_bytes(&answer).map_err(|error| error.to_string())
    }

    /// Brings a node's own control entry into the log.
    ///
    /// # Errors
    /// As [`Cluster::propose`].
    pub async fn propose(&self, here: &dyn Cluster, body: Body) -> Result<Proposed, SubmitError> {
        if self.group.is_leader() {
            return here.propose(body).await.map(Proposed::from);
        }
        let leader = self.group.other_leader();
        let Some(leader) = leader else {
            return Err(SubmitError::NotLeader { leader: None });
        };
        let entry = Entry { time: TimeMs(0), body };
        match self
            .caller(leader)
            .call(Kind::Propose, entry.to_bytes(), PEER_CALL_TIMEOUT)
            .await
        {
            Ok(answer) => Proposed::from_bytes(&answer).map_err(|error| SubmitError::OutcomeUnknown(error.to_string())),
            Err(error @ (CallError::Lost | CallError::Slow(_))) => Err(SubmitError::OutcomeUnknown(error.to_string())),
            Err(error @ (CallError::Unreachable(_) | CallError::Failed(_))) => {
                Err(SubmitError::Unavailable(error.to_string()))
            }
        }
    }
}
