//! A node that starts again by itself where that mends it: with a snapshot that has arrived, or after damage to its data.

use std::net::SocketAddr;

use environment::Environment;
use host::NativeApplication;
use node::Ending;
use tracing::{info, warn};

use crate::assemble::{Assembled, Error, assemble};
use crate::config::{Address, Config};

/// A running node.
pub struct Running {
    config: Config,
    environment: Environment,
    native: Vec<NativeApplication>,
    addresses: (SocketAddr, SocketAddr),
    life: Option<Assembled>,
}

impl Running {
    /// Starts a node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn start(
        mut config: Config,
        environment: Environment,
        native: Vec<NativeApplication>,
    ) -> Result<Running, Error> {
        let life = assemble(&config, environment.clone(), native.clone()).await?;
        let addresses = (life.http_address(), life.peer_address());
        // Where a free port was picked, the next life must be found at the same one.
        config.http = at_port(config.http, addresses.0);
        config.peer = at_port(config.peer, addresses.1);
        Ok(Running {
            config,
            environment,
            native,
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
            match assemble(&self.config, self.environment.clone(), self.native.clone()).await {
                Ok(life) => {
                    info!("this node serves again");
                    self.life = Some(life);
                }
                Err(error) => return format!("{reason}; and it could not start again: {error}"),
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
