//! What the applier shows to everybody else on this node.

use std::sync::Arc;

use machine::{Catalog, Comparison, Consumers, Index, Rehearsed, StateDigest, TimeMs};
use parking_lot::{Mutex, RwLock};

use crate::progress::Progress;

/// The machine as of its last entry, without its tables.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Applied so far.
    pub applied: Index,
    /// Log time.
    pub time: TimeMs,
    /// The digest.
    pub digest: StateDigest,
    /// Applications, changes, nodes.
    pub catalog: Arc<Catalog>,
    /// Named consumers.
    pub consumers: Arc<Consumers>,
    /// What nodes say of their digests.
    pub comparison: Arc<Comparison>,
    /// This node's own digest before the last mark.
    pub marked: Option<(Index, StateDigest)>,
    /// Why nothing is applied, if so.
    pub parked: Option<String>,
    /// The entry at which the program may not fail again, if that is why nothing is applied.
    pub failed_at: Option<Index>,
}

/// What the applier shows.
#[derive(Debug, Default)]
pub struct Published {
    facts: RwLock<Facts>,
    /// What this node found in a rehearsal, and has not said in the log yet.
    rehearsed: Mutex<Vec<Rehearsed>>,
    /// Moves with the applied index.
    pub applied: Progress,
    /// Woken when the catalog changes or the applier parks or goes on; its index means nothing.
    pub changed: Progress,
    /// Closed, once, when the node stops.
    pub stop: Progress,
}

impl Published {
    /// Shows the facts as they are now.
    pub fn publish(&self, facts: Facts) {
        let news = {
            let mut shown = self.facts.write();
            let news = !Arc::ptr_eq(&shown.catalog, &facts.catalog)
                || !Arc::ptr_eq(&shown.comparison, &facts.comparison)
                || shown.parked != facts.parked;
            *shown = facts;
            news
        };
        self.applied.set(self.facts.read().applied);
        if news {
            let count = self.changed.get().next();
            self.changed.set(count);
        }
    }

    /// Keeps what was found in a rehearsal for whoever says it in the log; shown with the next facts.
    pub fn keep_rehearsed(&self, found: Vec<Rehearsed>) {
        self.rehearsed.lock().extend(found);
    }

    /// What was kept since the last call.
    pub fn take_rehearsed(&self) -> Vec<Rehearsed> {
        std::mem::take(&mut self.rehearsed.lock())
    }

    /// All of them, as of one index.
    pub fn facts(&self) -> Facts {
        self.facts.read().clone()
    }

    /// The catalog.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.facts.read().catalog.clone()
    }

    /// Named consumers.
    pub fn consumers(&self) -> Arc<Consumers> {
        self.facts.read().consumers.clone()
    }

    /// Ends all waits.
    pub fn close(&self) {
        self.applied.close();
        self.changed.close();
        self.stop.close();
    }
}
