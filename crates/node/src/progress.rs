//! An index that others wait for.

use std::sync::atomic::{AtomicU64, Ordering};

use environment::channel::Notify;
use machine::Index;

/// An index that moves, and wakes those who wait for it.
#[derive(Debug, Default)]
pub struct Progress {
    index: AtomicU64,
    closed: std::sync::atomic::AtomicBool,
    moved: Notify,
}

impl Progress {
    /// Where it stands.
    pub fn get(&self) -> Index {
        Index(self.index.load(Ordering::Acquire))
    }

    /// Moves it, either way.
    pub fn set(&self, index: Index) {
        self.index.store(index.0, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Moves it forward only.
    pub fn advance(&self, index: Index) {
        self.index.fetch_max(index.0, Ordering::AcqRel);
        self.moved.notify_waiters();
    }

    /// Ends all waits: the node is stopping.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.moved.notify_waiters();
    }

    /// Whether the node is stopping.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Ends when it is closed.
    pub async fn closed(&self) {
        self.until(|| false).await;
    }

    /// Wakes all who wait, to look again.
    pub fn wake(&self) {
        self.moved.notify_waiters();
    }

    /// Ends when it is at least `index`, or closed.
    pub async fn reach(&self, index: Index) {
        self.until(|| self.get() >= index).await;
    }

    /// Ends when `met` holds, looked at after each move, or when closed.
    pub async fn until(&self, mut met: impl FnMut() -> bool) {
        loop {
            // Asked to be woken before looking, so that no move is missed in between.
            let moved = self.moved.notified();
            futures::pin_mut!(moved);
            moved.as_mut().enable();
            if met() || self.closed.load(Ordering::Acquire) {
                return;
            }
            moved.await;
        }
    }
}
