//! Puts one node together: its parts, over an environment. The simulator calls this very function.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use edge::{Edge, EdgeHandle, EdgeOptions};
use environment::Environment;
use host::{NativeApplication, Registry};
use machine::{LEVEL_MAX, Level};
use node::{Ending, Node, StartError};
use store::log::LogOptions;
use store::state::{Backend, FjallBackend, FjallOptions, StateOptions};
use store::streams::StreamOptions;

use crate::config::{Address, Config};
use crate::watched;

/// How long running requests may take to end when the node is stopped.
const DRAIN_LIMIT: Duration = Duration::from_secs(5);

/// Why a node did not start. Each says what, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot listen where it should.
    #[error("cannot listen on {address} (--{flag}): {error}; is another process using the port?")]
    Listen {
        /// Which setting.
        flag: &'static str,
        /// The address.
        address: Address,
        /// What the system says.
        error: std::io::Error,
    },
    /// The node itself.
    #[error(transparent)]
    Node(#[from] StartError),
}

/// One life of a node: from its start until it is stopped, or cannot go on as it is.
pub struct Assembled {
    node: Node,
    edge: EdgeHandle,
    peer: SocketAddr,
}

impl Assembled {
    /// Where it serves HTTP and the client protocol.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.edge.address()
    }

    /// Where it serves its peers.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.peer
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends when the node cannot go on as it is, with what to do.
    pub async fn ended(&self) -> Ending {
        self.node.ended().await
    }

    /// Takes nothing new, lets what runs end, hands leadership over, and stops.
    pub async fn shutdown(self) {
        self.node.prepare_to_stop().await;
        self.edge.drain(DRAIN_LIMIT).await;
        self.node.shutdown().await;
    }

    /// Stops a node that cannot go on: nothing that still runs on it is waited for.
    pub async fn abandon(self) {
        self.edge.drain(Duration::ZERO).await;
        self.node.shutdown().await;
    }
}

/// What a binary is made of, beside the code that all have.
#[derive(Clone)]
pub struct Binary {
    /// The applications that are linked in.
    pub native: Vec<NativeApplication>,
    /// The highest level of the log's entries that it knows.
    pub level_max: Level,
}

impl From<Vec<NativeApplication>> for Binary {
    fn from(native: Vec<NativeApplication>) -> Self {
        Binary {
            native,
            level_max: LEVEL_MAX,
        }
    }
}

/// Opens the store of a node's state in a directory.
pub type OpenState = Arc<dyn Fn(&Path) -> Result<Arc<dyn Backend>, store::state::Error> + Send + Sync>;

/// The store that a node keeps its state in, unless it is told otherwise.
#[must_use]
pub fn real_state(config: &Config) -> OpenState {
    let fjall = FjallOptions {
        cache_bytes: config.limits.cache_bytes / 4,
        ..FjallOptions::default()
    };
    Arc::new(move |directory| {
        let backend = FjallBackend::open(directory, fjall)?;
        Ok(Arc::new(backend) as Arc<dyn Backend>)
    })
}

/// Puts a node together and starts it.
///
/// # Errors
/// See [`Error`].
pub async fn assemble(
    config: &Config,
    environment: Environment,
    binary: Binary,
    state: OpenState,
) -> Result<Assembled, Error> {
    let http = listen(&environment, "http", &config.http).await?;
    let peer = listen(&environment, "peer", &config.peer).await?;
    let peer_address = peer.local_addr();
    let told = |told: &Option<Address>, real: SocketAddr| told.as_ref().map_or(real.to_string(), ToString::to_string);
    let registry = Registry::new(binary.native);
    let node_config = node::Config {
        name: config.name.clone(),
        data: config.data.clone(),
        peer_address: told(&config.advertise_peer, peer_address),
        http_address: told(&config.advertise_http, http.local_addr()),
        join: config.join.as_ref().map(ToString::to_string),
        registry: registry.clone(),
        level_max: binary.level_max,
        log: LogOptions {
            segment_bytes: u32::try_from(config.limits.log_segment_bytes).unwrap_or(u32::MAX),
            ..LogOptions::default()
        },
        state: StateOptions {
            cache_bytes: usize::try_from(config.limits.cache_bytes).unwrap_or(usize::MAX),
        },
        streams: StreamOptions::default(),
        upkeep: config.limits.upkeep(),
        retention: node::Retention {
            bytes: config.limits.stream_retain_bytes,
            age: config.limits.stream_retain,
        },
    };
    let node = Node::start(
        node_config,
        environment.clone(),
        move |directory| state(directory),
        peer,
    )
    .await?;
    let meter = registry.meter();
    let check = move |module: &[u8]| {
        registry
            .check(module)
            .map_err(|error| (error.code().to_owned(), error.to_string()))
    };
    let options = EdgeOptions {
        module_check: Some(Arc::new(check)),
        binary: env!("CARGO_PKG_VERSION").to_owned(),
        meter,
        observe: watched::options(config, &environment, &node),
        ..EdgeOptions::default()
    };
    let edge = Edge::serve(environment, http, node.cluster(), options);
    Ok(Assembled {
        node,
        edge,
        peer: peer_address,
    })
}

async fn listen(
    environment: &Environment,
    flag: &'static str,
    address: &Address,
) -> Result<Box<dyn environment::Listener>, Error> {
    let bound = environment.network.bind(&address.to_string()).await;
    bound.map_err(|error| Error::Listen {
        flag,
        address: address.clone(),
        error,
    })
}
