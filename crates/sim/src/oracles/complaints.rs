//! What nodes complain of: an error in a node's log is a finding where no disk has done anything wrong. Without this a
//! node that damages its own data and then mends it from the others would pass for a sound one.

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

thread_local! {
    /// Of the run on this thread: a run never leaves its own.
    static MADE: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Begins to listen, once for the process, and shows on stderr what `shown` names of the nodes' logs.
pub fn listen(shown: &str) {
    static BEGUN: Once = Once::new();
    BEGUN.call_once(|| {
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .without_time();
        let log = Registry::default()
            .with(lines.with_filter(EnvFilter::new(shown)))
            .with(Listener.with_filter(filter_fn(is_complaint)));
        tracing::subscriber::set_global_default(log).ok();
    });
}

/// What was complained of on this thread since this was asked last.
#[must_use]
pub fn take() -> Vec<String> {
    MADE.take()
}

/// The Raft crate and the state store have errors of their own, which ours judge.
fn is_complaint(metadata: &Metadata<'_>) -> bool {
    let ours = ["node", "store", "edge", "seachange", "host"];
    let crate_name = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() == Level::ERROR && ours.contains(&crate_name)
}

struct Listener;

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        MADE.with_borrow_mut(|made| made.push(text.0));
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { ", " };
        let written = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}={value:?}"),
        };
        debug_assert!(written.is_ok(), "a string takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_node_is_a_complaint_and_nothing_else_is() {
        listen("off");
        tracing::error!(target: "node::condition", reason = "a bit", "damaged");
        tracing::warn!(target: "node::condition", "nothing bad");
        tracing::error!(target: "openraft::core", "not ours");
        assert_eq!(take(), ["damaged, reason=\"a bit\""]);
        assert_eq!(take(), [""; 0]);
    }
}
