//! Committed entries on their way to the applier.
//!
//! The Raft crate must never wait for the applier, and a parked applier may take nothing for hours. So the queue keeps a
//! bounded number of entries; of those past it, it keeps only how far they go, and they are read from the log again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::channel::Notify;
use machine::{Index, SkipEntry, Term};
use openraft::EntryPayload;
use openraft::storage::ApplyResponder;
use parking_lot::Mutex;
use store::log::Record;

use super::codec;
use super::types::{Applied, Entry, Membership, Payload, Types, from_log_id};
use crate::limits::{APPLY_QUEUE_BYTES_MAX, APPLY_QUEUE_ENTRIES_MAX};
use crate::measures::Measures;

/// Answers the proposer of one entry. Consumed by the answer, which therefore cannot come before the entry is applied.
pub struct Responder(Option<ApplyResponder<Types>>);

impl Responder {
    /// For an entry that nobody here waits for.
    pub fn nobody() -> Responder {
        Responder(None)
    }

    /// Gives the answer, if this node proposed the entry and still has somebody waiting for it.
    pub fn send(self, applied: impl FnOnce() -> Applied) {
        if let Some(responder) = self.0 {
            responder.send(applied());
        }
    }
}

/// A committed entry.
pub struct Committed {
    /// Where it stands.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// What is to be applied.
    pub what: What,
    /// Who is to be answered.
    pub responder: Responder,
}

/// What is to be applied.
pub enum What {
    /// Nothing.
    Blank,
    /// An entry of the machine.
    Machine(bytes::Bytes),
    /// The members from here on.
    Members(Membership),
}

impl Committed {
    fn of(entry: Entry, responder: Option<ApplyResponder<Types>>) -> Committed {
        let (index, term) = from_log_id(&entry.log_id);
        let what = match entry.payload {
            EntryPayload::Blank => What::Blank,
            EntryPayload::Normal(Payload(bytes)) => What::Machine(bytes),
            EntryPayload::Membership(membership) => What::Members(membership),
        };
        Committed {
            index,
            term,
            what,
            responder: Responder(responder),
        }
    }

    /// An entry read from the log again.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn read(record: Record) -> Result<Committed, machine::codec::Error> {
        codec::from_record(record).map(|entry| Committed::of(entry, None))
    }

    /// The decision that it holds, if it is one to skip an entry before it.
    pub fn skip(&self) -> Option<SkipEntry> {
        match &self.what {
            What::Machine(payload) => machine::skip_in(payload).filter(|skip| skip.entry < self.index),
            What::Blank | What::Members(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match &self.what {
            What::Machine(payload) => payload.len(),
            What::Blank | What::Members(_) => 0,
        }
    }
}

/// What the applier is given next.
pub enum Batch {
    /// These entries.
    Entries(Vec<Committed>),
    /// The entries from the first to the last of these, which are to be read from the log.
    InLog(Index, Index),
}

enum Item {
    Entry(Committed),
    InLog(Index, Index),
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    bytes: usize,
}

/// The queue; cloning shares it.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// Entries that were decided to be skipped since the start, each with where that is decided: as few as operators decide.
    skips: Mutex<BTreeMap<Index, (Index, SkipEntry)>>,
    /// Whether there ever were any: asked for each entry.
    skips_known: AtomicBool,
    arrived: Notify,
    closed: AtomicBool,
    measures: Arc<Measures>,
}

impl Queue {
    /// With nothing in it.
    pub fn new(measures: Arc<Measures>) -> Queue {
        Queue(Arc::new(Shared {
            waiting: Mutex::default(),
            skips: Mutex::default(),
            skips_known: AtomicBool::new(false),
            arrived: Notify::new(),
            closed: AtomicBool::new(false),
            measures,
        }))
    }

    /// Entries that wait in memory, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let waiting = self.0.waiting.lock();
        (waiting.items.len(), waiting.bytes)
    }

    /// Takes an entry in, and never waits. False when the applier has ended.
    pub fn push(&self, entry: Entry, responder: Option<ApplyResponder<Types>>) -> bool {
        let committed = Committed::of(entry, responder);
        self.0.measures.committed(committed.index);
        if let Some(skip) = committed.skip() {
            // The first one holds: a later one finds it done.
            self.0.skips.lock().entry(skip.entry).or_insert((committed.index, skip));
            self.0.skips_known.store(true, Ordering::Release);
        }
        self.0.waiting.lock().push(committed);
        self.0.arrived.notify_one();
        !self.0.closed.load(Ordering::Acquire)
    }

    /// The decision to skip an entry, and where it stands, if it is known to be committed.
    pub fn skip_of(&self, entry: Index) -> Option<(Index, SkipEntry)> {
        match self.0.skips_known.load(Ordering::Acquire) {
            true => self.0.skips.lock().get(&entry).cloned(),
            false => None,
        }
    }

    /// The applier takes no more.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
    }

    /// The next entries, at most `count`, in order; waits for the first.
    pub async fn next(&self, count: usize) -> Batch {
        loop {
            if let Some(batch) = self.0.waiting.lock().take(count) {
                return batch;
            }
            self.0.arrived.notified().await;
        }
    }
}

