//! Starts and stops one node.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use environment::channel::{mpsc, oneshot};
use environment::{Environment, FileLock, Listener, timeout};
use host::Registry;
use machine::{Cluster, LEVEL_MAX, Machine, ReadError, RegisterNode};
use parking_lot::{Mutex, RwLock};
use store::format::identity::StoredIdentity;
use store::log::{Identity, Log, LogOptions};
use store::state::{Backend, State, StateOptions};
use store::streams::{StreamOptions, Streams};
use tracing::{info, warn};

use crate::applier::{Applier, Held, Order};
use crate::calls::{Answers, LeaderCalls};
use crate::checkpoint;
use crate::driver::{Admission, Driver, Event};
use crate::executors::{Hands, successor};
use crate::handle::Handle;
use crate::identity;
use crate::limits::HANDOVER_TIMEOUT;
use crate::peer::Peers;
use crate::peer::server::Server;
use crate::progress::Progress;
use crate::published::{Facts, Published};
use crate::raft::{Group, Parts, PeerService, QueueBytes};
use crate::reads::{Freshness, Readers};

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
    /// The log.
    pub log: LogOptions,
    /// The state.
    pub state: StateOptions,
    /// Streams.
    pub streams: StreamOptions,
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
    /// The cluster could not be joined.
    #[error("could not join the cluster at {address}: {why}")]
    Join {
        /// Whom it asked.
        address: String,
        /// What went wrong.
        why: String,
    },
}

/// One running node.
pub struct Node {
    handle: Arc<Handle>,
    environment: Environment,
    orders: mpsc::UnboundedSender<Order>,
    log: Log,
    broken: Mutex<Option<oneshot::Receiver<String>>>,
    _lock: Box<dyn FileLock>,
}

/// What lies on this node's disk, opened.
struct Opened {
    lock: Box<dyn FileLock>,
    identity: StoredIdentity,
    founding: bool,
    log: Log,
    held: Held,
    streams: Streams,
}

impl Node {
    /// Starts a node over a backend for its state and a socket for its peers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        config: Config,
        environment: Environment,
        backend: impl FnOnce(&std::path::Path) -> Result<Arc<dyn Backend>, String>,
        peer_listener: Box<dyn Listener>,
    ) -> Result<Node, StartError> {
        let opened = open(&config, &environment, backend).await?;
        let Opened {
            lock,
            identity,
            founding,
            log,
            held,
            streams,
        } = opened;
        let published = Arc::new(Published::default());
        published.publish(facts_of(&held.machine));
        let peers = Peers::new(environment.clone(), identity.cluster, identity.node, published.clone());
        let members = checkpoint::load_members(&held.state).map_err(store_error)?;
        let applied = held.machine.applied();
        let (queue, committed) = mpsc::unbounded_channel();
        let (flushed, queue_bytes) = (Arc::new(Progress::default()), QueueBytes::default());
        flushed.set(log.flushed().unwrap_or_default());
        let parts = Parts {
            peers: peers.clone(),
            log: log.clone(),
            flushed: flushed.clone(),
            queue,
            queue_bytes: queue_bytes.clone(),
            applied: log.term_at(applied).map(|term| (applied, term)),
            members: members.as_ref().map(|row| row.0.clone()),
        };
        let group = Group::start(parts).await.map_err(StartError::Store)?;
        let registry = config.registry;
        let held = Arc::new(RwLock::new(held));
        let (orders, orders_in) = mpsc::unbounded_channel();
        let (broken, broken_in) = oneshot::channel();
        let stream_reader = streams.reader();
        let applier = Applier {
            environment: environment.clone(),
            held: held.clone(),
            streams,
            log: log.clone(),
            flushed,
            published: published.clone(),
            queue_bytes,
            applications: registry.host(),
            converter: registry.host(),
            members,
        };
        let orders_back = orders.clone();
        environment.spawn_worker("applier", async move {
            if let Err(reason) = applier.run(committed, orders_in, orders_back).await {
                broken.send(reason).ok();
            }
        });
        let readers = Readers::start(&environment, &held, &registry, &stream_reader);
        let leader = LeaderCalls::new(peers, group.clone());
        let fresh = leader.clone();
        let freshness = Freshness::start(&environment, move || {
            let fresh = fresh.clone();
            async move { fresh.read_index().await.map_err(ReadError::Unconfirmed) }
        });
        let (events, events_in) = mpsc::unbounded_channel();
        let driver = Driver::new(environment.clone(), group.clone(), events_in, events.clone());
        environment.spawn("driver", driver.run());
        let group_changed = watch_group(&environment, &group, &published);
        let handle = Arc::new(Handle {
            node: identity.node,
            cluster: identity.cluster,
            group: group.clone(),
            events,
            admission: Admission::default(),
            published: published.clone(),
            group_changed,
            readers,
            freshness,
            streams: stream_reader,
            stopping: AtomicBool::new(false),
        });
        let cluster: Arc<dyn Cluster> = handle.clone();
        let calls = Arc::new(Answers {
            cluster: cluster.clone(),
            group: group.clone(),
            leader: leader.clone(),
        });
        let server = Server {
            environment: environment.clone(),
            cluster: identity.cluster,
            node: identity.node,
            raft: PeerService(group.clone()),
            calls,
            stop: published.clone(),
        };
        environment.spawn("peer server", server.run(peer_listener));
        let register = RegisterNode {
            nonce: identity.nonce,
            name: config.name,
            peer_address: config.peer_address.clone(),
            http_address: config.http_address,
            level_max: LEVEL_MAX,
            binary: env!("CARGO_PKG_VERSION").to_owned(),
        };
        if founding {
            group
                .found(identity.node, &config.peer_address)
                .await
                .map_err(StartError::Store)?;
        }
        let hands = Hands {
            environment: environment.clone(),
            node: identity.node,
            group,
            cluster,
            leader,
            published,
            held,
            registry,
        };
        hands.start(register);
        Ok(Node {
            handle,
            environment,
            orders,
            log,
            broken: Mutex::new(Some(broken_in)),
            _lock: lock,
        })
    }

    /// The node as whoever serves the world sees it.
    #[must_use]
    pub fn cluster(&self) -> Arc<dyn Cluster> {
        self.handle.clone()
    }

    /// Ends when the node is broken and must be stopped, with the reason; never before.
    pub async fn broken(&self) -> String {
        let applier = self.broken.lock().take();
        let raft = async {
            loop {
                if let Some(reason) = self.handle.group.view().stopped {
                    return reason;
                }
                self.environment.sleep(Duration::from_millis(200)).await;
            }
        };
        let Some(applier) = applier else {
            return raft.await;
        };
        futures::pin_mut!(raft);
        match futures::future::select(applier, raft).await {
            futures::future::Either::Left((Ok(reason), _)) | futures::future::Either::Right((reason, _)) => reason,
            futures::future::Either::Left((Err(_), raft)) => raft.await,
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
        if !group.is_leader() {
            return;
        }
        let Some(to) = successor(&group.view(), self.handle.node) else {
            return;
        };
        info!(%to, "handing leadership over");
        group.hand_over(to).await;
        let gone = self.handle.leader_known(Some(self.handle.node));
        if timeout(&self.environment, HANDOVER_TIMEOUT, gone).await.is_err() {
            warn!("leadership was not taken over in time; the others will elect a leader");
        }
    }
}

