//! `seachange restore`: a new cluster from a backup.

use std::path::PathBuf;
use std::sync::Arc;

use environment::Environment;
use serde_json::json;
use store::state::{Backend, FjallBackend, FjallOptions};

use crate::exit::Stopped;
use crate::output;

/// Flags of `restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange restore --from ./backup --data ./restored

Its first node is then started with: seachange serve --data ./restored
The restored cluster has an id of its own, so that nodes of the old one cannot mix with it. Further nodes join it as any
cluster: seachange serve --join HOST:PORT.")]
pub struct Arguments {
    /// Directory of the backup
    #[arg(long, value_name = "DIRECTORY")]
    pub from: PathBuf,
    /// Directory for the first node of the new cluster, new or empty
    #[arg(long, value_name = "DIRECTORY")]
    pub data: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    /// Restores, checking every row and segment on the way.
    ///
    /// # Errors
    /// The backup is damaged, the directory is not empty, or the disk failed.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let backend = |directory: &std::path::Path| {
            let backend = FjallBackend::open(directory, FjallOptions::default())?;
            Ok(Arc::new(backend) as Arc<dyn Backend>)
        };
        let restored = node::restore(&environment, backend, &self.from, &self.data, "restored")
            .await
            .map_err(|error| Stopped::failed(format!("cannot restore: {error}"), ""))?;
        let (cluster, from) = (
            format!("{:016x}", restored.cluster.0),
            format!("{:016x}", restored.from.0),
        );
        if self.json {
            return output::json(&json!({
                "cluster": cluster,
                "from": from,
                "index": restored.index.0,
                "digest": restored.digest.to_string(),
                "rows": restored.rows,
                "data": self.data,
            }));
        }
        output::line(format!(
            "restored {} rows as of entry {} of cluster {from}, digest {}\nthe new cluster is {cluster}: seachange serve \
             --data {}",
            output::grouped(restored.rows),
            output::grouped(restored.index.0),
            restored.digest,
            self.data.display()
        ))
    }
}
