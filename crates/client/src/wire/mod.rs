//! The public API as bytes: JSON bodies ([`v1`], re-exported here), problems, and the framed protocol ([`frames`]).
//!
//! These types belong to the API and to nothing else: servers convert their own types into them, and what they look
//! like as bytes is kept for as long as their version is served. Whoever reads an answer ignores fields it does not
//! know; whoever is asked refuses them where guessing could do harm (manifests, plans).

mod code;
pub mod frames;
pub mod limits;
mod problem;
pub mod v1;

pub use code::{Code, Retry};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
pub use v1::{
    ApplicationInfo, ApplicationList, BATCH_MEDIA_TYPE, BatchAnswer, BatchCommand, BatchOutcome, Blocker, ChangeEvent,
    ChangeKind, ChangeList, ChangeRecord, CodeSource, CommandOutcome, CommandReply, CommandSpec, CommitRequest,
    Consistency, ConsistencyParameter, ConsumerCommitted, ConsumerList, ConsumerRecord, ConsumerRemoved, ErrorInfo,
    ErrorList, EventRecord, EventsParameters, Health, InvalidConsistency, Manifest, ManifestError, Member, MemberList,
    ModuleStored, Named, NodeReadiness, PieceParameters, PlanRequest, Planned, QueryOutcome, QueryReply, RevertedAt,
    Role, Row, RowAnswer, Rows, RowsParameters, SEQUENCE_HEADER, SESSION_HEADER, STREAM_END_HEADER, STREAM_FROM_HEADER,
    STREAM_START_HEADER, SessionOpened, SnapshotFile, SnapshotRecord, Stage, Status, StepRequest, StepTaken,
    StreamList, StreamRecord, StreamTrimmed, TableList, TableSpec, TrimRequest, UpcastSpec, VerifyRecord, VersionInfo,
    VersionSwitch, WatchRecord, Watched,
};
pub use v1::{
    ApplicationPurged, ApplicationRemoved, CommandUsage, ConsumerUsage, RemovalRequest, RemovedAt, UsageList,
};
pub use v1::{Check, DryRun, Forecast, StepAhead, Verdict};
pub use v1::{ConsumerPinned, DifferenceSpec, DowncastSpec, PinRequest, SchemaSpec, StreamSpec};
pub use v1::{ConversionRecord, ConversionRequest, ConversionSteered, UnconvertedRow, VerifiedRecord};
pub use v1::{CopiedSnapshot, CopyRecord, EntriesParameters};
pub use v1::{DifferenceRecord, RehearsalRecord, RehearsalRequest};
pub use v1::{RECORD_BATCH_MEDIA_TYPE, RecordBatch, heartbeat, whole_bytes};
pub use v1::{SkipDecided, SkipRequest, SkippedEntry, SkippedList};
pub use v1::{StageName, TRACE_HEADER, TRACEPARENT_HEADER, Trace, TraceList, TraceStage};
