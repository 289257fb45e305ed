//! One connection: two ways, each a row of pieces that fly and a row of those that have arrived.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::task::Waker;

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use super::{ConnectionId, Direction, Farewell, Host, SimNetwork, State};
use crate::world::{LifeId, MILLISECOND, Nanos, SECOND, World};

/// Bytes that may be under way, or unread, one way.
pub const WINDOW: usize = 256 << 10;
/// A sender that gets nowhere for so long gives up (the user timeout that nodes ask their system for).
const GIVE_UP: Nanos = 20 * SECOND;
/// A sender tries again this often.
const TRY_AGAIN: Nanos = 250 * MILLISECOND;
/// The system asks the other side of a quiet connection for a sign after so long.
const QUIET: Nanos = 10 * SECOND;
/// Bytes of a connection that are remembered, to be repeated.
const REMEMBERED_BYTES: usize = 64 << 10;
const COMMAND_BY_HTTP: &[u8] = b"POST /v1/apps/";

pub enum Piece {
    Data(Bytes),
    End,
    Reset,
}

#[derive(Default)]
pub struct Way {
    pub flying: VecDeque<(Nanos, Piece)>,
    pub arrived: VecDeque<Bytes>,
    /// Bytes in both.
    pub bytes: usize,
    pub ended: bool,
    pub reset: bool,
    /// The writing side will write no more.
    pub shut: bool,
    pub reader: Option<Waker>,
    pub writer: Option<Waker>,
    /// The first piece has not come through since then.
    stuck_since: Option<Nanos>,
    /// The first piece will be looked at.
    scheduled: bool,
}

impl Way {
    fn wake(&mut self, wakers: &mut Vec<Waker>) {
        wakers.extend(self.reader.take());
        wakers.extend(self.writer.take());
    }
}

pub struct Side {
    pub host: Host,
    /// Whose it is; none: that life has ended, or has closed it.
    pub life: Option<LifeId>,
}

pub struct Connection {
    pub client: Side,
    pub server: Side,
    /// Where it was connected to.
    pub address: SocketAddr,
    pub ways: [Way; 2],
    pub hangs: bool,
    /// The first bytes that the client sent.
    pub sent: Vec<u8>,
}

impl Connection {
    pub fn new(client: Side, server: Side, address: SocketAddr) -> Connection {
        Connection {
            client,
            server,
            address,
            ways: [Way::default(), Way::default()],
            hangs: false,
            sent: Vec::new(),
        }
    }

    pub fn hosts(&self) -> (Host, Host) {
        (self.client.host, self.server.host)
    }

    /// From and to.
    pub fn ends(&self, direction: Direction) -> (Host, Host) {
        match direction {
            Direction::Out => (self.client.host, self.server.host),
            Direction::Back => (self.server.host, self.client.host),
        }
    }

    pub fn sender(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Out => &mut self.client,
            Direction::Back => &mut self.server,
        }
    }

    fn is_over(&self) -> bool {
        self.client.life.is_none()
            && self.server.life.is_none()
            && self.ways.iter().all(|way| way.flying.is_empty() || way.reset)
    }

    pub fn remember(&mut self, bytes: &[u8]) {
        let room = REMEMBERED_BYTES.saturating_sub(self.sent.len());
        self.sent.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Whether all that the client has sent is remembered, and may come twice: a command by HTTP belongs to no session,
    /// and nothing tells its repetition from another one.
    pub fn may_repeat(&self) -> bool {
        let mut words = self.sent.windows(COMMAND_BY_HTTP.len());
        let is_safe = !words.any(|word| word == COMMAND_BY_HTTP);
        is_safe && !self.sent.is_empty() && self.sent.len() < REMEMBERED_BYTES
    }

    /// Neither side can use it any more.
    fn break_off(&mut self, wakers: &mut Vec<Waker>) {
        for way in &mut self.ways {
            way.reset = true;
            way.flying.clear();
            way.wake(wakers);
        }
    }
}

impl State {
    /// Sends a piece behind those that fly already.
    pub fn send(&mut self, world: &World, id: ConnectionId, direction: Direction, piece: Piece) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        let (from, to) = connection.ends(direction);
        let bytes = match &piece {
            Piece::Data(data) => data.len(),
            Piece::End | Piece::Reset => 0,
        };
        let at = world.now() + self.travel(from, to, bytes);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let way = &mut connection.ways[direction.at()];
        let at = way.flying.back().map_or(at, |(last, _)| at.max(*last));
        way.bytes += bytes;
        way.flying.push_back((at, piece));
    }

    /// One life leaves a connection with its end.
    pub fn leave(
        &mut self,
        world: &World,
        id: ConnectionId,
        life: LifeId,
        farewell: Farewell,
        wakers: &mut Vec<Waker>,
    ) {
        for direction in [Direction::Out, Direction::Back] {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            if connection.sender(direction).life != Some(life) {
                continue;
            }
            connection.sender(direction).life = None;
            let way = &mut connection.ways[direction.at()];
            way.shut = true;
            way.wake(wakers);
            match farewell {
                Farewell::Reset => self.send(world, id, direction, Piece::Reset),
                // What it had sent may still come; nothing follows.
                Farewell::Silence => {}
            }
        }
        self.forget_if_over(id);
    }

    fn forget_if_over(&mut self, id: ConnectionId) {
        if self.connections.get(&id).is_some_and(Connection::is_over) {
            self.connections.remove(&id);
        }
    }
}

