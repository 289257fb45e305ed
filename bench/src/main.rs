//! `cargo xtask peers`: Seachange beside etcd and NATS JetStream, on this machine, in one run; and `cargo xtask growth`:
//! how its cost grows with nodes, documents, applications and the log.

mod disk;
mod growth;
mod load;
mod picture;
mod processes;
mod report;
mod systems;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser};

use load::{KEYS, Load, Work};
use processes::processor_seconds;
use report::{Report, Row, Sample};
use systems::{Cluster, Programs, System};

/// Requests in flight where the leader is killed.
const KILLED_IN_FLIGHT: usize = 64;
/// How long is measured around the leader's death, and when it dies.
const KILLED_LENGTH: Duration = Duration::from_secs(8);
const KILLED_AFTER: Duration = Duration::from_secs(2);
/// How long a cluster is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// What can be measured.
#[derive(Debug, Parser)]
enum Chore {
    /// Measures Seachange and its peers, in turn and more than once, each with three nodes on loopback
    Peers(Arguments),
    /// Measures how Seachange's cost grows with nodes, documents, applications and the log, and how fast streams are read
    Growth(growth::Arguments),
}

#[derive(Debug, Args)]
struct Arguments {
    /// The binary of Seachange
    #[arg(long)]
    seachange: PathBuf,
    /// The package of the application that takes the writes
    #[arg(long)]
    application: PathBuf,
    /// The binary of etcd
    #[arg(long)]
    etcd: PathBuf,
    /// The binary of the NATS server
    #[arg(long)]
    nats: PathBuf,
    /// Where the data of the servers lies while they run: on the disk that is to be measured
    #[arg(long)]
    place: PathBuf,
    /// Where the results go: peers.json and peers.svg
    #[arg(long)]
    out: PathBuf,
    /// Rounds; medians are shown
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds measured for each figure
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Requests in flight
    #[arg(long, value_delimiter = ',', default_value = "1,64,256,1024")]
    in_flight: Vec<usize>,
    /// Bytes of a value, its key among them
    #[arg(long, value_delimiter = ',', default_value = "256,4096")]
    bytes: Vec<usize>,
    /// Connections over which they are spread
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Systems, of seachange, etcd, nats-sync and nats; all without it
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Works, of idle, write, batch, read and kill; all without it
    #[arg(long, value_delimiter = ',')]
    works: Vec<String>,
    /// Processors for the servers, as taskset takes them; all without it
    #[arg(long, default_value = "")]
    server_cores: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Chore::parse() {
        Chore::Peers(arguments) => peers(&arguments).await,
        Chore::Growth(arguments) => growth::run(&arguments).await,
    }
}

async fn peers(arguments: &Arguments) -> anyhow::Result<()> {
    std::fs::create_dir_all(&arguments.place)?;
    std::fs::create_dir_all(&arguments.out)?;
    let mut report = setting(arguments);
    for round in 1..=arguments.rounds {
        eprintln!("round {round} of {}", arguments.rounds);
        limits(arguments, &mut report)?;
        for system in systems::ALL {
            if arguments.measures(system) {
                measure(arguments, system, &mut report)
                    .await
                    .with_context(|| format!("measuring {}", system.name()))?;
            }
        }
        // Kept after each round: a run that ends early has measured something all the same.
        std::fs::write(arguments.out.join("peers.json"), serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(bytes) = arguments.bytes.first() {
        picture::draw(&report, *bytes, &arguments.out.join("peers.svg"))?;
    }
    println!("{}", report.table());
    for (system, syncs) in &report.syncs {
        println!("{system}: {syncs}");
    }
    Ok(())
}

impl Arguments {
    fn measures(&self, system: System) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|name| name == system.name())
    }

    fn does(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|name| name == work)
    }

    fn length(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    fn programs(&self) -> Programs {
        Programs {
            seachange: self.seachange.clone(),
            application: self.application.clone(),
            etcd: self.etcd.clone(),
            nats: self.nats.clone(),
            server_cores: self.server_cores.clone(),
        }
    }
}

fn setting(arguments: &Arguments) -> Report {
    let mut report = Report::default();
    let mut set = |what: &str, is: String| report.setting.insert(what.to_owned(), is);
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or_default();
    set("processor", model.trim_start_matches([' ', '\t', ':']).to_owned());
    set(
        "cores",
        std::thread::available_parallelism().map_or(0, usize::from).to_string(),
    );
    set("rounds", arguments.rounds.to_string());
    set("seconds a figure", arguments.seconds.to_string());
    set("connections", arguments.connections.to_string());
    for system in systems::ALL {
        report.syncs.insert(system.name().to_owned(), system.syncs().to_owned());
    }
    report
}

/// What the disk alone gives for the same bytes.
fn limits(arguments: &Arguments, report: &mut Report) -> anyhow::Result<()> {
    if !arguments.does("write") {
        return Ok(());
    }
    for &bytes in &arguments.bytes {
        for &in_flight in &arguments.in_flight {
            let (per_second, p50) = disk::limit(&arguments.place, bytes, in_flight, arguments.length() / 4)?;
            let sample = Sample {
                per_second,
                p50_us: p50.as_micros() as f64,
                ..Sample::default()
            };
            report.add(row("write", bytes, in_flight, "disk alone"), sample);
        }
    }
    Ok(())
}

