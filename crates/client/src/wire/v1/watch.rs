use serde::{Deserialize, Serialize};

use super::{ApplicationInfo, ChangeRecord, Status};

/// One record of `GET /v1/watch`: a line of NDJSON, or the data of one server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatchRecord {
    /// The node's applied index when it saw this: what to send back as Last-Event-ID.
    pub index: u64,
    /// What has changed, as it is now.
    #[serde(flatten)]
    pub watched: Watched,
}

/// What can be watched; `kind` says which it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Watched {
    /// The node's role, term, leader, members or level has changed, or it has parked or goes on.
    Status {
        /// As `GET /v1/status` gives it.
        status: Box<Status>,
    },
    /// A change's stage, readiness, blockers or history has changed.
    Change {
        /// As `GET /v1/changes/{change}` gives it.
        change: Box<ChangeRecord>,
    },
    /// An application was installed, switched, reverted, or has a change under way.
    Application {
        /// As `GET /v1/apps/{app}` gives it.
        application: Box<ApplicationInfo>,
    },
}

impl Watched {
    /// The name of its kind in the API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Watched::Status { .. } => "status",
            Watched::Change { .. } => "change",
            Watched::Application { .. } => "application",
        }
    }
}
