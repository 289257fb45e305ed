//! `seachange scan`: documents in order of their keys.

use client::wire::RowsParameters;
use environment::Environment;

use super::get::Freshness;
use crate::connection::{ClusterFlags, explain};
use crate::output;

/// Flags of `scan`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The application
    pub app: String,
    /// The table
    pub table: String,
    /// Only keys that begin with this
    #[arg(long, conflicts_with_all = ["start", "end"])]
    pub prefix: Option<String>,
    /// First key, included
    #[arg(long)]
    pub start: Option<String>,
    /// Last key, excluded
    #[arg(long)]
    pub end: Option<String>,
    /// At most so many rows
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// From the end to the start
    #[arg(long)]
    pub reverse: bool,
    /// How fresh the answer must be.
    #[command(flatten)]
    pub freshness: Freshness,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Prints key and document a line, or with `--json` one row a line.
    ///
    /// # Errors
    /// No such table, or no answer.
    pub async fn run(self, environment: Environment) -> anyhow::Result<()> {
        let admin = self.cluster.admin(&environment)?;
        let parameters = RowsParameters {
            prefix: self.prefix,
            start: self.start,
            end: self.end,
            limit: Some(self.limit),
            reverse: self.reverse,
            consistency: self.freshness.consistency(),
            ..RowsParameters::default()
        };
        let rows = admin
            .scan_rows(&self.app, &self.table, &parameters)
            .await
            .map_err(explain)?;
        for row in &rows.rows {
            if self.cluster.json {
                output::json(row)?;
            } else {
                output::line(format!("{}\t{}", output::text(&row.key), output::text(&row.document)))?;
            }
        }
        if rows.more {
            output::progress(format!(
                "There are more rows than these {}: see --limit, --start.",
                rows.rows.len()
            ));
        }
        Ok(())
    }
}
