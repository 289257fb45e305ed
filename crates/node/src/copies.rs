//! Copies of this node's snapshots and log, taken off it while it runs to be replayed elsewhere: one at a time, in pages
//! that are read beside the driver, each after the one before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use environment::channel::Semaphore;
use environment::{Environment, Moment};
use machine::{ClusterId, CopyId, CopyListing, CopySnapshot, Index, NodeId, ReadError};
use parking_lot::Mutex;
use store::format::SNAPSHOT;
use store::log::{self, Log, Record, write_page};

use crate::limits::{COPY_IDLE, COPY_PAGE_BYTES, COPY_PAGE_ENTRIES};
use crate::published::Published;
use crate::snapshots::Piece;
use crate::upkeep::Upkeep;

/// Gives copies of this node's snapshots and log.
pub struct Copies {
    environment: Environment,
    owner: (ClusterId, NodeId),
    upkeep: Upkeep,
    log: Log,
    published: Arc<Published>,
    place: Mutex<Place>,
    /// Whoever asks for many pages at once gets one after the other.
    turn: Semaphore,
}

/// The one place that there is for a copy.
#[derive(Debug, Default)]
struct Place(Option<Taken>);

#[derive(Debug)]
struct Taken {
    copy: CopyId,
    last: Index,
    begun: Moment,
    asked: Moment,
}

impl Place {
    /// Gives the place to a copy up to `last`; if somebody has it, says since when.
    fn take(&mut self, copy: CopyId, last: Index, now: Moment) -> Result<(), Duration> {
        if let Some(taken) = self.0.as_ref().filter(|taken| now - taken.asked < COPY_IDLE) {
            return Err(now - taken.begun);
        }
        self.0 = Some(Taken {
            copy,
            last,
            begun: now,
            asked: now,
        });
        Ok(())
    }

    /// The copy's last entry, if it still has the place; it then keeps it for a while.
    fn keep(&mut self, copy: CopyId, now: Moment) -> Option<Index> {
        let taken = self.0.as_mut().filter(|taken| taken.copy == copy)?;
        taken.asked = now;
        Some(taken.last)
    }

    fn leave(&mut self, copy: CopyId) {
        if self.0.as_ref().is_some_and(|taken| taken.copy == copy) {
            self.0 = None;
        }
    }
}

