//! What a node counts and times of itself, to be shown. Nothing is decided by it.

mod entries;
mod page;
mod peers;
mod watch;

use std::sync::Arc;

use environment::measure::{Counter, Gauge, Histogram, Rarely};
use environment::{Clock, Moment};
use machine::{Entry, FailureCode, Index, NodeId, Outcome, Output, SubmitError};
use tracing::{error, info, warn};

pub use entries::{Entries, EntryTimes, Stage};
pub use page::Observed;
pub use peers::{PeerMeasures, PeersMeasures};
pub use watch::GroupWatch;

use crate::limits::{APPLY_SLOW, CHECKPOINT_SLOW, OVERLOAD_AGAIN};
use crate::raft::{Applied, Committed, What};

/// What a node counts and times of itself.
pub struct Measures {
    /// Whose they are.
    pub node: NodeId,
    /// What they are timed by.
    pub clock: Arc<dyn Clock>,
    /// When the last entries came how far.
    pub entries: Entries,
    /// Packing.
    pub driver: DriverMeasures,
    /// Why requests were not taken, or not answered.
    pub refused: RefusedMeasures,
    /// Raft.
    pub raft: RaftMeasures,
    /// Peers.
    pub peers: PeersMeasures,
    /// Applying.
    pub apply: ApplyMeasures,
    /// Compiling a module and trying it.
    pub compile: Histogram,
    /// Versions that could not be made ready.
    pub compile_failures: Counter,
}

/// Packing.
pub struct DriverMeasures {
    /// Commands in one entry.
    pub entry_commands: Histogram,
    /// Entries proposed and not yet applied.
    pub in_flight: Gauge,
}

/// Why requests were not taken, or not answered.
pub struct RefusedMeasures {
    pub not_leader: Counter,
    pub outcome_unknown: Counter,
    pub overloaded: Counter,
    pub too_large: Counter,
    pub unavailable: Counter,
    pub disk_full: Counter,
    overload: Rarely,
}

/// Raft.
#[derive(Default)]
pub struct RaftMeasures {
    /// Leaders that this node saw come after another one, or after none.
    pub leader_changes: Counter,
    /// Votes, by whether this node gave them: refused, granted.
    pub votes: [Counter; 2],
    /// Votes before an election, which bind nobody: refused, granted.
    pub pre_votes: [Counter; 2],
}

/// Applying.
pub struct ApplyMeasures {
    /// One entry.
    pub entry: Histogram,
    /// One command: its part of its entry.
    pub command: Histogram,
    /// Entries applied under one hold of the state.
    pub batch: Histogram,
    /// What came of commands.
    pub applied: Counter,
    /// See [`Outcome::Refused`].
    pub refused: Counter,
    /// See [`Outcome::SessionExpired`].
    pub session_expired: Counter,
    /// See [`Outcome::Failed`]; in order of [`FAILURES`].
    pub failed: [Counter; FAILURES.len()],
    /// Fuel spent by commands.
    pub fuel: Gauge,
    /// How often it parked.
    pub parks: Counter,
    /// Bytes of rows that the next checkpoint will write.
    pub dirty_bytes: Gauge,
    /// Writing a checkpoint.
    pub checkpoint: Histogram,
    /// Checkpoints that could not be written.
    pub checkpoint_failures: Counter,
}

/// Every kind of failure of a command.
pub const FAILURES: [FailureCode; 11] = [
    FailureCode::UnknownApplication,
    FailureCode::UnknownCommand,
    FailureCode::UnknownCommandVersion,
    FailureCode::Trapped,
    FailureCode::FuelExhausted,
    FailureCode::DepthExhausted,
    FailureCode::Misuse,
    FailureCode::TooLarge,
    FailureCode::MigrationFailed,
    FailureCode::EntrySkipped,
    FailureCode::CastFailed,
];

impl Measures {
    /// Of a node, timed by that clock.
    pub fn new(node: NodeId, clock: Arc<dyn Clock>) -> Measures {
        Measures {
            node,
            clock,
            entries: Entries::default(),
            driver: DriverMeasures {
                entry_commands: Histogram::counts(),
                in_flight: Gauge::default(),
            },
            refused: RefusedMeasures {
                not_leader: Counter::default(),
                outcome_unknown: Counter::default(),
                overloaded: Counter::default(),
                too_large: Counter::default(),
                unavailable: Counter::default(),
                disk_full: Counter::default(),
                overload: Rarely::every(OVERLOAD_AGAIN),
            },
            raft: RaftMeasures::default(),
            peers: PeersMeasures::default(),
            apply: ApplyMeasures {
                entry: Histogram::seconds(),
                command: Histogram::seconds(),
                batch: Histogram::counts(),
                applied: Counter::default(),
                refused: Counter::default(),
                session_expired: Counter::default(),
                failed: Default::default(),
                fuel: Gauge::default(),
                parks: Counter::default(),
                dirty_bytes: Gauge::default(),
                checkpoint: Histogram::seconds(),
                checkpoint_failures: Counter::default(),
            },
            compile: Histogram::seconds(),
            compile_failures: Counter::default(),
        }
    }

