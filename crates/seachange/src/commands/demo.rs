//! `seachange demo`.

use std::time::Duration;

use environment::Environment;

use crate::demo;
use crate::exit::Stopped;
use crate::interrupt::{interrupted, unless_interrupted};
use crate::local_cluster::LocalCluster;
use crate::output;

/// Flags of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange demo --seconds 10")]
pub struct Arguments {
    /// How long the transfers run, about
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=3600), value_name = "N")]
    pub seconds: u32,
    /// Accounts that are opened
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(2..=10_000_000), value_name = "N")]
    pub accounts: u32,
    /// Print the report as one JSON object
    #[arg(long)]
    pub json: bool,
    /// Leave the cluster up until Ctrl-C, and say where it is
    #[arg(long)]
    pub keep: bool,
}

impl Arguments {
    /// Runs the demo and prints what it found.
    ///
    /// # Errors
    /// It could not be run, or found something wrong.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let plan = demo::Plan {
            length: Duration::from_secs(self.seconds.into()),
            accounts: self.accounts,
        };
        let (report, cluster) = unless_interrupted(demo::run(plan, &environment)).await?;
        if self.json {
            output::json(&report)?;
        } else {
            output::line(format!("\n{}", report.table()))?;
        }
        if self.keep {
            say_where(&cluster);
            interrupted().await?;
        }
        cluster.stop().await;
        if report.ok {
            return Ok(());
        }
        let remedy = "This is a defect of Seachange: please report it, with this output.";
        Err(Stopped::failed(report.wrongs().join("; "), remedy).into())
    }
}

fn say_where(cluster: &LocalCluster) {
    output::progress("\nThe cluster stays up until you press Ctrl-C:");
    for node in cluster.nodes() {
        let pid = node.pid().map_or_else(|| "-".into(), |pid| pid.to_string());
        output::progress(format!("  node {}: HTTP {}, process {pid}", node.name(), node.http()));
    }
    let at = cluster.addresses().join(",");
    output::progress(format!("\nTry, in another terminal:\n  export SEACHANGE_AT={at}"));
    output::progress(
        "  seachange status\n  seachange app show ledger\n  seachange get ledger accounts account-0001\n  \
         seachange send ledger transfer '{\"from\":\"account-0001\",\"to\":\"account-0002\",\"amount\":100}'\n  \
         seachange tail ledger.transfers --limit 3\n  seachange change list",
    );
}
