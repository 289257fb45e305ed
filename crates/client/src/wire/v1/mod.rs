//! Version 1 of the public API: the JSON bodies under `/v1`.

mod application;
mod batch;
mod change;
mod command;
mod content;
mod error;
mod event;
mod manifest;
mod row;
#[cfg(feature = "openapi")]
mod schema;
mod snapshot;
mod status;
mod watch;

pub use application::{ApplicationInfo, ApplicationList, CodeSource, ModuleStored, VersionInfo, VersionSwitch};
pub use batch::{BATCH_MEDIA_TYPE, BatchAnswer, BatchCommand, BatchOutcome};
pub use change::{
    Blocker, ChangeEvent, ChangeKind, ChangeList, ChangeRecord, NodeReadiness, PlanRequest, Planned, Stage,
    StepRequest, StepTaken,
};
pub use command::{
    CommandOutcome, CommandReply, QueryOutcome, QueryReply, SEQUENCE_HEADER, SESSION_HEADER, SessionOpened,
};
pub use error::{ErrorInfo, ErrorList};
pub use event::{EventRecord, EventsParameters, StreamInfo, StreamList};
pub use manifest::{CommandSpec, Manifest, ManifestError, Named, TableList, TableSpec};
pub use row::{Consistency, ConsistencyParameter, InvalidConsistency, Row, RowAnswer, Rows, RowsParameters};
pub use snapshot::{PieceParameters, SnapshotFile, SnapshotRecord, VerifyRecord};
pub use status::{Health, Member, MemberList, Role, Status};
pub use watch::{WatchRecord, Watched};
