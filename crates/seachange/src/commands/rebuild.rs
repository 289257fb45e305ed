//! `seachange rebuild`: a node that is stopped takes everything from the other members at its next start.

use std::path::PathBuf;

use environment::Environment;
use serde_json::json;

use crate::exit::Stopped;
use crate::output;

/// Flags of `rebuild`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange rebuild --data ./b

For a node whose log is damaged: it says so and does not start. Damage to its state or its streams it mends by itself.")]
pub struct Arguments {
    /// Directory of the node, which must not run
    #[arg(long, value_name = "DIRECTORY")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// Notes what is to be done.
    ///
    /// # Errors
    /// The node runs, knows no other member, or the disk failed.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        node::order_rebuild(&environment.disk, &self.data, "an operator asked for it")
            .map_err(|error| Stopped::failed(error, ""))?;
        if self.json {
            return output::json(&json!({"data": self.data, "rebuild": true}));
        }
        output::line(format!(
            "the node in {} will take everything from the other members when it is started next",
            self.data.display()
        ))
    }
}
