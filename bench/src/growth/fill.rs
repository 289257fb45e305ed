use anyhow::Context;
use futures::{StreamExt, TryStreamExt};

use crate::load::{key, value};
use crate::systems::Connection;

/// Commands on their way while documents are filled in.
pub const IN_FLIGHT: usize = 4096;

/// Writes each of so many keys of each application once. Connection `n` is one to the application `n` modulo their
/// number.
pub async fn all_documents(
    connections: &[Connection],
    applications: usize,
    documents: u64,
    bytes: usize,
) -> anyhow::Result<()> {
    let in_flight = (IN_FLIGHT / connections.len()).max(1);
    let to_each = connections.len() / applications;
    let writers = connections.iter().enumerate().map(|(number, connection)| {
        let connection = connection.clone();
        let keys = ((number / applications) as u64..documents).step_by(to_each);
        let writes = keys.map(move |number| {
            let mut connection = connection.clone();
            async move { connection.write(&key(number), value(bytes)).await }
        });
        tokio::spawn(all(writes, in_flight))
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await?.context("filling documents in")?;
    }
    Ok(())
}

/// Does all of them, so many at the same time.
pub async fn all<W: Future<Output = anyhow::Result<()>>>(
    writes: impl Iterator<Item = W>,
    in_flight: usize,
) -> anyhow::Result<()> {
    futures::stream::iter(writes)
        .buffer_unordered(in_flight)
        .try_collect()
        .await
}
