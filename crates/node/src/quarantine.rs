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

/// What is known of the entry at which this node last failed.
pub struct Quarantine {
    condition: Condition,
    fault: Option<Fault>,
}

impl Quarantine {
    /// As it was noted in the data directory.
    ///
    /// # Errors
    /// The note cannot be read.
    pub fn read(condition: &Condition) -> Result<Quarantine, store::format::Error> {
        Ok(Quarantine {
            condition: condition.clone(),
            fault: fault::read(&**condition.disk(), condition.data())?,
        })
    }

    /// Does the work on an entry, unless that has stopped this node too often.
    ///
    /// # Errors
    /// Those of the work; [`Stop::Fault`] when it panics, [`Stop::Park`] when it is not to be done.
    pub fn guard<T>(&self, index: Index, work: impl FnOnce() -> Result<T, Stop>) -> Result<T, Stop> {
        if let Some(fault) = self.fault.as_ref().filter(|fault| is_final(fault, index)) {
            return Err(Stop::Park(format!(
                "entry {index} has stopped this node {} times, the last time with: {}. That is a fault of this program and not \
                 of the application. The node keeps its log and votes, and applies nothing more until it is started with a \
                 binary of another version than {BINARY}; to let this one try again, stop the node, remove the file \
                 {FAULT_FILE} from its data directory, and start it",
                fault.stops, fault.reason
            )));
        }
        catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Stop::Fault(said(&*panic))))
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
        if self.fault.as_ref().is_none_or(|fault| fault.index > index) {
            return;
        }
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
    is_same(fault, index) && fault.stops >= STOPS_MAX
}

/// What a panic says.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a panic: {}", text.unwrap_or("it says nothing"))
}
