//! An entry at which this program itself fails: it must not fell the node again and again.
//!
//! Each time, the entry is noted in the data directory before the node stops. Once it has stopped the node twice, the node
//! parks in front of it instead: it keeps its log and votes, and says why it applies nothing more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use machine::{Index, Stop};
use store::format::fault::{self, FAULT_FILE, Fault};

use crate::condition::Condition;

/// So often may an entry stop the node.
const STOPS_MAX: u64 = 2;
/// Of what a fault says of itself, so many bytes are kept.
const REASON_BYTES_MAX: usize = 1024;
/// Another binary may do better, and tries.
const BINARY: &str = env!("CARGO_PKG_VERSION");

/// Noted for an entry that is decided to be skipped: no binary may try it.
const SKIPPED: u64 = u64::MAX;

/// What is known of the entry at which this node last failed.
pub struct Quarantine {
    condition: Condition,
    fault: Option<Fault>,
}

impl Quarantine {
    /// As it was noted in the data directory of a node that has applied as much as that.
    ///
    /// # Errors
    /// The note cannot be read.
    pub fn read(condition: &Condition, applied: Index) -> Result<Quarantine, store::format::Error> {
        let mut quarantine = Quarantine {
            condition: condition.clone(),
            fault: fault::read(&**condition.disk(), condition.data())?,
        };
        if quarantine.fault.as_ref().is_some_and(|fault| fault.index <= applied) {
            quarantine.forget();
        }
        Ok(quarantine)
    }

    /// The node's condition.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Whether the program may not try this entry again.
    pub fn stands_at(&self, index: Index) -> bool {
        self.fault.as_ref().is_some_and(|fault| is_final(fault, index))
    }

    /// Does the work on an entry, unless that has stopped this node too often.
    ///
    /// # Errors
    /// Those of the work; [`Stop::Fault`] when it panics, [`Stop::Park`] when it is not to be done.
    pub fn guard<T>(&self, index: Index, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        if let Some(fault) = self.fault.as_ref().filter(|fault| is_final(fault, index)) {
            return Err(Stop::Park(parked(fault, index)));
        }
        catch(work)
    }

    /// Passes an entry by, and notes it first.
    ///
    /// # Errors
    /// Those of the work; [`Stop::Fault`] when it panics; [`Stop::Halt`] when it cannot be noted.
    pub fn skip<T>(&mut self, index: Index, by: Index, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        self.note_skip(index, by)
            .map_err(|error| Stop::Halt(error.to_string()))?;
        catch(work)
    }

    /// Notes that entry `by` decides to skip an entry: the decision stands behind it, and need not be known yet when the entry
    /// is met again after a restart from an older checkpoint.
    ///
    /// # Errors
    /// The disk failed.
    pub fn note_skip(&mut self, index: Index, by: Index) -> Result<(), store::format::Error> {
        // What is known of a later entry is counted on: that one could never be skipped otherwise.
        if self.fault.as_ref().is_some_and(|noted| noted.index > index) {
            return Ok(());
        }
        let fault = Fault {
            index,
            stops: SKIPPED,
            binary: BINARY.to_owned(),
            reason: format!("skipped by the decision in entry {by}"),
        };
        if self.fault.as_ref() != Some(&fault) {
            fault::write(&**self.condition.disk(), self.condition.data(), &fault)?;
            self.fault = Some(fault);
        }
        Ok(())
    }

    /// Notes, before the node stops, at which entry it failed.
    pub fn note(&mut self, index: Index, reason: &str) {
        let before = self.fault.take().filter(|fault| is_same(fault, index));
        let mut reason = reason.to_owned();
        reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
        let fault = Fault {
            index,
            stops: before.map_or(0, |fault| fault.stops).saturating_add(1),
            binary: BINARY.to_owned(),
            reason,
        };
        if let Err(error) = fault::write(&**self.condition.disk(), self.condition.data(), &fault) {
            tracing::warn!(%error, "the entry that stops this node could not be noted");
        }
        self.fault = Some(fault);
    }

    /// The entry has been applied.
    pub fn passed(&mut self, index: Index) {
        let over = |fault: &Fault| fault.index <= index && fault.stops != SKIPPED;
        if self.fault.as_ref().is_some_and(over) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.fault = None;
        let note = self.condition.data().join(FAULT_FILE);
        if let Err(error) = self.condition.disk().remove_file(&note) {
            tracing::warn!(%error, "the note of an entry that no longer stops this node could not be removed");
        }
    }
}

fn is_same(fault: &Fault, index: Index) -> bool {
    fault.index == index && fault.binary == BINARY
}

fn is_final(fault: &Fault, index: Index) -> bool {
    let skipped = fault.index == index && fault.stops == SKIPPED;
    skipped || is_same(fault, index) && fault.stops >= STOPS_MAX
}

fn parked(fault: &Fault, index: Index) -> String {
    let Fault { stops, reason, .. } = fault;
    if *stops == SKIPPED {
        return format!("entry {index} is {reason}, which this node has yet to be sent again");
    }
    format!(
        "entry {index} has stopped this node {stops} times, the last time with: {reason}. That is a fault of this program and \
         not of the application. The node keeps its log and votes, and applies nothing more until it is started with a binary \
         of another version than {BINARY}; to let this one try again, stop the node, remove the file {FAULT_FILE} from its \
         data directory, and start it; where all nodes stand here and no binary is mended, `seachange entry skip {index}` has \
         all of them pass the entry by"
    )
}

fn catch<T>(work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Stop::Fault(said(&*panic))))
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("it says nothing"))
}
