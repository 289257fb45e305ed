use std::time::Instant;

use anyhow::Context;

use super::{Arguments, CONNECTIONS, LATENCIES, REST, bytes_under, fill, latencies, mib, restart};
use crate::load;
use crate::report::grouped;
use crate::systems::Cluster;

/// A row for each number of nodes, and for each number of documents.
pub async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let by_nodes = arguments.nodes.iter().map(|&nodes| (nodes, load::KEYS));
    let by_documents = arguments
        .documents
        .iter()
        .map(|&documents| (arguments.with_nodes, documents));
    let measured: Vec<_> = by_nodes
        .chain(by_documents)
        .filter(|&(nodes, documents)| nodes > 0 && documents > 0)
        .collect();
    let columns = format!(
        "nodes | documents | filled in s | commands a second | {LATENCIES} | CPU s/million, nodes | peak MiB a node \
         | on disk MiB a node | restart after SIGKILL s"
    );
    super::head(!measured.is_empty(), &columns);
    for (nodes, documents) in measured {
        let programs = arguments.programs(&arguments.application);
        let mut cluster = Cluster::of_seachange(&programs, &arguments.place, nodes).await?;
        let row = row(arguments, &mut cluster, documents).await;
        println!("{}", row.with_context(|| cluster.log_ends())?);
    }
    Ok(())
}

/// Filled, written to at random, and one node of it started again.
async fn row(arguments: &Arguments, cluster: &mut Cluster, documents: u64) -> anyhow::Result<String> {
    let connections = cluster.connect(CONNECTIONS, true).await?;
    let began = Instant::now();
    fill::all_documents(&connections, 1, documents, arguments.bytes).await?;
    let filled = began.elapsed();
    tokio::time::sleep(REST).await;
    let (measured, cost) = super::loaded(arguments, cluster, &connections, documents).await?;
    let peak = cluster.peak_memory();
    let on_disk = bytes_under(&cluster.place().join("0"))?;
    let address = cluster.addresses()[0].clone();
    let restarted = restart::until_read(&mut cluster.nodes[0], &address).await?;
    restart::check(&address, documents).await?;
    Ok(format!(
        "| {} | {} | {:.1} | {} | {} | {cost:.1} | {} | {} | {:.2} |",
        cluster.nodes.len(),
        grouped(documents as f64),
        filled.as_secs_f64(),
        grouped(measured.per_second),
        latencies(&measured),
        mib(peak),
        mib(on_disk),
        restarted.as_secs_f64(),
    ))
}
