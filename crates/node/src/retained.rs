//! What is kept so that replay can cross a change: the last state from before its switch, and the log from there on, as
//! long as both together take no more than was allowed.

use std::sync::Arc;

use machine::{Catalog, Index, Stage, Term};
use parking_lot::Mutex;
use store::log::{Flushed, Log};
use tracing::{info, warn};

use crate::snapshots::Keeper;

/// What this node keeps for replay. Clones share it.
#[derive(Clone)]
pub struct Retained(Arc<Shared>);

struct Shared {
    log: Log,
    keeper: Keeper,
    bytes_max: u64,
    purges: Mutex<Purges>,
}

/// What stands between the Raft crate, which believes to have purged what it asked for, and the log.
#[derive(Debug, Default)]
struct Purges {
    /// As of which entry the state is behind which the log is held.
    held: Option<Index>,
    /// Up to where the Raft crate has purged.
    asked: Index,
}

impl Purges {
    /// Up to where the log may really be purged.
    fn allowed(&self) -> Index {
        self.held.map_or(self.asked, |held| held.min(self.asked))
    }
}

impl Retained {
    /// At most so many bytes of a node's snapshots and log; zero: nothing is kept for replay.
    pub fn new(log: Log, keeper: Keeper, bytes_max: u64) -> Retained {
        Retained(Arc::new(Shared {
            log,
            keeper,
            bytes_max,
            purges: Mutex::default(),
        }))
    }

    /// This node's snapshots.
    pub fn keeper(&self) -> &Keeper {
        &self.0.keeper
    }

    /// Whether anything may be kept at all.
    pub fn is_on(&self) -> bool {
        self.0.bytes_max > 0
    }

    /// Whether anything is.
    pub fn holds(&self) -> bool {
        self.0.purges.lock().held.is_some()
    }

    /// Decides anew what is kept, now that these are the changes, and lets go of the rest. Blocks.
    ///
    /// # Errors
    /// A text: the disk failed.
    pub fn look(&self, catalog: &Catalog) -> Result<(), String> {
        let shared = &*self.0;
        let purged = shared.log.purged().map(|(purged, _)| purged).unwrap_or_default();
        let whole = (purged == Index(0)).then_some((Index(0), 0));
        let snapshots = shared.keeper.all()?;
        let snapshots = snapshots.iter().map(|(header, bytes)| (header.index, *bytes));
        let starts: Vec<(Index, u64)> = whole
            .into_iter()
            .chain(snapshots.filter(|(index, _)| *index >= purged && *index > Index(0)))
            .collect();
        let log_bytes = |start| shared.log.bytes_behind(start);
        self.hold(choose(&crossings(catalog), &starts, log_bytes, shared.bytes_max))
    }

