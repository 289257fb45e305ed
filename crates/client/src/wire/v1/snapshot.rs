use serde::{Deserialize, Serialize};

/// A snapshot of everything as of one index, as files that can be copied: the answer to `POST /v1/snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotRecord {
    /// The cluster it is of, 16 hexadecimal digits.
    pub cluster: String,
    /// As of which entry.
    pub index: u64,
    /// The digest as of then.
    pub digest: String,
    /// The files, the snapshot itself first.
    pub files: Vec<SnapshotFile>,
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SnapshotFile {
    /// Its name, with `/` between the parts of a path.
    pub name: String,
    /// Its length, bytes.
    pub bytes: u64,
}

/// Parameters of `GET /v1/snapshots/{index}/files/{file}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::IntoParams), into_params(parameter_in = Query))]
#[serde(default)]
pub struct PieceParameters {
    /// The first byte wanted.
    pub from: u64,
}

/// What a scan of everything on a node's disk found in order: the answer to `POST /v1/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VerifyRecord {
    /// The node's name.
    pub name: String,
    /// As of which entry.
    pub index: u64,
    /// How many rows.
    pub rows: u64,
}
