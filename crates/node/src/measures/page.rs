use std::sync::{Arc, Weak};
use std::time::Duration;

use environment::measure::{Counter, Page};
use machine::{Index, MemberStatus, NodeId, Role};
use parking_lot::RwLock;
use store::log::Log;

use super::{EntryTimes, FAILURES, Measures};
use crate::applier::Held;
use crate::handle::Handle;
use crate::raft::Queue;

/// How long a page waits for a look at the state, which one slow command can hold for long.
const HELD_WAIT: Duration = Duration::from_millis(20);

/// A node as it shows itself: its measures, and where its parts stand.
pub struct Observed {
    pub(crate) measures: Arc<Measures>,
    pub(crate) handle: Arc<Handle>,
    pub(crate) log: Log,
    pub(crate) queue: Queue,
    /// Not held: a node that starts again in the same process must find its files let go of, however long somebody still
    /// looks at the one before.
    pub(crate) held: Weak<RwLock<Held>>,
}

impl Observed {
    /// Which node it is.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.measures.node
    }

    /// When an entry came how far on this node, for the last entries.
    #[must_use]
    pub fn entry(&self, index: Index) -> EntryTimes {
        self.measures.entries.times(index)
    }

    /// Writes all that this node shows of itself.
    pub fn page(&self, page: &mut Page) {
        self.log_part(page);
        self.raft_part(page);
        self.peers_part(page);
        self.driver_part(page);
        self.apply_part(page);
        self.state_part(page);
        self.upkeep_part(page);
    }

    fn upkeep_part(&self, page: &mut Page) {
        let (keeper, counts) = (self.handle.upkeep.keeper(), self.handle.upkeep.counts());
        let newest = keeper.newest().map_or(0, |header| header.index.0);
        page.gauge(
            "seachange_snapshot_index",
            "As of which index the newest snapshot is; 0 without one.",
        )
        .is(newest);
        page.counter("seachange_snapshots_made_total", "Snapshots that this node made.")
            .is(counts.snapshots.get());
        let mut scans = page.counter("seachange_scans_total", "Scans of everything on this node's disk.");
        for (result, count) in [("ok", &counts.scans), ("failed", &counts.scans_failed)] {
            scans.of(&[("result", result)], count.get());
        }
    }

    fn log_part(&self, page: &mut Page) {
        let measures = self.log.measures();
        page.histogram("seachange_log_write_seconds", "One write of a round of the log.")
            .shows(&[], &measures.write);
        page.histogram("seachange_log_fsync_seconds", "One fdatasync of a round of the log.")
            .shows(&[], &measures.sync);
        page.histogram("seachange_log_round_records", "Entries made durable by one fdatasync.")
            .shows(&[], &measures.round_records);
        page.counter("seachange_log_written_bytes_total", "Bytes written to the log.")
            .is(measures.bytes.get());
        page.gauge("seachange_log_segments", "Files of the log.")
            .is(self.log.segment_count());
        page.gauge("seachange_log_first_index", "First index that the log holds.")
            .is(self.log.first().0);
        let last = self.log.last().map_or(0, |(index, _)| index.0);
        page.gauge("seachange_log_last_index", "Last index in the log.")
            .is(last);
        let flushed = self.log.flushed().unwrap_or_default();
        page.gauge("seachange_log_flushed_index", "Last index that is durable here.")
            .is(flushed.0);
    }

    fn raft_part(&self, page: &mut Page) {
        let view = self.handle.group.view();
        let raft = &self.measures.raft;
        page.gauge("seachange_raft_term", "The current term.").is(view.term.0);
        page.gauge("seachange_raft_is_leader", "1 where this node leads.")
            .is(view.role == Role::Leader);
        page.gauge("seachange_raft_has_leader", "1 where a leader is known.")
            .is(view.leader.is_some());
        page.counter(
            "seachange_raft_leader_changes_total",
            "Leaders that this node saw come.",
        )
        .is(raft.leader_changes.get());
        page.gauge("seachange_raft_committed_index", "Last index known to be committed.")
            .is(view.committed.0);
        let mut votes = page.counter("seachange_raft_votes_total", "Votes that others asked of this node.");
        for (kind, counts) in [("vote", &raft.votes), ("pre_vote", &raft.pre_votes)] {
            for (granted, count) in ["false", "true"].into_iter().zip(counts) {
                votes.of(&[("kind", kind), ("granted", granted)], count.get());
            }
        }
        let mut members = page.gauge("seachange_members", "Members of the cluster.");
        for (role, voter) in [("voter", true), ("learner", false)] {
            let count = view.members.iter().filter(|member| member.voter == voter).count();
            members.of(&[("role", role)], count);
        }
    }

    fn peers_part(&self, page: &mut Page) {
        let status = machine::Cluster::status(&*self.handle);
        let mut matched = page.gauge(
            "seachange_peer_matched_index",
            "Last index known to be in a peer's log; only the leader knows.",
        );
        for (peer, index) in matched_of(&status.members, status.node) {
            matched.of(&[("peer", &peer)], index.0);
        }
        let mut lag = page.gauge(
            "seachange_peer_lag_entries",
            "Entries that a peer's log lacks of the leader's; only the leader knows.",
        );
        for (peer, index) in matched_of(&status.members, status.node) {
            lag.of(&[("peer", &peer)], status.last.0.saturating_sub(index.0));
        }
        let peers = self.measures.peers.all();
        let peers: Vec<_> = peers
            .iter()
            .map(|(peer, measures)| (peer.to_string(), measures))
            .collect();
        let mut append = page.histogram(
            "seachange_peer_append_seconds",
            "From sending entries to a peer until they are durable there.",
        );
        peers
            .iter()
            .for_each(|(peer, measures)| append.shows(&[("peer", peer)], &measures.append));
        let mut heartbeat = page.histogram(
            "seachange_peer_heartbeat_seconds",
            "A heartbeat to a peer and its answer, which waits for no disk.",
        );
        peers
            .iter()
            .for_each(|(peer, measures)| heartbeat.shows(&[("peer", peer)], &measures.heartbeat));
        let mut reached = page.gauge(
            "seachange_peer_reached",
            "1 where a peer answered when it was last talked to.",
        );
        peers
            .iter()
            .for_each(|(peer, measures)| reached.of(&[("peer", peer)], measures.is_reached()));
        let mut failures = page.counter(
            "seachange_peer_failures_total",
            "Connections to a peer that broke or were not made, and answers that did not come.",
        );
        peers
            .iter()
            .for_each(|(peer, measures)| failures.of(&[("peer", peer)], measures.failures.get()));
    }

    fn driver_part(&self, page: &mut Page) {
        let (requests, bytes) = self.handle.admission.waiting();
        page.gauge(
            "seachange_requests_waiting",
            "Requests that wait for their turn or their reply.",
        )
        .is(requests);
        page.gauge("seachange_requests_waiting_bytes", "Bytes of those.")
            .is(bytes);
        let driver = &self.measures.driver;
        page.histogram("seachange_entry_commands", "Commands packed into one entry.")
            .shows(&[], &driver.entry_commands);
        page.gauge(
            "seachange_entries_in_flight",
            "Entries proposed here and not yet applied.",
        )
        .is(driver.in_flight.get());
        let refused = &self.measures.refused;
        let reasons: [(&str, &Counter); 6] = [
            ("not_leader", &refused.not_leader),
            ("outcome_unknown", &refused.outcome_unknown),
            ("overloaded", &refused.overloaded),
            ("too_large", &refused.too_large),
            ("unavailable", &refused.unavailable),
            ("disk_full", &refused.disk_full),
        ];
        let mut refusals = page.counter(
            "seachange_refusals_total",
            "Requests that this node did not take, or could not answer, by reason.",
        );
        reasons
            .iter()
            .for_each(|(reason, count)| refusals.of(&[("reason", reason)], count.get()));
        page.histogram(
            "seachange_module_compile_seconds",
            "Making a version ready to run, most of it compiling.",
        )
        .shows(&[], &self.measures.compile);
        page.counter(
            "seachange_module_failures_total",
            "Versions that could not be made ready to run.",
        )
        .is(self.measures.compile_failures.get());
    }

    fn apply_part(&self, page: &mut Page) {
        let apply = &self.measures.apply;
        let facts = self.handle.published.facts();
        let committed = self.handle.group.view().committed;
        page.gauge("seachange_applied_index", "Last index applied.")
            .is(facts.applied.0);
        page.gauge("seachange_apply_lag_entries", "Entries committed and not yet applied.")
            .is(committed.0.saturating_sub(facts.applied.0));
        page.histogram("seachange_apply_entry_seconds", "Applying one entry.")
            .shows(&[], &apply.entry);
        page.histogram(
            "seachange_apply_command_seconds",
            "Applying one command: its part of its entry.",
        )
        .shows(&[], &apply.command);
        page.histogram(
            "seachange_apply_batch_entries",
            "Entries applied under one hold of the state.",
        )
        .shows(&[], &apply.batch);
        let (entries, bytes) = self.queue.waiting();
        page.gauge(
            "seachange_apply_queue_entries",
            "Committed entries that wait for the applier in memory.",
        )
        .is(entries);
        page.gauge("seachange_apply_queue_bytes", "Bytes of those.").is(bytes);
        page.gauge("seachange_parked", "1 where this node is parked.")
            .is(facts.parked.is_some());
        page.counter("seachange_parks_total", "How often it parked.")
            .is(apply.parks.get());
        let failed = apply.failed.iter().map(Counter::get).sum();
        let outcomes = [
            ("applied", apply.applied.get()),
            ("refused", apply.refused.get()),
            ("failed", failed),
            ("session_expired", apply.session_expired.get()),
        ];
        let mut commands = page.counter("seachange_commands_total", "Commands applied on this node, by outcome.");
        outcomes
            .iter()
            .for_each(|(outcome, count)| commands.of(&[("outcome", outcome)], *count));
        let mut failures = page.counter(
            "seachange_command_failures_total",
            "Commands that failed or trapped, by code.",
        );
        for (code, count) in FAILURES.iter().zip(&apply.failed) {
            failures.of(&[("code", code.name())], count.get());
        }
        page.counter("seachange_apply_fuel_total", "Fuel that commands spent.")
            .is(apply.fuel.get());
        page.gauge(
            "seachange_checkpoint_dirty_bytes",
            "Bytes of rows that the next checkpoint will write.",
        )
        .is(apply.dirty_bytes.get());
        page.histogram("seachange_checkpoint_seconds", "Writing a checkpoint.")
            .shows(&[], &apply.checkpoint);
        page.counter(
            "seachange_checkpoint_failures_total",
            "Checkpoints that could not be written.",
        )
        .is(apply.checkpoint_failures.get());
    }

    /// Left without samples while the state is busy.
    fn state_part(&self, page: &mut Page) {
        let alive = self.held.upgrade();
        let held = alive.as_ref().and_then(|held| held.try_read_for(HELD_WAIT));
        let state = held.as_ref().map(|held| (&held.state, &held.machine));
        let cache = state.map(|(state, _)| state.cache_hits_and_misses());
        let mut hits = page.counter(
            "seachange_state_cache_hits_total",
            "Reads of a row that the row cache answered.",
        );
        cache.iter().for_each(|(count, _)| hits.is(*count));
        let mut misses = page.counter(
            "seachange_state_cache_misses_total",
            "Reads of a row that it could not answer.",
        );
        cache.iter().for_each(|(_, count)| misses.is(*count));
        let mut rows = page.gauge(
            "seachange_state_rows",
            "Rows in the store as of the last checkpoint, about.",
        );
        state.iter().for_each(|(state, _)| rows.is(state.rows_about()));
        let mut sessions = page.gauge("seachange_sessions", "Sessions of clients that are open.");
        state
            .iter()
            .for_each(|(_, machine)| sessions.is(machine.sessions_open()));
        drop(held);
        drop(alive);
        let streams = &self.handle.streams;
        page.counter("seachange_stream_written_bytes_total", "Bytes written to streams.")
            .is(streams.bytes_written());
        let mut ends = page.gauge(
            "seachange_stream_end",
            "The offset that a stream's next event will have.",
        );
        streams
            .ends()
            .iter()
            .for_each(|(stream, end)| ends.of(&[("stream", stream)], end.0));
    }
}

/// How far each other member's log is known to reach.
fn matched_of(members: &[MemberStatus], me: NodeId) -> impl Iterator<Item = (String, Index)> + '_ {
    let others = members.iter().filter(move |member| member.node != me);
    others.filter_map(|member| Some((member.node.to_string(), member.matched?)))
}