impl Copies {
    /// Of that node.
    pub fn new(
        environment: Environment,
        owner: (ClusterId, NodeId),
        upkeep: Upkeep,
        log: Log,
        published: Arc<Published>,
    ) -> Copies {
        Copies {
            environment,
            owner,
            upkeep,
            log,
            published,
            place: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }

    /// Begins a copy. `committed` is how far this node knows the log to be committed.
    ///
    /// # Errors
    /// [`ReadError::CopyUnderWay`], or the disk failed.
    pub async fn begin(&self, committed: Index) -> Result<CopyListing, ReadError> {
        let facts = self.published.facts();
        // What a parked node cannot apply is what whoever replays it wants to see; and a decision to skip an entry lies
        // behind it.
        let known = committed.min(self.log.flushed().unwrap_or_default());
        let last = known.max(facts.applied);
        let copy = CopyId(self.environment.chance.next_u64());
        let taken = self.place.lock().take(copy, last, self.environment.clock.now());
        taken.map_err(|since| {
            ReadError::CopyUnderWay(format!(
                "somebody else has been copying this node's log for {} s, and a node gives one copy at a time; one that is \
                 asked for nothing any more has ended within half a minute",
                since.as_secs()
            ))
        })?;
        let keeper = self.upkeep.keeper().clone();
        let found = self.upkeep.work("copy look", move || keeper.all()).await;
        let found = found.map_err(|error| {
            self.end(copy);
            ReadError::Unavailable(error)
        })?;
        let snapshots = found.into_iter().map(|(header, bytes)| CopySnapshot {
            index: header.index,
            digest: header.digest,
            bytes,
        });
        Ok(CopyListing {
            copy,
            cluster: self.owner.0,
            node: self.owner.1,
            first: self.log.first(),
            last,
            applied: facts.applied,
            digest: facts.digest,
            snapshot_format: SNAPSHOT.number,
            snapshots: snapshots.collect(),
        })
    }

    /// A piece of a snapshot.
    ///
    /// # Errors
    /// [`ReadError::UnknownCopy`], [`ReadError::UnknownSnapshot`].
    pub async fn piece(&self, copy: CopyId, index: Index, from: u64) -> Result<Bytes, ReadError> {
        self.enter(copy)?;
        let _turn = self.turn.acquire().await;
        let piece = Piece {
            index,
            segment: None,
            from,
        };
        let bytes = self.upkeep.read(piece).await.map_err(ReadError::UnknownSnapshot)?;
        Ok(bytes.into())
    }

    /// A page of entries.
    ///
    /// # Errors
    /// [`ReadError::UnknownCopy`], [`ReadError::EntriesPurged`].
    pub async fn entries(&self, copy: CopyId, from: Index) -> Result<Bytes, ReadError> {
        let last = self.enter(copy)?;
        let _turn = self.turn.acquire().await;
        let log = self.log.clone();
        let read = move || Ok(read(&log, from.max(Index(1)), last));
        let read = self.upkeep.work("copy read", read).await;
        match read.map_err(ReadError::Unavailable)? {
            Ok(records) => Ok(write_page(&records).into()),
            Err(log::Error::Purged { index, first }) => Err(ReadError::EntriesPurged { wanted: index, first }),
            Err(error) => Err(ReadError::Unavailable(error.to_string())),
        }
    }

    /// Ends a copy.
    pub fn end(&self, copy: CopyId) {
        self.place.lock().leave(copy);
    }

    fn enter(&self, copy: CopyId) -> Result<Index, ReadError> {
        let now = self.environment.clock.now();
        self.place.lock().keep(copy, now).ok_or(ReadError::UnknownCopy)
    }
}

/// Entries from `from` on, up to `last`.
fn read(log: &Log, from: Index, last: Index) -> Result<Vec<Record>, log::Error> {
    if from > last {
        return Ok(Vec::new());
    }
    let end = Index(last.0.min(from.0.saturating_add(COPY_PAGE_ENTRIES - 1))).next();
    log.read(from, end, COPY_PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use machine::Term;
    use store::log::{Identity, LogOptions};

    use super::*;
    use crate::repair::wait_for;

    #[test]
    fn the_place_is_for_one_copy_until_it_ends_or_is_idle() {
        let at = |seconds: u64| Moment(Duration::from_secs(seconds));
        let idle = COPY_IDLE.as_secs();
        let (first, second) = (CopyId(1), CopyId(2));
        let mut place = Place::default();
        assert_eq!(place.keep(first, at(0)), None);
        assert_eq!(place.take(first, Index(9), at(0)), Ok(()));
        assert_eq!(
            place.take(second, Index(9), at(idle - 1)),
            Err(Duration::from_secs(idle - 1))
        );
        assert_eq!(place.keep(first, at(idle - 1)), Some(Index(9)), "it is being used");
        assert_eq!(place.keep(second, at(idle)), None);
        assert!(place.take(second, Index(9), at(2 * idle - 2)).is_err());
        // Nobody else came, so it may go on even now.
        assert_eq!(place.keep(first, at(3 * idle)), Some(Index(9)));
        assert_eq!(place.take(second, Index(12), at(4 * idle)), Ok(()));
        assert_eq!(place.keep(first, at(4 * idle)), None);
        place.leave(first);
        assert_eq!(place.keep(second, at(4 * idle)), Some(Index(12)));
        place.leave(second);
        assert_eq!(place.take(first, Index(9), at(4 * idle)), Ok(()));
    }

    #[tokio::test]
    async fn a_page_holds_so_many_entries_and_none_past_the_last() {
        let environment = environment::real::environment();
        let directory = tempfile::tempdir().expect("a directory");
        let identity = Identity {
            cluster: ClusterId(7),
            node: NodeId(1),
        };
        let log = Log::open(&environment, directory.path(), identity, LogOptions::default());
        let log = log.expect("a log").log;
        let record = |index: u64| Record {
            index: Index(index),
            term: Term(1),
            kind: 1,
            payload: vec![7; 3].into(),
        };
        let last = COPY_PAGE_ENTRIES + 10;
        wait_for(|done| log.append((1..=last + 5).map(record).collect(), done))
            .await
            .expect("appended");
        let indexes = |from: u64| {
            let records = read(&log, Index(from), Index(last)).expect("it can be read");
            let ends = records.first().zip(records.last());
            (
                records.len() as u64,
                ends.map(|(first, last)| (first.index.0, last.index.0)),
            )
        };
        assert_eq!(indexes(1), (COPY_PAGE_ENTRIES, Some((1, COPY_PAGE_ENTRIES))));
        assert_eq!(indexes(12), (COPY_PAGE_ENTRIES - 1, Some((12, last))));
        assert_eq!(indexes(last), (1, Some((last, last))));
        assert_eq!(indexes(last + 1), (0, None));
        assert_eq!(indexes(u64::MAX), (0, None));
        log.shutdown().await;
    }
}
