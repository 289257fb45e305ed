use std::time::{Duration, Instant};

use anyhow::Context;
use client::{Admin, Options};

use super::{Arguments, CONNECTIONS, LATENCIES, REST, bytes_under, fill, latencies, mib, restart};
use crate::load;
use crate::report::grouped;
use crate::systems::Cluster;

/// What is compared with each other: the beginning and the end of the writing.
const PART: Duration = Duration::from_secs(5);

/// A row for each number of commands that were written into the log.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let measured: Vec<_> = arguments.log.iter().copied().filter(|&commands| commands > 0).collect();
    let columns = format!(
        "commands | entries | of them kept | written in s | commands a second | first {part} s | last {part} s | {LATENCIES} \
         | CPU s/million, nodes | peak MiB a node | on disk MiB a node | restart after SIGKILL s",
        part = PART.as_secs(),
    );
    super::head(!measured.is_empty(), &columns);
    for commands in measured {
        let programs = arguments.programs(&arguments.application);
        let mut cluster = Cluster::of_seachange(&programs, &arguments.place, arguments.with_nodes).await?;
        let row = row(arguments, &mut cluster, commands).await;
        println!("{}", row.with_context(|| cluster.log_ends())?);
    }
    Ok(())
}

async fn row(arguments: &Arguments, cluster: &mut Cluster, commands: u64) -> anyhow::Result<String> {
    let connections = cluster.connect(CONNECTIONS, true).await?;
    fill::all_documents(&connections, 1, load::KEYS, arguments.bytes).await?;
    tokio::time::sleep(REST).await;
    let (before, began) = (cluster.processor_seconds(), Instant::now());
    let (measured, pace) = load::run_all(arguments.load(load::KEYS), commands, &connections).await?;
    let written = began.elapsed();
    let cost = super::processor_per_million(cluster, before, commands as f64);
    super::without_errors(&measured)?;
    let (first, last) = pace.first_and_last(PART);
    let peak = cluster.peak_memory();
    let on_disk = bytes_under(&cluster.place().join("0"))?;
    let address = cluster.addresses()[0].clone();
    let (entries, kept) = entries(&address).await?;
    let restarted = restart::until_read(&mut cluster.nodes[0], &address).await?;
    restart::check(&address, load::KEYS).await?;
    Ok(format!(
        "| {} | {} | {} | {:.1} | {} | {} | {} | {} | {cost:.1} | {} | {} | {:.2} |",
        grouped(commands as f64),
        grouped(entries),
        grouped(kept),
        written.as_secs_f64(),
        grouped(measured.per_second),
        grouped(first),
        grouped(last),
        latencies(&measured),
        mib(peak),
        mib(on_disk),
        restarted.as_secs_f64(),
    ))
}

/// Entries that the log of that node has had, documents filled in among them, and those that it still holds.
async fn entries(address: &str) -> anyhow::Result<(f64, f64)> {
    let admin = Admin::new(environment::real::environment(), Options::new([address.to_owned()]))?;
    let page = admin.metrics().await?;
    let first = measure(&page, "seachange_log_first_index")?;
    let last = measure(&page, "seachange_log_last_index")?;
    Ok((last, last + 1.0 - first))
}

fn measure(page: &str, name: &str) -> anyhow::Result<f64> {
    let value = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .with_context(|| format!("/metrics without {name}"))?;
    value.trim().parse().with_context(|| format!("{name} {value:?}"))
}
