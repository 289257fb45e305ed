use serde::{Deserialize, Serialize};

/// What a node is to its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Leads.
    Leader,
    /// Votes and follows.
    Follower,
    /// Seeks votes.
    Candidate,
    /// Follows without a vote.
    Learner,
}

/// `GET /v1/status`: a node's view of itself and its cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// This node's id.
    pub node: u64,
    /// This node's name.
    pub name: String,
    /// The cluster's id, sixteen hexadecimal digits.
    pub cluster: String,
    /// For people: the binary's version.
    pub binary: String,
    /// Its role.
    pub role: Role,
    /// The current term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// `HOST:PORT` of the leader's HTTP, if known.
    pub leader_http: Option<String>,
    /// Last index in its log.
    pub last: u64,
    /// Last index known to be committed.
    pub committed: u64,
    /// Last index applied.
    pub applied: u64,
    /// Digest of rows and history as of `applied`: equal on every node at an equal index.
    pub digest: String,
    /// The cluster's level.
    pub level: u16,
    /// Why it does not apply, if it is parked.
    pub parked: Option<String>,
    /// Members, by id.
    pub members: Vec<Member>,
}

/// `GET /v1/members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberList {
    /// The index that the answer shows.
    pub index: u64,
    /// The current term.
    pub term: u64,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// By id.
    pub members: Vec<Member>,
}

/// One member as the node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// Its id.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// `HOST:PORT` of its HTTP and client protocol.
    pub http_address: String,
    /// `HOST:PORT` of its peer protocol.
    pub peer_address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads, as far as the node knows.
    pub leader: bool,
    /// The last index known to be in its log; only the leader knows.
    pub matched: Option<u64>,
    /// For people: its binary's version.
    pub binary: String,
}

/// `GET /healthz` and `GET /readyz` (503 when not `ok`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether it is.
    pub ok: bool,
    /// Why not, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
