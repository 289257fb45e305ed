//! What the edge counts of itself, and the ways of single commands: their traces.

mod counted;
mod exporter;
mod kept;
mod measures;
mod notes;
mod otlp;
mod parent;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::wire::{Trace, TraceList};
use environment::channel::mpsc;
use environment::measure::{Page, Rarely};
use environment::{Environment, Moment};
use machine::{Cluster, Index};

use crate::limits::{EXPORT_WAITING_MAX, SLOW_LOG_AGAIN};
use kept::Kept;
use measures::EdgeMeasures;
use notes::{Way, microseconds};

pub(crate) use counted::Counted;
pub use exporter::{Endpoint, InvalidEndpoint};
pub(crate) use measures::RouteMeasures;
pub use notes::EntryTimes;
pub(crate) use notes::Notes;
pub(crate) use parent::Parent;

/// Writes what others count into the page of measures.
pub type MorePage = Arc<dyn Fn(&mut Page) + Send + Sync>;
/// Says when an entry that this node proposed came how far.
pub type EntryTimesOf = Arc<dyn Fn(Index) -> EntryTimes + Send + Sync>;

/// What is shown of commands and their ways.
#[derive(Clone)]
pub struct ObserveOptions {
    /// What others count.
    pub page: Option<MorePage>,
    /// When entries came how far.
    pub entry_times: Option<EntryTimesOf>,
    /// A command that takes longer is logged with its stages.
    pub slow_command: Duration,
    /// One command in so many has its stages kept; 0: none is picked by chance.
    pub trace_one_in: u64,
    /// The OpenTelemetry collector that traces are sent to.
    pub collector: Option<Endpoint>,
}

impl Default for ObserveOptions {
    fn default() -> Self {
        ObserveOptions {
            page: None,
            entry_times: None,
            slow_command: Duration::from_secs(1),
            trace_one_in: 1000,
            collector: None,
        }
    }
}

/// Sees what passes through the edge.
pub(crate) struct Observer {
    environment: Environment,
    cluster: Arc<dyn Cluster>,
    options: ObserveOptions,
    pub measures: EdgeMeasures,
    kept: Kept,
    commands: AtomicU64,
    slow_log: Rarely,
    export: Option<mpsc::Sender<Arc<Trace>>>,
}

/// A command that was answered.
pub(crate) struct Answered<'a> {
    /// A route's pattern, or a kind of frame.
    pub route: &'a str,
    pub application: &'a str,
    pub command: &'a str,
    pub status: u16,
    /// The entry that decided it.
    pub index: Option<Index>,
    /// Whether another node wants the stages, which passed it on.
    pub asked_by_peer: bool,
    /// What the leader told of its part.
    pub leader: Option<Trace>,
}

impl Observer {
    /// Begins to observe, and to export where a collector is named.
    pub fn start(
        environment: Environment,
        cluster: Arc<dyn Cluster>,
        options: ObserveOptions,
        binary: &str,
    ) -> Arc<Observer> {
        let (export, traces) = match &options.collector {
            Some(_) => {
                let (export, traces) = mpsc::channel(EXPORT_WAITING_MAX);
                (Some(export), Some(traces))
            }
            None => (None, None),
        };
        let observer = Arc::new(Observer {
            environment: environment.clone(),
            cluster,
            measures: EdgeMeasures::default(),
            kept: Kept::default(),
            commands: AtomicU64::new(0),
            slow_log: Rarely::every(SLOW_LOG_AGAIN),
            export,
            options,
        });
        if let (Some(endpoint), Some(traces)) = (observer.options.collector.clone(), traces) {
            let exporter = exporter::Exporter::new(environment.clone(), endpoint, &observer, binary);
            environment.spawn("trace-export", exporter.run(traces));
        }
        observer
    }

    pub fn now(&self) -> Moment {
        self.environment.clock.now()
    }

    /// Everything that is counted, as text.
    pub fn page(&self) -> String {
        let mut page = Page::default();
        self.measures.page(&mut page);
        if let Some(more) = &self.options.page {
            more(&mut page);
        }
        page.text()
    }

