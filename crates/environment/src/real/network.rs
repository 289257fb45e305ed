use std::io;
use std::net::SocketAddr;

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
            stream.set_nodelay(true)?;
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
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as Box<dyn Stream>, peer))
        })
    }
}