impl SimNetwork {
    /// Sees to it that the first piece of a way is looked at when it is due.
    pub(super) fn schedule(&self, id: ConnectionId, direction: Direction) {
        let mut state = self.state.lock();
        let Some(connection) = state.connections.get_mut(&id) else {
            return;
        };
        let way = &mut connection.ways[direction.at()];
        if way.scheduled {
            return;
        }
        let Some((at, _)) = way.flying.front() else { return };
        way.scheduled = true;
        let (at, network) = (*at, self.clone());
        drop(state);
        self.world.call_at(at, move |_| network.arrive(id, direction));
    }

    pub(super) fn schedule_all(&self) {
        let ids: Vec<ConnectionId> = self.state.lock().connections.keys().copied().collect();
        for id in ids {
            self.schedule(id, Direction::Out);
            self.schedule(id, Direction::Back);
        }
    }

    /// The first piece of a way is due: it comes through, or is tried again later.
    fn arrive(&self, id: ConnectionId, direction: Direction) {
        let now = self.world.now();
        let mut wakers = Vec::new();
        let mut state = self.state.lock();
        let again = state.arrive(id, direction, now, &mut wakers);
        state.forget_if_over(id);
        drop(state);
        if let Arrival::Came(from, to, data) = again {
            let (bytes, hash) = (data.len(), xxh3_64(&data));
            self.world.trace(format_args!(
                "net {} {direction:?} {}>{} {bytes} {hash:x}",
                id.0, from.0, to.0
            ));
        }
        wakers.into_iter().for_each(Waker::wake);
        self.schedule(id, direction);
        // What the machine of a life that has ended answers.
        self.schedule(id, direction.reverse());
    }

    /// The machine of one side is gone: after a while the other side's asks for a sign.
    pub fn ask_for_signs(&self, host: Host) {
        let network = self.clone();
        self.world.call_at(self.world.now() + QUIET, move |_| {
            let mut wakers = Vec::new();
            let mut state = network.state.lock();
            for connection in state.connections.values_mut() {
                let gone = |side: &Side| side.host == host && side.life.is_none();
                if gone(&connection.client) || gone(&connection.server) {
                    connection.break_off(&mut wakers);
                }
            }
            drop(state);
            wakers.into_iter().for_each(Waker::wake);
        });
    }
}

enum Arrival {
    Came(Host, Host, Bytes),
    Not,
}

impl State {
    fn arrive(&mut self, id: ConnectionId, direction: Direction, now: Nanos, wakers: &mut Vec<Waker>) -> Arrival {
        let Some(connection) = self.connections.get_mut(&id) else {
            return Arrival::Not;
        };
        connection.ways[direction.at()].scheduled = false;
        let (from, to) = connection.ends(direction);
        let (hangs, gone) = (connection.hangs, connection.sender(direction.reverse()).life.is_none());
        let passes = !hangs && self.passes(from, to);
        let resend = match passes {
            true => self.resend(from, to),
            false => Some(TRY_AGAIN + self.dice.below(TRY_AGAIN)),
        };
        let Some(connection) = self.connections.get_mut(&id) else {
            return Arrival::Not;
        };
        let way = &mut connection.ways[direction.at()];
        if let Some(wait) = resend {
            let since = *way.stuck_since.get_or_insert(now);
            if now - since > GIVE_UP && !hangs {
                connection.break_off(wakers);
            } else if let Some(first) = way.flying.front_mut() {
                first.0 = now + wait;
            }
            return Arrival::Not;
        }
        way.stuck_since = None;
        let Some((_, piece)) = way.flying.pop_front() else {
            return Arrival::Not;
        };
        let mut came = Bytes::new();
        match piece {
            // Nobody is there to read it: its machine says so.
            Piece::Data(_) | Piece::End if gone => connection.break_off(wakers),
            Piece::Data(data) => {
                came = data.clone();
                way.arrived.push_back(data);
                wakers.extend(way.reader.take());
            }
            Piece::End => {
                way.ended = true;
                wakers.extend(way.reader.take());
            }
            Piece::Reset => connection.break_off(wakers),
        }
        Arrival::Came(from, to, came)
    }
}
