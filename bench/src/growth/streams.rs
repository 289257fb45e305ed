use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use client::wire::RECORD_BATCH_MEDIA_TYPE;
use client::{Admin, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::loopback::{self, READ_BYTES};
use super::{Arguments, fill};
use crate::load::{self, key};
use crate::processes::processor_seconds;
use crate::report::grouped;
use crate::systems::{Cluster, seachange};

/// Nodes from which streams are read.
const NODES: usize = 3;
/// What is read, and from where on.
const PATH: &str = "/v1/streams/counter.counted?from=0";
const STREAM: &str = "counter.counted";
const LINES: &str = "application/x-ndjson";
/// Bytes that a bare loopback is sent at once. The first is about what a node sends: a page of 256 KiB of small events is
/// a MiB of JSON. The second is what many programs send.
const PIECES: [usize; 2] = [1 << 20, 64 << 10];

/// How the rows of the bare loopback begin.
const LOOPBACK: &str = "bare loopback";

/// How an event is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Batches,
    Lines,
}

/// What all consumers together got.
struct Read {
    how: String,
    /// With which row it is compared.
    form: Form,
    bytes: u64,
    seconds: f64,
    nodes_cpu_s: f64,
    clients_cpu_s: f64,
}

/// One stream, read from its start by many at once over HTTP: in batches by the client, which gives each event; in
/// batches by a reader that looks at nothing; as lines of JSON by the client, which finds them and parses none; as lines by
/// a reader that looks at nothing. Beside them as many bytes as the lines and as the batches have over a bare loopback,
/// and the stream's files.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let programs = arguments.programs(&arguments.counter);
    let cluster = Cluster::of_seachange(&programs, &arguments.place, NODES).await?;
    let reads = reads(arguments, &cluster).await.with_context(|| cluster.log_ends())?;
    let events = arguments.events as f64 * arguments.consumers as f64;
    println!(
        "\n| {} consumers of {} events each, {NODES} nodes | events a second | MB a second in all | bare loopback is \
         | CPU s, nodes | clients |\n|---|--:|--:|--:|--:|--:|",
        arguments.consumers,
        grouped(arguments.events as f64),
    );
    for read in &reads {
        let beside = |loopback: &&Read| loopback.how.starts_with(LOOPBACK) && loopback.form == read.form;
        let ratio = reads
            .iter()
            .find(beside)
            .map_or(0.0, |loopback| read.seconds / loopback.seconds);
        println!(
            "| {} | {} | {} | {ratio:.2}× | {:.1} | {:.1} |",
            read.how,
            grouped(events / read.seconds),
            grouped(read.bytes as f64 / read.seconds / 1e6),
            read.nodes_cpu_s,
            read.clients_cpu_s,
        );
    }
    Ok(())
}

async fn reads(arguments: &Arguments, cluster: &Cluster) -> anyhow::Result<Vec<Read>> {
    write(&cluster.addresses()[0], arguments.events).await?;
    let addresses = || cluster.addresses().iter().cycle().take(arguments.consumers).cloned();
    let events = arguments.events;
    let mut reads = Vec::new();
    for form in [Form::Batches, Form::Lines] {
        let (how, accept) = match form {
            Form::Batches => ("in batches", RECORD_BATCH_MEDIA_TYPE),
            Form::Lines => ("as lines of JSON", LINES),
        };
        let by_client = || {
            addresses()
                .map(|address| match form {
                    Form::Batches => tokio::spawn(read_events(address, events)),
                    Form::Lines => tokio::spawn(read_lines(address, events)),
                })
                .collect()
        };
        let mut read = timed(cluster, form, &format!("over HTTP {how}, by the client"), by_client).await?;
        // The client gives events, not bytes: how many those are is what the next reader counts.
        let discard_all = || {
            addresses()
                .map(|address| tokio::spawn(discard(address, accept)))
                .collect()
        };
        let discarded = timed(cluster, form, &format!("over HTTP {how}, discarded"), discard_all).await?;
        read.bytes = discarded.bytes;
        let each = discarded.bytes / arguments.consumers as u64;
        reads.extend([read, discarded]);
        for piece in PIECES {
            let how = format!("{LOOPBACK}, as many bytes, {} KiB at once", piece >> 10);
            let mut pairs = Vec::new();
            for _ in 0..arguments.consumers {
                pairs.push(loopback::pair().await?);
            }
            let move_all = || {
                pairs
                    .into_iter()
                    .map(|pair| tokio::spawn(loopback::through(pair, each, piece)))
                    .collect()
            };
            reads.push(timed(cluster, form, &how, move_all).await?);
        }
    }
    let nodes = (0..NODES).cycle().take(arguments.consumers);
    let files = timed(
        cluster,
        Form::Batches,
        "the stream's files, from the page cache",
        || {
            nodes
                .map(|node| {
                    let directory = cluster.place().join(node.to_string()).join("streams");
                    tokio::task::spawn_blocking(move || read_files(&directory))
                })
                .collect()
        },
    );
    reads.push(files.await?);
    Ok(reads)
}

