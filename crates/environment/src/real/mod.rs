//! The real world: tokio's runtime, timers and sockets, and the operating system's files.
//!
//! The only place that calls them; everything else goes through [`Environment`].
#![allow(clippy::disallowed_methods)] // this module is what the ban sends everybody to

mod disk;
mod network;
mod system;

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::{BoxFuture, Chance, Clock, Environment, Moment, Tasks};

pub use disk::RealDisk;
pub use network::RealNetwork;
pub use system::RealSystem;

/// The environment of a real process. Call it inside a tokio runtime: tasks are spawned on that one.
pub fn environment() -> Environment {
    with_tasks(RealTasks(Some(tokio::runtime::Handle::current())))
}

/// The environment of a real process, wherever it is called: tasks are spawned on the runtime they are spawned from.
pub(crate) fn anywhere() -> Environment {
    with_tasks(RealTasks(None))
}

fn with_tasks(tasks: RealTasks) -> Environment {
    Environment {
        clock: Arc::new(RealClock),
        tasks: Arc::new(tasks),
        chance: Arc::new(RealChance),
        network: Arc::new(RealNetwork),
        disk: Arc::new(RealDisk),
        system: Arc::new(RealSystem),
    }
}

/// Counts from its first use in the process, so that moments of two environments can be compared.
struct RealClock;

impl RealClock {
    fn origin() -> Instant {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        *ORIGIN.get_or_init(Instant::now)
    }
}

impl Clock for RealClock {
    fn now(&self) -> Moment {
        Moment(RealClock::origin().elapsed())
    }

    fn wall_ms(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
    }

    fn sleep_until(&self, deadline: Moment) -> BoxFuture<'static, ()> {
        let at = RealClock::origin() + deadline.0.min(Duration::from_secs(60 * 60 * 24 * 365));
        Box::pin(tokio::time::sleep_until(at.into()))
    }
}

/// On that runtime, or on the one that it is called from.
struct RealTasks(Option<tokio::runtime::Handle>);

impl RealTasks {
    fn runtime(&self) -> tokio::runtime::Handle {
        self.0.clone().unwrap_or_else(tokio::runtime::Handle::current)
    }
}

impl Tasks for RealTasks {
    fn spawn(&self, _name: &'static str, future: BoxFuture<'static, ()>) {
        self.runtime().spawn(future);
    }

    fn spawn_worker(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        let runtime = self.runtime();
        let spawned = std::thread::Builder::new()
            .name(name.to_owned())
            .stack_size(WORKER_STACK_BYTES)
            .spawn(move || runtime.block_on(future));
        // A process that cannot start a thread cannot run a node: there is nobody to report to but the operator.
        if let Err(error) = spawned {
            panic!("cannot start the worker thread {name}: {error}");
        }
    }
}

/// Stack of a worker thread, bytes. Applications run on these; a guest's own depth limit ends far before this does.
const WORKER_STACK_BYTES: usize = 64 << 20;

struct RealChance;

impl Chance for RealChance {
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        match File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(error) => panic!("cannot read random bytes from /dev/urandom: {error}"),
        }
    }
}
