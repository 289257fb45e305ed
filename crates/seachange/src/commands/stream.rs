//! `seachange stream`: the streams, and letting go of their oldest events.

use client::wire::ConsumerRecord;
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Commands of `stream`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the streams: where each begins and ends, and the room it takes on the node that answers
    #[command(after_help = "Example:\n  seachange stream list --json")]
    List(ListArguments),
    /// Let go of the events before an offset, for good
    #[command(after_help = TRIM_HELP)]
    Trim(TrimArguments),
}

const TRIM_HELP: &str = "\
Example:
  seachange stream trim ledger.transfers --before 100000

Nobody can read the events before that offset from then on, on any node. Their room on disk comes back by whole files.
A consumer that stands before the offset has missed what it had not read: `seachange consumer list` shows how many.
To keep streams within limits at all times, start the nodes with --stream-retain-bytes or --stream-retain-hours.";

/// Flags of `stream list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of `stream trim`.
#[derive(Debug, clap::Args)]
pub struct TrimArguments {
    /// The stream, as in ledger.transfers
    pub stream: String,
    /// The first event that is kept
    #[arg(long, value_name = "OFFSET")]
    pub before: u64,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// The cluster refused, or gave no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self {
            Command::List(arguments) => list(arguments, environment).await,
            Command::Trim(arguments) => trim(arguments, environment).await,
        }
    }
}

async fn list(arguments: ListArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let streams = admin.streams().await.map_err(explain)?.streams;
    if arguments.cluster.json {
        return streams.iter().try_for_each(output::json);
    }
    if streams.is_empty() {
        return output::line("There are no streams: an application's manifest names those that it emits.");
    }
    let heading = ["stream", "start", "end", "events", "bytes", "files"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(streams.iter().map(|stream| {
        let numbers = [
            stream.start,
            stream.end,
            stream.end.saturating_sub(stream.start),
            stream.bytes,
            stream.segments,
        ];
        let numbers = numbers.iter().map(|number| output::grouped(*number));
        std::iter::once(stream.name.clone()).chain(numbers).collect()
    }));
    output::line(output::columns(&rows))
}

async fn trim(arguments: TrimArguments, environment: Environment) -> anyhow::Result<()> {
    let admin = arguments.cluster.admin(&environment)?;
    let trimmed = admin
        .trim_stream(&arguments.stream, arguments.before)
        .await
        .map_err(explain)?;
    if arguments.cluster.json {
        return output::json(&trimmed);
    }
    output::line(format!(
        "stream {} holds no event before {}, since index {}",
        trimmed.stream,
        output::grouped(trimmed.before),
        trimmed.index
    ))?;
    // It is trimmed already: that nobody says who was overtaken is no failure of it.
    let consumers = admin.consumers().await.map(|list| list.consumers).unwrap_or_default();
    let overtaken = |consumer: &&ConsumerRecord| consumer.stream == trimmed.stream && consumer.missed > 0;
    for consumer in consumers.iter().filter(overtaken) {
        output::line(format!(
            "consumer {} stands at {} and has missed {} events: seachange consumer reset {} {} --to start",
            consumer.name,
            output::grouped(consumer.offset),
            output::grouped(consumer.missed),
            consumer.stream,
            consumer.name
        ))?;
    }
    Ok(())
}
