//! The deterministic half of Seachange: what stands in the log and what it means.
//!
//! Entries, apply, sessions, applications and their versions, changes and their planners, manifests, tables and shapes,
//! streams' positions, limits; and, as traits, the [ports](crate::Applications) that it needs. It never knows a clock,
//! chance, a disk, a network, a WASM engine or a Raft library, and it uses no other crate of ours: the same log from the
//! same start gives the same state and the same streams, byte for byte.

mod apply;
mod catalog;
pub mod change;
pub mod codec;
mod collection;
mod comparison;
mod consumers;
mod contract;
mod conversion;
mod digest;
mod entry;
mod event_contract;
mod ids;
pub mod limits;
mod machine;
pub mod manifest;
mod ports;
mod read;
mod refound;
mod rehearsal;
mod reply;
mod safeguards;
mod sessions;
mod skip;
mod standing;
mod usage;
mod verification;

#[cfg(test)]
#[path = "../../../testing/allocations.rs"]
mod allocations;
#[cfg(test)]
mod hostile;
#[cfg(test)]
#[path = "../../../testing/mutations.rs"]
mod mutations;

pub use catalog::{
    Application, ApplicationVersion, Blocker, Catalog, Change, ChangeEvent, Module, Node, Removed, Stage,
};
pub use collection::{DropModule, LetGo};
pub use comparison::{Comparison, Difference};
pub use consumers::{Consumer, Consumers};
pub use contract::{CommandSchema, Contract, Miscast, TRANSFORM, Upcast, compiles, transform};
pub use conversion::{Conversion, Conversions, ConvertRows, SteerConversion, Unconverted, next_batch};
pub use digest::StateDigest;
pub use entry::{
    Body, ChangeStep, Claim, Code, CommitConsumer, ENTRY_FORMAT, Entry, Genesis, ModuleChunk, NodeReady,
    PackedRequests, PinConsumer, PlanApplication, PlanGuarded, PurgeApplication, Readiness, RegisterNode,
    RemoveApplication, RemoveConsumer, ReportDigest, Request, RequestView, Step, TrimStreams, pack,
};
pub use event_contract::{Downcast, EVENT_VERSION_FIRST, EventContract, WayDown};
pub use ids::{
    ChangeId, ClusterId, Digest, Index, Level, MeterNumber, NodeId, Offset, Sequence, SessionId, Shape, TableId, Term,
    TimeMs, Version,
};
pub use machine::{LEVEL_MAX, Machine, NODE_TABLE, Output, SYSTEM_TABLE, Stop, World};
pub use manifest::Manifest;
pub use ports::{
    Applications, BatchPage, Call, CallError, CallOutcome, Cluster, Consistency, Context, CopyId, CopyListing,
    CopySnapshot, Decision, End, Event, EventPage, EventView, Lossy, MemberStatus, Misuse, Pair, Pending, Read,
    ReadAnswer, ReadError, ReadValue, Rehearser, Role, Row, Scanned, SnapshotFile, SnapshotListing, StateError,
    StateRead, StateTxn, Status, StreamStatus, SubmitError, TOGETHER_BYTES_MAX, TOGETHER_COMMANDS_MAX, Trap, Trial,
};
pub use refound::refound;
pub use rehearsal::{
    Aspect, DeclaredDifference, Expected, Findings, OpenWindow, Rehearsal, RehearsalPlan, Rehearsed, Sample, Window,
};
pub use reply::{Failure, FailureCode, Outcome, Reply};
pub use safeguards::{AutomaticRevert, Guarded, Safeguards};
pub use skip::{SkipEntry, Skipped, skip_in};
pub use standing::{RowSums, Standing};
pub use usage::Usage;
pub use verification::{AssignVerification, Verification, Verified, VerifiedRows, verify_rows};
