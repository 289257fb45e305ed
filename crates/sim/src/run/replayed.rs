//! Replay equals production: the log of a node, applied again from its files alone, comes to what the node held.

use std::sync::Arc;

use environment::Environment;
use host::{NativeApplication, Registry};
use machine::{Catalog, Index, LEVEL_MAX, StateDigest};
use node::replay::Archive;

use super::Run;
use crate::fleet::{Number, data};
use crate::oracles::watch::Finding;
use crate::world::{Nanos, SECOND};

/// A node that is asked to stop does so within so long.
const STOP_MAX: Nanos = 60 * SECOND;
/// The oracle's name.
const ORACLE: &str = "replay equals production";

/// What a node held.
struct Held {
    applied: Index,
    digest: StateDigest,
    catalog: Arc<Catalog>,
}

impl Run {
    /// Stops one of the nodes that serve, and replays what lies on its disk up to the entry that it had applied.
    pub(super) fn check_replay(&mut self) -> Result<(), Finding> {
        let Some((number, held, environment)) = self.one_that_serves() else {
            return Ok(());
        };
        self.fleet.ask_to_stop(number);
        let is_gone = |run: &Run| run.fleet.machine(number).is_none_or(|machine| machine.life.is_none());
        if !self.until(STOP_MAX, is_gone)? {
            return Err(("liveness", format!("node {number} was asked to stop, and does not")));
        }
        replay(environment, &held).map_err(|what| (ORACLE, format!("node {number}: {what}")))
    }

    /// Another one in each run.
    fn one_that_serves(&self) -> Option<(Number, Held, Environment)> {
        let serving = self.fleet.machines.iter().filter_map(|machine| {
            let cluster = machine.shown.lock().cluster.clone()?;
            let mut environment = machine.life.as_ref()?.environment.clone();
            environment.disk = machine.offline_disk();
            let (catalog, status) = (cluster.catalog(), cluster.status());
            // A log that goes on in a level which only passes for known is not this binary's to replay.
            if status.level > LEVEL_MAX {
                return None;
            }
            let held = Held {
                applied: status.applied,
                digest: status.digest,
                catalog,
            };
            Some((machine.number, held, environment))
        });
        let mut serving: Vec<_> = serving.collect();
        let count = serving.len() as u64;
        let chosen = self.world.now().checked_rem(count)?;
        Some(serving.swap_remove(usize::try_from(chosen).ok()?))
    }
}

fn replay(environment: Environment, held: &Held) -> Result<(), String> {
    let failed = |error: node::replay::Error| error.to_string();
    let archive = Archive::open(&environment, &data(), None).map_err(failed)?;
    let registry = Registry::new(vec![NativeApplication::poison()]);
    let mut replay = archive.replay(&registry, None, Some(held.applied)).map_err(failed)?;
    while replay.step().map_err(failed)?.is_some() {}
    if (replay.applied(), replay.digest()) != (held.applied, held.digest) {
        return Err(format!(
            "its files come to {} as of entry {}, and it held {} as of entry {}",
            replay.digest(),
            replay.applied(),
            held.digest,
            held.applied
        ));
    }
    if **replay.catalog() != *held.catalog {
        return Err(format!(
            "its files come to another catalog as of entry {} than it held",
            held.applied
        ));
    }
    Ok(())
}
