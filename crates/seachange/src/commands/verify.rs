//! `seachange verify`: a node reads everything on its disk again and checks it.

use std::time::Duration;

use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange verify --at 127.0.0.1:7072

A node does so by itself from time to time (serve --scan-seconds). One that finds damage stops serving and is rebuilt.")]
pub struct Arguments {
    /// Where the node is: the first address is asked
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

/// Reading everything may take this long.
const VERIFY_TIME_MAX: Duration = Duration::from_secs(3600);

impl Arguments {
    /// Verifies and says what was found in order.
    ///
    /// # Errors
    /// What is wrong, or no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.patient_admin(&environment, VERIFY_TIME_MAX)?;
        let verified = admin.verify().await.map_err(explain)?;
        if self.cluster.json {
            return output::json(&verified);
        }
        output::line(format!(
            "node {} holds {} rows as of entry {}, and everything on its disk is as it should be",
            verified.name,
            output::grouped(verified.rows),
            output::grouped(verified.index)
        ))
    }
}
