//! The end of a run: the faults stop, and within a bounded time all is well again and the books are right.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use client::wire::EventRecord;
use machine::{Cluster, Event, Offset, ReadError, TimeMs};

use super::Run;
use crate::fleet::Number;
use crate::oracles::ending;
use crate::oracles::watch::Finding;
use crate::reader::TRANSFERS;
use crate::world::{Nanos, SECOND};

/// After the faults have stopped, the cluster has so long to serve everybody again and to agree.
const REST_MAX: Nanos = 120 * SECOND;
/// A change whose next step is due takes it within so long.
const CHANGE_MAX: Nanos = 10 * SECOND;
/// Bytes of a stream that are read at once.
const PAGE_BYTES: usize = 1 << 20;

impl Run {
    /// Ends all faults, waits until everything works again, and looks at what is left.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Finding> {
        self.resting = true;
        self.heal();
        let before = self.shared.history.lock().acknowledged;
        let wanted = before + 3 * self.clients.len() as u64;
        let served = self.until(REST_MAX, |run| run.shared.history.lock().acknowledged >= wanted)?;
        if !served {
            let now = self.shared.history.lock().acknowledged;
            return Err((
                "liveness",
                format!(
                    "{} commands were acknowledged after the faults: {}",
                    now - before,
                    self.standing()
                ),
            ));
        }
        self.shared.stop.store(true, Ordering::Relaxed);
        let ended = self.until(REST_MAX, |run| Arc::strong_count(&run.shared) == 1)?;
        if !ended {
            return Err(("liveness", "a client still waits for its answer".to_owned()));
        }
        if !self.until(REST_MAX, Run::agrees)? {
            return Err(("liveness", format!("the nodes do not agree: {}", self.standing())));
        }
        self.check_ending()
    }

    /// Whether every node serves, and holds what the others hold.
    pub(super) fn agrees(&self) -> bool {
        let running = self.fleet.machines.iter().filter(|machine| machine.life.is_some());
        let mut seen = Vec::new();
        for machine in running {
            let Some(status) = machine.status() else { return false };
            seen.push(status);
        }
        let Some(first) = seen.first() else { return false };
        first.applied >= self.watch.committed()
            && seen.iter().all(|status| {
                status.parked.is_none() && (status.applied, status.digest) == (first.applied, first.digest)
            })
    }

    /// For people: where every node stands.
    pub(super) fn standing(&self) -> String {
        let of = |machine: &crate::fleet::Machine| match machine.status() {
            Some(status) => format!(
                "node {} is {:?} of term {} at {} of {}, leader {:?}{}",
                machine.number,
                status.role,
                status.term,
                status.applied,
                status.last,
                status.leader.map(|leader| leader.0),
                status
                    .parked
                    .map(|reason| format!(", parked: {reason}"))
                    .unwrap_or_default()
            ),
            None => format!("node {} does not serve", machine.number),
        };
        let all: Vec<String> = self.fleet.machines.iter().map(of).collect();
        all.join("; ")
    }

    fn check_ending(&mut self) -> Result<(), Finding> {
        let mut streams = BTreeMap::new();
        for number in self.numbers() {
            let (start, events) = self.read_stream(number)?;
            ending::check_dense(number, start, &events)?;
            streams.insert(number, (start, events));
        }
        ending::check_streams(&streams)?;
        // To read them may have brought damage to light, which is mended by now.
        if !self.until(REST_MAX, Run::agrees)? {
            return Err(("liveness", format!("the nodes do not agree: {}", self.standing())));
        }
        // A step that is due is taken soon.
        if self.check_changes().is_err() {
            self.advance(self.world.now() + CHANGE_MAX)?;
            self.check_changes()?;
        }
        let (start, events) = streams.into_values().next().unwrap_or_default();
        let all = self.with_what_was_trimmed(start, events)?;
        self.check_history(&all)?;
        self.check_replay()
    }

    /// The consumer has read everything, as it stands in the stream, and kept what is trimmed there.
    fn with_what_was_trimmed(&mut self, start: Offset, events: Vec<Event>) -> Result<Vec<Event>, Finding> {
        let end = start.0 + events.len() as u64;
        if !self.until(REST_MAX, |run| run.consumed.lock().events.len() as u64 >= end)? {
            let read = self.consumed.lock().events.len();
            return Err(("liveness", format!("the consumer has read {read} of {end} events")));
        }
        let read = self.consumed.lock().events.iter().map(as_stored).collect();
        ending::check_consumed(read, start, &events)
    }

    /// All events of a node. One that finds damage only now must mend it by itself, and then give them.
    fn read_stream(&mut self, number: Number) -> Result<(Offset, Vec<Event>), Finding> {
        let end = self.world.now() + REST_MAX;
        let mut said = "it does not hold what the others hold".to_owned();
        while self.world.now() < end {
            // It may just have begun again from a snapshot, and have less than all of them.
            self.until(REST_MAX, Run::agrees)?;
            let shown = self.fleet.machine(number).map(|machine| machine.shown.clone());
            if let Some(cluster) = shown.and_then(|shown| shown.lock().cluster.clone()) {
                match self.ask(REST_MAX, whole_stream(cluster))? {
                    Some(Ok(events)) => return Ok(events),
                    Some(Err(error)) => said = error.to_string(),
                    None => said = "it gives no answer".to_owned(),
                }
            }
            self.advance(self.world.now() + SECOND)?;
        }
        Err(("readable streams", format!("node {number}: {said}")))
    }

    fn check_changes(&mut self) -> Result<(), Finding> {
        let admin = self.operator.admin().clone();
        match self.ask(REST_MAX, async move { admin.changes().await })? {
            Some(Ok(list)) => ending::check_changes(&list.changes),
            Some(Err(error)) => Err(("liveness", format!("no list of changes: {error}"))),
            None => Err(("liveness", "no list of changes".to_owned())),
        }
    }

    fn check_history(&self, events: &[Event]) -> Result<(), Finding> {
        let history = self.shared.history.lock();
        ending::check_transfers(&history, events)?;
        ending::check_sums(&history)?;
        ending::check_registers(&history)
    }

    /// The node that a client would ask.
    pub(super) fn any_cluster(&self) -> Option<Arc<dyn Cluster>> {
        self.fleet
            .machines
            .iter()
            .find_map(|machine| machine.shown.lock().cluster.clone())
    }

    /// Numbers of all nodes.
    pub(super) fn numbers(&self) -> Vec<Number> {
        self.fleet.machines.iter().map(|machine| machine.number).collect()
    }
}

fn as_stored(event: &EventRecord) -> Event {
    Event {
        offset: Offset(event.offset),
        time: TimeMs(event.time_ms),
        key: event.key.clone(),
        value: event.value.clone(),
        version: event.version,
    }
}

/// From its first event on, and which that is.
async fn whole_stream(cluster: Arc<dyn Cluster>) -> Result<(Offset, Vec<Event>), ReadError> {
    let mut start = Offset(0);
    let mut all: Vec<Event> = Vec::new();
    loop {
        let from = all.last().map_or(start, |last| Offset(last.offset.0 + 1));
        let page = match cluster.events(TRANSFERS.to_owned(), from, PAGE_BYTES, None).await {
            Err(ReadError::EventsTrimmed { start: first, .. }) if all.is_empty() && first > start => {
                start = first;
                continue;
            }
            page => page?,
        };
        if page.events.is_empty() {
            return Ok((start, all));
        }
        all.extend(page.events);
    }
}
