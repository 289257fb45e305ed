use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connection::{Piece, WINDOW};
use super::{ConnectionId, Direction, SimNetwork};

/// One side's hold of a connection.
pub struct SimStream {
    pub(super) network: SimNetwork,
    pub(super) id: ConnectionId,
    /// The way that this side writes.
    pub(super) writes: Direction,
    pub(super) ended: Arc<AtomicBool>,
}

impl SimStream {
    fn check_alive(&self) -> io::Result<()> {
        match self.ended.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::NotConnected.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for SimStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check_alive()?;
        let mut state = self.network.state.lock();
        let short = state.dice.per_mille(20);
        let most = if short { 1 + state.dice.below(16) } else { u64::MAX };
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let way = &mut connection.ways[self.writes.reverse().at()];
        if let Some(first) = way.arrived.front_mut() {
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let count = first.len().min(buffer.remaining()).min(most);
            buffer.put_slice(&first[..count]);
            first.advance(count);
            if first.is_empty() {
                way.arrived.pop_front();
            }
            way.bytes -= count;
            let writer = way.writer.take();
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Poll::Ready(Ok(()));
        }
        if way.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if way.ended {
            return Poll::Ready(Ok(()));
        }
        way.reader = Some(context.waker().clone());
        Poll::Pending
    }
}

impl AsyncWrite for SimStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_alive()?;
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let mut state = self.network.state.lock();
        let short = state.dice.per_mille(20);
        let most = if short { 1 + state.dice.below(64) } else { u64::MAX };
        let Some(connection) = state.connections.get_mut(&self.id) else {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        };
        let way = &mut connection.ways[self.writes.at()];
        if way.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if way.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(way.bytes);
        if room == 0 {
            way.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        let count = bytes.len().min(room).min(usize::try_from(most).unwrap_or(usize::MAX));
        if self.writes == Direction::Out {
            connection.remember(&bytes[..count]);
        }
        let piece = Piece::Data(Bytes::copy_from_slice(&bytes[..count]));
        state.send(&self.network.world, self.id, self.writes, piece);
        drop(state);
        self.network.schedule(self.id, self.writes);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.shut(self.id, self.writes);
        Poll::Ready(Ok(()))
    }
}

impl SimNetwork {
    /// One side writes no more.
    fn shut(&self, id: ConnectionId, writes: Direction) {
        let mut state = self.state.lock();
        let Some(connection) = state.connections.get_mut(&id) else {
            return;
        };
        let way = &mut connection.ways[writes.at()];
        if way.shut {
            return;
        }
        way.shut = true;
        state.send(&self.world, id, writes, Piece::End);
        drop(state);
        self.schedule(id, writes);
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // What a killed life leaves is closed for it.
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        self.network.shut(self.id, self.writes);
        let mut state = self.network.state.lock();
        if let Some(connection) = state.connections.get_mut(&self.id) {
            connection.sender(self.writes).life = None;
        }
    }
}
