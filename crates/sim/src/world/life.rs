//! One run of one process: what all its tasks have in common, and its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use environment::{BoxFuture, Chance, Environment, System, Tasks, Usage};
use parking_lot::Mutex;

use super::{Dice, Event, LifeState, NodeClock, SimDisk, SimNetwork, TaskId, World};
use crate::world::network::{Host, HostNetwork};

/// Tells lives apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LifeId(pub u64);

/// One run of one process.
#[derive(Clone)]
pub struct Life {
    /// Which.
    pub id: LifeId,
    /// Everything that it reaches outside its memory.
    pub environment: Environment,
    ended: Arc<AtomicBool>,
    world: World,
}

struct LifeTasks {
    world: World,
    life: LifeId,
}

impl Tasks for LifeTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        self.world.spawn(self.life, name, future);
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        // A thread of its own is a task like another: here every task has a processor to itself.
        self.world.spawn(self.life, name, future);
    }
}

struct LifeChance(Mutex<Dice>);

impl Chance for LifeChance {
    fn next_u64(&self) -> u64 {
        self.0.lock().draw()
    }
}

struct NoSystem;

impl System for NoSystem {
    fn usage(&self) -> std::io::Result<Usage> {
        Ok(Usage::default())
    }

    fn disk_bytes(&self, _path: &std::path::Path) -> std::io::Result<u64> {
        Ok(0)
    }
}

/// What a life begins with.
pub struct Birth<'a> {
    /// Where it runs.
    pub host: Host,
    /// Its chance.
    pub dice: Dice,
    /// Its machine's clock.
    pub clock: NodeClock,
    /// Its machine's disk.
    pub disk: &'a SimDisk,
    /// The network.
    pub network: &'a SimNetwork,
}

impl Life {
    /// Begins a life.
    #[must_use]
    pub fn begin(world: &World, birth: Birth<'_>) -> Life {
        let id = world.new_life();
        let ended = Arc::new(AtomicBool::new(false));
        let environment = Environment {
            clock: Arc::new(birth.clock),
            tasks: Arc::new(LifeTasks {
                world: world.clone(),
                life: id,
            }),
            chance: Arc::new(LifeChance(Mutex::new(birth.dice))),
            network: Arc::new(HostNetwork::new(birth.network.clone(), birth.host, id, ended.clone())),
            disk: Arc::new(birth.disk.of_life(ended.clone())),
            system: Arc::new(NoSystem),
        };
        world.set_environment(id, environment.clone());
        Life {
            id,
            environment,
            ended,
            world: world.clone(),
        }
    }

    /// Ends it at once, wherever its tasks are. What it had open is the caller's to close.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.world.end_life(self.id);
    }

    /// From now on its tasks do not run.
    pub fn hold(&self) {
        self.world.with_life(self.id, |state| {
            state.held.get_or_insert_default();
        });
    }

    /// Its tasks run again.
    pub fn release(&self) {
        let waiting = self.world.with_life(self.id, |state| state.held.take());
        for task in waiting.flatten().unwrap_or_default() {
            self.world.run_now(task);
        }
    }

    /// Between a wake and the step that it leads to there are at most so many nanoseconds.
    pub fn set_lag(&self, lag_max: u64) {
        self.world.with_life(self.id, |state| state.lag_max = lag_max);
    }
}

/// Between a wake and its step, on a machine that has nothing else to do.
const LAG_MAX: u64 = 3_000;

impl World {
    fn new_life(&self) -> LifeId {
        let mut core = self.0.core.lock();
        core.numbers += 1;
        let id = LifeId(core.numbers);
        let state = LifeState {
            environment: None,
            lag_max: LAG_MAX,
            held: None,
        };
        core.lives.insert(id, state);
        id
    }

    fn set_environment(&self, id: LifeId, environment: Environment) {
        self.with_life(id, |state| state.environment = Some(environment));
    }

    fn with_life<R>(&self, id: LifeId, change: impl FnOnce(&mut LifeState) -> R) -> Option<R> {
        self.0.core.lock().lives.get_mut(&id).map(change)
    }

    fn run_now(&self, task: TaskId) {
        let mut core = self.0.core.lock();
        let at = core.now;
        core.insert(at, Event::Run(task));
    }

    fn end_life(&self, id: LifeId) {
        let mut core = self.0.core.lock();
        let state = core.lives.remove(&id);
        let ended: Vec<TaskId> = core
            .tasks
            .iter()
            .filter(|(_, task)| task.life == id)
            .map(|(task, _)| *task)
            .collect();
        let tasks: Vec<_> = ended.iter().filter_map(|task| core.tasks.remove(task)).collect();
        drop(core);
        // What is dropped may wake others, and close its connections.
        drop(tasks);
        drop(state);
    }
}
