//! The oracles that look all along: digests, elections, and the committed log.

use std::collections::BTreeMap;

use ::machine::{Index, Role, StateDigest, Status, Term};
use store::log::{Log, Record};
use xxhash_rust::xxh3::xxh3_64;

use crate::fleet::{Machine, Number};
use crate::world::LifeId;

/// Bytes of the log that are read at once.
const READ_BYTES: usize = 1 << 20;

/// What was seen of one process so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    life: Option<LifeId>,
    began: u64,
    applied: Index,
    compared: Index,
}

/// Everything seen so far, of all nodes.
#[derive(Default)]
pub struct Watch {
    /// By index, with the node that showed it first.
    digests: BTreeMap<Index, (StateDigest, Number)>,
    leaders: BTreeMap<Term, Number>,
    /// Term and hash of each committed entry.
    log: BTreeMap<Index, (Term, u64, Number)>,
    seen: BTreeMap<Number, Seen>,
}

/// The name of an oracle, and what it saw.
pub type Finding = (&'static str, String);

impl Watch {
    /// Looks at a node as it is now.
    ///
    /// # Errors
    /// What does not hold.
    pub fn look(&mut self, machine: &Machine) -> Result<(), Finding> {
        let (cluster, log, began) = {
            let shown = machine.shown.lock();
            let (Some(cluster), Some(log)) = (shown.cluster.clone(), shown.log.clone()) else {
                return Ok(());
            };
            (cluster, log, shown.began)
        };
        let number = machine.number;
        let life = machine.life.as_ref().map(|life| life.id);
        let seen = self.seen.entry(number).or_default();
        if (seen.life, seen.began) != (life, began) {
            *seen = Seen {
                life,
                began,
                ..Seen::default()
            };
        }
        let before = *seen;
        let status = cluster.status();
        self.check_leader(number, &status)?;
        if status.applied != before.applied {
            self.check_digest(number, &before, &status)?;
        }
        let compared = self.compare_log(number, before.compared, &status, &log)?;
        if let Some(seen) = self.seen.get_mut(&number) {
            seen.applied = status.applied;
            seen.compared = compared;
        }
        Ok(())
    }

    /// Election safety: a term has one leader at most (Raft, figure 3).
    fn check_leader(&mut self, number: Number, status: &Status) -> Result<(), Finding> {
        if status.role != Role::Leader {
            return Ok(());
        }
        let first = *self.leaders.entry(status.term).or_insert(number);
        if first != number {
            let what = format!("nodes {first} and {number} both led in term {}", status.term);
            return Err(("election safety", what));
        }
        Ok(())
    }

    fn check_digest(&mut self, number: Number, before: &Seen, status: &Status) -> Result<(), Finding> {
        let applied = status.applied;
        if applied < before.applied {
            let what = format!("node {number} went back from entry {} to {applied}", before.applied);
            return Err(("applied in order", what));
        }
        let (digest, first) = *self.digests.entry(applied).or_insert((status.digest, number));
        if digest != status.digest {
            let what = format!("nodes {first} and {number} differ as of entry {applied}");
            return Err(("equal digests", what));
        }
        Ok(())
    }

    /// A committed entry is the same everywhere, and for ever (Raft, figure 3: log matching and leader completeness).
    fn compare_log(&mut self, number: Number, from: Index, status: &Status, log: &Log) -> Result<Index, Finding> {
        let last = log.last().map_or(Index(0), |(last, _)| last).min(status.committed);
        let mut next = from.next().max(log.first());
        while next <= last {
            // What cannot be read is the node's own affair: it says so itself.
            let Ok(records) = log.read(next, last.next(), READ_BYTES) else {
                return Ok(last);
            };
            if records.is_empty() {
                break;
            }
            for record in records {
                next = record.index.next();
                self.compare(number, &record)?;
            }
        }
        Ok(last.max(from))
    }

    fn compare(&mut self, number: Number, record: &Record) -> Result<(), Finding> {
        let found = (record.term, xxh3_64(&record.payload));
        let (term, hash, first) = *self.log.entry(record.index).or_insert((found.0, found.1, number));
        if (term, hash) != found {
            let what = format!(
                "entry {} is of term {term} at node {first} and of term {} at node {number}",
                record.index, record.term
            );
            return Err(("committed entries stay", what));
        }
        Ok(())
    }

    /// The last entry that any node has shown as committed.
    #[must_use]
    pub fn committed(&self) -> Index {
        self.log.keys().next_back().copied().unwrap_or_default()
    }
}
