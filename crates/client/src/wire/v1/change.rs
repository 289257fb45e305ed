use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CodeSource, Manifest, RehearsalRecord, RehearsalRequest, VerifiedRecord};

/// What a change changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// The version of an application.
    #[default]
    Application,
}

/// Where a change stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Accepted; nodes make themselves ready.
    Preparing,
    /// Every voter is ready; the switch can come.
    Ready,
    /// The new version answers; there is a way back.
    Switched,
    /// Done for good.
    Finalized,
    /// Given up before the switch.
    Aborted,
    /// Taken back after the switch.
    Reverted,
}

impl Stage {
    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Stage::Finalized | Stage::Aborted | Stage::Reverted => true,
            Stage::Preparing | Stage::Ready | Stage::Switched => false,
        }
    }

    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stage::Preparing => "preparing",
            Stage::Ready => "ready",
            Stage::Switched => "switched",
            Stage::Finalized => "finalized",
            Stage::Aborted => "aborted",
            Stage::Reverted => "reverted",
        }
    }

    /// The stage of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Stage> {
        match name {
            "preparing" => Some(Stage::Preparing),
            "ready" => Some(Stage::Ready),
            "switched" => Some(Stage::Switched),
            "finalized" => Some(Stage::Finalized),
            "aborted" => Some(Stage::Aborted),
            "reverted" => Some(Stage::Reverted),
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// `POST /v1/changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// What the version is.
    pub manifest: Manifest,
    /// Where its code is.
    pub code: CodeSource,
    /// Finalize by itself once switched.
    #[serde(default)]
    pub finalize: bool,
    /// Milliseconds of log time after the switch within which it must be confirmed or finalized, or it is taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_ms: Option<u64>,
    /// Whether it is taken back at the first command on which the new version traps and the old one does not. Left out:
    /// it is, unless it finalizes by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revert_on_trap: Option<bool>,
    /// So many commands may the new version refuse that the old one would have applied; it is taken back at the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusals_max: Option<u64>,
    /// It may drop commands that clients may still send; why, for the change's history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_breaking: Option<String>,
    /// The new version is tried on the real commands before the switch, and must do well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearse: Option<RehearsalRequest>,
    /// Every stored row is brought into the new shape and back before the switch, and must come through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verify_data: bool,
}

/// The answer to [`PlanRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Planned {
    /// The change's id.
    pub change: u64,
}

/// `POST /v1/changes/{id}/approve|revert|finalize|confirm|abort`; the body may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StepRequest {
    /// For people: who or what asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The answer to [`StepRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepTaken {
    /// The change's id.
    pub change: u64,
    /// The entry of the step.
    pub index: u64,
}

/// What a node found when it made itself ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeReadiness {
    /// The node's id.
    pub node: u64,
    /// The node's name.
    pub name: String,
    /// Whether it can run the new version.
    pub ready: bool,
    /// Digest of what it will run, if ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrumented: Option<String>,
    /// Why it cannot, if not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that a change waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Blocker {
    /// On which node, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// That node's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Log time since which it waits, milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// What it waits for and what to do about it.
    pub what: String,
}

/// One thing that happened to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeEvent {
    /// At which entry.
    pub index: u64,
    /// At what log time, milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// For people.
    pub what: String,
}

/// Where a change was taken back by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevertedAt {
    /// The entry.
    pub index: u64,
    /// The command of it, counted from 0, that was the first to be answered by the old version again.
    pub command: u64,
}

/// `GET /v1/changes/{id}`, and each record of `GET /v1/changes/{id}/watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeRecord {
    /// Its id: the index of the entry that planned it.
    pub id: u64,
    /// What it changes.
    #[serde(default)]
    pub kind: ChangeKind,
    /// The application.
    pub application: String,
    /// The version in force when it was planned; none for an installation.
    pub from: Option<u32>,
    /// The version to come.
    pub to: u32,
    /// Where it stands.
    pub stage: Stage,
    /// Whether it finalizes by itself once switched.
    pub finalize: bool,
    /// The switch entry; the new version answered from the next one on.
    pub switch_index: Option<u64>,
    /// Whether it is taken back at the first command on which the new version traps and the old one does not.
    #[serde(default)]
    pub reverts_on_trap: bool,
    /// Commands that the new version refused and the old one would have applied, where that is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusals: Option<u64>,
    /// How many of them there may be: it is taken back at the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusals_max: Option<u64>,
    /// Log time at which it is taken back unless it is confirmed, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_by_ms: Option<u64>,
    /// Where it was taken back by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted: Option<RevertedAt>,
    /// How its rehearsal comes on, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal: Option<RehearsalRecord>,
    /// What came of the stored rows, where that was asked for: by node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verified: Vec<VerifiedRecord>,
    /// What each node that has reported found, by id.
    pub readiness: Vec<NodeReadiness>,
    /// What it waits for now.
    pub blockers: Vec<Blocker>,
    /// What happened, in order.
    pub history: Vec<ChangeEvent>,
}

/// `GET /v1/changes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangeList {
    /// The index that the answer shows.
    pub index: u64,
    /// By id.
    pub changes: Vec<ChangeRecord>,
}
