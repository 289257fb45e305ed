use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use client::wire::{Trace, TraceList};
use environment::Moment;

use crate::limits::{TRACE_SLOWEST_TIME, TRACES_RECENT_MAX, TRACES_SLOWEST_MAX};

/// Traces that are kept to be shown.
#[derive(Debug, Default)]
pub(super) struct Kept {
    traces: Mutex<Traces>,
    /// The shortest of the slowest, microseconds, once there are as many as are kept: what is faster need not be told.
    bar_us: AtomicU64,
}

#[derive(Debug, Default)]
struct Traces {
    /// Slowest first.
    slowest: Vec<(Moment, Arc<Trace>)>,
    /// Newest first.
    recent: VecDeque<Arc<Trace>>,
}

impl Kept {
    /// Whether a command that took so long may be one of the slowest.
    pub fn is_slow(&self, total_us: u64) -> bool {
        total_us > self.bar_us.load(Ordering::Relaxed)
    }

    /// Keeps a trace, among the recent ones only if it is `recent`.
    pub fn keep(&self, trace: Arc<Trace>, recent: bool, now: Moment) {
        let mut traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        if recent {
            traces.recent.push_front(trace.clone());
            traces.recent.truncate(TRACES_RECENT_MAX);
        }
        traces.slowest.retain(|(at, _)| now - *at < TRACE_SLOWEST_TIME);
        let place = traces
            .slowest
            .partition_point(|(_, other)| other.total_us >= trace.total_us);
        traces.slowest.insert(place, (now, trace));
        traces.slowest.truncate(TRACES_SLOWEST_MAX);
        let full = traces.slowest.len() == TRACES_SLOWEST_MAX;
        let bar_us = traces
            .slowest
            .last()
            .filter(|_| full)
            .map_or(0, |(_, last)| last.total_us);
        self.bar_us.store(bar_us, Ordering::Relaxed);
    }

    /// All of them.
    pub fn list(&self, now: Moment) -> TraceList {
        let traces = self.traces.lock().unwrap_or_else(PoisonError::into_inner);
        let slowest = traces.slowest.iter().filter(|(at, _)| now - *at < TRACE_SLOWEST_TIME);
        TraceList {
            slowest: slowest.map(|(_, trace)| Trace::clone(trace)).collect(),
            recent: traces.recent.iter().map(|trace| Trace::clone(trace)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn trace(total_us: u64) -> Arc<Trace> {
        Arc::new(Trace {
            trace_id: String::new(),
            span_id: String::new(),
            parent_span_id: None,
            node: 1,
            route: String::new(),
            application: String::new(),
            command: String::new(),
            status: 200,
            index: None,
            repeated: false,
            received_ms: 0,
            total_us,
            stages: Vec::new(),
        })
    }

    fn totals(traces: &[Trace]) -> Vec<u64> {
        traces.iter().map(|trace| trace.total_us).collect()
    }

    #[test]
    fn the_slowest_are_kept_and_the_bar_rises_with_them() {
        let kept = Kept::default();
        let now = Moment(Duration::from_secs(1));
        for total in 1..=TRACES_SLOWEST_MAX as u64 {
            assert!(kept.is_slow(total));
            kept.keep(trace(total), false, now);
        }
        assert!(!kept.is_slow(1));
        kept.keep(trace(1000), true, now);
        assert!(!kept.is_slow(2), "1 made room for 1000");
        let list = kept.list(now);
        assert_eq!(list.slowest.len(), TRACES_SLOWEST_MAX);
        assert_eq!(
            (list.slowest[0].total_us, list.slowest[TRACES_SLOWEST_MAX - 1].total_us),
            (1000, 2)
        );
        assert_eq!(totals(&list.recent), [1000]);
    }

    #[test]
    fn what_is_old_is_no_longer_among_the_slowest() {
        let kept = Kept::default();
        let then = Moment(Duration::from_secs(1));
        kept.keep(trace(1000), true, then);
        let later = then + TRACE_SLOWEST_TIME;
        assert!(kept.list(later).slowest.is_empty());
        kept.keep(trace(5), true, later);
        assert_eq!(totals(&kept.list(later).slowest), [5]);
        assert_eq!(totals(&kept.list(later).recent), [5, 1000]);
        (0..TRACES_RECENT_MAX).for_each(|_| kept.keep(trace(1), true, later));
        assert_eq!(totals(&kept.list(later).recent), [1; TRACES_RECENT_MAX]);
    }
}
