use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use environment::Moment;
use environment::measure::{Counter, Histogram};
use machine::NodeId;
use parking_lot::RwLock;
use tracing::{info, warn};

use crate::limits::PEER_SILENT;

/// What this node has counted and timed of each peer.
#[derive(Debug, Default)]
pub struct PeersMeasures(RwLock<BTreeMap<NodeId, Arc<PeerMeasures>>>);

impl PeersMeasures {
    /// Of one peer. Its silence counts from when it is first asked for.
    pub fn of(&self, peer: NodeId, now: Moment) -> Arc<PeerMeasures> {
        if let Some(known) = self.0.read().get(&peer) {
            return known.clone();
        }
        let mut all = self.0.write();
        all.entry(peer)
            .or_insert_with(|| Arc::new(PeerMeasures::new(peer, now)))
            .clone()
    }

    /// Of all that were ever talked to.
    pub fn all(&self) -> Vec<(NodeId, Arc<PeerMeasures>)> {
        let all = self.0.read();
        all.iter().map(|(peer, measures)| (*peer, measures.clone())).collect()
    }
}

/// What this node has counted and timed of one peer.
#[derive(Debug)]
pub struct PeerMeasures {
    peer: NodeId,
    /// From sending entries until the peer said that they are durable there.
    pub append: Histogram,
    /// A heartbeat and its answer, which waits for no disk.
    pub heartbeat: Histogram,
    /// Connections that could not be made or broke, and answers that did not come in time.
    pub failures: Counter,
    lost: AtomicBool,
    heard_ms: AtomicU64,
}

impl PeerMeasures {
    fn new(peer: NodeId, now: Moment) -> PeerMeasures {
        PeerMeasures {
            peer,
            append: Histogram::seconds(),
            heartbeat: Histogram::seconds(),
            failures: Counter::default(),
            lost: AtomicBool::new(false),
            heard_ms: AtomicU64::new(milliseconds(now)),
        }
    }

    /// Entries that were sent at that moment are durable there now.
    pub fn appended(&self, sent_at: Moment, now: Moment) {
        self.append.time(now - sent_at);
        self.reached(now);
    }

    /// It was heard from.
    pub fn reached(&self, now: Moment) {
        self.heard_ms.store(milliseconds(now), Ordering::Relaxed);
        if self.lost.load(Ordering::Relaxed) && self.lost.swap(false, Ordering::AcqRel) {
            info!(peer = %self.peer, "a peer answers again");
        }
    }

    /// It was not, for that reason. One that stays silent is told of once, until it is heard from again.
    pub fn failed(&self, now: Moment, reason: &dyn std::fmt::Display) {
        self.failures.increment();
        let silent_ms = milliseconds(now).saturating_sub(self.heard_ms.load(Ordering::Relaxed));
        let is_lost = u128::from(silent_ms) >= PEER_SILENT.as_millis();
        if is_lost && !self.lost.swap(true, Ordering::AcqRel) {
            warn!(peer = %self.peer, silent_ms, %reason, "a peer does not answer");
        }
    }

    /// Whether it answered when it was last talked to.
    pub fn is_reached(&self) -> bool {
        !self.lost.load(Ordering::Acquire)
    }
}

fn milliseconds(moment: Moment) -> u64 {
    u64::try_from(moment.0.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_peer_is_lost_when_it_stays_silent_and_not_for_one_late_answer() {
        let all = PeersMeasures::default();
        let at = |milliseconds| Moment(Duration::from_millis(milliseconds));
        let peer = all.of(NodeId(2), at(3000));
        peer.failed(at(3060), &"late");
        peer.reached(at(5000));
        peer.failed(at(5060), &"late");
        assert!(peer.is_reached());
        peer.failed(at(7000), &"late");
        assert!(!all.of(NodeId(2), at(7000)).is_reached());
        peer.appended(at(7000), at(7001));
        assert!(peer.is_reached());
        assert_eq!((peer.failures.get(), peer.append.count()), (3, 1));
    }
}
