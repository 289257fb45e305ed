//! `cargo xtask growth`: what a command, a restart and a node's memory cost with more nodes and more documents, and how
//! fast streams are read from their start by many.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use client::{Admin, Options};
use futures::{StreamExt, TryStreamExt};

use crate::load::{self, Load, Work, key, value};
use crate::processes::{Process, until};
use crate::report::grouped;
use crate::systems::{Cluster, Connection, Programs, seachange};

/// Connections that write.
const CONNECTIONS: usize = 4;
/// Commands on their way while documents are filled in.
const FILL_IN_FLIGHT: usize = 4096;
/// Nodes from which streams are read.
const STREAM_NODES: usize = 3;
/// How long a node may take to read and check all that lies on its disk.
const CHECK_MAX: Duration = Duration::from_secs(300);
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
    /// Nodes with which those are measured
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
    let by_nodes = arguments.nodes.iter().map(|&nodes| (nodes, load::KEYS));
    let by_documents = arguments
        .documents
        .iter()
        .map(|&documents| (arguments.with_nodes, documents));
    let measured: Vec<_> = by_nodes
        .chain(by_documents)
        .filter(|&(nodes, documents)| nodes > 0 && documents > 0)
        .collect();
    if !measured.is_empty() {
        println!(
            "| nodes | documents | filled in s | commands a second | p50 ms | p99 ms | longest gap ms | CPU s/million, nodes \
             | peak MiB a node | on disk MiB a node | restart after SIGKILL s |\n|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
        );
    }
    for (nodes, count) in measured {
        documents(arguments, nodes, count).await?;
    }
    if arguments.events > 0 {
        streams(arguments).await?;
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
}

/// A cluster of so many nodes with so many documents: filled, written to at random, and one node of it started again.
async fn documents(arguments: &Arguments, count: usize, documents: u64) -> anyhow::Result<()> {
    let programs = arguments.programs(&arguments.application);
    let mut cluster = Cluster::of_seachange(&programs, &arguments.place, count).await?;
    let row = measure(arguments, &mut cluster, documents).await;
    println!("{}", row.with_context(|| cluster.log_ends())?);
    Ok(())
}

async fn measure(arguments: &Arguments, cluster: &mut Cluster, documents: u64) -> anyhow::Result<String> {
    let connections = cluster.connect(CONNECTIONS, true).await?;
    let began = Instant::now();
    fill(&connections, documents, arguments.bytes).await?;
    let filled = began.elapsed();
    tokio::time::sleep(REST).await;
    let load = Load {
        work: Work::Write {
            bytes: arguments.bytes,
            batch: 1,
        },
        in_flight: arguments.in_flight,
        keys: documents,
        length: Duration::from_secs_f64(arguments.seconds),
    };
    let (before, began) = (cluster.processor_seconds(), Instant::now());
    let measured = load::run(load, &connections, async || ()).await?;
    let commands = measured.per_second * began.elapsed().as_secs_f64();
    let cost = (cluster.processor_seconds() - before) * 1e6 / commands.max(1.0);
    if let Some(error) = measured.first_error {
        bail!("{documents} documents: {} errors, {error}", measured.errors);
    }
    let peak = cluster.peak_memory();
    let on_disk = bytes_under(&cluster.place().join("0"))?;
    let address = cluster.addresses()[0].clone();
    let restarted = restart(&mut cluster.nodes[0], &address).await?;
    check(&address, documents).await?;
    let ms = |part: f64| measured.quantile(part).as_secs_f64() * 1e3;
    Ok(format!(
        "| {} | {} | {:.1} | {} | {:.2} | {:.2} | {:.1} | {cost:.1} | {} | {} | {:.2} |",
        cluster.nodes.len(),
        grouped(documents as f64),
        filled.as_secs_f64(),
        grouped(measured.per_second),
        ms(0.5),
        ms(0.99),
        measured.longest_gap.as_secs_f64() * 1e3,
        peak >> 20,
        on_disk >> 20,
        restarted.as_secs_f64(),
    ))
}

