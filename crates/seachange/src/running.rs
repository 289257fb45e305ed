//! A node that starts again by itself where that mends it: with a snapshot that has arrived, or after damage to its data.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use environment::Environment;
use node::Ending;
use tracing::{info, warn};

use crate::assemble::{Assembled, Binary, Error, OpenState, assemble, real_state};
use crate::config::{Address, Config};

/// How often a node that starts again by itself is tried to start.
const START_TRIES_MAX: u32 = 30;
/// The pause between two tries.
const START_AGAIN: Duration = Duration::from_secs(1);

/// What a node stands on beside its environment.
#[derive(Clone)]
pub struct Over {
    /// Where its state lies.
    pub state: OpenState,
    /// Told of the node each time that it has begun to serve.
    pub began: Arc<dyn Fn(&Assembled) + Send + Sync>,
}

/// A running node.
pub struct Running {
    config: Config,
    environment: Environment,
    binary: Binary,
    over: Over,
    addresses: (SocketAddr, SocketAddr),
    life: Option<Assembled>,
}

impl Running {
    /// Starts a node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(config: Config, environment: Environment, binary: impl Into<Binary>) -> Result<Running, Error> {
        let over = Over {
            state: real_state(&config),
            began: Arc::new(|_| ()),
        };
        Running::start_over(config, environment, binary, over).await
    }

    /// As [`Running::start`], over another store of its state.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start_over(
        mut config: Config,
        environment: Environment,
        binary: impl Into<Binary>,
        over: Over,
    ) -> Result<Running, Error> {
        let binary = binary.into();
        let life = assemble(&config, environment.clone(), binary.clone(), over.state.clone()).await?;
        (over.began)(&life);
        let addresses = (life.http_address(), life.peer_address());
        // Where a free port was picked, the next life must be found at the same one.
        config.http = at_port(config.http, addresses.0);
        config.peer = at_port(config.peer, addresses.1);
        Ok(Running {
            config,
            environment,
            binary,
            over,
            addresses,
            life: Some(life),
        })
    }

    /// Where it serves HTTP and the client protocol.
    #[must_use]
    pub fn http_address(&self) -> SocketAddr {
        self.addresses.0
    }

    /// Where it serves its peers.
    #[must_use]
    pub fn peer_address(&self) -> SocketAddr {
        self.addresses.1
    }

    /// Serves until the node cannot go on, starting it again where that mends it; then says why. A node that was stopped
    /// in this way serves no more.
    pub async fn stopped(&mut self) -> String {
        loop {
            let Some(life) = &self.life else {
                return "it was stopped".to_owned();
            };
            let ending = life.ended().await;
            let Some(life) = self.life.take() else {
                continue;
            };
            life.abandon().await;
            let reason = match ending {
                Ending::Stop(reason) => return reason,
                Ending::Restart(reason) => reason,
            };
            warn!(reason, "starting this node again");
            match self.start_again().await {
                Ok(life) => {
                    info!("this node serves again");
                    (self.over.began)(&life);
                    self.life = Some(life);
                }
                Err(error) => return format!("{reason}; and it could not start again: {error}"),
            }
        }
    }

    /// Threads of the life before may still be reading the disk: then its files are in use for a while.
    async fn start_again(&self) -> Result<Assembled, Error> {
        let mut tries = 1;
        loop {
            let (environment, binary, state) = (self.environment.clone(), self.binary.clone(), self.over.state.clone());
            match assemble(&self.config, environment, binary, state).await {
                Err(error) if tries < START_TRIES_MAX => {
                    warn!(%error, "this node could not start again yet");
                    tries += 1;
                    self.environment.sleep(START_AGAIN).await;
                }
                started => return started,
            }
        }
    }

    /// Takes nothing new, lets what runs end, hands leadership over, and stops.
    pub async fn shutdown(self) {
        if let Some(life) = self.life {
            life.shutdown().await;
        }
    }
}

fn at_port(address: Address, bound: SocketAddr) -> Address {
    match address.port() {
        0 => address.with_port(bound.port()),
        _ => address,
    }
}
