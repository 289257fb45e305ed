//! `seachange get`: one document.

use client::wire::Consistency;
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `get`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange get ledger accounts ada")]
pub struct Arguments {
    /// The application
    pub app: String,
    /// The table
    pub table: String,
    /// The key
    pub key: String,
    /// How fresh the answer must be.
    #[command(flatten)]
    pub freshness: Freshness,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Flags of every read.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Freshness {
    /// Take what the node asked has applied, instead of asking the leader
    #[arg(long)]
    pub stale: bool,
}

impl Freshness {
    /// What the API calls it.
    #[must_use]
    pub fn consistency(self) -> Consistency {
        if self.stale {
            Consistency::Stale
        } else {
            Consistency::Linearizable
        }
    }
}

impl Arguments {
    /// Prints the document, or with `--json` the row with its index.
    ///
    /// # Errors
    /// There is none, or no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let consistency = self.freshness.consistency();
        let answer = admin.get_row(&self.app, &self.table, &self.key, consistency).await;
        let answer = answer.map_err(explain)?;
        if self.cluster.json {
            return output::json(&answer);
        }
        output::line(output::text(&answer.row.document))
    }
}
