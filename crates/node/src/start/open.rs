//! Opens everything that lies in the data directory, after what the notes ask for was done to it.

use environment::channel::mpsc;
use environment::{Environment, FileLock};
use machine::{Machine, StateError};
use store::format::identity::StoredIdentity;
use store::format::{Repair, copied};
use store::log::{Identity, Log};
use store::state::{self, State};
use store::streams::{self, Streams};
use tracing::{info, warn};

use crate::applier::Held;
use crate::checkpoint::{self, Plan};
use crate::condition::{Condition, Ending, rebuild_remedy};
use crate::identity;
use crate::limits::{DISK_START_BYTES_MIN, REBUILD_RETRY, REBUILDS_MAX};
use crate::node::{Config, StartError};
use crate::repair::{Bundle, INCOMING, LogFate, OpenBackend, Site, install, rebuild};
use crate::retained::Retained;
use crate::snapshots::{Keeper, Trouble};
use crate::upkeep::hello;

/// What lies on this node's disk, opened.
pub struct Parts {
    /// The log.
    pub log: Log,
    /// The machine with its tables.
    pub held: Held,
    /// The streams.
    pub streams: Streams,
    /// The snapshots, and what is kept for replay.
    pub retained: Retained,
}

/// A data directory that is this node's.
pub struct Opened {
    /// Whose it is.
    pub identity: StoredIdentity,
    /// Whether the node is to found its cluster.
    pub founding: bool,
    /// Its condition.
    pub condition: Condition,
    /// How the node ends by itself.
    pub endings: mpsc::UnboundedReceiver<Ending>,
    /// What lies in it.
    pub parts: Parts,
}

/// Why the parts could not be opened.
enum Fault {
    /// The state or the streams cannot be trusted.
    Damaged(String),
    /// Something that a person must look at.
    Other(StartError),
}

fn other(error: impl std::fmt::Display) -> Fault {
    Fault::Other(StartError::Store(error.to_string()))
}

/// Opens everything; waits where the disk has no room, and rebuilds what cannot be trusted.
pub async fn open(
    config: &Config,
    environment: &Environment,
    backend: &OpenBackend,
) -> Result<(Box<dyn FileLock>, Opened), StartError> {
    let disk = environment.disk.clone();
    let store = |error: std::io::Error| StartError::Store(format!("{}: {error}", config.data.display()));
    disk.create_dir_all(&config.data).map_err(store)?;
    let lock = disk
        .lock(&config.data.join("lock"))
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => StartError::InUse(config.data.clone()),
            _ => store(error),
        })?;
    let copied = copied::read(&*disk, &config.data).map_err(|error| StartError::Store(error.to_string()))?;
    if let Some(copied) = copied {
        return Err(StartError::Store(format!(
            "{} holds a copy of node {}'s snapshot and log that `seachange replay --from` has taken, and nobody may serve \
             from it: replay it (seachange replay --data), or give this node a directory of its own (--data)",
            config.data.display(),
            copied.node
        )));
    }
    wait_for_room(config, environment).await;
    let (identity, founding) = identity::of(config, environment).await?;
    let read = Condition::read(disk, &config.data);
    let (condition, endings) = read.map_err(|error| StartError::Store(error.to_string()))?;
    let site = Site {
        environment,
        condition: &condition,
        identity: Identity {
            cluster: identity.cluster,
            node: identity.node,
        },
        log: config.log,
        backend,
    };
    let mut rebuilt = 0;
    let parts = loop {
        repair(&site, &identity).await?;
        match open_parts(config, &site).await {
            Ok(parts) => break parts,
            Err(Fault::Other(error)) => return Err(error),
            Err(Fault::Damaged(reason)) if rebuilt == REBUILDS_MAX => {
                return Err(StartError::Store(format!(
                    "{reason}; it was rebuilt {rebuilt} times and still cannot be read: a binary older than the one that \
                     wrote it (this one is {}), or a disk that fails",
                    env!("CARGO_PKG_VERSION")
                )));
            }
            Err(Fault::Damaged(reason)) => {
                rebuilt += 1;
                let repair = Some(Repair::Rebuild { reason });
                condition
                    .note(|notes| notes.repair = repair)
                    .map_err(StartError::Store)?;
            }
        }
    };
    let opened = Opened {
        identity,
        founding,
        condition,
        endings,
        parts,
    };
    Ok((lock, opened))
}

/// A node that finds no room at all would only fail at its first write.
async fn wait_for_room(config: &Config, environment: &Environment) {
    let mut told = false;
    loop {
        match environment.disk.free_bytes(&config.data) {
            Ok(free) if free < DISK_START_BYTES_MIN => {
                if !told {
                    warn!(
                        free,
                        needed = DISK_START_BYTES_MIN,
                        data = %config.data.display(),
                        "the disk is full: waiting for room before this node starts"
                    );
                }
                told = true;
            }
            // Where the system cannot tell, the writes themselves will.
            Ok(_) | Err(_) => return,
        }
        environment.sleep(REBUILD_RETRY).await;
    }
}

