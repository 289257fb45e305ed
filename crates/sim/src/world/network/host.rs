//! The network as one life on one host has it.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use environment::{BoxFuture, Listener, Network, Stream, with_current};

use super::connection::{Connection, Piece, Side};
use super::stream::SimStream;
use super::{ConnectionId, Direction, Host, Listening, SimNetwork};
use crate::world::{LifeId, Nanos, SECOND};

/// A system tries so long to connect.
const CONNECT_MAX: Nanos = 60 * SECOND;

/// The network as one life on one host has it.
#[derive(Clone)]
pub struct HostNetwork {
    network: SimNetwork,
    host: Host,
    life: LifeId,
    ended: Arc<AtomicBool>,
}

impl HostNetwork {
    /// For a life on a host.
    #[must_use]
    pub fn new(network: SimNetwork, host: Host, life: LifeId, ended: Arc<AtomicBool>) -> HostNetwork {
        HostNetwork {
            network,
            host,
            life,
            ended,
        }
    }

    fn stream(&self, id: ConnectionId, writes: Direction) -> Box<dyn Stream> {
        Box::new(SimStream {
            network: self.network.clone(),
            id,
            writes,
            ended: self.ended.clone(),
        })
    }

    fn listen(&self, address: &str) -> io::Result<SimListener> {
        let mut address: SocketAddr = address.parse().map_err(io::Error::other)?;
        if Host::of(address) != Some(self.host) {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.network.state.lock();
        state.numbers += 1;
        let number = state.numbers;
        if address.port() == 0 {
            let taken = |port: &u16| state.listening.contains_key(&self.host.address(*port));
            let free = (20_000..u16::MAX).find(|port| !taken(port));
            address.set_port(free.ok_or(io::ErrorKind::AddrInUse)?);
        }
        if state.listening.contains_key(&address) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let listening = Listening {
            life: self.life,
            number,
            backlog: Vec::new(),
            waker: None,
        };
        state.listening.insert(address, listening);
        Ok(SimListener {
            here: self.clone(),
            address,
            number,
        })
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<Box<dyn Stream>> {
        let unreachable = || io::Error::from(io::ErrorKind::HostUnreachable);
        let host = Host::of(address).ok_or_else(unreachable)?;
        let began = self.network.world.now();
        let mut pause = SECOND;
        loop {
            let there = self.network.state.lock().travel(self.host, host, 60);
            wait(there).await;
            let (out, back) = {
                let mut state = self.network.state.lock();
                let out = state.passes(self.host, host) && state.resend(self.host, host).is_none();
                (out, state.passes(host, self.host))
            };
            if out && back {
                let answer = self.open(address, host);
                let back = self.network.state.lock().travel(host, self.host, 60);
                wait(back).await;
                return answer.map(|id| self.stream(id, Direction::Out));
            }
            if self.network.world.now() - began > CONNECT_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            wait(pause).await;
            pause = (pause * 2).min(8 * SECOND);
        }
    }

    /// The other machine answers.
    fn open(&self, address: SocketAddr, host: Host) -> io::Result<ConnectionId> {
        let mut state = self.network.state.lock();
        let Some(listening) = state.listening.get(&address) else {
            return Err(io::ErrorKind::ConnectionRefused.into());
        };
        let side = |host, life| Side { host, life: Some(life) };
        let connection = Connection::new(side(self.host, self.life), side(host, listening.life), address);
        let (id, waker) = state.add(address, connection);
        drop(state);
        self.network
            .world
            .trace(format_args!("connect {} {}>{address}", id.0, self.host.0));
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(id)
    }
}

impl super::State {
    fn add(&mut self, address: SocketAddr, connection: Connection) -> (ConnectionId, Option<std::task::Waker>) {
        self.numbers += 1;
        let id = ConnectionId(self.numbers);
        self.connections.insert(id, connection);
        let listening = self.listening.get_mut(&address);
        let waker = listening.and_then(|listening| {
            listening.backlog.push(id);
            listening.waker.take()
        });
        (id, waker)
    }
}

impl SimNetwork {
    /// Sends once more, on a connection of its own, all that a client has sent on one of those that lead to a port of a
    /// host: messages come twice, and long after they were sent. Gives how many bytes.
    pub fn repeat(&self, host: Host, port: u16) -> usize {
        let address = host.address(port);
        let mut state = self.state.lock();
        let Some(life) = state.listening.get(&address).map(|listening| listening.life) else {
            return 0;
        };
        let known: Vec<ConnectionId> = state
            .connections
            .iter()
            .filter(|(_, connection)| connection.address == address && connection.may_repeat())
            .map(|(id, _)| *id)
            .collect();
        let picked = state.dice.pick(&known).copied();
        let Some(original) = picked.and_then(|id| state.connections.get(&id)) else {
            return 0;
        };
        let (from, sent) = (original.client.host, original.sent.clone());
        let bytes = sent.len();
        let client = Side { host: from, life: None };
        let server = Side { host, life: Some(life) };
        let (id, waker) = state.add(address, Connection::new(client, server, address));
        state.send(&self.world, id, Direction::Out, Piece::Data(sent.into()));
        state.send(&self.world, id, Direction::Out, Piece::End);
        drop(state);
        self.schedule(id, Direction::Out);
        if let Some(waker) = waker {
            waker.wake();
        }
        bytes
    }
}

async fn wait(nanos: Nanos) {
    let sleep = with_current(|environment| {
        let clock = &environment.clock;
        clock.sleep_until(clock.now() + std::time::Duration::from_nanos(nanos))
    });
    sleep.await;
}

impl Network for HostNetwork {
    fn bind<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.listen(address)?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let address: SocketAddr = address.parse().map_err(io::Error::other)?;
            self.connect_to(address).await
        })
    }
}

struct SimListener {
    here: HostNetwork,
    address: SocketAddr,
    number: u64,
}

impl SimListener {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Box<dyn Stream>, SocketAddr)>> {
        let mut state = self.here.network.state.lock();
        let Some(listening) = state.listening.get_mut(&self.address) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        if listening.number != self.number {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        }
        if listening.backlog.is_empty() {
            listening.waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let id = listening.backlog.remove(0);
        let from = state
            .connections
            .get(&id)
            .map_or(self.here.host, |connection| connection.client.host);
        drop(state);
        // Its port is nobody's business.
        Poll::Ready(Ok((self.here.stream(id, Direction::Back), from.address(1024))))
    }
}

impl Listener for SimListener {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(poll_fn(|context| self.poll_accept(context)))
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        if self.here.ended.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.here.network.state.lock();
        let ours = |listening: &Listening| listening.number == self.number;
        if state.listening.get(&self.address).is_some_and(ours) {
            state.listening.remove(&self.address);
        }
    }
}
