//! Starting a node: what lies on its disk first, then the group, then all that works on it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use environment::channel::{mpsc, oneshot};
use environment::{Environment, FileLock, Listener};
use machine::{Cluster, LEVEL_MAX, Machine, ReadError, RegisterNode};
use parking_lot::{Mutex, RwLock};
use store::format::identity::StoredIdentity;
use store::log::{Identity, Log};
use store::state::{Backend, State};
use store::streams::{StreamReader, Streams};
use tracing::warn;

use crate::applier::{Applier, Held, Order};
use crate::calls::{Answers, LeaderCalls};
use crate::checkpoint;
use crate::driver::{Admission, Driver};
use crate::executors::Hands;
use crate::handle::Handle;
use crate::identity;
use crate::limits::CHECKPOINT_BYTES;
use crate::node::{Config, Node, StartError};
use crate::peer::Peers;
use crate::peer::server::Server;
use crate::progress::Progress;
use crate::published::{Facts, Published};
use crate::raft::{Group, Parts, PeerService, Queue};
use crate::reads::{Freshness, Readers};

/// What lies on this node's disk, opened.
struct Opened {
    log: Log,
    held: Held,
    streams: Streams,
}

/// What the applier leaves behind once it runs.
struct Applying {
    group: Group,
    held: Arc<RwLock<Held>>,
    orders: mpsc::UnboundedSender<Order>,
    broken: oneshot::Receiver<String>,
    streams: StreamReader,
}

/// Starts a node over a backend for its state and a socket for its peers.
pub async fn start(
    config: Config,
    environment: Environment,
    backend: impl FnOnce(&Path) -> Result<Arc<dyn Backend>, String>,
    peer_listener: Box<dyn Listener>,
) -> Result<Node, StartError> {
    let (lock, identity, founding, opened) = open(&config, &environment, backend).await?;
    let log = opened.log.clone();
    let published = Arc::new(Published::default());
    published.publish(facts_of(&opened.held.machine));
    let peers = Peers::new(environment.clone(), identity.cluster, identity.node, published.clone());
    let applying = start_applying(&config, &environment, opened, &peers, &published).await?;
    let leader = LeaderCalls::new(peers, applying.group.clone());
    let handle = start_handle(&config, &environment, identity, &applying, &leader, &published);
    let cluster: Arc<dyn Cluster> = handle.clone();
    let group = applying.group.clone();
    let server = Server {
        environment: environment.clone(),
        cluster: identity.cluster,
        node: identity.node,
        raft: PeerService(group.clone()),
        calls: Arc::new(Answers {
            cluster: cluster.clone(),
            group: group.clone(),
            leader: leader.clone(),
        }),
        stop: published.clone(),
    };
    environment.spawn("peer server", server.run(peer_listener));
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
        held: applying.held,
        registry: config.registry,
    };
    hands.start(RegisterNode {
        nonce: identity.nonce,
        name: config.name,
        peer_address: config.peer_address,
        http_address: config.http_address,
        level_max: LEVEL_MAX,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    });
    Ok(Node {
        handle,
        environment,
        orders: applying.orders,
        log,
        broken: Mutex::new(Some(applying.broken)),
        _lock: lock,
    })
}

/// Starts the group and, on a thread of its own, the applier behind it.
async fn start_applying(
    config: &Config,
    environment: &Environment,
    opened: Opened,
    peers: &Peers,
    published: &Arc<Published>,
) -> Result<Applying, StartError> {
    let Opened { log, held, streams } = opened;
    let members = checkpoint::load_members(&held.state).map_err(store_error)?;
    let applied = held.machine.applied();
    let (flushed, queue) = (Arc::new(Progress::default()), Queue::default());
    flushed.set(log.flushed().unwrap_or_default());
    let group = Group::start(Parts {
        peers: peers.clone(),
        log: log.clone(),
        flushed: flushed.clone(),
        queue: queue.clone(),
        applied: log.term_at(applied).map(|term| (applied, term)),
        members: members.as_ref().map(|row| row.0.clone()),
    })
    .await
    .map_err(StartError::Store)?;
    let held = Arc::new(RwLock::new(held));
    let (orders, orders_in) = mpsc::unbounded_channel();
    let (broke, broken) = oneshot::channel();
    let stream_reader = streams.reader();
    let applier = Applier {
        environment: environment.clone(),
        held: held.clone(),
        streams,
        log,
        flushed,
        published: published.clone(),
        queue: queue.clone(),
        applications: config.registry.host(),
        converter: config.registry.host(),
        members,
        parked_for: None,
        // Members apply the same bytes, so with one limit they would all write at once, and every sync of the log would
        // wait for it; like this there is mostly a majority that does not.
        checkpoint_bytes: CHECKPOINT_BYTES + usize::from((peers.node().0 % 3) as u8) * CHECKPOINT_BYTES / 3,
    };
    let orders_back = orders.clone();
    environment.spawn_worker("applier", async move {
        let ended = applier.run(orders_in, orders_back).await;
        queue.close();
        if let Err(reason) = ended {
            broke.send(reason).ok();
        }
    });
    Ok(Applying {
        group,
        held,
        orders,
        broken,
        streams: stream_reader,
    })
}

/// Starts the driver and the readers, and gives the handle over them.
fn start_handle(
    config: &Config,
    environment: &Environment,
    identity: StoredIdentity,
    applying: &Applying,
    leader: &LeaderCalls,
    published: &Arc<Published>,
) -> Arc<Handle> {
    let readers = Readers::start(environment, &applying.held, &config.registry, &applying.streams);
    let fresh = leader.clone();
    let freshness = Freshness::start(environment, move || {
        let fresh = fresh.clone();
        async move { fresh.read_index().await.map_err(ReadError::Unconfirmed) }
    });
    let (events, events_in) = mpsc::unbounded_channel();
    let driver = Driver::new(environment.clone(), applying.group.clone(), events_in, events.clone());
    environment.spawn("driver", driver.run());
    Arc::new(Handle {
        node: identity.node,
        cluster: identity.cluster,
        group: applying.group.clone(),
        events,
        admission: Admission::default(),
        published: published.clone(),
        group_changed: watch_group(environment, &applying.group, published),
        readers,
        freshness,
        streams: applying.streams.clone(),
        stopping: AtomicBool::new(false),
    })
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
    backend: impl FnOnce(&Path) -> Result<Arc<dyn Backend>, String>,
) -> Result<(Box<dyn FileLock>, StoredIdentity, bool, Opened), StartError> {
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
    let log_opened = Log::open(environment, &config.data.join("log"), owner, config.log).map_err(store_error)?;
    for warning in log_opened.warnings {
        warn!("{warning}");
    }
    let backend = backend(&config.data.join("state")).map_err(StartError::Store)?;
    let state = State::open(backend, config.state);
    let machine = Machine::load(&state).map_err(store_error)?;
    let streams = Streams::open(
        environment,
        &config.data.join("streams"),
        config.streams,
        machine.streams(),
    )
    .map_err(store_error)?;
    let opened = Opened {
        log: log_opened.log,
        held: Held { machine, state },
        streams,
    };
    Ok((lock, identity, founding, opened))
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
