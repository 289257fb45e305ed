use serde::{Deserialize, Serialize};

/// `POST /v1/entries/{entry}/skip`; the body may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SkipRequest {
    /// For people: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to [`SkipRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkipDecided {
    /// Which entry is skipped.
    pub entry: u64,
    /// The entry that decides it.
    pub index: u64,
}

/// `GET /v1/entries/skipped`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkippedList {
    /// The index that the answer shows.
    pub index: u64,
    /// In the order of the log.
    pub entries: Vec<SkippedEntry>,
}

/// An entry that was passed by, because the program failed at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkippedEntry {
    /// Which.
    pub entry: u64,
    /// The entry that decided it.
    pub decided_by: u64,
    /// Log time of the entry, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// How many commands it held, each answered with `entry_skipped`; none: an entry of another kind.
    pub commands: Option<u64>,
    /// SHA-256 of the entry's bytes.
    pub digest: String,
    /// Why.
    pub reason: String,
}
