//! Replay: the log of a node that does not run, applied again in memory by the real machine and the real host.
//!
//! It proves that it comes to what production came to, shows where the rules changed, and can ask what another version
//! would have made of the same commands. It writes nothing where it reads.

mod archive;
mod candidate;
mod copy;
mod error;
mod player;
mod proof;
mod recording;
mod replaying;
mod rules;
mod tables;
mod untouched;
mod what_if;

pub use archive::{Archive, Checkpointed, start};
pub use candidate::Candidate;
pub use copy::{LogCopy, SnapshotCopy, discard};
pub use error::Error;
pub use proof::{Proof, Witness};
pub use recording::{RecordedEntry, Recording, Trial, Tried};
pub use replaying::{First, Replay, Step};
pub use rules::RuleChange;
pub use tables::{RowDiffers, RowRead, TableCompared};
pub use what_if::{Compared, EmittedEvent, EventsDiffer, OutcomesDiffer, WhatIf};
