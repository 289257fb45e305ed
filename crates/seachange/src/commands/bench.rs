//! `seachange bench`.

use std::time::Duration;

use environment::Environment;

use crate::bench::{self, Plan};
use crate::interrupt::unless_interrupted;
use crate::output;

/// Commands of `bench`.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Measure commands: acknowledgements a second, latencies, and the longest time without one
    Write(WriteArguments),
}

/// Flags of `bench write`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange bench write --seconds 5")]
pub struct WriteArguments {
    /// HTTP addresses of the cluster to measure; without it, three nodes are started for it on this machine
    #[arg(long, value_name = "HOST:PORT[,…]", value_delimiter = ',')]
    pub at: Vec<String>,
    /// Commands on their way at the same time
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub in_flight: u32,
    /// Connections over which they are spread, each a session of its own
    #[arg(long, default_value_t = 4, value_name = "C", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub connections: u32,
    /// Commands that are sent back to back, as one write, and waited for together
    #[arg(long, default_value_t = 1, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub batch: u32,
    /// Bytes of one command
    #[arg(long, default_value_t = 256, value_name = "B", value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub bytes: u32,
    /// How long is measured; a second before it is not
    #[arg(long, default_value_t = 10, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

impl Command {
    /// Runs it.
    ///
    /// # Errors
    /// It could not be measured.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        match self {
            Command::Write(arguments) => unless_interrupted(arguments.run(&environment)).await,
        }
    }
}

impl WriteArguments {
    async fn run(self, environment: &Environment) -> anyhow::Result<()> {
        let plan = Plan {
            in_flight: self.in_flight,
            connections: self.connections,
            batch: self.batch,
            bytes: self.bytes,
            length: Duration::from_secs(self.seconds.into()),
        };
        let measured = bench::write(&plan, &self.at, environment).await?;
        if self.json {
            return output::json(&measured);
        }
        output::line(measured.text())
    }
}
