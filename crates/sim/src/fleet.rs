//! The simulated cluster's nodes: each with a machine of its own, on which its process lives, dies and lives again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use environment::channel::Notify;
use environment::{Disk, Environment};
use futures::{FutureExt, select_biased};
use host::NativeApplication;
use machine::{Cluster, LEVEL_MAX, Level, Status};
use parking_lot::Mutex;
use seachange::assemble::{Assembled, Binary};
use seachange::config::{Config, Flags};
use seachange::running::{Over, Running};
use store::log::Log;
use store::state::Backend;

use crate::world::{Birth, Dice, Farewell, Host, JournalBackend, Life, LifeId, NodeClock, SimDisk, SimNetwork, World};

/// Where every node serves clients.
pub const HTTP_PORT: u16 = 7070;
/// Where every node serves its peers.
pub const PEER_PORT: u16 = 7071;

/// Tells a node's machine: from 1, as in its address.
pub type Number = u8;

/// What a node shows of itself to whoever looks from outside the world.
#[derive(Default)]
pub struct Shown {
    /// The node as it serves, since it does.
    pub cluster: Option<Arc<dyn Cluster>>,
    /// Its log.
    pub log: Option<Log>,
    /// How often it has begun to serve, restarts by itself included.
    pub began: u64,
    /// Why its process has ended by itself, or that it was asked to.
    pub ended: Option<Ended>,
}

/// How a process has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// As it was asked to.
    Asked,
    /// By itself, with the reason.
    ByItself(String),
}

/// Sizes of a simulated node, small so that everything happens often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of a segment of the log.
    pub log_segment_bytes: u64,
    /// Bytes of entries after which a snapshot is made.
    pub snapshot_log_bytes: u64,
    /// Entries kept behind it.
    pub log_keep_entries: u64,
    /// Bytes of snapshots and log kept so that replay can cross a change; zero: none, and the log is purged often.
    pub replay_keep_bytes: u64,
    /// Seconds between two scans.
    pub scan_seconds: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Sizes {
            log_segment_bytes: 1 << 20,
            snapshot_log_bytes: 64 << 10,
            log_keep_entries: 50,
            replay_keep_bytes: 0,
            scan_seconds: 40,
        }
    }
}

/// One machine with its process.
pub struct Machine {
    /// Which.
    pub number: Number,
    /// Its disk, which outlives every process.
    pub disk: SimDisk,
    /// Its clock.
    pub clock: NodeClock,
    /// The process that runs, if one does.
    pub life: Option<Life>,
    /// What it shows.
    pub shown: Arc<Mutex<Shown>>,
    /// Whether it has no power.
    pub dark: bool,
    /// What its binary knows.
    level_max: Level,
    /// Processes that it has had.
    pub lives: u64,
    stop: Arc<Notify>,
    config: Config,
    dice: Dice,
}

/// All machines.
pub struct Fleet {
    world: World,
    network: SimNetwork,
    dice: Dice,
    sizes: Sizes,
    /// By number, from 1.
    pub machines: Vec<Machine>,
}

impl Fleet {
    /// Machines that are all off.
    ///
    /// # Errors
    /// The configuration is refused, which is a mistake of the simulator.
    pub fn new(world: &World, network: &SimNetwork, dice: &Dice, count: Number, sizes: Sizes) -> anyhow::Result<Fleet> {
        let machines = (1..=count).map(|number| Machine::new(world, dice, number, sizes));
        Ok(Fleet {
            world: world.clone(),
            network: network.clone(),
            dice: dice.clone(),
            sizes,
            machines: machines.collect::<anyhow::Result<_>>()?,
        })
    }

    /// One machine more, that is off; none when there are as many as there may be.
    pub fn add(&mut self) -> Option<Number> {
        let number = Number::try_from(self.machines.len() + 1)
            .ok()
            .filter(|number| *number < 50)?;
        let machine = Machine::new(&self.world, &self.dice, number, self.sizes).ok()?;
        self.machines.push(machine);
        Some(number)
    }

    /// The machine of that number.
    #[must_use]
    pub fn machine(&self, number: Number) -> Option<&Machine> {
        self.machines.get(usize::from(number).checked_sub(1)?)
    }