/// So many events.
async fn write(address: &str, events: u64) -> anyhow::Result<()> {
    let connection = seachange::connect(&[address.to_owned()])?;
    let count = |number: u64| {
        let connection = connection.clone();
        async move { connection.count(&key(number % load::KEYS)).await }
    };
    fill::all((0..events).map(count), fill::IN_FLIGHT).await
}

/// Starts all readers at once; each gives the bytes that it read.
async fn timed(
    cluster: &Cluster,
    form: Form,
    how: &str,
    start: impl FnOnce() -> Vec<JoinHandle<anyhow::Result<u64>>>,
) -> anyhow::Result<Read> {
    let (nodes, clients) = (cluster.processor_seconds(), processor_seconds("self"));
    let began = Instant::now();
    let mut bytes = 0;
    for reader in start() {
        bytes += reader.await??;
    }
    Ok(Read {
        how: how.to_owned(),
        form,
        bytes,
        seconds: began.elapsed().as_secs_f64(),
        nodes_cpu_s: cluster.processor_seconds() - nodes,
        clients_cpu_s: processor_seconds("self") - clients,
    })
}

/// By the client, line by line, each an event as JSON that nobody parses.
async fn read_lines(address: String, expected: u64) -> anyhow::Result<u64> {
    let admin = Admin::new(environment::real::environment(), Options::new([address]))?;
    let mut lines = admin.http().lines(PATH).await?;
    let (mut events, mut bytes) = (0, 0);
    while let Some(line) = lines.next().await? {
        events += 1;
        bytes += line.len() as u64 + 1;
    }
    if events != expected {
        bail!("a consumer read {events} events of {expected}");
    }
    Ok(bytes)
}

/// By the client, event by event.
async fn read_events(address: String, expected: u64) -> anyhow::Result<u64> {
    let admin = Admin::new(environment::real::environment(), Options::new([address]))?;
    let mut stream = admin.events(STREAM, 0, false);
    let (mut events, mut bytes) = (0, 0);
    while let Some(event) = stream.next().await? {
        events += 1;
        bytes += event.value.len() as u64;
    }
    if events != expected {
        bail!("a consumer read {events} events of {expected}");
    }
    Ok(bytes)
}

/// The same answer, whose bytes nobody looks at; what HTTP puts around them is counted too.
async fn discard(address: String, accept: &'static str) -> anyhow::Result<u64> {
    let mut stream = TcpStream::connect(&address).await?;
    let request = format!("GET {PATH} HTTP/1.1\r\nhost: {address}\r\naccept: {accept}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = vec![0; READ_BYTES];
    let read = stream.read(&mut buffer).await?;
    if !buffer[..read].starts_with(b"HTTP/1.1 200 ") {
        bail!("{}", String::from_utf8_lossy(&buffer[..read]));
    }
    Ok(read as u64 + loopback::discard(&mut stream, &mut buffer).await?)
}

/// All files of a node's streams, from their beginnings to their ends.
fn read_files(directory: &Path) -> anyhow::Result<u64> {
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0;
    for path in files_under(directory)? {
        let mut file = std::fs::File::open(path)?;
        loop {
            match std::io::Read::read(&mut file, &mut buffer)? {
                0 => break,
                read => bytes += read as u64,
            }
        }
    }
    Ok(bytes)
}

fn files_under(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files.extend(files_under(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}
