//! `seachange tail`: the events of a stream.

use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `tail`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange tail ledger.transfers --from 0")]
pub struct Arguments {
    /// The stream, as in ledger.transfers
    pub stream: String,
    /// First offset
    #[arg(long, default_value_t = 0, value_name = "OFFSET")]
    pub from: u64,
    /// At most so many events
    #[arg(long)]
    pub limit: Option<u64>,
    /// Go on with new events as they come
    #[arg(long)]
    pub follow: bool,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Prints offset, key and value a line, or with `--json` one record a line.
    ///
    /// # Errors
    /// No such stream, or no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let mut events = admin.events(&self.stream, self.from, self.follow);
        let mut left = self.limit.unwrap_or(u64::MAX);
        while left > 0
            && let Some(event) = events.next().await.map_err(explain)?
        {
            left -= 1;
            if self.cluster.json {
                output::json(&event)?;
            } else {
                let key = event.key.as_deref().map(output::text).unwrap_or_default();
                output::line(format!("{}\t{key}\t{}", event.offset, output::text(&event.value)))?;
            }
        }
        Ok(())
    }
}
