use serde::{Deserialize, Serialize};

/// What a node has to be replayed elsewhere, all as of the moment when the copy began: the answer to `POST /v1/copies`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CopyRecord {
    /// Names the copy in the requests that follow, 16 hexadecimal digits.
    pub copy: String,
    /// The cluster, 16 hexadecimal digits.
    pub cluster: String,
    /// The node's id.
    pub node: u64,
    /// Its name.
    pub name: String,
    /// The first entry that its log holds, or will hold.
    pub first: u64,
    /// The last entry that is given: known to be committed, applied here or not yet.
    pub last: u64,
    /// What the node has applied.
    pub applied: u64,
    /// Its digest as of that entry.
    pub digest: String,
    /// The number of the snapshots' format.
    pub snapshot_format: u32,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<CopiedSnapshot>,
}

/// A snapshot that can be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CopiedSnapshot {
    /// As of which entry.
    pub index: u64,
    /// The digest as of then.
    pub digest: String,
    /// Bytes of its file. The streams' segments are not part of it.
    pub bytes: u64,
}

/// Parameters of `GET /v1/copies/{copy}/log`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(default)]
pub struct EntriesParameters {
    /// The first entry wanted.
    pub from: u64,
}
