//! Talk between nodes: one framed protocol over TCP, whose first frame settles version and cluster.

pub mod caller;
pub mod frames;
pub mod server;

use std::io;
use std::sync::Arc;

use environment::{Environment, Stream, timeout};
use machine::{ClusterId, NodeId};

use crate::limits::{PEER_CONNECT_TIMEOUT, PEER_HELLO_TIMEOUT};
use crate::measures::Measures;
use crate::published::Published;
use frames::Hello;

/// Who this node is to its peers, and how it finds them.
#[derive(Clone)]
pub struct Peers {
    environment: Environment,
    cluster: ClusterId,
    node: NodeId,
    published: Arc<Published>,
    measures: Arc<Measures>,
}

impl Peers {
    /// For a node of a cluster.
    pub fn new(
        environment: Environment,
        cluster: ClusterId,
        published: Arc<Published>,
        measures: Arc<Measures>,
    ) -> Peers {
        Peers {
            environment,
            cluster,
            node: measures.node,
            published,
            measures,
        }
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// What is counted and timed.
    pub fn measures(&self) -> &Arc<Measures> {
        &self.measures
    }

    /// The world.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Where a node listens: as it last registered, or as the membership has it.
    pub fn address(&self, node: NodeId, otherwise: &str) -> String {
        let catalog = self.published.catalog();
        catalog
            .nodes
            .get(&node)
            .map_or_else(|| otherwise.to_owned(), |known| known.peer_address.clone())
    }

    /// A greeted connection to `node`.
    pub async fn connect(&self, node: NodeId, otherwise: &str) -> io::Result<Box<dyn Stream>> {
        let address = self.address(node, otherwise);
        let hello = self.hello();
        let (stream, welcome) = connect(&self.environment, &address, &hello).await?;
        if welcome.node != node {
            let text = format!("{address} answers as node {}, not as node {node}", welcome.node);
            return Err(io::Error::other(text));
        }
        Ok(stream)
    }

    fn hello(&self) -> Hello {
        crate::upkeep::hello(self.cluster, self.node)
    }
}

/// A greeted connection to whoever listens at `address`.
pub async fn connect(
    environment: &Environment,
    address: &str,
    hello: &Hello,
) -> io::Result<(Box<dyn Stream>, frames::Welcome)> {
    let slow = |what: &str| io::Error::new(io::ErrorKind::TimedOut, format!("{address} did not {what} in time"));
    let mut stream = timeout(environment, PEER_CONNECT_TIMEOUT, environment.network.connect(address))
        .await
        .map_err(|_| slow("take the connection"))??;
    let welcome = timeout(environment, PEER_HELLO_TIMEOUT, frames::greet(&mut stream, hello))
        .await
        .map_err(|_| slow("answer the hello"))??;
    Ok((stream, welcome))
}
