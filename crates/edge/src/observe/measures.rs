use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use environment::measure::{Counter, Gauge, Histogram, Page};

/// What the edge counts and times.
#[derive(Debug, Default)]
pub(crate) struct EdgeMeasures {
    routes: RwLock<BTreeMap<String, Arc<RouteMeasures>>>,
    /// Connections that are open, and those that were accepted.
    pub http_open: Gauge,
    pub frames_open: Gauge,
    pub http_accepted: Counter,
    pub frames_accepted: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    /// Requests that wait for a leader, and their bytes.
    pub held: Gauge,
    pub held_bytes: Gauge,
    /// Requests passed on to the leader: answered there; not taken there; of unknown outcome.
    pub forwarded: Counter,
    pub forwarded_in_vain: Counter,
    pub forwarded_unknown: Counter,
    pub slow_commands: Counter,
    pub traces: Counter,
    pub spans_exported: Counter,
    pub spans_dropped: Counter,
}

/// Of one route of the HTTP API, or one kind of frame.
#[derive(Debug)]
pub(crate) struct RouteMeasures {
    took: Histogram,
    /// By status, from 100 on.
    statuses: Box<[Counter]>,
}

impl RouteMeasures {
    /// A request was answered: for streams, its answer began.
    pub fn answered(&self, status: u16, took: Duration) {
        self.answered_together(1, status, took);
    }

    /// So many requests that came together were answered together.
    pub fn answered_together(&self, count: u64, status: u16, took: Duration) {
        self.took.time_each(took, count);
        if let Some(answered) = self.statuses.get(usize::from(status).saturating_sub(100)) {
            answered.add(count);
        }
    }
}

impl EdgeMeasures {
    /// Of a route, by its pattern.
    pub fn route(&self, pattern: &str) -> Arc<RouteMeasures> {
        if let Some(known) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(pattern) {
            return known.clone();
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || {
            Arc::new(RouteMeasures {
                took: Histogram::seconds(),
                statuses: (0..500).map(|_| Counter::default()).collect(),
            })
        };
        routes.entry(pattern.to_owned()).or_insert_with(fresh).clone()
    }

    pub fn page(&self, page: &mut Page) {
        self.routes_part(page);
        let mut open = page.gauge("seachange_connections", "Connections of clients that are open.");
        open.of(&[("protocol", "http")], self.http_open.get());
        open.of(&[("protocol", "frames")], self.frames_open.get());
        let mut accepted = page.counter(
            "seachange_connections_total",
            "Connections of clients that were accepted.",
        );
        accepted.of(&[("protocol", "http")], self.http_accepted.get());
        accepted.of(&[("protocol", "frames")], self.frames_accepted.get());
        page.counter("seachange_received_bytes_total", "Bytes received from clients.")
            .is(self.received_bytes.get());
        page.counter("seachange_sent_bytes_total", "Bytes sent to clients.")
            .is(self.sent_bytes.get());
        page.gauge("seachange_held_requests", "Requests held until there is a leader.")
            .is(self.held.get());
        page.gauge("seachange_held_bytes", "Bytes of those.")
            .is(self.held_bytes.get());
        let mut forwarded = page.counter(
            "seachange_forwarded_total",
            "Requests passed on to the leader, by what came of it.",
        );
        forwarded.of(&[("result", "answered")], self.forwarded.get());
        forwarded.of(&[("result", "nothing_done")], self.forwarded_in_vain.get());
        forwarded.of(&[("result", "unknown")], self.forwarded_unknown.get());
        page.counter(
            "seachange_slow_commands_total",
            "Commands that took longer than --slow-command-ms.",
        )
        .is(self.slow_commands.get());
        page.counter("seachange_traces_total", "Commands whose stages were kept.")
            .is(self.traces.get());
        let mut spans = page.counter(
            "seachange_spans_total",
            "Spans for the OpenTelemetry collector, by what came of them.",
        );
        spans.of(&[("result", "exported")], self.spans_exported.get());
        spans.of(&[("result", "dropped")], self.spans_dropped.get());
    }

    fn routes_part(&self, page: &mut Page) {
        let routes = self.routes.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut requests = page.counter("seachange_requests_total", "Requests of clients, by route and status.");
        for (route, measures) in &routes {
            for (status, count) in (100..)
                .zip(measures.statuses.iter())
                .filter(|(_, count)| count.get() > 0)
            {
                requests.of(&[("route", route), ("status", &i32::to_string(&status))], count.get());
            }
        }
        let mut took = page.histogram(
            "seachange_request_seconds",
            "From the head of a request until its answer, or the beginning of it for streams.",
        );
        for (route, measures) in &routes {
            took.shows(&[("route", route)], &measures.took);
        }
    }
}