impl Waiting {
    fn push(&mut self, committed: Committed) {
        let bytes = committed.bytes();
        let full = self.items.len() >= APPLY_QUEUE_ENTRIES_MAX || self.bytes + bytes > APPLY_QUEUE_BYTES_MAX;
        // Those that somebody here waits for are bounded where they are proposed.
        if !full || committed.responder.0.is_some() {
            self.bytes += bytes;
            self.items.push_back(Item::Entry(committed));
            return;
        }
        match self.items.back_mut() {
            Some(Item::InLog(_, last)) if last.next() == committed.index => *last = committed.index,
            Some(Item::InLog(..) | Item::Entry(_)) | None => {
                self.items.push_back(Item::InLog(committed.index, committed.index));
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Batch> {
        if let Some(Item::InLog(first, last)) = self.items.front_mut() {
            let (from, to) = (*first, Index(first.0 + count as u64 - 1).min(*last));
            *first = to.next();
            if to == *last {
                self.items.pop_front();
            }
            return Some(Batch::InLog(from, to));
        }
        let mut entries = Vec::new();
        while entries.len() < count && matches!(self.items.front(), Some(Item::Entry(_))) {
            if let Some(Item::Entry(committed)) = self.items.pop_front() {
                self.bytes -= committed.bytes();
                entries.push(committed);
            }
        }
        (!entries.is_empty()).then_some(Batch::Entries(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blank(index: u64) -> Committed {
        Committed {
            index: Index(index),
            term: Term(1),
            what: What::Blank,
            responder: Responder::nobody(),
        }
    }

    /// What comes out, as text: `1 2 3` for entries, `4..9` for a range to be read from the log.
    fn drain(waiting: &mut Waiting, count: usize) -> Vec<String> {
        let mut out = Vec::new();
        while let Some(batch) = waiting.take(count) {
            out.push(match batch {
                Batch::Entries(entries) => {
                    format!("{}..{}", entries[0].index, entries[entries.len() - 1].index)
                }
                Batch::InLog(first, last) => format!("log {first}..{last}"),
            });
        }
        out
    }

    #[test]
    fn past_its_limit_it_keeps_only_how_far_the_entries_go() {
        let mut waiting = Waiting::default();
        let most = APPLY_QUEUE_ENTRIES_MAX as u64;
        (1..=most + 100_000).for_each(|index| waiting.push(blank(index)));
        assert_eq!(waiting.items.len(), APPLY_QUEUE_ENTRIES_MAX + 1);
        let out = drain(&mut waiting, APPLY_QUEUE_ENTRIES_MAX + 50_000);
        assert_eq!(out[0], format!("1..{most}"));
        assert_eq!(out[1], format!("log {}..{}", most + 1, most + 100_000));
    }

    #[test]
    fn past_its_bytes_it_keeps_only_how_far_the_entries_go() {
        let entry = |index| Committed {
            what: What::Machine(vec![0; 1 << 20].into()),
            ..blank(index)
        };
        let most = (APPLY_QUEUE_BYTES_MAX >> 20) as u64;
        let mut waiting = Waiting::default();
        (1..=most + 3).for_each(|index| waiting.push(entry(index)));
        assert_eq!(waiting.bytes, APPLY_QUEUE_BYTES_MAX);
        let out = drain(&mut waiting, usize::MAX >> 1);
        assert_eq!(out, [format!("1..{most}"), format!("log {}..{}", most + 1, most + 3)]);
        assert_eq!(waiting.bytes, 0);
    }

    #[test]
    fn a_range_is_given_out_piece_by_piece_and_in_order_with_what_follows() {
        let mut waiting = Waiting::default();
        waiting.items.push_back(Item::InLog(Index(5), Index(12)));
        waiting.push(blank(13));
        assert_eq!(drain(&mut waiting, 4), ["log 5..8", "log 9..12", "13..13"]);
    }
}