    /// Lets go of everything that is kept for replay: the disk has no room for it. Blocks.
    ///
    /// # Errors
    /// A text: the disk failed.
    pub fn let_go(&self) -> Result<(), String> {
        let before = self.0.purges.lock().held;
        self.hold(None)?;
        match before {
            // Whoever copies it begins again: the room is needed.
            Some(before) => self.0.keeper.drop_old(before).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn hold(&self, held: Option<Index>) -> Result<(), String> {
        let before = std::mem::replace(&mut self.0.purges.lock().held, held);
        match (before, held) {
            (before, held) if before == held => {}
            (_, Some(held)) => info!(%held, "keeping the log behind this entry, for replay of a change"),
            (_, None) => info!("keeping nothing more for replay of a change than for other reasons"),
        }
        let kept = self.0.keeper.hold(held);
        self.purge_allowed();
        kept.map_err(|error| error.to_string())
    }

    /// What was held back and is no longer. Nobody waits for it: the Raft crate has long believed that it is gone.
    fn purge_allowed(&self) {
        let through = self.0.purges.lock().allowed();
        let log = &self.0.log;
        let is_due = log.purged().is_none_or(|(purged, _)| through > purged) && through > Index(0);
        if let Some(term) = log.term_at(through).filter(|_| is_due) {
            let done = |result: std::io::Result<()>| {
                if let Err(error) = result {
                    warn!(%error, "the log could not be purged");
                }
            };
            log.purge_through(through, term, Box::new(done));
        }
    }

    /// The Raft crate lets go of everything up to `through`.
    pub fn purge(&self, through: Index, term: Term, done: Flushed) {
        let log = &self.0.log;
        let allowed = {
            let mut purges = self.0.purges.lock();
            purges.asked = purges.asked.max(through);
            purges.allowed().min(through)
        };
        let last = log.last().map(|(last, _)| last).unwrap_or_default();
        if allowed == through || through > last {
            return log.purge_through(through, term, done);
        }
        match log.term_at(allowed).filter(|_| allowed > Index(0)) {
            Some(term) => log.purge_through(allowed, term, done),
            // All of it is held.
            None => done(Ok(())),
        }
    }
}

/// The switches that replay is to be able to cross, oldest first: those that can still be taken back, and the last one that
/// no longer can. An installation is none: nothing was there before it.
fn crossings(catalog: &Catalog) -> Vec<Index> {
    let switched = catalog.changes.values().filter(|change| change.from.is_some());
    let switched = switched.filter_map(|change| Some((change.switch_index?, change.stage)));
    let (open, over): (Vec<_>, Vec<_>) = switched.partition(|(_, stage)| *stage == Stage::Switched);
    let last = over.into_iter().max();
    let mut crossings: Vec<Index> = open.into_iter().chain(last).map(|(index, _)| index).collect();
    crossings.sort_unstable();
    crossings
}

/// The last state from before the oldest switch that can be afforded, of those with their bytes in `starts`, oldest first.
fn choose(
    crossings: &[Index],
    starts: &[(Index, u64)],
    log_bytes: impl Fn(Index) -> u64,
    bytes_max: u64,
) -> Option<Index> {
    crossings.iter().find_map(|switch| {
        let (start, bytes) = starts.iter().rfind(|(start, _)| start < switch)?;
        (log_bytes(*start).saturating_add(*bytes) <= bytes_max).then_some(*start)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use environment::channel::oneshot;
    use environment::real;
    use machine::{Change, ChangeId, ClusterId, NodeId, Version};
    use store::log::{Identity, LogOptions, Record};

    use super::*;
    use crate::repair::wait_for;

    fn change(from: Option<u32>, stage: Stage, switch: Option<u64>) -> Change {
        Change {
            application: "adder".to_owned(),
            from: from.map(Version),
            to: Version(9),
            stage,
            finalize: false,
            readiness: BTreeMap::new(),
            switch_index: switch.map(Index),
            tables_before: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    #[test]
    fn what_can_be_taken_back_is_crossed_and_the_last_of_the_others() {
        let of = |changes: Vec<Change>| {
            let changes = changes.into_iter().enumerate();
            let catalog = Catalog {
                changes: changes.map(|(at, change)| (ChangeId(at as u64), change)).collect(),
                ..Catalog::default()
            };
            crossings(&catalog).iter().map(|index| index.0).collect::<Vec<_>>()
        };
        assert_eq!(
            of(vec![change(None, Stage::Finalized, Some(5))]),
            [] as [u64; 0],
            "an installation"
        );
        assert_eq!(of(vec![change(Some(1), Stage::Aborted, None)]), [] as [u64; 0]);
        let over = vec![
            change(Some(1), Stage::Finalized, Some(10)),
            change(Some(2), Stage::Reverted, Some(20)),
        ];
        assert_eq!(of(over.clone()), [20]);
        let open = [
            change(Some(1), Stage::Switched, Some(7)),
            change(Some(1), Stage::Switched, Some(30)),
            change(Some(1), Stage::Ready, None),
        ];
        assert_eq!(of([over, open.to_vec()].concat()), [7, 20, 30]);
    }

    #[test]
    fn the_last_state_before_the_oldest_switch_that_can_be_afforded_is_kept() {
        let starts = [(Index(0), 0), (Index(10), 5), (Index(20), 5)];
        let log_bytes = |start: Index| 100 - start.0;
        let choose = |crossings: &[u64], bytes_max: u64| {
            let crossings: Vec<Index> = crossings.iter().copied().map(Index).collect();
            choose(&crossings, &starts, log_bytes, bytes_max).map(|start| start.0)
        };
        assert_eq!(choose(&[], 1000), None);
        assert_eq!(choose(&[5], 100), Some(0));
        assert_eq!(choose(&[5], 99), None);
        assert_eq!(
            choose(&[10], 1000),
            Some(0),
            "the state as of the switch is not from before it"
        );
        assert_eq!(choose(&[11, 50], 95), Some(10));
        assert_eq!(choose(&[11, 50], 94), Some(20), "the later one alone");
        assert_eq!(choose(&[11, 50], 84), None);
        assert_eq!(super::choose(&[Index(5)], &[(Index(10), 0)], log_bytes, 1000), None);
    }

    async fn log(directory: &std::path::Path, last: u64) -> Log {
        let identity = Identity {
            cluster: ClusterId(7),
            node: NodeId(1),
        };
        let opened = Log::open(&real::environment(), directory, identity, LogOptions::default());
        let log = opened.expect("a log").log;
        let records = (1..=last).map(|index| Record {
            index: Index(index),
            term: Term(1 + index / 10),
            kind: 1,
            payload: vec![7; 3].into(),
        });
        wait_for(|done| log.append(records.collect(), done))
            .await
            .expect("appended");
        log
    }

    #[tokio::test]
    async fn the_log_is_purged_only_as_far_as_it_is_not_held_and_the_rest_once_it_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(&directory.path().join("log"), 100).await;
        let keeper = Keeper::open(real::environment().disk, directory.path(), ClusterId(7)).expect("it opens");
        let retained = Retained::new(log.clone(), keeper, 1 << 20);
        let shared = &retained;
        let purge = |through: u64| {
            let term = Term(1 + through / 10);
            wait_for(move |done| shared.purge(Index(through), term, done))
        };
        let purged = || log.purged().map(|(index, term)| (index.0, term.0));
        retained.hold(Some(Index(0))).expect("the disk is well");
        purge(20).await.expect("it is held");
        assert_eq!(purged(), None);
        retained.hold(Some(Index(15))).expect("the disk is well");
        assert_eq!(purged(), Some((15, 2)));
        purge(40).await.expect("some of it is held");
        assert_eq!(purged(), Some((15, 2)));
        assert_eq!(log.first(), Index(16));
        retained.let_go().expect("the disk is well");
        assert_eq!(purged(), Some((40, 5)));
        purge(50).await.expect("nothing is held");
        assert_eq!(purged(), Some((50, 6)));
        // What lies ahead of the log takes its place, whatever is held.
        retained.hold(Some(Index(60))).expect("the disk is well");
        wait_for(|done| retained.purge(Index(200), Term(30), done))
            .await
            .expect("purged");
        assert_eq!(purged(), Some((200, 30)));
        log.shutdown().await;
        let (done, ended) = oneshot::channel();
        retained.purge(Index(210), Term(30), Box::new(|result| drop(done.send(result))));
        let ended = ended.await.expect("whoever waits hears of it");
        assert!(ended.is_err(), "the log has stopped");
    }
}
