//! Simulated TCP: connections of bytes in order, between hosts whose links delay, lose, cut, hang and repeat.
//!
//! As on a real network, what a link loses is sent again and so comes late, with all that stands behind it; a connection
//! that gets nowhere for long ends with an error; a process that is killed resets its connections, and a machine that is
//! gone says nothing.

mod connection;
mod host;
mod links;
mod stream;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::Waker;

use parking_lot::Mutex;

use super::{Dice, LifeId, World};
use connection::Connection;
pub use host::HostNetwork;
pub use links::Link;

/// A machine: the last number of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Host(pub u8);

impl Host {
    /// Its address.
    #[must_use]
    pub fn address(self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, self.0)), port)
    }

    fn of(address: SocketAddr) -> Option<Host> {
        match address.ip() {
            IpAddr::V4(ip) if ip.octets()[..3] == [127, 0, 0] => Some(Host(ip.octets()[3])),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }
}

/// One way of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// From the side that connected.
    Out,
    /// To it.
    Back,
}

impl Direction {
    fn at(self) -> usize {
        match self {
            Direction::Out => 0,
            Direction::Back => 1,
        }
    }

    fn reverse(self) -> Direction {
        match self {
            Direction::Out => Direction::Back,
            Direction::Back => Direction::Out,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct ConnectionId(u64);

struct Listening {
    life: LifeId,
    /// Tells it from an earlier one at the same address.
    number: u64,
    backlog: Vec<ConnectionId>,
    waker: Option<Waker>,
}

/// How a life's connections end with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// The machine tells the other sides.
    Reset,
    /// The machine is gone: nobody says anything.
    Silence,
}

struct State {
    dice: Dice,
    listening: BTreeMap<SocketAddr, Listening>,
    connections: BTreeMap<ConnectionId, Connection>,
    links: BTreeMap<(Host, Host), Link>,
    /// Machines without power.
    dark: Vec<Host>,
    numbers: u64,
}

/// The network. Clones share it.
#[derive(Clone)]
pub struct SimNetwork {
    world: World,
    state: Arc<Mutex<State>>,
}

impl SimNetwork {
    /// A network whose links are all sound.
    #[must_use]
    pub fn new(world: &World, dice: Dice) -> SimNetwork {
        SimNetwork {
            world: world.clone(),
            state: Arc::new(Mutex::new(State {
                dice,
                listening: BTreeMap::new(),
                connections: BTreeMap::new(),
                links: BTreeMap::new(),
                dark: Vec::new(),
                numbers: 0,
            })),
        }
    }

    /// Changes the link from one host to another.
    pub fn set_link(&self, from: Host, to: Host, change: impl FnOnce(&mut Link)) {
        change(self.state.lock().links.entry((from, to)).or_default());
    }

    /// Makes all links sound again, and lets what hangs go on.
    pub fn heal(&self) {
        let mut state = self.state.lock();
        state.links.clear();
        for connection in state.connections.values_mut() {
            connection.hangs = false;
        }
    }

    /// From now on nothing comes through the connections that there are between two hosts; new ones work.
    pub fn hang(&self, one: Host, other: Host) -> usize {
        let mut state = self.state.lock();
        let between = |connection: &&mut Connection| {
            let hosts = connection.hosts();
            hosts == (one, other) || hosts == (other, one)
        };
        state
            .connections
            .values_mut()
            .filter(between)
            .map(|connection| connection.hangs = true)
            .count()
    }

    /// A machine loses or gets its power.
    pub fn set_dark(&self, host: Host, dark: bool) {
        let mut state = self.state.lock();
        state.dark.retain(|other| *other != host);
        if dark {
            state.dark.push(host);
        }
    }

    /// Closes all that a life had open.
    pub fn end_life(&self, life: LifeId, farewell: Farewell) {
        let mut state = self.state.lock();
        state.listening.retain(|_, listening| listening.life != life);
        let ids: Vec<ConnectionId> = state.connections.keys().copied().collect();
        let mut wakers = Vec::new();
        for id in ids {
            state.leave(&self.world, id, life, farewell, &mut wakers);
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        self.schedule_all();
    }
}