/// What was measured must be worth something: all that lies on the node's disk is read again and checked.
async fn check(address: &str, documents: u64) -> anyhow::Result<()> {
    let options = Options::new([address.to_owned()]).deadline(CHECK_MAX);
    let checked = Admin::new(environment::real::environment(), options)?.verify().await?;
    if checked.rows < documents {
        bail!(
            "{documents} documents were written, and {} rows are there",
            checked.rows
        );
    }
    Ok(())
}

/// Writes each key once.
async fn fill(connections: &[Connection], documents: u64, bytes: usize) -> anyhow::Result<()> {
    let writers = connections.iter().enumerate().map(|(number, connection)| {
        let connection = connection.clone();
        let keys = (number as u64..documents).step_by(connections.len());
        let writes = keys.map(move |number| {
            let mut connection = connection.clone();
            async move { connection.write(&key(number), value(bytes)).await }
        });
        tokio::spawn(all(writes, FILL_IN_FLIGHT / CONNECTIONS))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await?.context("filling documents in")?;
    }
    Ok(())
}

/// Does all of them, so many at the same time.
async fn all<W: Future<Output = anyhow::Result<()>>>(
    writes: impl Iterator<Item = W>,
    in_flight: usize,
) -> anyhow::Result<()> {
    futures::stream::iter(writes)
        .buffer_unordered(in_flight)
        .try_collect()
        .await
}

/// Ends a node as a power cut would, starts it, and gives the time until it serves.
async fn restart(node: &mut Process, address: &str) -> anyhow::Result<Duration> {
    node.kill();
    let began = Instant::now();
    node.start_again()?;
    ready(address).await.with_context(|| node.log_end())?;
    Ok(began.elapsed())
}

/// Waits until it says that it is ready, and a read as new as the last acknowledged write is answered through it.
async fn ready(address: &str) -> anyhow::Result<()> {
    let admin = Admin::new(environment::real::environment(), Options::new([address.to_owned()]))?;
    until("a node that was started again", async || Ok(admin.ready().await?)).await?;
    seachange::connect(&[address.to_owned()])?.read(&key(0)).await
}

/// One stream, read from its start by many at once, as lines of JSON that nobody parses.
async fn streams(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = arguments.programs(&arguments.counter);
    let cluster = Cluster::of_seachange(&programs, &arguments.place, STREAM_NODES).await?;
    let addresses = cluster.addresses();
    let connection = seachange::connect(addresses)?;
    let count = |number: u64| {
        let connection = connection.clone();
        async move { connection.count(&key(number % load::KEYS)).await }
    };
    all((0..arguments.events).map(count), FILL_IN_FLIGHT).await?;
    let began = Instant::now();
    let readers: Vec<_> = (0..arguments.consumers)
        .map(|number| tokio::spawn(read(addresses[number % addresses.len()].clone())))
        .collect();
    let (mut events, mut bytes) = (0, 0);
    for reader in readers {
        let read = reader.await??;
        if read.0 != arguments.events {
            bail!("a consumer read {} events of {}", read.0, arguments.events);
        }
        (events, bytes) = (events + read.0, bytes + read.1);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "\n{} consumers of a stream of {} events, over {STREAM_NODES} nodes: {} events and {:.0} MB a second in all",
        arguments.consumers,
        grouped(arguments.events as f64),
        grouped(events as f64 / seconds),
        bytes as f64 / seconds / 1e6,
    );
    Ok(())
}

/// Events and bytes of the stream.
async fn read(address: String) -> anyhow::Result<(u64, u64)> {
    let admin = Admin::new(environment::real::environment(), Options::new([address]))?;
    let mut lines = admin.http().lines("/v1/streams/counter.counted?from=0").await?;
    let (mut events, mut bytes) = (0, 0);
    while let Some(line) = lines.next().await? {
        events += u64::from(!line.is_empty());
        bytes += line.len() as u64 + 1;
    }
    Ok((events, bytes))
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
