//! What the deterministic half needs of the world, as traits that others implement.

mod applications;
mod cluster;
mod copy;
mod rehearser;
mod state;

pub use applications::{Applications, Call, CallError, CallOutcome, Context, Misuse, Pair, Trap};
pub use cluster::{
    BatchPage, Cluster, Consistency, Decision, Event, EventPage, EventView, MemberStatus, Pending, Read, ReadAnswer,
    ReadError, ReadValue, Role, Scanned, SnapshotFile, SnapshotListing, Status, StreamStatus, SubmitError,
    TOGETHER_BYTES_MAX, TOGETHER_COMMANDS_MAX,
};
pub use copy::{CopyId, CopyListing, CopySnapshot};
pub use rehearser::{End, Lossy, Rehearser, Trial};
pub use state::{Row, StateError, StateRead, StateTxn};
