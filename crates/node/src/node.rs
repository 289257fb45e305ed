//! Starts and stops one node.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use environment::channel::{mpsc, oneshot};
use environment::{Environment, FileLock, Listener};
use host::Registry;
use machine::{Cluster, Level};
use parking_lot::Mutex;
use store::log::{Log, LogOptions};
use store::state::{Backend, StateOptions};
use store::streams::StreamOptions;
use tracing::warn;

use crate::applier::Order;
use crate::condition::{Condition, Ending};
use crate::driver::Event;
use crate::executors::{Retention, hand_over};
use crate::handle::Handle;
use crate::limits;
use crate::measures::Observed;
use crate::start;
use crate::upkeep::Upkeep;

/// What a node is started with.
pub struct Config {
    /// For people.
    pub name: String,
    /// Its data directory.
    pub data: PathBuf,
    /// `HOST:PORT` under which peers reach it.
    pub peer_address: String,
    /// `HOST:PORT` under which clients reach it.
    pub http_address: String,
    /// A member's peer address, for a node without data that is to join its cluster; none: found a new one.
    pub join: Option<String>,
    /// What it can run.
    pub registry: Registry,
    /// The highest level of the log's entries that it knows.
    pub level_max: Level,
    /// The log.
    pub log: LogOptions,
    /// The state.
    pub state: StateOptions,
    /// Streams.
    pub streams: StreamOptions,
    /// Of streams, what is kept, while this node leads.
    pub retention: Retention,
    /// Snapshots, scans, and room on the disk.
    pub upkeep: UpkeepOptions,
}

/// How a node keeps itself sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpkeepOptions {
    /// Bytes of entries applied after which the next snapshot is due.
    pub snapshot_log_bytes: u64,
    /// Entries kept in the log behind the newest snapshot.
    pub log_keep_entries: u64,
    /// Bytes of snapshot and log that are kept so that replay can cross a change, at most; zero: nothing is kept for that.
    pub replay_keep_bytes: u64,
    /// Time between two scans of everything on disk.
    pub scan_interval: Duration,
    /// Bytes that must be free on the disk: below it the node takes no writes.
    pub disk_reserve_bytes: u64,
}

impl Default for UpkeepOptions {
    fn default() -> Self {
        UpkeepOptions {
            snapshot_log_bytes: limits::SNAPSHOT_LOG_BYTES,
            log_keep_entries: limits::LOG_KEEP_ENTRIES,
            replay_keep_bytes: limits::REPLAY_KEEP_BYTES,
            scan_interval: limits::SCAN_INTERVAL,
            disk_reserve_bytes: limits::DISK_RESERVE_BYTES,
        }
    }
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another process has the data directory.
    #[error("{0} is in use by another process: stop that one, or give this node a directory of its own (--data)")]
    InUse(PathBuf),
    /// The disk failed, or what lies there cannot be used.
    #[error("{0}")]
    Store(String),
    /// The directory belongs to another cluster than the one to join.
    #[error(
        "{} belongs to a node of cluster {found}, and the node at {address} (--join) is one of cluster {wanted}: \
         give this node a directory of its own (--data), or leave --join out to go on with what lies there",
        data.display()
    )]
    OtherCluster {
        /// The data directory.
        data: PathBuf,
        /// Whose it is.
        found: String,
        /// Whom it was to join.
        address: String,
        /// Whose that is.
        wanted: String,
    },
    /// The cluster could not be joined.
    #[error(
        "could not join the cluster at {address}: {why}; name the peer address of a member that runs (--join): \
         `seachange status` shows them"
    )]
    Join {
        /// Whom it asked.
        address: String,
        /// What went wrong.
        why: String,
    },
}

/// One running node.
pub struct Node {
    pub(crate) handle: Arc<Handle>,
    pub(crate) environment: Environment,
    pub(crate) orders: mpsc::UnboundedSender<Order>,
    pub(crate) log: Log,
    pub(crate) upkeep: Upkeep,
    pub(crate) condition: Condition,
    pub(crate) endings: Mutex<Endings>,
    pub(crate) observed: Arc<Observed>,
    pub(crate) _lock: Box<dyn FileLock>,
}

type Endings = Option<mpsc::UnboundedReceiver<Ending>>;

/// Given back when whoever asked waits no longer.
struct Borrowed<'a> {
    home: &'a Mutex<Endings>,
    endings: Endings,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        *self.home.lock() = self.endings.take();
    }
}

impl Node {
    /// Starts a node over a backend for its state and a socket for its peers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: Config,
        environment: Environment,
        backend: impl Fn(&std::path::Path) -> Result<Arc<dyn Backend>, store::state::Error> + Send + Sync + 'static,
        peer_listener: Box<dyn Listener>,
    ) -> Result<Node, StartError> {
        start::start(config, environment, Box::new(backend), peer_listener).await
    }

    /// The node as whoever serves the world sees it.
    #[must_use]
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        self.handle.clone()
    }

    /// The node as it shows itself to whoever watches it.
    #[must_use]
    pub fn observed(&self) -> Arc<Observed> {
        self.observed.clone()
    }

    /// Its log, for whoever compares it with those of others.
    #[must_use]
    pub fn log(&self) -> Log {
        self.log.clone()
    }

    /// What keeps the node sound: snapshots and scans.
    #[must_use]
    pub fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    /// Ends when the node cannot go on as it is, with what to do; never before. Asked by one at a time.
    pub async fn ended(&self) -> Ending {
        let mut endings = Borrowed {
            home: &self.endings,
            endings: self.endings.lock().take(),
        };
        let raft = async {
            while self.handle.group.view().stopped.is_none() {
                self.environment.sleep(Duration::from_millis(200)).await;
            }
            let stopped = self.handle.group.view().stopped;
            self.condition.broken(stopped.unwrap_or_default());
            std::future::pending::<()>().await;
        };
        let ending = async {
            match endings.endings.as_mut() {
                // The condition lives as long as the node: the channel never closes before.
                Some(receiver) => receiver.recv().await,
                None => None,
            }
        };
        let ending = async {
            match ending.await {
                Some(ending) => ending,
                None => std::future::pending().await,
            }
        };
        futures::pin_mut!(raft, ending);
        match futures::future::select(ending, raft).await {
            futures::future::Either::Left((ending, _)) => ending,
            futures::future::Either::Right(((), ending)) => ending.await,
        }
    }

    /// Hands leadership over if this node has it, and takes nothing new: what is under way still gets its answer.
    pub async fn prepare_to_stop(&self) {
        self.hand_over().await;
        self.handle.stopping.store(true, Ordering::Release);
    }

    /// Writes a checkpoint, and ends.
    pub async fn shutdown(self) {
        let (done, checkpointed) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).is_ok() {
            checkpointed.await.ok();
        }
        self.handle.group.shutdown().await;
        // The driver may have ended by itself.
        self.handle.events.send(Event::Stop).ok();
        self.handle.published.close();
        self.handle.group_changed.close();
        self.log.shutdown().await;
    }

    async fn hand_over(&self) {
        let group = &self.handle.group;
        if group.is_leader() && !hand_over(&self.environment, group, self.handle.node).await {
            warn!("nobody took leadership over; the others, if there are any, will elect a leader");
        }
    }
}
