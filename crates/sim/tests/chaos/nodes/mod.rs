//! Three real nodes behind proxies.

mod binary;
mod node;
mod paused;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use client::Admin;
use client::wire::Status;
use environment::Environment;
use seachange::connection::{admin_at, status_of};

use crate::links::Links;
use crate::plan::NODES;
use crate::proxy::{Port, Proxy};
use crate::small_disk::SmallDisk;
use node::Plot;

pub use binary::{application, build};
pub use node::Node;

const NAMES: [&str; NODES] = ["a", "b", "c"];
/// The node whose disk can be filled, where the machine allows.
pub const SMALL: usize = NODES - 1;
/// How long the nodes may take to form the cluster, and to find a leader.
const FORM_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// The cluster. Its processes and its files are gone with it.
pub struct Nodes {
    pub nodes: Vec<Node>,
    pub links: Arc<Links>,
    pub disk: Option<SmallDisk>,
    environment: Environment,
    // Declared last, so that the nodes are gone when the directory goes.
    _directory: tempfile::TempDir,
}

impl Nodes {
    /// Starts them and waits until all vote.
    pub async fn start(
        program: &Path,
        disk: Option<SmallDisk>,
        keep: bool,
        environment: Environment,
    ) -> anyhow::Result<Nodes> {
        let mut directory = tempfile::Builder::new().prefix("chaos-nodes-").tempdir()?;
        directory.disable_cleanup(keep);
        if keep {
            println!("files are kept in {}", directory.path().display());
        }
        let links = Arc::new(Links::new());
        let mut cluster = Nodes {
            nodes: Vec::new(),
            links,
            disk,
            environment,
            _directory: directory,
        };
        for (number, name) in NAMES.into_iter().enumerate() {
            let plot = cluster.plot(number, name, program).await?;
            let mut node = Node::new(plot, cluster.environment.clone())?;
            node.spawn()?;
            node.ready().await?;
            cluster.nodes.push(node);
            // Ids are given in this order: the next one joins once this one has its own.
            cluster
                .wait_until_all(|status| status.members.len() == number + 1)
                .await?;
        }
        let complete = |status: &Status| {
            let voters = status.members.iter().filter(|member| member.voter).count();
            voters == NODES && status.leader.is_some()
        };
        cluster.wait_until_all(complete).await?;
        Ok(cluster)
    }

    async fn plot<'a>(&self, number: usize, name: &'a str, program: &'a Path) -> anyhow::Result<Plot<'a>> {
        let proxy = |port| Proxy::start(number, port, self.links.clone(), self.environment.clone());
        let directory = self._directory.path().join(name);
        let data = match &self.disk {
            Some(disk) if number == SMALL => disk.data(),
            Some(_) | None => directory.join("data"),
        };
        Ok(Plot {
            name,
            program,
            directory,
            data,
            join: self.nodes.first().map(|first| first.peer.address().to_owned()),
            proxies: (proxy(Port::Peer).await?, proxy(Port::Http).await?),
        })
    }

    /// What clients are told.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.http.address().to_owned()).collect()
    }

    /// The operator's calls to one node, past its proxy.
    pub fn admin_of(&self, number: usize) -> anyhow::Result<Admin> {
        match self.nodes[number].direct_http() {
            Some(address) => admin_at(&[address.to_owned()], &self.environment)?
                .at(address)
                .map_err(Into::into),
            None => bail!("node {} does not serve", self.nodes[number].name),
        }
    }

    /// What each node that answers says of itself.
    pub async fn statuses(&self) -> Vec<Option<Status>> {
        let asked = self.nodes.iter().map(|node| async {
            match node.direct_http() {
                Some(address) => status_of(address, &self.environment).await,
                None => None,
            }
        });
        futures::future::join_all(asked).await
    }

    /// Waits until all nodes say so of themselves.
    pub async fn wait_until_all(&self, holds: impl Fn(&Status) -> bool) -> anyhow::Result<()> {
        let deadline = self.environment.clock.now() + FORM_MAX;
        loop {
            let statuses = self.statuses().await;
            if statuses.iter().all(|status| status.as_ref().is_some_and(&holds)) {
                return Ok(());
            }
            if self.environment.clock.now() > deadline {
                bail!(
                    "the nodes did not become a cluster within {FORM_MAX:?}: {statuses:?}{}",
                    self.log_ends()
                );
            }
            self.environment.sleep(POLL).await;
        }
    }

    /// Who leads, if anybody says so; of two that do, the one of the later term.
    pub async fn leader(&self) -> Option<usize> {
        let statuses = self.statuses().await;
        let leads = |status: &Status| status.leader == Some(status.node);
        let leaders = statuses.iter().enumerate().filter_map(|(number, status)| {
            let status = status.as_ref().filter(|status| leads(status))?;
            Some((status.term, number))
        });
        leaders.max().map(|(_, number)| number)
    }

    /// Fails when a process is gone that nobody has ended.
    pub fn check_running(&mut self) -> anyhow::Result<()> {
        self.nodes.iter_mut().try_for_each(Node::check_running)
    }

    pub fn log_ends(&self) -> String {
        self.nodes.iter().map(Node::log_end).collect()
    }
}