    fn machine_mut(&mut self, number: Number) -> Option<&mut Machine> {
        self.machines.get_mut(usize::from(number).checked_sub(1)?)
    }

    /// Starts a node's process, if none runs.
    pub fn start(&mut self, number: Number) {
        let (world, network) = (self.world.clone(), self.network.clone());
        let Some(machine) = self.machine_mut(number).filter(|machine| machine.life.is_none()) else {
            return;
        };
        machine.dark = false;
        network.set_dark(Host(number), false);
        machine.lives += 1;
        machine.stop = Arc::new(Notify::new());
        *machine.shown.lock() = Shown::default();
        let life = Life::begin(
            &world,
            Birth {
                host: Host(number),
                dice: machine.dice.split(machine.lives),
                clock: machine.clock.clone(),
                disk: &machine.disk,
                network: &network,
            },
        );
        let process = process(
            (machine.config.clone(), machine.level_max),
            life.environment.clone(),
            machine.shown.clone(),
            machine.stop.clone(),
        );
        life.environment.spawn("process", process);
        machine.life = Some(life);
        world.trace(format_args!("start {number}"));
    }

    /// Kills a node's process, as with SIGKILL: what it wrote stays, its connections are reset.
    pub fn kill(&mut self, number: Number) {
        self.end(number, Farewell::Reset);
    }

    /// A machine loses its power: what was not synced may be gone, and nobody is told.
    pub fn lose_power(&mut self, number: Number) {
        self.end(number, Farewell::Silence);
        let network = self.network.clone();
        if let Some(machine) = self.machine_mut(number) {
            machine.disk.lose_power();
            machine.dark = true;
            network.set_dark(Host(number), true);
            network.ask_for_signs(Host(number));
        }
    }

    fn end(&mut self, number: Number, farewell: Farewell) {
        let (world, network) = (self.world.clone(), self.network.clone());
        let Some(machine) = self.machine_mut(number) else {
            return;
        };
        let Some(life) = machine.life.take() else { return };
        world.trace(format_args!("end {number} {farewell:?}"));
        life.end();
        network.end_life(life.id, farewell);
        machine.disk.end_life();
        let shown = std::mem::take(&mut *machine.shown.lock());
        machine.shown.lock().ended = shown.ended.clone();
        drop(shown);
    }

    /// The highest level that a node's binary knows, from its next start on.
    pub fn set_binary(&mut self, number: Number, level_max: Level) -> Option<()> {
        self.machine_mut(number).map(|machine| machine.level_max = level_max)
    }

    /// Asks a node's process to stop, as with SIGTERM.
    pub fn ask_to_stop(&self, number: Number) {
        if let Some(machine) = self.machine(number) {
            machine.stop.notify_one();
        }
    }

    /// Sees to processes that have ended by themselves, and to machines whose disk took the power away.
    pub fn reap(&mut self, life: LifeId) -> Option<Number> {
        let is_of = |machine: &&mut Machine| machine.life.as_ref().is_some_and(|it| it.id == life);
        let machine = self.machines.iter_mut().find(is_of)?;
        let number = machine.number;
        if machine.disk.take_death() {
            self.lose_power(number);
            return Some(number);
        }
        let ended = machine.shown.lock().ended.is_some();
        if ended {
            self.end(number, Farewell::Reset);
            return Some(number);
        }
        None
    }

    /// The machine on which a life runs.
    #[must_use]
    pub fn of_life(&self, life: LifeId) -> Option<&Machine> {
        let is_of = |machine: &&Machine| machine.life.as_ref().is_some_and(|it| it.id == life);
        self.machines.iter().find(is_of)
    }

    /// Who leads, as the node itself sees it, in the highest term that is shown.
    #[must_use]
    pub fn leader(&self) -> Option<Number> {
        let leads = |machine: &Machine| {
            let status = machine.status()?;
            (status.role == machine::Role::Leader).then_some((status.term, machine.number))
        };
        self.machines.iter().filter_map(leads).max().map(|(_, number)| number)
    }

    /// The addresses of clients' ports, by number.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        let address = |machine: &Machine| Host(machine.number).address(HTTP_PORT).to_string();
        self.machines.iter().map(address).collect()
    }
}

