//! A server of your own, with applications linked in.

use std::path::PathBuf;

use environment::Environment;
use host::NativeApplication;

use crate::config::{Config, Flags};
use crate::running::Running;

/// A node in your own binary, with your applications linked in.
///
/// A linked application is installed like any other, by `seachange app install DIR --native`: its directory then holds a
/// manifest and no module. Every node of the cluster must be a binary that links that version in.
///
/// ```no_run
/// # struct Counter;
/// # impl sdk::Application for Counter {
/// #     fn apply(&self, _: &mut sdk::Context<'_>, _: sdk::Command<'_>) -> Result<sdk::Reply, sdk::Refusal> {
/// #         Err(sdk::Refusal::new("an example"))
/// #     }
/// # }
/// # async fn run() -> anyhow::Result<()> {
/// use seachange::{NativeApplication, Server, Version};
///
/// let counter = NativeApplication::new("counter", Version(1), Counter);
/// let mut server = Server::builder().data("./counter-data").application(counter).start().await?;
/// println!("serving on {}", server.http_address());
/// Err(anyhow::Error::msg(server.stopped().await))
/// # }
/// ```
pub struct Server;

impl Server {
    /// Begins to describe a server: without more, one like `seachange serve`.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            flags: Flags::default(),
            native: Vec::new(),
        }
    }
}

/// Describes a [`Server`].
#[must_use]
pub struct ServerBuilder {
    flags: Flags,
    native: Vec<NativeApplication>,
}

impl ServerBuilder {
    /// The node's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.flags.name = Some(name.into());
        self
    }

    /// Its data directory.
    pub fn data(mut self, directory: impl Into<PathBuf>) -> Self {
        self.flags.data = Some(directory.into());
        self
    }

    /// Where it serves HTTP and the client protocol, `HOST:PORT`; port 0 picks a free one.
    pub fn http(mut self, address: impl Into<String>) -> Self {
        self.flags.http = Some(address.into());
        self
    }

    /// Where it serves its peers, `HOST:PORT`; port 0 picks a free one.
    pub fn peer(mut self, address: impl Into<String>) -> Self {
        self.flags.peer = Some(address.into());
        self
    }

    /// The peer address of a member of the cluster to join, where the data directory is new.
    pub fn join(mut self, address: impl Into<String>) -> Self {
        self.flags.join = Some(address.into());
        self
    }

    /// Links a version of an application in.
    pub fn application(mut self, application: NativeApplication) -> Self {
        self.native.push(application);
        self
    }

    /// Starts it on the running tokio runtime.
    ///
    /// # Errors
    /// A setting is refused, or the node cannot start.
    pub async fn start(self) -> anyhow::Result<Running> {
        self.start_in(environment::real::environment()).await
    }

    /// Starts it over an environment: the one that is current where it is called, and where its tasks run
    /// ([`environment::with_current`]), since the Raft library reaches the world through that one.
    ///
    /// # Errors
    /// A setting is refused, or the node cannot start.
    pub async fn start_in(self, environment: Environment) -> anyhow::Result<Running> {
        let config = Config::load(&self.flags)?;
        Ok(Running::start(config, environment, self.native).await?)
    }
}