fn store_error(error: impl std::fmt::Display) -> StartError {
    StartError::Store(error.to_string())
}

fn facts_of(machine: &Machine) -> Facts {
    Facts {
        applied: machine.applied(),
        time: machine.time(),
        digest: machine.digest(),
        catalog: machine.catalog().clone(),
        parked: None,
    }
}

/// Opens everything that lies in the data directory.
async fn open(
    config: &Config,
    environment: &Environment,
    backend: impl FnOnce(&std::path::Path) -> Result<Arc<dyn Backend>, String>,
) -> Result<Opened, StartError> {
    let disk = environment.disk.clone();
    disk.create_dir_all(&config.data)
        .map_err(|error| StartError::Store(format!("{}: {error}", config.data.display())))?;
    let lock = disk
        .lock(&config.data.join("lock"))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StartError::InUse(config.data.clone()),
            _ => StartError::Store(format!("{}: {error}", config.data.display())),
        })?;
    let (identity, founding) = identity::of(config, environment).await?;
    let owner = Identity {
        cluster: identity.cluster,
        node: identity.node,
    };
    let log_opened =
        Log::open(environment, &config.data.join("log"), owner, config.log.clone()).map_err(store_error)?;
    for warning in log_opened.warnings {
        warn!("{warning}");
    }
    let backend = backend(&config.data.join("state")).map_err(StartError::Store)?;
    let state = State::open(backend, config.state.clone());
    let machine = Machine::load(&state).map_err(store_error)?;
    let streams = Streams::open(
        environment,
        &config.data.join("streams"),
        config.streams.clone(),
        machine.streams(),
    )
    .map_err(store_error)?;
    Ok(Opened {
        lock,
        identity,
        founding,
        log: log_opened.log,
        held: Held { machine, state },
        streams,
    })
}

/// Moves whenever the role, the leader or the members change.
fn watch_group(environment: &Environment, group: &Group, stop: &Arc<Published>) -> Arc<Progress> {
    let changed = Arc::new(Progress::default());
    let (moved, mut watch, stop) = (changed.clone(), group.watch(), stop.clone());
    environment.spawn("group watch", async move {
        while !stop.applied.is_closed() && watch.changed().await {
            moved.wake();
        }
    });
    changed
}