    /// Entries are durable in this node's log.
    pub fn appended(&self, entries: std::ops::RangeInclusive<u64>) {
        let now = self.clock.now();
        for index in entries {
            self.entries.note(Index(index), Stage::Appended, now);
        }
    }

    /// An entry is known to be committed.
    pub fn committed(&self, index: Index) {
        self.entries.note(index, Stage::Committed, self.clock.now());
    }

    /// An entry, whose apply began at `begun`, is applied: when it was. The next one's begins then.
    pub fn entry_applied(&self, committed: &Committed, begun: Moment, applied: &Applied) -> Moment {
        let index = committed.index;
        let now = self.clock.now();
        let took = now - begun;
        if took >= APPLY_SLOW {
            let kind = match &committed.what {
                What::Machine(payload) => Entry::kind_of(payload).unwrap_or_default(),
                What::Blank | What::Members(_) => 0,
            };
            let took_ms = took.as_millis();
            warn!(node = %self.node, %index, kind, took_ms, "an entry was slow to apply: all behind it waited");
        }
        self.entries.note(index, Stage::ApplyBegun, begun);
        self.entries.note(index, Stage::Applied, now);
        self.apply.entry.time(took);
        if let Applied::Output(Output::Replies(replies)) = applied {
            self.apply.command.time_each(took, replies.len() as u64);
            let of =
                |wanted: fn(&Outcome) -> bool| replies.iter().filter(|reply| wanted(&reply.outcome)).count() as u64;
            self.apply
                .applied
                .add(of(|outcome| matches!(outcome, Outcome::Applied(_))));
            self.apply
                .refused
                .add(of(|outcome| matches!(outcome, Outcome::Refused(_))));
            self.apply
                .session_expired
                .add(of(|outcome| matches!(outcome, Outcome::SessionExpired)));
            for reply in replies {
                if let Outcome::Failed(failure) = &reply.outcome
                    && let Some(at) = FAILURES.iter().position(|code| *code == failure.code)
                {
                    self.apply.failed[at].increment();
                }
            }
        }
        now
    }

    /// The applier has parked before an entry, for a reason that it was not parked for before.
    pub fn parked(&self, applied: Index, reason: &str) {
        self.apply.parks.increment();
        warn!(node = %self.node, index = %applied.next(), reason, "parked: not applying, still replicating");
    }

    /// The applier goes on.
    pub fn applying_again(&self, applied: Index) {
        info!(node = %self.node, index = %applied, "applying again");
    }

    /// Times the writing of a checkpoint.
    pub fn checkpoint<T>(&self, write: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
        let begun = self.clock.now();
        let written = write();
        let took = self.clock.now() - begun;
        match &written {
            Ok(_) => {
                self.apply.checkpoint.time(took);
                if took >= CHECKPOINT_SLOW {
                    let took_ms = took.as_millis();
                    warn!(node = %self.node, took_ms, "a checkpoint was slow to write: the disk is busy, or slow");
                }
            }
            Err(reason) => {
                self.apply.checkpoint_failures.increment();
                error!(node = %self.node, reason, "a checkpoint could not be written");
            }
        }
        written
    }

    /// A request was not taken, or not answered.
    pub fn refused(&self, error: &SubmitError) {
        let refused = &self.refused;
        match error {
            SubmitError::NotLeader { .. } => refused.not_leader.increment(),
            SubmitError::OutcomeUnknown(_) => refused.outcome_unknown.increment(),
            SubmitError::TooLarge(_) => refused.too_large.increment(),
            SubmitError::Unavailable(_) => refused.unavailable.increment(),
            // Told where it is found.
            SubmitError::DiskFull(_) => refused.disk_full.increment(),
            SubmitError::Overloaded(reason) => {
                refused.overloaded.increment();
                if let Some(also) = refused.overload.happened(self.clock.now()) {
                    warn!(node = %self.node, reason, also_since_the_last_line = also, "requests are refused: too much waits");
                }
            }
        }
    }
}
