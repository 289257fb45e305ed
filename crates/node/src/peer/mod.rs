//! Talk between nodes: one framed protocol over TCP, whose first frame settles version and cluster.

pub mod caller;
pub mod frames;
pub mod server;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use environment::{Environment, Stream, timeout};
use machine::limits::ADDRESS_BYTES_MAX;
use machine::{ClusterId, NodeId};
use parking_lot::Mutex;

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
    here: String,
    published: Arc<Published>,
    measures: Arc<Measures>,
    heard: Arc<Mutex<BTreeMap<NodeId, String>>>,
}

impl Peers {
    /// For a node of a cluster that its peers reach at `here`.
    pub fn new(
        environment: Environment,
        cluster: ClusterId,
        here: String,
        published: Arc<Published>,
        measures: Arc<Measures>,
    ) -> Peers {
        Peers {
            environment,
            cluster,
            node: measures.node,
            here,
            published,
            measures,
            heard: Arc::default(),
        }
    }

    /// This node.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Where it is reached.
    pub fn here(&self) -> &str {
        &self.here
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

    /// Keeps where a member says that it is. After a start at another address it cannot register before it is reached,
    /// and with a further member away nobody but it can complete the majority that its registering needs.
    pub fn heard(&self, hello: &Hello) {
        let known = self.published.catalog().nodes.contains_key(&hello.node);
        let fits = (1..=ADDRESS_BYTES_MAX).contains(&hello.peer_address.len());
        if known && fits && hello.cluster == self.cluster {
            self.heard.lock().insert(hello.node, hello.peer_address.clone());
        }
    }

    /// A greeted connection to `node`: where it registered, and at the same time where it last said that it is, if
    /// that is elsewhere. What of it was told here may be the older of the two, so neither goes first.
    ///
    /// # Errors
    /// It was reached at neither; the text is that of the last attempt to fail.
    pub async fn connect(&self, node: NodeId, otherwise: &str) -> io::Result<Box<dyn Stream>> {
        let registered = self.address(node, otherwise);
        let heard = self.heard.lock().get(&node).cloned();
        match heard.filter(|heard| *heard != registered) {
            None => self.connect_at(node, registered).await,
            Some(heard) => {
                let attempts = [registered, heard].map(|address| Box::pin(self.connect_at(node, address)));
                futures::future::select_ok(attempts).await.map(|(stream, _)| stream)
            }
        }
    }

    async fn connect_at(&self, node: NodeId, address: String) -> io::Result<Box<dyn Stream>> {
        let hello = Hello {
            peer_address: self.here.clone(),
            ..crate::upkeep::hello(self.cluster, self.node)
        };
        let (stream, welcome) = connect(&self.environment, &address, &hello).await?;
        if welcome.node != node {
            let text = format!("{address} answers as node {}, not as node {node}", welcome.node);
            return Err(io::Error::other(text));
        }
        Ok(stream)
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
