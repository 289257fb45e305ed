//! `seachange scan`: documents in order of their keys.

use client::Admin;
use client::wire::{Row, Rows, RowsParameters};
use environment::Environment;

use super::get::Freshness;
use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Rows that are asked for at once; a node gives fewer when they are large.
const PAGE_ROWS: usize = 1000;

/// Flags of `scan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange scan ledger accounts --prefix a --limit 10

A scan of many rows is made of pages, each as of an index of its own.")]
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
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// All rows, however many there are
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
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
        let mut left = if self.all { u64::MAX } else { self.limit };
        let mut parameters = RowsParameters {
            prefix: self.prefix.clone(),
            start: self.start.clone(),
            end: self.end.clone(),
            limit: None,
            reverse: self.reverse,
            consistency: self.freshness.consistency(),
            ..RowsParameters::default()
        };
        loop {
            let page = self.page(&admin, &mut parameters, left).await?;
            for row in page.rows.iter().filter(|row| self.is_wanted(row)) {
                self.print(row)?;
            }
            left = left.saturating_sub(page.rows.len() as u64);
            let last = page.rows.last().filter(|last| page.more && self.is_wanted(last));
            let Some(last) = last else { return Ok(()) };
            if left == 0 {
                self.say_more();
                return Ok(());
            }
            self.go_on_behind(last, &mut parameters)?;
        }
    }

    async fn page(&self, admin: &Admin, parameters: &mut RowsParameters, left: u64) -> anyhow::Result<Rows> {
        parameters.limit = Some(usize::try_from(left).unwrap_or(usize::MAX).min(PAGE_ROWS));
        let rows = admin.scan_rows(&self.app, &self.table, parameters).await;
        Ok(rows.map_err(explain)?)
    }

    /// Later pages are asked for by their first key, not by the prefix, and may go beyond it.
    fn is_wanted(&self, row: &Row) -> bool {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        row.key.starts_with(prefix.as_bytes())
    }

    fn go_on_behind(&self, last: &Row, parameters: &mut RowsParameters) -> anyhow::Result<()> {
        let Ok(key) = std::str::from_utf8(&last.key) else {
            let what = "cannot go on behind a key that is no text";
            let remedy = "Narrow the scan with --start and --end, so that it fits one page.";
            return Err(Stopped::failed(what, remedy).into());
        };
        let prefix = parameters.prefix.take();
        if self.reverse {
            parameters.start = parameters.start.take().or(prefix);
            parameters.end = Some(key.to_owned());
        } else {
            // No key lies between one and the same with a zero byte behind it.
            parameters.start = Some(format!("{key}\0"));
        }
        Ok(())
    }

    fn print(&self, row: &Row) -> anyhow::Result<()> {
        if self.cluster.json {
            return output::json(row);
        }
        output::line(format!("{}\t{}", output::text(&row.key), output::text(&row.document)))
    }

    fn say_more(&self) {
        if !self.cluster.json {
            output::progress(format!(
                "There are more rows than these {}: --all gives them all, --limit and --start so many from there.",
                self.limit
            ));
        }
    }
}
