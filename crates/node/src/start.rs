//! Starting a node: what lies on its disk first, then the group, then all that works on it.

mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use environment::channel::mpsc;
use environment::{Environment, Listener};
use host::RehearsalHost;
use machine::{Index, Machine, NodeId, ReadError, RegisterNode, Term};
use parking_lot::{Mutex, RwLock};
use store::format::identity::StoredIdentity;
use store::log::Log;
use store::streams::StreamReader;

use crate::applier::{Applier, Held, Order};
use crate::calls::{Answers, LeaderCalls};
use crate::checkpoint;
use crate::condition::Condition;
use crate::copies::Copies;
use crate::driver::{Admission, Driver};
use crate::executors::Hands;
use crate::handle::Handle;
use crate::limits::CHECKPOINT_BYTES;
use crate::measures::{GroupWatch, Measures, Observed};
use crate::node::{Config, Node, StartError};
use crate::peer::Peers;
use crate::peer::server::Server;
use crate::progress::Progress;
use crate::published::{Facts, Published};
use crate::quarantine::Quarantine;
use crate::raft::{Group, Parts, PeerService, Queue};
use crate::reads::{Freshness, Readers};
use crate::repair::OpenBackend;
use crate::retained::Retained;
use crate::room::Room;
use crate::upkeep::Upkeep;

/// What the applier leaves behind once it runs.
struct Applying {
    group: Group,
    held: Arc<RwLock<Held>>,
    upkeep: Upkeep,
    log: Log,
    applied_bytes: Arc<AtomicU64>,
    streams: StreamReader,
    queue: Queue,
    measures: Arc<Measures>,
}

/// Starts a node over a backend for its state and a socket for its peers.
pub async fn start(
    config: Config,
    environment: Environment,
    backend: Box<OpenBackend>,
    peer_listener: Box<dyn Listener>,
) -> Result<Node, StartError> {
    let (lock, opened) = open::open(&config, &environment, &*backend).await?;
    let (identity, condition, parts) = (opened.identity, opened.condition, opened.parts);
    let log = parts.log.clone();
    let published = Arc::new(Published::default());
    published.publish(facts_of(&parts.held.machine));
    let measures = Arc::new(Measures::new(identity.node, environment.clock.clone()));
    let peers = Peers::new(
        environment.clone(),
        identity.cluster,
        config.peer_address.clone(),
        published.clone(),
        measures.clone(),
    );
    let (orders, orders_in) = mpsc::unbounded_channel();
    let told = (orders.clone(), orders_in);
    let applying = start_applying(&config, &environment, parts, &peers, &published, &condition, told).await?;
    let leader = LeaderCalls::new(peers.clone(), applying.group.clone());
    let room = Room::new(config.upkeep.disk_reserve_bytes);
    room.look(condition.free_bytes());
    let handle = start_handle(&config, &environment, identity, &applying, &leader, &published, &room);
    let server = Server {
        peers,
        raft: PeerService::new(applying.group.clone(), condition.clone(), room.clone()),
        calls: Arc::new(Answers {
            cluster: handle.clone(),
            group: applying.group.clone(),
            leader: leader.clone(),
            upkeep: applying.upkeep.clone(),
        }),
        stop: published.clone(),
    };
    environment.spawn("peer server", server.run(peer_listener));
    if opened.founding {
        let founded = applying.group.found(identity.node, &config.peer_address).await;
        founded.map_err(StartError::Store)?;
    }
    let observed = Arc::new(Observed {
        measures,
        handle: handle.clone(),
        log: log.clone(),
        queue: applying.queue.clone(),
        held: Arc::downgrade(&applying.held),
    });
    let upkeep = applying.upkeep.clone();
    let register = register_of(&config, identity.nonce);
    hands_of(config, &environment, &handle, applying, leader, published, room, &log).start(register);
    Ok(Node {
        observed,
        handle,
        environment,
        upkeep,
        orders,
        log,
        condition,
        endings: Mutex::new(Some(opened.endings)),
        _lock: lock,
    })
}

