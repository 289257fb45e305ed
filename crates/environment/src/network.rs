use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::BoxFuture;

/// A connection: bytes in order, both ways.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A socket that accepts connections. Dropping it closes the socket.
pub trait Listener: Send + Sync {
    /// The address it really has (a port asked for as 0 is known here).
    fn local_addr(&self) -> SocketAddr;
    /// The next connection and its peer's address.
    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;
}

/// Sockets.
pub trait Network: Send + Sync {
    /// Listens at `address`, `HOST:PORT`; port 0 picks a free one.
    fn bind<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;
    /// Connects to `address`, `HOST:PORT`. Waits as long as the system does: callers set their own limit.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}
