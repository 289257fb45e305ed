//! Version 1 of the public API: the JSON bodies under `/v1`.

mod application;
mod batch;
mod change;
mod command;
mod consumer;
mod content;
mod conversion;
mod copy;
mod dry_run;
mod entry;
mod error;
mod event;
mod manifest;
pub(crate) mod record_batch;
mod rehearsal;
mod row;
#[cfg(feature = "openapi")]
mod schema;
mod snapshot;
mod status;
mod stream;
mod trace;
mod watch;

pub use application::{
    ApplicationInfo, ApplicationList, ApplicationPurged, ApplicationRemoved, CodeSource, CommandUsage, ConsumerUsage,
    ModuleStored, RemovalRequest, RemovedAt, UsageList, VersionInfo, VersionSwitch,
};
pub use batch::{BATCH_MEDIA_TYPE, BatchAnswer, BatchCommand, BatchOutcome};
pub use change::{
    Blocker, ChangeEvent, ChangeKind, ChangeList, ChangeRecord, NodeReadiness, PlanRequest, Planned, RevertedAt, Stage,
    StepRequest, StepTaken,
};
pub use command::{
    CommandOutcome, CommandReply, QueryOutcome, QueryReply, SEQUENCE_HEADER, SESSION_HEADER, SessionOpened,
};
pub use consumer::{
    CommitRequest, ConsumerCommitted, ConsumerList, ConsumerPinned, ConsumerRecord, ConsumerRemoved, PinRequest,
};
pub use conversion::{ConversionRecord, ConversionRequest, ConversionSteered, UnconvertedRow, VerifiedRecord};
pub use copy::{CopiedSnapshot, CopyRecord, EntriesParameters};
pub use dry_run::{Check, DryRun, Forecast, StepAhead, Verdict};
pub use entry::{SkipDecided, SkipRequest, SkippedEntry, SkippedList};
pub use error::{ErrorInfo, ErrorList};
pub use event::{EventRecord, EventsParameters};
pub use manifest::{
    CommandSpec, DifferenceSpec, DowncastSpec, Manifest, ManifestError, Named, SchemaSpec, StreamSpec, TableList,
    TableSpec, UpcastSpec,
};
pub use record_batch::{RECORD_BATCH_MEDIA_TYPE, RecordBatch, heartbeat, whole_bytes};
pub use rehearsal::{DifferenceRecord, RehearsalRecord, RehearsalRequest};
pub use row::{Consistency, ConsistencyParameter, InvalidConsistency, Row, RowAnswer, Rows, RowsParameters};
pub use snapshot::{PieceParameters, SnapshotFile, SnapshotRecord, VerifyRecord};
pub use status::{Health, Member, MemberList, Role, Status};
pub use stream::{
    STREAM_END_HEADER, STREAM_FROM_HEADER, STREAM_START_HEADER, StreamList, StreamRecord, StreamTrimmed, TrimRequest,
};
pub use trace::{StageName, TRACE_HEADER, TRACEPARENT_HEADER, Trace, TraceList, TraceStage};
pub use watch::{WatchRecord, Watched};