/// What the executors work with.
#[expect(
    clippy::too_many_arguments,
    reason = "all that the start has made comes together here"
)]
fn hands_of(
    config: Config,
    environment: &Environment,
    handle: &Arc<Handle>,
    applying: Applying,
    leader: LeaderCalls,
    published: Arc<Published>,
    room: Room,
    log: &Log,
) -> Hands {
    Hands {
        environment: environment.clone(),
        node: handle.node,
        group: applying.group,
        cluster: handle.clone(),
        leader,
        published,
        held: applying.held,
        registry: config.registry,
        upkeep: applying.upkeep,
        options: config.upkeep,
        applied_bytes: applying.applied_bytes,
        log: log.clone(),
        room,
        streams: applying.streams,
        retention: config.retention,
        measures: applying.measures,
    }
}

/// How this node announces itself.
fn register_of(config: &Config, nonce: u64) -> RegisterNode {
    RegisterNode {
        nonce,
        name: config.name.clone(),
        peer_address: config.peer_address.clone(),
        http_address: config.http_address.clone(),
        level_max: config.level_max,
        binary: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

type Orders = (mpsc::UnboundedSender<Order>, mpsc::UnboundedReceiver<Order>);

/// Starts the group and, on a thread of its own, the applier behind it.
async fn start_applying(
    config: &Config,
    environment: &Environment,
    parts: open::Parts,
    peers: &Peers,
    published: &Arc<Published>,
    condition: &Condition,
    (orders, orders_in): Orders,
) -> Result<Applying, StartError> {
    let open::Parts {
        log,
        held,
        streams,
        retained,
    } = parts;
    let members = checkpoint::load_members(&held.state).map_err(store_error)?;
    let sums = checkpoint::load_sums(&held.state).map_err(store_error)?;
    let (flushed, queue) = (Arc::new(Progress::default()), Queue::new(peers.measures().clone()));
    flushed.set(log.flushed().unwrap_or_default());
    let group = Group::start(Parts {
        peers: peers.clone(),
        log: log.clone(),
        flushed: flushed.clone(),
        queue: queue.clone(),
        applied: term_of(&log, held.machine.applied()),
        members: members.as_ref().map(|row| row.0.clone()),
        retained: retained.clone(),
        log_keep_entries: config.upkeep.log_keep_entries,
        campaigns: condition.votes_from().is_none(),
        measures: peers.measures().clone(),
    })
    .await
    .map_err(StartError::Store)?;
    let (held, stream_reader) = (Arc::new(RwLock::new(held)), streams.reader());
    let applied_bytes = Arc::<AtomicU64>::default();
    let keeper = retained.keeper().clone();
    let upkeep = upkeep_of(environment, peers, retained, condition, published, &orders);
    let applier = Applier {
        environment: environment.clone(),
        held: held.clone(),
        streams,
        log: log.clone(),
        flushed,
        published: published.clone(),
        queue: queue.clone(),
        applications: config.registry.host(),
        converter: config.registry.host(),
        rehearsal: RehearsalHost::new(peers.node(), &config.registry),
        level_max: config.level_max,
        members,
        quarantine: Quarantine::read(condition, held.read().machine.applied()).map_err(store_error)?,
        parked_for: None,
        measures: peers.measures().clone(),
        checkpoint_bytes: checkpoint_bytes(peers.node()),
        sums,
        keeper,
        applied_bytes: applied_bytes.clone(),
    };
    run_applier(environment, applier, (orders, orders_in), condition);
    Ok(Applying {
        group,
        held,
        upkeep,
        log,
        applied_bytes,
        streams: stream_reader,
        queue,
        measures: peers.measures().clone(),
    })
}

fn upkeep_of(
    environment: &Environment,
    peers: &Peers,
    kept: Retained,
    condition: &Condition,
    published: &Arc<Published>,
    orders: &mpsc::UnboundedSender<Order>,
) -> Upkeep {
    let owner = (peers.cluster(), peers.node());
    let (shown, told) = (published.clone(), orders.clone());
    Upkeep::new(environment.clone(), owner, kept, condition.clone(), shown, told)
}

/// Members apply the same bytes, so with one limit they would all write at once, and every sync of the log would wait for
/// it; like this there is mostly a majority that does not.
fn checkpoint_bytes(node: NodeId) -> usize {
    CHECKPOINT_BYTES + usize::from((node.0 % 3) as u8) * CHECKPOINT_BYTES / 3
}

fn term_of(log: &Log, applied: Index) -> Option<(Index, Term)> {
    log.term_at(applied).map(|term| (applied, term))
}

/// Runs the applier on a thread of its own. One that fails may have met damage: then the node must not come back with it.
fn run_applier(environment: &Environment, applier: Applier, (orders, orders_in): Orders, condition: &Condition) {
    let (queue, held, condition) = (applier.queue.clone(), applier.held.clone(), condition.clone());
    environment.spawn_worker("applier", async move {
        if let Err(reason) = applier.run(orders_in, orders).await {
            let backend = held.read().state.backend();
            let files = || backend.check_files().map_err(|error| error.to_string());
            match checkpoint::check_rows(&*backend.view()).and_then(|_| files()) {
                Ok(()) => condition.broken(reason),
                Err(why) => condition.damaged(&why),
            }
        }
        // Only now: whoever finds the queue closed takes the node for stopped, and what is to be done about it must be
        // noted by then.
        queue.close();
    });
}

/// Starts the driver and the readers, and gives the handle over them.
fn start_handle(
    config: &Config,
    environment: &Environment,
    identity: StoredIdentity,
    applying: &Applying,
    leader: &LeaderCalls,
    published: &Arc<Published>,
    room: &Room,
) -> Arc<Handle> {
    let readers = Readers::start(
        environment,
        &applying.held,
        &config.registry,
        &applying.streams,
        applying.upkeep.condition(),
    );
    let fresh = leader.clone();
    let freshness = Freshness::start(environment, move || {
        let fresh = fresh.clone();
        async move { fresh.read_index().await.map_err(ReadError::Unconfirmed) }
    });
    let (events, events_in) = mpsc::unbounded_channel();
    let measures = applying.measures.clone();
    let driver = Driver::new(
        environment.clone(),
        applying.group.clone(),
        events_in,
        events.clone(),
        measures.clone(),
    );
    environment.spawn("driver", driver.run());
    let copies = Copies::new(
        environment.clone(),
        (identity.cluster, identity.node),
        applying.upkeep.clone(),
        applying.log.clone(),
        published.clone(),
    );
    Arc::new(Handle {
        node: identity.node,
        cluster: identity.cluster,
        group: applying.group.clone(),
        events,
        admission: Admission::default(),
        published: published.clone(),
        group_changed: watch_group(environment, &applying.group, published, &measures),
        readers,
        freshness,
        streams: applying.streams.clone(),
        stopping: AtomicBool::new(false),
        upkeep: applying.upkeep.clone(),
        copies,
        room: room.clone(),
        measures,
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
        consumers: machine.consumers().clone(),
        comparison: machine.comparison().clone(),
        marked: machine.marked(),
        parked: None,
        failed_at: None,
    }
}

/// Moves whenever the role, the leader or the members change.
fn watch_group(
    environment: &Environment,
    group: &Group,
    stop: &Arc<Published>,
    measures: &Arc<Measures>,
) -> Arc<Progress> {
    let changed = Arc::new(Progress::default());
    let (moved, mut watch, stop) = (changed.clone(), group.watch(), stop.clone());
    let (group, mut teller) = (group.clone(), GroupWatch::new(measures.clone()));
    environment.spawn("group watch", async move {
        teller.look(&group.view());
        while !stop.applied.is_closed() && watch.changed().await {
            moved.wake();
            teller.look(&group.view());
        }
    });
    changed
}
