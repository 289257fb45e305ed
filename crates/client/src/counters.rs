use std::sync::atomic::{AtomicU64, Ordering};

/// What a client has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Requests that callers made.
    pub requests: u64,
    /// Requests that ended in an error that the caller saw, a failure of the application too.
    pub failed: u64,
    /// Requests among those whose outcome is unknown.
    pub unknown: u64,
    /// Times that a caller's request was sent.
    pub attempts: u64,
    /// Times among those that it had been sent before.
    pub retries: u64,
    /// Times that a node named another as the leader, and the client went there.
    pub leader_moves: u64,
    /// Connections made.
    pub connects: u64,
    /// Connections lost on which requests were waiting for their answers.
    pub disconnects: u64,
    /// Sessions opened.
    pub sessions: u64,
}

/// The counters behind [`Counts`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: Counter,
    pub(crate) failed: Counter,
    pub(crate) unknown: Counter,
    pub(crate) attempts: Counter,
    pub(crate) retries: Counter,
    pub(crate) leader_moves: Counter,
    pub(crate) connects: Counter,
    pub(crate) disconnects: Counter,
    pub(crate) sessions: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            requests: self.requests.get(),
            failed: self.failed.get(),
            unknown: self.unknown.get(),
            attempts: self.attempts.get(),
            retries: self.retries.get(),
            leader_moves: self.leader_moves.get(),
            connects: self.connects.get(),
            disconnects: self.disconnects.get(),
            sessions: self.sessions.get(),
        }
    }
}
