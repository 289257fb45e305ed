//! Connections to the peer port.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use environment::{BoxFuture, Listener, Network, Stream, timeout};
use machine::Role;
use machine::codec::Codec;
use node::limits::PEER_CONNECTIONS_MAX;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{PATIENCE, World};

/// The peer protocol's magic and a hello of a node that has no cluster yet.
fn hello() -> Vec<u8> {
    let mut checked = vec![1];
    checked.extend_from_slice(&0_u64.to_le_bytes());
    (1_u16, 1_u16).encode(&mut checked);
    (0_u64, 0_u64).encode(&mut checked);
    1_u16.encode(&mut checked);
    let mut bytes = b"SEAPEER1".to_vec();
    bytes.extend_from_slice(&(checked.len() as u32 + 4).to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&checked).to_le_bytes());
    bytes.extend_from_slice(&checked);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_past_the_limit_of_the_peer_port_waits_for_its_turn() {
    let world = World::new();
    let a = world.start("a", &[1], None).await;
    let connect = async || {
        let mut stream = world.environment.network.connect(&a.peer).await.expect("a connection");
        stream.write_all(&hello()).await.expect("taken");
        stream
    };
    let mut held = Vec::new();
    for _ in 0..PEER_CONNECTIONS_MAX {
        let mut stream = connect().await;
        let mut welcome = [0; 17];
        stream.read_exact(&mut welcome).await.expect("greeted");
        assert_eq!(welcome[8], 2, "a welcome");
        held.push(stream);
    }
    let mut one_more = connect().await;
    let mut welcome = [0; 17];
    {
        let read = one_more.read_exact(&mut welcome);
        futures::pin_mut!(read);
        assert!(futures::poll!(read.as_mut()).is_pending());
        // The node does its work meanwhile.
        world.until(&a, "itself", |status, _| status.role == Role::Leader).await;
        assert!(futures::poll!(read.as_mut()).is_pending(), "it is not its turn");
        drop(held.pop());
        let greeted = timeout(&world.environment, PATIENCE, read).await;
        greeted.expect("its turn comes").expect("greeted");
    }
    assert_eq!(welcome[8], 2, "a welcome");
    a.node.shutdown().await;
}

/// The real network, which counts how often was tried to connect to somebody who is not there.
struct Counted {
    inner: Arc<dyn Network>,
    failed: Arc<AtomicU64>,
}

impl Network for Counted {
    fn bind<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        self.inner.bind(address)
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let connected = self.inner.connect(address).await;
            self.failed.fetch_add(u64::from(connected.is_err()), Ordering::Relaxed);
            connected
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_down_is_not_called_as_fast_as_the_machine_can() {
    let mut world = World::new();
    let failed = Arc::new(AtomicU64::new(0));
    world.environment.network = Arc::new(Counted {
        inner: world.environment.network.clone(),
        failed: failed.clone(),
    });
    let [a, b, c] = world.three(1).await;
    c.node.shutdown().await;
    failed.store(0, Ordering::Relaxed);
    let began = world.environment.clock.now();
    while world.environment.clock.now() - began < Duration::from_secs(2) {
        world.add(&[&a, &b], 1).await;
    }
    // Entries come all the while. With a pause of 50 ms after each failure there are 20 a second, and those of heartbeats.
    let failed = failed.load(Ordering::Relaxed);
    assert!((1..400).contains(&failed), "tried {failed} times in two seconds");
    for member in [a, b] {
        member.node.shutdown().await;
    }
}