/// Does what the notes ask for.
async fn repair(site: &Site<'_>, identity: &StoredIdentity) -> Result<(), StartError> {
    let hello = hello(identity.cluster, identity.node);
    let done = match site.condition.notes().repair {
        None => Ok(()),
        Some(Repair::Install) => {
            let bundle = Bundle::at(&site.condition.data().join(INCOMING));
            match install(site, &bundle, LogFate::Keep).await {
                Ok(_) => Ok(()),
                // What is here is as good as before, and the leader offers its snapshot again.
                Err(why) => {
                    warn!(why, "the snapshot that arrived cannot be installed");
                    site.condition.note(|notes| notes.repair = None)
                }
            }
        }
        Some(Repair::Rebuild { reason }) => rebuild(site, &hello, &reason, false).await,
        Some(Repair::RebuildAll { reason }) => rebuild(site, &hello, &reason, true).await,
    };
    done.map_err(StartError::Store)
}

async fn open_parts(config: &Config, site: &Site<'_>) -> Result<Parts, Fault> {
    let opened = site.open_log().map_err(other)?;
    for warning in opened.warnings {
        warn!("{warning}");
    }
    let log = opened.log;
    match open_rest(config, site, &log) {
        Ok(parts) => Ok(parts),
        Err(fault) => {
            // Its files are opened again after what is wrong with the others was mended.
            log.shutdown().await;
            if let Fault::Damaged(reason) = &fault {
                site.condition.tell_damage(reason);
            }
            Err(fault)
        }
    }
}

fn open_rest(config: &Config, site: &Site<'_>, log: &Log) -> Result<Parts, Fault> {
    let (environment, condition) = (site.environment, site.condition);
    let directory = condition.state_directory(condition.notes().generation);
    let backend = (site.backend)(&directory).map_err(|error| match error {
        state::Error::Damaged { .. } => Fault::Damaged(error.to_string()),
        state::Error::Format(_) | state::Error::Store { .. } => other(error),
    })?;
    let state = State::open(backend, config.state);
    let unreadable = |error: StateError| Fault::Damaged(error.to_string());
    let machine = Machine::load(&state).map_err(unreadable)?;
    let applied = machine.applied();
    if let Some((purged, _)) = log.purged().filter(|(purged, _)| *purged > applied) {
        return Err(Fault::Damaged(format!(
            "the state is as of entry {applied}, and the log begins after entry {purged}: a checkpoint was lost"
        )));
    }
    // Nothing is applied before it is durable in the log, so what is missing there was promised and is lost.
    let last = log.last().map(|(last, _)| last).unwrap_or_default();
    if applied > last {
        return Err(other(format!(
            "the log ends with entry {last}, and the state is as of entry {applied}: the log has lost its end; {}",
            rebuild_remedy(&config.data)
        )));
    }
    let streams = Streams::open(
        environment,
        &config.data.join("streams"),
        config.streams,
        machine.streams(),
        machine.stream_starts(),
    )
    .map_err(|error| match error {
        streams::Error::Damaged { .. } | streams::Error::Short { .. } => Fault::Damaged(error.to_string()),
        // A segment whose header is damaged cannot be told from one that never was one.
        streams::Error::Format(store::format::Error::Unreadable { .. }) => Fault::Damaged(error.to_string()),
        streams::Error::Format(_)
        | streams::Error::Trimmed { .. }
        | streams::Error::Name(_)
        | streams::Error::Order { .. }
        | streams::Error::Disk { .. } => other(error),
    })?;
    let keeper = Keeper::open(environment.disk.clone(), &config.data, site.identity.cluster).map_err(other)?;
    keeper.forget_after(applied).map_err(other)?;
    let held = Held { machine, state };
    let helps = |purged| keeper.newest().is_some_and(|newest| newest.index >= purged);
    if log.purged().is_some_and(|(purged, _)| !helps(purged)) {
        first_snapshot(&held, &streams, log, &keeper)?;
    }
    // Before the Raft crate lets go of anything.
    let retained = Retained::new(log.clone(), keeper, config.upkeep.replay_keep_bytes);
    if retained.is_on() {
        retained.look(held.machine.catalog()).map_err(other)?;
    }
    Ok(Parts {
        log: log.clone(),
        held,
        streams,
        retained,
    })
}

/// A node whose log was purged must have a snapshot to give from which the log goes on: the Raft crate relies on it.
fn first_snapshot(held: &Held, streams: &Streams, log: &Log, keeper: &Keeper) -> Result<(), Fault> {
    info!("making a snapshot: the log was purged, and there is none from which it goes on");
    let backend = held.state.backend();
    let members = checkpoint::load_members(&held.state).map_err(|error| Fault::Damaged(error.to_string()))?;
    let index = held.machine.applied();
    let plan = Plan {
        index,
        term: log.term_at(index).unwrap_or_default(),
        digest: held.machine.digest(),
        members: members.map(|members| members.to_bytes()).unwrap_or_default().into(),
        streams: streams.listing(),
    };
    match keeper.make(&plan, &*backend.view()) {
        Ok(_) => Ok(()),
        Err(Trouble::Damaged(reason)) => Err(Fault::Damaged(reason)),
        Err(error @ (Trouble::LogDamaged(_) | Trouble::Failed(_))) => Err(other(error)),
    }
}
