use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use client::wire::Manifest;
use futures::future::try_join_all;

use super::{Arguments, CONNECTIONS, LATENCIES, REST, bytes_under, fill, latencies, mib, restart};
use crate::load::{self, key, value};
use crate::processes::Process;
use crate::report::grouped;
use crate::systems::{Cluster, Connection, Programs, seachange};

/// How long a cluster is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(2);

/// A row for each number of applications on one cluster, which share the same documents and commands in flight.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let measured: Vec<_> = arguments
        .applications
        .iter()
        .copied()
        .filter(|&count| count > 0)
        .collect();
    let columns = format!(
        "applications | installed in s | idle MiB a node | commands a second | {LATENCIES} | CPU s/million, nodes \
         | peak MiB a node | on disk MiB a node | restart after SIGKILL s | until all took a command s"
    );
    super::head(!measured.is_empty(), &columns);
    for count in measured {
        let programs = arguments.programs(&arguments.application);
        let mut cluster = Cluster::of_seachange(&programs, &arguments.place, arguments.with_nodes).await?;
        let row = row(arguments, &programs, &mut cluster, count).await;
        println!("{}", row.with_context(|| cluster.log_ends())?);
    }
    Ok(())
}

async fn row(
    arguments: &Arguments,
    programs: &Programs,
    cluster: &mut Cluster,
    count: usize,
) -> anyhow::Result<String> {
    let began = Instant::now();
    let names = install(programs, cluster, count)?;
    let installed = began.elapsed();
    tokio::time::sleep(IDLE).await;
    let idle = cluster.nodes.iter().map(Process::memory).max().unwrap_or(0);
    let connections = connect(cluster.addresses(), &names, count * CONNECTIONS.div_ceil(count))?;
    let documents = (load::KEYS / count as u64).max(1);
    fill::all_documents(&connections, count, documents, arguments.bytes).await?;
    tokio::time::sleep(REST).await;
    let (measured, cost) = super::loaded(arguments, cluster, &connections, documents).await?;
    let peak = cluster.peak_memory();
    let on_disk = bytes_under(&cluster.place().join("0"))?;
    let address = cluster.addresses()[0].clone();
    let began = restart::again(&mut cluster.nodes[0])?;
    restart::ready(&address).await?;
    let read = began.elapsed();
    one_command_each(&address, &names, arguments.bytes).await?;
    let all = began.elapsed();
    restart::check(&address, documents * count as u64).await?;
    Ok(format!(
        "| {count} | {:.1} | {} | {} | {} | {cost:.1} | {} | {} | {:.2} | {:.2} |",
        installed.as_secs_f64(),
        mib(idle),
        grouped(measured.per_second),
        latencies(&measured),
        mib(peak),
        mib(on_disk),
        read.as_secs_f64(),
        all.as_secs_f64(),
    ))
}

/// Connection `n` of so many is one to the application `n` modulo their number. They share [`CONNECTIONS`] sessions, so
/// that clients are the same however many applications there are.
fn connect(addresses: &[String], names: &[String], count: usize) -> anyhow::Result<Vec<Connection>> {
    let sessions: Vec<_> = (0..CONNECTIONS)
        .map(|_| seachange::connect(addresses))
        .collect::<Result<_, _>>()?;
    let connections = (0..count).map(|number| {
        let session = &sessions[number % CONNECTIONS];
        Connection::Seachange(session.to(&names[number % names.len()]))
    });
    Ok(connections.collect())
}

/// A command of each application, all at the same time, through one node.
async fn one_command_each(address: &str, names: &[String], bytes: usize) -> anyhow::Result<()> {
    let session = seachange::connect(&[address.to_owned()])?;
    let commands = names.iter().map(|name| {
        let connection = session.to(name);
        async move { connection.write(&key(0), &value(bytes)).await }
    });
    try_join_all(commands).await?;
    Ok(())
}

/// Installs what is lacking of so many applications: the first one is there. Gives their names.
fn install(programs: &Programs, cluster: &Cluster, count: usize) -> anyhow::Result<Vec<String>> {
    let package = &programs.application;
    let text = std::fs::read_to_string(package.join("manifest.toml")).context("the manifest of the application")?;
    let manifest = Manifest::from_toml(&text)?;
    let mut names = vec![manifest.application.clone()];
    for number in 2..=count {
        let name = format!("{}-{number}", manifest.application);
        let copy = copy(package, &text, &manifest, &name, cluster.place())?;
        seachange::install(programs, &copy, &cluster.addresses()[0])?;
        names.push(name);
    }
    Ok(names)
}

/// The same package under another name, which only its manifest says.
fn copy(package: &Path, text: &str, manifest: &Manifest, name: &str, place: &Path) -> anyhow::Result<PathBuf> {
    let named = |name: &str| format!("application = \"{name}\"");
    let renamed = text.replacen(&named(&manifest.application), &named(name), 1);
    if renamed == text {
        bail!("the manifest has no line {}", named(&manifest.application));
    }
    let module = manifest.module.as_ref().context("the application has no module")?;
    let copy = place.join(format!("package-{name}"));
    std::fs::create_dir(&copy)?;
    std::fs::write(copy.join("manifest.toml"), renamed)?;
    std::fs::copy(package.join(module), copy.join(module))?;
    Ok(copy)
}
