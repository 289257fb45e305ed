//! Proxies in front of the nodes, each on a port that the node names as its own, so that links can be cut, held and reset.
//!
//! Not network namespaces: those need privileges that a developer's machine and most CI do not give, leave things behind
//! when a test is killed, and cannot reset one connection. A proxy sees each connection's first frame, so it knows which
//! peer is at the other end and can cut one direction alone. Nor is a port needed twice: a node that starts again takes
//! any free one, and the proxy leads there. What a proxy cannot do is lose a packet in the middle of a stream; TCP would
//! repeat it anyway.

use std::sync::Arc;

use environment::{Environment, Stream};
use futures::{FutureExt, select_biased};
use machine::codec::{self, Codec, Reader};
use machine::{ClusterId, NodeId};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::links::{Caller, Flow, Links, Watched};

/// What a proxy stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    Peer,
    /// HTTP and the client protocol.
    Http,
}

/// One proxy. It listens until the runtime ends.
pub struct Proxy {
    address: String,
    behind: Arc<Behind>,
}

struct Behind {
    node: usize,
    port: Port,
    links: Arc<Links>,
    environment: Environment,
    /// Where the node listens now; none while it does not run.
    target: Mutex<Option<String>>,
}

const BUFFER_BYTES: usize = 64 << 10;
/// In front of the first frame between peers.
const MAGIC_BYTES: usize = 8;
/// In front of a frame's body: length, checksum, kind and id.
const FRAME_HEADER_BYTES: usize = 17;
/// No hello has as many.
const HELLO_BYTES_MAX: usize = 4096;

impl Proxy {
    pub async fn start(node: usize, port: Port, links: Arc<Links>, environment: Environment) -> std::io::Result<Proxy> {
        let listener = environment.network.bind("127.0.0.1:0").await?;
        let address = listener.local_addr().to_string();
        let behind = Arc::new(Behind {
            node,
            port,
            links,
            environment: environment.clone(),
            target: Mutex::new(None),
        });
        let accepting = behind.clone();
        environment.spawn("proxy", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let behind = accepting.clone();
                let carried = async move { behind.carry(stream).await.unwrap_or(()) };
                accepting.environment.spawn("proxied connection", carried);
            }
        });
        Ok(Proxy { address, behind })
    }

    /// What the node is to name as its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn lead_to(&self, target: Option<String>) {
        *self.behind.target.lock() = target;
    }
}

impl Behind {
    /// Carries one connection to its end. Both ends see it close when it fails anywhere.
    async fn carry(&self, mut caller: Box<dyn Stream>) -> std::io::Result<()> {
        let (from, first) = match self.port {
            Port::Peer => read_hello(&mut caller).await?,
            Port::Http => (Caller::Client, Vec::new()),
        };
        let mut link = self.links.watch(from, self.node);
        if link.now().flow == Flow::Cut {
            return Ok(());
        }
        let Some(target) = self.target.lock().clone() else {
            return Ok(());
        };
        let node = self.environment.network.connect(&target).await?;
        let (from_caller, to_caller) = tokio::io::split(caller);
        let (from_node, to_node) = tokio::io::split(node);
        let there = pump(first, from_caller, to_node, link.clone());
        let back = pump(Vec::new(), from_node, to_caller, link);
        // One that fails takes the other along.
        futures::future::try_join(there, back).await.map(|_| ())
    }
}

/// The first frame of a caller, with who it says that it is.
async fn read_hello(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<(Caller, Vec<u8>)> {
    let mut first = vec![0; MAGIC_BYTES + 4];
    stream.read_exact(&mut first).await?;
    let little_endian = first[MAGIC_BYTES..].iter().rev();
    let length = little_endian.fold(0, |sum, byte| (sum << 8) | usize::from(*byte));
    let begin = first.len();
    first.resize(begin + length.min(HELLO_BYTES_MAX), 0);
    stream.read_exact(&mut first[begin..]).await?;
    let body = first.get(MAGIC_BYTES + FRAME_HEADER_BYTES..).unwrap_or_default();
    // Ids are given in the order in which the nodes were started, from 1.
    let number = sender_of(body)
        .ok()
        .and_then(|NodeId(id)| usize::try_from(id).ok()?.checked_sub(1));
    Ok((number.map_or(Caller::Nobody, Caller::Node), first))
}

fn sender_of(hello: &[u8]) -> Result<NodeId, codec::Error> {
    let mut reader = Reader::new(hello);
    let _versions = (u16::decode(&mut reader)?, u16::decode(&mut reader)?);
    ClusterId::decode(&mut reader)?;
    NodeId::decode(&mut reader)
}

/// Carries bytes one way as long as the link lets them pass.
async fn pump(
    mut waiting: Vec<u8>,
    mut read: impl AsyncRead + Unpin,
    mut write: impl AsyncWrite + Unpin,
    mut link: Watched,
) -> std::io::Result<()> {
    let born = link.now().resets;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let now = link.now();
        if now.flow == Flow::Cut || now.resets != born {
            return Err(std::io::ErrorKind::ConnectionReset.into());
        }
        if now.flow == Flow::Held {
            link.changed().await;
            continue;
        }
        if waiting.is_empty() {
            let count = select_biased! {
                () = link.changed().fuse() => continue,
                count = read.read(&mut buffer).fuse() => count?,
            };
            if count == 0 {
                return write.shutdown().await;
            }
            waiting.extend_from_slice(&buffer[..count]);
            continue;
        }
        select_biased! {
            () = link.changed().fuse() => {}
            // What is not written stays: a write that is given up has taken nothing.
            written = write.write(&waiting).fuse() => {
                waiting.drain(..written?);
            }
        }
    }
}
