//! `cargo xtask growth`: what a command, a restart and a node's memory cost with more nodes, more documents, more
//! applications and a longer log, and how fast streams are read from their start by many.

mod applications;
mod documents;
mod fill;
mod log;
mod loopback;
mod restart;
mod streams;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use crate::load::{self, Load, Measured, Work};
use crate::systems::{Cluster, Connection, Programs};

/// Connections that write.
const CONNECTIONS: usize = 4;
/// What is left alone between filling and measuring, so that compaction comes to rest.
const REST: Duration = Duration::from_secs(3);

/// What is measured, and how long.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The binary of Seachange
    #[arg(long)]
    seachange: PathBuf,
    /// The package of the application that takes the writes
    #[arg(long)]
    application: PathBuf,
    /// The package of an application that emits an event for each command: apps/counter-wat
    #[arg(long)]
    counter: PathBuf,
    /// Where the data of the nodes lies while they run: on the disk that is to be measured
    #[arg(long)]
    place: PathBuf,
    /// Numbers of nodes, each measured with 100,000 documents; 0: none
    #[arg(long, value_delimiter = ',', default_value = "1,3,5")]
    nodes: Vec<usize>,
    /// Numbers of documents; 0: none
    #[arg(long, value_delimiter = ',', default_value = "1000,100000,1000000,10000000")]
    documents: Vec<u64>,
    /// Numbers of applications that share the commands in flight, and 100,000 documents; 0: none
    #[arg(long, value_delimiter = ',', default_value = "1,4,16,64")]
    applications: Vec<usize>,
    /// Numbers of commands, written to 100,000 documents, of which the log gets longer; 0: none
    // Up to ten million: a snapshot first cuts the log at about two million of them.
    #[arg(long, value_delimiter = ',', default_value = "100000,1000000,10000000")]
    log: Vec<u64>,
    /// Nodes with which documents, applications and the log are measured
    #[arg(long, default_value_t = 1)]
    with_nodes: usize,
    /// Events that each consumer reads; 0: streams are not measured
    #[arg(long, default_value_t = 1_000_000)]
    events: u64,
    /// Consumers of a stream
    #[arg(long, default_value_t = 8)]
    consumers: usize,
    /// Bytes of a document
    #[arg(long, default_value_t = 100)]
    bytes: usize,
    /// Commands in flight where they are measured
    #[arg(long, default_value_t = 256)]
    in_flight: usize,
    /// Seconds measured for each figure
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// Measures all that is asked for, and prints a row for each as it comes.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.place)?;
    documents::run(arguments).await?;
    applications::run(arguments).await?;
    log::run(arguments).await?;
    if arguments.events > 0 {
        streams::run(arguments).await?;
    }
    Ok(())
}

impl Arguments {
    fn programs(&self, application: &Path) -> Programs {
        Programs {
            seachange: self.seachange.clone(),
            application: application.to_path_buf(),
            etcd: PathBuf::new(),
            nats: PathBuf::new(),
            server_cores: String::new(),
        }
    }

    /// Writes to random keys.
    fn load(&self, keys: u64) -> Load {
        Load {
            work: Work::Write {
                bytes: self.bytes,
                batch: 1,
            },
            in_flight: self.in_flight,
            keys,
        }
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

/// The columns of all tables that say how long commands took.
const LATENCIES: &str = "p50 ms | p99 ms | longest gap ms";

fn latencies(measured: &Measured) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    format!(
        "{:.2} | {:.2} | {:.1}",
        ms(measured.quantile(0.5)),
        ms(measured.quantile(0.99)),
        ms(measured.longest_gap)
    )
}

/// The head of a table, if any row of it is asked for.
fn head(asked: bool, columns: &str) {
    if asked {
        println!("\n| {columns} |\n{}|", "|--:".repeat(columns.split(" | ").count()));
    }
}

/// Figures of a load with errors would say nothing.
fn without_errors(measured: &Measured) -> anyhow::Result<()> {
    match &measured.first_error {
        Some(error) => bail!("{} errors, {error}", measured.errors),
        None => Ok(()),
    }
}

/// Writes to so many keys for as long as was asked, and what processor time a million of those commands took of all nodes.
async fn loaded(
    arguments: &Arguments,
    cluster: &Cluster,
    connections: &[Connection],
    keys: u64,
) -> anyhow::Result<(Measured, f64)> {
    let (before, began) = (cluster.processor_seconds(), Instant::now());
    let measured = load::run(arguments.load(keys), arguments.length(), connections, async || ()).await?;
    let commands = measured.per_second * began.elapsed().as_secs_f64();
    let cost = processor_per_million(cluster, before, commands);
    without_errors(&measured)?;
    Ok((measured, cost))
}

/// Seconds of processor time that all nodes have taken since then for a million of so many commands.
fn processor_per_million(cluster: &Cluster, before: f64, commands: f64) -> f64 {
    (cluster.processor_seconds() - before) * 1e6 / commands.max(1.0)
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn bytes_under(directory: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path())?,
            Ok(metadata) => metadata.len(),
            // Compaction has removed it meanwhile.
            Err(_) => 0,
        };
    }
    Ok(bytes)
}
