//! A cluster of child processes on this machine, for `demo`, `bench` and the tests.

mod node;

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, bail};
use environment::Environment;

use client::wire::Status;

use crate::connection;
pub use node::LocalNode;

/// How long the whole cluster may take to have all its voters, and a node to be ready.
const START_MAX: Duration = Duration::from_secs(30);
/// How long a node that is started again waits for its port.
const PORT_MAX: Duration = Duration::from_secs(10);
/// And how long it waits between two tries.
const PORT_PAUSE: Duration = Duration::from_millis(200);
/// How often is looked whether something has come.
const POLL: Duration = Duration::from_millis(10);

/// Nodes that end with this value, or with the process that holds it, however that ends.
#[derive(Debug)]
pub struct LocalCluster {
    nodes: Vec<LocalNode>,
    environment: Environment,
    // Declared last, so that the nodes are gone when the directory goes.
    _directory: tempfile::TempDir,
}

impl LocalCluster {
    /// Starts `count` nodes of the binary at `program`, each in a directory of its own, and waits until all vote.
    ///
    /// # Errors
    /// A node did not start, or did not join in time; the error holds the end of its log.
    pub async fn start(program: &Path, count: usize, environment: Environment) -> anyhow::Result<LocalCluster> {
        LocalCluster::start_with(program, count, &[], environment).await
    }

    /// As [`LocalCluster::start`], with more flags of `serve` for every node.
    ///
    /// # Errors
    /// As there.
    pub async fn start_with(
        program: &Path,
        count: usize,
        flags: &[&str],
        environment: Environment,
    ) -> anyhow::Result<LocalCluster> {
        let directory = tempfile::Builder::new()
            .prefix("seachange-")
            .tempdir()
            .context("cannot make a temporary directory")?;
        let mut cluster = LocalCluster {
            nodes: Vec::new(),
            environment,
            _directory: directory,
        };
        for number in 0..count {
            let join = cluster.nodes.first().map(|first| first.peer().to_owned());
            let place = cluster.directory_of(number);
            let node = LocalNode::start(program, place, join, flags, &cluster.environment).await?;
            cluster.nodes.push(node);
        }
        cluster.wait_for_voters().await?;
        Ok(cluster)
    }

    fn directory_of(&self, number: usize) -> PathBuf {
        self._directory.path().join(node::name_of(number))
    }

    /// The nodes, in the order in which they were started.
    #[must_use]
    pub fn nodes(&self) -> &[LocalNode] {
        &self.nodes
    }

    /// The HTTP addresses of all nodes.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.http().to_owned()).collect()
    }

    /// What each node that runs says of itself; none for one that gives no answer.
    pub async fn statuses(&self) -> Vec<Option<Status>> {
        let asked = self
            .nodes
            .iter()
            .map(|node| connection::status_of(node.http(), &self.environment));
        futures::future::join_all(asked).await
    }

    async fn wait_for_voters(&self) -> anyhow::Result<()> {
        let deadline = self.environment.clock.now() + START_MAX;
        loop {
            let statuses = self.statuses().await;
            let complete = |status: &Option<Status>| {
                let voters = status
                    .as_ref()
                    .map_or(0, |status| status.members.iter().filter(|m| m.voter).count());
                voters == self.nodes.len() && status.as_ref().is_some_and(|status| status.leader.is_some())
            };
            if statuses.iter().all(complete) {
                return Ok(());
            }
            if self.environment.clock.now() > deadline {
                bail!(
                    "not all of the {} nodes became voters within {} s{}",
                    self.nodes.len(),
                    START_MAX.as_secs(),
                    self.log_ends()
                );
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// The ends of all nodes' logs, for an error.
    #[must_use]
    pub fn log_ends(&self) -> String {
        self.nodes.iter().map(LocalNode::log_end).collect()
    }

    /// The place in [`LocalCluster::nodes`] of the node that leads.
    ///
    /// # Errors
    /// No node said within the time allowed that it leads.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        let deadline = self.environment.clock.now() + START_MAX;
        loop {
            let statuses = self.statuses().await;
            let leads = |status: &Option<Status>| {
                status
                    .as_ref()
                    .is_some_and(|status| status.leader.is_some() && status.leader == Some(status.node))
            };
            if let Some(leader) = statuses.iter().position(leads) {
                return Ok(leader);
            }
            if self.environment.clock.now() > deadline {
                bail!(
                    "no node led the cluster within {} s{}",
                    START_MAX.as_secs(),
                    self.log_ends()
                );
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// Ends a node with SIGKILL.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self, number: usize) -> anyhow::Result<()> {
        self.nodes[number].kill()
    }

    /// Asks a node to stop as an operator would, and gives how it ended.
    ///
    /// # Errors
    /// It does not end.
    pub async fn stop_node(&mut self, number: usize) -> anyhow::Result<ExitStatus> {
        self.nodes[number].ask_to_stop();
        self.nodes[number].wait_for_end(&self.environment).await
    }

    /// Starts a node that was ended again, at its old addresses and on its old directory.
    ///
    /// # Errors
    /// It did not start.
    pub async fn restart(&mut self, number: usize) -> anyhow::Result<()> {
        let environment = &self.environment;
        let deadline = environment.clock.now() + PORT_MAX;
        let node = &mut self.nodes[number];
        loop {
            match node.restart(environment).await {
                // While it was down, somebody's connection may have been given its port.
                Err(_) if node.port_was_taken() && environment.clock.now() < deadline => {
                    node.wait_for_end(environment).await?;
                    environment.sleep(PORT_PAUSE).await;
                }
                ended => return ended,
            }
        }
    }

    /// Waits until every node has applied the same index and it is at least `index`, and gives what they say of
    /// themselves at that moment. Only for a cluster that takes no more commands.
    ///
    /// # Errors
    /// They did not within `limit`.
    pub async fn wait_until_equal(&self, index: u64, limit: Duration) -> anyhow::Result<Vec<Status>> {
        let deadline = self.environment.clock.now() + limit;
        loop {
            let statuses = self.statuses().await;
            let here: Vec<Status> = statuses.into_iter().flatten().collect();
            let applied = here.first().map(|status| status.applied);
            let equal = here
                .iter()
                .all(|status| Some(status.applied) == applied && status.applied >= index);
            if here.len() == self.nodes.len() && equal {
                return Ok(here);
            }
            if self.environment.clock.now() > deadline {
                let list: Vec<String> = here.iter().map(|s| format!("{} at {}", s.name, s.applied)).collect();
                bail!(
                    "the nodes did not come to the same index within {} s: {} of {} answer ({}){}",
                    limit.as_secs(),
                    here.len(),
                    self.nodes.len(),
                    list.join(", "),
                    self.log_ends()
                );
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// Stops all nodes as an operator would, and waits for them.
    pub async fn stop(mut self) {
        for node in &mut self.nodes {
            node.ask_to_stop();
        }
        for node in &mut self.nodes {
            if let Err(error) = node.wait_for_end(&self.environment).await {
                tracing::warn!("{error:#}");
            }
        }
    }
}
