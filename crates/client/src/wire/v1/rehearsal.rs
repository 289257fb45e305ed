use serde::{Deserialize, Serialize};

/// What a rehearsal must see before the switch may come: so many commands, for so long, or both.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RehearsalRequest {
    /// So many commands must have been tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commands: Option<u64>,
    /// For so many milliseconds of log time it must have gone on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// One in so many commands is tried; left out: every one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_in: Option<u64>,
    /// So many commands may come out otherwise, beside those that do as expected; left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub differences_max: Option<u64>,
    /// What is meant to come out otherwise: `reply:COMMAND`, `events:STREAM`, `rows:TABLE`, `way-back:TABLE`, each with a JSON
    /// pointer behind it (`rows:accounts/balance`) if only that may differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected: Vec<String>,
}

/// How far a rehearsal has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RehearsalRecord {
    /// What it must see.
    pub asked: RehearsalRequest,
    /// Commands that were tried.
    pub commands: u64,
    /// Milliseconds of log time that it has gone on for.
    pub lasted_ms: u64,
    /// Commands that came out otherwise, and not only as expected.
    pub differed: u64,
    /// Commands that came out otherwise as expected, and in no other way.
    pub expected: u64,
    /// Commands on which only the new version trapped; they are among `differed`.
    pub trapped: u64,
    /// The nodes that rehearse now, by name.
    pub nodes: Vec<String>,
    /// Whether two nodes came to different ends on the same commands: the version is not deterministic.
    #[serde(default)]
    pub unlike: bool,
    /// Whether an operator has said that what comes out otherwise is as it should be.
    pub approved: bool,
    /// Whether it stands in the way of the switch no more.
    pub passed: bool,
    /// Some of the commands that came out otherwise.
    pub samples: Vec<DifferenceRecord>,
}

/// A command that came out otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DifferenceRecord {
    /// The entry.
    pub index: u64,
    /// The command's place in it, counted from 0.
    pub place: u64,
    /// The command's name.
    pub command: String,
    /// What differed, for people.
    pub what: String,
}
