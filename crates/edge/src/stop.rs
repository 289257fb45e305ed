//! A word that is said once and heard by all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::channel::Notify;

/// Says, or waits to hear, that it is time to stop. Cloning shares it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<Shared>);

#[derive(Default)]
struct Shared {
    said: AtomicBool,
    heard: Notify,
}

impl Stop {
    /// Says it, to those who wait and those who will ask.
    pub fn say(&self) {
        self.0.said.store(true, Ordering::SeqCst);
        self.0.heard.notify_waiters();
    }

    /// Whether it has been said.
    pub fn is_said(&self) -> bool {
        self.0.said.load(Ordering::SeqCst)
    }

    /// Ends when it has been said.
    pub async fn said(&self) {
        // The waiter is in the list before the flag is read, so a word between the two is not missed.
        let heard = self.0.heard.notified();
        futures::pin_mut!(heard);
        heard.as_mut().enable();
        if !self.is_said() {
            heard.await;
        }
    }
}