impl Machine {
    fn new(world: &World, dice: &Dice, number: Number, sizes: Sizes) -> anyhow::Result<Machine> {
        let mut dice = dice.split(number.into());
        let drift = i64::try_from(dice.between(0, 400)).unwrap_or_default() - 200;
        let (host, first) = (Host(number), Host(1));
        let flags = Flags {
            name: Some(name(number)),
            data: Some(data()),
            http: Some(host.address(HTTP_PORT).to_string()),
            peer: Some(host.address(PEER_PORT).to_string()),
            join: (number > 1).then(|| first.address(PEER_PORT).to_string()),
            ..Flags::default()
        };
        let mut config = Config::load(&flags)?;
        config.limits.log_segment_bytes = sizes.log_segment_bytes;
        config.limits.cache_bytes = 16 << 20;
        config.limits.snapshot_log_bytes = sizes.snapshot_log_bytes;
        config.limits.replay_keep_bytes = sizes.replay_keep_bytes;
        config.limits.log_keep_entries = sizes.log_keep_entries;
        config.limits.scan_seconds = sizes.scan_seconds;
        config.limits.disk_reserve_bytes = 32 << 20;
        Ok(Machine {
            number,
            disk: SimDisk::new(world, dice.split(1)),
            clock: NodeClock::new(world.clone(), drift),
            life: None,
            shown: Arc::default(),
            dark: false,
            level_max: LEVEL_MAX,
            lives: 0,
            stop: Arc::new(Notify::new()),
            config,
            dice: dice.split(2),
        })
    }

    /// What the node says of itself, while it serves.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let cluster = self.shown.lock().cluster.clone()?;
        Some(cluster.status())
    }

    /// Why its process has ended by itself.
    #[must_use]
    pub fn stopped_by_itself(&self) -> Option<String> {
        match &self.shown.lock().ended {
            Some(Ended::ByItself(reason)) => Some(reason.clone()),
            Some(Ended::Asked) | None => None,
        }
    }

    /// Its disk as its operator has it while no process runs.
    #[must_use]
    pub fn offline_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.of_life(Arc::default()))
    }
}

/// What a node is called: a, b, c, …
#[must_use]
pub fn name(number: Number) -> String {
    char::from(b'a' + number.saturating_sub(1) % 26).to_string()
}

/// Where every node's data lies on its disk.
#[must_use]
pub fn data() -> PathBuf {
    PathBuf::from("/data")
}

/// What the process does: as `seachange serve`, over another state store.
async fn process(
    (config, level_max): (Config, Level),
    environment: Environment,
    shown: Arc<Mutex<Shown>>,
    stop: Arc<Notify>,
) {
    let disk = environment.disk.clone();
    let state = move |directory: &Path| {
        let backend = JournalBackend::open(&disk, directory)?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    };
    let show = shown.clone();
    let began = move |assembled: &Assembled| {
        let mut shown = show.lock();
        shown.cluster = Some(assembled.node().cluster());
        shown.log = Some(assembled.node().log());
        shown.began += 1;
    };
    let over = Over {
        state: Arc::new(state),
        began: Arc::new(began),
    };
    let binary = Binary {
        native: vec![NativeApplication::poison()],
        level_max,
    };
    let started = select_biased! {
        started = Running::start_over(config, environment, binary, over).fuse() => started,
        () = stop.notified().fuse() => {
            shown.lock().ended = Some(Ended::Asked);
            return;
        }
    };
    let mut running = match started {
        Ok(running) => running,
        Err(error) => {
            shown.lock().ended = Some(Ended::ByItself(error.to_string()));
            return;
        }
    };
    let reason = select_biased! {
        reason = running.stopped().fuse() => Some(reason),
        () = stop.notified().fuse() => None,
    };
    let ended = match reason {
        Some(reason) => Ended::ByItself(reason),
        None => {
            running.shutdown().await;
            Ended::Asked
        }
    };
    shown.lock().ended = Some(ended);
}

/// A machine of the clients' side: no disk that matters, and a process that is never killed.
#[must_use]
pub fn outsider(world: &World, network: &SimNetwork, dice: &Dice, host: Host) -> Life {
    let disk = SimDisk::new(world, dice.split(1));
    Life::begin(
        world,
        Birth {
            host,
            dice: dice.split(2),
            clock: NodeClock::new(world.clone(), 0),
            disk: &disk,
            network,
        },
    )
}
