use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::{BoxFuture, Listener, Network, Stream};

/// TCP, with Nagle's delay off.
pub struct RealNetwork;

struct RealListener {
    inner: TcpListener,
    address: SocketAddr,
}

impl Network for RealNetwork {
    fn bind<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = TcpListener::bind(address).await?;
            let address = inner.local_addr()?;
            Ok(Box::new(RealListener { inner, address }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            prepare(&stream)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

impl Listener for RealListener {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> BoxFuture<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.inner.accept().await?;
            prepare(&stream)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer))
        })
    }
}

/// No delay for small writes, and no waiting for a peer that has gone without a word.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(SILENCE / 4)
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE * 2))?;
    Ok(())
}

/// After this long without a sign the other side is asked for one.
const SILENCE: Duration = Duration::from_secs(10);
