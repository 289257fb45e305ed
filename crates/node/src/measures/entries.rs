use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use environment::Moment;
use machine::Index;

use crate::limits::ENTRY_TIMES;

/// When an entry came how far on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryTimes {
    /// Its commands were packed and it was proposed; only where it was.
    pub packed: Option<Moment>,
    /// It was durable in this node's own log.
    pub appended: Option<Moment>,
    /// It was known to be committed.
    pub committed: Option<Moment>,
    /// Its apply began.
    pub apply_begun: Option<Moment>,
    /// Its apply ended.
    pub applied: Option<Moment>,
}

/// How far an entry has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// See [`EntryTimes::packed`].
    Packed,
    /// See [`EntryTimes::appended`].
    Appended,
    /// See [`EntryTimes::committed`].
    Committed,
    /// See [`EntryTimes::apply_begun`].
    ApplyBegun,
    /// See [`EntryTimes::applied`].
    Applied,
}

/// The times of the last entries. Written by whoever brings an entry one stage on, each on a thread of its own, without a
/// lock; what is asked for too late is gone.
#[derive(Debug)]
pub struct Entries(Box<[[Stamp; 5]]>);

/// A time, and the index that it is of. The index is written last and read twice, so that a time is never taken for
/// another entry's.
#[derive(Debug, Default)]
struct Stamp {
    index: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Default for Entries {
    fn default() -> Self {
        Entries((0..ENTRY_TIMES).map(|_| Default::default()).collect())
    }
}

impl Entries {
    fn slot(&self, index: Index) -> &[Stamp; 5] {
        &self.0[(index.0 % self.0.len() as u64) as usize]
    }

    /// An entry has come to a stage.
    pub fn note(&self, index: Index, stage: Stage, at: Moment) {
        let stamp = &self.slot(index)[stage as usize];
        stamp.index.store(0, Ordering::Release);
        let nanoseconds = u64::try_from(at.0.as_nanos()).unwrap_or(u64::MAX);
        stamp.nanoseconds.store(nanoseconds, Ordering::Release);
        stamp.index.store(index.0, Ordering::Release);
    }

    /// What is known of an entry.
    pub fn times(&self, index: Index) -> EntryTimes {
        let slot = self.slot(index);
        let at = |stage: Stage| slot[stage as usize].read(index);
        EntryTimes {
            packed: at(Stage::Packed),
            appended: at(Stage::Appended),
            committed: at(Stage::Committed),
            apply_begun: at(Stage::ApplyBegun),
            applied: at(Stage::Applied),
        }
    }
}

impl Stamp {
    fn read(&self, index: Index) -> Option<Moment> {
        if index.0 == 0 || self.index.load(Ordering::Acquire) != index.0 {
            return None;
        }
        let nanoseconds = self.nanoseconds.load(Ordering::Acquire);
        let still = self.index.load(Ordering::Acquire) == index.0;
        still.then(|| Moment(Duration::from_nanos(nanoseconds)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entries_are_known_and_older_ones_are_not_taken_for_them() {
        let entries = Entries::default();
        let at = |milliseconds| Moment(Duration::from_millis(milliseconds));
        entries.note(Index(7), Stage::Appended, at(3));
        entries.note(Index(7), Stage::Applied, at(5));
        let known = entries.times(Index(7));
        assert_eq!(
            (known.appended, known.applied, known.committed),
            (Some(at(3)), Some(at(5)), None)
        );
        let later = Index(7 + ENTRY_TIMES as u64);
        assert_eq!(entries.times(later), EntryTimes::default());
        entries.note(later, Stage::Appended, at(9));
        assert_eq!(entries.times(Index(7)).appended, None);
        assert_eq!(entries.times(Index(7)).applied, Some(at(5)));
        assert_eq!(entries.times(Index(0)), EntryTimes::default());
    }
}