fn row(work: &str, bytes: usize, in_flight: usize, system: &str) -> Row {
    Row {
        work: work.to_owned(),
        bytes,
        in_flight,
        system: system.to_owned(),
    }
}

async fn measure(arguments: &Arguments, system: System, report: &mut Report) -> anyhow::Result<()> {
    let mut cluster = system.start(&arguments.programs(), &arguments.place).await?;
    let name = system.name();
    if arguments.does("idle") {
        report.add(row("idle", 0, 0, name), idle(&cluster).await);
    }
    let connections = cluster.connect(arguments.connections, true).await?;
    for load in loads(arguments, system) {
        let (work, bytes) = match load.work {
            Work::Write { bytes, batch: 1 } => ("write", bytes),
            Work::Write { bytes, .. } => ("batch", bytes),
            Work::Read => ("read", arguments.bytes[0]),
        };
        let (nodes, clients) = (cluster.processor_seconds(), processor_seconds("self"));
        let began = std::time::Instant::now();
        let measured = load::run(load, arguments.length(), &connections, async || ()).await?;
        let per_million = 1e6 / (measured.per_second * began.elapsed().as_secs_f64()).max(1.0);
        let mut sample = sample(&measured, &cluster);
        sample.nodes_cpu_s_per_million = (cluster.processor_seconds() - nodes) * per_million;
        sample.clients_cpu_s_per_million = (processor_seconds("self") - clients) * per_million;
        tell(name, work, bytes, load.in_flight, &measured);
        let in_flight = match load.work {
            Work::Write { batch, .. } => load.in_flight * batch,
            Work::Read => load.in_flight,
        };
        report.add(row(work, bytes, in_flight, name), sample);
    }
    drop(connections);
    if arguments.does("kill") {
        killed(arguments, system, &mut cluster, report).await?;
    }
    Ok(())
}

fn loads(arguments: &Arguments, system: System) -> Vec<Load> {
    let mut loads = Vec::new();
    // Before the large values: what those leave behind would be measured with it.
    if arguments.does("batch") && system == System::Seachange {
        let work = Work::Write {
            bytes: arguments.bytes[0],
            batch: 100,
        };
        loads.push(Load {
            work,
            in_flight: 40,
            keys: KEYS,
        });
    }
    for &bytes in &arguments.bytes {
        for &in_flight in &arguments.in_flight {
            if arguments.does("write") {
                let work = Work::Write { bytes, batch: 1 };
                loads.push(Load {
                    work,
                    in_flight,
                    keys: KEYS,
                });
            }
        }
    }
    if arguments.does("read") && system.reads() {
        let work = Work::Read;
        loads.push(Load {
            work,
            in_flight: 256,
            keys: KEYS,
        });
    }
    loads
}

/// Kills the leader under load. Its clients know all nodes, as they would in earnest.
async fn killed(
    arguments: &Arguments,
    system: System,
    cluster: &mut Cluster,
    report: &mut Report,
) -> anyhow::Result<()> {
    let connections = cluster.connect(arguments.connections, false).await?;
    let leader = cluster.leader().await?;
    let bytes = arguments.bytes[0];
    let load = Load {
        work: Work::Write { bytes, batch: 1 },
        in_flight: KILLED_IN_FLIGHT,
        keys: KEYS,
    };
    let node = &mut cluster.nodes[leader];
    let measured = load::run(load, KILLED_LENGTH, &connections, async || {
        tokio::time::sleep(KILLED_AFTER).await;
        node.kill();
    })
    .await?;
    tell(system.name(), "leader killed", bytes, KILLED_IN_FLIGHT, &measured);
    let sample = sample(&measured, cluster);
    report.add(row("leader killed", bytes, KILLED_IN_FLIGHT, system.name()), sample);
    Ok(())
}

fn sample(measured: &load::Measured, cluster: &Cluster) -> Sample {
    let us = |part: f64| measured.quantile(part).as_micros() as f64;
    Sample {
        per_second: measured.per_second,
        p50_us: us(0.5),
        p99_us: us(0.99),
        p999_us: us(0.999),
        longest_gap_ms: measured.longest_gap.as_secs_f64() * 1e3,
        errors: measured.errors as f64,
        peak_memory_mib: mib(cluster.peak_memory()),
        ..Sample::default()
    }
}

/// What a cluster takes that nobody asks for anything.
async fn idle(cluster: &Cluster) -> Sample {
    tokio::time::sleep(IDLE).await;
    let most = cluster.nodes.iter().map(processes::Process::memory).max();
    Sample {
        peak_memory_mib: mib(most.unwrap_or(0)),
        ..Sample::default()
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn tell(system: &str, work: &str, bytes: usize, in_flight: usize, measured: &load::Measured) {
    let p50 = measured.quantile(0.5);
    eprintln!(
        "{system}: {work}, {bytes} bytes, {in_flight} in flight: {:.0} a second, p50 {p50:.2?}, errors {}{}",
        measured.per_second,
        measured.errors,
        measured
            .first_error
            .as_ref()
            .map_or_else(String::new, |error| format!(" ({error})"))
    );
}