    /// The traces that are kept.
    pub fn traces(&self) -> TraceList {
        self.kept.list(self.now())
    }

    /// A command that was received at that moment was answered just now. Gives its trace where somebody wants it; for
    /// most commands this costs a look at the clock. Without notes it was given to the cluster when it was received.
    pub fn command_answered(
        &self,
        received: Moment,
        notes: Option<&Notes>,
        answered: Answered<'_>,
    ) -> Option<Arc<Trace>> {
        let now = self.now();
        let took = now - received;
        let total_us = microseconds(took);
        let slow = took >= self.options.slow_command;
        let recent = slow || notes.is_some_and(Notes::is_recorded) || self.is_picked();
        if !recent && !answered.asked_by_peer && !self.kept.is_slow(total_us) {
            return None;
        }
        let trace = Arc::new(match notes {
            Some(notes) => self.trace(notes, &answered, now),
            None => {
                let notes = Notes::new(received, None, false);
                notes.submitted(received);
                self.trace(&notes, &answered, now)
            }
        });
        if slow {
            self.measures.slow_commands.increment();
            self.log(&trace, now);
        }
        self.measures.traces.increment();
        self.kept.keep(trace.clone(), recent, now);
        if recent {
            self.export(&trace);
        }
        Some(trace)
    }

    fn is_picked(&self) -> bool {
        let count = self.commands.fetch_add(1, Ordering::Relaxed);
        count
            .checked_rem(self.options.trace_one_in)
            .is_some_and(|rest| rest == 0)
    }

    fn trace(&self, notes: &Notes, answered: &Answered<'_>, now: Moment) -> Trace {
        let noted = notes.noted();
        let here = answered.index.filter(|_| answered.leader.is_none());
        let times = here.zip(self.options.entry_times.as_ref());
        let way = Way {
            received: notes.received,
            noted: &noted,
            entry: times.map(|(index, of)| of(index)).unwrap_or_default(),
            leader: answered.leader.as_ref(),
            answered: now,
        };
        let place = notes.place(&*self.environment.chance);
        let total = now - notes.received;
        Trace {
            trace_id: format!("{:032x}", place.trace),
            span_id: format!("{:016x}", place.span),
            parent_span_id: place.parent.map(|span| format!("{span:016x}")),
            node: self.cluster.status().node.0,
            route: answered.route.to_owned(),
            application: answered.application.to_owned(),
            command: answered.command.to_owned(),
            status: answered.status,
            index: answered.index.map(|index| index.0),
            repeated: way.is_repeat() || answered.leader.as_ref().is_some_and(|leader| leader.repeated),
            received_ms: self
                .environment
                .clock
                .wall_ms()
                .saturating_sub(microseconds(total) / 1000),
            total_us: microseconds(total),
            stages: way.stages(),
        }
    }

    /// A node that is slow is so for many: one line now and then tells what the page counts.
    fn log(&self, trace: &Trace, now: Moment) {
        let Some(also) = self.slow_log.happened(now) else {
            return;
        };
        let show = |stage: &client::wire::TraceStage| {
            let node = stage.node.map_or(String::new(), |node| format!(" (node {node})"));
            let (whole, rest) = (stage.us / 1000, stage.us % 1000 / 100);
            format!("{}{node} {whole}.{rest} ms", stage.stage.name())
        };
        let stages: Vec<String> = trace.stages.iter().map(show).collect();
        tracing::warn!(
            trace = trace.trace_id,
            application = trace.application,
            command = trace.command,
            status = trace.status,
            index = trace.index,
            took_ms = trace.total_us / 1000,
            stages = stages.join(", "),
            also_since_the_last_line = also,
            "a command was slow"
        );
    }

    fn export(&self, trace: &Arc<Trace>) {
        if let Some(export) = &self.export
            && export.try_send(trace.clone()).is_err()
        {
            self.measures.spans_dropped.add(otlp::spans_of(trace));
        }
    }
}
