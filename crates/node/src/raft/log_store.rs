//! Our log as the Raft crate's storage.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use machine::{Index, NodeId, Term};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use store::log::{Log, Vote as StoredVote};

use super::codec;
use super::types::{Entry, LogId, Types, Vote, from_log_id, to_index, to_log_id};
use crate::limits::APPEND_BYTES_MAX;
use crate::measures::Measures;
use crate::progress::Progress;
use crate::retained::Retained;

/// Our log as the Raft crate's storage.
#[derive(Clone)]
pub struct LogStore {
    log: Log,
    /// Told how far the log is durable here, so that nothing beyond it is applied.
    flushed: Arc<Progress>,
    /// What of it is not let go of yet.
    retained: Retained,
    measures: Arc<Measures>,
}

impl LogStore {
    /// Over an open log.
    pub fn new(log: Log, flushed: Arc<Progress>, retained: Retained, measures: Arc<Measures>) -> LogStore {
        flushed.advance(log.flushed().unwrap_or_default());
        LogStore {
            log,
            flushed,
            retained,
            measures,
        }
    }

    fn entries(&self, from: Index, to: Index, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if from >= to {
            return Ok(Vec::new());
        }
        let records = self.log.read(from, to, bytes_max).map_err(io::Error::other)?;
        decoded(records)
    }
}

fn decoded(records: Vec<store::log::Record>) -> io::Result<Vec<Entry>> {
    let entries = records.into_iter().map(codec::from_record);
    entries.map(|entry| entry.map_err(io::Error::other)).collect()
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let to = match range.end_bound() {
            Bound::Included(end) => end + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.log.last().map_or(0, |(index, _)| index.0),
        };
        let (mut next, end) = (to_index(from), to_index(to));
        let mut entries = Vec::new();
        while next < end {
            let some = self.entries(next, end, APPEND_BYTES_MAX)?;
            if some.is_empty() {
                // What the Raft crate was to apply was taken by a disk that failed: it must not go on without.
                match self.log.failed() {
                    Some(error) => return Err(error),
                    None => break,
                }
            }
            next.0 += some.len() as u64;
            entries.extend(some);
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let start = to_index(start);
        // Of a peer that has fallen back behind what is kept a stream may still ask for what was purged meanwhile. It is to
        // get a snapshot, and the Raft crate takes no entries for none that it can have; an error would end it.
        if start >= to_index(end) {
            return Ok(Vec::new());
        }
        match self.log.read(start, to_index(end), APPEND_BYTES_MAX) {
            Err(store::log::Error::Purged { .. }) => Ok(Vec::new()),
            Err(error) => Err(io::Error::other(error)),
            Ok(records) => decoded(records),
        }
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let stored = self.log.read_vote();
        Ok(stored.map(|vote| {
            let node = vote.node.map_or(0, |node| node.0);
            let mut read = Vote::new(vote.term.0, node);
            read.committed = vote.committed;
            read
        }))
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let last_log_id = self.log.last().and_then(|(index, term)| to_log_id(index, term));
        let last_purged_log_id = self.log.purged().and_then(|(index, term)| to_log_id(index, term));
        Ok(LogState {
            last_purged_log_id,
            last_log_id,
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let stored = StoredVote {
            term: Term(vote.leader_id.term),
            node: Some(NodeId(vote.leader_id.voted_for)),
            committed: vote.committed,
        };
        self.log.save_vote(stored).map_err(io::Error::other)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let committed = committed.as_ref().map(from_log_id);
        self.log.save_committed(committed).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        // The store gives it no further than its log reaches: a saved index past a lost tail would be fatal.
        let stored = self.log.read_committed();
        Ok(stored.and_then(|(index, term)| to_log_id(index, term)))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<_> = entries.into_iter().map(codec::to_record).collect();
        let (flushed, log, measures) = (self.flushed.clone(), self.log.clone(), self.measures.clone());
        let ends = records.first().zip(records.last());
        let appended = ends.map(|(first, last)| first.index.0..=last.index.0);
        let done = move |result: io::Result<()>| {
            match &result {
                Ok(()) => {
                    appended.into_iter().for_each(|entries| measures.appended(entries));
                    // What the log says: these very records may have been truncated meanwhile.
                    flushed.set(log.flushed().unwrap_or_default());
                }
                // Whoever waits for it waits in vain.
                Err(_) => flushed.close(),
            }
            callback.io_completed(result);
        };
        self.log.append(records, Box::new(done));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let last = last.map(|id| to_index(id.index));
        let (done, wait) = environment::channel::oneshot::channel();
        let flushed = self.flushed.clone();
        let result = move |result: io::Result<()>| {
            flushed.set(last.unwrap_or_default());
            // Nobody waits any more when the node is stopping.
            done.send(result).ok();
        };
        self.log.truncate_after(last, Box::new(result));
        wait.await
            .unwrap_or_else(|_| Err(io::Error::other("the log has stopped")))
    }

    async fn purge(&mut self, through: LogId) -> Result<(), io::Error> {
        let (index, term) = from_log_id(&through);
        let (done, wait) = environment::channel::oneshot::channel();
        // Nobody waits any more when the node is stopping.
        self.retained
            .purge(index, term, Box::new(move |result| drop(done.send(result))));
        wait.await
            .unwrap_or_else(|_| Err(io::Error::other("the log has stopped")))
    }
}

#[cfg(test)]
mod tests {
    use environment::real;
    use machine::ClusterId;
    use store::log::{Identity, LogOptions};

    use super::*;
    use crate::snapshots::Keeper;

    #[tokio::test]
    async fn what_was_purged_meanwhile_is_no_error_for_a_stream_that_still_asks_for_it() {
        let environment = real::environment();
        let directory = tempfile::tempdir().expect("a directory");
        let identity = Identity {
            cluster: ClusterId(7),
            node: NodeId(1),
        };
        let opened = Log::open(&environment, directory.path(), identity, LogOptions::default()).expect("a log");
        let measures = Arc::new(Measures::new(NodeId(1), environment.clock.clone()));
        let keeper = Keeper::open(environment.disk.clone(), directory.path(), ClusterId(7)).expect("it opens");
        let retained = Retained::new(opened.log.clone(), keeper, 0);
        let mut store = LogStore::new(opened.log.clone(), Arc::default(), retained, measures);
        let id = |index| to_log_id(to_index(index), Term(1)).expect("an id");
        let entries = (0..10).map(|index| Entry {
            log_id: id(index),
            payload: openraft::EntryPayload::Blank,
        });
        store.append(entries, IOFlushed::noop()).await.expect("appended");
        store.purge(id(5)).await.expect("purged");
        let read = store.limited_get_log_entries(4, 10).await.expect("no error");
        assert_eq!(read.len(), 0);
        let read = store.limited_get_log_entries(6, 10).await.expect("what is there");
        assert_eq!(read.len(), 4);
        opened.log.shutdown().await;
    }
}
