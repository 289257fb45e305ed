//! What a node does for itself beside its work: snapshots, so that the log can be purged; scans of what lies on disk; and
//! the notes that must be right when nothing else can be read.

use std::sync::atomic::Ordering;

use environment::timeout;
use machine::Index;
use tracing::{info, warn};

use super::Hands;
use crate::limits::{SNAPSHOT_LARGE_BYTES, UPKEEP_INTERVAL};
use crate::snapshots::Trouble;
use crate::upkeep::STOPPING;

impl Hands {
    /// Waits a while; false when the node stops.
    pub(super) async fn pause(&self, pause: std::time::Duration) -> bool {
        timeout(&self.environment, pause, self.published.stop.closed())
            .await
            .is_err()
    }
}

/// Makes a snapshot whenever enough was applied since the last one, and lets the log go that it replaces.
pub async fn make_snapshots(hands: Hands) {
    let mut last = 0;
    let mut due = hands.options.snapshot_log_bytes;
    while hands.pause(UPKEEP_INTERVAL).await {
        let applied = hands.applied_bytes.load(Ordering::Relaxed);
        if applied - last < due {
            continue;
        }
        match hands.upkeep.make().await {
            Ok(_) => {
                last = applied;
                due = log_before_the_next(hands.options.snapshot_log_bytes, hands.upkeep.keeper().made_bytes());
                hands.group.snapshot_made().await;
            }
            Err(error) if error == STOPPING && hands.published.stop.is_closed() => return,
            // The next attempt comes by itself; what made this one fail was told where it was found.
            Err(error) => warn!(error, "no snapshot could be made, and the log is kept"),
        }
    }
}

/// Bytes of log after which a snapshot is due, where the last one had so many. Behind a large one half of its own size must have
/// come, so that a node writes at most twice as many bytes of snapshots as of log, however large its state has grown.
fn log_before_the_next(asked_for: u64, last_bytes: u64) -> u64 {
    match last_bytes {
        0..SNAPSHOT_LARGE_BYTES => asked_for,
        large => asked_for.max(large / 2),
    }
}

/// Scans everything once after the start and then from time to time.
pub async fn scan(hands: Hands) {
    // A node that is new has nothing to look at before its first entry.
    hands.published.applied.reach(Index(1)).await;
    loop {
        match hands.upkeep.scan().await {
            Ok(scanned) => {
                info!(index = %scanned.index, rows = scanned.rows, "scanned everything on disk: all is well")
            }
            Err(Trouble::Failed(reason)) if reason == STOPPING && hands.published.stop.is_closed() => return,
            Err(error) => warn!(%error, "the scan of what lies on disk did not end well"),
        }
        if !hands.pause(hands.options.scan_interval).await {
            return;
        }
    }
}

/// Looks how much room there is on the disk.
pub async fn watch_room(hands: Hands) {
    let condition = hands.upkeep.condition().clone();
    while hands.pause(UPKEEP_INTERVAL).await {
        hands.room.look(condition.free_bytes());
        if hands.room.check().is_err() && hands.upkeep.keep_nothing().await {
            // Since it was started the Raft crate may have had no reason to let go of anything.
            let newest = hands.upkeep.keeper().newest().map_or(0, |header| header.index.0);
            let through = newest.saturating_sub(hands.options.log_keep_entries);
            hands.group.purge(Index(through)).await;
        }
    }
}

/// Keeps the members' addresses in the notes, and gives this node its vote back once it holds what it had promised.
pub async fn keep_notes(hands: Hands) {
    let condition = hands.upkeep.condition().clone();
    let mut seen = Index::default();
    loop {
        let catalog = hands.published.catalog();
        let members = catalog.voters.union(&catalog.learners);
        let peers = members
            .filter(|id| **id != hands.node)
            .filter_map(|id| Some((*id, catalog.nodes.get(id)?.peer_address.clone())));
        let peers: std::collections::BTreeMap<_, _> = peers.collect();
        // Before it has applied anything it knows nobody: what was noted before is better.
        if !peers.is_empty() {
            condition.meet(peers);
        }
        if let Some(from) = condition.votes_from()
            && hands.log.flushed().is_some_and(|flushed| flushed >= from)
        {
            match condition.note(|notes| notes.votes_from = None) {
                Ok(()) => {
                    info!(%from, "this node holds again what it had promised to keep: it votes");
                    hands.group.let_campaign();
                }
                Err(error) => warn!(error, "the notes could not be written"),
            }
        }
        if !hands.news(&mut seen).await {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_snapshot_waits_for_half_its_size_and_a_small_one_for_what_was_asked() {
        assert_eq!(log_before_the_next(1, SNAPSHOT_LARGE_BYTES - 1), 1);
        assert_eq!(log_before_the_next(1, SNAPSHOT_LARGE_BYTES), SNAPSHOT_LARGE_BYTES / 2);
        assert_eq!(log_before_the_next(256 << 20, 3 << 30), 3 << 29);
        assert_eq!(log_before_the_next(256 << 20, 100 << 20), 256 << 20);
    }
}
