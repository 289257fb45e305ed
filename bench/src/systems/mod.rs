//! The systems that are measured: each three servers on loopback, and connections by its own client.

mod etcd;
mod nats;
pub mod seachange;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use bytes::Bytes;

use crate::processes::Process;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub seachange: PathBuf,
    /// The package of the application that is measured.
    pub application: PathBuf,
    pub etcd: PathBuf,
    pub nats: PathBuf,
    /// Processors that servers may run on, as `taskset --cpu-list` takes them; empty: all.
    pub server_cores: String,
}

/// A system, as it is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Seachange,
    Etcd,
    /// JetStream that syncs before it acknowledges.
    NatsSync,
    /// JetStream as it comes: it syncs every two minutes.
    Nats,
}

/// Every system, Seachange first.
pub const ALL: [System; 4] = [System::Seachange, System::Etcd, System::NatsSync, System::Nats];

/// Servers of each system.
const NODES: usize = 3;

/// A cluster that runs. It ends with this value.
pub struct Cluster {
    pub nodes: Vec<Process>,
    address: Address,
    // Declared last, so that the servers are gone when it goes.
    directory: tempfile::TempDir,
}

/// How it is reached.
enum Address {
    /// HTTP addresses of the nodes.
    Seachange(Vec<String>),
    /// URLs of the nodes.
    Etcd(Vec<String>),
    /// URLs of the servers.
    Nats(Vec<String>),
}

/// A connection. Clones share it.
#[derive(Clone)]
pub enum Connection {
    Seachange(seachange::Connection),
    Etcd(etcd_client::KvClient),
    Nats(async_nats::jetstream::Context),
}

impl System {
    pub fn name(self) -> &'static str {
        match self {
            System::Seachange => "seachange",
            System::Etcd => "etcd",
            System::NatsSync => "nats-sync",
            System::Nats => "nats",
        }
    }

    /// What an acknowledgement says about the disk.
    pub fn syncs(self) -> &'static str {
        match self {
            System::Seachange => "fdatasync on a majority, applied by a WASM application",
            System::Etcd => "fdatasync on a majority, applied",
            System::NatsSync => "fsync on a majority (sync_interval: always)",
            System::Nats => "in the page cache of a majority: synced every two minutes only",
        }
    }

    /// Whether its values can be read back by key, as new as the last acknowledged write.
    pub fn reads(self) -> bool {
        matches!(self, System::Seachange | System::Etcd)
    }

    /// Starts three servers on empty directories under `place`.
    pub async fn start(self, programs: &Programs, place: &Path) -> anyhow::Result<Cluster> {
        let start = async |place: &Path, nodes: &mut Vec<Process>| match self {
            System::Seachange => seachange::start(programs, place, nodes, NODES).await,
            System::Etcd => etcd::start(programs, place, nodes).await,
            System::NatsSync => nats::start(programs, place, nodes, true).await,
            System::Nats => nats::start(programs, place, nodes, false).await,
        };
        Cluster::start(self, place, start).await
    }
}

impl Cluster {
    /// So many nodes of Seachange on empty directories under `place`.
    pub async fn of_seachange(programs: &Programs, place: &Path, count: usize) -> anyhow::Result<Cluster> {
        let start =
            async |place: &Path, nodes: &mut Vec<Process>| seachange::start(programs, place, nodes, count).await;
        Cluster::start(System::Seachange, place, start).await
    }

    async fn start(
        system: System,
        place: &Path,
        start: impl AsyncFnOnce(&Path, &mut Vec<Process>) -> anyhow::Result<Address>,
    ) -> anyhow::Result<Cluster> {
        let directory = tempfile::Builder::new().prefix(system.name()).tempdir_in(place)?;
        let mut nodes = Vec::new();
        let address = start(directory.path(), &mut nodes).await;
        let address = address.with_context(|| log_ends(&nodes))?;
        Ok(Cluster {
            nodes,
            address,
            directory,
        })
    }

    /// Addresses or URLs of the nodes.
    pub fn addresses(&self) -> &[String] {
        match &self.address {
            Address::Seachange(all) | Address::Etcd(all) | Address::Nats(all) => all,
        }
    }

    /// Where the nodes' directories are, each named by its number.
    pub fn place(&self) -> &Path {
        self.directory.path()
    }

    /// Seconds of processor time that all nodes have taken.
    pub fn processor_seconds(&self) -> f64 {
        self.nodes.iter().map(Process::processor_seconds).sum()
    }

    /// The most memory that one of them held, bytes.
    pub fn peak_memory(&self) -> u64 {
        self.nodes.iter().map(Process::peak_memory).max().unwrap_or(0)
    }

    /// The end of what each of them printed.
    pub fn log_ends(&self) -> String {
        log_ends(&self.nodes)
    }

    /// Connections to the cluster, each to the leader where the client does not find it by itself, or else to all nodes.
    pub async fn connect(&self, count: usize, leader_alone: bool) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(match &self.address {
                Address::Seachange(all) => Connection::Seachange(seachange::connect(all)?),
                Address::Etcd(all) => Connection::Etcd(etcd::connect(all, leader_alone).await?),
                Address::Nats(all) => Connection::Nats(nats::connect(all, leader_alone).await?),
            });
        }
        Ok(connections)
    }

    /// The node that leads.
    pub async fn leader(&self) -> anyhow::Result<usize> {
        match &self.address {
            Address::Seachange(all) => seachange::leader(all).await,
            Address::Etcd(all) => etcd::leader(all).await,
            Address::Nats(all) => nats::leader(all).await,
        }
    }
}

impl Connection {
    /// Writes a value and waits until it is acknowledged.
    pub async fn write(&mut self, key: &str, value: Bytes) -> anyhow::Result<()> {
        match self {
            Connection::Seachange(connection) => connection.write(key, &value).await,
            Connection::Etcd(client) => {
                client.put(key, value.to_vec(), None).await?;
                Ok(())
            }
            Connection::Nats(context) => nats::write(context, key, &value).await,
        }
    }

    /// Writes a value under each of the keys, commands of their own, and waits until all are acknowledged.
    pub async fn write_all(&self, keys: &[String], value: Bytes) -> anyhow::Result<()> {
        match self {
            Connection::Seachange(connection) => connection.write_all(keys, &value).await,
            Connection::Etcd(_) | Connection::Nats(_) => anyhow::bail!("only Seachange is measured in batches"),
        }
    }

    /// Reads a value, as new as the last acknowledged write.
    pub async fn read(&mut self, key: &str) -> anyhow::Result<()> {
        match self {
            Connection::Seachange(connection) => connection.read(key).await,
            Connection::Etcd(client) => {
                client.get(key, None).await?;
                Ok(())
            }
            Connection::Nats(_) => anyhow::bail!("a stream is not read by key"),
        }
    }
}

fn log_ends(nodes: &[Process]) -> String {
    nodes.iter().map(Process::log_end).collect()
}

/// A command that runs on the processors of the servers.
fn command(programs: &Programs, program: &Path) -> Command {
    if programs.server_cores.is_empty() {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &programs.server_cores]).arg(program);
    command
}
