//! The seam between Seachange and the world: clock, tasks, chance, network and disk as traits.
//!
//! Everything that a node does outside its own memory goes through an [`Environment`]. The real one
//! ([`real`]) stands on tokio and the operating system; a simulator brings its own and runs the very same node.
//! This crate never knows what a node is: it depends on nothing of ours.

mod chance;
mod clock;
mod current;
mod disk;
pub mod measure;
mod network;
pub mod real;
mod system;
mod tasks;

use std::sync::Arc;

pub use chance::Chance;
pub use clock::{Clock, Moment, TimedOut, timeout};
pub use current::{enter, with_current};
pub use disk::{Disk, Entry, File, FileLock};
pub use network::{Listener, Network, Stream};
pub use system::{System, Usage};
pub use tasks::{BoxFuture, Tasks};

/// Channels between tasks. They are tokio's, which need no runtime of their own and wake in order.
pub mod channel {
    pub use tokio::sync::{Mutex, MutexGuard, Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
}

/// Everything a node may reach outside its own memory. Cloning shares it.
#[derive(Clone)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Concurrency.
    pub tasks: Arc<dyn Tasks>,
    /// Randomness.
    pub chance: Arc<dyn Chance>,
    /// Sockets.
    pub network: Arc<dyn Network>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// What the process uses, for showing.
    pub system: Arc<dyn System>,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Environment")
    }
}
