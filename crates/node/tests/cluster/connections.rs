//! Connections to the peer port.

use environment::timeout;
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
