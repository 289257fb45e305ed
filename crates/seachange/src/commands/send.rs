//! `seachange send`: one command, or those of a file.

mod file;
mod trace;

use std::path::PathBuf;

use client::wire::{CommandOutcome, CommandReply};
use environment::Environment;

use crate::connection::{ClusterFlags, explain};
use crate::exit::Stopped;
use crate::output;

/// Flags of `send`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  seachange send ledger open '{\"id\":\"ada\",\"owner\":\"Ada Lovelace\",\"balance\":1050}'
  seachange send flights flight --file flights.ndjson")]
pub struct Arguments {
    /// The application
    pub app: String,
    /// The command
    pub command: String,
    /// Its payload, as the application reads it
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub payload: Option<String>,
    /// File with one payload a line; - reads standard input
    #[arg(long, value_name = "FILE.ndjson")]
    pub file: Option<PathBuf>,
    /// Begin at this line of the file, counted from 1
    #[arg(long, default_value_t = 1, requires = "file", value_name = "LINE")]
    pub from_line: usize,
    /// Commands of the file on their way at the same time
    #[arg(long, default_value_t = 256, requires = "file", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub in_flight: u16,
    /// Show the stages of the command's way, with the time that each took
    #[arg(long, conflicts_with = "file")]
    pub trace: bool,
    /// Version of the payload
    #[arg(long, default_value_t = 1)]
    pub payload_version: u16,
    /// Where the cluster is.
    #[command(flatten)]
    pub cluster: ClusterFlags,
}

impl Arguments {
    /// Sends, and prints the reply or a summary.
    ///
    /// # Errors
    /// A command was refused or failed, or an outcome is unknown.
    pub async fn run(mut self, environment: Environment) -> anyhow::Result<()> {
        match self.file.take() {
            Some(path) => file::send(&self, &path, &environment).await,
            None if self.trace => trace::send(&self, &environment).await,
            None => self.send_one(&environment).await,
        }
    }

    async fn send_one(self, environment: &Environment) -> anyhow::Result<()> {
        let client = self.cluster.client(environment)?;
        let payload = self.payload.unwrap_or_default().into_bytes();
        let sent = client.submit(&self.app, &self.command, self.payload_version, payload);
        let reply = sent.await.map_err(explain)?;
        if self.cluster.json {
            output::json(&reply)?;
        } else if reply.outcome == CommandOutcome::Applied && !reply.reply.is_empty() {
            output::line(output::text(&reply.reply))?;
        }
        match reply.outcome {
            CommandOutcome::Applied => Ok(()),
            CommandOutcome::Refused => Err(refused(&self.app, &reply).into()),
        }
    }
}

fn refused(app: &str, reply: &CommandReply) -> Stopped {
    let reason = output::text(&reply.reply);
    Stopped::failed(format!("{app} refused the command, nothing was changed: {reason}"), "").coded("refused")
}
