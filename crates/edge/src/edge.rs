use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use environment::channel::Semaphore;
use environment::{Environment, Listener, timeout};
use futures::FutureExt;
use machine::{Cluster, MeterNumber};

use crate::connection::{self, Serving};
use crate::limits::{self, Limits};
use crate::observe::ObserveOptions;
use crate::stop::Stop;

/// Says whether the bytes of a module may go into the log: a stable code and a text for people when not.
pub type ModuleCheck = Arc<dyn Fn(&[u8]) -> Result<(), (String, String)> + Send + Sync>;

/// How a node shows itself to the world.
#[derive(Clone)]
pub struct EdgeOptions {
    /// What may be asked of it at once.
    pub limits: Limits,
    /// Looks at each module that is sent here before any of it goes into the log. It may take seconds of a processor,
    /// and runs on a thread of its own.
    pub module_check: Option<ModuleCheck>,
    /// For people: the binary's version, told in the first frame of the client protocol.
    pub binary: String,
    /// The meter that a new version runs under when its plan names none.
    pub meter: MeterNumber,
    /// What is shown of commands and their ways.
    pub observe: ObserveOptions,
}

impl Default for EdgeOptions {
    fn default() -> Self {
        EdgeOptions {
            limits: Limits::default(),
            module_check: None,
            binary: String::new(),
            meter: MeterNumber(1),
            observe: ObserveOptions::default(),
        }
    }
}

impl std::fmt::Debug for EdgeOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EdgeOptions")
            .field("limits", &self.limits)
            .field("module_check", &self.module_check.is_some())
            .field("binary", &self.binary)
            .field("meter", &self.meter)
            .finish_non_exhaustive()
    }
}

/// What the world sees of a node: HTTP and the client protocol, on one port.
#[derive(Debug)]
pub struct Edge;

impl Edge {
    /// Begins to accept connections, and goes on until the handle drains it.
    pub fn serve(
        environment: Environment,
        listener: Box<dyn Listener>,
        cluster: Arc<dyn Cluster>,
        options: EdgeOptions,
    ) -> EdgeHandle {
        // One place more than there may be connections: the accept loop has it while the socket is open.
        let places = options.limits.connections_max.saturating_add(1);
        let handle = EdgeHandle {
            environment: environment.clone(),
            address: listener.local_addr(),
            places: Arc::new(Semaphore::new(places as usize)),
            places_max: places,
            stopping: Stop::default(),
            closing: Stop::default(),
        };
        let serving = Arc::new(Serving::new(
            environment.clone(),
            cluster,
            options,
            handle.stopping.clone(),
            handle.closing.clone(),
        ));
        let accept = Accept {
            environment: environment.clone(),
            serving,
            places: handle.places.clone(),
            stopping: handle.stopping.clone(),
        };
        environment.spawn("edge-accept", accept.run(listener));
        handle
    }
}

/// Ends what [`Edge::serve`] began. Dropping it ends nothing.
pub struct EdgeHandle {
    environment: Environment,
    address: SocketAddr,
    places: Arc<Semaphore>,
    places_max: u32,
    stopping: Stop,
    closing: Stop,
}

impl std::fmt::Debug for EdgeHandle {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("EdgeHandle")
            .field("address", &self.address)
            .finish()
    }
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drained {
    /// Every request that had begun was answered.
    Clean,
    /// Some connections were cut at the deadline.
    Cut,
}

impl EdgeHandle {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts nothing more, lets the requests that run be answered for at most `limit`, ends streams that are being
    /// followed, and closes every connection. The socket is closed when this returns.
    pub async fn drain(&self, limit: Duration) -> Drained {
        self.stopping.say();
        let all_gone = self.places.acquire_many(self.places_max);
        if timeout(&self.environment, limit, all_gone).await.is_ok() {
            return Drained::Clean;
        }
        self.closing.say();
        // What is left now only has to be polled once to see that it is over.
        let _ = self.places.acquire_many(self.places_max).await;
        Drained::Cut
    }
}

struct Accept {
    environment: Environment,
    serving: Arc<Serving>,
    places: Arc<Semaphore>,
    stopping: Stop,
}

impl Accept {
    async fn run(self, listener: Box<dyn Listener>) {
        let Ok(_own_place) = self.places.clone().acquire_owned().await else {
            return;
        };
        while !self.stopping.is_said() {
            let stop = self.stopping.said().fuse();
            let next = self.next(listener.as_ref()).fuse();
            futures::pin_mut!(stop, next);
            futures::select_biased! {
                () = stop => break,
                () = next => {}
            }
        }
    }

    async fn next(&self, listener: &dyn Listener) {
        let Ok(place) = self.places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let serving = self.serving.clone();
                self.environment.spawn("edge-connection", async move {
                    connection::serve(&serving, stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                self.environment.sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
}
